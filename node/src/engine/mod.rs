//! A node in a room: one task owns the [`Room`](crate::room), the mesh ([`crate::net`]) and the rendezvous session, and everything else
//! holds a [`Handle`] and reads [`Events`].
//!
//! ```text
//!  Handle ──commands(64)──▶ ┌───────┐ ──Input──▶ Room ──Output──▶ ┐
//!  Events ◀──events(512)─── │ actor │ ◀───────────────────────────┘
//!                           └───────┘ ◀──events──▶ Net (the mesh)
//!                               ▲ ──addresses──▶ ┌───────────┐
//!                               └───reports(8)── │ heartbeat │ ──HTTP──▶ rendezvous
//!                                                └───────────┘
//! ```
//!
//! The actor never waits for anybody but these: a slow front end loses events and is told so, HTTP runs in a task of its own, and the disk
//! is waited for on a thread (`journal`), while what rests on a commit waits in a queue. The clocks are read here, for the room too.

mod actor;
mod answer;
mod arrive;
mod capsules;
mod carry;
pub(crate) mod clock;
mod enter;
mod error;
mod event;
mod handle;
mod heartbeat;
mod introductions;
mod journal;
mod keyring;
mod moving;
mod passed;
mod registrar;
mod relays;
mod remember;
mod router;
mod status;

#[cfg(test)]
mod tests;

pub(crate) use enter::free_port;
pub use enter::{AdminAccess, EnterOptions, Meeting, enter};
pub use error::{ActError, Closed, EnterError, SendError};
pub use event::{CloseReason, Event, EventKind, Events};
pub use handle::Handle;
pub use status::{RendezvousState, RoomInfo, Status, UpnpState};
