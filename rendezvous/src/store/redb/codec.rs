//! How values rest in redb: the protocol's canonical encoding (docs/PROTOCOL.md, "Encoding"), with a type byte of its own
//! for each, so that what is read as one kind was written as it.

use snug_crypto::credential::server::{KeyedHandle, Record};
use snug_crypto::credential::{Kind, STORED_TOMBSTONE_LEN};
use snug_crypto::wire::{DecodeError, Reader, Writer};
use snug_rendezvous_api::Policy;

use crate::store::{Room, Session, StoreError, Tombstone};

const ROOM: u8 = 1;
const SESSION: u8 = 2;

pub(super) fn encode_room(room: &Room) -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .u8(ROOM)
        .raw(room.room_record.as_bytes())
        .raw(room.admin_record.as_bytes())
        .raw(&room.admin_key)
        .u64(room.created_at_ms)
        .u64(room.generation)
        .u16(room.policy.max_participants)
        .u32(room.policy.retention_s)
        .u32(room.policy.grace_s)
        .option(room.tombstone.as_ref(), |writer, tombstone| {
            writer.raw(&tombstone.bytes).u64(tombstone.at_ms);
        });
    writer.finish()
}

pub(super) fn decode_room(bytes: &[u8]) -> Result<Room, StoreError> {
    let mut reader = Reader::new(bytes);
    let read = |reader: &mut Reader<'_>| -> Result<_, DecodeError> {
        expect(reader, ROOM)?;
        Ok((
            reader.array()?,
            reader.array()?,
            reader.array()?,
            reader.u64()?,
            reader.u64()?,
            Policy {
                max_participants: reader.u16()?,
                retention_s: reader.u32()?,
                grace_s: reader.u32()?,
            },
            reader.option("tombstone", |reader| {
                Ok(Tombstone {
                    bytes: reader.array::<STORED_TOMBSTONE_LEN>()?,
                    at_ms: reader.u64()?,
                })
            })?,
        ))
    };
    let damaged = StoreError::Damaged("a room can't be read");
    let Ok((room_record, admin_record, admin_key, created_at_ms, generation, policy, tombstone)) = read(&mut reader)
    else {
        return Err(damaged);
    };
    let Ok(()) = reader.finish() else { return Err(damaged) };
    let (room_record, admin_record) = (Record::from_stored(room_record), Record::from_stored(admin_record));
    Ok(Room {
        room_record,
        admin_record,
        admin_key,
        created_at_ms,
        generation,
        policy,
        tombstone,
    })
}

pub(super) fn encode_session(session: &Session) -> Vec<u8> {
    let mut writer = Writer::with_capacity(50);
    writer
        .u8(SESSION)
        .raw(session.room.as_bytes())
        .bool(session.kind == Kind::Admin)
        .u64(session.generation)
        .u64(session.expires_at_ms);
    writer.finish()
}

pub(super) fn decode_session(bytes: &[u8]) -> Result<Session, StoreError> {
    let mut reader = Reader::new(bytes);
    let read = |reader: &mut Reader<'_>| -> Result<_, DecodeError> {
        expect(reader, SESSION)?;
        Ok(Session {
            room: KeyedHandle::from_bytes(reader.array()?),
            kind: if reader.bool("kind")? { Kind::Admin } else { Kind::Room },
            generation: reader.u64()?,
            expires_at_ms: reader.u64()?,
        })
    };
    match (read(&mut reader), reader.finish()) {
        (Ok(session), Ok(())) => Ok(session),
        _ => Err(StoreError::Damaged("a session can't be read")),
    }
}

fn expect(reader: &mut Reader<'_>, kind: u8) -> Result<(), DecodeError> {
    if reader.u8()? == kind {
        Ok(())
    } else {
        Err(DecodeError::Invalid {
            what: "type of a stored value",
        })
    }
}
