//! An identity on its way to another machine: docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! export = "snug identity" ‖ slot ‖ sealed object 09 (X(slot's key, "identity export"): 01 ‖ identity seed(32))
//! ```

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    begin, finish, open, secret,
    vault::{Passphrase, Slot, Stretching, UnlockError, VaultKey},
};
use crate::{
    Identity,
    aead::{self, Kind},
    kdf, label,
    wire::{DecodeError, Reader, Writer},
};

const MAGIC: &[u8] = b"snug identity";

/// Why an exported identity can't be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ExportError {
    /// It is none, or a newer version's.
    #[error("this is no exported identity that this version understands")]
    NotOne(#[from] DecodeError),
    /// The passphrase doesn't open it.
    #[error("{0}")]
    Locked(#[from] UnlockError),
}

/// Seals an identity under a passphrase: about 170 bytes, and 0.1 s if the passphrase isn't empty.
///
/// # Errors
/// [`UnlockError::Absurd`] for parameters of stretching that no reader would accept.
pub fn export_identity(
    identity: &Identity,
    passphrase: &Passphrase,
    stretching: Stretching,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, UnlockError> {
    let key = VaultKey::generate(rng);
    let slot = Slot::wrap(&key, passphrase, stretching, rng)?;
    let mut text = begin(32);
    text.raw(identity.to_seed().expose());
    let sealed = kdf::expand(key.expose(), label::IDENTITY_EXPORT, &[]);
    let sealed = aead::seal(&sealed, Kind::Identity, rng, &finish(text));
    let mut writer = Writer::new();
    writer.raw(MAGIC);
    slot.write(&mut writer);
    writer.raw(&sealed);
    Ok(writer.finish())
}

/// Takes an exported identity in.
///
/// # Errors
/// [`ExportError`].
pub fn import_identity(bytes: &[u8], passphrase: &Passphrase) -> Result<Identity, ExportError> {
    let mut reader = Reader::new(bytes);
    if reader.raw(MAGIC.len())? != MAGIC {
        return Err(DecodeError::Invalid {
            what: "exported identity",
        }
        .into());
    }
    let slot = Slot::read(&mut reader)?;
    let key = slot.unwrap(passphrase)?;
    let key = kdf::expand(key.expose(), label::IDENTITY_EXPORT, &[]);
    let text = aead::open(&key, Kind::Identity, reader.rest())
        .map_err(|aead::Forged| ExportError::Locked(UnlockError::Damaged))?;
    let mut reader = open("exported identity", &text)?;
    let seed: Zeroizing<[u8; 32]> = secret(&mut reader)?;
    reader.finish()?;
    Ok(Identity::from_seed(&seed))
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn an_identity_comes_back_under_its_passphrase_only() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let identity = Identity::generate(&mut rng);
        let cheap = Stretching::Argon2id {
            memory_kib: 64,
            passes: 1,
            lanes: 1,
        };
        for passphrase in ["", "travel"] {
            let passphrase = Passphrase::parse(passphrase).unwrap();
            let bytes = export_identity(&identity, &passphrase, cheap, &mut rng).unwrap();
            assert!(!bytes.windows(32).any(|window| window == identity.to_seed().expose()));
            assert_eq!(import_identity(&bytes, &passphrase).unwrap().key(), identity.key());
            let wrong = Passphrase::parse("wrong").unwrap();
            if !passphrase.is_none() {
                assert!(import_identity(&bytes, &wrong).is_err());
            }
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 1;
                assert!(import_identity(&bad, &passphrase).is_err(), "byte {at}");
                assert!(import_identity(&bytes[..at], &passphrase).is_err(), "cut at {at}");
            }
        }
    }
}
