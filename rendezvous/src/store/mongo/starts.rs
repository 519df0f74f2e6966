//! Portions of a room's starts: one document a room.

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use snug_crypto::credential::server::KeyedHandle;

use super::documents::{binary, bytes, date, is_duplicate, unavailable};
use super::{DAMAGED, MongoStore};
use crate::store::{Portion, STARTS_TTL_MS, Settlement, StoreError};

impl MongoStore {
    /// One update: forget old portions, add up those that are left, take what is left of the limit.
    pub(super) async fn take(&self, room: KeyedHandle, portion: Portion, limit: u32) -> Result<u32, StoreError> {
        let taken = doc! { "$sum": "$taken.count" };
        let rest = doc! { "$subtract": [i64::from(limit), taken] };
        let granted = doc! { "$max": [0_i64, { "$min": [i64::from(portion.count), rest] }] };
        let this = doc! { "id": binary(&portion.id), "at": date(portion.at_ms), "count": "$granted" };
        let with_this = doc! { "$cond": [
            { "$gt": ["$granted", 0_i64] },
            { "$concatArrays": ["$taken", [this]] },
            "$taken",
        ] };
        let update = vec![
            doc! { "$set": { "taken": recent(portion.at_ms) } },
            doc! { "$set": { "granted": granted } },
            doc! { "$set": { "taken": with_this, "expires_at": date(portion.at_ms.saturating_add(STARTS_TTL_MS)) } },
            doc! { "$unset": "granted" },
        ];
        let after = self.update_starts(&room, update).await?;
        let list = after.get_array("taken").map_err(|_| DAMAGED)?;
        let mine = list
            .iter()
            .rev()
            .filter_map(Bson::as_document)
            .find(|entry| bytes::<16>(entry, "id") == Some(portion.id));
        mine.map_or(Ok(0), |entry| {
            let count = entry.get_i64("count").ok().and_then(|count| count.try_into().ok());
            count.ok_or(DAMAGED)
        })
    }

    pub(super) async fn settle(&self, settlement: Settlement, now_ms: u64) -> Result<(), StoreError> {
        let Settlement { room, dropped, kept } = settlement;
        let dropped: Vec<Bson> = dropped.iter().map(|id| binary(id)).collect();
        let kept: Vec<Document> = kept
            .iter()
            .map(|portion| {
                doc! { "id": binary(&portion.id), "at": date(portion.at_ms), "count": i64::from(portion.count) }
            })
            .collect();
        let others = doc! { "$filter": {
            "input": recent(now_ms),
            "cond": { "$not": { "$in": ["$$this.id", dropped] } },
        } };
        let update = vec![doc! { "$set": {
            "taken": { "$concatArrays": [others, kept] },
            "expires_at": date(now_ms.saturating_add(STARTS_TTL_MS)),
        } }];
        self.update_starts(&room, update).await.map(|_| ())
    }

    async fn update_starts(&self, room: &KeyedHandle, update: Vec<Document>) -> Result<Document, StoreError> {
        let id = doc! { "_id": binary(room.as_bytes()) };
        let run = || {
            self.starts
                .find_one_and_update(id.clone(), update.clone())
                .upsert(true)
                .return_document(ReturnDocument::After)
        };
        // Two first portions at once may both try to insert; the second time there is something to update.
        let after = match run().await {
            Err(error) if is_duplicate(&error) => run().await,
            other => other,
        };
        after.map_err(unavailable)?.ok_or(DAMAGED)
    }
}

/// The portions that still count.
fn recent(now_ms: u64) -> Document {
    doc! { "$filter": {
        "input": { "$ifNull": ["$taken", []] },
        "cond": { "$gt": ["$$this.at", date(now_ms.saturating_sub(STARTS_TTL_MS))] },
    } }
}
