//! X-Wing (X25519 + ML-KEM-768, draft-connolly-cfrg-xwing-kem-06): docs/PROTOCOL.md, "Boxes".
//!
//! Encapsulation key 1,216 bytes, ciphertext 1,120, seed 32, shared secret 32.

use core::fmt;
use std::sync::Arc;

use rand_core::CryptoRng;
use x_wing::{Decapsulate, DecapsulationKey, Decapsulator, Encapsulate, EncapsulationKey, KeyExport};
use zeroize::Zeroizing;

use crate::{kdf, kdf::Secret32, label};

/// Size of an encapsulation key.
pub const KEM_KEY: usize = x_wing::ENCAPSULATION_KEY_SIZE;
/// Size of a ciphertext.
pub const KEM_CIPHERTEXT: usize = x_wing::CIPHERTEXT_SIZE;

/// ML-KEM's modulus, which its 12-bit coefficients are below.
const ML_KEM_Q: u16 = 3329;
/// The bytes of an encapsulation key that hold coefficients: 3 × 256 × 12 bits.
const ML_KEM_COEFFICIENTS: usize = 1152;

/// An X-Wing encapsulation key, checked to be one. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct KemKey(Arc<[u8; KEM_KEY]>);

impl KemKey {
    /// Takes 1,216 bytes; `None` if their ML-KEM half isn't in canonical form (FIPS 203, 7.2).
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEM_KEY]) -> Option<Self> {
        // Expanding the key would check the same, at thirty times the cost: records are decoded by the thousand.
        let canonical = |three: &[u8]| {
            let low = u16::from(three[0]) | u16::from(three[1] & 15) << 8;
            let high = u16::from(three[1] >> 4) | u16::from(three[2]) << 4;
            low < ML_KEM_Q && high < ML_KEM_Q
        };
        bytes[..ML_KEM_COEFFICIENTS]
            .chunks_exact(3)
            .all(canonical)
            .then(|| Self(Arc::new(*bytes)))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEM_KEY] {
        &self.0
    }

    /// `H("kem", key)`: how an epoch names the key that it boxes to.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        kdf::hash(label::KEM, &[self.as_bytes()])
    }

    /// A fresh shared secret, and what carries it to the key's owner.
    pub(crate) fn encapsulate(&self, rng: &mut impl CryptoRng) -> Option<([u8; KEM_CIPHERTEXT], Secret32)> {
        let key = EncapsulationKey::try_from(&self.0[..]).ok()?;
        let (ciphertext, mut shared) = key.encapsulate_with_rng(rng);
        let secret = Zeroizing::new(shared.into());
        zeroize::Zeroize::zeroize(&mut shared);
        Some((ciphertext.into(), secret))
    }
}

impl fmt::Debug for KemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemKey({}…)", data_encoding::HEXLOWER.encode(&self.hash()[..8]))
    }
}

/// An X-Wing decapsulation key, expanded from its seed once.
#[derive(Clone)]
pub struct KemSecret(Arc<DecapsulationKey>);

impl KemSecret {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// The key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Arc::new(DecapsulationKey::from(*seed)))
    }

    /// The seed, for a vault.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.0.as_bytes())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> KemKey {
        let mut bytes = [0; KEM_KEY];
        bytes.copy_from_slice(&self.0.encapsulation_key().to_bytes());
        KemKey(Arc::new(bytes))
    }

    /// The shared secret of a ciphertext; a forged one gives an unrelated secret.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8; KEM_CIPHERTEXT]) -> Secret32 {
        let mut shared = self.0.decapsulate(&(*ciphertext).into());
        let secret = Zeroizing::new(shared.into());
        zeroize::Zeroize::zeroize(&mut shared);
        secret
    }
}

impl fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("KemSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn both_sides_get_one_secret_and_others_another() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (alice, bob) = (KemSecret::generate(&mut rng), KemSecret::generate(&mut rng));
        let (ciphertext, secret) = alice.public().encapsulate(&mut rng).unwrap();
        assert_eq!(*alice.decapsulate(&ciphertext), *secret);
        assert_ne!(*bob.decapsulate(&ciphertext), *secret);
        assert_eq!(KemSecret::from_seed(&alice.to_seed()).public(), alice.public());
    }

    #[test]
    fn keys_that_are_not_canonical_are_refused() {
        let mut bytes = *KemSecret::from_seed(&[1; 32]).public().as_bytes();
        bytes[0] = 0xFF;
        bytes[1] |= 0x0F;
        assert!(
            KemKey::from_bytes(&bytes).is_none(),
            "a coefficient of 4,095 is not below 3,329"
        );
        // The modulus itself, 0xD01, as the lower and as the higher of two coefficients, first and last; one less is fine.
        let honest = *KemSecret::from_seed(&[1; 32]).public().as_bytes();
        for at in [0, ML_KEM_COEFFICIENTS - 3] {
            for (three, canonical) in [
                ([0x01, 0x0D, 0x00], false),
                ([0x00, 0x0D, 0x00], true),
                ([0x00, 0x10, 0xD0], false),
                ([0x00, 0x00, 0xD0], true),
            ] {
                let mut bytes = honest;
                bytes[at..at + 3].copy_from_slice(&three);
                assert_eq!(KemKey::from_bytes(&bytes).is_some(), canonical, "{three:?} at {at}");
            }
        }
    }
}
