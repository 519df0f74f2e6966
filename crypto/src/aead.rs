//! The three shapes of encryption: docs/PROTOCOL.md, "Sealed objects".
//!
//! - *sealed object*: `kind(1) ‖ nonce(24) ‖ XChaCha20-Poly1305(key, nonce, AD = kind, plaintext)`, 41 bytes more than its
//!   plaintext;
//! - *box body*: ChaCha20-Poly1305 under a key used once, nonce zero;
//! - a frame's two layers, sealed in place.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, XChaCha20Poly1305};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// The first byte of everything that is sealed, so that one kind can't be taken for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Frame = 1,
    Control = 2,
    Presence = 3,
    Capsule = 4,
    AdminCapsule = 5,
}

/// An AEAD's tag.
pub(crate) const TAG: usize = 16;
/// XChaCha's nonce.
pub(crate) const NONCE: usize = 24;
/// What a sealed object adds to its plaintext.
pub(crate) const OVERHEAD: usize = 1 + NONCE + TAG;

/// The ciphertext is not what the key sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forged;

/// Seals an object under a random nonce.
pub(crate) fn seal(key: &[u8; 32], kind: Kind, rng: &mut impl CryptoRng, plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    seal_with(key, kind, &nonce, plaintext)
}

/// Seals an object under a nonce that no other plaintext has.
pub(crate) fn seal_with(key: &[u8; 32], kind: Kind, nonce: &[u8; NONCE], plaintext: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plaintext.len() + OVERHEAD);
    bytes.push(kind as u8);
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(plaintext);
    let (head, text) = bytes.split_at_mut(1 + NONCE);
    let tag = xseal(key, nonce, &head[..1], text);
    bytes.extend_from_slice(&tag);
    bytes
}

/// Opens what [`seal`] made.
pub(crate) fn open(key: &[u8; 32], kind: Kind, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
    let (head, rest) = bytes.split_first_chunk::<1>().ok_or(Forged)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(Forged)?;
    let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(Forged)?;
    if head[0] != kind as u8 {
        return Err(Forged);
    }
    let mut text = Zeroizing::new(text.to_vec());
    xopen(key, nonce, head, &mut text, tag)?;
    Ok(text)
}

/// XChaCha20-Poly1305 in place; gives the tag.
pub(crate) fn xseal(key: &[u8; 32], nonce: &[u8; NONCE], ad: &[u8], text: &mut [u8]) -> [u8; TAG] {
    let tag = XChaCha20Poly1305::new(key.into()).encrypt_inout_detached(nonce.into(), ad, text.into());
    whole(tag.map(Into::into))
}

/// Undoes [`xseal`]. If the tag is wrong, `text` is left as it was or as noise: don't use it.
pub(crate) fn xopen(
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    ad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Forged> {
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), ad, text.into(), tag.into())
        .map_err(|_| Forged)
}

/// ChaCha20-Poly1305 in place; gives the tag.
pub(crate) fn cseal(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], text: &mut [u8]) -> [u8; TAG] {
    let tag = ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(nonce.into(), ad, text.into());
    whole(tag.map(Into::into))
}

/// Undoes [`cseal`].
pub(crate) fn copen(
    key: &[u8; 32],
    nonce: &[u8; 12],
    ad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Forged> {
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), ad, text.into(), tag.into())
        .map_err(|_| Forged)
}

/// The cipher refuses only plaintexts of 256 GiB and more; ours are bounded by a MiB.
#[expect(clippy::expect_used)]
fn whole<E: core::fmt::Debug>(tag: Result<[u8; TAG], E>) -> [u8; TAG] {
    tag.expect("a plaintext of at most a MiB is within the cipher's limit")
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn objects_open_only_as_the_kind_they_are_and_whole() {
        let sealed = seal(&[1; 32], Kind::Presence, &mut ChaCha20Rng::seed_from_u64(1), b"text");
        assert_eq!(open(&[1; 32], Kind::Presence, &sealed).unwrap().as_slice(), b"text");
        assert_eq!(open(&[1; 32], Kind::Control, &sealed).unwrap_err(), Forged);
        assert_eq!(open(&[2; 32], Kind::Presence, &sealed).unwrap_err(), Forged);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(open(&[1; 32], Kind::Presence, &bad).unwrap_err(), Forged, "byte {at}");
            assert_eq!(
                open(&[1; 32], Kind::Presence, &sealed[..at]).unwrap_err(),
                Forged,
                "cut at {at}"
            );
        }
        let mut other = sealed.clone();
        other[0] = Kind::Control as u8;
        assert_eq!(
            open(&[1; 32], Kind::Control, &other).unwrap_err(),
            Forged,
            "the kind is authenticated"
        );
    }
}
