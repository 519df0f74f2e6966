//! Hashes and key derivation: docs/PROTOCOL.md, "Notation".
//!
//! - `lp(fields…)`: each field behind its length as a big-endian `u32`; a field is shorter than 2^24 bytes.
//! - `H(label, fields…) = SHA-256("snug/1 " ‖ label ‖ lp(fields…))`, 32 bytes.
//! - `Extract(salt, ikm) = HKDF-Extract-SHA256`, 32 bytes (RFC 5869).
//! - `X(k, label, fields…) = HKDF-Expand-SHA256(k, "snug/1 " ‖ label ‖ 0x00 ‖ lp(fields…))`, 32 bytes unless said.
//! - `MAC(k, label, fields…) = HMAC-SHA256(k, "snug/1 " ‖ label ‖ 0x00 ‖ lp(fields…))`, 32 bytes (RFC 2104).
//!
//! No label is the beginning of another one followed by 0x00, and every field's length begins with 0x00, so two labels
//! never make the same input.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::label::Label;

/// What all of this version's inputs begin with.
pub const PREFIX: &[u8] = b"snug/1 ";

/// A 32-byte secret that wipes itself.
pub type Secret32 = Zeroizing<[u8; 32]>;

type HmacSha256 = Hmac<Sha256>;

/// `H(label, fields…)`.
#[must_use]
pub fn hash(label: Label, fields: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(PREFIX);
    sha.update(label.as_bytes());
    for field in fields {
        sha.update(length(field));
        sha.update(field);
    }
    sha.finalize().into()
}

/// `Extract(salt, ikm)`.
#[must_use]
pub fn extract(salt: &[u8], ikm: &[u8]) -> Secret32 {
    let mut mac = keyed(salt);
    mac.update(ikm);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// `X(k, label, fields…)`, 32 bytes. `key` is 32 bytes of uniform secret, or 64 of an OPAQUE export key.
#[must_use]
pub fn expand(key: &[u8], label: Label, fields: &[&[u8]]) -> Secret32 {
    // HKDF-Expand of one hash length is one HMAC over info ‖ 0x01 (RFC 5869, 2.3).
    let mut mac = keyed(key);
    info(&mut mac, label, fields);
    mac.update(&[1]);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// `MAC(k, label, fields…)`.
#[must_use]
pub fn mac(key: &[u8; 32], label: Label, fields: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    info(&mut mac, label, fields);
    mac.finalize().into_bytes().into()
}

/// `(HMAC(k, 0x01), HMAC(k, 0x02))`, the step of a sender chain: the message key and the next chain key.
pub(crate) fn step(key: &[u8; 32]) -> (Secret32, Secret32) {
    let mut first = keyed(key);
    let mut second = first.clone();
    first.update(&[1]);
    second.update(&[2]);
    (
        Zeroizing::new(first.finalize().into_bytes().into()),
        Zeroizing::new(second.finalize().into_bytes().into()),
    )
}

/// The first half of a hash, for short identifiers.
pub(crate) fn first_16(hash: &[u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

fn info(mac: &mut HmacSha256, label: Label, fields: &[&[u8]]) {
    mac.update(PREFIX);
    mac.update(label.as_bytes());
    mac.update(&[0]);
    for field in fields {
        mac.update(&length(field));
        mac.update(field);
    }
}

/// The length of a field as `lp` writes it.
#[allow(clippy::cast_possible_truncation)]
fn length(field: &[u8]) -> [u8; 4] {
    debug_assert!(field.len() < 1 << 24, "a hashed field is shorter than 2^24 bytes");
    (field.len() as u32).to_be_bytes()
}

/// HMAC under a key of any length: the key is padded with zeros to a block, or hashed first if it is longer than one.
fn keyed(key: &[u8]) -> HmacSha256 {
    let mut block = Zeroizing::new([0u8; 64]);
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    HmacSha256::new((&*block).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label;

    #[test]
    fn expand_is_hkdf_expand() {
        let key = [9u8; 32];
        let mut info = b"snug/1 topic\0".to_vec();
        info.extend([0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0]);
        let mut okm = [0; 32];
        hkdf::Hkdf::<Sha256>::from_prk(&key)
            .unwrap()
            .expand(&info, &mut okm)
            .unwrap();
        assert_eq!(*expand(&key, label::TOPIC, &[b"ab", b""]), okm);
    }

    #[test]
    fn extract_is_hkdf_extract_for_short_and_long_salts() {
        for salt in [&[1u8; 32][..], &[2; 64], &[3; 65], &[4; 200], &[]] {
            let (prk, _) = hkdf::Hkdf::<Sha256>::extract(Some(salt), b"input");
            assert_eq!(extract(salt, b"input")[..], prk[..]);
        }
    }

    #[test]
    fn fields_cannot_slide_into_each_other() {
        assert_ne!(hash(label::TOPIC, &[b"ab", b"c"]), hash(label::TOPIC, &[b"a", b"bc"]));
        assert_ne!(hash(label::TOPIC, &[b"abc"]), hash(label::TOPIC, &[b"abc", b""]));
    }
}
