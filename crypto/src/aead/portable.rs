//! ChaCha20-Poly1305 by the crate `chacha20poly1305`: pure Rust, for Miri, and to check the quick one against.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

use super::{Forged, TAG};

pub(super) fn seal(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], text: &mut [u8]) -> Option<[u8; TAG]> {
    let tag = ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(nonce.into(), ad, text.into());
    tag.ok().map(Into::into)
}

pub(super) fn open(key: &[u8; 32], nonce: &[u8; 12], ad: &[u8], text_and_tag: &mut [u8]) -> Result<(), Forged> {
    let (text, tag) = text_and_tag.split_last_chunk_mut::<TAG>().ok_or(Forged)?;
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(nonce.into(), ad, text.into(), (&*tag).into())
        .map_err(|_| Forged)
}
