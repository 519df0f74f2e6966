//! The head of a vault: its key under a passphrase, and the keys of its logs. docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! head = "snug vault" ‖ slot ‖ sealed object 07 (X(vault key, "vault head"): 01 ‖ list of (purpose(1) ‖ number u64 ‖ log key(32)))
//! slot = 01 ‖ stretching ‖ sealed object 06 (X(stretched, "vault wrap", stretching): vault key(32))
//! stretching = 00 ‖ salt(16), or 01 ‖ KiB of memory u32 ‖ passes u32 ‖ lanes u32 ‖ salt(16)
//! ```
//!
//! With stretching 01 `stretched` is Argon2id (version 0x13) of the passphrase, 32 bytes; with 00, for the empty passphrase, 32 zero bytes:
//! whoever can read the file can open it. A new passphrase makes a new slot and nothing else.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use rand_core::CryptoRng;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

use super::{RestBytes, begin, finish, log::LogKey, open, secret as read_secret};
use crate::{
    aead::{self, Kind},
    bounds,
    kdf::{self, Secret32},
    label,
    secret::secret,
    wire::{DecodeError, Reader, Writer},
};

const MAGIC: &[u8] = b"snug vault";
/// Logs of one vault, at most.
const MAX_LOGS: usize = 4_096;
/// Largest head, in bytes.
pub const MAX_HEAD: usize = 512 * 1024;

secret! {
    /// What all of a vault hangs on, 32 random bytes: only ever stored under a passphrase.
    pub VaultKey
}

/// A passphrase in its normal form (NFC), at most 1,024 bytes; the empty one is none.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// A passphrase that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a passphrase has at most {} bytes", bounds::MAX_SECRET_BYTES)]
pub struct PassphraseError;

/// How a passphrase becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretching {
    /// Not at all: the passphrase is empty.
    None,
    /// Argon2id.
    Argon2id {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
}

/// A key wrapped under a passphrase.
#[derive(Clone, Debug)]
pub struct Slot {
    stretching: Stretching,
    salt: [u8; 16],
    wrapped: Vec<u8>,
}

/// A log that the vault has.
#[derive(Clone, Debug)]
pub struct Log {
    /// What it is for.
    pub purpose: u8,
    /// Which of that purpose.
    pub number: u64,
    /// Its key.
    pub key: LogKey,
}

/// A vault's head as it was read.
#[derive(Clone, Debug)]
pub struct Head {
    slot: Slot,
    body: Vec<u8>,
}

/// Why a vault doesn't open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnlockError {
    /// The passphrase doesn't open it (or the few bytes that it opens are damaged, which nobody can tell apart).
    #[error("the passphrase doesn't fit")]
    WrongPassphrase,
    /// The key fits, and what it opens is damaged.
    #[error("the vault's head is damaged")]
    Damaged,
    /// It asks for more memory or time than any version of this software would.
    #[error("the vault's head asks for absurd stretching")]
    Absurd,
    /// A newer version wrote it, or it is malformed.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
}

impl Passphrase {
    /// Takes it as typed.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn parse(text: &str) -> Result<Self, PassphraseError> {
        let mut normal = Zeroizing::new(String::with_capacity(2 * bounds::MAX_SECRET_BYTES));
        for c in text.nfc() {
            if normal.len() + c.len_utf8() > bounds::MAX_SECRET_BYTES {
                return Err(PassphraseError);
            }
            normal.push(c);
        }
        Ok(Self(normal))
    }

    /// The empty one: what it guards can be read by whoever can read the file.
    #[must_use]
    pub fn none() -> Self {
        Self(Zeroizing::new(String::new()))
    }

    /// Whether it is the empty one.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl core::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(_) = self;
        f.write_str("Passphrase(redacted)")
    }
}

impl Stretching {
    /// What new passphrases get: 64 MiB, 3 passes, 1 lane, as a login does; about 0.1 s.
    pub const DEFAULT: Self = Self::Argon2id {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };
    /// Beyond this a head that somebody tampered with would eat the machine.
    const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    const MAX_PASSES: u32 = 32;
    const MAX_LANES: u32 = 16;

    fn write(self, salt: &[u8; 16], writer: &mut Writer) {
        match self {
            Self::None => writer.u8(0),
            Self::Argon2id {
                memory_kib,
                passes,
                lanes,
            } => writer.u8(1).u32(memory_kib).u32(passes).u32(lanes),
        };
        writer.raw(salt);
    }

    fn read(reader: &mut Reader<'_>) -> Result<(Self, [u8; 16]), DecodeError> {
        let stretching = match reader.u8()? {
            0 => Self::None,
            1 => Self::Argon2id {
                memory_kib: reader.u32()?,
                passes: reader.u32()?,
                lanes: reader.u32()?,
            },
            _ => return Err(DecodeError::Unsupported { what: "stretching" }),
        };
        Ok((stretching, reader.array()?))
    }

    fn stretch(self, passphrase: &Passphrase, salt: &[u8; 16]) -> Result<Secret32, UnlockError> {
        let mut output = Zeroizing::new([0; 32]);
        let Self::Argon2id {
            memory_kib,
            passes,
            lanes,
        } = self
        else {
            return Ok(output);
        };
        if memory_kib > Self::MAX_MEMORY_KIB || passes > Self::MAX_PASSES || lanes > Self::MAX_LANES {
            return Err(UnlockError::Absurd);
        }
        let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| UnlockError::Absurd)?;
        let mut memory = vec![Block::default(); params.block_count()];
        let stretched = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            passphrase.0.as_bytes(),
            salt,
            &mut *output,
            &mut memory,
        );
        memory.zeroize();
        stretched.map_err(|_| UnlockError::Absurd)?;
        Ok(output)
    }
}

impl VaultKey {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self::from_secret(&bytes)
    }
}

impl Slot {
    /// Wraps a key. With a passphrase this takes about 0.1 s and 64 MiB. `stretching` counts for passphrases that aren't empty.
    ///
    /// # Errors
    /// [`UnlockError::Absurd`] for parameters that no reader would accept.
    pub fn wrap(
        key: &VaultKey,
        passphrase: &Passphrase,
        stretching: Stretching,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, UnlockError> {
        let stretching = if passphrase.is_none() {
            Stretching::None
        } else {
            stretching
        };
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let wrapping = wrapping_key(passphrase, stretching, &salt)?;
        Ok(Self {
            stretching,
            salt,
            wrapped: aead::seal(&wrapping, Kind::VaultKey, rng, key.expose()),
        })
    }

    /// Whether a passphrase is needed.
    #[must_use]
    pub fn needs_passphrase(&self) -> bool {
        self.stretching != Stretching::None
    }

    /// Unwraps the key. With a passphrase this takes about 0.1 s and 64 MiB.
    ///
    /// # Errors
    /// [`UnlockError`].
    pub fn unwrap(&self, passphrase: &Passphrase) -> Result<VaultKey, UnlockError> {
        if passphrase.is_none() && self.needs_passphrase() {
            return Err(UnlockError::WrongPassphrase);
        }
        let wrapping = wrapping_key(passphrase, self.stretching, &self.salt)?;
        let key = aead::open(&wrapping, Kind::VaultKey, &self.wrapped)
            .map_err(|aead::Forged| UnlockError::WrongPassphrase)?;
        let key: Secret32 = Zeroizing::new((**key).try_into().map_err(|_| UnlockError::Damaged)?);
        Ok(VaultKey::from_secret(&key))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u8(super::VERSION);
        self.stretching.write(&self.salt, writer);
        writer.raw(&self.wrapped);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u8()? != super::VERSION {
            return Err(DecodeError::Unsupported { what: "vault" });
        }
        let (stretching, salt) = Stretching::read(reader)?;
        let wrapped = reader.raw(32 + aead::OVERHEAD)?.to_vec();
        Ok(Self {
            stretching,
            salt,
            wrapped,
        })
    }
}

fn wrapping_key(passphrase: &Passphrase, stretching: Stretching, salt: &[u8; 16]) -> Result<Secret32, UnlockError> {
    let stretched = stretching.stretch(passphrase, salt)?;
    let mut writer = Writer::new();
    stretching.write(salt, &mut writer);
    Ok(kdf::expand(&*stretched, label::VAULT_WRAP, &[writer.as_slice()]))
}

impl Head {
    /// The head of a vault with these logs.
    #[must_use]
    pub fn new(slot: Slot, key: &VaultKey, logs: &[Log], rng: &mut impl CryptoRng) -> Self {
        let mut writer = begin(4 + logs.len() * 41);
        writer.list(logs, |w, log| {
            w.u8(log.purpose).u64(log.number).raw(log.key.expose());
        });
        let text: RestBytes = finish(writer);
        let body = aead::seal(&head_key(key), Kind::VaultHead, rng, &text);
        Self { slot, body }
    }

    /// The wrapped key.
    #[must_use]
    pub const fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The same vault under another passphrase's slot, which must hold the same key.
    #[must_use]
    pub fn with_slot(mut self, slot: Slot) -> Self {
        self.slot = slot;
        self
    }

    /// The vault's logs.
    ///
    /// # Errors
    /// [`UnlockError::Damaged`], or [`UnlockError::Malformed`] for a newer version's.
    pub fn logs(&self, key: &VaultKey) -> Result<Vec<Log>, UnlockError> {
        let text =
            aead::open(&head_key(key), Kind::VaultHead, &self.body).map_err(|aead::Forged| UnlockError::Damaged)?;
        let mut reader = open("vault", &text)?;
        let logs = reader.list("logs", MAX_LOGS, |r| {
            Ok(Log {
                purpose: r.u8()?,
                number: r.u64()?,
                key: LogKey::from_secret(&read_secret(r)?),
            })
        })?;
        reader.finish()?;
        Ok(logs)
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(MAGIC);
        self.slot.write(&mut writer);
        writer.raw(&self.body);
        writer.finish()
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`]; a newer version's is [`DecodeError::Unsupported`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_HEAD {
            return Err(DecodeError::TooLong {
                what: "vault's head",
                max: MAX_HEAD,
            });
        }
        let mut reader = Reader::new(bytes);
        if reader.raw(MAGIC.len())? != MAGIC {
            return Err(DecodeError::Invalid { what: "vault's mark" });
        }
        let slot = Slot::read(&mut reader)?;
        let body = reader.rest().to_vec();
        Ok(Self { slot, body })
    }
}

fn head_key(key: &VaultKey) -> Secret32 {
    kdf::expand(key.expose(), label::VAULT_HEAD, &[])
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    const CHEAP: Stretching = Stretching::Argon2id {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };

    fn head(passphrase: &str) -> (VaultKey, Head) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let key = VaultKey::generate(&mut rng);
        let log = Log {
            purpose: 1,
            number: 9,
            key: LogKey::generate(&mut rng),
        };
        let slot = Slot::wrap(&key, &Passphrase::parse(passphrase).unwrap(), CHEAP, &mut rng).unwrap();
        let head = Head::new(slot, &key, &[log], &mut rng);
        (key, Head::decode(&head.encode()).unwrap())
    }

    #[test]
    fn only_the_passphrase_opens_it() {
        let (key, head) = head("cafe\u{301}");
        assert!(head.slot().needs_passphrase());
        let opened = head.slot().unwrap(&Passphrase::parse("caf\u{e9}").unwrap()).unwrap();
        assert_eq!(opened.expose(), key.expose(), "the normal form counts");
        let logs = head.logs(&opened).unwrap();
        assert_eq!((logs.len(), logs[0].purpose, logs[0].number), (1, 1, 9));
        for wrong in ["", "cafe", "caf\u{e9} "] {
            let wrong = Passphrase::parse(wrong).unwrap();
            assert_eq!(head.slot().unwrap(&wrong).unwrap_err(), UnlockError::WrongPassphrase);
        }
    }

    #[test]
    fn without_a_passphrase_nothing_is_stretched() {
        let (key, head) = head("");
        assert!(!head.slot().needs_passphrase());
        assert_eq!(head.slot().unwrap(&Passphrase::none()).unwrap().expose(), key.expose());
    }

    #[test]
    fn another_passphrase_leaves_the_logs_alone() {
        let (key, head) = head("old");
        let new = Passphrase::parse("new").unwrap();
        let slot = Slot::wrap(&key, &new, CHEAP, &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
        let body = head.body.clone();
        let head = head.with_slot(slot);
        assert_eq!(head.body, body);
        assert!(head.slot().unwrap(&Passphrase::parse("old").unwrap()).is_err());
        assert_eq!(head.logs(&head.slot().unwrap(&new).unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_head_is_told_from_a_wrong_passphrase_where_that_can_be() {
        let (key, head) = head("pass");
        let bytes = head.encode();
        let passphrase = Passphrase::parse("pass").unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let outcome = Head::decode(&bad).map_err(UnlockError::from).and_then(|head| {
                let key = head.slot().unwrap(&passphrase)?;
                head.logs(&key)
            });
            assert!(outcome.is_err(), "byte {at}");
        }
        assert_eq!(
            Head {
                body: vec![0; 80],
                ..head
            }
            .logs(&key)
            .unwrap_err(),
            UnlockError::Damaged
        );
    }

    #[test]
    fn absurd_stretching_is_refused_before_any_memory_is_taken() {
        let absurd = Stretching::Argon2id {
            memory_kib: u32::MAX,
            passes: 1,
            lanes: 1,
        };
        let key = VaultKey::from_bytes([0; 32]);
        let passphrase = Passphrase::parse("x").unwrap();
        let slot = Slot::wrap(&key, &passphrase, absurd, &mut ChaCha20Rng::seed_from_u64(1));
        assert_eq!(slot.unwrap_err(), UnlockError::Absurd);
    }
}
