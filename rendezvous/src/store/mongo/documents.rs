//! Documents to values and back, and the driver's errors in words of our own.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, Record};
use snug_rendezvous_api::Policy;

use crate::store::{OpenError, Room, Session, StoreError, Tombstone};

/// MongoDB's code for a duplicate key.
const DUPLICATE_KEY: i32 = 11_000;

pub(super) fn room_of(document: &Document) -> Option<Room> {
    let tombstone = match document.get_document("tombstone") {
        Ok(tombstone) => Some(Tombstone {
            bytes: bytes(tombstone, "bytes")?,
            at_ms: millis(tombstone, "at")?,
        }),
        Err(_) => None,
    };
    let number = |field| document.get_i64(field).ok();
    Some(Room {
        room_record: Record::from_stored(bytes(document, "room_record")?),
        admin_record: Record::from_stored(bytes(document, "admin_record")?),
        admin_key: bytes(document, "admin_key")?,
        created_at_ms: millis(document, "created_at")?,
        generation: number("generation")?.try_into().ok()?,
        policy: Policy {
            max_participants: document.get_i32("max_participants").ok()?.try_into().ok()?,
            retention_s: number("retention_s")?.try_into().ok()?,
            grace_s: number("grace_s")?.try_into().ok()?,
        },
        tombstone,
    })
}

pub(super) fn session_of(document: &Document) -> Option<Session> {
    Some(Session {
        room: KeyedHandle::from_bytes(bytes(document, "room")?),
        kind: if document.get_bool("admin").ok()? {
            Kind::Admin
        } else {
            Kind::Room
        },
        generation: document.get_i64("generation").ok()?.try_into().ok()?,
        expires_at_ms: millis(document, "expires_at")?,
    })
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
