//! Snug's protocol (`snug/1`) with no I/O, no clock and no global randomness.
//!
//! Randomness comes in as `&mut impl CryptoRng`, time as Unix milliseconds, and bytes go out: whoever calls owns the
//! network and the disk. The normative text is `docs/PROTOCOL.md`; each module names the section it implements.
//!
//! Two features split the crate. `credential` is all that a rendezvous may link: OPAQUE, handles, tombstones. `room`
//! is what a member needs besides: names and keys, records, epochs, frames.
#![cfg_attr(not(feature = "room"), allow(dead_code))]

pub mod admin;
#[cfg(feature = "room")]
mod aead;
#[cfg(feature = "room")]
pub mod approval;
pub mod bounds;
#[cfg(feature = "room")]
pub mod capsule;
#[cfg(feature = "room")]
pub mod content;
#[cfg(feature = "room")]
pub mod control;
#[cfg(feature = "credential")]
pub mod credential;
#[cfg(feature = "room")]
pub mod direct;
#[cfg(feature = "room")]
pub mod epoch;
pub mod export_key;
#[cfg(feature = "room")]
pub mod extensions;
#[cfg(feature = "room")]
pub mod frame;
#[cfg(feature = "room")]
pub mod generation;
#[cfg(feature = "room")]
pub mod genesis;
#[cfg(feature = "room")]
pub mod hand_over;
#[cfg(feature = "room")]
pub mod identity;
pub mod ids;
#[cfg(feature = "room")]
pub mod invite;
pub mod kdf;
#[cfg(feature = "room")]
pub mod keeper;
#[cfg(feature = "room")]
pub mod kem;
pub mod label;
#[cfg(feature = "room")]
pub mod leaf;
#[cfg(feature = "room")]
pub mod link;
#[cfg(feature = "room")]
pub mod merkle;
#[cfg(feature = "room")]
pub mod names;
#[cfg(feature = "room")]
pub mod object;
#[cfg(feature = "room")]
pub mod operation;
#[cfg(feature = "room")]
pub mod pair;
#[cfg(feature = "room")]
pub mod presence;
#[cfg(feature = "room")]
pub mod rest;
#[cfg(feature = "room")]
pub mod safety;
#[cfg(feature = "credential")]
mod secret;
pub mod sign;
pub mod wire;

pub use admin::{AdminKey, AdminPublicKey};
pub use export_key::ExportKey;
#[cfg(feature = "room")]
pub use generation::{ControlKey, Generation, GenerationKeys, IntroKey, JoinKey, MeshKey, Psk, RoomRandom, Topic};
#[cfg(feature = "room")]
pub use genesis::{Genesis, Policy};
#[cfg(feature = "room")]
pub use identity::{Identity, TransportKey};
pub use ids::*;
#[cfg(feature = "room")]
pub use names::{Password, RoomId, RoomKey};
