//! The embedded store: one redb file, one writer thread.
//!
//! Rooms are written durably. Sessions, presence and login attempts are committed without waiting for the disk, which
//! takes them along within [`writer::FLUSH_AFTER`]: a crash may cost a second of them, and members then log in again.

mod codec;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{AttemptId, KeyedHandle, TokenHash};

use self::codec::{decode_room, decode_session, encode_room, encode_session};
use self::writer::{Backend, Database, FileOf};
use super::{
    ATTEMPT_TTL_MS, Finish, NewRoom, OpenError, Opened, Registered, Room, STORE_VERSION, Session, Store, StoreError,
    Tombstone,
};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Keyed handle → room.
const ROOMS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("rooms");
/// Keyed handle ‖ kind → sealed capsule.
const CAPSULES: TableDefinition<'_, &[u8; 33], &[u8]> = TableDefinition::new("capsules");
/// Token hash → session.
const SESSIONS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("sessions");
/// Keyed handle ‖ token hash → (expiry, sealed record).
const PRESENCE: TableDefinition<'_, &[u8; 64], (u64, &[u8])> = TableDefinition::new("presence");
/// Keyed handle ‖ whether it counts ‖ attempt → start. Those that count lie together, and the others don't slow their
/// counting.
const ATTEMPTS: TableDefinition<'_, &[u8; 49], u64> = TableDefinition::new("attempts");

const VERSION: &str = "version";
const KEY_CHECK: &str = "key check";
/// What one sweep removes of a table at most, so that it never holds up the writer for long.
const SWEEP_BATCH: usize = 1000;
/// Batches that one sweep takes at most.
const SWEEP_ROUNDS: usize = 100;

/// Any error of redb's.
type Fault = redb::Error;

pub(crate) struct RedbStore {
    database: Database,
}

impl RedbStore {
    /// Opens the file, or makes it (0600). Blocks.
    pub fn open(path: &Path, key_check: [u8; 32]) -> Result<Self, OpenError> {
        refuse_newer_untouched(path)?;
        Self::open_with(Arc::new(FileOf(path.to_owned())), path.to_owned(), key_check)
    }

    fn open_with(backend: Arc<dyn Backend>, path: PathBuf, key_check: [u8; 32]) -> Result<Self, OpenError> {
        let file_error = |path: &Path, reason: String| OpenError::File {
            path: path.to_owned(),
            reason,
        };
        let database = Database::open(backend).map_err(|error| match error {
            redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path: path.clone() },
            other => file_error(&path, describe(&other)),
        })?;
        let prepared = database.write_now(|transaction| prepare(transaction, key_check));
        prepared.map_err(|error| file_error(&path, describe(&error)))??;
        Ok(Self { database })
    }

    /// Runs a read where it can't hold up the runtime.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<Result<T, StoreError>, Fault> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let database = self.database.current()?;
            let outcome = tokio::task::spawn_blocking(move || -> Result<_, Fault> { read(&database.begin_read()?) });
            match outcome.await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(fault)) => Err(unavailable(&fault)),
                Err(_) => Err(StoreError::Damaged("a read failed inside")),
            }
        })
    }
}

/// Looks at the version without opening the file for writing. A file that needs repair is left to the real opening.
fn refuse_newer_untouched(path: &Path) -> Result<(), OpenError> {
    let version = || -> Option<u32> {
        let database = redb::ReadOnlyDatabase::open(path).ok()?;
        let table = database.begin_read().ok()?.open_table(META).ok()?;
        let version = table.get(VERSION).ok()??;
        Some(u32::from_be_bytes(version.value().try_into().ok()?))
    };
    match version() {
        Some(found) if found > STORE_VERSION => Err(OpenError::Newer { found }),
        _ => Ok(()),
    }
}

/// Makes the tables, or checks that the store is ours.
fn prepare(transaction: &WriteTransaction, key_check: [u8; 32]) -> Result<Result<(), OpenError>, Fault> {
    let mut meta = transaction.open_table(META)?;
    let version = meta
        .get(VERSION)?
        .and_then(|value| Some(u32::from_be_bytes(value.value().try_into().ok()?)));
    match version {
        None => {
            meta.insert(VERSION, STORE_VERSION.to_be_bytes().as_slice())?;
            meta.insert(KEY_CHECK, key_check.as_slice())?;
        }
        Some(found) if found > STORE_VERSION => return Ok(Err(OpenError::Newer { found })),
        Some(_) => {
            if meta.get(KEY_CHECK)?.is_none_or(|stored| stored.value() != key_check) {
                return Ok(Err(OpenError::OtherKey));
            }
        }
    }
    transaction.open_table(ROOMS)?;
    transaction.open_table(CAPSULES)?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(PRESENCE)?;
    transaction.open_table(ATTEMPTS)?;
    Ok(Ok(()))
}

impl Store for RedbStore {
    fn create_room(
        &self,
        room: KeyedHandle,
        new: NewRoom,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Registered, StoreError>> {
        self.database.write_durably(move |transaction| {
            let mut rooms = transaction.open_table(ROOMS)?;
            let former = rooms.get(room.as_bytes())?.map(|bytes| decode_room(bytes.value()));
            match former {
                Some(Err(damaged)) => return Ok(Err(damaged)),
                Some(Ok(Room {
                    tombstone: Some(tombstone),
                    ..
                })) if tombstone.is_over(now_ms) => {}
                Some(Ok(_)) => return Ok(Ok(Registered::Taken)),
                None => {}
            }
            let stored = Room {
                room_record: new.room_record,
                admin_record: new.admin_record,
                admin_key: new.admin_key,
                created_at_ms: now_ms,
                generation: 0,
                policy: new.policy,
                tombstone: None,
            };
            rooms.insert(room.as_bytes(), encode_room(&stored).as_slice())?;
            let mut capsules = transaction.open_table(CAPSULES)?;
            capsules.insert(&capsule_key(&room, Kind::Room), new.capsule.room.as_slice())?;
            capsules.insert(&capsule_key(&room, Kind::Admin), new.capsule.admin.as_slice())?;
            Ok(Ok(Registered::Created))
        })
    }

    fn room(&self, room: KeyedHandle, now_ms: u64) -> BoxFuture<'_, Result<Option<Room>, StoreError>> {
        self.read(move |transaction| {
            let rooms = transaction.open_table(ROOMS)?;
            let Some(bytes) = rooms.get(room.as_bytes())? else {
                return Ok(Ok(None));
            };
            Ok(decode_room(bytes.value()).map(|room| live_or_buried(room, now_ms)))
        })
    }

    fn open_attempt(
        &self,
        room: KeyedHandle,
        attempt: AttemptId,
        limit: Option<u32>,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.database.write(move |transaction| {
            let mut attempts = transaction.open_table(ATTEMPTS)?;
            if let Some(limit) = limit {
                let mut open = 0;
                let (first, last) = (
                    attempt_key(&room, true, &[0; 16]),
                    attempt_key(&room, true, &[0xFF; 16]),
                );
                for entry in attempts.range::<&[u8; 49]>(&first..=&last)? {
                    if now_ms.saturating_sub(entry?.1.value()) < ATTEMPT_TTL_MS {
                        open += 1;
                        if open >= limit {
                            return Ok(Ok(false));
                        }
                    }
                }
            }
            attempts.insert(&attempt_key(&room, limit.is_some(), attempt.as_bytes()), now_ms)?;
            Ok(Ok(true))
        })
    }

    fn open_session(&self, finish: Finish, now_ms: u64) -> BoxFuture<'_, Result<Opened, StoreError>> {
        self.database.write(move |transaction| {
            let Finish {
                room,
                kind,
                attempt,
                record,
                token,
                expires_at_ms,
            } = finish;
            let mut opened_at = None;
            for counts in [true, false] {
                let key = attempt_key(&room, counts, attempt.as_bytes());
                let removed = transaction
                    .open_table(ATTEMPTS)?
                    .remove(&key)?
                    .map(|value| value.value());
                opened_at = opened_at.or(removed);
            }
            if opened_at.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= ATTEMPT_TTL_MS) {
                return Ok(Ok(Opened::Refused));
            }
            let rooms = transaction.open_table(ROOMS)?;
            let Some(stored) = rooms.get(room.as_bytes())?.map(|bytes| decode_room(bytes.value())) else {
                return Ok(Ok(Opened::Refused));
            };
            let stored = match stored {
                Ok(stored) => stored,
                Err(damaged) => return Ok(Err(damaged)),
            };
            if stored.record(kind).id() != record {
                return Ok(Ok(Opened::Refused));
            }
            if let Some(tombstone) = stored.tombstone {
                let over = tombstone.is_over(now_ms);
                return Ok(Ok(if over { Opened::Refused } else { Opened::Gone(tombstone) }));
            }
            let capsules = transaction.open_table(CAPSULES)?;
            let Some(capsule) = capsules
                .get(&capsule_key(&room, kind))?
                .map(|bytes| bytes.value().to_vec())
            else {
                return Ok(Err(StoreError::Damaged("a room has no capsule")));
            };
            let session = Session {
                room,
                kind,
                generation: stored.generation,
                expires_at_ms,
            };
            transaction
                .open_table(SESSIONS)?
                .insert(token.as_bytes(), encode_session(&session).as_slice())?;
            Ok(Ok(Opened::Session {
                capsule,
                policy: stored.policy,
            }))
        })
    }

    fn session(&self, token: TokenHash, now_ms: u64) -> BoxFuture<'_, Result<Option<Session>, StoreError>> {
        self.read(move |transaction| {
            let sessions = transaction.open_table(SESSIONS)?;
            let Some(bytes) = sessions.get(token.as_bytes())? else {
                return Ok(Ok(None));
            };
            Ok(decode_session(bytes.value()).map(|session| (session.expires_at_ms > now_ms).then_some(session)))
        })
    }

    fn renew_session(&self, token: TokenHash, expires_at_ms: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |transaction| {
            let mut sessions = transaction.open_table(SESSIONS)?;
            let Some(session) = sessions
                .get(token.as_bytes())?
                .map(|bytes| decode_session(bytes.value()))
            else {
                return Ok(Ok(()));
            };
            let renewed = match session {
                Ok(session) => Session {
                    expires_at_ms: session.expires_at_ms.max(expires_at_ms),
                    ..session
                },
                Err(damaged) => return Ok(Err(damaged)),
            };
            sessions.insert(token.as_bytes(), encode_session(&renewed).as_slice())?;
            Ok(Ok(()))
        })
    }

    fn put_presence(
        &self,
        room: KeyedHandle,
        token: TokenHash,
        record: Vec<u8>,
        expires_at_ms: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |transaction| {
            let mut presence = transaction.open_table(PRESENCE)?;
            presence.insert(&join64(&room, token.as_bytes()), (expires_at_ms, record.as_slice()))?;
            Ok(Ok(()))
        })
    }

    fn remove_presence(&self, room: KeyedHandle, token: TokenHash) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database.write(move |transaction| {
            transaction
                .open_table(PRESENCE)?
                .remove(&join64(&room, token.as_bytes()))?;
            Ok(Ok(()))
        })
    }

    fn introductions(
        &self,
        room: KeyedHandle,
        except: TokenHash,
        start: [u8; 32],
        limit: usize,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>> {
        self.read(move |transaction| {
            let presence = transaction.open_table(PRESENCE)?;
            // Token hashes are uniform, so a random place in their order picks random members; at the end it goes on
            // from the beginning.
            let after = presence.range::<&[u8; 64]>(&join64(&room, &start)..=&join64(&room, &[0xFF; 32]))?;
            let before = presence.range::<&[u8; 64]>(&join64(&room, &[0; 32])..&join64(&room, &start))?;
            let mut records = Vec::new();
            for entry in after.chain(before) {
                if records.len() == limit {
                    break;
                }
                let (key, value) = entry?;
                let (expires_at_ms, record) = value.value();
                if expires_at_ms > now_ms && key.value()[32..] != except.as_bytes()[..] {
                    records.push(record.to_vec());
                }
            }
            Ok(Ok(records))
        })
    }

    fn delete_room(
        &self,
        room: KeyedHandle,
        tombstone: Tombstone,
    ) -> BoxFuture<'_, Result<Option<Tombstone>, StoreError>> {
        self.database.write_durably(move |transaction| {
            let mut rooms = transaction.open_table(ROOMS)?;
            let Some(stored) = rooms.get(room.as_bytes())?.map(|bytes| decode_room(bytes.value())) else {
                return Ok(Ok(None));
            };
            let mut stored = match stored {
                Ok(stored) => stored,
                Err(damaged) => return Ok(Err(damaged)),
            };
            if let Some(first) = stored.tombstone {
                return Ok(Ok(Some(first)));
            }
            stored.tombstone = Some(tombstone.clone());
            rooms.insert(room.as_bytes(), encode_room(&stored).as_slice())?;
            let mut capsules = transaction.open_table(CAPSULES)?;
            capsules.remove(&capsule_key(&room, Kind::Room))?;
            capsules.remove(&capsule_key(&room, Kind::Admin))?;
            transaction
                .open_table(PRESENCE)?
                .retain_in::<&[u8; 64], _>(&join64(&room, &[0; 32])..=&join64(&room, &[0xFF; 32]), |_, _| false)?;
            Ok(Ok(Some(tombstone)))
        })
    }

    fn sweep(&self, now_ms: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            for _ in 0..SWEEP_ROUNDS {
                let expired = self
                    .read(move |transaction| Ok(Ok(find_expired(transaction, now_ms)?)))
                    .await?;
                let (nothing, more) = (expired.is_empty(), expired.is_full());
                if !nothing {
                    self.database
                        .write(move |transaction| Ok(Ok(expired.remove(transaction, now_ms)?)))
                        .await?;
                }
                if !more {
                    break;
                }
            }
            Ok(())
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.read(|transaction| Ok(transaction.open_table(META).map(|_| ()).map(Ok)?))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.database.close())
    }
}

/// What a sweep found by reading, to be looked at again when it writes.
struct Expired {
    sessions: Vec<[u8; 32]>,
    presence: Vec<[u8; 64]>,
    attempts: Vec<[u8; 49]>,
    rooms: Vec<[u8; 32]>,
}

impl Expired {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.presence.is_empty() && self.attempts.is_empty() && self.rooms.is_empty()
    }

    /// Whether there may be more than this.
    fn is_full(&self) -> bool {
        let lengths = [
            self.sessions.len(),
            self.presence.len(),
            self.attempts.len(),
            self.rooms.len(),
        ];
        lengths.contains(&SWEEP_BATCH)
    }

    fn remove(self, transaction: &WriteTransaction, now_ms: u64) -> Result<(), Fault> {
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
        let mut attempts = transaction.open_table(ATTEMPTS)?;
        for key in &self.attempts {
            // An attempt's time never changes.
            attempts.remove(key)?;
        }
        let mut rooms = transaction.open_table(ROOMS)?;
        for key in &self.rooms {
            let over = rooms.get(key)?.is_some_and(|bytes| room_over(bytes.value(), now_ms));
            if over {
                rooms.remove(key)?;
            }
        }
        Ok(())
    }
}

fn find_expired(transaction: &ReadTransaction, now_ms: u64) -> Result<Expired, Fault> {
    let mut expired = Expired {
        sessions: Vec::new(),
        presence: Vec::new(),
        attempts: Vec::new(),
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
    for entry in transaction.open_table(ATTEMPTS)?.iter()? {
        let (key, value) = entry?;
        let old = now_ms.saturating_sub(value.value()) >= ATTEMPT_TTL_MS;
        if old && push_bounded(&mut expired.attempts, *key.value()) {
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

/// A room whose tombstone is over is none.
fn live_or_buried(room: Room, now_ms: u64) -> Option<Room> {
    let over = room
        .tombstone
        .as_ref()
        .is_some_and(|tombstone| tombstone.is_over(now_ms));
    (!over).then_some(room)
}

fn capsule_key(room: &KeyedHandle, kind: Kind) -> [u8; 33] {
    let mut key = [0; 33];
    key[..32].copy_from_slice(room.as_bytes());
    key[32] = match kind {
        Kind::Room => 1,
        Kind::Admin => 2,
    };
    key
}

fn join64(room: &KeyedHandle, rest: &[u8; 32]) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(room.as_bytes());
    key[32..].copy_from_slice(rest);
    key
}

fn attempt_key(room: &KeyedHandle, counts: bool, attempt: &[u8; 16]) -> [u8; 49] {
    let mut key = [0; 49];
    key[..32].copy_from_slice(room.as_bytes());
    key[32] = u8::from(counts);
    key[33..].copy_from_slice(attempt);
    key
}

fn unavailable(fault: &Fault) -> StoreError {
    match fault {
        Fault::Corrupted(_) => StoreError::Damaged("redb reports corruption"),
        other => StoreError::Unavailable(describe(other)),
    }
}

/// What went wrong, in words that hold no path and no data.
fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Io(error) => error.to_string(),
        Fault::Corrupted(_) => "the file is damaged, or no redb file".to_owned(),
        Fault::UpgradeRequired(version) => {
            format!("the file has redb's format {version}, which this program does not read")
        }
        Fault::RepairAborted => "the file needs repair, and that failed".to_owned(),
        Fault::PreviousIo => "an earlier write failed".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
