//! What is asked over the control socket, and answered.

use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::http::Counters;
use crate::relay::{RelayCounters, Told};
use crate::store::{RoomDetails, RoomSummary, Word};

/// Longest line, in bytes: a page of rooms fits.
pub(crate) const MAX_LINE: u64 = 1024 * 1024;
/// Rooms in one answer.
pub(crate) const PAGE: usize = 500;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub(crate) enum Request {
    /// Who are you?
    Status,
    /// Which rooms are there, after this one?
    List { after: Option<String> },
    /// What of this room?
    Show { room: String },
    /// Away with this room.
    Delete { room: String },
    /// Everything that a backup holds.
    Snapshot,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// Who I am.
    Status(Status),
    /// A page of rooms.
    Rooms(Vec<Room>),
    /// One room.
    Room(Box<Room>),
    /// There is none of that name.
    NoSuchRoom,
    /// It failed.
    Error(String),
}

/// What a server that runs says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub pid: u32,
    pub version: String,
    pub listen: SocketAddr,
    pub admin_listen: Option<SocketAddr>,
    pub store: String,
    /// Why its store does not answer, if it doesn't.
    pub store_failure: Option<String>,
    pub connections: Connections,
    /// None if it has no relay.
    #[serde(default)]
    pub relay: Option<Box<Relaying>>,
}

/// Connections to the API.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub open: u64,
    pub accepted: u64,
    pub refused: u64,
    pub evicted: u64,
    pub handshakes_failed: u64,
}

impl From<&Counters> for Connections {
    fn from(counters: &Counters) -> Self {
        Self {
            open: counters.open(),
            accepted: counters.accepted(),
            refused: counters.refused(),
            evicted: counters.evicted(),
            handshakes_failed: counters.handshakes_failed(),
        }
    }
}

/// The relay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Relaying {
    /// What members are told of where it is.
    pub addresses: Vec<String>,
    pub connections: u64,
    pub reservations: u64,
    pub circuits: u64,
    /// Received and sent.
    pub bytes: [u64; 2],
}

impl Relaying {
    pub fn of(told: &Told, counters: &RelayCounters) -> Self {
        Self {
            addresses: told.get().into_iter().map(String::from).collect(),
            connections: counters.connections_open(),
            reservations: counters.reservations_open(),
            circuits: counters.circuits_open(),
            bytes: counters.bytes(),
        }
    }
}

/// A room as its host sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Room {
    /// What the store calls it: 64 hexadecimal digits.
    pub room: String,
    /// When it was registered, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Changes of its Room Key.
    pub generation: u64,
    /// Members that its policy allows.
    pub max_participants: u16,
    /// The day on which it was last entered, days since 1970, if that is kept.
    pub used_on: Option<u32>,
    /// `standing`, `deleted` by its admin, or `removed` by the host.
    pub state: String,
    /// When it ended, milliseconds since 1970.
    pub ended_at_ms: Option<u64>,
    /// Bytes of its capsules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capsule_bytes: Option<u64>,
    /// Live sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// Members who are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<u64>,
}

impl Room {
    pub(crate) fn of(summary: &RoomSummary) -> Self {
        let state = match summary.tombstone.as_ref().map(|tombstone| &tombstone.word) {
            None => "standing",
            Some(Word::Admin(_)) => "deleted",
            Some(Word::Host) => "removed",
        };
        Self {
            room: HEXLOWER.encode(summary.room.as_bytes()),
            created_at_ms: summary.created_at_ms,
            generation: summary.generation,
            max_participants: summary.policy.max_participants,
            used_on: summary.used_on,
            state: state.to_owned(),
            ended_at_ms: summary.tombstone.as_ref().map(|tombstone| tombstone.at_ms),
            capsule_bytes: None,
            sessions: None,
            present: None,
        }
    }

    pub(crate) fn with_details(details: &RoomDetails) -> Self {
        Self {
            capsule_bytes: Some(details.capsule_bytes),
            sessions: Some(details.sessions),
            present: Some(details.present),
            ..Self::of(&details.summary)
        }
    }
}
