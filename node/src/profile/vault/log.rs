//! One log of a vault: sealed chunks, appended and synced; what they say last of each key is what holds (docs/PROTOCOL.md, "At rest").
//!
//! Appending is all that a commit costs: one write, however many keys it changes, and one sync for all that was written since the last
//! one. What is written outlives the process, what is synced also the power. A log that a crash cut short ends with its last whole commit.
//! It begins with a commit that changes nothing and is synced before anything names the log: one without any was damaged.
//! Values that were replaced or forgotten take up room until the log is written anew, under a new key.

mod chunks;
mod search;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::rest::RestBytes;
use snug_crypto::rest::log::{Chunk, ChunkError, Entry, LENGTH, LogKey, Place};

use self::chunks::{CHUNK, read_chunk, split};
use self::search::{Found, WINDOW, look};

/// What is read ahead.
const BUFFER: usize = 64 * 1024;
/// Bytes that may be written and not synced: then a write waits for the disk itself.
const MAX_UNSYNCED: u64 = 1024 * 1024;

/// An open log.
pub(super) struct Log {
    file: Arc<File>,
    path: PathBuf,
    key: LogKey,
    /// Of the first chunk.
    first: Place,
    /// Where the next chunk goes.
    place: Place,
    end: u64,
    /// Up to here the disk has it.
    synced: u64,
    /// What was written behind that, with where each commit ends.
    unsynced: VecDeque<(u64, Vec<Chunk>)>,
    index: BTreeMap<Vec<u8>, At>,
    live: u64,
    dead: u64,
    /// Chunks whose length is damaged on disk, with where they are.
    mended: Vec<(u64, u32)>,
    /// A sync failed: what stands beyond `synced` is not known, so the file is not written to any more.
    is_doubtful: bool,
}

/// A sync that can be waited for while the log is written to.
pub(super) struct Syncing {
    file: Arc<File>,
    end: u64,
}

impl Syncing {
    /// Blocks until the disk has what was written when this was made.
    pub fn wait(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct At {
    offset: u64,
    chunk: u64,
    entry: usize,
    size: usize,
}

/// What stands behind the last whole commit of a log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing: the end of the file.
    Whole,
    /// What a crash leaves: an incomplete last write.
    Torn,
    /// Blocks that hold nothing, and good chunks behind them. A power cut leaves that, and so may a disk that fails.
    Hole,
    /// Something that can't be read, and that no crash leaves.
    Unreadable,
}

/// Why a log can't be read.
pub(super) enum LogError {
    Io(io::Error),
    /// It holds what it shouldn't, with good commits behind it: no crash does that.
    Damaged,
    /// A newer version wrote it.
    Newer,
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Log {
    /// A new, empty one.
    pub fn create(path: PathBuf, key: LogKey, place: Place) -> io::Result<Self> {
        let file = private().create(true).truncate(true).open(&path)?;
        let mut log = Self::new(file, path, key, place);
        let first = Chunk {
            last: true,
            at_ms: crate::engine::clock::unix_ms(),
            entries: Vec::new(),
        };
        log.append(&first.seal(&log.key, place, &mut UnwrapErr(SysRng)))?;
        log.file.sync_all()?;
        log.scan_to(log.file.metadata()?.len()).map_err(|error| match error {
            LogError::Io(error) => error,
            LogError::Damaged | LogError::Newer => io::Error::other("what was just written can't be read"),
        })?;
        Ok(log)
    }

    fn new(file: File, path: PathBuf, key: LogKey, place: Place) -> Self {
        Self {
            file: Arc::new(file),
            path,
            key,
            first: place,
            place,
            end: 0,
            synced: 0,
            unsynced: VecDeque::new(),
            index: BTreeMap::new(),
            live: 0,
            dead: 0,
            mended: Vec::new(),
            is_doubtful: false,
        }
    }

    /// Reads a log through, and changes nothing on disk: see [`Self::mend`] and [`Self::cut`]. In memory it ends with its last whole commit.
    pub fn open(path: PathBuf, key: LogKey, place: Place) -> Result<(Self, Tail), LogError> {
        let file = private().open(&path)?;
        let length = file.metadata()?.len();
        let mut log = Self::new(file, path, key, place);
        let tail = log.scan_to(length)?;
        Ok((log, tail))
    }

    fn scan_to(&mut self, length: u64) -> Result<Tail, LogError> {
        let mut reader = io::BufReader::with_capacity(BUFFER, self.file.try_clone()?);
        reader.seek(SeekFrom::Start(0))?;
        let (mut offset, mut place) = (0, self.place);
        let mut commit = Vec::new();
        while offset < length {
            let read = read_chunk(&mut reader, length - offset)?;
            let opened = read
                .as_deref()
                .map(|sealed| (sealed.len(), Chunk::open(&self.key, place, sealed)));
            let (size, opened) = match opened {
                Some((size, opened)) if !matches!(opened, Err(ChunkError::Forged)) => (size, opened),
                _ => {
                    let rest = self.rest(offset, length)?;
                    let size = match look(&self.key, place, offset, &rest) {
                        Found::Chunk(size) => size,
                        Found::Torn => return Ok(Tail::Torn),
                        Found::Hole if length - offset < WINDOW as u64 => return Ok(Tail::Hole),
                        Found::Hole | Found::Between => return Err(LogError::Damaged),
                        Found::Nothing => return Ok(Tail::Unreadable),
                    };
                    self.mended.push((offset, u32::try_from(size).unwrap_or(u32::MAX)));
                    reader.seek(SeekFrom::Start(offset + (LENGTH + size) as u64))?;
                    (size, Chunk::open(&self.key, place, &rest[LENGTH..LENGTH + size]))
                }
            };
            match opened {
                Ok(chunk) => {
                    let last = chunk.last;
                    commit.push((offset, place.index, chunk));
                    offset += (LENGTH + size) as u64;
                    place.index += 1;
                    if last {
                        commit
                            .drain(..)
                            .for_each(|(offset, index, chunk)| self.learn(offset, index, &chunk));
                        (self.end, self.synced, self.place) = (offset, offset, place);
                    }
                }
                Err(ChunkError::Malformed(snug_crypto::wire::DecodeError::Unsupported { .. })) => {
                    return Err(LogError::Newer);
                }
                Err(ChunkError::Malformed(_) | ChunkError::Forged) => return Err(LogError::Damaged),
            }
        }
        Ok(if self.end == length { Tail::Whole } else { Tail::Torn })
    }

    /// The bytes from `offset` on, as far as it is worth looking at them.
    fn rest(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(offset))?;
        let wanted = (length - offset).min(WINDOW as u64);
        let mut rest = Vec::new();
        file.take(wanted).read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Puts right what says how long a chunk is, where that was damaged; nothing is lost.
    pub fn mend(&mut self) -> io::Result<()> {
        if self.mended.is_empty() {
            return Ok(());
        }
        tracing::warn!(path = %self.path.display(), places = self.mended.len(), "the file was damaged, and is mended; nothing was lost");
        let mut file = &*self.file;
        for (offset, length) in std::mem::take(&mut self.mended) {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&length.to_be_bytes())?;
        }
        file.sync_data()
    }

    fn learn(&mut self, offset: u64, chunk: u64, content: &Chunk) {
        for (entry, change) in content.entries.iter().enumerate() {
            if change.value.is_none() {
                self.forget(&change.key);
                continue;
            }
            let size = change.size();
            let at = At {
                offset,
                chunk,
                entry,
                size,
            };
            self.live += size as u64;
            if let Some(old) = self.index.insert(change.key.clone(), at) {
                self.bury(old);
            }
        }
    }

    fn bury(&mut self, old: At) {
        self.live -= old.size as u64;
        self.dead += old.size as u64;
    }

    fn forget(&mut self, prefix: &[u8]) {
        let gone: Vec<Vec<u8>> = keys_from(&self.index, prefix).map(|(key, _)| key.clone()).collect();
        for key in gone {
            if let Some(old) = self.index.remove(&key) {
                self.bury(old);
            }
        }
    }

    /// Writes changes as one commit: all of them count, or none, and they outlive the process. [`Self::sync`] makes them outlive the power.
    /// On an error the log is as it was.
    pub fn write(&mut self, changes: Vec<Entry>) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.is_doubtful {
            return Err(io::Error::other("an earlier write may not have reached the disk"));
        }
        if self.end - self.synced > MAX_UNSYNCED {
            self.sync()?;
        }
        let mut bytes = Vec::new();
        let mut placed = Vec::new();
        let mut place = self.place;
        for chunk in split(changes) {
            let offset = self.end + bytes.len() as u64;
            bytes.extend_from_slice(&chunk.seal(&self.key, place, &mut UnwrapErr(SysRng)));
            placed.push((offset, place.index, chunk));
            place.index += 1;
        }
        self.append(&bytes)?;
        (self.end, self.place) = (self.end + bytes.len() as u64, place);
        let mut chunks = Vec::with_capacity(placed.len());
        for (offset, index, chunk) in placed {
            self.learn(offset, index, &chunk);
            chunks.push(chunk);
        }
        self.unsynced.push_back((self.end, chunks));
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(bytes).inspect_err(|_| {
            // Room for others; what stays of it is overwritten, or found torn.
            let _ = self.file.set_len(self.end);
        })
    }

    /// Writes changes and waits until the disk has them. On an error none of them counts.
    pub fn commit(&mut self, changes: Vec<Entry>) -> Result<(), LogError> {
        let wrote = !changes.is_empty();
        self.write(changes)?;
        self.sync().or_else(|error| {
            if wrote {
                self.unsynced.pop_back();
            }
            self.fall_back()?;
            Err(error.into())
        })
    }

    /// Waits until the disk has all that was written.
    pub fn sync(&mut self) -> io::Result<()> {
        let syncing = self.syncing();
        let result = syncing.wait();
        self.settle(&syncing, result)
    }

    /// What has to be waited for; its outcome goes to [`Self::settle`].
    pub fn syncing(&self) -> Syncing {
        Syncing {
            file: Arc::clone(&self.file),
            end: self.end,
        }
    }

    /// Takes note of what came of a sync of this log.
    pub fn settle(&mut self, syncing: &Syncing, result: io::Result<()>) -> io::Result<()> {
        match result {
            Ok(()) if !self.is_doubtful && Arc::ptr_eq(&self.file, &syncing.file) => {
                self.synced = self.synced.max(syncing.end);
                while self.unsynced.front().is_some_and(|(end, _)| *end <= self.synced) {
                    self.unsynced.pop_front();
                }
                Ok(())
            }
            // Of two that waited, only one may hear that it failed.
            Ok(()) if Arc::ptr_eq(&self.file, &syncing.file) => {
                Err(io::Error::other("an earlier write may not have reached the disk"))
            }
            // Written anew meanwhile, and that was synced.
            Ok(()) => Ok(()),
            Err(error) => {
                // The system may have dropped what it couldn't write, and say nothing the next time.
                self.is_doubtful |= Arc::ptr_eq(&self.file, &syncing.file);
                Err(error)
            }
        }
    }

    /// After a sync that failed: reads again what the disk had before, and leaves the rest to be written elsewhere.
    fn fall_back(&mut self) -> Result<(), LogError> {
        (self.index, self.live, self.dead) = (BTreeMap::new(), 0, 0);
        (self.end, self.place) = (0, self.first);
        let synced = self.synced;
        match self.scan_to(synced)? {
            Tail::Whole => Ok(self.mend()?),
            Tail::Torn | Tail::Hole | Tail::Unreadable => Err(LogError::Damaged),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<RestBytes>, LogError> {
        let Some(at) = self.index.get(key) else {
            return Ok(None);
        };
        let mut chunk = self.read(at.offset, at.chunk)?;
        Ok(take(&mut chunk, at.entry))
    }

    /// All keys that begin with `prefix`, with their values, in the order in which they were written.
    pub fn scan(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], RestBytes) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let mut wanted: Vec<(&Vec<u8>, At)> = keys_from(&self.index, prefix).map(|(key, at)| (key, *at)).collect();
        wanted.sort_unstable_by_key(|(_, at)| (at.offset, at.entry));
        let mut open: Option<(u64, Chunk)> = None;
        for (key, at) in wanted {
            if open.as_ref().is_none_or(|(offset, _)| *offset != at.offset) {
                open = Some((at.offset, self.read(at.offset, at.chunk)?));
            }
            let value = open.as_mut().and_then(|(_, chunk)| take(chunk, at.entry));
            each(key, value.ok_or(LogError::Damaged)?)?;
        }
        Ok(())
    }

    /// Writes all that holds into another log, in a few commits.
    pub fn copy_into(&mut self, other: &mut Self) -> Result<(), LogError> {
        if self.is_doubtful {
            self.fall_back()?;
        }
        let (mut entries, mut size) = (Vec::new(), 0);
        self.scan(&[], |key, value| {
            let entry = Entry {
                key: key.to_vec(),
                value: Some(value),
            };
            size += entry.size();
            entries.push(entry);
            if size >= CHUNK {
                size = 0;
                other.write(std::mem::take(&mut entries))?;
            }
            Ok(())
        })?;
        other.write(entries)?;
        if self.is_doubtful {
            let since = self.unsynced.iter().flat_map(|(_, chunks)| chunks);
            since
                .map(|chunk| chunk.entries.clone())
                .try_for_each(|entries| other.write(entries))?;
        }
        Ok(other.sync()?)
    }

    fn read(&self, offset: u64, index: u64) -> Result<Chunk, LogError> {
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(offset))?;
        let sealed = read_chunk(&mut file, self.end - offset)?.ok_or(LogError::Damaged)?;
        let place = Place { index, ..self.place };
        Chunk::open(&self.key, place, &sealed).map_err(|_| LogError::Damaged)
    }

    /// Whether there is a key that begins so.
    pub fn holds(&self, prefix: &[u8]) -> bool {
        keys_from(&self.index, prefix).next().is_some()
    }

    /// Cuts off what stands behind the last commit.
    pub fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.end)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.end
    }

    /// Bytes of what holds.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Bytes of what was replaced or forgotten since the log was written anew, and can still be read by whoever has its key.
    pub fn dead(&self) -> u64 {
        self.dead
    }

    /// Whether all that was written is on disk.
    pub fn is_synced(&self) -> bool {
        self.synced == self.end && !self.is_doubtful
    }

    /// Whether a sync failed: then it has to be written anew before anything is added.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }
}

fn take(chunk: &mut Chunk, entry: usize) -> Option<RestBytes> {
    chunk.entries.get_mut(entry)?.value.take()
}

fn keys_from<'a>(index: &'a BTreeMap<Vec<u8>, At>, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a At)> {
    index
        .range(prefix.to_vec()..)
        .take_while(move |(key, _)| key.starts_with(prefix))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
