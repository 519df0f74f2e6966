//! Snug's protocol (`snug/1`) with no I/O, no clock and no global randomness.
//!
//! Randomness comes in as `&mut impl CryptoRng`, time as Unix milliseconds, and bytes go out: whoever calls owns the
//! network and the disk. The normative text is `docs/PROTOCOL.md`; each module names the section it implements.
//!
//! Two features split the crate. `credential` is all that a rendezvous may link: OPAQUE, handles, tombstones. `room`
//! is what a member needs besides: names and keys, records, epochs, frames.
#![cfg_attr(not(feature = "room"), allow(dead_code))]

pub mod admin;
pub mod bounds;
#[cfg(feature = "credential")]
pub mod credential;
pub mod export_key;
pub mod ids;
pub mod kdf;
pub mod label;
#[cfg(feature = "credential")]
mod secret;
pub mod sign;
pub mod wire;

pub use admin::{AdminKey, AdminPublicKey};
pub use export_key::ExportKey;
pub use ids::*;
