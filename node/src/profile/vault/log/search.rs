//! What to make of a place in a log where no chunk can be read: what a crash left there, or damage.
//!
//! A chunk's seal covers its place and all that it holds, but not the length in front of it, which may therefore lie: then the chunk is
//! found by its seal.

use snug_crypto::rest::log::{CHUNK_OVERHEAD, Chunk, ChunkError, LENGTH, LogKey, MAX_CHUNK, Place};

/// Bytes of the smallest chunk.
const SMALLEST: usize = CHUNK_OVERHEAD + Chunk::EMPTY;
/// Bytes that are looked at: the largest chunk, twice over, so that the one behind a damaged one is among them. It is also more than a
/// crash can tear, which is what wasn't synced and one commit.
pub(super) const WINDOW: usize = 4 * MAX_CHUNK;
/// So many chunks may be unreadable before one that is found again.
const UNREADABLE: usize = 128;
/// Bytes that are authenticated in vain before a search ends: a second or so. What begins like a chunk and is none is rare.
const EFFORT: usize = 512 * 1024 * 1024;
/// So many zeros in a row stand in no sealed chunk; where a block never reached the disk, they do.
const HOLE: usize = 16;
/// What a disk writes whole or not at all is a multiple of this.
const SECTOR: u64 = 512;
/// The first byte of what is sealed.
const KIND: u8 = 0x08;

/// What stands where no chunk could be read.
pub(super) enum Found {
    /// The chunk, whole, of so many bytes: its length is damaged, and nothing else.
    Chunk(usize),
    /// Damage: good chunks stand behind it.
    Between,
    /// The same, and a block in between holds nothing but zeros: if what stands here wasn't synced, a power cut may leave that.
    Hole,
    /// An incomplete last write, or zeros where it should be: what a crash leaves.
    Torn,
    /// Neither: something else stands at the end of the file.
    Nothing,
}

/// Looks at `rest`, the bytes of the file from `offset` on, or the first [`WINDOW`] of them.
pub(super) fn look(key: &LogKey, place: Place, offset: u64, rest: &[u8]) -> Found {
    if let Some(sealed) = rest.get(LENGTH..)
        && opens(key, place, sealed)
    {
        return Found::Chunk(sealed.len());
    }
    match next_good(key, place, rest) {
        Some((at, 1)) if opens(key, place, &rest[LENGTH..at]) => Found::Chunk(at - LENGTH),
        Some((at, _)) if has_hole(&rest[..at]) => Found::Hole,
        Some(_) => Found::Between,
        None if rest.len() < WINDOW && is_torn(offset, rest) => Found::Torn,
        None => Found::Nothing,
    }
}

/// Where the next good chunk begins, and how many places further on it belongs.
fn next_good(key: &LogKey, place: Place, rest: &[u8]) -> Option<(usize, usize)> {
    let mut effort = 0;
    for at in SMALLEST..rest.len() {
        let Some(sealed) = looks_like_chunk(rest, at) else {
            continue;
        };
        for steps in 1..=UNREADABLE.min(at / SMALLEST) {
            let index = place.index + steps as u64;
            if opens(key, Place { index, ..place }, sealed) {
                return Some((at, steps));
            }
            effort += sealed.len();
            if effort > EFFORT {
                return None;
            }
        }
    }
    None
}

/// What would be sealed, if a chunk began here: its length fits, and so does what follows.
fn looks_like_chunk(rest: &[u8], at: usize) -> Option<&[u8]> {
    let begins = |at: usize| rest.get(at + LENGTH).map(|kind| *kind == KIND);
    if begins(at) != Some(true) {
        return None;
    }
    let (length, behind) = rest.get(at..)?.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let sealed = behind.get(..length).filter(|_| length >= SMALLEST - LENGTH)?;
    // Nothing, the next one, or what a crash left.
    let next = at + LENGTH + length;
    let is_over = rest[next..].iter().take(LENGTH + 1).all(|byte| *byte == 0);
    (is_over || begins(next).unwrap_or(true)).then_some(sealed)
}

/// Whether it is ours, of this place; what it says is another matter.
fn opens(key: &LogKey, place: Place, sealed: &[u8]) -> bool {
    sealed.len() <= 2 * MAX_CHUNK && !matches!(Chunk::open(key, place, sealed), Err(ChunkError::Forged))
}

/// Whether a crash can leave these bytes, behind which nothing can be read: a chunk that goes on behind the end of the file, or zeros to
/// there from somewhere on.
fn is_torn(offset: u64, rest: &[u8]) -> bool {
    let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
    let zeros_from = offset + (rest.len() - zeros) as u64;
    if zeros == rest.len() || zeros >= HOLE || zeros_from.next_multiple_of(SECTOR) < offset + rest.len() as u64 {
        return true;
    }
    let Some((length, sealed)) = rest.split_first_chunk::<LENGTH>() else {
        return true;
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let is_length = (SMALLEST - LENGTH..=2 * MAX_CHUNK).contains(&length) && length > sealed.len();
    (is_length && sealed.first().is_none_or(|kind| *kind == KIND)) || has_hole(rest)
}

/// Whether a block of it never reached the disk.
fn has_hole(bytes: &[u8]) -> bool {
    let mut zeros = 0;
    bytes.iter().any(|byte| {
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        zeros == HOLE
    })
}
