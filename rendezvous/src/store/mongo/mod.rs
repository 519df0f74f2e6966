//! MongoDB, for many instances behind one balancer.
//!
//! ```text
//! meta      {_id: "store", version, key_check}
//! rooms     {_id: keyed handle, room_record, admin_record, admin_key, created_at, generation, policy…, room_capsule,
//!            admin_capsule, tombstone?, purge_at?}                                      TTL on purge_at
//! sessions  {_id: token hash, room, admin, generation, expires_at}                      TTL on expires_at
//! presence  {_id: token hash, room, record, expires_at}                                 TTL on expires_at, index (room, _id)
//! attempts  {_id: keyed handle, open: [{id, at}], expires_at}: those that count          TTL on expires_at
//!           {_id: keyed handle ‖ attempt, at, expires_at}: one that doesn't
//! ```
//!
//! `_id` makes rooms and tokens unique. Every operation touches one document of a collection, so each is atomic; a session
//! that opens while its room is deleted finds the tombstone at its first use. Writes of rooms and sessions wait for a
//! majority; those of presence and attempts, of which a failover may take a few, for one server.

mod documents;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error;
use mongodb::options::{Acknowledgment, ClientOptions, CollectionOptions, IndexOptions, ReturnDocument, WriteConcern};
use mongodb::{Client, Collection, Database, IndexModel};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{AttemptId, KeyedHandle, TokenHash};

use self::documents::{binary, bytes, cant_open, date, is_duplicate, room_of, session_of, unavailable};
use super::{
    ATTEMPT_TTL_MS, Finish, NewRoom, OpenError, Opened, Registered, Room, STORE_VERSION, Session, Store, StoreError,
    TOMBSTONE_TTL_MS, Tombstone,
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
    attempts: Collection<Document>,
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
            sessions: database.collection("sessions"),
            presence: database.collection_with_options("presence", brief()),
            attempts: database.collection_with_options("attempts", brief()),
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
        if bytes::<32>(&found, "key_check") == Some(key_check) {
            Ok(())
        } else {
            Err(OpenError::OtherKey)
        }
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
        self.attempts.create_index(expires("expires_at")).await?;
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

    async fn find_room(&self, room: KeyedHandle, now_ms: u64) -> Result<Option<Room>, StoreError> {
        let found = self
            .rooms
            .find_one(doc! { "_id": binary(room.as_bytes()) })
            .projection(doc! { "room_capsule": 0, "admin_capsule": 0 })
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
                "admin_record": binary(new.admin_record.as_bytes()),
                "admin_key": binary(&new.admin_key),
                "created_at": date(now_ms),
                "generation": 0_i64,
                "max_participants": i32::from(new.policy.max_participants),
                "retention_s": i64::from(new.policy.retention_s),
                "grace_s": i64::from(new.policy.grace_s),
                "room_capsule": binary(&new.capsule.room),
                "admin_capsule": binary(&new.capsule.admin),
            };
            match self.rooms.insert_one(&document).await {
                Ok(_) => return Ok(Registered::Created),
                Err(error) if is_duplicate(&error) => {}
                Err(error) => return Err(unavailable(error)),
            }
            // Taken, unless by a tombstone that is over and that the TTL monitor has not got to.
            let over = doc! { "_id": id, "purge_at": { "$lte": date(now_ms) } };
            match self.rooms.replace_one(over, &document).await {
                Ok(replaced) if replaced.matched_count == 1 => Ok(Registered::Created),
                Ok(_) => Ok(Registered::Taken),
                Err(error) => Err(unavailable(error)),
            }
        })
    }

    fn room(&self, room: KeyedHandle, now_ms: u64) -> BoxFuture<'_, Result<Option<Room>, StoreError>> {
        bounded(self.find_room(room, now_ms))
    }

    fn open_attempt(
        &self,
        room: KeyedHandle,
        attempt: AttemptId,
        limit: Option<u32>,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        bounded(async move {
            let expires_at = date(now_ms.saturating_add(ATTEMPT_TTL_MS));
            let Some(limit) = limit else {
                let id = exempt_id(&room, &attempt);
                let document = doc! { "_id": id, "at": date(now_ms), "expires_at": expires_at };
                return self
                    .attempts
                    .insert_one(document)
                    .await
                    .map(|_| true)
                    .map_err(unavailable);
            };
            // One update: forget old attempts, count those that are left, add this one if there is room.
            let recent = doc! { "$filter": {
                "input": { "$ifNull": ["$open", []] },
                "cond": { "$gt": ["$$this.at", date(now_ms.saturating_sub(ATTEMPT_TTL_MS))] },
            } };
            let room_left = doc! { "$lt": [{ "$size": "$open" }, i64::from(limit)] };
            let this = doc! { "id": binary(attempt.as_bytes()), "at": date(now_ms) };
            let update = vec![
                doc! { "$set": { "open": recent } },
                doc! { "$set": {
                    "open": { "$cond": [room_left, { "$concatArrays": ["$open", [this]] }, "$open"] },
                    "expires_at": expires_at,
                } },
            ];
            let id = doc! { "_id": binary(room.as_bytes()) };
            let run = || {
                self.attempts
                    .find_one_and_update(id.clone(), update.clone())
                    .upsert(true)
                    .return_document(ReturnDocument::After)
            };
            // Two first attempts at once may both try to insert; the second time there is something to update.
            let after = match run().await {
                Err(error) if is_duplicate(&error) => run().await,
                other => other,
            };
            let after = after.map_err(unavailable)?.ok_or(DAMAGED)?;
            let open = after.get_array("open").map_err(|_| DAMAGED)?;
            Ok(open.iter().rev().any(|entry| {
                entry.as_document().and_then(|entry| bytes::<16>(entry, "id")) == Some(*attempt.as_bytes())
            }))
        })
    }

    fn open_session(&self, finish: Finish, now_ms: u64) -> BoxFuture<'_, Result<Opened, StoreError>> {
        bounded(async move {
            let Finish {
                room,
                kind,
                attempt,
                record,
                token,
                expires_at_ms,
            } = finish;
            let id = binary(attempt.as_bytes());
            let since = date(now_ms.saturating_sub(ATTEMPT_TTL_MS));
            let mine = doc! {
                "_id": binary(room.as_bytes()),
                "open": { "$elemMatch": { "id": id.clone(), "at": { "$gt": since } } },
            };
            let closed = self
                .attempts
                .update_one(mine, doc! { "$pull": { "open": { "id": id } } })
                .await
                .map_err(unavailable)?;
            if closed.modified_count != 1 {
                let exempt = doc! { "_id": exempt_id(&room, &attempt), "at": { "$gt": since } };
                if self
                    .attempts
                    .delete_one(exempt)
                    .await
                    .map_err(unavailable)?
                    .deleted_count
                    != 1
                {
                    return Ok(Opened::Refused);
                }
            }
            let other_capsule = match kind {
                Kind::Room => "admin_capsule",
                Kind::Admin => "room_capsule",
            };
            let found = self
                .rooms
                .find_one(doc! { "_id": binary(room.as_bytes()) })
                .projection(doc! { other_capsule: 0 })
                .await
                .map_err(unavailable)?;
            let Some(found) = found else { return Ok(Opened::Refused) };
            let stored = room_of(&found).ok_or(DAMAGED)?;
            if stored.record(kind).id() != record {
                return Ok(Opened::Refused);
            }
            if let Some(tombstone) = stored.tombstone {
                let over = tombstone.is_over(now_ms);
                return Ok(if over { Opened::Refused } else { Opened::Gone(tombstone) });
            }
            let capsule = found
                .get_binary_generic(match kind {
                    Kind::Room => "room_capsule",
                    Kind::Admin => "admin_capsule",
                })
                .map_err(|_| DAMAGED)?
                .clone();
            let session = doc! {
                "_id": binary(token.as_bytes()),
                "room": binary(room.as_bytes()),
                "admin": kind == Kind::Admin,
                "generation": i64::try_from(stored.generation).map_err(|_| DAMAGED)?,
                "expires_at": date(expires_at_ms),
            };
            self.sessions.insert_one(session).await.map_err(unavailable)?;
            Ok(Opened::Session {
                capsule,
                policy: stored.policy,
            })
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
            let live = doc! { "_id": id.clone(), "tombstone": { "$exists": false } };
            let bury = doc! {
                "$set": {
                    "tombstone": { "bytes": binary(&tombstone.bytes), "at": date(tombstone.at_ms) },
                    "purge_at": date(tombstone.at_ms.saturating_add(TOMBSTONE_TTL_MS)),
                },
                "$unset": { "room_capsule": "", "admin_capsule": "" },
            };
            let buried = self.rooms.update_one(live, bury).await.map_err(unavailable)?;
            self.presence
                .delete_many(doc! { "room": id })
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

/// What an attempt that does not count goes by.
fn exempt_id(room: &KeyedHandle, attempt: &AttemptId) -> Bson {
    binary(&[&room.as_bytes()[..], attempt.as_bytes()].concat())
}

/// Presence and attempts live for seconds to hours: one server's word for them is enough.
fn brief() -> CollectionOptions {
    CollectionOptions::builder()
        .write_concern(
            WriteConcern::builder()
                .w(Acknowledgment::Nodes(1))
                .w_timeout(TIMEOUT)
                .build(),
        )
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
