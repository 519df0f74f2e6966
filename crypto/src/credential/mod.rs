//! OPAQUE credentials, tombstones, certificates and listings: docs/PROTOCOL.md, "Credentials"; RFC 9807.
//!
//! A room has two credentials, one for the Room Key and one for the Password. Each is an OPAQUE registration
//! (ristretto255-SHA512, 3DH) whose key-stretching function is Argon2id on the client: the server never sees the secret,
//! never stretches anything, and what it stores can be tested against a guess only by whoever has its key. Registration
//! and login both leave the client an [`ExportKey`](crate::ExportKey) that seals the credential's capsule.
//!
//! The identifiers that OPAQUE binds are `client = handle ‖ kind` (33 bytes; kind 01 room, 02 admin) and
//! `server = "snug/1 rendezvous"`; the context of the key exchange is `"snug/1 opaque"`. So a server can't answer for
//! another room, or with the room's other credential.

mod certificate;
pub mod client;
mod listing;
pub mod server;
mod state;
mod stretch;
mod suite;
mod tombstone;

pub use certificate::{
    CERTIFICATE_LEN, CERTIFICATE_TTL_MS, Certificate, CertificateError, Rank, Request, SignedCertificate,
};
pub use listing::{Listing, ListingError, MAX_LISTING_LEN};
pub use stretch::Argon2id;
#[cfg(feature = "danger-no-stretching")]
pub use stretch::DangerNoStretching;
pub use suite::{Kind, Stretch};
pub use tombstone::{STORED_TOMBSTONE_LEN, SignedTombstone, TOMBSTONE_LEN, Tombstone, TombstoneError};

/// OPAQUE registration request: a blinded element.
pub const REGISTRATION_REQUEST_LEN: usize = 32;
/// OPAQUE registration response: evaluated element, server public key.
pub const REGISTRATION_RESPONSE_LEN: usize = 64;
/// OPAQUE registration record: client public key, masking key, envelope.
pub const REGISTRATION_UPLOAD_LEN: usize = 192;
/// OPAQUE KE1: blinded element, nonce, key share.
pub const KE1_LEN: usize = 96;
/// OPAQUE KE2: evaluated element, masking nonce, masked response, nonce, key share, MAC.
pub const KE2_LEN: usize = 320;
/// OPAQUE KE3: MAC.
pub const KE3_LEN: usize = 64;

#[cfg(test)]
mod tests;
