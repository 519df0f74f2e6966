//! Changes of a room, and its former Room Keys.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId};
use snug_rendezvous_api::Generation;

use super::codec::{decode_former, decode_room, encode_former, encode_room};
use super::{CAPSULES, FORMER, Fault, KEY_GENS, ROOMS, capsule_key, join64, remove_presence_of};
use crate::store::change::{sought, with_former};
use crate::store::{Change, Changed, Former, Opened, Room, StoreError};

/// What an operation returns: its own refusals inside, redb's outside.
type Outcome<T> = Result<Result<T, StoreError>, Fault>;

pub(super) fn change_room(
    transaction: &WriteTransaction,
    room: &KeyedHandle,
    change: Change,
    now_ms: u64,
) -> Outcome<Changed> {
    let mut rooms = transaction.open_table(ROOMS)?;
    let mut stored = match live(&rooms, room)? {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(Ok(Changed::Raced)),
        Err(damaged) => return Ok(Err(damaged)),
    };
    if stored.room_record.id() != change.room_record || stored.admin_record.id() != change.admin_record {
        return Ok(Ok(Changed::Raced));
    }
    let mut former_keys = transaction.open_table(FORMER)?;
    let mut capsules = transaction.open_table(CAPSULES)?;
    if let Some(new) = change.room_key {
        let former = match read_former(&former_keys, room)? {
            Ok(former) => former,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let ended = Former {
            record: core::mem::replace(&mut stored.room_record, new.record),
            generation: core::mem::replace(&mut stored.generation, new.generation),
            ended_by: new.generation,
            until_ms: new.until_ms,
        };
        let mut key_gens = transaction.open_table(KEY_GENS)?;
        if let Some(key_gen) = new.key_gen {
            let key = join64(room, ended.record.id().as_bytes());
            key_gens.insert(&key, (new.until_ms, key_gen.as_slice()))?;
        }
        let (kept, gone) = with_former(former, ended, now_ms);
        for former in gone {
            key_gens.remove(&join64(room, former.record.id().as_bytes()))?;
        }
        former_keys.insert(room.as_bytes(), encode_former(&kept).as_slice())?;
        capsules.insert(&capsule_key(room, Kind::Room), new.capsule.as_slice())?;
        remove_presence_of(transaction, room)?;
    }
    if let Some(new) = change.password {
        stored.admin_record = new.record;
        capsules.insert(&capsule_key(room, Kind::Admin), new.capsule.as_slice())?;
    }
    stored.least_serial = stored.least_serial.max(change.least_serial.unwrap_or(0));
    rooms.insert(room.as_bytes(), encode_room(&stored).as_slice())?;
    Ok(Ok(Changed::Done))
}

pub(super) fn put_capsule(
    transaction: &WriteTransaction,
    room: &KeyedHandle,
    record: RecordId,
    capsule: &[u8],
    least_serial: Option<u32>,
) -> Outcome<Changed> {
    let mut rooms = transaction.open_table(ROOMS)?;
    let mut stored = match live(&rooms, room)? {
        Ok(Some(stored)) => stored,
        Ok(None) => return Ok(Ok(Changed::Raced)),
        Err(damaged) => return Ok(Err(damaged)),
    };
    if stored.room_record.id() != record {
        return Ok(Ok(Changed::Raced));
    }
    let mut capsules = transaction.open_table(CAPSULES)?;
    capsules.insert(&capsule_key(room, Kind::Room), capsule)?;
    stored.least_serial = stored.least_serial.max(least_serial.unwrap_or(0));
    rooms.insert(room.as_bytes(), encode_room(&stored).as_slice())?;
    Ok(Ok(Changed::Done))
}

/// What is told to who proved a record that is not the room's present one.
pub(super) fn superseded(
    transaction: &WriteTransaction,
    stored: &Room,
    room: &KeyedHandle,
    record: RecordId,
    now_ms: u64,
) -> Outcome<Opened> {
    let former = match read_former(&transaction.open_table(FORMER)?, room)? {
        Ok(former) => former,
        Err(damaged) => return Ok(Err(damaged)),
    };
    let found = former
        .into_iter()
        .find(|former| former.until_ms > now_ms && former.record.id() == record);
    let Some(found) = found else {
        return Ok(Ok(Opened::Refused));
    };
    if let Some(tombstone) = &stored.tombstone {
        return Ok(Ok(Opened::Gone(tombstone.clone())));
    }
    let key_gens = transaction.open_table(KEY_GENS)?;
    let key_gen = key_gens.get(&join64(room, record.as_bytes()))?;
    Ok(Ok(Opened::Superseded {
        generation: found.ended_by,
        key_gen: key_gen.map(|value| value.value().1.to_vec()),
    }))
}

pub(super) fn former(
    transaction: &ReadTransaction,
    room: &KeyedHandle,
    generation: Option<Generation>,
    now_ms: u64,
) -> Outcome<Option<Record>> {
    let former = read_former(&transaction.open_table(FORMER)?, room)?;
    Ok(former.map(|former| sought(former, generation.as_ref(), now_ms).map(|former| former.record)))
}

fn read_former(
    table: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
    room: &KeyedHandle,
) -> Outcome<Vec<Former>> {
    Ok(match table.get(room.as_bytes())? {
        Some(bytes) => decode_former(bytes.value()),
        None => Ok(Vec::new()),
    })
}

/// A room that is not deleted.
fn live(rooms: &impl ReadableTable<&'static [u8; 32], &'static [u8]>, room: &KeyedHandle) -> Outcome<Option<Room>> {
    Ok(match rooms.get(room.as_bytes())? {
        Some(bytes) => decode_room(bytes.value()).map(|room| Some(room).filter(|room| room.tombstone.is_none())),
        None => Ok(None),
    })
}
