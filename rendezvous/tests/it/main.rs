//! Tests of the rendezvous over its sockets, its stores and its command line. MongoDB comes from `$MONGOD`, or the PATH.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy takes only the test functions themselves for tests.

mod bounds;
mod canary;
mod change;
mod cli;
mod deletion;
mod directory;
mod document;
mod endurance;
mod host;
mod host_story;
mod instances;
mod key_change;
mod login;
mod mongod;
mod presence;
mod pressure;
mod process;
mod proxy;
mod relay;
mod replica;
mod store;
mod support;
mod tls;
mod upgrade;
