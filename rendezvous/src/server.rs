//! `bind`, `run`: a server from its configuration to its end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use snug_crypto::credential::server::ServerSetup;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{self, App};
use crate::config::{Config, Limits, StoreSpec};
use crate::error::StartError;
use crate::http;
use crate::key_file;
use crate::store::{self, Store};

/// Between two sweeps of what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// A server that has its store and its sockets, and serves once it runs.
pub struct Server {
    app: Arc<App>,
    store: Arc<dyn Store>,
    listener: TcpListener,
    local_addr: SocketAddr,
    admin: Option<(TcpListener, SocketAddr)>,
    limits: Limits,
}

impl Server {
    /// Makes or reads the server key, opens the store, and listens.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do about it.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let Config {
            listen,
            admin_listen,
            data_dir,
            store,
            server_key_file,
            limits,
            clock,
        } = config;
        make_data_dir(&data_dir)?;
        let spec = store.unwrap_or_else(|| StoreSpec::Redb(data_dir.join("rooms.redb")));
        let key_file = server_key_file.unwrap_or_else(|| data_dir.join("server.key"));
        // First, as it is what fails most, and before anything is made.
        let (listener, local_addr) = listen_on(listen).await?;
        let admin = match admin_listen {
            Some(address) => Some(listen_on(address).await?),
            None => None,
        };
        let may_create = !matches!(&spec, StoreSpec::Redb(path) if holds_data(path));
        let key = key_file::load_or_create(&key_file, may_create)?;
        let setup = ServerSetup::new(key).map_err(|_| StartError::Internal("the server key is unusable"))?;
        let store: Arc<dyn Store> = store::open(&spec, setup.key_check()).await?.into();
        let app = Arc::new(App::new(setup, Arc::clone(&store), clock, limits.clone()));
        Ok(Self {
            app,
            store,
            listener,
            local_addr,
            admin,
            limits,
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

    /// Serves until `shutdown` completes, then lets requests in flight end and closes the store. Dropping the future stops
    /// at once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            app,
            store,
            listener,
            local_addr: _,
            admin,
            limits,
        } = self;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(
            listener,
            app::router(Arc::clone(&app)),
            limits.clone(),
            stop.clone(),
        ));
        if let Some((listener, _)) = admin {
            tasks.spawn(http::serve(
                listener,
                app::health(Arc::clone(&store)),
                limits,
                stop.clone(),
            ));
        }
        tasks.spawn(sweep(Arc::clone(&app), stop.clone()));
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
fn make_data_dir(path: &Path) -> Result<(), StartError> {
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
