//! One log of a vault: sealed chunks, appended and synced; what they say last of each key is what holds (docs/PROTOCOL.md, "At rest").
//!
//! Appending is all that a commit costs: one write and one sync, however many keys it changes. A log that a crash cut short ends with
//! its last whole commit. Values that were replaced or forgotten take up room until the log is written anew, under a new key.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::rest::RestBytes;
use snug_crypto::rest::log::{Chunk, ChunkError, Entry, LENGTH, LogKey, MAX_CHUNK, Place};

/// Text that one chunk takes before the next one begins.
const CHUNK: usize = 1024 * 1024;
/// What is read ahead.
const BUFFER: usize = 64 * 1024;

/// An open log.
pub(super) struct Log {
    file: File,
    path: PathBuf,
    key: LogKey,
    /// Where the next chunk goes.
    place: Place,
    end: u64,
    index: BTreeMap<Vec<u8>, At>,
    live: u64,
    dead: u64,
    /// A write or a sync failed: what stands beyond `end` is not known, so the file is not written to any more.
    is_doubtful: bool,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct At {
    offset: u64,
    chunk: u64,
    entry: usize,
    size: usize,
}

/// Whole commits were found, and behind them something that is none.
pub(super) enum Tail {
    /// The end of the file.
    Whole,
    /// What a crash leaves: nothing readable follows.
    Torn,
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
        file.sync_all()?;
        Ok(Self {
            file,
            path,
            key,
            place,
            end: 0,
            index: BTreeMap::new(),
            live: 0,
            dead: 0,
            is_doubtful: false,
        })
    }

    /// Reads a log through; a torn end is cut off in memory, and overwritten by the next commit.
    pub fn open(path: PathBuf, key: LogKey, place: Place) -> Result<(Self, Tail), LogError> {
        let file = private().open(&path)?;
        let mut log = Self {
            file,
            path,
            key,
            place,
            end: 0,
            index: BTreeMap::new(),
            live: 0,
            dead: 0,
            is_doubtful: false,
        };
        let tail = log.scan_all()?;
        Ok((log, tail))
    }

    fn scan_all(&mut self) -> Result<Tail, LogError> {
        let length = self.file.metadata()?.len();
        let mut reader = io::BufReader::with_capacity(BUFFER, self.file.try_clone()?);
        reader.seek(SeekFrom::Start(0))?;
        let (mut offset, mut place) = (0, self.place);
        let mut commit = Vec::new();
        while offset < length {
            let Some(sealed) = read_chunk(&mut reader, length - offset)? else {
                return Ok(Tail::Torn);
            };
            let size = (LENGTH + sealed.len()) as u64;
            match Chunk::open(&self.key, place, &sealed) {
                Ok(chunk) => {
                    let last = chunk.last;
                    commit.push((offset, place.index, chunk));
                    offset += size;
                    place.index += 1;
                    if last {
                        commit
                            .drain(..)
                            .for_each(|(offset, index, chunk)| self.learn(offset, index, &chunk));
                        (self.end, self.place) = (offset, place);
                    }
                }
                Err(ChunkError::Malformed(snug_crypto::wire::DecodeError::Unsupported { .. })) => {
                    return Err(LogError::Newer);
                }
                Err(ChunkError::Malformed(_)) => return Err(LogError::Damaged),
                Err(ChunkError::Forged) => {
                    return if self.goes_on(&mut reader, offset + size, length, place)? {
                        Err(LogError::Damaged)
                    } else {
                        Ok(Tail::Torn)
                    };
                }
            }
        }
        Ok(if self.end == length { Tail::Whole } else { Tail::Torn })
    }

    /// Whether a good chunk follows behind a bad one: then it isn't the end that a crash tore.
    fn goes_on(&self, reader: &mut impl Read, mut offset: u64, length: u64, mut place: Place) -> io::Result<bool> {
        while offset < length {
            place.index += 1;
            let Some(sealed) = read_chunk(reader, length - offset)? else {
                return Ok(false);
            };
            if Chunk::open(&self.key, place, &sealed).is_ok() {
                return Ok(true);
            }
            offset += (LENGTH + sealed.len()) as u64;
        }
        Ok(false)
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

    /// Writes changes as one commit: all of them count, or none. On an error the log is as it was.
    pub fn commit(&mut self, changes: Vec<Entry>) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.is_doubtful {
            return Err(io::Error::other("an earlier write may not have reached the disk"));
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
        for (offset, index, chunk) in placed {
            self.learn(offset, index, &chunk);
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        if let Err(error) = self.file.write_all(bytes) {
            // Room for others; what stays of it is overwritten, or found torn.
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        // After a failed sync the system may have dropped what it couldn't write, and say nothing the next time.
        self.file.sync_data().inspect_err(|_| self.is_doubtful = true)
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
    pub fn copy_into(&self, other: &mut Self) -> Result<(), LogError> {
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
                other.commit(std::mem::take(&mut entries))?;
            }
            Ok(())
        })?;
        Ok(other.commit(entries)?)
    }

    fn read(&self, offset: u64, index: u64) -> Result<Chunk, LogError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        let sealed = read_chunk(&mut file, self.end - offset)?.ok_or(LogError::Damaged)?;
        let place = Place { index, ..self.place };
        Chunk::open(&self.key, place, &sealed).map_err(|_| LogError::Damaged)
    }

    /// Cuts off what a crash left behind the last commit.
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

    /// Whether a sync failed: then it has to be written anew before anything is added.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }
}

/// The next chunk behind its length; `None` if the bytes left can't hold it.
fn read_chunk(reader: &mut impl Read, left: u64) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH];
    if left < LENGTH as u64 {
        return Ok(None);
    }
    reader.read_exact(&mut length)?;
    let length = u64::from(u32::from_be_bytes(length));
    if length == 0 || length > left - LENGTH as u64 || length > (2 * MAX_CHUNK) as u64 {
        return Ok(None);
    }
    let mut sealed = vec![0; usize::try_from(length).unwrap_or(0)];
    reader.read_exact(&mut sealed)?;
    Ok(Some(sealed))
}

/// Cuts a commit into chunks of which the last one says so.
fn split(changes: Vec<Entry>) -> Vec<Chunk> {
    let at_ms = crate::engine::clock::unix_ms();
    let empty = || Chunk {
        last: false,
        at_ms,
        entries: Vec::new(),
    };
    let mut chunks = vec![empty()];
    let mut size = 0;
    for change in changes {
        size += change.size();
        if let Some(chunk) = chunks.last_mut() {
            chunk.entries.push(change);
        }
        if size >= CHUNK {
            chunks.push(empty());
            size = 0;
        }
    }
    if chunks.len() > 1 && size == 0 {
        chunks.pop();
    }
    if let Some(chunk) = chunks.last_mut() {
        chunk.last = true;
    }
    chunks
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
