//! The keys that a leaf stands for: one that signs frames, one that opens boxes.

use core::fmt;

use ed25519_dalek::{SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    GenesisHash,
    kem::KemSecret,
    label::Label,
    sign::{self, BadSignature, Signature},
};

/// Signs a leaf's frames and announcements (Ed25519); constant within an incarnation.
#[derive(Clone)]
pub struct LeafSigningKey(SigningKey);

/// The public half of a [`LeafSigningKey`], checked to be a point of large order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeafPublicKey(VerifyingKey);

/// What the owner of a leaf keeps secret.
#[derive(Clone, Debug)]
pub struct LeafSecrets {
    /// Signs frames; constant within an incarnation.
    pub signing: LeafSigningKey,
    /// Opens boxes; rotated within an incarnation.
    pub kem: KemSecret,
}

impl LeafSecrets {
    /// New keys, for a new incarnation.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            signing: LeafSigningKey::generate(rng),
            kem: KemSecret::generate(rng),
        }
    }
}

impl LeafSigningKey {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SigningKey::generate(rng))
    }

    /// The key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for a vault.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> LeafPublicKey {
        LeafPublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, label: Label, genesis: &GenesisHash, digest: &[u8; 32]) -> Signature {
        sign::sign(&self.0, label, genesis, digest)
    }
}

impl LeafPublicKey {
    /// Takes 32 bytes; `None` if they are no point, or one of small order.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes)
            .ok()
            .filter(|key| !key.is_weak())
            .map(Self)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(crate) fn verify(
        &self,
        label: Label,
        genesis: &GenesisHash,
        digest: &[u8; 32],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        sign::verify_expanded(&self.0, label, genesis, digest, signature)
    }
}

impl fmt::Debug for LeafSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("LeafSigningKey(redacted)")
    }
}

impl fmt::Debug for LeafPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeafPublicKey({})", data_encoding::HEXLOWER.encode(self.as_bytes()))
    }
}
