//! Who may speak on the mesh: docs/PROTOCOL.md, "Links".
//!
//! `proof = MAC(mesh, "link", role(1), dialer(32), listener(32), dialer's nonce(32), listener's nonce(32))`, 32 bytes. Each
//! side proves before a gossip byte flows; the roles differ, so a proof can't be sent back.

use subtle::ConstantTimeEq;

use crate::{MeshKey, PeerKey, kdf, label};

/// Which end of the connection proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum LinkRole {
    /// The one that opened it.
    Dialer = 1,
    /// The one that accepted it.
    Listener = 2,
}

/// What both ends know of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link<'a> {
    /// The transport key of who opened it.
    pub dialer: &'a PeerKey,
    /// The transport key of who accepted it.
    pub listener: &'a PeerKey,
    /// 32 random bytes of the dialer's.
    pub dialer_nonce: &'a [u8; 32],
    /// 32 random bytes of the listener's.
    pub listener_nonce: &'a [u8; 32],
}

/// What a dialer says first besides its nonce, so that a listener that knows several generations' keys proves the right one:
/// `MAC(mesh, "link hint", dialer's nonce)[..8]`.
#[must_use]
pub fn hint(mesh: &MeshKey, dialer_nonce: &[u8; 32]) -> [u8; 8] {
    let mut hint = [0; 8];
    hint.copy_from_slice(&kdf::mac(mesh.expose(), label::LINK_HINT, &[dialer_nonce])[..8]);
    hint
}

/// The proof of the `role`'s end.
#[must_use]
pub fn prove(mesh: &MeshKey, role: LinkRole, link: &Link<'_>) -> [u8; 32] {
    let Link {
        dialer,
        listener,
        dialer_nonce,
        listener_nonce,
    } = link;
    let fields: [&[u8]; 5] = [
        &[role as u8],
        dialer.as_bytes(),
        listener.as_bytes(),
        &dialer_nonce[..],
        &listener_nonce[..],
    ];
    kdf::mac(mesh.expose(), label::LINK, &fields)
}

/// Whether `proof` is the `role`'s end's; in constant time.
#[must_use]
pub fn verify(mesh: &MeshKey, role: LinkRole, link: &Link<'_>, proof: &[u8; 32]) -> bool {
    prove(mesh, role, link).ct_eq(proof).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_end_of_one_link_in_one_room() {
        let (dialer, listener) = (PeerKey::from_bytes([1; 32]), PeerKey::from_bytes([2; 32]));
        let link = Link {
            dialer: &dialer,
            listener: &listener,
            dialer_nonce: &[3; 32],
            listener_nonce: &[4; 32],
        };
        let mesh = MeshKey::from_bytes([5; 32]);
        let proof = prove(&mesh, LinkRole::Dialer, &link);
        assert!(verify(&mesh, LinkRole::Dialer, &link, &proof));
        assert!(!verify(&mesh, LinkRole::Listener, &link, &proof), "reflected");
        assert!(
            !verify(&MeshKey::from_bytes([6; 32]), LinkRole::Dialer, &link, &proof),
            "another room"
        );
        for other in [
            Link {
                dialer: &listener,
                listener: &dialer,
                ..link
            },
            Link {
                dialer: &listener,
                ..link
            },
            Link {
                dialer_nonce: &[9; 32],
                ..link
            },
            Link {
                listener_nonce: &[9; 32],
                ..link
            },
        ] {
            assert!(!verify(&mesh, LinkRole::Dialer, &other, &proof), "{other:?}");
        }
    }
}
