//! The vault: everything of a profile that rests on disk, sealed (docs/PROTOCOL.md, "At rest").
//!
//! | file | what it is |
//! |---|---|
//! | `vault` | the head: the vault's key under the passphrase, and under it the keys of the logs; replaced whole |
//! | `profile.N` | the log of identity, rooms and pins |
//! | `state.N` | the log of what rooms are in the middle of: leaf secrets, epochs, frames |
//!
//! The two logs are apart so that damage to the second, which grows and changes with each message, costs a rejoin and not the identity.
//! A log is written anew, under a new key, when much of it is out of date, and once an hour while it changes: with the old key in the
//! head goes the last way to read what was forgotten. Later kinds of logs (a room's kept history) get a purpose of their own.

mod log;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::rest::RestBytes;
use snug_crypto::rest::log::{Entry, LogKey, Place};
use snug_crypto::rest::vault::{Head, Log as LogEntry, MAX_HEAD, Passphrase, Slot, Stretching, UnlockError, VaultKey};
use snug_crypto::wire::DecodeError;

use super::ProfileError;
use super::folder::Folder;
use log::{Log, LogError, Tail};

const HEAD: &str = "vault";
/// A log smaller than this isn't written anew for its size.
const SMALL: u64 = 4 * 1024 * 1024;
/// A log this many times as large as what holds in it is written anew.
const WASTE: u64 = 3;
/// What was forgotten can be read for so long, while the profile is in use, by whoever has the device and the passphrase.
const ERASE: Duration = Duration::from_secs(3_600);
/// After writing anew failed (a full disk), it is tried again this much later.
const PAUSE: Duration = Duration::from_secs(600);

/// What a log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Identity, rooms, pins.
    Profile = 1,
    /// What rooms are in the middle of.
    State = 2,
}

/// An open vault. Cheap to clone; commits block on the disk.
#[derive(Clone)]
pub struct Vault(Arc<Mutex<Inner>>);

struct Inner {
    folder: Arc<Folder>,
    slot: Slot,
    key: VaultKey,
    profile: Stored,
    state: Stored,
    /// What couldn't be read when it was opened.
    unreadable: Vec<Unreadable>,
}

/// What couldn't be read of a vault when it was opened, though no crash explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// All that rooms were in the middle of: they are joined anew.
    State {
        /// The file as it was, if there was one.
        kept: Option<PathBuf>,
    },
    /// What stood at the end of a log, behind changes that could be read: what was changed last may be missing.
    End {
        /// A copy of the file as it was.
        kept: PathBuf,
    },
}

struct Stored {
    purpose: Purpose,
    number: u64,
    key: LogKey,
    log: Log,
    /// Since when it can be written anew again.
    not_before: Instant,
}

impl Vault {
    /// Whether a folder has a vault.
    pub(super) fn exists(folder: &Folder) -> bool {
        folder.file(HEAD).exists()
    }

    /// Whether its passphrase has to be known.
    pub(super) fn needs_passphrase(folder: &Folder) -> Result<bool, ProfileError> {
        Ok(read_head(folder)?.slot().needs_passphrase())
    }

    /// Makes a vault where there is none; `first` stands in its profile's log from the beginning.
    pub(super) fn create(
        folder: Arc<Folder>,
        passphrase: &Passphrase,
        first: Vec<Entry>,
    ) -> Result<Self, ProfileError> {
        let rng = &mut UnwrapErr(SysRng);
        let key = VaultKey::generate(rng);
        let slot = wrap(&key, passphrase, &folder)?;
        folder.making()?;
        let mut profile = Stored::create(&folder, Purpose::Profile, 1)?;
        let state = Stored::create(&folder, Purpose::State, 1)?;
        profile.commit(first)?;
        let inner = Inner {
            folder,
            slot,
            key,
            profile,
            state,
            unreadable: Vec::new(),
        };
        inner.write_head()?;
        inner.folder.made();
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Refuses a folder that has lost its vault's head: a new vault would write over the logs, which the head may yet come back for.
    pub(super) fn refuse_lost_head(folder: &Folder) -> Result<(), ProfileError> {
        if !Self::exists(folder) && folder.has_logs()? && !folder.is_in_making() {
            return Err(ProfileError::Damaged {
                path: folder.file(HEAD),
                what: "it is missing, while what it opens is there",
            });
        }
        Ok(())
    }

    /// Opens a folder's vault: with a passphrase in about 0.1 s, and a time that grows with what is in it.
    pub(super) fn open(folder: Arc<Folder>, passphrase: &Passphrase) -> Result<Self, ProfileError> {
        let path = folder.file(HEAD);
        let head = read_head(&folder)?;
        folder.made();
        let refused = |error| match error {
            UnlockError::WrongPassphrase => ProfileError::WrongPassphrase { path: path.clone() },
            UnlockError::Malformed(DecodeError::Unsupported { .. }) => ProfileError::NewerVault { path: path.clone() },
            UnlockError::Damaged | UnlockError::Absurd | UnlockError::Malformed(_) => ProfileError::Damaged {
                path: path.clone(),
                what: "its head can't be read",
            },
        };
        let key = head.slot().unwrap(passphrase).map_err(refused)?;
        let logs = head.logs(&key).map_err(refused)?;
        let entry = |purpose: Purpose| {
            let found = logs.iter().find(|log| log.purpose == purpose as u8).cloned();
            found.ok_or_else(|| ProfileError::Damaged {
                path: path.clone(),
                what: "a log is missing in its head",
            })
        };
        let mut unreadable = Vec::new();
        let profile = Stored::open(
            &folder,
            Purpose::Profile,
            entry(Purpose::Profile)?,
            true,
            &mut unreadable,
        )?;
        let state = entry(Purpose::State)?;
        // Whoever is a member somewhere is in the middle of something there.
        let has_rooms = profile.log.holds(super::MEMBERSHIP);
        let (state, state_lost) = match Stored::open(&folder, Purpose::State, state.clone(), has_rooms, &mut unreadable)
        {
            Ok(state) => (state, false),
            Err(ProfileError::Damaged { path, what }) => {
                tracing::warn!(path = %path.display(), what, "the stored state of the rooms can't be read; it is set aside");
                let kept = set_aside(&path)?;
                unreadable.push(Unreadable::State { kept });
                (Stored::create(&folder, Purpose::State, state.number + 1)?, true)
            }
            Err(error) => return Err(error),
        };
        let mut inner = Inner {
            folder,
            slot: head.slot().clone(),
            key,
            profile,
            state,
            unreadable,
        };
        if state_lost {
            inner.write_head()?;
        }
        inner.remove_strays();
        // What the last run forgot, this one can't read any more.
        inner.rewrite_if_due(Purpose::Profile, Duration::ZERO);
        inner.rewrite_if_due(Purpose::State, Duration::ZERO);
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic within leaves the logs as they were: memory is changed last.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rooms' state couldn't be read when the vault was opened, and was set aside: they are joined anew.
    pub fn state_was_lost(&self) -> bool {
        let is_state = |what: &Unreadable| matches!(what, Unreadable::State { .. });
        self.lock().unreadable.iter().any(is_state)
    }

    /// What couldn't be read when the vault was opened, though no crash explains it.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        self.lock().unreadable.clone()
    }

    /// Commits changes: when it returns, they survive a power cut, all of them. Blocks until the disk has them.
    ///
    /// # Errors
    /// [`ProfileError`]; then none of them counts, and what was there before still does.
    pub fn commit(&self, purpose: Purpose, changes: Vec<Entry>) -> Result<(), ProfileError> {
        self.lock().commit(purpose, changes)
    }

    /// Writes changes: when it returns, they survive the end of this process, however it ends, all of them. [`Self::sync`] makes them
    /// survive a power cut.
    ///
    /// # Errors
    /// [`ProfileError`]; then none of them counts.
    pub fn write(&self, purpose: Purpose, changes: Vec<Entry>) -> Result<(), ProfileError> {
        self.lock().write(purpose, changes)
    }

    /// Blocks until the disk has what was written before. Meanwhile more can be written.
    ///
    /// # Errors
    /// [`ProfileError`]; what was written stays in memory and is written anew with the next call.
    pub fn sync(&self, purpose: Purpose) -> Result<(), ProfileError> {
        let mut inner = self.lock();
        if inner.stored(purpose).log.is_doubtful() {
            return inner.rewrite(purpose);
        }
        if inner.stored(purpose).log.is_synced() {
            return Ok(());
        }
        let syncing = inner.stored(purpose).log.syncing();
        drop(inner);
        let result = syncing.wait();
        let mut inner = self.lock();
        let stored = inner.stored_mut(purpose);
        let settled = stored.log.settle(&syncing, result);
        settled.map_err(|error| ProfileError::io("write", stored.log.path(), error))
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn get(&self, purpose: Purpose, key: &[u8]) -> Result<Option<RestBytes>, ProfileError> {
        let inner = self.lock();
        let stored = inner.stored(purpose);
        stored.log.get(key).map_err(|error| stored.error(error))
    }

    /// All keys that begin with `prefix`, in the order in which they were written last.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn scan(&self, purpose: Purpose, prefix: &[u8]) -> Result<Vec<(Vec<u8>, RestBytes)>, ProfileError> {
        let inner = self.lock();
        let stored = inner.stored(purpose);
        let mut found = Vec::new();
        let scanned = stored.log.scan(prefix, |key, value| {
            found.push((key.to_vec(), value));
            Ok(())
        });
        scanned.map_err(|error| stored.error(error))?;
        Ok(found)
    }

    /// Puts the vault under another passphrase: its head is replaced, nothing else.
    ///
    /// # Errors
    /// [`ProfileError`]; then the old one still holds.
    pub fn change_passphrase(&self, passphrase: &Passphrase) -> Result<(), ProfileError> {
        let mut inner = self.lock();
        let slot = wrap(&inner.key, passphrase, &inner.folder)?;
        let old = std::mem::replace(&mut inner.slot, slot);
        inner.write_head().inspect_err(|_| inner.slot = old)
    }

    /// The file that holds [`Purpose`].
    pub(super) fn path(&self, purpose: Purpose) -> PathBuf {
        self.lock().stored(purpose).log.path().to_owned()
    }

    /// Bytes on disk, and bytes of it that hold, for [`Purpose`].
    #[cfg(test)]
    fn sizes(&self, purpose: Purpose) -> (u64, u64) {
        let inner = self.lock();
        (inner.stored(purpose).log.size(), inner.stored(purpose).log.live())
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(redacted)")
    }
}

impl Inner {
    fn stored(&self, purpose: Purpose) -> &Stored {
        match purpose {
            Purpose::Profile => &self.profile,
            Purpose::State => &self.state,
        }
    }

    fn stored_mut(&mut self, purpose: Purpose) -> &mut Stored {
        match purpose {
            Purpose::Profile => &mut self.profile,
            Purpose::State => &mut self.state,
        }
    }

    fn commit(&mut self, purpose: Purpose, changes: Vec<Entry>) -> Result<(), ProfileError> {
        if self.stored(purpose).log.is_doubtful() {
            self.rewrite(purpose)?;
        }
        self.stored_mut(purpose).commit(changes)?;
        self.rewrite_if_due(purpose, ERASE);
        Ok(())
    }

    fn write(&mut self, purpose: Purpose, changes: Vec<Entry>) -> Result<(), ProfileError> {
        if self.stored(purpose).log.is_doubtful() {
            self.rewrite(purpose)?;
        }
        let stored = self.stored_mut(purpose);
        let written = stored.log.write(changes);
        written.map_err(|error| ProfileError::io("write", stored.log.path(), error))?;
        self.rewrite_if_due(purpose, ERASE);
        Ok(())
    }

    /// Writes a log anew if there is much to gain, or if what was forgotten has been readable for long enough.
    fn rewrite_if_due(&mut self, purpose: Purpose, erase: Duration) {
        let stored = self.stored(purpose);
        let now = Instant::now();
        let is_wasteful = stored.log.size() > SMALL && stored.log.size() > WASTE * stored.log.live();
        let is_old = now >= stored.not_before + erase;
        if stored.log.dead() == 0 || now < stored.not_before || !(is_wasteful || is_old) {
            return;
        }
        if let Err(error) = self.rewrite(purpose) {
            tracing::warn!(%error, "a log of the vault can't be written anew; the old one stays");
            self.stored_mut(purpose).not_before = now + PAUSE;
        }
    }

    /// All that holds goes into a new log under a new key; then the head names that one; then the old one goes.
    fn rewrite(&mut self, purpose: Purpose) -> Result<(), ProfileError> {
        let folder = Arc::clone(&self.folder);
        let stored = self.stored_mut(purpose);
        let mut new = Stored::create(&folder, purpose, stored.number + 1)?;
        let copied = stored.log.copy_into(&mut new.log);
        if let Err(error) = copied {
            let _ = std::fs::remove_file(new.log.path());
            return Err(new.error(error));
        }
        let old = std::mem::replace(stored, new);
        if let Err(error) = self.write_head() {
            let new = std::mem::replace(self.stored_mut(purpose), old);
            let _ = std::fs::remove_file(new.log.path());
            return Err(error);
        }
        if let Err(error) = std::fs::remove_file(old.log.path()) {
            tracing::warn!(%error, "an old log of the vault stays; its key is gone");
        }
        Ok(())
    }

    fn write_head(&self) -> Result<(), ProfileError> {
        let entries = [&self.profile, &self.state].map(|stored| LogEntry {
            purpose: stored.purpose as u8,
            number: stored.number,
            key: stored.key.clone(),
        });
        let head = Head::new(self.slot.clone(), &self.key, &entries, &mut UnwrapErr(SysRng));
        self.folder.replace_and_wipe(HEAD, &head.encode())
    }

    /// Logs that the head doesn't name: left by a crash while one was written anew.
    fn remove_strays(&self) {
        let kept = [&self.profile, &self.state].map(|stored| stored.log.path().to_owned());
        let Ok(entries) = std::fs::read_dir(self.folder.path()) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_log = [Purpose::Profile, Purpose::State].iter().any(|purpose| {
                let number = name
                    .strip_prefix(purpose.name())
                    .and_then(|rest| rest.strip_prefix('.'));
                number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
            });
            if is_log && !kept.contains(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::State => "state",
        }
    }

    fn file(self, folder: &Folder, number: u64) -> PathBuf {
        folder.file(&format!("{}.{number}", self.name()))
    }
}

impl Stored {
    fn create(folder: &Folder, purpose: Purpose, number: u64) -> Result<Self, ProfileError> {
        let key = LogKey::generate(&mut UnwrapErr(SysRng));
        let path = purpose.file(folder, number);
        let log = Log::create(path.clone(), key.clone(), place(purpose, number))
            .and_then(|log| folder.sync().map(|()| log))
            .map_err(|error| ProfileError::io("write", &path, error))?;
        Ok(Self::new(purpose, number, key, log))
    }

    /// Opens a log. What a crash left behind its last commit is cut off; what nothing explains is refused, or kept beside before that.
    /// `has_content` if it can't be empty.
    fn open(
        folder: &Folder,
        purpose: Purpose,
        entry: LogEntry,
        has_content: bool,
        unreadable: &mut Vec<Unreadable>,
    ) -> Result<Self, ProfileError> {
        let path = purpose.file(folder, entry.number);
        let opened = Log::open(path.clone(), entry.key.clone(), place(purpose, entry.number));
        let damaged = |what| ProfileError::Damaged {
            path: path.clone(),
            what,
        };
        let (mut log, tail) = match opened {
            Ok(opened) => opened,
            Err(LogError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged("it is missing"));
            }
            Err(error) => return Err(told(&path, error)),
        };
        let is_empty = match purpose {
            Purpose::Profile => log.live() == 0,
            // A new one holds a commit that changes nothing.
            Purpose::State => log.size() == 0,
        };
        // What is cut away can't be mended any more.
        if is_empty && has_content {
            return Err(damaged("its beginning can't be read"));
        }
        match (tail, purpose) {
            // Each of its changes is synced before the next.
            (Tail::Hole, Purpose::Profile) => return Err(damaged("a part of it can't be read")),
            // An older state than the one that others have seen is worse than none.
            (Tail::Unreadable, Purpose::State) => return Err(damaged("its end can't be read")),
            _ => {}
        }
        let failed = |error| ProfileError::io("write", &path, error);
        log.mend().map_err(failed)?;
        match tail {
            Tail::Whole => {}
            Tail::Torn => {
                tracing::info!(path = %path.display(), "the last write was cut short; what was committed before it holds");
                log.cut().map_err(failed)?;
            }
            Tail::Hole | Tail::Unreadable => {
                tracing::warn!(path = %path.display(), "the end of the file can't be read; what was committed before it holds");
                let kept = aside(&path);
                std::fs::copy(&path, &kept)
                    .and_then(|_| std::fs::OpenOptions::new().write(true).open(&kept)?.sync_all())
                    .and_then(|()| folder.sync())
                    .map_err(|error| ProfileError::io("write", &kept, error))?;
                unreadable.push(Unreadable::End { kept });
                log.cut().map_err(failed)?;
            }
        }
        Ok(Self::new(purpose, entry.number, entry.key, log))
    }

    fn new(purpose: Purpose, number: u64, key: LogKey, log: Log) -> Self {
        Self {
            purpose,
            number,
            key,
            log,
            not_before: Instant::now(),
        }
    }

    fn commit(&mut self, changes: Vec<Entry>) -> Result<(), ProfileError> {
        let done = self.log.commit(changes);
        done.map_err(|error| match error {
            LogError::Io(error) => ProfileError::io("write", self.log.path(), error),
            other => told(self.log.path(), other),
        })
    }

    fn error(&self, error: LogError) -> ProfileError {
        told(self.log.path(), error)
    }
}

fn told(path: &Path, error: LogError) -> ProfileError {
    let path = path.to_owned();
    match error {
        LogError::Io(error) => ProfileError::io("read", &path, error),
        LogError::Damaged => ProfileError::Damaged {
            path,
            what: "a part of it can't be read",
        },
        LogError::Newer => ProfileError::NewerVault { path },
    }
}

fn place(purpose: Purpose, number: u64) -> Place {
    Place {
        purpose: purpose as u8,
        number,
        index: 0,
    }
}

fn read_head(folder: &Folder) -> Result<Head, ProfileError> {
    let path = folder.file(HEAD);
    let damaged = |what| ProfileError::Damaged {
        path: path.clone(),
        what,
    };
    let bytes = folder
        .read(HEAD, MAX_HEAD as u64)?
        .ok_or_else(|| damaged("it is missing"))?;
    Head::decode(&bytes).map_err(|error| match error {
        DecodeError::Unsupported { .. } => ProfileError::NewerVault { path: path.clone() },
        _ => damaged("it is no vault"),
    })
}

fn wrap(key: &VaultKey, passphrase: &Passphrase, folder: &Folder) -> Result<Slot, ProfileError> {
    Slot::wrap(key, passphrase, Stretching::DEFAULT, &mut UnwrapErr(SysRng)).map_err(|_| ProfileError::Io {
        action: "stretch the passphrase for",
        path: folder.file(HEAD),
        source: std::io::ErrorKind::OutOfMemory.into(),
    })
}

/// Keeps what can't be read, under a name that nothing else takes; `None` if there is nothing.
fn set_aside(path: &Path) -> Result<Option<PathBuf>, ProfileError> {
    let kept = aside(path);
    match std::fs::rename(path, &kept) {
        Ok(()) => Ok(Some(kept)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ProfileError::io("set aside", path, error)),
    }
}

/// A free name beside a file: the same with `.damaged`, and a number if that is taken.
fn aside(path: &Path) -> PathBuf {
    let name = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let first = name(".damaged");
    if !first.exists() {
        return first;
    }
    let mut others = (2_u32..).map(|number| name(&format!(".damaged.{number}")));
    others.find(|other| !other.exists()).unwrap_or(first)
}
