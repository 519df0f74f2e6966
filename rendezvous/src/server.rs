//! `bind`, `run`: a server from its configuration to its end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{self, App, Metrics};
use crate::config::{Config, Live, LiveConfig, StoreSpec};
use crate::control::{Control, ControlSocket};
use crate::error::StartError;
use crate::http::{Counters, Front, Tls, Upkeep};
use crate::key_file;
use crate::keys::ServerKeys;
use crate::relay::{Relay, RelayListen};
use crate::store::{self, Store, Timed, Tombstone, Word};

/// Between two sweeps of what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Between two searches for rooms that nobody enters any more…
const IDLE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// …of which one removes at most this share, and this many in a small store.
const IDLE_SHARE: usize = 20;
const IDLE_LEAST: usize = 10;
/// Between two looks at whether days are to be kept.
const IDLE_LOOK: Duration = Duration::from_secs(3600);
/// Rooms that such a look takes note of.
const IDLE_NOTED: usize = 10_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// A server that has its store and its sockets, and serves once it runs.
pub struct Server {
    app: Arc<App>,
    store: Arc<dyn Store>,
    front: Front,
    local_addr: SocketAddr,
    admin: Option<(Front, SocketAddr)>,
    upkeep: Option<Upkeep>,
    control: Option<(ControlSocket, Control)>,
    relay: Option<Relay>,
    reload: Reload,
    idle_first: Duration,
}

/// Applies another configuration to a server that runs; clones reach the same server.
#[derive(Clone)]
pub struct Reload {
    live: LiveConfig,
    tls: Option<Tls>,
}

impl Reload {
    /// Applies what can change while it runs: limits, registration, trusted proxies, the log, and certificates, whose files
    /// are read again. If anything is wrong, nothing changes.
    ///
    /// # Errors
    /// [`StartError`] says what can't be used.
    pub fn apply(&self, config: &Config) -> Result<(), StartError> {
        let live = Live::of(config)?;
        self.tls.as_ref().map_or(Ok(()), Tls::reload).map_err(StartError::Tls)?;
        self.live.set(live);
        Ok(())
    }
}

impl Server {
    /// Makes or reads the server key, opens the store, and listens.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do about it.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        make_data_dir(&config.data_dir)?;
        let spec = config.store_spec();
        let live = LiveConfig::new(Live::of(&config)?);
        let (tls, upkeep) = match Tls::new(&config)? {
            Some((tls, upkeep)) => (Some(tls), Some(upkeep)),
            None => (None, None),
        };
        // First, as it is what fails most, and before anything is made.
        let (listener, local_addr) = listen_on(config.listen).await?;
        let admin = match config.admin_listen {
            Some(address) => Some(listen_on(address).await?),
            None => None,
        };
        let may_create = !matches!(&spec, StoreSpec::Redb(path) if holds_data(path));
        let is_missing = matches!(&spec, StoreSpec::Redb(path) if !path.exists());
        if is_missing && config.key_file().exists() {
            tracing::warn!(
                store = spec.redacted(),
                "there is a server key, but no store: a new one is made, without any rooms"
            );
        }
        let keys = ServerKeys::new(key_file::load_or_create(&config.key_file(), may_create)?)?;
        let metrics = Arc::new(Metrics::default());
        let store = store::open(&spec, &keys.checks()).await?.into();
        let store: Arc<dyn Store> = Arc::new(Timed::new(store, Arc::clone(&metrics) as _));
        let clock = config.clock.clone();
        let relay = match Relay::bind(&config, local_addr, &config.data_dir) {
            // Nobody asked for it in particular, so rooms are served without.
            Err(error) if config.relay.listen == RelayListen::IfPublic => {
                tracing::warn!(%error, "there is no relay: members who can't reach each other can't meet");
                None
            }
            bound => bound?,
        };
        let told = relay.as_ref().map(Relay::told).unwrap_or_default();
        let relayed = relay.as_ref().map(Relay::counters);
        let app = App::new(keys, Arc::clone(&store), metrics, told, clock, live.clone());
        let app = Arc::new(app);
        // After the store, which only one server can have: the socket that is there is nobody's.
        let control = config.control.then(|| ControlSocket::bind(&config.control_socket()));
        let control = match control {
            Some(Ok(socket)) => Some(socket),
            Some(Err(error)) => {
                tracing::warn!(%error, "no control socket: `room` and `backup` won't reach this server while it runs");
                None
            }
            None => None,
        };
        let front = Front {
            listener,
            router: app::router(Arc::clone(&app)),
            tls: tls.clone(),
            live: live.clone(),
            counters: Arc::new(Counters::default()),
        };
        let counters = Arc::clone(&front.counters);
        let admin = admin.map(|(listener, address)| {
            let front = Front {
                listener,
                router: app::health(Arc::clone(&app), counters, relayed.clone()),
                tls: None,
                live: live.clone(),
                counters: Arc::new(Counters::default()),
            };
            (front, address)
        });
        let control = control.map(|socket| {
            let control = Control {
                app: Arc::clone(&app),
                listen: local_addr,
                admin_listen: admin.as_ref().map(|(_, address)| *address),
                store: spec.redacted(),
                counters: Arc::clone(&front.counters),
                relay: relay.as_ref().map(|relay| (relay.told(), relay.counters())),
            };
            (socket, control)
        });
        Ok(Self {
            app,
            store,
            front,
            local_addr,
            admin,
            upkeep,
            control,
            relay,
            reload: Reload { live, tls },
            idle_first: config.idle_first,
        })
    }

    /// Where the API is served: the port that was picked, if it was 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where health is served, if anywhere.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// What applies another configuration while it runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until `shutdown` completes, then lets requests in flight end and closes the store. Dropping the future stops
    /// at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            app,
            store,
            front,
            local_addr: _,
            admin,
            upkeep,
            control,
            relay,
            reload: _,
            idle_first,
        } = self;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(front.serve(stop.clone()));
        if let Some((front, _)) = admin {
            tasks.spawn(front.serve(stop.clone()));
        }
        if let Some(upkeep) = upkeep {
            tasks.spawn(upkeep.run(stop.clone()));
        }
        if let Some((socket, control)) = control {
            tasks.spawn(control.serve(socket, stop.clone()));
        }
        if let Some(relay) = relay {
            tasks.spawn(relay.run(stop.clone()));
        }
        tasks.spawn(sweep(Arc::clone(&app), stop.clone()));
        tasks.spawn(remove_idle(Arc::clone(&app), idle_first, stop.clone()));
        shutdown.await;
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        if let Err(error) = app.settle().await {
            tracing::error!(%error, "unfinished logins could not be settled: some more of them count for a day");
        }
        if let Err(error) = store.close().await {
            tracing::error!(%error, "the store did not close cleanly");
        }
    }
}

async fn sweep(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => if let Err(error) = app.sweep().await {
                tracing::error!(%error, "what has expired could not be removed");
            },
        }
    }
}

/// Removes rooms that nobody has entered for as long as the host's policy says, if it says anything.
async fn remove_idle(app: Arc<App>, first: Duration, stop: CancellationToken) {
    let mut next = tokio::time::Instant::now() + first;
    loop {
        // Every start looks once, however short it is.
        if let Err(error) = app.look_at_days().await {
            tracing::error!(%error, "the days on which rooms were entered could not be looked at");
        }
        if tokio::time::Instant::now() >= next {
            next += IDLE_EVERY;
            match app.remove_idle().await {
                Ok(0) => {}
                Ok(removed) => tracing::warn!(removed, "rooms that nobody entered were removed"),
                Err(error) => tracing::error!(%error, "rooms that nobody enters could not be removed"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(IDLE_LOOK) => {}
        }
    }
}

impl App {
    /// The day of the server's clock, since 1970.
    pub(crate) fn today(&self) -> u32 {
        u32::try_from(self.clock.now_ms() / DAY_MS).unwrap_or(u32::MAX)
    }

    /// While the policy is off no day is kept; while it is on, rooms of which none is known count as entered today.
    async fn look_at_days(&self) -> Result<(), store::StoreError> {
        if self.live().idle_room_days == 0 {
            return self.store.forget_days().await;
        }
        self.store.idle_rooms(0, self.today(), IDLE_NOTED).await.map(|_| ())
    }

    /// Removes rooms that nobody has entered for longer than the policy allows, longest unused first; how many it were. Never
    /// many at once: a wrong clock or a slip in the settings must cost little before somebody sees it.
    pub(crate) async fn remove_idle(&self) -> Result<usize, store::StoreError> {
        let days = self.live().idle_room_days;
        if days == 0 {
            return Ok(0);
        }
        let today = self.today();
        let rooms = usize::try_from(self.store.counts().await?.rooms).unwrap_or(usize::MAX);
        let most = (rooms / IDLE_SHARE).max(IDLE_LEAST);
        let idle = self.store.idle_rooms(today.saturating_sub(days), today, most).await?;
        for room in &idle {
            self.store.delete_room(*room, self.removal()).await?;
        }
        Ok(idle.len())
    }

    /// The host's word, now.
    pub(crate) fn removal(&self) -> Tombstone {
        Tombstone {
            word: Word::Host,
            at_ms: self.clock.now_ms(),
        }
    }
}

async fn listen_on(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |reason| StartError::Listen { address, reason };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// Whether there is a store that a new key would orphan.
fn holds_data(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

/// Makes the folder (0700), and sees that it can be written to.
pub(crate) fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let failed = |reason| StartError::DataDir {
        path: path.to_owned(),
        reason,
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed)?;
    if std::fs::metadata(path).map_err(failed)?.permissions().readonly() {
        return Err(failed(std::io::ErrorKind::PermissionDenied.into()));
    }
    Ok(())
}
