//! Chunks of a log on their way to the file and back.

use std::io::{self, Read};

use snug_crypto::rest::log::{Chunk, Entry, LENGTH, MAX_CHUNK};

/// Text that one chunk takes before the next one begins.
pub(super) const CHUNK: usize = 1024 * 1024;

/// The next chunk behind its length; `None` if the bytes left can't hold it.
pub(super) fn read_chunk(reader: &mut impl Read, left: u64) -> io::Result<Option<Vec<u8>>> {
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
pub(super) fn split(changes: Vec<Entry>) -> Vec<Chunk> {
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
