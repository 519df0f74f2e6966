//! Tombstones: the admin's signed word that a room is deleted. docs/PROTOCOL.md, "Tombstones".
//!
//! `tombstone = handle(32) ‖ genesis_hash(32) ‖ S(admin_sk, "sign tombstone", genesis_hash, H("tombstone", handle,
//! genesis_hash))`, 128 bytes. The rendezvous checks the signature under the admin key that was registered; members check
//! it under the one in their genesis, and that the genesis hash is theirs, so a rendezvous can fake no deletion.

use crate::sign::Signature;
use crate::{AdminKey, AdminPublicKey, GenesisHash, RoomHandle, kdf, label};

/// A tombstone's size on the wire.
pub const TOMBSTONE_LEN: usize = 128;
/// Its size in a server's store.
pub const STORED_TOMBSTONE_LEN: usize = TOMBSTONE_LEN - RoomHandle::LEN;

/// What a tombstone says: this room is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The room's name at the rendezvous.
    pub handle: RoomHandle,
    /// The room itself: the same Room ID may be used again later.
    pub genesis_hash: GenesisHash,
}

/// A tombstone as it travels, not yet verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedTombstone {
    unverified: Tombstone,
    signature: Signature,
}

/// The bytes are no valid tombstone of the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tombstone is not signed by the room's admin key")]
pub struct TombstoneError;

impl Tombstone {
    /// Signs it: 128 bytes to hand to the rendezvous and to members.
    #[must_use]
    pub fn sign(&self, admin: &AdminKey) -> SignedTombstone {
        let signature = admin.sign(label::SIGN_TOMBSTONE, &self.genesis_hash, &self.digest());
        SignedTombstone {
            unverified: *self,
            signature,
        }
    }

    fn digest(&self) -> [u8; 32] {
        kdf::hash(
            label::TOMBSTONE,
            &[self.handle.as_bytes(), self.genesis_hash.as_bytes()],
        )
    }
}

impl SignedTombstone {
    /// The bytes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TOMBSTONE_LEN] {
        let mut bytes = [0; TOMBSTONE_LEN];
        bytes[..32].copy_from_slice(self.unverified.handle.as_bytes());
        bytes[32..64].copy_from_slice(self.unverified.genesis_hash.as_bytes());
        bytes[64..].copy_from_slice(&self.signature);
        bytes
    }

    /// Takes the bytes apart; nothing is verified yet.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; TOMBSTONE_LEN]) -> Self {
        let (mut handle, mut genesis_hash, mut signature) = ([0; 32], [0; 32], [0; 64]);
        handle.copy_from_slice(&bytes[..32]);
        genesis_hash.copy_from_slice(&bytes[32..64]);
        signature.copy_from_slice(&bytes[64..]);
        let unverified = Tombstone {
            handle: RoomHandle::from_bytes(handle),
            genesis_hash: GenesisHash::from_bytes(genesis_hash),
        };
        Self { unverified, signature }
    }

    /// What a server stores of it: everything but the handle, which it must not know at rest.
    #[must_use]
    pub fn to_stored(&self) -> [u8; STORED_TOMBSTONE_LEN] {
        let mut bytes = [0; STORED_TOMBSTONE_LEN];
        bytes.copy_from_slice(&self.to_bytes()[32..]);
        bytes
    }

    /// Puts the handle back, once somebody has named it.
    #[must_use]
    pub fn from_stored(handle: &RoomHandle, stored: &[u8; STORED_TOMBSTONE_LEN]) -> Self {
        let mut bytes = [0; TOMBSTONE_LEN];
        bytes[..32].copy_from_slice(handle.as_bytes());
        bytes[32..].copy_from_slice(stored);
        Self::from_bytes(&bytes)
    }

    /// What it says, if the admin key said it.
    ///
    /// # Errors
    /// [`TombstoneError`].
    pub fn verify(&self, admin: &AdminPublicKey) -> Result<Tombstone, TombstoneError> {
        let Self { unverified, signature } = self;
        admin
            .verify(
                label::SIGN_TOMBSTONE,
                &unverified.genesis_hash,
                &unverified.digest(),
                signature,
            )
            .map_err(|_| TombstoneError)?;
        Ok(*unverified)
    }
}
