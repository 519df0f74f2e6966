//! The host's side of MongoDB.

use futures::TryStreamExt;
use futures::future::BoxFuture;
use mongodb::bson::{Document, doc};
use snug_crypto::credential::server::KeyedHandle;
use tokio::sync::mpsc;

use super::documents::{binary, bytes, date, room_of, unavailable};
use super::{DAMAGED, MongoStore, bounded};
use crate::store::{HostStore, Piece, RoomDetails, RoomSummary, StoreError};

impl HostStore for MongoStore {
    fn list_rooms(
        &self,
        after: Option<KeyedHandle>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RoomSummary>, StoreError>> {
        bounded(async move {
            let after = after.map_or_else(
                Document::new,
                |after| doc! { "_id": { "$gt": binary(after.as_bytes()) } },
            );
            let found: Vec<Document> = self
                .rooms
                .find(after)
                .sort(doc! { "_id": 1 })
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .projection(doc! { "room_capsule": 0, "admin_capsule": 0 })
                .await
                .map_err(unavailable)?
                .try_collect()
                .await
                .map_err(unavailable)?;
            found.iter().map(|document| summary(document).ok_or(DAMAGED)).collect()
        })
    }

    fn room_details(&self, room: KeyedHandle, now_ms: u64) -> BoxFuture<'_, Result<Option<RoomDetails>, StoreError>> {
        bounded(async move {
            let id = binary(room.as_bytes());
            let found = self
                .rooms
                .find_one(doc! { "_id": id.clone() })
                .await
                .map_err(unavailable)?;
            let Some(found) = found else { return Ok(None) };
            let live = doc! { "room": id, "expires_at": { "$gt": date(now_ms) } };
            let capsule = |field: &str| {
                found
                    .get_binary_generic(field)
                    .map_or(0, |capsule| capsule.len() as u64)
            };
            Ok(Some(RoomDetails {
                summary: summary(&found).ok_or(DAMAGED)?,
                capsule_bytes: capsule("room_capsule") + capsule("admin_capsule"),
                sessions: self.sessions.count_documents(live.clone()).await.map_err(unavailable)?,
                present: self.presence.count_documents(live).await.map_err(unavailable)?,
            }))
        })
    }

    fn touch_room(&self, room: KeyedHandle, day: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(async move {
            let day = i64::from(day);
            // A day is written once, whoever comes: most uses find nothing to change.
            let stale = doc! {
                "_id": binary(room.as_bytes()),
                "$or": [{ "used_on": { "$lt": day } }, { "used_on": { "$exists": false } }],
            };
            let update = doc! { "$set": { "used_on": day } };
            self.rooms
                .update_one(stale, update)
                .await
                .map(|_| ())
                .map_err(unavailable)
        })
    }

    fn forget_days(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        bounded(async move {
            let known = doc! { "used_on": { "$exists": true } };
            let forget = doc! { "$unset": { "used_on": "" } };
            let forgotten = self.rooms.update_many(known, forget).await;
            forgotten.map(|_| ()).map_err(unavailable)
        })
    }

    fn idle_rooms(
        &self,
        before_day: u32,
        today: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeyedHandle>, StoreError>> {
        bounded(async move {
            let unknown = doc! { "used_on": { "$exists": false }, "tombstone": { "$exists": false } };
            let update = doc! { "$set": { "used_on": i64::from(today) } };
            self.rooms.update_many(unknown, update).await.map_err(unavailable)?;
            let idle = doc! { "used_on": { "$lt": i64::from(before_day) }, "tombstone": { "$exists": false } };
            let found: Vec<Document> = self
                .rooms
                .find(idle)
                .sort(doc! { "used_on": 1 })
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .projection(doc! { "_id": 1 })
                .await
                .map_err(unavailable)?
                .try_collect()
                .await
                .map_err(unavailable)?;
            found
                .iter()
                .map(|document| bytes(document, "_id").map(KeyedHandle::from_bytes).ok_or(DAMAGED))
                .collect()
        })
    }

    fn snapshot(&self, _: mpsc::Sender<Piece>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            Err(StoreError::Unavailable(
                "MongoDB has tools of its own: use mongodump for the rooms, and copy the server key file".to_owned(),
            ))
        })
    }

    fn clock_ms(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        bounded(async move {
            let hello = self
                .database
                .run_command(doc! { "hello": 1 })
                .await
                .map_err(unavailable)?;
            let time = hello.get_datetime("localTime").ok();
            Ok(time.and_then(|time| time.timestamp_millis().try_into().ok()))
        })
    }
}

fn summary(document: &Document) -> Option<RoomSummary> {
    let room = room_of(document)?;
    Some(RoomSummary {
        room: KeyedHandle::from_bytes(bytes(document, "_id")?),
        created_at_ms: room.created_at_ms,
        generation: room.generation.count,
        policy: room.policy,
        used_on: document.get_i64("used_on").ok().and_then(|day| day.try_into().ok()),
        tombstone: room.tombstone,
    })
}
