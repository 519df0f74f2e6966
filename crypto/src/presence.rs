//! How peers find each other through a rendezvous that learns no address: docs/PROTOCOL.md, "Presence".
//!
//! `03 ‖ nonce(24) ‖ XChaCha20-Poly1305(intro, nonce, AD = 03, peer(32) ‖ at_ms(8) ‖ addresses)`, at most 1 KiB. Any member
//! could write one for any peer: it is a hint where to dial, and the link's own proof decides.

use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    IntroKey, PeerKey,
    aead::{self, Kind},
    bounds,
    wire::{DecodeError, Reader, Writer},
};

/// Where a peer can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceRecord {
    /// The peer.
    pub peer: PeerKey,
    /// Multiaddresses, most useful first: at most 16 of at most 256 bytes each.
    pub addresses: Vec<String>,
    /// When it was written, by the peer's clock.
    pub at_ms: u64,
}

/// Why bytes are no presence record of this room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PresenceError {
    /// Not sealed under this generation's `intro` key.
    #[error("not sealed under this generation's intro key")]
    Forged,
    /// Sealed by a holder of the key, but malformed.
    #[error("malformed presence record: {0}")]
    Malformed(#[from] DecodeError),
}

impl PresenceRecord {
    /// Seals the record. Addresses that don't fit into [`bounds::MAX_PRESENCE_BYTES`] are left out, from the end.
    #[must_use]
    pub fn seal(&self, key: &IntroKey, rng: &mut impl CryptoRng) -> Vec<u8> {
        let mut room = bounds::MAX_PRESENCE_BYTES - aead::OVERHEAD - (32 + 8 + 4);
        let mut kept = Vec::new();
        for address in self.addresses.iter().take(bounds::MAX_ADDRESSES) {
            if address.len() > bounds::MAX_ADDRESS_BYTES {
                continue;
            }
            let Some(left) = room.checked_sub(4 + address.len()) else {
                break;
            };
            room = left;
            kept.push(address);
        }
        let mut writer = Writer::new();
        writer.raw(self.peer.as_bytes()).u64(self.at_ms);
        writer.list(&kept, |w, address| {
            w.lp(address.as_bytes());
        });
        aead::seal(key.expose(), Kind::Presence, rng, writer.as_slice())
    }

    /// Opens a record.
    ///
    /// # Errors
    /// [`PresenceError`].
    pub fn open(key: &IntroKey, bytes: &[u8]) -> Result<Self, PresenceError> {
        if bytes.len() > bounds::MAX_PRESENCE_BYTES {
            let max = bounds::MAX_PRESENCE_BYTES;
            return Err(DecodeError::TooLong {
                what: "presence record",
                max,
            }
            .into());
        }
        let plaintext =
            aead::open(key.expose(), Kind::Presence, bytes).map_err(|aead::Forged| PresenceError::Forged)?;
        let mut reader = Reader::new(&plaintext);
        let peer = PeerKey::from_bytes(reader.array()?);
        let at_ms = reader.u64()?;
        let addresses = reader.list("addresses", bounds::MAX_ADDRESSES, |r| {
            r.text("address", bounds::MAX_ADDRESS_BYTES).map(str::to_owned)
        })?;
        reader.finish()?;
        Ok(Self { peer, addresses, at_ms })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn a_record_opens_in_its_room_only() {
        let record = PresenceRecord {
            peer: PeerKey::from_bytes([1; 32]),
            addresses: vec!["/ip4/192.0.2.1/tcp/4001".to_owned()],
            at_ms: 1_700_000_000_000,
        };
        let sealed = record.seal(&IntroKey::from_bytes([2; 32]), &mut ChaCha20Rng::seed_from_u64(1));
        assert_eq!(
            PresenceRecord::open(&IntroKey::from_bytes([2; 32]), &sealed),
            Ok(record)
        );
        assert_eq!(
            PresenceRecord::open(&IntroKey::from_bytes([3; 32]), &sealed),
            Err(PresenceError::Forged)
        );
    }

    #[test]
    fn too_many_addresses_are_cut_to_what_fits() {
        let address = format!("/dns4/{}/tcp/1", "x".repeat(200));
        let record = PresenceRecord {
            peer: PeerKey::from_bytes([1; 32]),
            addresses: vec![address; 9],
            at_ms: 0,
        };
        let key = IntroKey::from_bytes([2; 32]);
        let sealed = record.seal(&key, &mut ChaCha20Rng::seed_from_u64(1));
        assert!(sealed.len() <= bounds::MAX_PRESENCE_BYTES);
        assert_eq!(PresenceRecord::open(&key, &sealed).unwrap().addresses.len(), 4);
    }
}
