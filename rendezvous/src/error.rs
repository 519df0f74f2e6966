//! Why a server does not start. Each says what to do; none shows a secret.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::relay::RelayError;
use crate::store::OpenError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder can't be made or written to.
    #[error("can't use the data folder {}: {reason}; name another with --data-dir", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The key file can't be read or made.
    #[error("can't use the server key file {}: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The key file has another length.
    #[error("the server key file {} holds {found} bytes, which is no number of keys of 32 bytes: restore it from a backup", path.display())]
    KeyLength {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// The key file holds as many as it may.
    #[error(
        "the server key file {} holds as many keys as it may: every room is looked for under each of them; rooms of the oldest \
         would have to go first",
        path.display()
    )]
    TooManyKeys {
        /// The file.
        path: PathBuf,
    },
    /// Others can read the key.
    #[error(
        "the server key file {} can be read by others (mode {mode:04o}): make it yours alone with `chmod 600`",
        path.display()
    )]
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is a store, and its key is gone.
    #[error(
        "there is a store, but its server key file {} is missing: restore it from a backup; \
         without it no room in the store can be reached",
        path.display()
    )]
    KeyMissing {
        /// The file.
        path: PathBuf,
    },
    /// The file of registration tokens can't be used.
    #[error("can't use the registration tokens in {}: {reason}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any token.
        reason: String,
    },
    /// Certificates can't be used.
    #[error("can't serve https: {0}")]
    Tls(String),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OpenErrorOpaque),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {reason}{}", advice(reason))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The relay can't be had.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Something that can't happen did.
    #[error("the server could not start: {0}")]
    Internal(&'static str),
}

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OpenErrorOpaque(OpenError);

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Store(OpenErrorOpaque(error))
    }
}

fn advice(reason: &std::io::Error) -> &'static str {
    match reason.kind() {
        std::io::ErrorKind::AddrInUse => "; stop what uses it, or name another address (port 0 picks a free one)",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}
