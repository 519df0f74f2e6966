//! Rooms as they are read for a login, and the sessions that come of it.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, TokenHash};

use super::documents::{DUPLICATE_KEY, binary, bytes, date, room_of, session_of, unavailable};
use super::{DAMAGED, MongoStore};
use crate::store::{Finish, Opened, Room, Session, StoreError};

/// What became of a session that was to be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inserted {
    New,
    Taken,
}

/// The documents with these ids, in the ids' order.
pub(super) async fn by_id(
    collection: Collection<Document>,
    left_out: Document,
    ids: Vec<[u8; 32]>,
) -> Result<Vec<Option<Arc<Document>>>, StoreError> {
    let mut sought: Vec<[u8; 32]> = ids.clone();
    sought.sort_unstable();
    sought.dedup();
    let sought: Vec<Bson> = sought.iter().map(|id| binary(id)).collect();
    let found: Vec<Document> = collection
        .find(doc! { "_id": { "$in": sought } })
        .projection(left_out)
        .await
        .map_err(unavailable)?
        .try_collect()
        .await
        .map_err(unavailable)?;
    let mut by_id: HashMap<[u8; 32], Arc<Document>> = HashMap::new();
    for document in found {
        by_id.insert(bytes(&document, "_id").ok_or(DAMAGED)?, Arc::new(document));
    }
    Ok(ids.iter().map(|id| by_id.get(id).map(Arc::clone)).collect())
}

/// Stores sessions, each on its own: one whose token is taken takes none of the others with it.
pub(super) async fn insert(
    sessions: Collection<Document>,
    documents: Vec<Document>,
) -> Result<Vec<Inserted>, StoreError> {
    let mut outcomes = vec![Inserted::New; documents.len()];
    if let Err(error) = sessions.insert_many(documents).ordered(false).await {
        for index in taken(&error).ok_or_else(|| unavailable(error))? {
            *outcomes.get_mut(index).ok_or(DAMAGED)? = Inserted::Taken;
        }
    }
    Ok(outcomes)
}

/// Which tokens were taken, if nothing else is wrong.
fn taken(error: &Error) -> Option<Vec<usize>> {
    let ErrorKind::InsertMany(error) = &*error.kind else {
        return None;
    };
    if error.write_concern_error.is_some() {
        return None;
    }
    let errors = error.write_errors.as_ref()?;
    let duplicates = errors.iter().filter(|error| error.code == DUPLICATE_KEY);
    let indices: Vec<usize> = duplicates.map(|error| error.index).collect();
    (indices.len() == errors.len()).then_some(indices)
}

impl MongoStore {
    pub(super) async fn find_room(&self, room: KeyedHandle, now_ms: u64) -> Result<Option<Room>, StoreError> {
        let found = self.together.rooms.ask(*room.as_bytes()).await?;
        let room = found.map(|document| room_of(&document).ok_or(DAMAGED)).transpose()?;
        // The TTL monitor may be a minute late.
        Ok(room.filter(|room| {
            room.tombstone
                .as_ref()
                .is_none_or(|tombstone| !tombstone.is_over(now_ms))
        }))
    }

    pub(super) async fn find_session(&self, token: TokenHash, now_ms: u64) -> Result<Option<Session>, StoreError> {
        let found = self.together.sessions.ask(*token.as_bytes()).await?;
        let session = found.map(|document| session_of(&document).ok_or(DAMAGED)).transpose()?;
        Ok(session.filter(|session| session.expires_at_ms > now_ms))
    }

    pub(super) async fn open_one(&self, finish: Finish, now_ms: u64) -> Result<Opened, StoreError> {
        let Finish {
            room,
            kind,
            record,
            token,
            expires_at_ms,
        } = finish;
        let (capsule, rooms) = match kind {
            Kind::Room => ("room_capsule", &self.together.rooms_for_members),
            Kind::Admin => ("admin_capsule", &self.together.rooms_for_admins),
        };
        let Some(found) = rooms.ask(*room.as_bytes()).await? else {
            return Ok(Opened::Refused);
        };
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
        Ok(match self.together.new_sessions.ask(session).await? {
            Inserted::New => Opened::Session {
                capsule,
                policy: stored.policy,
            },
            Inserted::Taken => Opened::Refused,
        })
    }
}
