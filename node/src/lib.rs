//! Snug's node: a member's side of a room, as a library.
//!
//! [`room`] is the protocol as a state machine without I/O, [`net`] the libp2p mesh under it, [`rendezvous`] the client of the
//! introduction server; [`engine`] is the actor that owns all three and hands out a handle. Front ends live in the binary.

pub mod contacts;
pub mod engine;
pub mod keeper;
mod lan;
pub mod net;
pub mod profile;
pub mod rendezvous;
pub mod room;
pub mod text;
mod upnp;
