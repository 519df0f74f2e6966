//! How values rest in redb: the protocol's canonical encoding (docs/PROTOCOL.md, "Encoding"), with a type byte of its own
//! for each, so that what is read as one kind was written as it.

use snug_crypto::credential::server::{KeyedHandle, Record, RecordId, RegistrationId};
use snug_crypto::credential::{Kind, STORED_TOMBSTONE_LEN};
use snug_crypto::wire::{DecodeError, Reader, Writer};
use snug_rendezvous_api::{Exact, Generation, MAX_SUPERSEDED, Policy};

use crate::store::{FIRST_GENERATION, Former, Room, Session, StoreError, Tombstone, Word};

/// A room of a store of version 1: records without registration ids, a generation that was always 0, no serial.
const OLD_ROOM: u8 = 1;
/// Not 2, which a session of version 1 was.
const ROOM: u8 = 3;
const SESSION: u8 = 4;
const FORMER: u8 = 5;

/// What became of a room.
const STANDING: u8 = 0;
const DELETED: u8 = 1;
const REMOVED: u8 = 2;

pub(super) fn encode_room(room: &Room) -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .u8(ROOM)
        .raw(room.room_record.registration().as_bytes())
        .raw(room.room_record.as_bytes())
        .raw(room.admin_record.registration().as_bytes())
        .raw(room.admin_record.as_bytes())
        .raw(&room.admin_key)
        .u64(room.created_at_ms)
        .raw(&room.generation.to_bytes())
        .u32(room.least_serial)
        .u16(room.policy.max_participants)
        .u32(room.policy.retention_s)
        .u32(room.policy.grace_s)
        .u8(match &room.tombstone {
            None => STANDING,
            Some(Tombstone {
                word: Word::Admin(_), ..
            }) => DELETED,
            Some(Tombstone { word: Word::Host, .. }) => REMOVED,
        });
    if let Some(Tombstone { word, at_ms }) = &room.tombstone {
        if let Word::Admin(signed) = word {
            writer.raw(signed);
        }
        writer.u64(*at_ms);
    }
    writer.finish()
}

pub(super) fn decode_room(bytes: &[u8]) -> Result<Room, StoreError> {
    let mut reader = Reader::new(bytes);
    match (read_room(&mut reader), reader.finish()) {
        (Ok(room), Ok(())) => Ok(room),
        _ => Err(StoreError::Damaged("a room can't be read")),
    }
}

fn read_room(reader: &mut Reader<'_>) -> Result<Room, DecodeError> {
    let old = match reader.u8()? {
        OLD_ROOM => true,
        ROOM => false,
        _ => return Err(OTHER_TYPE),
    };
    let record = |reader: &mut Reader<'_>| -> Result<_, DecodeError> {
        let registration = if old { [0; 16] } else { reader.array()? };
        Ok(Record::from_stored(
            RegistrationId::from_bytes(registration),
            reader.array()?,
        ))
    };
    let (room_record, admin_record) = (record(reader)?, record(reader)?);
    let (admin_key, created_at_ms) = (reader.array()?, reader.u64()?);
    let (generation, least_serial) = if old {
        reader.u64()?;
        (FIRST_GENERATION, 0)
    } else {
        (read_generation(reader)?, reader.u32()?)
    };
    Ok(Room {
        room_record,
        admin_record,
        admin_key,
        created_at_ms,
        generation,
        least_serial,
        policy: Policy {
            max_participants: reader.u16()?,
            retention_s: reader.u32()?,
            grace_s: reader.u32()?,
        },
        tombstone: read_tombstone(reader)?,
    })
}

fn read_generation(reader: &mut Reader<'_>) -> Result<Generation, DecodeError> {
    Ok(Generation {
        count: reader.u64()?,
        hash: Exact::new(reader.array()?),
    })
}

/// A room's former Room Keys, oldest first.
pub(super) fn encode_former(former: &[Former]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(FORMER).list(former, |writer, former| {
        writer
            .raw(former.record.registration().as_bytes())
            .raw(former.record.as_bytes())
            .raw(&former.generation.to_bytes())
            .raw(&former.ended_by.to_bytes())
            .u64(former.until_ms);
    });
    writer.finish()
}

pub(super) fn decode_former(bytes: &[u8]) -> Result<Vec<Former>, StoreError> {
    let mut reader = Reader::new(bytes);
    let read = |reader: &mut Reader<'_>| -> Result<_, DecodeError> {
        expect(reader, FORMER)?;
        reader.list("former Room Keys", MAX_SUPERSEDED, |reader| {
            Ok(Former {
                record: Record::from_stored(RegistrationId::from_bytes(reader.array()?), reader.array()?),
                generation: read_generation(reader)?,
                ended_by: read_generation(reader)?,
                until_ms: reader.u64()?,
            })
        })
    };
    match (read(&mut reader), reader.finish()) {
        (Ok(former), Ok(())) => Ok(former),
        _ => Err(StoreError::Damaged("former Room Keys can't be read")),
    }
}

fn read_tombstone(reader: &mut Reader<'_>) -> Result<Option<Tombstone>, DecodeError> {
    let word = match reader.u8()? {
        STANDING => return Ok(None),
        DELETED => Word::Admin(reader.array::<STORED_TOMBSTONE_LEN>()?),
        REMOVED => Word::Host,
        _ => return Err(DecodeError::Invalid { what: "tombstone" }),
    };
    Ok(Some(Tombstone {
        word,
        at_ms: reader.u64()?,
    }))
}

pub(super) fn encode_session(session: &Session) -> Vec<u8> {
    let mut writer = Writer::with_capacity(74);
    writer
        .u8(SESSION)
        .raw(session.room.as_bytes())
        .bool(session.kind == Kind::Admin)
        .raw(session.record.as_bytes())
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
            record: RecordId::from_bytes(reader.array()?),
            expires_at_ms: reader.u64()?,
        })
    };
    match (read(&mut reader), reader.finish()) {
        (Ok(session), Ok(())) => Ok(session),
        _ => Err(StoreError::Damaged("a session can't be read")),
    }
}

fn expect(reader: &mut Reader<'_>, kind: u8) -> Result<(), DecodeError> {
    if reader.u8()? == kind { Ok(()) } else { Err(OTHER_TYPE) }
}

const OTHER_TYPE: DecodeError = DecodeError::Invalid {
    what: "type of a stored value",
};
