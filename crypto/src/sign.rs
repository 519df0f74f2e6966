//! Signatures: docs/PROTOCOL.md, "Signatures".
//!
//! `S(sk, label, genesis_hash, digest) = Ed25519(sk, "snug/1 " ‖ label ‖ 0x00 ‖ genesis_hash ‖ digest)`, 64 bytes, where
//! `digest` is the 32-byte hash that names what is signed. So every signature carries its purpose and its room, costs the
//! same for an object of any size, and can be checked by whoever has only the hash.
//!
//! Verification is `verify_strict` of one signature at a time: batch verification accepts signatures that others refuse,
//! and members would disagree about what was said.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::{GenesisHash, kdf, label::Label};

/// An Ed25519 signature (RFC 8032), 64 bytes.
pub type Signature = [u8; 64];

/// The longest label that signs anything.
const MAX_LABEL: usize = 32;

/// The signature or the key it should verify under is not what it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature doesn't verify")]
pub struct BadSignature;

/// Signs `digest` for `label` in the room `genesis`.
pub(crate) fn sign(key: &SigningKey, label: Label, genesis: &GenesisHash, digest: &[u8; 32]) -> Signature {
    let (message, len) = message(label, genesis, digest);
    key.sign(&message[..len]).to_bytes()
}

/// Verifies strictly under a key as it came over the wire.
pub(crate) fn verify(
    key: &[u8; 32],
    label: Label,
    genesis: &GenesisHash,
    digest: &[u8; 32],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| BadSignature)?;
    verify_expanded(&key, label, genesis, digest, signature)
}

/// Verifies strictly under a key that was decompressed before.
pub(crate) fn verify_expanded(
    key: &VerifyingKey,
    label: Label,
    genesis: &GenesisHash,
    digest: &[u8; 32],
    signature: &Signature,
) -> Result<(), BadSignature> {
    let (message, len) = message(label, genesis, digest);
    key.verify_strict(&message[..len], &signature.into())
        .map_err(|_| BadSignature)
}

fn message(label: Label, genesis: &GenesisHash, digest: &[u8; 32]) -> ([u8; 72 + MAX_LABEL], usize) {
    let mut message = [0; 72 + MAX_LABEL];
    let mut at = 0;
    for part in [kdf::PREFIX, label.as_bytes(), &[0], genesis.as_bytes(), digest] {
        message[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    (message, at)
}
