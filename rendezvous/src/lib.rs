//! The rendezvous of Snug: it checks credentials of rooms that it can't read, and introduces members to each other.
//!
//! [`Server::bind`] opens the store and the sockets, [`Server::run`] serves until told to stop. `snug-rendezvous` is a thin
//! program around the two, and `snug host` runs them in its own process. What is stored and why: docs/OPERATIONS.md; the
//! HTTP API: `snug-rendezvous-api` and docs/PROTOCOL.md, "Rendezvous".
//!
//! ```text
//! http    sockets, time-outs, caps           knows no room
//! app     requests to answers, limits        knows no store's inside
//! store   one trait: redb, MongoDB           knows no request
//! relay   bytes between members              knows neither rooms nor requests
//! ```

mod app;
mod backup;
mod clock;
mod config;
mod control;
pub mod doctor;
mod error;
pub mod host;
mod http;
mod key_file;
mod keys;
mod random;
mod registration;
mod relay;
mod server;
mod store;

pub use clock::Clock;
pub use config::{
    Acme, Config, Limits, Log, Registration, RelayConfig, StoreSpec, StoreSpecError, TlsFiles, default_data_dir,
    settings,
};
pub use error::StartError;
pub use relay::{External, RelayError, RelayLimits, RelayListen};
pub use server::{Reload, Server};

/// What the crate's own tests and benchmarks need of its inside; no part of its interface.
#[doc(hidden)]
pub mod testing {
    pub use crate::store::{
        Capsule, Change, Changed, Entry, FIRST_GENERATION, Finish, Former, HostStore, NewRoom, OpenError, Opened,
        PasswordChange, Portion, Registered, Room, RoomKeyChange, STORE_VERSION, Session, Settlement, Store,
        StoreError, Tombstone, Word, check_redb, open,
    };
}
