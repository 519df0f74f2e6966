//! The host's side of the embedded store: lists, days of use, snapshots.

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use redb::{
    Key, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle, Value, WriteTransaction,
};
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::KeyedHandle;
use tokio::sync::mpsc;

use super::codec::{decode_room, decode_session};
use super::refuse_untouched;
use super::writer::{Backend, FileOf};
use super::{
    CAPSULES, FORMER, Fault, KEY_CHECK, KEY_GENS, LISTED, META, PRESENCE, ROOMS, RedbStore, SESSIONS, VERSION,
    capsule_key, describe, join64,
};
use crate::store::{HostStore, OpenError, Piece, Purpose, Room, RoomDetails, RoomSummary, STORE_VERSION, StoreError};

/// Keyed handle → day on which it was last entered. Written only while idle rooms are removed.
pub(super) const USED: TableDefinition<'_, &[u8; 32], u32> = TableDefinition::new("used");

/// Pieces that a restore holds before it writes them.
const RESTORE_BATCH: usize = 1000;

/// Tables that outlive a restore. A table that is in neither list fails a test.
fn each_durable(visitor: &mut impl Visitor) -> Result<(), Fault> {
    visitor.visit(META)?;
    visitor.visit(ROOMS)?;
    visitor.visit(CAPSULES)?;
    visitor.visit(FORMER)?;
    visitor.visit(KEY_GENS)?;
    visitor.visit(LISTED)
}

/// Tables that don't: after a restore everybody logs in again, and every room counts as entered that day.
#[cfg(test)]
pub(super) const VOLATILE: &[&str] = &["sessions", "presence", "starts", "used"];

trait Visitor {
    fn visit<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), Fault>;
}

impl HostStore for RedbStore {
    fn list_rooms(
        &self,
        after: Option<KeyedHandle>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<RoomSummary>, StoreError>> {
        self.read(move |transaction| {
            let (rooms, used) = (transaction.open_table(ROOMS)?, transaction.open_table(USED)?);
            let mut found = Vec::new();
            let from = after.map_or([0; 32], |after| *after.as_bytes());
            for entry in rooms.range::<&[u8; 32]>(&from..)? {
                let (key, bytes) = entry?;
                let room = KeyedHandle::from_bytes(*key.value());
                if after.is_some_and(|after| after == room) {
                    continue;
                }
                if found.len() == limit {
                    break;
                }
                let used_on = used.get(key.value())?.map(|day| day.value());
                match decode_room(bytes.value()) {
                    Ok(stored) => found.push(summary(room, &stored, used_on)),
                    Err(damaged) => return Ok(Err(damaged)),
                }
            }
            Ok(Ok(found))
        })
    }

    fn room_details(&self, room: KeyedHandle, now_ms: u64) -> BoxFuture<'_, Result<Option<RoomDetails>, StoreError>> {
        self.read(move |transaction| {
            let rooms = transaction.open_table(ROOMS)?;
            let Some(stored) = rooms.get(room.as_bytes())?.map(|bytes| decode_room(bytes.value())) else {
                return Ok(Ok(None));
            };
            let stored = match stored {
                Ok(stored) => stored,
                Err(damaged) => return Ok(Err(damaged)),
            };
            let used_on = transaction
                .open_table(USED)?
                .get(room.as_bytes())?
                .map(|day| day.value());
            let mut details = RoomDetails {
                summary: summary(room, &stored, used_on),
                capsule_bytes: 0,
                sessions: 0,
                present: 0,
            };
            let capsules = transaction.open_table(CAPSULES)?;
            for kind in [Kind::Room, Kind::Admin] {
                let capsule = capsules.get(&capsule_key(&room, kind))?;
                details.capsule_bytes += capsule.map_or(0, |capsule| capsule.value().len() as u64);
            }
            let presence = transaction.open_table(PRESENCE)?;
            for entry in presence.range::<&[u8; 64]>(&join64(&room, &[0; 32])..=&join64(&room, &[0xFF; 32]))? {
                details.present += u64::from(entry?.1.value().0 > now_ms);
            }
            for entry in transaction.open_table(SESSIONS)?.iter()? {
                let live = decode_session(entry?.1.value())
                    .is_ok_and(|session| session.room == room && session.expires_at_ms > now_ms);
                details.sessions += u64::from(live);
            }
            Ok(Ok(Some(details)))
        })
    }

    fn touch_room(&self, room: KeyedHandle, day: u32) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let known = self
                .read(move |transaction| {
                    let used = transaction.open_table(USED)?;
                    Ok(Ok(used.get(room.as_bytes())?.is_some_and(|known| known.value() >= day)))
                })
                .await?;
            if known {
                return Ok(());
            }
            self.database
                .write(move |transaction| {
                    transaction.open_table(USED)?.insert(room.as_bytes(), day)?;
                    Ok(Ok(()))
                })
                .await
        })
    }

    fn forget_days(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let is_empty = |transaction: &ReadTransaction| Ok(Ok(transaction.open_table(USED)?.is_empty()?));
            if self.read(is_empty).await? {
                return Ok(());
            }
            self.database
                .write(|transaction| {
                    transaction.delete_table(USED)?;
                    transaction.open_table(USED)?;
                    Ok(Ok(()))
                })
                .await
        })
    }

    fn idle_rooms(
        &self,
        before_day: u32,
        today: u32,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<KeyedHandle>, StoreError>> {
        Box::pin(async move {
            let (idle, unknown) = self
                .read(move |transaction| Ok(Ok(find_idle(transaction, before_day, limit)?)))
                .await?;
            if !unknown.is_empty() {
                self.database
                    .write(move |transaction| {
                        let mut used = transaction.open_table(USED)?;
                        for key in &unknown {
                            // A member may have come in between.
                            if used.get(key)?.is_none() {
                                used.insert(key, today)?;
                            }
                        }
                        Ok(Ok(()))
                    })
                    .await?;
            }
            Ok(idle)
        })
    }

    fn snapshot(&self, pieces: mpsc::Sender<Piece>) -> BoxFuture<'_, Result<(), StoreError>> {
        // A second run would send every piece again.
        self.read_once(move |transaction| {
            each_durable(&mut Send {
                transaction,
                pieces: &pieces,
            })?;
            Ok(Ok(()))
        })
    }

    fn clock_ms(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
}

fn summary(room: KeyedHandle, stored: &Room, used_on: Option<u32>) -> RoomSummary {
    RoomSummary {
        room,
        created_at_ms: stored.created_at_ms,
        generation: stored.generation.count,
        policy: stored.policy,
        used_on,
        tombstone: stored.tombstone.clone(),
    }
}

/// Rooms last used before the day, and rooms of which no day is known.
fn find_idle(
    transaction: &ReadTransaction,
    before_day: u32,
    limit: usize,
) -> Result<(Vec<KeyedHandle>, Vec<[u8; 32]>), Fault> {
    let (rooms, used) = (transaction.open_table(ROOMS)?, transaction.open_table(USED)?);
    let (mut idle, mut unknown) = (Vec::new(), Vec::new());
    for entry in rooms.iter()? {
        let (key, bytes) = entry?;
        if !decode_room(bytes.value()).is_ok_and(|room| room.tombstone.is_none()) {
            continue;
        }
        match used.get(key.value())?.map(|day| day.value()) {
            None if unknown.len() < limit => unknown.push(*key.value()),
            Some(day) if day < before_day => idle.push((day, *key.value())),
            _ => {}
        }
    }
    idle.sort_unstable();
    idle.truncate(limit);
    let idle = idle.into_iter().map(|(_, key)| KeyedHandle::from_bytes(key));
    Ok((idle.collect(), unknown))
}

/// Sends tables.
struct Send<'a> {
    transaction: &'a ReadTransaction,
    pieces: &'a mpsc::Sender<Piece>,
}

impl Visitor for Send<'_> {
    fn visit<K: Key + 'static, V: Value + 'static>(
        &mut self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<(), Fault> {
        let table = match self.transaction.open_table(definition) {
            Ok(table) => table,
            // One of a later version's tables, in a file that has not been opened by it yet.
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let gone = || Fault::Io(std::io::ErrorKind::BrokenPipe.into());
        let begin = Piece::Table(definition.name().to_owned());
        self.pieces.blocking_send(begin).map_err(|_| gone())?;
        for entry in table.iter()? {
            let (key, value) = entry?;
            let key = K::as_bytes(&key.value()).as_ref().to_vec();
            let value = V::as_bytes(&value.value()).as_ref().to_vec();
            self.pieces.blocking_send(Piece::Row(key, value)).map_err(|_| gone())?;
        }
        Ok(())
    }
}

/// A store on its way back.
pub(in crate::store) struct Restore {
    database: redb::Database,
    path: PathBuf,
    table: String,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Restore {
    pub fn begin(path: &Path) -> Result<Self, OpenError> {
        let failed = |reason: String| OpenError::File {
            path: path.to_owned(),
            reason,
        };
        if path.exists() {
            return Err(failed("it exists already".to_owned()));
        }
        let database = FileOf(path.to_owned())
            .open(&redb::Builder::new())
            .map_err(|fault| failed(describe(&fault)))?;
        Ok(Self {
            database,
            path: path.to_owned(),
            table: String::new(),
            rows: Vec::new(),
        })
    }

    pub fn take(&mut self, piece: Piece) -> Result<(), OpenError> {
        match piece {
            Piece::Table(name) => {
                self.write()?;
                self.table = name;
            }
            Piece::Row(key, value) => {
                self.rows.push((key, value));
                if self.rows.len() >= RESTORE_BATCH {
                    self.write()?;
                }
            }
        }
        Ok(())
    }

    fn failed(&self, reason: impl Into<String>) -> OpenError {
        OpenError::File {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    fn write(&mut self) -> Result<(), OpenError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let written = (|| -> Result<Outcome, Fault> {
            let transaction = self.database.begin_write()?;
            let mut insert = Insert {
                transaction: &transaction,
                name: &self.table,
                rows: &rows,
                outcome: Outcome::NoSuchTable,
            };
            each_durable(&mut insert)?;
            let outcome = insert.outcome;
            transaction.commit()?;
            Ok(outcome)
        })();
        match written {
            Ok(Outcome::Written) => Ok(()),
            Ok(Outcome::NoSuchTable) => {
                Err(self
                    .failed("the backup holds a table that this version does not know: use a newer snug-rendezvous"))
            }
            Ok(Outcome::Misfit) => Err(self.failed("the backup holds a row that does not fit its table")),
            Err(fault) => Err(self.failed(describe(&fault))),
        }
    }

    pub fn finish(mut self, key_checks: &[[u8; 32]]) -> Result<(), OpenError> {
        self.write()?;
        let meta = |name: &str| -> Result<Option<Vec<u8>>, Fault> {
            use redb::ReadableDatabase;
            let table = self.database.begin_read()?.open_table(META)?;
            Ok(table.get(name)?.map(|value| value.value().to_vec()))
        };
        let (version, check) = match (meta(VERSION), meta(KEY_CHECK)) {
            (Ok(Some(version)), Ok(Some(check))) => (version, check),
            _ => return Err(self.failed("the backup holds no store")),
        };
        let version = version.try_into().map_or(u32::MAX, u32::from_be_bytes);
        if version > STORE_VERSION {
            return Err(OpenError::Newer { found: version });
        }
        if !key_checks.iter().any(|known| check == known) {
            return Err(OpenError::OtherKey);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Written,
    NoSuchTable,
    Misfit,
}

/// Puts rows into the table of a name.
struct Insert<'a> {
    transaction: &'a WriteTransaction,
    name: &'a str,
    rows: &'a [(Vec<u8>, Vec<u8>)],
    outcome: Outcome,
}

impl Visitor for Insert<'_> {
    fn visit<K: Key + 'static, V: Value + 'static>(
        &mut self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<(), Fault> {
        if definition.name() != self.name {
            return Ok(());
        }
        let fits = |width: Option<usize>, bytes: &[u8]| width.is_none_or(|width| width == bytes.len());
        let all_fit = self
            .rows
            .iter()
            .all(|(key, value)| fits(K::fixed_width(), key) && fits(V::fixed_width(), value));
        if !all_fit {
            self.outcome = Outcome::Misfit;
            return Ok(());
        }
        let mut table = self.transaction.open_table(definition)?;
        for (key, value) in self.rows {
            table.insert(K::from_bytes(key), V::from_bytes(value))?;
        }
        self.outcome = Outcome::Written;
        Ok(())
    }
}

/// Checks, and repairs, a file that nobody has open.
pub(in crate::store) fn check(path: &Path) -> Result<bool, OpenError> {
    let failed = |fault: Fault| match fault {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
        other => OpenError::File {
            path: path.to_owned(),
            reason: describe(&other),
        },
    };
    refuse_untouched(path, Purpose::Look)?;
    let mut database = FileOf(path.to_owned()).open(&redb::Builder::new()).map_err(failed)?;
    database.check_integrity().map_err(|error| failed(error.into()))
}

#[cfg(test)]
pub(super) fn durable_names() -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        fn visit<K: Key + 'static, V: Value + 'static>(
            &mut self,
            definition: TableDefinition<'static, K, V>,
        ) -> Result<(), Fault> {
            self.0.push(definition.name().to_owned());
            Ok(())
        }
    }
    let mut names = Names(Vec::new());
    each_durable(&mut names).unwrap();
    names.0
}
