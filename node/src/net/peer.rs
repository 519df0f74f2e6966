//! A peer's two names: [`PeerKey`], its transport's Ed25519 public key, and libp2p's [`PeerId`], which is the identity
//! multihash of that key's protobuf form (libp2p specs, "Peer Ids and Keys").

use libp2p::{
    PeerId,
    identity::{Keypair, PublicKey, ed25519},
};
use snug_crypto::{PeerKey, identity::TransportKey};

/// `KeyType = Ed25519`, `Data = 32 bytes`, in protobuf.
const KEY_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// The multihash code of "identity": the digest is the input.
const IDENTITY: u64 = 0;

/// The PeerId of a key; `None` if the bytes are not a point of the curve.
pub(crate) fn id_of(key: &PeerKey) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(key.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The key of a PeerId; `None` for any other than an Ed25519 key.
pub(crate) fn key_of(peer: &PeerId) -> Option<PeerKey> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    PeerKey::from_slice(hash.digest().strip_prefix(&KEY_PREFIX)?)
}

/// libp2p's form of our transport key.
pub(crate) fn keypair(key: &TransportKey) -> Option<Keypair> {
    // libp2p wipes the copy that it is given.
    let mut seed = *key.seed();
    Keypair::ed25519_from_bytes(&mut seed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_id_name_the_same_peer() {
        let ours = Keypair::generate_ed25519();
        let id = ours.public().to_peer_id();
        let key = key_of(&id).unwrap();
        assert_eq!(key.as_bytes(), &ours.public().try_into_ed25519().unwrap().to_bytes());
        assert_eq!(id_of(&key), Some(id));
    }

    #[test]
    fn other_ids_have_no_key() {
        assert_eq!(key_of(&PeerId::random()), None);
    }

    #[test]
    fn bytes_off_the_curve_have_no_id() {
        let off = (0..=255u8)
            .map(|byte| PeerKey::from_bytes([byte; 32]))
            .find(|key| id_of(key).is_none());
        assert!(off.is_some());
    }
}
