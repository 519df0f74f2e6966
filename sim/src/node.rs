//! One member of a simulated room, and what is known of it from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use snug::room::{AuditReport, CommandRefused, Knock, Room, RoomEvent, Ticket};
use snug_crypto::ids::PeerKey;
use snug_crypto::rest::RestBytes;

/// The name of what was gossiped: a hash.
pub(crate) type Digest = [u8; 32];

/// One member.
pub struct Node {
    /// Its room.
    pub room: Room,
    /// Its peer in this run.
    pub peer: PeerKey,
    /// What it was told, and when.
    pub events: Vec<(Duration, RoomEvent)>,
    /// Which of its messages are out, and which were refused.
    pub sent: Vec<(Ticket, bool)>,
    /// How often it gave which verdict.
    pub verdicts: BTreeMap<&'static str, usize>,
    /// Whether it runs.
    pub alive: bool,
    /// What it has committed: all that is left of it when it is killed.
    pub disk: BTreeMap<Vec<u8>, RestBytes>,
    /// Bytes that it has committed in all, and in how many commits.
    pub written: (usize, usize),
    /// How far its wall clock is off, in milliseconds.
    pub skew_ms: i64,
    /// What came of its acts of authority, in order.
    pub commanded: Vec<Result<(), CommandRefused>>,
    /// What its checks of the transcript found, in order.
    pub reports: Vec<AuditReport>,
    /// The Room Key that it was given last.
    pub room_key: String,
    pub(crate) name: String,
    pub(crate) seed: [u8; 32],
    /// Whether its next run has the admin's key.
    pub admin: bool,
    /// Counts its runs: what was on its way to an earlier one is lost.
    pub(crate) run: u64,
    /// The mesh key that its net proves, and those that it answers at the door.
    pub(crate) mesh: [u8; 32],
    pub(crate) doors: Vec<[u8; 32]>,
    /// What it asks at doors, once it has moved.
    pub knock: Option<Knock>,
    pub(crate) wake: Option<Duration>,
    /// What it has had by gossip.
    pub(crate) seen: BTreeSet<Digest>,
    pub(crate) published: Vec<u8>,
    /// The last message that its front end was given.
    pub(crate) serial: u64,
}
