//! Our own leaf's secrets at rest: docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! own = 01 ‖ incarnation u32 ‖ leaf seed(32) ‖ KEM seed(32) ‖ list of older KEM seed(32), oldest first
//! ```

use core::fmt;

use super::{RestBytes, begin, finish, open, secret};
use crate::{
    kdf::Secret32,
    kem::KemSecret,
    leaf::{LeafSecrets, LeafSigningKey},
    wire::DecodeError,
};

/// KEM keys that were rotated away and kept, at most.
const MAX_OLD_KEMS: usize = 16;

/// The seeds of our leaf's keys.
pub struct OwnAtRest {
    incarnation: u32,
    signing: Secret32,
    kem: Secret32,
    old_kems: Vec<Secret32>,
}

impl OwnAtRest {
    /// The form of these keys; of more than 16 older KEM keys the newest.
    #[must_use]
    pub fn new<'a>(incarnation: u32, secrets: &LeafSecrets, old_kems: impl Iterator<Item = &'a KemSecret>) -> Self {
        let mut old_kems: Vec<Secret32> = old_kems.map(KemSecret::to_seed).collect();
        let surplus = old_kems.len().saturating_sub(MAX_OLD_KEMS);
        old_kems.drain(..surplus);
        Self {
            incarnation,
            signing: secrets.signing.to_seed(),
            kem: secrets.kem.to_seed(),
            old_kems,
        }
    }

    /// The incarnation that they are of.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The keys, live.
    #[must_use]
    pub fn secrets(&self) -> LeafSecrets {
        LeafSecrets {
            signing: LeafSigningKey::from_seed(&self.signing),
            kem: KemSecret::from_seed(&self.kem),
        }
    }

    /// KEM keys that were rotated away, oldest first.
    pub fn old_kems(&self) -> impl Iterator<Item = KemSecret> + '_ {
        self.old_kems.iter().map(|seed| KemSecret::from_seed(seed))
    }

    /// Its bytes: 73, and 32 for each older KEM key.
    #[must_use]
    pub fn encode(&self) -> RestBytes {
        let mut writer = begin(4 + 64 + 4 + self.old_kems.len() * 32);
        writer.u32(self.incarnation).raw(&*self.signing).raw(&*self.kem);
        writer.list(&self.old_kems, |w, seed| {
            w.raw(&**seed);
        });
        finish(writer)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored leaf", bytes)?;
        let incarnation = reader.u32()?;
        let (signing, kem) = (secret(&mut reader)?, secret(&mut reader)?);
        let old_kems = reader.list("older KEM keys", MAX_OLD_KEMS, secret)?;
        reader.finish()?;
        Ok(Self {
            incarnation,
            signing,
            kem,
            old_kems,
        })
    }
}

impl fmt::Debug for OwnAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            incarnation,
            signing: _,
            kem: _,
            old_kems: _,
        } = self;
        write!(f, "OwnAtRest({incarnation}, redacted)")
    }
}
