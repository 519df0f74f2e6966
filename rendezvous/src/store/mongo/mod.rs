//! MongoDB, for many instances behind one balancer.
//!
//! ```text
//! meta      {_id: "store", version, key_check}
//! rooms     {_id: keyed handle, room_record, room_registration, admin_record, admin_registration, admin_key, created_at,
//!            generation, generation_hash, least_serial, policy…, room_capsule, admin_capsule,
//!            former: [{record, registration, generation…, ended_by…, until}], tombstone?, purge_at?}    TTL on purge_at
//! key_gens  {_id: keyed handle ‖ former record ‖ hash of what ended it, object, expires_at}             TTL on expires_at
//! sessions  {_id: token hash, room, admin, record, expires_at}                                          TTL on expires_at
//! presence  {_id: token hash, room, record, expires_at}                         TTL on expires_at, index (room, _id)
//! listed    {_id: Room ID, room, text, listing}, of rooms in the public directory alone                 index on room
//! starts    {_id: keyed handle, taken: [{id, at, count}], expires_at}                                   TTL on expires_at
//! ```
//!
//! `_id` makes rooms and tokens unique. Every operation decides in one document, so each is atomic; a session that opens
//! while its room is deleted or changed finds that out at its first use. Writes of rooms and starts wait for a majority and
//! its journals. Those of sessions wait for a majority to have them in memory: a member whose session was lost logs in
//! again. Those of presence wait for one server.

mod change;
mod documents;
mod host;
mod listed;
mod starts;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error;
use mongodb::options::{Acknowledgment, ClientOptions, CollectionOptions, IndexOptions, WriteConcern};
use mongodb::{Client, Collection, Database, IndexModel};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId, TokenHash};
use snug_rendezvous_api::Generation;

use self::documents::{
    binary, bytes, cant_open, count, date, is_duplicate, room_of, session_of, tombstone_document, unavailable,
};
use super::{
    Change, Changed, Counts, FIRST_GENERATION, Finish, Listed, NewRoom, OpenError, Opened, Portion, Registered, Room,
    STORE_VERSION, Session, Settlement, Store, StoreError, TOMBSTONE_TTL_MS, Tombstone,
};

/// The database, unless the connection string names one.
const DATABASE: &str = "snug";
/// How long anything may take before it counts as unavailable.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Connections to each server of the deployment.
const MAX_POOL: u32 = 32;

pub(crate) struct MongoStore {
    client: Client,
    database: Database,
    rooms: Collection<Document>,
    sessions: Collection<Document>,
    presence: Collection<Document>,
    starts: Collection<Document>,
    key_gens: Collection<Document>,
    listed: Collection<Document>,
}

impl MongoStore {
    pub async fn open(uri: &str, key_check: [u8; 32]) -> Result<Self, OpenError> {
        let mut options = ClientOptions::parse(uri).await.map_err(cant_open)?;
        options.app_name.get_or_insert_with(|| "snug-rendezvous".to_owned());
        options.connect_timeout.get_or_insert(TIMEOUT);
        options.server_selection_timeout.get_or_insert(TIMEOUT);
        options.max_pool_size.get_or_insert(MAX_POOL);
        options.write_concern = Some(
            WriteConcern::builder()
                .w(Acknowledgment::Majority)
                .w_timeout(TIMEOUT)
                .build(),
        );
        let name = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        let client = Client::with_options(options).map_err(cant_open)?;
        let database = client.database(&name);
        let store = Self {
            rooms: database.collection("rooms"),
            key_gens: database.collection("key_gens"),
            listed: database.collection("listed"),
            sessions: database.collection_with_options("sessions", acknowledged(Acknowledgment::Majority)),
            presence: database.collection_with_options("presence", acknowledged(Acknowledgment::Nodes(1))),
            starts: database.collection("starts"),
            client,
            database,
        };
        store.check_meta(key_check).await?;
        store.ensure_indexes().await.map_err(cant_open)?;
        Ok(store)
    }

    /// Looks before it writes, so that a newer store stays untouched; two instances may do this at once.
    async fn check_meta(&self, key_check: [u8; 32]) -> Result<(), OpenError> {
        let meta = self.database.collection::<Document>("meta");
        let ours = doc! { "_id": "store", "version": i64::from(STORE_VERSION), "key_check": binary(&key_check) };
        let found = match meta.find_one(doc! { "_id": "store" }).await.map_err(cant_open)? {
            Some(found) => found,
            None => match meta.insert_one(&ours).await {
                Ok(_) => ours,
                Err(error) if is_duplicate(&error) => meta
                    .find_one(doc! { "_id": "store" })
                    .await
                    .map_err(cant_open)?
                    .unwrap_or(ours),
                Err(error) => return Err(cant_open(error)),
            },
        };
        let version = found
            .get_i64("version")
            .ok()
            .and_then(|version| u32::try_from(version).ok());
        match version {
            Some(found) if found > STORE_VERSION => return Err(OpenError::Newer { found }),
            Some(_) => {}
            None => {
                return Err(OpenError::Mongo {
                    reason: "the database holds something else".to_owned(),
                });
            }
        }
        if bytes::<32>(&found, "key_check") != Some(key_check) {
            return Err(OpenError::OtherKey);
        }
        if version != Some(STORE_VERSION) {
            self.upgrade(&meta).await.map_err(cant_open)?;
        }
        Ok(())
    }

    /// Rooms of version 1 are read as they are. Its sessions had another form: members log in again.
    async fn upgrade(&self, meta: &Collection<Document>) -> Result<(), Error> {
        self.sessions
            .delete_many(doc! { "record": { "$exists": false } })
            .await?;
        self.database.collection::<Document>("attempts").drop().await?;
        let version = doc! { "$max": { "version": i64::from(STORE_VERSION) } };
        meta.update_one(doc! { "_id": "store" }, version).await?;
        Ok(())
    }

    async fn ensure_indexes(&self) -> Result<(), Error> {
        let expires = |field: &str| {
            IndexModel::builder()
                .keys(doc! { field: 1 })
                .options(IndexOptions::builder().expire_after(Duration::ZERO).build())
                .build()
        };
        self.rooms.create_index(expires("purge_at")).await?;
        self.sessions.create_index(expires("expires_at")).await?;
        self.starts.create_index(expires("expires_at")).await?;
        self.key_gens.create_index(expires("expires_at")).await?;
        let of_room = IndexModel::builder().keys(doc! { "room": 1 }).build();
        self.listed.create_index(of_room).await?;
        let by_room = IndexModel::builder().keys(doc! { "room": 1, "_id": 1 }).build();
        self.presence.create_indexes([expires("expires_at"), by_room]).await?;
        Ok(())
    }

    /// Live records of the room whose tokens match, in the tokens' order.
    async fn find_presence(
        &self,
        room: KeyedHandle,
        tokens: Document,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let live = doc! { "room": binary(room.as_bytes()), "_id": tokens, "expires_at": { "$gt": date(now_ms) } };
        let found: Vec<Document> = self
            .presence
            .find(live)
            .sort(doc! { "_id": 1 })
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .projection(doc! { "record": 1 })
            .await
            .map_err(unavailable)?
            .try_collect()
            .await
            .map_err(unavailable)?;
        found
            .iter()
            .map(|document| document.get_binary_generic("record").cloned().map_err(|_| DAMAGED))
            .collect()
    }

    async fn remove_presence_of(&self, room: &KeyedHandle) -> Result<(), StoreError> {
        self.presence
            .delete_many(doc! { "room": binary(room.as_bytes()) })
            .await
            .map(|_| ())
            .map_err(unavailable)
    }

    async fn find_room(&self, room: KeyedHandle, now_ms: u64) -> Result<Option<Room>, StoreError> {
        let found = self
            .rooms
            .find_one(doc! { "_id": binary(room.as_bytes()) })
            .projection(doc! { "room_capsule": 0, "admin_capsule": 0, "former": 0 })
            .await
            .map_err(unavailable)?;
        let room = found.map(|document| room_of(&document).ok_or(DAMAGED)).transpose()?;
        // The TTL monitor may be a minute late.
        Ok(room.filter(|room| {
            room.tombstone
                .as_ref()
                .is_none_or(|tombstone| !tombstone.is_over(now_ms))
        }))
    }
}

impl Store for MongoStore {
    fn create_room(
        &self,
        room: KeyedHandle,
        new: NewRoom,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Registered, StoreError>> {
        bounded(async move {
            let id = binary(room.as_bytes());
            let document = doc! {
                "_id": id.clone(),
                "room_record": binary(new.room_record.as_bytes()),
                "room_registration": binary(new.room_record.registration().as_bytes()),
                "admin_record": binary(new.admin_record.as_bytes()),
                "admin_registration": binary(new.admin_record.registration().as_bytes()),
                "admin_key": binary(&new.admin_key),
                "created_at": date(now_ms),
                "generation": count(&FIRST_GENERATION),
                "generation_hash": binary(FIRST_GENERATION.hash.as_bytes()),
                "least_serial": 0_i64,
                "max_participants": i32::from(new.policy.max_participants),
                "retention_s": i64::from(new.policy.retention_s),
                "grace_s": i64::from(new.policy.grace_s),
                "room_capsule": binary(&new.capsule.room),
                "admin_capsule": binary(&new.capsule.admin),
            };
            let registered = match self.rooms.insert_one(&document).await {
                Ok(_) => Registered::Created,
                Err(error) if is_duplicate(&error) => {
                    // Taken, unless by a tombstone that is over and that the TTL monitor has not got to.
                    let over = doc! { "_id": id, "purge_at": { "$lte": date(now_ms) } };
                    let replaced = self.rooms.replace_one(over, &document).await.map_err(unavailable)?;
                    if replaced.matched_count == 1 {
                        Registered::Created
                    } else {
                        Registered::Taken
                    }
                }
                Err(error) => return Err(unavailable(error)),
            };
            if let (Registered::Created, Some(entry)) = (registered, new.listing) {
                self.enter(&room, entry).await?;
            }
            Ok(registered)
        })
    }

    fn room(&self, room: KeyedHandle, now_ms: u64) -> BoxFuture<'_, Result<Option<Room>, StoreError>> {
        bounded(self.find_room(room, now_ms))
    }

    fn take_starts(&self, room: KeyedHandle, portion: Portion, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        bounded(self.take(room, portion, limit))
    }

    fn settle_starts(&self, settlement: Settlement, now_ms: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(self.settle(settlement, now_ms))
    }

    fn former(
        &self,
        room: KeyedHandle,
        generation: Option<Generation>,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        bounded(self.find_former(room, generation, now_ms))
    }

    fn change_room(
        &self,
        room: KeyedHandle,
        change: Change,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Changed, StoreError>> {
        bounded(self.change(room, change, now_ms))
    }

    fn put_capsule(
        &self,
        room: KeyedHandle,
        record: RecordId,
        capsule: Vec<u8>,
        least_serial: Option<u32>,
    ) -> BoxFuture<'_, Result<Changed, StoreError>> {
        bounded(self.replace_capsule(room, record, capsule, least_serial))
    }

    fn open_session(&self, finish: Finish, now_ms: u64) -> BoxFuture<'_, Result<Opened, StoreError>> {
        bounded(async move {
            let Finish {
                room,
                kind,
                record,
                token,
                expires_at_ms,
            } = finish;
            let (capsule, other) = match kind {
                Kind::Room => ("room_capsule", "admin_capsule"),
                Kind::Admin => ("admin_capsule", "room_capsule"),
            };
            let found = self
                .rooms
                .find_one(doc! { "_id": binary(room.as_bytes()) })
                .projection(doc! { other: 0, "former": 0 })
                .await
                .map_err(unavailable)?;
            let Some(found) = found else { return Ok(Opened::Refused) };
            let stored = room_of(&found).ok_or(DAMAGED)?;
            if stored
                .tombstone
                .as_ref()
                .is_some_and(|tombstone| tombstone.is_over(now_ms))
            {
                return Ok(Opened::Refused);
            }
            if stored.record(kind).id() != record {
                return self.superseded(room, stored, record, now_ms).await;
            }
            if let Some(tombstone) = stored.tombstone {
                return Ok(Opened::Gone(tombstone));
            }
            let capsule = found.get_binary_generic(capsule).map_err(|_| DAMAGED)?.clone();
            let session = doc! {
                "_id": binary(token.as_bytes()),
                "room": binary(room.as_bytes()),
                "admin": kind == Kind::Admin,
                "record": binary(record.as_bytes()),
                "expires_at": date(expires_at_ms),
            };
            match self.sessions.insert_one(session).await {
                Ok(_) => Ok(Opened::Session {
                    capsule,
                    policy: stored.policy,
                }),
                Err(error) if is_duplicate(&error) => Ok(Opened::Refused),
                Err(error) => Err(unavailable(error)),
            }
        })
    }

    fn known_sessions(&self, tokens: Vec<TokenHash>) -> BoxFuture<'_, Result<Vec<TokenHash>, StoreError>> {
        bounded(async move {
            let ids: Vec<Bson> = tokens.iter().map(|token| binary(token.as_bytes())).collect();
            let found: Vec<Document> = self
                .sessions
                .find(doc! { "_id": { "$in": ids } })
                .projection(doc! { "_id": 1 })
                .await
                .map_err(unavailable)?
                .try_collect()
                .await
                .map_err(unavailable)?;
            let known = found.iter().filter_map(|document| bytes(document, "_id"));
            Ok(known.map(TokenHash::from_bytes).collect())
        })
    }

    fn session(&self, token: TokenHash, now_ms: u64) -> BoxFuture<'_, Result<Option<Session>, StoreError>> {
        bounded(async move {
            let live = doc! { "_id": binary(token.as_bytes()), "expires_at": { "$gt": date(now_ms) } };
            let found = self.sessions.find_one(live).await.map_err(unavailable)?;
            found.map(|document| session_of(&document).ok_or(DAMAGED)).transpose()
        })
    }

    fn renew_session(&self, token: TokenHash, expires_at_ms: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(async move {
            let renew = doc! { "$max": { "expires_at": date(expires_at_ms) } };
            self.sessions
                .update_one(doc! { "_id": binary(token.as_bytes()) }, renew)
                .await
                .map(|_| ())
                .map_err(unavailable)
        })
    }

    fn put_presence(
        &self,
        room: KeyedHandle,
        token: TokenHash,
        record: Vec<u8>,
        expires_at_ms: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(async move {
            let id = doc! { "_id": binary(token.as_bytes()) };
            let document = doc! {
                "room": binary(room.as_bytes()),
                "record": binary(&record),
                "expires_at": date(expires_at_ms),
            };
            self.presence
                .replace_one(id, document)
                .upsert(true)
                .await
                .map(|_| ())
                .map_err(unavailable)
        })
    }

    fn remove_presence(&self, room: KeyedHandle, token: TokenHash) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(async move {
            let mine = doc! { "_id": binary(token.as_bytes()), "room": binary(room.as_bytes()) };
            self.presence.delete_one(mine).await.map(|_| ()).map_err(unavailable)
        })
    }

    fn introductions(
        &self,
        room: KeyedHandle,
        except: TokenHash,
        start: [u8; 32],
        limit: usize,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>> {
        bounded(async move {
            let except = binary(except.as_bytes());
            // Most rooms are small enough to be told whole, in one request.
            let mut records = self
                .find_presence(room, doc! { "$ne": &except }, limit + 1, now_ms)
                .await?;
            if records.len() <= limit {
                return Ok(records);
            }
            // Token hashes are uniform, so a random place in their order picks random members; at the end it goes on
            // from the beginning.
            let start = binary(&start);
            records = self
                .find_presence(room, doc! { "$gte": &start, "$ne": &except }, limit, now_ms)
                .await?;
            if records.len() < limit {
                let before = doc! { "$lt": &start, "$ne": &except };
                records.extend(self.find_presence(room, before, limit - records.len(), now_ms).await?);
            }
            Ok(records)
        })
    }

    fn delete_room(
        &self,
        room: KeyedHandle,
        tombstone: Tombstone,
    ) -> BoxFuture<'_, Result<Option<Tombstone>, StoreError>> {
        bounded(async move {
            let id = binary(room.as_bytes());
            let live = doc! { "_id": id, "tombstone": { "$exists": false } };
            let bury = doc! {
                "$set": {
                    "tombstone": tombstone_document(&tombstone),
                    "purge_at": date(tombstone.at_ms.saturating_add(TOMBSTONE_TTL_MS)),
                },
                "$unset": { "room_capsule": "", "admin_capsule": "" },
            };
            let buried = self.rooms.update_one(live, bury).await.map_err(unavailable)?;
            self.remove_presence_of(&room).await?;
            self.unlist(&room).await?;
            self.key_gens
                .delete_many(doc! { "_id": change::key_gens_of(&room) })
                .await
                .map_err(unavailable)?;
            if buried.matched_count == 1 {
                return Ok(Some(tombstone));
            }
            Ok(self
                .find_room(room, tombstone.at_ms)
                .await?
                .and_then(|room| room.tombstone))
        })
    }

    fn listed(
        &self,
        search: Option<String>,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Listed, StoreError>> {
        bounded(self.page(search, after, limit))
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, StoreError>> {
        bounded(async move {
            // From the collections' metadata, without reading them.
            let count = |collection: &Collection<Document>| {
                let collection = collection.clone();
                async move { collection.estimated_document_count().await.map_err(unavailable) }
            };
            Ok(Counts {
                rooms: count(&self.rooms).await?,
                sessions: count(&self.sessions).await?,
                presence: count(&self.presence).await?,
            })
        })
    }

    fn sweep(&self, _now_ms: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        // The TTL indexes do it.
        async { Ok(()) }.boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(async move {
            self.database
                .run_command(doc! { "ping": 1 })
                .await
                .map(|_| ())
                .map_err(unavailable)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(async move {
            self.client.clone().shutdown().await;
            Ok(())
        })
    }
}

/// Acknowledged from memory: for what lives for seconds or an hour. A journal's sync is the largest part of a small write.
fn acknowledged(by: Acknowledgment) -> CollectionOptions {
    CollectionOptions::builder()
        .write_concern(WriteConcern::builder().w(by).journal(false).w_timeout(TIMEOUT).build())
        .build()
}

const DAMAGED: StoreError = StoreError::Damaged("a document lacks what it should hold");

/// Nothing waits for the database longer than [`TIMEOUT`].
fn bounded<'a, T: Send + 'a>(
    operation: impl Future<Output = Result<T, StoreError>> + Send + 'a,
) -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(async move {
        match tokio::time::timeout(TIMEOUT, operation).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Unavailable("MongoDB takes too long".to_owned())),
        }
    })
}
