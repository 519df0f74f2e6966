//! What has expired: found by reading, and removed in batches so that the writer is never held up for long.

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use super::codec::{decode_room, decode_session};
use super::host::USED;
use super::{FORMER, Fault, KEY_GENS, PRESENCE, ROOMS, SESSIONS, STARTS, live_or_buried};
use crate::store::STARTS_TTL_MS;

/// What one sweep removes of a table at most.
const SWEEP_BATCH: usize = 1000;

/// What a sweep found by reading, to be looked at again when it writes.
pub(super) struct Expired {
    sessions: Vec<[u8; 32]>,
    presence: Vec<[u8; 64]>,
    starts: Vec<[u8; 48]>,
    key_gens: Vec<[u8; 64]>,
    rooms: Vec<[u8; 32]>,
}

impl Expired {
    pub fn is_empty(&self) -> bool {
        self.lengths() == [0; 5]
    }

    /// Whether there may be more than this.
    pub fn is_full(&self) -> bool {
        self.lengths().contains(&SWEEP_BATCH)
    }

    fn lengths(&self) -> [usize; 5] {
        [
            self.sessions.len(),
            self.presence.len(),
            self.starts.len(),
            self.key_gens.len(),
            self.rooms.len(),
        ]
    }

    pub fn remove(self, transaction: &WriteTransaction, now_ms: u64) -> Result<(), Fault> {
        let mut sessions = transaction.open_table(SESSIONS)?;
        for key in &self.sessions {
            let expired = sessions
                .get(key)?
                .is_some_and(|bytes| session_expired(bytes.value(), now_ms));
            if expired {
                sessions.remove(key)?;
            }
        }
        let mut presence = transaction.open_table(PRESENCE)?;
        for key in &self.presence {
            let expired = presence.get(key)?.is_some_and(|value| value.value().0 <= now_ms);
            if expired {
                presence.remove(key)?;
            }
        }
        let mut starts = transaction.open_table(STARTS)?;
        for key in &self.starts {
            // A portion never changes.
            starts.remove(key)?;
        }
        let mut key_gens = transaction.open_table(KEY_GENS)?;
        for key in &self.key_gens {
            let expired = key_gens.get(key)?.is_some_and(|value| value.value().0 <= now_ms);
            if expired {
                key_gens.remove(key)?;
            }
        }
        let mut rooms = transaction.open_table(ROOMS)?;
        for key in &self.rooms {
            let over = rooms.get(key)?.is_some_and(|bytes| room_over(bytes.value(), now_ms));
            if over {
                rooms.remove(key)?;
                transaction.open_table(USED)?.remove(key)?;
                transaction.open_table(FORMER)?.remove(key)?;
            }
        }
        Ok(())
    }
}

pub(super) fn find_expired(transaction: &ReadTransaction, now_ms: u64) -> Result<Expired, Fault> {
    let mut expired = Expired {
        sessions: Vec::new(),
        presence: Vec::new(),
        starts: Vec::new(),
        key_gens: Vec::new(),
        rooms: Vec::new(),
    };
    for entry in transaction.open_table(SESSIONS)?.iter()? {
        let (key, bytes) = entry?;
        if session_expired(bytes.value(), now_ms) && push_bounded(&mut expired.sessions, *key.value()) {
            break;
        }
    }
    for entry in transaction.open_table(PRESENCE)?.iter()? {
        let (key, value) = entry?;
        if value.value().0 <= now_ms && push_bounded(&mut expired.presence, *key.value()) {
            break;
        }
    }
    for entry in transaction.open_table(STARTS)?.iter()? {
        let (key, value) = entry?;
        let old = now_ms.saturating_sub(value.value().0) >= STARTS_TTL_MS;
        if old && push_bounded(&mut expired.starts, *key.value()) {
            break;
        }
    }
    for entry in transaction.open_table(KEY_GENS)?.iter()? {
        let (key, value) = entry?;
        if value.value().0 <= now_ms && push_bounded(&mut expired.key_gens, *key.value()) {
            break;
        }
    }
    for entry in transaction.open_table(ROOMS)?.iter()? {
        let (key, bytes) = entry?;
        if room_over(bytes.value(), now_ms) && push_bounded(&mut expired.rooms, *key.value()) {
            break;
        }
    }
    Ok(expired)
}

/// Pushes; `true` once the batch is full.
fn push_bounded<T>(batch: &mut Vec<T>, key: T) -> bool {
    batch.push(key);
    batch.len() == SWEEP_BATCH
}

fn session_expired(bytes: &[u8], now_ms: u64) -> bool {
    decode_session(bytes).is_ok_and(|session| session.expires_at_ms <= now_ms)
}

fn room_over(bytes: &[u8], now_ms: u64) -> bool {
    decode_room(bytes).is_ok_and(|room| live_or_buried(room, now_ms).is_none())
}
