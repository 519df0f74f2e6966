//! What a server is told when it starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Clock;

/// Where rooms are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreSpec {
    /// An embedded redb file.
    Redb(PathBuf),
    /// A MongoDB connection string. May hold a password.
    Mongo(String),
}

/// The text names no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a store is redb:PATH, mongodb://… or mongodb+srv://…")]
pub struct StoreSpecError;

impl FromStr for StoreSpec {
    type Err = StoreSpecError;

    fn from_str(text: &str) -> Result<Self, StoreSpecError> {
        match text.split_once(':') {
            Some(("redb", path)) if !path.is_empty() => Ok(Self::Redb(PathBuf::from(path))),
            Some(("mongodb" | "mongodb+srv", rest)) if rest.starts_with("//") => Ok(Self::Mongo(text.to_owned())),
            _ => Err(StoreSpecError),
        }
    }
}

impl std::fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
            Self::Mongo(_) => f.write_str("mongodb:(redacted)"),
        }
    }
}

/// Everything a server needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API is served; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where `/health/live` and `/health/ready` are served, if anywhere.
    pub admin_listen: Option<SocketAddr>,
    /// A folder of the server's own, made (0700) if missing.
    pub data_dir: PathBuf,
    /// Where rooms are kept; `rooms.redb` in the data folder, if not said.
    pub store: Option<StoreSpec>,
    /// The server key's file, made (0600) if missing; `server.key` in the data folder, if not said.
    pub server_key_file: Option<PathBuf>,
    /// What a client may cost.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
}

impl Config {
    /// Defaults: loopback, any free port, redb in `data_dir`, no admin port.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            admin_listen: None,
            data_dir: data_dir.into(),
            store: None,
            server_key_file: None,
            limits: Limits::default(),
            clock: Clock::system(),
        }
    }
}

/// What a client may cost the server. All of it is per instance, except the unfinished logins of a room.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once. When they are all taken, the oldest that has not asked anything yet makes room.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// A request's header, from the first byte or from when the connection is idle.
    pub header_timeout: Duration,
    /// A request's body and its answer, as far as it is up to us.
    pub request_timeout: Duration,
    /// How long a client may refuse to take what we send.
    pub write_timeout: Duration,
    /// How long requests in flight may take once the server is told to stop.
    pub shutdown_grace: Duration,
    /// Requests an address may make in a second, in the long run.
    pub requests_per_second: u32,
    /// Requests an address may make at once.
    pub request_burst: u32,
    /// Logins an address may start in a minute, in the long run; each leaves a trace in the store for a day, if it is not
    /// finished.
    pub logins_per_minute: u32,
    /// Logins an address may start at once.
    pub login_burst: u32,
    /// Rooms an address may register in an hour, in the long run and at once.
    pub registrations_per_hour: u32,
    /// Logins of a room that may start and not finish in 24 hours; shared by all instances of a store.
    pub unfinished_logins: u32,
    /// Whether limits per address hold for loopback too: behind a proxy on the same machine everybody is loopback.
    pub limit_loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_address: 512,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
            requests_per_second: 50,
            request_burst: 500,
            logins_per_minute: 60,
            login_burst: 200,
            registrations_per_hour: 30,
            unfinished_logins: snug_rendezvous_api::MAX_UNFINISHED_LOGINS,
            limit_loopback: false,
        }
    }
}

/// `$XDG_DATA_HOME/snug-rendezvous`, or `~/.local/share/snug-rendezvous`. `None` without a home.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("share")))?;
    Some(base.join("snug-rendezvous"))
}
