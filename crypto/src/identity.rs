//! A member's identity and a peer's transport key: docs/PROTOCOL.md, "Leaves". Two kinds of key that never mix.

use core::fmt;

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    Fingerprint, GenesisHash, IdentityKey, PeerKey,
    label::Label,
    secret::secret,
    sign::{self, Signature},
};

/// A member's identity: an Ed25519 key, the same in all rooms of a profile.
#[derive(Clone)]
pub struct Identity(SigningKey);

secret! {
    /// An identity at rest: its 32-byte seed. For a vault only.
    pub IdentitySeed
}

impl Identity {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SigningKey::generate(rng))
    }

    /// The identity of a 32-byte seed (RFC 8032, 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What to keep of it.
    #[must_use]
    pub fn to_seed(&self) -> IdentitySeed {
        IdentitySeed::from_bytes(self.0.to_bytes())
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        IdentityKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// What people compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key().fingerprint()
    }

    pub(crate) fn sign(&self, label: Label, genesis: &GenesisHash, digest: &[u8; 32]) -> Signature {
        sign::sign(&self.0, label, genesis, digest)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        write!(f, "Identity({}, redacted)", self.fingerprint())
    }
}

/// The key of a peer on the mesh: Ed25519, new for each room and run.
#[derive(Clone)]
pub struct TransportKey(SigningKey);

impl TransportKey {
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

    /// Its public half, which is the peer's id.
    #[must_use]
    pub fn peer_key(&self) -> PeerKey {
        PeerKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// The 32-byte seed, for the transport's own key type.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(crate) fn sign(&self, label: Label, genesis: &GenesisHash, digest: &[u8; 32]) -> Signature {
        sign::sign(&self.0, label, genesis, digest)
    }
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        write!(f, "TransportKey({}, redacted)", self.peer_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_restore_the_key_and_stay_hidden() {
        let identity = Identity::from_seed(&[0xC4; 32]);
        assert_eq!(Identity::from_seed(identity.to_seed().expose()).key(), identity.key());
        let shown = format!(
            "{identity:?} {:?} {:?}",
            identity.to_seed(),
            TransportKey::from_seed(&[0xC4; 32])
        );
        assert!(!shown.contains("c4c4") && !shown.contains("196, 196"), "{shown}");
    }

    #[test]
    fn a_fingerprint_has_32_hex_digits() {
        assert_eq!(Identity::from_seed(&[1; 32]).fingerprint().to_string().len(), 32);
    }
}
