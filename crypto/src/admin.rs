//! The room's own key: random, born with the room, kept sealed under the Password (docs/PROTOCOL.md, "Genesis").
//!
//! It is not derived from the Password: its public half would let anybody test guesses offline.

use core::fmt;

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    GenesisHash,
    label::Label,
    sign::{self, BadSignature, Signature},
};

/// The admin's signing key (Ed25519).
#[derive(Clone)]
pub struct AdminKey(SigningKey);

/// The admin's public key, 32 bytes, as the genesis names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AdminPublicKey([u8; 32]);

impl AdminKey {
    /// A new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SigningKey::generate(rng))
    }

    /// The key of a 32-byte seed (RFC 8032, 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for the admin capsule.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> AdminPublicKey {
        AdminPublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the hash of an object: see [`crate::sign`].
    #[must_use]
    pub(crate) fn sign(&self, label: Label, genesis: &GenesisHash, digest: &[u8; 32]) -> Signature {
        sign::sign(&self.0, label, genesis, digest)
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("AdminKey(redacted)")
    }
}

impl AdminPublicKey {
    /// Takes the bytes as they came; whether they are a key shows when something is verified.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies strictly what the admin signed: see [`crate::sign`].
    pub(crate) fn verify(
        &self,
        label: Label,
        genesis: &GenesisHash,
        digest: &[u8; 32],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        sign::verify(&self.0, label, genesis, digest, signature)
    }
}
