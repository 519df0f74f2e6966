//! A deterministic simulator of rooms: members are real [`snug::room::Room`]s with real keys, the network and the clock are not.
//!
//! Everything follows from a seed, to the byte: virtual time, a network that delays, loses, reorders and doubles what it carries, that parts
//! and heals; members whose clocks are off, that crash in the middle of a write and come back from what they had committed. A failure
//! is replayed by its seed.
//!
//! | | |
//! |---|---|
//! | [`World`] | members, links and time, for tests that tell a story step by step |
//! | [`Weather`] | what the network does to what it carries |
//! | [`Scenario`] | a whole run from a few numbers, judged: what the program `snug-sim` does |
//!
//! What it leaves out: libp2p (gossip is flooding over a few links of each member, and links are authenticated by decree), bandwidth, and
//! the time that computing takes.

// A world that can't be built has nothing to say, and says so loudly.
#![allow(clippy::expect_used)]

mod node;
mod scenario;
mod weather;
mod world;

pub use node::Node;
pub use scenario::{Failure, Outcome, Scenario, Spread};
pub use weather::Weather;
pub use world::{Traffic, World};
