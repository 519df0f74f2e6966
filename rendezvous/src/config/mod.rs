//! What a server is told when it starts, and what of it may change while it runs ([`Live`]).

mod live;
pub mod settings;
mod store;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub(crate) use self::live::{Live, LiveConfig, MayRegister};
pub use self::store::{StoreSpec, StoreSpecError};
use crate::clock::Clock;
use crate::relay::{External, RelayLimits, RelayListen};

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
    /// Certificate and key to serve https with; plain http without.
    pub tls: Option<TlsFiles>,
    /// Certificates from an ACME certificate authority; not together with `tls`.
    pub acme: Option<Acme>,
    /// Who may make rooms.
    pub registration: Registration,
    /// Whether rooms may be registered over plain http from other hosts.
    pub insecure_registration: bool,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Rooms that nobody has entered for this many days are removed; 0 is never.
    pub idle_room_days: u32,
    /// How long after its start the server first removes such rooms; then it does once a day. An hour, in which somebody may see that
    /// the clock is wrong.
    pub idle_first: Duration,
    /// Where members meet who can't reach each other.
    pub relay: RelayConfig,
    /// What a client may cost.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
    /// Whether its host's commands reach it while it runs, over [`Config::control_socket`].
    pub control: bool,
    /// The time.
    pub clock: Clock,
}

impl Config {
    /// Defaults: loopback, any free port, redb in `data_dir`, no admin port, no relay.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            admin_listen: None,
            data_dir: data_dir.into(),
            store: None,
            server_key_file: None,
            tls: None,
            acme: None,
            registration: Registration::Open,
            insecure_registration: false,
            trusted_proxies: Vec::new(),
            idle_room_days: 0,
            idle_first: Duration::from_secs(3600),
            relay: RelayConfig::default(),
            limits: Limits::default(),
            log: Log::default(),
            control: false,
            clock: Clock::system(),
        }
    }

    /// The store, with its default.
    #[must_use]
    pub fn store_spec(&self) -> StoreSpec {
        let default = || StoreSpec::Redb(self.data_dir.join("rooms.redb"));
        self.store.clone().unwrap_or_else(default)
    }

    /// The server key's file, with its default.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        let default = || self.data_dir.join("server.key");
        self.server_key_file.clone().unwrap_or_else(default)
    }

    /// Where a running server can be asked by its host: a socket (0600) in the data folder.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }

    /// Whether it serves https itself.
    #[must_use]
    pub fn serves_tls(&self) -> bool {
        self.tls.is_some() || self.acme.is_some()
    }
}

/// The relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where it listens, if anywhere.
    pub listen: RelayListen,
    /// Where the world reaches it, if that is somewhere else than members would think.
    pub external: Vec<External>,
    /// What it may cost.
    pub limits: RelayLimits,
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Certificates that are ordered, and renewed, by the server itself (RFC 8555, challenge TLS-ALPN-01 of RFC 8737).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Names to be certified; at least one.
    pub domains: Vec<String>,
    /// Where the authority may write to, without `mailto:`; may be empty.
    pub contact: String,
    /// The authority's directory URL.
    pub directory: String,
    /// A PEM file with the roots that the authority's own https is checked against, for authorities that are not public.
    pub ca_file: Option<PathBuf>,
    /// Where account and certificates are kept; `acme` in the data folder, if not said.
    pub cache_dir: Option<PathBuf>,
}

impl Acme {
    /// Let's Encrypt.
    pub const LETS_ENCRYPT: &'static str = "https://acme-v02.api.letsencrypt.org/directory";
    /// Let's Encrypt's staging authority, whose certificates nobody trusts: to try a set-up without using up limits.
    pub const LETS_ENCRYPT_STAGING: &'static str = "https://acme-staging-v02.api.letsencrypt.org/directory";
}

/// Who may make rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Nobody.
    Closed,
    /// Whoever has one of the tokens in this file, one a line.
    Token {
        /// The file, 0600.
        file: PathBuf,
    },
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Log {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// Each request: method, kind of path, status, time.
    pub requests: bool,
    /// With each request the client's address and the room's keyed handle: personal data.
    pub danger_clients: bool,
}

/// What a client may cost the server. All of it is per instance, except the unfinished logins of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. When they are all taken, the oldest that has not asked anything yet makes room.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// A TLS handshake and a request's header, from the first byte or from when the connection is idle.
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
    /// Requests of a room in a second, from all addresses together, in the long run: 4,096 members' heartbeats are 140.
    pub room_requests_per_second: u32,
    /// Requests of a room at once.
    pub room_request_burst: u32,
    /// Logins an address may start in a minute, in the long run; each leaves a trace in the store for a day, if it is not
    /// finished.
    pub logins_per_minute: u32,
    /// Logins an address may start at once.
    pub login_burst: u32,
    /// Rooms an address may register in an hour, in the long run and at once.
    pub registrations_per_hour: u32,
    /// Rooms an address may register in a day, in the long run and at once.
    pub registrations_per_day: u32,
    /// Logins of a room that may start and not finish in 24 hours; shared by all instances of a store.
    pub unfinished_logins: u32,
    /// Whether limits per address hold for loopback too, that is for programs on the same machine.
    pub limit_loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_address: 512,
            // A little under ten seconds, so that a silent socket is closed within ten.
            header_timeout: Duration::from_secs(9),
            request_timeout: Duration::from_secs(9),
            write_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
            requests_per_second: 50,
            request_burst: 500,
            room_requests_per_second: 500,
            room_request_burst: 5000,
            logins_per_minute: 60,
            login_burst: 200,
            registrations_per_hour: 30,
            registrations_per_day: 100,
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
