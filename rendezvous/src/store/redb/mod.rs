//! The embedded store: one redb file, one writer thread.
//!
//! Rooms are written durably. Sessions, presence and starts of logins are committed without waiting for the disk, which
//! takes them along within [`writer::FLUSH_AFTER`]: a crash may cost a second of them, and members then log in again.

mod change;
mod codec;
mod host;
mod listed;
mod starts;
mod sweep;
mod writer;

pub(super) use self::host::{Restore, check};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId, TokenHash};
use snug_rendezvous_api::Generation;

use self::codec::{decode_room, decode_session, encode_room, encode_session};
use self::sweep::find_expired;
use self::writer::{Backend, Database, FileOf};
use super::{
    Change, Changed, Counts, FIRST_GENERATION, Finish, Listed, NewRoom, OpenError, Opened, Portion, Purpose,
    Registered, Room, STORE_VERSION, Session, Settlement, Store, StoreError, Tombstone,
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
/// Keyed handle ‖ portion → (its time, starts).
const STARTS: TableDefinition<'_, &[u8; 48], (u64, u32)> = TableDefinition::new("starts");
/// Keyed handle → its former Room Keys.
const FORMER: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("superseded");
/// Keyed handle ‖ record of a former Room Key → (expiry, what ended its generation).
const KEY_GENS: TableDefinition<'_, &[u8; 64], (u64, &[u8])> = TableDefinition::new("key gens");

/// Room ID → (keyed handle, what a search looks through, signed listing), of rooms in the public directory alone.
const LISTED: TableDefinition<'_, &str, (&[u8; 32], &str, &[u8])> = TableDefinition::new("listed");

const VERSION: &str = "version";
const KEY_CHECK: &str = "key check";
/// What is written, and removed again, to see if there is space.
const PROBE: &str = "probe";
/// As much as a room's capsules may have.
const PROBE_BYTES: usize = 128 * 1024;
/// Batches that one sweep takes at most.
const SWEEP_ROUNDS: usize = 100;

/// Any error of redb's.
type Fault = redb::Error;
/// What a read comes to.
type Outcome<T> = Result<Result<T, StoreError>, Fault>;

pub(crate) struct RedbStore {
    database: Database,
}

impl RedbStore {
    /// Opens the file, or makes it (0600). Blocks.
    pub fn open(path: &Path, key_checks: &[[u8; 32]], purpose: Purpose) -> Result<Self, OpenError> {
        refuse_untouched(path, purpose)?;
        Self::open_with(Arc::new(FileOf(path.to_owned())), path.to_owned(), key_checks, purpose)
    }

    fn open_with(
        backend: Arc<dyn Backend>,
        path: PathBuf,
        key_checks: &[[u8; 32]],
        purpose: Purpose,
    ) -> Result<Self, OpenError> {
        let file_error = |path: &Path, reason: String| OpenError::File {
            path: path.to_owned(),
            reason,
        };
        let database = Database::open(backend).map_err(|error| match error {
            redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path: path.clone() },
            other => file_error(&path, describe(&other)),
        })?;
        let prepared = database.write_now(|transaction| prepare(transaction, key_checks, purpose));
        prepared.map_err(|error| file_error(&path, describe(&error)))??;
        Ok(Self { database })
    }

    /// Tries, after a write has failed, whether the disk takes a room again: what merely fits into the gaps of a full disk's file says
    /// nothing.
    async fn probe(&self) -> Result<(), StoreError> {
        let write = self.database.write_durably(|transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert(PROBE, [0; PROBE_BYTES].as_slice())?;
            Ok(Ok(()))
        });
        write.await?;
        self.database.is_well();
        let remove = self.database.write(|transaction| {
            transaction.open_table(META)?.remove(PROBE)?;
            Ok(Ok(()))
        });
        remove.await
    }

    /// Runs a read where it can't hold up the runtime; once more if a write that failed broke it off.
    fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&ReadTransaction) -> Result<Result<T, StoreError>, Fault> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let (outcome, opened, read) = self.read_in(0, read).await?;
            let outcome = match outcome {
                Err(Fault::PreviousIo | Fault::DatabaseClosed) => self.read_in(opened, read).await?.0,
                outcome => outcome,
            };
            outcome.map_err(|fault| unavailable(&fault))?
        })
    }

    /// Runs a read that can't be run again.
    fn read_once<T: Send + 'static>(
        &self,
        read: impl Fn(&ReadTransaction) -> Result<Result<T, StoreError>, Fault> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let (outcome, ..) = self.read_in(0, read).await?;
            outcome.map_err(|fault| unavailable(&fault))?
        })
    }

    /// Runs a read in a database that was opened more often than `than`; gives back how often, and the read.
    async fn read_in<T: Send + 'static, F>(&self, than: u64, read: F) -> Result<(Outcome<T>, u64, F), StoreError>
    where
        F: Fn(&ReadTransaction) -> Outcome<T> + Send + 'static,
    {
        let (opened, database) = self.database.opened_after(than).await?;
        let ran = tokio::task::spawn_blocking(move || {
            let outcome = database
                .begin_read()
                .map_err(Fault::from)
                .and_then(|begun| read(&begun));
            (outcome, opened, read)
        });
        ran.await.map_err(|_| StoreError::Damaged("a read failed inside"))
    }
}

/// Looks at the version without opening the file for writing. A file that needs repair is left to the real opening.
fn refuse_untouched(path: &Path, purpose: Purpose) -> Result<(), OpenError> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    let version = || -> Option<u32> {
        let database = redb::ReadOnlyDatabase::open(path).ok()?;
        let table = database.begin_read().ok()?.open_table(META).ok()?;
        let version = table.get(VERSION).ok()??;
        Some(u32::from_be_bytes(version.value().try_into().ok()?))
    };
    match version() {
        Some(found) if found > STORE_VERSION => Err(OpenError::Newer { found }),
        Some(found) if found < STORE_VERSION && purpose == Purpose::Look => Err(OpenError::Older { found }),
        _ => Ok(()),
    }
}

/// Makes the tables, or checks that the store is ours.
fn prepare(
    transaction: &WriteTransaction,
    key_checks: &[[u8; 32]],
    purpose: Purpose,
) -> Result<Result<(), OpenError>, Fault> {
    let current = key_checks.first().map_or(&[][..], <[u8; 32]>::as_slice);
    let mut meta = transaction.open_table(META)?;
    let mut upgraded = false;
    let version = meta
        .get(VERSION)?
        .and_then(|value| Some(u32::from_be_bytes(value.value().try_into().ok()?)));
    match version {
        None => {
            meta.insert(VERSION, STORE_VERSION.to_be_bytes().as_slice())?;
            meta.insert(KEY_CHECK, current)?;
        }
        Some(found) if found > STORE_VERSION => return Ok(Err(OpenError::Newer { found })),
        Some(found) if found < STORE_VERSION && purpose == Purpose::Look => return Ok(Err(OpenError::Older { found })),
        Some(_) => {
            let stored = meta.get(KEY_CHECK)?.map(|stored| stored.value().to_vec());
            if !key_checks.iter().any(|check| stored.as_deref() == Some(check)) {
                return Ok(Err(OpenError::OtherKey));
            }
            if stored.as_deref() != Some(current) && purpose == Purpose::Serve {
                meta.insert(KEY_CHECK, current)?;
            }
            upgraded = version != Some(STORE_VERSION);
        }
    }
    if upgraded {
        // Rooms of the former version are read as they are. What lives for an hour had another form: members log in again.
        for table in ["sessions", "presence", "attempts"] {
            transaction.delete_table(TableDefinition::<&[u8; 32], &[u8]>::new(table))?;
        }
        meta.insert(VERSION, STORE_VERSION.to_be_bytes().as_slice())?;
    }
    transaction.open_table(ROOMS)?;
    transaction.open_table(CAPSULES)?;
    transaction.open_table(SESSIONS)?;
    transaction.open_table(PRESENCE)?;
    transaction.open_table(STARTS)?;
    transaction.open_table(FORMER)?;
    transaction.open_table(KEY_GENS)?;
    transaction.open_table(host::USED)?;
    transaction.open_table(LISTED)?;
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
                generation: FIRST_GENERATION,
                least_serial: 0,
                policy: new.policy,
                tombstone: None,
            };
            rooms.insert(room.as_bytes(), encode_room(&stored).as_slice())?;
            transaction.open_table(FORMER)?.remove(room.as_bytes())?;
            // A former room's day of use is not this one's.
            transaction.open_table(host::USED)?.remove(room.as_bytes())?;
            let mut capsules = transaction.open_table(CAPSULES)?;
            capsules.insert(&capsule_key(&room, Kind::Room), new.capsule.room.as_slice())?;
            capsules.insert(&capsule_key(&room, Kind::Admin), new.capsule.admin.as_slice())?;
            if let Some(entry) = &new.listing {
                listed::enter(transaction, &room, entry)?;
            }
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

    fn take_starts(&self, room: KeyedHandle, portion: Portion, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>> {
        self.database
            .write(move |transaction| Ok(Ok(starts::take(transaction, &room, portion, limit)?)))
    }

    fn settle_starts(&self, settlement: Settlement, _now_ms: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.database
            .write(move |transaction| Ok(Ok(starts::settle(transaction, &settlement)?)))
    }

    fn former(
        &self,
        room: KeyedHandle,
        generation: Option<Generation>,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.read(move |transaction| change::former(transaction, &room, generation, now_ms))
    }

    fn change_room(
        &self,
        room: KeyedHandle,
        change: Change,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Changed, StoreError>> {
        self.database
            .write_durably(move |transaction| change::change_room(transaction, &room, change, now_ms))
    }

    fn put_capsule(
        &self,
        room: KeyedHandle,
        record: RecordId,
        capsule: Vec<u8>,
        least_serial: Option<u32>,
    ) -> BoxFuture<'_, Result<Changed, StoreError>> {
        self.database
            .write_durably(move |transaction| change::put_capsule(transaction, &room, record, &capsule, least_serial))
    }

    fn open_session(&self, finish: Finish, now_ms: u64) -> BoxFuture<'_, Result<Opened, StoreError>> {
        self.database
            .write(move |transaction| open_session(transaction, finish, now_ms))
    }

    fn known_sessions(&self, tokens: Vec<TokenHash>) -> BoxFuture<'_, Result<Vec<TokenHash>, StoreError>> {
        self.read(move |transaction| {
            let sessions = transaction.open_table(SESSIONS)?;
            let mut known = Vec::new();
            for token in &tokens {
                if sessions.get(token.as_bytes())?.is_some() {
                    known.push(*token);
                }
            }
            Ok(Ok(known))
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
                .open_table(KEY_GENS)?
                .retain_in::<&[u8; 64], _>(&join64(&room, &[0; 32])..=&join64(&room, &[0xFF; 32]), |_, _| false)?;
            remove_presence_of(transaction, &room)?;
            listed::remove(transaction, &room)?;
            Ok(Ok(Some(tombstone)))
        })
    }

    fn listed(
        &self,
        search: Option<String>,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Listed, StoreError>> {
        self.read(move |transaction| {
            Ok(Ok(listed::page(
                transaction,
                search.as_deref(),
                after.as_deref(),
                limit,
            )?))
        })
    }

    fn counts(&self) -> BoxFuture<'_, Result<Counts, StoreError>> {
        self.read(|transaction| {
            Ok(Ok(Counts {
                rooms: transaction.open_table(ROOMS)?.len()?,
                sessions: transaction.open_table(SESSIONS)?.len()?,
                presence: transaction.open_table(PRESENCE)?.len()?,
            }))
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
        Box::pin(async move {
            if self.database.is_failing() {
                self.probe().await?;
            }
            self.read(|transaction| Ok(transaction.open_table(META).map(|_| ()).map(Ok)?))
                .await
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.database.close())
    }
}

fn open_session(
    transaction: &WriteTransaction,
    finish: Finish,
    now_ms: u64,
) -> Result<Result<Opened, StoreError>, Fault> {
    let Finish {
        room,
        kind,
        record,
        token,
        expires_at_ms,
    } = finish;
    let rooms = transaction.open_table(ROOMS)?;
    let stored = match rooms.get(room.as_bytes())?.map(|bytes| decode_room(bytes.value())) {
        None => return Ok(Ok(Opened::Refused)),
        Some(Err(damaged)) => return Ok(Err(damaged)),
        Some(Ok(stored)) => stored,
    };
    let Some(stored) = live_or_buried(stored, now_ms) else {
        return Ok(Ok(Opened::Refused));
    };
    if stored.record(kind).id() != record {
        return change::superseded(transaction, &stored, &room, record, now_ms);
    }
    if let Some(tombstone) = stored.tombstone {
        return Ok(Ok(Opened::Gone(tombstone)));
    }
    let mut sessions = transaction.open_table(SESSIONS)?;
    if sessions.get(token.as_bytes())?.is_some() {
        return Ok(Ok(Opened::Refused));
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
        record,
        expires_at_ms,
    };
    sessions.insert(token.as_bytes(), encode_session(&session).as_slice())?;
    Ok(Ok(Opened::Session {
        capsule,
        policy: stored.policy,
    }))
}

fn remove_presence_of(transaction: &WriteTransaction, room: &KeyedHandle) -> Result<(), Fault> {
    transaction
        .open_table(PRESENCE)?
        .retain_in::<&[u8; 64], _>(&join64(room, &[0; 32])..=&join64(room, &[0xFF; 32]), |_, _| false)?;
    Ok(())
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
