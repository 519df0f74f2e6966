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
//! again. Those of presence wait for one server. What logins and heartbeats ask for goes together (`together`).

mod change;
mod documents;
mod host;
mod listed;
mod open;
mod presence;
mod sessions;
mod starts;
mod together;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Collection, Database};
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId, TokenHash};
use snug_rendezvous_api::Generation;

use self::documents::{binary, bytes, count, date, is_duplicate, tombstone_document, unavailable};
use self::presence::{Heartbeat, Whole};
use self::sessions::Inserted;
use self::together::Together;
use super::{
    Change, Changed, Counts, FIRST_GENERATION, Finish, Listed, NewRoom, Opened, Portion, Registered, Room, Session,
    Settlement, Store, StoreError, TOMBSTONE_TTL_MS, Tombstone,
};

/// How long anything may take before it counts as unavailable.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct MongoStore {
    client: Client,
    database: Database,
    /// What ties the store to the server key in force here.
    key_check: [u8; 32],
    rooms: Collection<Document>,
    sessions: Collection<Document>,
    presence: Collection<Document>,
    starts: Collection<Document>,
    key_gens: Collection<Document>,
    listed: Collection<Document>,
    together: Togethers,
}

/// What logins and heartbeats are made of: operations that many requests share.
struct Togethers {
    rooms: Together<[u8; 32], Option<Arc<Document>>>,
    rooms_for_members: Together<[u8; 32], Option<Arc<Document>>>,
    rooms_for_admins: Together<[u8; 32], Option<Arc<Document>>>,
    sessions: Together<[u8; 32], Option<Arc<Document>>>,
    new_sessions: Together<Document, Inserted>,
    heartbeats: Together<Heartbeat, ()>,
    presence: Together<(KeyedHandle, u64), Whole>,
}

impl Togethers {
    fn new(
        database: &Database,
        rooms: &Collection<Document>,
        sessions: &Collection<Document>,
        presence: &Collection<Document>,
    ) -> Self {
        let documents = |collection: &Collection<Document>, left_out: Document| {
            let collection = collection.clone();
            Together::new(move |ids| sessions::by_id(collection.clone(), left_out.clone(), ids))
        };
        let (database, sessions_too, presence) = (database.clone(), sessions.clone(), presence.clone());
        Self {
            rooms: documents(rooms, doc! { "room_capsule": 0, "admin_capsule": 0, "former": 0 }),
            rooms_for_members: documents(rooms, doc! { "admin_capsule": 0, "former": 0 }),
            rooms_for_admins: documents(rooms, doc! { "room_capsule": 0, "former": 0 }),
            sessions: documents(sessions, doc! {}),
            new_sessions: Together::new(move |new| sessions::insert(sessions_too.clone(), new)),
            heartbeats: Together::new(move |heartbeats| presence::put(database.clone(), heartbeats)),
            presence: Together::new(move |asked| presence::read(presence.clone(), asked)),
        }
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
            // An instance that has not heard of a change of key would not see a room of that name under the new one.
            let ours = doc! { "_id": "store", "key_check": binary(&self.key_check) };
            if self.meta().find_one(ours).await.map_err(unavailable)?.is_none() {
                return Err(StoreError::Unavailable(
                    "another instance serves with a newer server key: start this one anew with the same key file"
                        .to_owned(),
                ));
            }
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
        bounded(self.open_one(finish, now_ms))
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
        bounded(self.find_session(token, now_ms))
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
        let heartbeat = Heartbeat {
            room,
            token,
            record,
            expires_at_ms,
        };
        bounded(self.together.heartbeats.ask(heartbeat))
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
        bounded(self.introduce(room, except, start, limit, now_ms))
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
