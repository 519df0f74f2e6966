//! The OPAQUE configuration that client and server share, and what it is bound to.

use core::marker::PhantomData;

use opaque_ke::{CipherSuite, Identifiers, Ristretto255, TripleDh, ksf::Ksf};
use rand_core::CryptoRng;

use crate::RoomHandle;

/// What the key exchange's transcript covers besides its messages.
pub(super) const CONTEXT: &[u8] = b"snug/1 opaque";
/// The server's identity in envelopes and transcripts: the same for all, as a room may move.
const SERVER: &[u8] = b"snug/1 rendezvous";

/// Which credential of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The Room Key's.
    Room,
    /// The Password's.
    Admin,
}

impl Kind {
    /// 01 for room, 02 for admin.
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Room => 1,
            Self::Admin => 2,
        }
    }
}

/// A key-stretching function. Everything but benchmarks uses [`Argon2id`](super::Argon2id).
pub trait Stretch: Ksf + 'static {}

impl<K: Ksf + 'static> Stretch for K {}

/// ristretto255-SHA512 for the OPRF, 3DH over ristretto255 with SHA-512.
pub(super) struct Suite<K>(PhantomData<K>);

impl<K: Stretch> CipherSuite for Suite<K> {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_010::Sha512>;
    type Ksf = K;
}

/// `client = handle ‖ kind`, as the bytes that [`identifiers`] borrows.
pub(super) fn client_identity(handle: &RoomHandle, kind: Kind) -> [u8; 33] {
    let mut identity = [0; 33];
    identity[..32].copy_from_slice(handle.as_bytes());
    identity[32] = kind.byte();
    identity
}

/// The identifiers that envelopes and transcripts are bound to.
pub(super) fn identifiers(client: &[u8; 33]) -> Identifiers<'_> {
    Identifiers {
        client: Some(client),
        server: Some(SERVER),
    }
}

/// A generator of today's `rand_core` as the older one that `opaque-ke` asks for. Both promise the same.
pub(super) struct Rng06<'a, R>(pub &'a mut R);

impl<R: CryptoRng> rand_core_06::RngCore for Rng06<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: CryptoRng> rand_core_06::CryptoRng for Rng06<'_, R> {}

/// A serialized message as an array. `opaque-ke`'s lengths are types, ours are constants; where they differ nothing works,
/// which the tests of this module would show.
pub(super) fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}
