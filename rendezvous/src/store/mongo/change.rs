//! Changes of a room, and its former Room Keys. What a change decides on and what it decides stand in the room's document;
//! the object for former holders is stored before, under a name that only this change leads to.

use mongodb::bson::{Bson, Document, doc};
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId};
use snug_rendezvous_api::Generation;

use super::documents::{binary, count, date, former_of, former_to, room_of, unavailable};
use super::{DAMAGED, MongoStore};
use crate::store::change::{sought, with_former};
use crate::store::{Change, Changed, Former, Opened, Room, StoreError};

impl MongoStore {
    pub(super) async fn change(&self, room: KeyedHandle, change: Change, now_ms: u64) -> Result<Changed, StoreError> {
        let capsules = doc! { "room_capsule": 0, "admin_capsule": 0 };
        let found = self.rooms.find_one(by_id(&room)).projection(capsules).await;
        let Some(found) = found.map_err(unavailable)? else {
            return Ok(Changed::Raced);
        };
        let stored = room_of(&found).ok_or(DAMAGED)?;
        let same = stored.room_record.id() == change.room_record && stored.admin_record.id() == change.admin_record;
        if stored.tombstone.is_some() || !same {
            return Ok(Changed::Raced);
        }
        let mut set = Document::new();
        let mut gone = Vec::new();
        let new_key = change.room_key.is_some();
        if let Some(new) = change.room_key {
            let ended = Former {
                record: stored.room_record.clone(),
                generation: stored.generation,
                ended_by: new.generation,
                until_ms: new.until_ms,
            };
            if let Some(key_gen) = new.key_gen {
                let object = doc! { "object": binary(&key_gen), "expires_at": date(new.until_ms) };
                let id = doc! { "_id": key_gen_id(&room, &ended) };
                let replaced = self.key_gens.replace_one(id, object).upsert(true).await;
                replaced.map_err(unavailable)?;
            }
            let (kept, over) = with_former(former_of(&found).ok_or(DAMAGED)?, ended, now_ms);
            gone = over;
            set.extend(doc! {
                "room_record": binary(new.record.as_bytes()),
                "room_registration": binary(new.record.registration().as_bytes()),
                "generation": count(&new.generation),
                "generation_hash": binary(new.generation.hash.as_bytes()),
                "room_capsule": binary(&new.capsule),
                "former": kept.iter().map(former_to).collect::<Vec<_>>(),
            });
        }
        if let Some(new) = change.password {
            set.extend(doc! {
                "admin_record": binary(new.record.as_bytes()),
                "admin_registration": binary(new.record.registration().as_bytes()),
                "admin_capsule": binary(&new.capsule),
            });
        }
        let update = doc! { "$set": set, "$max": { "least_serial": i64::from(change.least_serial.unwrap_or(0)) } };
        if self.update_unchanged(&room, &stored, update).await? == Changed::Raced {
            return Ok(Changed::Raced);
        }
        if new_key {
            self.remove_presence_of(&room).await?;
        }
        let gone: Vec<Bson> = gone.iter().map(|former| key_gen_id(&room, former)).collect();
        if !gone.is_empty() {
            // They would expire anyway.
            let deleted = self.key_gens.delete_many(doc! { "_id": { "$in": gone } }).await;
            deleted.map_err(unavailable)?;
        }
        Ok(Changed::Done)
    }

    pub(super) async fn replace_capsule(
        &self,
        room: KeyedHandle,
        record: RecordId,
        capsule: Vec<u8>,
        least_serial: Option<u32>,
    ) -> Result<Changed, StoreError> {
        // A tombstone is never over while there is a capsule to replace.
        let Some(stored) = self.find_room(room, 0).await? else {
            return Ok(Changed::Raced);
        };
        if stored.tombstone.is_some() || stored.room_record.id() != record {
            return Ok(Changed::Raced);
        }
        let update = doc! {
            "$set": { "room_capsule": binary(&capsule) },
            "$max": { "least_serial": i64::from(least_serial.unwrap_or(0)) },
        };
        self.update_unchanged(&room, &stored, update).await
    }

    /// Updates the room if its records are still the ones that were read.
    async fn update_unchanged(&self, room: &KeyedHandle, read: &Room, update: Document) -> Result<Changed, StoreError> {
        let unchanged = doc! {
            "_id": binary(room.as_bytes()),
            "tombstone": { "$exists": false },
            "room_record": binary(read.room_record.as_bytes()),
            "admin_record": binary(read.admin_record.as_bytes()),
        };
        let updated = self.rooms.update_one(unchanged, update).await.map_err(unavailable)?;
        Ok(if updated.matched_count == 1 {
            Changed::Done
        } else {
            Changed::Raced
        })
    }

    /// What is told to who proved a record that is not the room's present one.
    pub(super) async fn superseded(
        &self,
        room: KeyedHandle,
        stored: Room,
        record: RecordId,
        now_ms: u64,
    ) -> Result<Opened, StoreError> {
        let found = self
            .read_former(&room)
            .await?
            .into_iter()
            .find(|former| former.until_ms > now_ms && former.record.id() == record);
        let Some(found) = found else { return Ok(Opened::Refused) };
        if let Some(tombstone) = stored.tombstone {
            return Ok(Opened::Gone(tombstone));
        }
        let id = doc! { "_id": key_gen_id(&room, &found) };
        let object = self.key_gens.find_one(id).await.map_err(unavailable)?;
        let key_gen = object
            .map(|object| object.get_binary_generic("object").cloned().map_err(|_| DAMAGED))
            .transpose()?;
        Ok(Opened::Superseded {
            generation: found.ended_by,
            key_gen,
        })
    }

    pub(super) async fn find_former(
        &self,
        room: KeyedHandle,
        generation: Option<Generation>,
        now_ms: u64,
    ) -> Result<Option<Record>, StoreError> {
        let former = self.read_former(&room).await?;
        Ok(sought(former, generation.as_ref(), now_ms).map(|former| former.record))
    }

    async fn read_former(&self, room: &KeyedHandle) -> Result<Vec<Former>, StoreError> {
        let found = self.rooms.find_one(by_id(room)).projection(doc! { "former": 1 }).await;
        match found.map_err(unavailable)? {
            Some(found) => former_of(&found).ok_or(DAMAGED),
            None => Ok(Vec::new()),
        }
    }
}

fn by_id(room: &KeyedHandle) -> Document {
    doc! { "_id": binary(room.as_bytes()) }
}

/// Of two changes at once only one happens, and the object of the other must not be found in its place.
fn key_gen_id(room: &KeyedHandle, former: &Former) -> Bson {
    let record = former.record.id();
    let parts = [&room.as_bytes()[..], record.as_bytes(), &former.ended_by.to_bytes()];
    binary(&parts.concat())
}

/// All objects of a room: binary data of one length are ordered by their bytes.
pub(super) fn key_gens_of(room: &KeyedHandle) -> Document {
    let id = |rest: u8| binary(&[&room.as_bytes()[..], &[rest; 72]].concat());
    doc! { "$gte": id(0), "$lte": id(0xFF) }
}
