//! A Room Key handed to a member that lacks it: docs/PROTOCOL.md, "Handing over a Room Key".
//!
//! ```text
//! handed = X-Wing ciphertext(1120) ‖ ChaCha20-Poly1305(K, nonce = 0, AD empty, lp(room_key) ‖ r(32))
//! K      = X(Extract(zeros, ss), "hand over", genesis_hash, generation(40), leaf_id)
//! ```
//!
//! Whoever holds a generation may hand it to anybody on its roster: the key, and never an epoch's secret. It needs no signature,
//! because the operation that made the generation commits to its keys.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    Generation, GenerationKeys, GenesisHash, LeafId, RoomHandle, RoomKey, RoomRandom, aead, bounds,
    epoch::NewKey,
    kdf::{self, Secret32},
    kem::{KEM_CIPHERTEXT, KemSecret},
    label,
    leaf::Leaf,
};

/// Largest encoding.
pub const MAX_HANDED: usize = KEM_CIPHERTEXT + 4 + bounds::MAX_SECRET_BYTES + 32 + aead::TAG;

/// What was handed over, and fits what the generation's operation commits to.
#[derive(Debug)]
pub struct Handed {
    /// The Room Key.
    pub room_key: RoomKey,
    /// The generation's random half.
    pub random: RoomRandom,
    /// What follows from the two.
    pub keys: GenerationKeys,
}

/// Seals a generation's Room Key to a leaf. `None` if the leaf's KEM key isn't one.
#[must_use]
pub fn seal(
    rng: &mut impl CryptoRng,
    new: NewKey<'_>,
    generation: Generation,
    genesis: &GenesisHash,
    leaf: &Leaf,
) -> Option<Vec<u8>> {
    let (encapsulated, shared) = leaf.kem().encapsulate(rng)?;
    let key = key(&shared, genesis, generation, &leaf.id());
    let mut text = Zeroizing::new(crate::epoch::write_key(new.room_key, new.random));
    let tag = aead::cseal(&key, &[0; 12], &[], &mut text);
    Some([&encapsulated[..], &text, &tag].concat())
}

/// Opens what was handed to our leaf; `None` if it doesn't open, or to other keys than those committed to.
#[must_use]
pub fn open(
    bytes: &[u8],
    kem: &KemSecret,
    generation: Generation,
    genesis: &GenesisHash,
    leaf: &LeafId,
    handle: &RoomHandle,
    key_commit: &[u8; 32],
) -> Option<Handed> {
    let (encapsulated, body) = bytes.split_first_chunk::<KEM_CIPHERTEXT>()?;
    let key = key(&kem.decapsulate(encapsulated), genesis, generation, leaf);
    let mut text = Zeroizing::new(body.to_vec());
    aead::copen(&key, &[0; 12], &[], &mut text).ok()?;
    let (room_key, random) = crate::epoch::read_key(text.split_last_chunk::<{ aead::TAG }>()?.0)?;
    let keys = GenerationKeys::derive(&room_key, &random, handle, generation);
    bool::from(keys.commit().ct_eq(key_commit)).then_some(Handed { room_key, random, keys })
}

fn key(shared: &Secret32, genesis: &GenesisHash, generation: Generation, leaf: &LeafId) -> Secret32 {
    kdf::expand(
        &*kdf::extract(&[0; 32], &shared[..]),
        label::HAND_OVER,
        &[genesis.as_bytes(), &generation.to_bytes(), leaf.as_bytes()],
    )
}
