//! Documents to values and back, and the driver's errors in words of our own.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId, RegistrationId};
use snug_rendezvous_api::{Exact, Generation, Policy};

use crate::store::{Former, OpenError, Room, Session, StoreError, Tombstone, Word};

/// MongoDB's code for a duplicate key.
pub(super) const DUPLICATE_KEY: i32 = 11_000;

pub(super) fn room_of(document: &Document) -> Option<Room> {
    let tombstone = match document.get_document("tombstone") {
        Ok(tombstone) => Some(tombstone_of(tombstone)?),
        Err(_) => None,
    };
    let number = |field| document.get_i64(field).ok();
    Some(Room {
        room_record: record_of(document, "room_record", "room_registration")?,
        admin_record: record_of(document, "admin_record", "admin_registration")?,
        admin_key: bytes(document, "admin_key")?,
        created_at_ms: millis(document, "created_at")?,
        generation: generation_of(document, "generation", "generation_hash")?,
        // Rooms of version 1 have none.
        least_serial: number("least_serial").unwrap_or(0).try_into().ok()?,
        policy: Policy {
            max_participants: document.get_i32("max_participants").ok()?.try_into().ok()?,
            retention_s: number("retention_s")?.try_into().ok()?,
            grace_s: number("grace_s")?.try_into().ok()?,
        },
        tombstone,
    })
}

/// `{bytes, at}` by the admin, `{at}` by the host.
pub(super) fn tombstone_of(document: &Document) -> Option<Tombstone> {
    Some(Tombstone {
        word: if document.contains_key("bytes") {
            Word::Admin(bytes(document, "bytes")?)
        } else {
            Word::Host
        },
        at_ms: millis(document, "at")?,
    })
}

pub(super) fn tombstone_document(tombstone: &Tombstone) -> Document {
    match &tombstone.word {
        Word::Admin(signed) => doc! { "bytes": binary(signed), "at": date(tombstone.at_ms) },
        Word::Host => doc! { "at": date(tombstone.at_ms) },
    }
}

pub(super) fn session_of(document: &Document) -> Option<Session> {
    Some(Session {
        room: KeyedHandle::from_bytes(bytes(document, "room")?),
        kind: if document.get_bool("admin").ok()? {
            Kind::Admin
        } else {
            Kind::Room
        },
        record: RecordId::from_bytes(bytes(document, "record")?),
        expires_at_ms: millis(document, "expires_at")?,
    })
}

/// Records of version 1 have no registration id, and generations no hash: both read as zeros.
fn record_of(document: &Document, record: &str, registration: &str) -> Option<Record> {
    let registration = bytes(document, registration).unwrap_or([0; 16]);
    Some(Record::from_stored(
        RegistrationId::from_bytes(registration),
        bytes(document, record)?,
    ))
}

fn generation_of(document: &Document, count: &str, hash: &str) -> Option<Generation> {
    Some(Generation {
        count: document.get_i64(count).ok()?.try_into().ok()?,
        hash: Exact::new(bytes(document, hash).unwrap_or([0; 32])),
    })
}

/// A room's former Room Keys, oldest first.
pub(super) fn former_of(document: &Document) -> Option<Vec<Former>> {
    let Ok(list) = document.get_array("former") else {
        return Some(Vec::new());
    };
    let read = |document: &Document| {
        Some(Former {
            record: record_of(document, "record", "registration")?,
            generation: generation_of(document, "generation", "generation_hash")?,
            ended_by: generation_of(document, "ended_by", "ended_by_hash")?,
            until_ms: millis(document, "until")?,
        })
    };
    list.iter().map(|former| read(former.as_document()?)).collect()
}

pub(super) fn former_to(former: &Former) -> Document {
    doc! {
        "registration": binary(former.record.registration().as_bytes()),
        "record": binary(former.record.as_bytes()),
        "generation": count(&former.generation),
        "generation_hash": binary(former.generation.hash.as_bytes()),
        "ended_by": count(&former.ended_by),
        "ended_by_hash": binary(former.ended_by.hash.as_bytes()),
        "until": date(former.until_ms),
    }
}

/// A count has 53 bits at most.
pub(super) fn count(generation: &Generation) -> i64 {
    i64::try_from(generation.count).unwrap_or(i64::MAX)
}

pub(super) fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    })
}

pub(super) fn bytes<const N: usize>(document: &Document, field: &str) -> Option<[u8; N]> {
    document.get_binary_generic(field).ok()?.as_slice().try_into().ok()
}

pub(super) fn date(unix_ms: u64) -> DateTime {
    DateTime::from_millis(i64::try_from(unix_ms).unwrap_or(i64::MAX))
}

pub(super) fn millis(document: &Document, field: &str) -> Option<u64> {
    document.get_datetime(field).ok()?.timestamp_millis().try_into().ok()
}

pub(super) fn is_duplicate(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

pub(super) fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(describe(&error))
}

pub(super) fn cant_open(error: Error) -> OpenError {
    OpenError::Mongo {
        reason: describe(&error),
    }
}

/// What kind of error it is, in words of our own: the driver's may quote documents and hosts.
pub(super) fn describe(error: &Error) -> String {
    match &*error.kind {
        ErrorKind::ServerSelection { .. } => "no server of the deployment can be reached".to_owned(),
        ErrorKind::Authentication { .. } => "the user or password is refused".to_owned(),
        ErrorKind::InvalidArgument { .. } => "the address is not a MongoDB connection string".to_owned(),
        ErrorKind::DnsResolve { .. } => "the host name can't be resolved".to_owned(),
        ErrorKind::Io(error) => format!("network error: {}", error.kind()),
        ErrorKind::ConnectionPoolCleared { .. } => "the connection was lost".to_owned(),
        ErrorKind::Command(error) => format!("the server refuses: {} ({})", error.code_name, error.code),
        ErrorKind::Write(_) => "the write was not acknowledged".to_owned(),
        _ => "the driver reports an error".to_owned(),
    }
}
