//! What an OPAQUE login or registration leaves with the client alone (RFC 9807, 6.4): 64 bytes, never at the server.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// An OPAQUE export key, 64 bytes: seals the capsule of its credential (docs/PROTOCOL.md, "Capsules").
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ExportKey([u8; 64]);

impl ExportKey {
    /// Takes what OPAQUE derived.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The key itself, for a KDF.
    pub(crate) fn expose(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for ExportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("ExportKey(redacted)")
    }
}
