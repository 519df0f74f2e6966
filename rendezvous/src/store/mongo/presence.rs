//! Presence: heartbeats, and who is introduced to whom.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::{Collection, Database};
use snug_crypto::credential::server::{KeyedHandle, TokenHash};

use super::documents::{binary, bytes, date, millis, unavailable};
use super::{DAMAGED, MongoStore};
use crate::store::StoreError;

/// Records that are read for each room when several rooms are read at once. Most rooms have fewer; larger ones are then asked for alone.
const EACH: usize = 64;

/// MongoDB's codes of a server that is no primary (any more): NotWritablePrimary, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary,
/// PrimarySteppedDown, InterruptedDueToReplStateChange, InterruptedAtShutdown, ShutdownInProgress.
const STEPPED_DOWN: [i32; 7] = [10_107, 13_435, 13_436, 189, 11_602, 11_600, 91];

/// One member's presence, as it is stored.
pub(super) struct Heartbeat {
    pub room: KeyedHandle,
    pub token: TokenHash,
    pub record: Vec<u8>,
    pub expires_at_ms: u64,
}

/// A room's records in their tokens' order, unless it has too many to be read with others.
pub(super) type Whole = Option<Arc<Vec<Present>>>;

pub(super) struct Present {
    token: [u8; 32],
    record: Vec<u8>,
    expires_at_ms: u64,
}

impl Present {
    fn read(document: &Document) -> Option<Self> {
        Some(Self {
            token: bytes(document, "_id")?,
            record: document.get_binary_generic("record").ok()?.clone(),
            expires_at_ms: millis(document, "expires_at")?,
        })
    }
}

/// Stores heartbeats. Each replaces what its token had, so doing it twice is doing it once.
pub(super) async fn put(database: Database, heartbeats: Vec<Heartbeat>) -> Result<Vec<()>, StoreError> {
    let count = heartbeats.len();
    let updates: Vec<Document> = heartbeats
        .into_iter()
        .map(|heartbeat| {
            doc! {
                "q": { "_id": binary(heartbeat.token.as_bytes()) },
                "u": {
                    "room": binary(heartbeat.room.as_bytes()),
                    "record": binary(&heartbeat.record),
                    "expires_at": date(heartbeat.expires_at_ms),
                },
                "upsert": true,
            }
        })
        .collect();
    let command = doc! {
        "update": "presence",
        "updates": updates,
        "ordered": false,
        "writeConcern": { "w": 1, "j": false },
    };
    let mut answer = database.run_command(command.clone()).await;
    if answer.as_ref().is_err_and(may_pass) {
        // The driver doesn't do again what it doesn't know: a primary may just have stepped down.
        answer = database.run_command(command).await;
    }
    match answer.map_err(unavailable)?.get_array("writeErrors") {
        Ok(errors) if !errors.is_empty() => Err(StoreError::Unavailable("the write was not acknowledged".to_owned())),
        _ => Ok(vec![(); count]),
    }
}

/// Whether a second try may do better: the connection broke, or its server is no primary any more.
fn may_pass(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => true,
        ErrorKind::Command(error) => STEPPED_DOWN.contains(&error.code),
        _ => false,
    }
}

/// The records of several rooms, as of the earliest of the times that were asked for.
pub(super) async fn read(
    presence: Collection<Document>,
    asked: Vec<(KeyedHandle, u64)>,
) -> Result<Vec<Whole>, StoreError> {
    let now_ms = asked.iter().map(|(_, now_ms)| *now_ms).min().unwrap_or(0);
    let mut ids: Vec<[u8; 32]> = asked.iter().map(|(room, _)| *room.as_bytes()).collect();
    ids.sort_unstable();
    ids.dedup();
    let limit = EACH * ids.len();
    let rooms: Vec<Bson> = ids.iter().map(|id| binary(id)).collect();
    let found: Vec<Document> = presence
        .find(doc! { "room": { "$in": rooms }, "expires_at": { "$gt": date(now_ms) } })
        .sort(doc! { "room": 1, "_id": 1 })
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .projection(doc! { "room": 1, "record": 1, "expires_at": 1 })
        .await
        .map_err(unavailable)?
        .try_collect()
        .await
        .map_err(unavailable)?;
    let mut by_room: HashMap<[u8; 32], Vec<Present>> = HashMap::new();
    // Where the answer was cut off, and in no room after it, nothing is whole.
    let cut = (found.len() == limit)
        .then(|| found.last().and_then(|last| bytes::<32>(last, "room")))
        .flatten();
    for document in &found {
        let room = bytes(document, "room").ok_or(DAMAGED)?;
        let present = Present::read(document).ok_or(DAMAGED)?;
        by_room.entry(room).or_default().push(present);
    }
    let by_room: HashMap<_, _> = by_room
        .into_iter()
        .map(|(room, present)| (room, Arc::new(present)))
        .collect();
    let whole = |room: &KeyedHandle| {
        let is_whole = cut.is_none_or(|cut| *room.as_bytes() < cut);
        is_whole.then(|| by_room.get(room.as_bytes()).map(Arc::clone).unwrap_or_default())
    };
    Ok(asked.iter().map(|(room, _)| whole(room)).collect())
}

impl MongoStore {
    /// Token hashes are uniform, so a random place in their order picks random members; at the end it goes on from the
    /// beginning.
    pub(super) async fn introduce(
        &self,
        room: KeyedHandle,
        except: TokenHash,
        start: [u8; 32],
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if let Some(all) = self.together.presence.ask((room, now_ms)).await? {
            let first = all.partition_point(|present| present.token < start);
            let (before, after) = all.split_at(first);
            let others = after
                .iter()
                .chain(before)
                .filter(|present| present.token != *except.as_bytes() && present.expires_at_ms > now_ms);
            return Ok(others.take(limit).map(|present| present.record.clone()).collect());
        }
        let (start, except) = (binary(&start), binary(except.as_bytes()));
        let mut records = self
            .find_presence(room, doc! { "$gte": &start, "$ne": &except }, limit, now_ms)
            .await?;
        if records.len() < limit {
            let before = doc! { "$lt": &start, "$ne": &except };
            records.extend(self.find_presence(room, before, limit - records.len(), now_ms).await?);
        }
        Ok(records)
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

    pub(super) async fn remove_presence_of(&self, room: &KeyedHandle) -> Result<(), StoreError> {
        self.presence
            .delete_many(doc! { "room": binary(room.as_bytes()) })
            .await
            .map(|_| ())
            .map_err(unavailable)
    }
}
