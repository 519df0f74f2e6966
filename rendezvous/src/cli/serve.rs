//! `snug-rendezvous serve`.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use snug_rendezvous::settings::{AdminListen, Resolved};
use snug_rendezvous::{Reload, Server, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::settings::Settings;
use super::{fail, logging, resolve};

/// Where health is served unless said otherwise.
const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7071);
/// Threads that wait for the disk, at most.
const BLOCKING_THREADS: usize = 16;
/// Files that the store and the rest need beside the connections.
const OTHER_FILES: usize = 64;
/// SIGXFSZ on Linux: a file would grow over its limit. Not caught it ends the process; caught, the write fails as on a
/// full disk, and is answered so.
#[cfg(target_os = "linux")]
const FILE_SIZE_SIGNAL: Option<i32> = Some(25);
#[cfg(not(target_os = "linux"))]
const FILE_SIZE_SIGNAL: Option<i32> = None;

/// Serves until a signal comes.
pub fn run(settings: &Settings) -> ExitCode {
    let resolved = match resolve(settings) {
        Ok(resolved) => resolved,
        Err(refused) => return refused,
    };
    logging::start(resolved.config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(until_signal(settings.clone(), resolved)),
        Err(error) => fail(&error),
    }
}

async fn until_signal(settings: Settings, resolved: Resolved) -> ExitCode {
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = resolved.config.clone();
    let sockets = sockets_allowed();
    config.limits.connections = config.limits.connections.min(sockets);
    config.admin_listen = admin_listen(&resolved);
    let bound = match Server::bind(config.clone()).await {
        // Nobody asked for this port in particular, so one that is taken must not keep rooms from being served.
        Err(StartError::Listen { address, .. })
            if address == ADMIN_DEFAULT && resolved.admin_listen == AdminListen::IfFree =>
        {
            tracing::warn!(%address, "health is not served: the address is taken; name another with --admin-listen");
            config.admin_listen = None;
            Server::bind(config).await
        }
        bound => bound,
    };
    let server = match bound {
        Ok(server) => server,
        Err(error) => return fail(&error),
    };
    if let Some(address) = server.admin_addr() {
        tracing::info!("health on http://{address}/health/ready");
    }
    let scheme = if resolved.config.serves_tls() { "https" } else { "http" };
    let mut stdout = io::stdout();
    let announced = writeln!(stdout, "listening on {scheme}://{}", server.local_addr()).and_then(|()| stdout.flush());
    if let Err(error) = announced {
        return fail(&format!("can't say where I listen: {error}"));
    }
    let reload = Reloading {
        settings,
        former: resolved,
        server: server.reload(),
        sockets,
    };
    server.run(signals.until_stop(reload)).await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// Where the admin listener is wanted, with its default.
pub fn admin_listen(resolved: &Resolved) -> Option<SocketAddr> {
    match resolved.admin_listen {
        AdminListen::IfFree => Some(ADMIN_DEFAULT),
        AdminListen::Nowhere => None,
        AdminListen::At(address) => Some(address),
    }
}

/// What a reload needs.
struct Reloading {
    settings: Settings,
    former: Resolved,
    server: Reload,
    sockets: usize,
}

impl Reloading {
    /// Reads everything again. What is wrong is told, and changes nothing.
    fn reload(&mut self) {
        let resolved = match self.settings.resolve() {
            Ok(resolved) => resolved,
            Err(mistakes) => {
                for mistake in &mistakes {
                    tracing::error!("{mistake}");
                }
                return tracing::error!("the settings stay as they were");
            }
        };
        let mut config = resolved.config.clone();
        config.limits.connections = config.limits.connections.min(self.sockets);
        if let Err(error) = self.server.apply(&config) {
            return tracing::error!("{error}; what was right before stays");
        }
        for key in resolved.needs_restart(&self.former) {
            tracing::warn!(key, "this setting takes effect at the next start");
        }
        tracing::info!("the settings were read again");
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        if let Some(number) = FILE_SIZE_SIGNAL {
            // Caught from here on, whoever holds the value.
            drop(signal(SignalKind::from_raw(number))?);
        }
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Completes with the first signal that asks for an end, and reloads until then. A second one ends at once.
    async fn until_stop(mut self, mut reload: Reloading) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                _ = self.hang_up.recv() => reload.reload(),
            }
        }
        tracing::info!("stopping");
        tokio::spawn(async move {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            std::process::exit(1);
        });
    }
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
    usize::try_from(files)
        .unwrap_or(usize::MAX)
        .saturating_sub(OTHER_FILES)
        .max(16)
}
