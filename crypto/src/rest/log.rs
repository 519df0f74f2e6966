//! What a vault's log is made of: docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! chunk = length of what follows u32 ‖ 08 ‖ nonce(24) ‖ XChaCha20-Poly1305(log key, nonce, AD = 08 ‖ purpose(1) ‖ number u64 ‖ place u64, text)
//! text  = 01 ‖ last bool ‖ at u64 ‖ list of (lp(key) ‖ option lp(value))
//! ```
//!
//! A log is chunks one after the other; `place` is the chunk's, from 0. A commit is one chunk or several of which only the last one says
//! so: a log that was cut anywhere holds whole commits and a rest that doesn't count. An entry without a value forgets its key and every
//! key that begins with it.

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{RestBytes, begin, finish, open};
use crate::{
    aead::{self, Kind},
    secret::secret,
    wire::{DecodeError, Reader},
};

/// Largest text of a chunk, in bytes: what is larger is split by its writer.
pub const MAX_CHUNK: usize = 4 * 1024 * 1024;
/// Longest key of an entry, in bytes.
pub const MAX_KEY: usize = 128;
/// What a chunk adds to its text: its length, the seal.
pub const CHUNK_OVERHEAD: usize = LENGTH + aead::OVERHEAD;
/// The bytes in front of a chunk that say how long it is.
pub const LENGTH: usize = 4;

secret! {
    /// Seals the chunks of one log, 32 bytes. When it is gone, so is all that the log held.
    pub LogKey
}

impl LogKey {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self::from_secret(&bytes)
    }
}

/// Which chunk of which log: authenticated, so that none can be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// What the log is for: 1 is a profile's state.
    pub purpose: u8,
    /// Which log of this purpose.
    pub number: u64,
    /// Which chunk of it, from 0.
    pub index: u64,
}

/// A key that has a new value, or none any more.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is stored, at most [`MAX_KEY`] bytes.
    pub key: Vec<u8>,
    /// Its value, or `None`: it is forgotten, with every key that begins with it.
    pub value: Option<RestBytes>,
}

/// A chunk's text.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Whether a commit ends with it.
    pub last: bool,
    /// When it was written, in Unix milliseconds.
    pub at_ms: u64,
    /// What changes.
    pub entries: Vec<Entry>,
}

/// Why a chunk can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// Not sealed under this key for this place: cut, damaged, or moved.
    #[error("a part of the vault is damaged")]
    Forged,
    /// Sealed by us, and not understood.
    #[error("a part of the vault is malformed: {0}")]
    Malformed(#[from] DecodeError),
}

impl Entry {
    /// Bytes that it takes in a chunk.
    #[must_use]
    pub fn size(&self) -> usize {
        4 + self.key.len() + 1 + self.value.as_ref().map_or(0, |value| 4 + value.len())
    }
}

impl Chunk {
    /// Bytes of a text without entries.
    pub const EMPTY: usize = 1 + 1 + 8 + 4;

    /// Seals it: the whole chunk, its length in front.
    #[must_use]
    pub fn seal(&self, key: &LogKey, place: Place, rng: &mut impl CryptoRng) -> Vec<u8> {
        let size = Self::EMPTY + self.entries.iter().map(Entry::size).sum::<usize>();
        let mut writer = begin(size);
        writer.bool(self.last).u64(self.at_ms);
        writer.list(&self.entries, |w, entry| {
            w.lp(&entry.key);
            w.option(entry.value.as_ref(), |w, value| {
                w.lp(value);
            });
        });
        let text = finish(writer);
        let mut nonce = [0; aead::NONCE];
        rng.fill_bytes(&mut nonce);
        let mut bytes = Vec::with_capacity(CHUNK_OVERHEAD + text.len());
        let length = u32::try_from(aead::OVERHEAD + text.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.push(Kind::Chunk as u8);
        bytes.extend_from_slice(&nonce);
        let head = bytes.len();
        bytes.extend_from_slice(&text);
        let tag = aead::xseal(key.expose(), &nonce, &place.associated(), &mut bytes[head..]);
        bytes.extend_from_slice(&tag);
        bytes
    }

    /// Opens what stands behind a chunk's length.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub fn open(key: &LogKey, place: Place, bytes: &[u8]) -> Result<Self, ChunkError> {
        let text = open_text(key, place, bytes)?;
        Ok(Self::decode(&text)?)
    }

    fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored chunk", text)?;
        let last = reader.bool("end of a commit")?;
        let at_ms = reader.u64()?;
        let entries = reader.list("entries", MAX_CHUNK, |r: &mut Reader<'_>| {
            let key = r.lp("key", MAX_KEY)?.to_vec();
            let value = r.option("value", |r| {
                r.lp("value", MAX_CHUNK).map(|value| Zeroizing::new(value.to_vec()))
            })?;
            Ok(Entry { key, value })
        })?;
        reader.finish()?;
        Ok(Self { last, at_ms, entries })
    }
}

fn open_text(key: &LogKey, place: Place, bytes: &[u8]) -> Result<RestBytes, ChunkError> {
    let (kind, rest) = bytes.split_first().ok_or(ChunkError::Forged)?;
    let (nonce, sealed) = rest.split_first_chunk::<{ aead::NONCE }>().ok_or(ChunkError::Forged)?;
    if *kind != Kind::Chunk as u8 || sealed.len() < aead::TAG {
        return Err(ChunkError::Forged);
    }
    let mut text = Zeroizing::new(sealed.to_vec());
    aead::xopen(key.expose(), nonce, &place.associated(), &mut text).map_err(|aead::Forged| ChunkError::Forged)?;
    text.truncate(sealed.len() - aead::TAG);
    Ok(text)
}

impl Place {
    fn associated(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[0] = Kind::Chunk as u8;
        bytes[1] = self.purpose;
        bytes[2..10].copy_from_slice(&self.number.to_be_bytes());
        bytes[10..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    const PLACE: Place = Place {
        purpose: 1,
        number: 7,
        index: 3,
    };

    fn chunk() -> Chunk {
        Chunk {
            last: true,
            at_ms: 5,
            entries: vec![
                Entry {
                    key: b"a".to_vec(),
                    value: Some(Zeroizing::new(b"one".to_vec())),
                },
                Entry {
                    key: b"b".to_vec(),
                    value: None,
                },
            ],
        }
    }

    #[test]
    fn a_chunk_opens_in_its_place_only_and_whole() {
        let key = LogKey::from_bytes([1; 32]);
        let bytes = chunk().seal(&key, PLACE, &mut ChaCha20Rng::seed_from_u64(1));
        let (length, sealed) = bytes.split_first_chunk::<LENGTH>().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, sealed.len());
        let opened = Chunk::open(&key, PLACE, sealed).unwrap();
        assert_eq!((opened.last, opened.at_ms, opened.entries.len()), (true, 5, 2));
        assert_eq!(opened.entries[0].value.as_deref().map(Vec::as_slice), Some(&b"one"[..]));
        assert!(opened.entries[1].value.is_none());
        for other in [
            Place { purpose: 2, ..PLACE },
            Place { number: 8, ..PLACE },
            Place { index: 4, ..PLACE },
        ] {
            assert_eq!(Chunk::open(&key, other, sealed).unwrap_err(), ChunkError::Forged);
        }
        for at in 0..sealed.len() {
            assert_eq!(Chunk::open(&key, PLACE, &sealed[..at]).unwrap_err(), ChunkError::Forged);
            let mut bad = sealed.to_vec();
            bad[at] ^= 1;
            assert_eq!(
                Chunk::open(&key, PLACE, &bad).unwrap_err(),
                ChunkError::Forged,
                "byte {at}"
            );
        }
    }
}
