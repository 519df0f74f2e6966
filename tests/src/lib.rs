//! What black-box tests and measurements of Snug share: they start the real programs as processes and look at nothing but what those
//! print, answer and send.
//!
//! - [`binaries`] finds the programs, [`process`] runs one with a transcript and an end,
//! - [`home`] is one person's data folder, [`member`] drives `snug … --json`, [`plain`] drives `snug … --plain`,
//! - [`rendezvous`] and [`mongod`] are the servers, [`capture`] a proxy that keeps all that passes,
//! - [`netns`] makes networks of their own for them, [`internet`] one with routers in it, [`igd`] is what opens ports of those,
//! - [`canary`] searches bytes for a secret in every form it could have taken.
//!
//! Nothing here sleeps until something is ready: it waits for the event that says so, up to [`PATIENCE`].

// A harness that can't set up its test has to fail that test on the spot, and say which step it was.
#![allow(clippy::expect_used)]

use std::time::Duration;

pub mod binaries;
pub mod canary;
pub mod capture;
pub mod crossing;
pub mod home;
pub mod igd;
pub mod internet;
pub mod member;
pub mod mongod;
pub mod netns;
pub mod plain;
pub mod process;
pub mod rendezvous;

/// How long a single step may take before its test fails. Generous, because CI machines are slow and shared: a step that is
/// promised to be faster is asserted by its own bound.
pub const PATIENCE: Duration = Duration::from_secs(60);
