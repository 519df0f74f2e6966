//! What the host's own commands and policies need of a store. Nothing here is reachable over the network.

use std::path::Path;

use futures::future::BoxFuture;
use snug_crypto::credential::server::KeyedHandle;
use snug_rendezvous_api::Policy;
use tokio::sync::mpsc;

use super::{OpenError, StoreError, Tombstone, redb};

/// A room, as far as its host can see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSummary {
    /// What the store calls it.
    pub room: KeyedHandle,
    /// When it was registered.
    pub created_at_ms: u64,
    /// Changes of its Room Key.
    pub generation: u64,
    /// Policy numbers.
    pub policy: Policy,
    /// The day (since 1970) on which it was last entered, if that is kept.
    pub used_on: Option<u32>,
    /// Set once it is no more.
    pub tombstone: Option<Tombstone>,
}

/// A room with what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDetails {
    /// The room itself.
    pub summary: RoomSummary,
    /// Bytes of both capsules.
    pub capsule_bytes: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Live presence records: members who are there.
    pub present: u64,
}

/// One piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What follows is of this table.
    Table(String),
    /// A row of it, as stored.
    Row(Vec<u8>, Vec<u8>),
}

/// What every store does for its host.
pub trait HostStore: Send + Sync {
    /// Rooms in the order of their keyed handles, after one of them; with those that are no more and not yet forgotten.
    fn list_rooms(
        &self,
        after: Option<KeyedHandle>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RoomSummary>, StoreError>>;

    /// One room.
    fn room_details(&self, room: KeyedHandle, now_ms: u64) -> BoxFuture<'_, Result<Option<RoomDetails>, StoreError>>;

    /// Notes that the room was entered on that day (since 1970).
    fn touch_room(&self, room: KeyedHandle, day: u32) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Forgets on which days rooms were entered: what is not removed by it is not kept, and a day that was noted before a pause says
    /// nothing of the days since.
    fn forget_days(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Rooms that stand and were last entered before the day, at most `limit`, longest unused first. Rooms of which no day is known
    /// count as entered today from now on.
    fn idle_rooms(
        &self,
        before_day: u32,
        today: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeyedHandle>, StoreError>>;

    /// Sends everything that outlives a restore, as it is at one moment: rooms, without sessions, presence and attempts.
    /// Ends early when the receiver is gone. [`StoreError::Damaged`] with what to use instead, if the store has tools of its
    /// own.
    fn snapshot(&self, pieces: mpsc::Sender<Piece>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The store's own clock, if it has one.
    fn clock_ms(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>>;
}

/// Takes the pieces of a snapshot into a new redb file, which is nobody's before [`Restorer::finish`].
pub struct Restorer(redb::Restore);

/// Begins a restore into a file that must not exist.
///
/// # Errors
/// [`OpenError::File`].
pub fn restorer(path: &Path) -> Result<Restorer, OpenError> {
    Ok(Restorer(redb::Restore::begin(path)?))
}

impl Restorer {
    /// Takes one piece.
    ///
    /// # Errors
    /// [`OpenError`]: the table or the row is none of this version's, or the disk is full.
    pub fn take(&mut self, piece: Piece) -> Result<(), OpenError> {
        self.0.take(piece)
    }

    /// Writes everything down. `key_checks` as for [`super::open`].
    ///
    /// # Errors
    /// [`OpenError`]: the pieces are no whole store, a newer one's, or another key's.
    pub fn finish(self, key_checks: &[[u8; 32]]) -> Result<(), OpenError> {
        self.0.finish(key_checks)
    }
}

/// Checks the file of a redb store that nobody has open, and repairs it if a crash left it so: `false` if there was something to
/// repair. Blocks.
///
/// # Errors
/// [`OpenError`].
pub fn check_redb(path: &Path) -> Result<bool, OpenError> {
    redb::check(path)
}
