//! `snug-rendezvous serve`.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::error::ErrorKind;
use snug_rendezvous::{Config, Server, StartError, StoreSpec, default_data_dir};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Where health is served unless said otherwise.
const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7071);
/// Threads that wait for the disk, at most.
const BLOCKING_THREADS: usize = 16;

/// Flags of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address to serve on; port 0 picks a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:7070",
        env = "SNUG_RENDEZVOUS_LISTEN"
    )]
    listen: SocketAddr,

    /// Where rooms are kept: redb:PATH or mongodb://…  [default: redb:rooms.redb in the data folder]. With a password in
    /// it, better from the environment than from the command line, which others on the machine can see.
    #[arg(long, value_name = "STORE", env = "SNUG_RENDEZVOUS_STORE", hide_env_values = true)]
    store: Option<StoreSpec>,

    /// The server's own folder, made if missing [default: $XDG_DATA_HOME/snug-rendezvous].
    #[arg(long, value_name = "DIR", env = "SNUG_RENDEZVOUS_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// The server key's file, made if missing [default: server.key in the data folder].
    #[arg(long, value_name = "FILE", env = "SNUG_RENDEZVOUS_SERVER_KEY_FILE")]
    server_key_file: Option<PathBuf>,

    /// Loopback address for /health/live and /health/ready [default: 127.0.0.1:7071, if it is free].
    #[arg(long, value_name = "ADDR", env = "SNUG_RENDEZVOUS_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,

    /// Log each request: method, kind of path, status, time.
    #[arg(long)]
    verbose: bool,
}

/// Serves until a signal comes.
pub fn run(serve: Serve) -> ExitCode {
    if let Some(address) = serve.admin_listen.filter(|address| !address.ip().is_loopback()) {
        let message = format!("--admin-listen must be a loopback address, and {address} is none\n");
        clap::Error::raw(ErrorKind::ValueValidation, message).exit();
    }
    let Some(data_dir) = serve.data_dir.clone().or_else(default_data_dir) else {
        let message = "no data folder: name one with --data-dir, as neither XDG_DATA_HOME nor HOME is set\n";
        clap::Error::raw(ErrorKind::MissingRequiredArgument, message).exit();
    };
    log(serve.verbose);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(until_signal(serve, data_dir)),
        Err(error) => super::fail(&error),
    }
}

async fn until_signal(serve: Serve, data_dir: PathBuf) -> ExitCode {
    let shutdown = match signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return super::fail(&error),
    };
    let mut config = Config::new(data_dir);
    config.listen = serve.listen;
    config.store = serve.store;
    config.server_key_file = serve.server_key_file;
    config.limits.connections = config.limits.connections.min(sockets_allowed());
    config.admin_listen = Some(serve.admin_listen.unwrap_or(ADMIN_DEFAULT));
    let bound = match Server::bind(config.clone()).await {
        // Nobody asked for this port in particular, so one that is taken must not keep rooms from being served.
        Err(StartError::Listen { address, .. }) if address == ADMIN_DEFAULT && serve.admin_listen.is_none() => {
            tracing::warn!(%address, "health is not served: the address is taken; name another with --admin-listen");
            config.admin_listen = None;
            Server::bind(config).await
        }
        bound => bound,
    };
    let server = match bound {
        Ok(server) => server,
        Err(error) => return super::fail(&error),
    };
    if let Some(address) = server.admin_addr() {
        tracing::info!("health on http://{address}/health/ready");
    }
    let mut stdout = io::stdout();
    let announced = writeln!(stdout, "listening on http://{}", server.local_addr()).and_then(|()| stdout.flush());
    if let Err(error) = announced {
        return super::fail(&format!("can't say where I listen: {error}"));
    }
    server.run(shutdown).await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// Completes with the first signal that asks for an end. A second one ends at once.
fn signals() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(1);
        });
    })
}

/// How many connections the system lets this process have, less what the store and the rest need. Raises the soft limit
/// to the hard one first.
fn sockets_allowed() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it can't be raised, the present limit counts.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(64).max(16)
}

/// Logs our own events only: what the libraries beneath say may hold addresses and paths.
fn log(verbose: bool) {
    let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let ours = Targets::new().with_target("snug_rendezvous", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(lines).with(ours).init();
}
