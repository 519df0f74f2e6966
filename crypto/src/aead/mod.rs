//! The three shapes of encryption: docs/PROTOCOL.md, "Sealed objects".
//!
//! - *sealed object*: `kind(1) ‖ nonce(24) ‖ XChaCha20-Poly1305(key, nonce, AD = kind, plaintext)`, 41 bytes more than its
//!   plaintext;
//! - *box body*: ChaCha20-Poly1305 under a key used once, nonce zero;
//! - a frame's two layers, sealed in place.

// Under Miri there is no assembly, and no hurry.
#[cfg(any(miri, test))]
mod portable;
#[cfg(not(miri))]
mod quick;

use chacha20::{R20, hchacha};
#[cfg(miri)]
use portable as primitive;
#[cfg(not(miri))]
use quick as primitive;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::kdf::Secret32;

/// The first byte of everything that is sealed, so that one kind can't be taken for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Frame = 1,
    Control = 2,
    Presence = 3,
    Capsule = 4,
    AdminCapsule = 5,
    VaultKey = 6,
    VaultHead = 7,
    Chunk = 8,
    Identity = 9,
    KeptObject = 10,
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
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Forged)?;
    if head[0] != kind as u8 || sealed.len() < TAG {
        return Err(Forged);
    }
    let mut text = Zeroizing::new(sealed.to_vec());
    xopen(key, nonce, head, &mut text)?;
    text.truncate(sealed.len() - TAG);
    Ok(text)
}

/// XChaCha20-Poly1305 in place; gives the tag.
pub(crate) fn xseal(key: &[u8; 32], nonce: &[u8; NONCE], ad: &[u8], text: &mut [u8]) -> [u8; TAG] {
    let (key, nonce) = subkey(key, nonce);
    cseal(&key, &nonce, ad, text)
}

/// Undoes [`xseal`], on the text and its tag behind it. If the tag is wrong, what is left is not to be used.
pub(crate) fn xopen(key: &[u8; 32], nonce: &[u8; NONCE], ad: &[u8], text_and_tag: &mut [u8]) -> Result<(), Forged> {
    let (key, nonce) = subkey(key, nonce);
    copen(&key, &nonce, ad, text_and_tag)
}

/// ChaCha20-Poly1305 in place; gives the tag.
#[expect(
    clippy::expect_used,
    reason = "the cipher refuses only 256 GiB and more, and ours are bounded by a MiB"
)]
pub(crate) fn cseal(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], text: &mut [u8]) -> [u8; TAG] {
    primitive::seal(key, nonce, ad, text).expect("a plaintext of at most a MiB is within the cipher's limit")
}

/// Undoes [`cseal`], on the text and its tag behind it.
pub(crate) fn copen(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], text_and_tag: &mut [u8]) -> Result<(), Forged> {
    primitive::open(key, nonce, ad, text_and_tag)
}

/// What XChaCha20 makes of its key and nonce for ChaCha20 (draft-irtf-cfrg-xchacha-03, 2.3).
fn subkey(key: &[u8; 32], nonce: &[u8; NONCE]) -> (Secret32, [u8; 12]) {
    let (mut input, mut short) = ([0; 16], [0; 12]);
    input.copy_from_slice(&nonce[..16]);
    short[4..].copy_from_slice(&nonce[16..]);
    (Zeroizing::new(hchacha::<R20>(key.into(), &input.into()).into()), short)
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

    #[cfg(not(miri))]
    #[test]
    fn both_implementations_and_the_crates_own_xchacha_agree() {
        use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
        for len in [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1_000, 32_000] {
            let (key, nonce, ad) = ([len as u8; 32], [7; NONCE], vec![9; len % 50]);
            let text: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (mut ours, mut other, mut theirs) = (text.clone(), text.clone(), text.clone());
            let tag = quick::seal(&key, &[7; 12], &ad, &mut ours).unwrap();
            assert_eq!(portable::seal(&key, &[7; 12], &ad, &mut other), Some(tag));
            assert_eq!(ours, other);
            ours.extend_from_slice(&tag);
            let mut again = ours.clone();
            portable::open(&key, &[7; 12], &ad, &mut ours).unwrap();
            assert_eq!(ours[..len], text);
            again[len / 2] ^= 1;
            assert_eq!(portable::open(&key, &[7; 12], &ad, &mut again.clone()), Err(Forged));
            assert_eq!(quick::open(&key, &[7; 12], &ad, &mut again), Err(Forged));
            let mut ours = text.clone();
            let tag = xseal(&key, &nonce, &ad, &mut ours);
            let cipher = XChaCha20Poly1305::new(&key.into());
            let expected = cipher
                .encrypt_inout_detached(&nonce.into(), &ad, theirs.as_mut_slice().into())
                .unwrap();
            assert_eq!((ours, &tag[..]), (theirs, &expected[..]));
        }
    }
}
