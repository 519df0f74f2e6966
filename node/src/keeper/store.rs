//! What a keeper holds: sealed frames and control messages by name, bounded by count, bytes and age, and no link may crowd out the others.
//!
//! It rests in one file that only grows, and is written anew when half of it is waste:
//!
//! ```text
//! file   = "snug kept items" ‖ 01 ‖ store id(8) ‖ records
//! record = length of bytes u32 ‖ number u64 ‖ at u64 ‖ source(8) ‖ bytes ‖ SHA-256(all before)[..8]
//! ```
//!
//! A record is written before anybody is told that it is kept, so it outlives the process; a power cut may cost the last second. What
//! follows the first record that is not whole doesn't count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use snug_crypto::bounds::{MAX_FETCH, MAX_GOSSIP_BYTES, MAX_HOLDINGS};
use snug_crypto::keeper::{KeptItem, item_name};

const MAGIC: &[u8] = b"snug kept items\x01";
const HEAD: usize = MAGIC.len() + 8;
/// What a record adds to its bytes: length, number, time, source, check.
const OVERHEAD: usize = 4 + 8 + 8 + 8 + 8;
/// A file is not written anew for less waste than this.
const WASTE: u64 = 4 << 20;
/// Nothing shorter is a sealed object.
const MIN_ITEM: usize = 41;
/// Bytes of items in one answer.
const REPLY_BYTES: usize = 512 << 10;

/// What is kept at most.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Frames.
    pub frames: usize,
    /// Bytes of them.
    pub frame_bytes: usize,
    /// Milliseconds that a frame is kept.
    pub frame_age_ms: u64,
    /// Control messages.
    pub messages: usize,
    /// Bytes of them.
    pub message_bytes: usize,
    /// Milliseconds that one is kept: longer than anybody's membership lasts without a word.
    pub message_age_ms: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            frames: 10_000,
            frame_bytes: 32 << 20,
            frame_age_ms: 24 * 3_600_000,
            messages: 8_192,
            message_bytes: 16 << 20,
            message_age_ms: 30 * 24 * 3_600_000,
        }
    }
}

/// Whoever left something: a few bytes that tell links apart.
pub(super) type Source = [u8; 8];

/// Its two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Frame,
    Message,
}

struct Kept {
    bytes: Arc<[u8]>,
    item: KeptItem,
    class: Class,
    at_ms: u64,
    source: Source,
}

/// See the module.
pub(super) struct Store {
    path: PathBuf,
    file: File,
    /// Whether something was written since the last sync.
    dirty: bool,
    limits: StoreLimits,
    id: [u8; 8],
    next: u64,
    items: BTreeMap<u64, Kept>,
    names: HashMap<[u8; 16], u64>,
    /// What each source left, oldest first, and the bytes of it.
    left: BTreeMap<(Class, Source), (BTreeSet<u64>, usize)>,
    /// How many there are of each class, and their bytes.
    totals: [(usize, usize); 2],
    /// Bytes of the file, and how many of them count.
    written: u64,
    live: u64,
}

impl Store {
    /// Opens what an earlier run left, or begins anew under `fresh_id`.
    pub(super) fn open(path: &Path, fresh_id: [u8; 8], limits: StoreLimits, now_ms: u64) -> io::Result<Self> {
        let bytes = match File::open(path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                bytes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let id = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.first_chunk::<8>().copied());
        let mut store = Self {
            path: path.to_owned(),
            file: private(path, id.is_none())?,
            dirty: false,
            limits,
            id: id.unwrap_or(fresh_id),
            next: 1,
            items: BTreeMap::new(),
            names: HashMap::new(),
            left: BTreeMap::new(),
            totals: [(0, 0); 2],
            written: 0,
            live: 0,
        };
        if id.is_some() {
            let mut rest = &bytes[HEAD..];
            while let Some((record, after)) = read_record(rest) {
                store.take_up(record);
                rest = after;
            }
            store.expire(now_ms);
            store.bound();
        }
        // Begins behind the last whole record, and without what is too old.
        store.rewrite()?;
        Ok(store)
    }

    fn take_up(&mut self, (number, at_ms, source, bytes): (u64, u64, Source, &[u8])) {
        self.next = self.next.max(number.saturating_add(1));
        if let Some((class, item)) = classify(bytes)
            && !self.names.contains_key(&item.name)
        {
            self.insert(
                number,
                Kept {
                    bytes: bytes.into(),
                    item,
                    class,
                    at_ms,
                    source,
                },
            );
        }
    }

    /// Keeps something; `false` if it is nothing that is kept, or here already.
    pub(super) fn put(&mut self, source: Source, bytes: &[u8], now_ms: u64) -> io::Result<bool> {
        let Some((class, item)) = classify(bytes) else {
            return Ok(false);
        };
        if self.names.contains_key(&item.name) {
            return Ok(false);
        }
        let number = self.next;
        let record = record(number, now_ms, source, bytes);
        self.file.write_all(&record)?;
        self.dirty = true;
        self.written += record.len() as u64;
        self.next += 1;
        self.insert(
            number,
            Kept {
                bytes: bytes.into(),
                item,
                class,
                at_ms: now_ms,
                source,
            },
        );
        self.bound();
        if self.written > 2 * self.live + WASTE {
            self.rewrite()?;
        }
        Ok(true)
    }

    fn insert(&mut self, number: u64, kept: Kept) {
        let (numbers, bytes) = self.left.entry((kept.class, kept.source)).or_default();
        numbers.insert(number);
        *bytes += kept.bytes.len();
        let (count, total) = &mut self.totals[kept.class as usize];
        *count += 1;
        *total += kept.bytes.len();
        self.live += (kept.bytes.len() + OVERHEAD) as u64;
        self.names.insert(kept.item.name, number);
        self.items.insert(number, kept);
    }

    fn remove(&mut self, number: u64) {
        let Some(kept) = self.items.remove(&number) else { return };
        self.names.remove(&kept.item.name);
        self.live -= (kept.bytes.len() + OVERHEAD) as u64;
        let (count, total) = &mut self.totals[kept.class as usize];
        *count -= 1;
        *total -= kept.bytes.len();
        let of = (kept.class, kept.source);
        if let Some((numbers, bytes)) = self.left.get_mut(&of) {
            numbers.remove(&number);
            *bytes -= kept.bytes.len();
            if numbers.is_empty() {
                self.left.remove(&of);
            }
        }
    }

    /// Drops what is too old.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let age = |class: Class| match class {
            Class::Frame => self.limits.frame_age_ms,
            Class::Message => self.limits.message_age_ms,
        };
        let is_old = |kept: &Kept| now_ms.saturating_sub(kept.at_ms) > age(kept.class);
        let old: Vec<u64> = (self.items.iter())
            .filter(|(_, kept)| is_old(kept))
            .map(|(number, _)| *number)
            .collect();
        old.into_iter().for_each(|number| self.remove(number));
    }

    /// Where there is too much, drops the oldest of whoever left most.
    fn bound(&mut self) {
        for (class, count, bytes) in [
            (Class::Frame, self.limits.frames, self.limits.frame_bytes),
            (Class::Message, self.limits.messages, self.limits.message_bytes),
        ] {
            loop {
                let (held, held_bytes) = self.held(class);
                if held <= count && held_bytes <= bytes {
                    break;
                }
                let of_class = self.left.iter().filter(|((of, _), _)| *of == class);
                let most = of_class.max_by_key(|(_, (_, bytes))| *bytes);
                match most.and_then(|(_, (numbers, _))| numbers.first().copied()) {
                    Some(oldest) => self.remove(oldest),
                    None => break,
                }
            }
        }
    }

    /// How many there are of a class, and their bytes.
    fn held(&self, class: Class) -> (usize, usize) {
        self.totals[class as usize]
    }

    /// Frames, control messages, and the bytes of both.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let ((frames, frame_bytes), (messages, bytes)) = (self.held(Class::Frame), self.held(Class::Message));
        (frames, messages, frame_bytes + bytes)
    }

    /// What came after a number, in this store; from the beginning for whoever knows another one.
    pub(super) fn holdings(&self, store: [u8; 8], after: u64) -> (Vec<KeptItem>, u64, bool) {
        let after = if store == self.id { after } else { 0 };
        let mut newer = self.items.range(after.saturating_add(1)..);
        let some: Vec<(u64, KeptItem)> = (newer.by_ref().take(MAX_HOLDINGS))
            .map(|(number, kept)| (*number, kept.item))
            .collect();
        let next = some.last().map_or(after.min(self.next), |(number, _)| *number);
        (
            some.into_iter().map(|(_, item)| item).collect(),
            next,
            newer.next().is_some(),
        )
    }

    /// Those of these that are here, as many as fit into one answer.
    pub(super) fn fetch(&self, names: &[[u8; 16]]) -> Vec<Vec<u8>> {
        let mut size = 0;
        (names.iter().take(MAX_FETCH))
            .filter_map(|name| self.items.get(self.names.get(name)?))
            .take_while(|kept| {
                size += kept.bytes.len() + 4;
                size <= REPLY_BYTES
            })
            .map(|kept| kept.bytes.to_vec())
            .collect()
    }

    pub(super) fn id(&self) -> [u8; 8] {
        self.id
    }

    /// A new generation: nobody who is in it can open the control messages of the one before.
    pub(super) fn forget_messages(&mut self) -> io::Result<()> {
        let messages: Vec<u64> = (self.items.iter())
            .filter(|(_, kept)| kept.class == Class::Message)
            .map(|(number, _)| *number)
            .collect();
        messages.into_iter().for_each(|number| self.remove(number));
        self.rewrite()
    }

    /// What has to be synced, if anything has: on another thread, as disks are slow.
    pub(super) fn take_unsynced(&mut self) -> Option<io::Result<File>> {
        std::mem::take(&mut self.dirty).then(|| self.file.try_clone())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let mut file = private(&temporary, true)?;
        let mut bytes = [MAGIC, &self.id].concat();
        for (number, kept) in &self.items {
            bytes.extend(record(*number, kept.at_ms, kept.source, &kept.bytes));
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.file = file;
        self.written = bytes.len() as u64;
        Ok(())
    }
}

/// Opens a file that nobody else may read, to append to it.
fn private(path: &Path, empty: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    if empty {
        file.set_len(0)?;
    }
    Ok(file)
}

fn record(number: u64, at_ms: u64, source: Source, bytes: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(bytes.len() + OVERHEAD);
    record.extend((bytes.len() as u32).to_be_bytes());
    record.extend(number.to_be_bytes());
    record.extend(at_ms.to_be_bytes());
    record.extend(source);
    record.extend(bytes);
    let check = Sha256::digest(&record);
    record.extend(&check[..8]);
    record
}

/// A record's number, time, source and bytes.
type Record<'a> = (u64, u64, Source, &'a [u8]);

fn read_record(rest: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (number, after) = after.split_first_chunk::<8>()?;
    let (at, after) = after.split_first_chunk::<8>()?;
    let (source, after) = after.split_first_chunk::<8>()?;
    let (bytes, after) = after.split_at_checked(length)?;
    let (check, after) = after.split_first_chunk::<8>()?;
    let whole = &rest[..length + OVERHEAD - 8];
    (Sha256::digest(whole)[..8] == *check).then(|| {
        (
            (u64::from_be_bytes(*number), u64::from_be_bytes(*at), *source, bytes),
            after,
        )
    })
}

/// What it is by its first byte, and how it is called; `None` for what is nothing that is kept.
fn classify(bytes: &[u8]) -> Option<(Class, KeptItem)> {
    if !(MIN_ITEM..=MAX_GOSSIP_BYTES).contains(&bytes.len()) {
        return None;
    }
    let (class, tag) = match bytes.first()? {
        1 => (Class::Frame, *bytes.get(1..)?.first_chunk::<8>()?),
        2 => (Class::Message, [0; 8]),
        _ => return None,
    };
    let name = item_name(bytes);
    Some((class, KeptItem { tag, name }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StoreLimits = StoreLimits {
        frames: 10,
        frame_bytes: 10_000,
        frame_age_ms: 1_000,
        messages: 10,
        message_bytes: 10_000,
        message_age_ms: 5_000,
    };

    fn item(kind: u8, seed: u8, size: usize) -> Vec<u8> {
        let mut bytes = vec![seed; size];
        bytes[0] = kind;
        bytes
    }

    fn open(path: &Path, now_ms: u64) -> Store {
        Store::open(path, [9; 8], LIMITS, now_ms).unwrap()
    }

    #[test]
    fn what_was_kept_outlives_the_process_and_a_torn_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items");
        let mut store = open(&path, 0);
        for seed in 1..=3 {
            assert!(store.put([1; 8], &item(1, seed, 100), 10).unwrap());
        }
        assert!(!store.put([1; 8], &item(1, 1, 100), 10).unwrap(), "known");
        let (held, next, more) = store.holdings([0; 8], 0);
        assert_eq!((held.len(), next, more), (3, 3, false));
        drop(store);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let mut store = Store::open(&path, [7; 8], LIMITS, 10).unwrap();
        assert_eq!(store.id(), [9; 8], "the same store");
        assert_eq!(store.holdings([9; 8], 0).0, held[..2]);
        assert!(store.holdings([9; 8], 2).0.is_empty());
        assert_eq!(
            store.holdings([8; 8], 2).0,
            held[..2],
            "another store is told from its beginning"
        );
        assert_eq!(store.fetch(&[held[1].name, held[2].name]), [item(1, 2, 100)]);
        assert!(store.put([1; 8], &item(1, 3, 100), 10).unwrap());
        assert_eq!(open(&path, 10).counts(), (3, 0, 300));
    }

    #[test]
    fn nothing_but_sealed_objects_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(&folder.path().join("items"), 0);
        for bytes in [
            &[][..],
            &[1; 40],
            &item(3, 0, 100),
            &item(0, 0, 100),
            &item(1, 0, MAX_GOSSIP_BYTES + 1),
        ] {
            assert!(!store.put([1; 8], bytes, 0).unwrap());
        }
        assert_eq!(store.counts(), (0, 0, 0));
    }

    #[test]
    fn whoever_leaves_most_loses_its_oldest_and_others_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(&folder.path().join("items"), 0);
        store.put([1; 8], &item(1, 200, 500), 0).unwrap();
        store.put([1; 8], &item(2, 201, 500), 0).unwrap();
        for seed in 0..100 {
            store.put([2; 8], &item(1, seed, 1_000), 0).unwrap();
            store.put([3; 8], &item(2, seed, 600), 0).unwrap();
        }
        let (frames, messages, bytes) = store.counts();
        assert!(
            frames <= 10 && messages <= 10 && bytes <= 20_000,
            "{frames} {messages} {bytes}"
        );
        let names = [item_name(&item(1, 200, 500)), item_name(&item(2, 201, 500))];
        assert_eq!(store.fetch(&names).len(), 2, "what an honest link left is still there");
        assert_eq!(
            store.fetch(&[item_name(&item(1, 99, 1_000))]).len(),
            1,
            "and the newest of the other's"
        );
    }

    #[test]
    fn age_and_a_new_generation_end_it_and_the_file_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items");
        let mut store = open(&path, 0);
        store.put([1; 8], &item(1, 1, 100), 0).unwrap();
        store.put([1; 8], &item(2, 1, 100), 0).unwrap();
        store.expire(1_001);
        assert_eq!(store.counts(), (0, 1, 100));
        store.put([1; 8], &item(1, 2, 100), 1_001).unwrap();
        store.forget_messages().unwrap();
        assert_eq!(store.counts(), (1, 0, 100));
        drop(store);
        assert_eq!(open(&path, 1_001).counts(), (1, 0, 100));
        let mut store = Store::open(&path, [0; 8], StoreLimits { frames: 2, ..LIMITS }, 1_001).unwrap();
        for number in 0..2_000_u32 {
            let bytes = [&[1][..], &number.to_be_bytes(), &[0; 8_000]].concat();
            store.put([1; 8], &bytes, 1_001).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() < 2 * WASTE);
    }

    #[test]
    fn an_answer_stays_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let limits = StoreLimits {
            frames: 10_000,
            frame_bytes: 32 << 20,
            ..LIMITS
        };
        let mut store = Store::open(&folder.path().join("items"), [9; 8], limits, 0).unwrap();
        for number in 0..9_000_u32 {
            let bytes = [&[1][..], &number.to_be_bytes(), &[0; 100]].concat();
            store.put([1; 8], &bytes, 0).unwrap();
        }
        let (first, next, more) = store.holdings([9; 8], 0);
        assert_eq!((first.len(), more), (MAX_HOLDINGS, true));
        let (rest, _, more) = store.holdings([9; 8], next);
        assert_eq!((first.len() + rest.len(), more), (9_000, false));
        for number in 0..40_u32 {
            let bytes = [&[1][..], &number.to_be_bytes(), &[1; 32_000]].concat();
            store.put([1; 8], &bytes, 0).unwrap();
        }
        let names: Vec<[u8; 16]> = store.items.values().rev().take(40).map(|kept| kept.item.name).collect();
        let size: usize = store.fetch(&names).iter().map(Vec::len).sum();
        assert!(size <= REPLY_BYTES && size > REPLY_BYTES / 2);
    }
}
