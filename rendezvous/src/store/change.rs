//! Changes of a room: what of it is stored, and what becomes of the former Room Key.

use snug_crypto::credential::server::{Record, RecordId};
use snug_rendezvous_api::{Exact, Generation, MAX_SUPERSEDED};

/// The generation of a room as registered: the hash of its genesis is not told.
pub const FIRST_GENERATION: Generation = Generation {
    count: 0,
    hash: Exact::new([0; 32]),
};

/// What a change replaces. It happens as a whole or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record of the Room Key that the change was decided on: it must still be the room's.
    pub room_record: RecordId,
    /// The same for the Password.
    pub admin_record: RecordId,
    /// A new Room Key.
    pub room_key: Option<RoomKeyChange>,
    /// A new Password.
    pub password: Option<PasswordChange>,
    /// What to raise the least serial to.
    pub least_serial: Option<u32>,
}

/// A new Room Key.
#[derive(Clone, Debug)]
pub struct RoomKeyChange {
    /// Its OPAQUE record.
    pub record: Record,
    /// The generation that begins.
    pub generation: Generation,
    /// Sealed for its holders.
    pub capsule: Vec<u8>,
    /// For holders of the former Room Key.
    pub key_gen: Option<Vec<u8>>,
    /// The former Room Key is forgotten from then on.
    pub until_ms: u64,
}

/// A new Password.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    /// Its OPAQUE record.
    pub record: Record,
    /// Sealed for the admin.
    pub capsule: Vec<u8>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is stored, durably.
    Done,
    /// The room is not the one that the change was decided on: another change came first, or it is deleted.
    Raced,
}

/// A former Room Key, without the object that its holders are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its OPAQUE record.
    pub record: Record,
    /// The generation that it was of.
    pub generation: Generation,
    /// The generation that was registered in its place.
    pub ended_by: Generation,
    /// It is forgotten from then on.
    pub until_ms: u64,
}

impl Former {
    /// Whether a client that seeks `generation` means this one. A holder of the first Room Key knows the genesis hash, which
    /// the server does not.
    #[must_use]
    pub fn is(&self, generation: &Generation) -> bool {
        self.generation == *generation || (self.generation == FIRST_GENERATION && generation.count == 0)
    }
}

/// The one that a client seeks among a room's former Room Keys, oldest first: of a generation, or the last one.
pub(super) fn sought(former: Vec<Former>, generation: Option<&Generation>, now_ms: u64) -> Option<Former> {
    former
        .into_iter()
        .rev()
        .filter(|former| former.until_ms > now_ms)
        .find(|former| generation.is_none_or(|generation| former.is(generation)))
}

/// A room's former Room Keys once another is added: those that are over go, and the oldest beyond the bound. The second
/// list is what went.
pub(super) fn with_former(mut former: Vec<Former>, added: Former, now_ms: u64) -> (Vec<Former>, Vec<Former>) {
    former.push(added);
    let (mut kept, mut gone): (Vec<_>, Vec<_>) = former.into_iter().partition(|former| former.until_ms > now_ms);
    let excess = kept.len().saturating_sub(MAX_SUPERSEDED);
    gone.extend(kept.drain(..excess));
    (kept, gone)
}
