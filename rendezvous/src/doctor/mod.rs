//! `snug-rendezvous doctor`: what works, what doesn't, and what to do about it. It changes nothing that is kept; opening a redb file
//! writes its head, and repairs what a crash left behind. A store of another version is left untouched.

mod files;
mod network;
mod relay;

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::config::{Config, StoreSpec};
use crate::control::Status;
use crate::host;
use crate::key_file;
use crate::keys::ServerKeys;
use crate::store::{self, OpenError, Store};

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and may not for long, or not for everybody.
    Warning,
    /// It doesn't work.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            found: found.into(),
            todo: None,
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Warning,
            found: found.into(),
            todo: Some(todo.into()),
        }
    }

    fn failed(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            state: State::Failed,
            ..Self::warning(check, found, todo)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok  ",
            State::Warning => "warn",
            State::Failed => "FAIL",
        };
        write!(f, "{state}  {}: {}", self.check, self.found)?;
        match &self.todo {
            Some(todo) => write!(f, "\n      -> {todo}"),
            None => Ok(()),
        }
    }
}

/// What the system's clock can't be before: this version was not written earlier. 2026-01-01.
const EARLIEST: u64 = 1_767_225_600_000;
/// What it won't be after in this version's life. 2100-01-01.
const LATEST: u64 = 4_102_444_800_000;
/// How far the store's clock may be from ours: expiry is written by one and carried out by the other.
const MAX_SKEW: Duration = Duration::from_secs(30);

/// Looks at everything. A server may run meanwhile; if none does, a redb store is checked to its last page.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let running = host::running(config).await;
    findings.push(match &running {
        Ok(Some(status)) => serving(status),
        Ok(None) => Finding::ok("server", "none runs on this data folder"),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Finding::failed(
            "server",
            "this account may not look into its data folder",
            "run this as the server's account, or as root",
        ),
        Err(_) => Finding::failed(
            "server",
            "one runs on this data folder, and does not answer",
            "see its log; if it stays so, end it and start it anew",
        ),
    });
    let is_blind = running.is_err();
    let running = running.ok().flatten();
    findings.push(clock());
    findings.extend(files::data_dir(config));
    findings.push(files::server_key(config));
    findings.extend(files::tokens(config));
    // A server that hangs has its store and its ports.
    if !is_blind {
        findings.extend(store(config, running.as_ref()).await);
    }
    findings.extend(network::ports(config, running.as_ref()).await);
    if !is_blind {
        findings.extend(relay::relay(config, running.as_ref()).await);
    }
    findings.extend(network::tls(config));
    findings.extend(files::space(config));
    findings.push(network::open_files(config));
    findings
}

/// What of the files that the settings name can't be used; nothing is opened that a server could have.
#[must_use]
pub fn files(config: &Config) -> Vec<Finding> {
    let findings = std::iter::once(files::server_key(config))
        .chain(files::tokens(config))
        .chain(network::tls(config));
    findings.filter(|finding| finding.state == State::Failed).collect()
}

fn serving(status: &Status) -> Finding {
    let connections = status.connections;
    let found = format!(
        "version {} serves on {} (process {}): {} connections, {} since its start; {} refused, {} made room, {} failed \
         their TLS handshake",
        status.version,
        status.listen,
        status.pid,
        connections.open,
        connections.accepted,
        connections.refused,
        connections.evicted,
        connections.handshakes_failed,
    );
    if status.version == env!("CARGO_PKG_VERSION") {
        Finding::ok("server", found)
    } else {
        Finding::warning(
            "server",
            found,
            "this program is of another version: start the server anew",
        )
    }
}

fn clock() -> Finding {
    let now_ms = Clock::system().now_ms();
    if (EARLIEST..LATEST).contains(&now_ms) {
        return Finding::ok("clock", "within reason");
    }
    let year = 1970 + now_ms / (365 * 24 * 3600 * 1000);
    Finding::failed(
        "clock",
        format!("it shows about the year {year}"),
        "set it, and keep it set: systemctl enable --now systemd-timesyncd (or chrony)",
    )
}

async fn store(config: &Config, running: Option<&Status>) -> Vec<Finding> {
    if let Some(status) = running {
        return vec![match &status.store_failure {
            None => Finding::ok("store", format!("{} answers the server", status.store)),
            Some(reason) => Finding::failed(
                "store",
                format!("{} does not answer the server: {reason}", status.store),
                "see the server's log; look at the disk, or whether MongoDB has a primary",
            ),
        }];
    }
    let spec = config.store_spec();
    let shown = spec.redacted();
    let keys = match key_file::load_or_create(&config.key_file(), false) {
        Ok(keys) => keys,
        // Told by its own check.
        Err(_) => {
            let todo = "it can't be opened without the server key";
            return match &spec {
                StoreSpec::Redb(path) if !path.exists() => {
                    vec![Finding::ok("store", format!("{shown} is made at the first start"))]
                }
                _ => vec![Finding::warning("store", format!("{shown} was not looked at"), todo)],
            };
        }
    };
    let Ok(keys) = ServerKeys::new(keys) else {
        return vec![Finding::failed(
            "store",
            "the server key is unusable",
            "restore it from a backup",
        )];
    };
    if let StoreSpec::Redb(path) = &spec {
        if !path.exists() {
            return vec![Finding::warning(
                "store",
                format!("{shown} is missing, though there is a server key"),
                "if it held rooms, `restore` a backup before the server starts; if not, it is made then",
            )];
        }
        let path = path.clone();
        let checked = tokio::task::spawn_blocking(move || store::check_redb(&path)).await;
        match checked {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                return vec![Finding::warning(
                    "store",
                    format!("{shown} had to be repaired"),
                    "what was acknowledged is there; look after the disk and the power supply, and make a backup",
                )];
            }
            Ok(Err(error)) => {
                return vec![refused(&error)];
            }
            Err(_) => {
                return vec![Finding::failed(
                    "store",
                    "looking at it failed inside",
                    "restore a backup",
                )];
            }
        }
    }
    match store::visit(&spec, &keys.checks()).await {
        Ok(Some(opened)) => answering(&*opened, &shown).await,
        Ok(None) => vec![Finding::ok("store", format!("{shown} is made at the first start"))],
        Err(error) => vec![refused(&error)],
    }
}

/// What to do about a store that isn't opened.
fn refused(error: &OpenError) -> Finding {
    let todo = match error {
        OpenError::Newer { .. } => {
            "use the snug-rendezvous that wrote it, or a newer one; it is whole, so restore nothing over it"
        }
        OpenError::Older { .. } => "make a backup with the older program, then start the server of this one",
        OpenError::OtherKey => "restore the key file that it was made with",
        OpenError::InUse { .. } => "end the program that has it open",
        OpenError::Empty { .. } => "`restore` a backup; if there never were rooms, remove the file",
        OpenError::File { .. } => "if the file is damaged, move it away and `restore` a backup",
        OpenError::Mongo { .. } => "look whether MongoDB runs, and whether address, user and password are right",
    };
    let state = match error {
        OpenError::Older { .. } => State::Warning,
        _ => State::Failed,
    };
    Finding {
        state,
        ..Finding::failed("store", error.to_string(), todo)
    }
}

async fn answering(store: &dyn Store, shown: &str) -> Vec<Finding> {
    let mut findings = vec![match store.ping().await {
        Ok(()) => Finding::ok(
            "store",
            format!("{shown} is whole, of this version, and made with this server key"),
        ),
        Err(error) => Finding::failed("store", error.to_string(), "look whether MongoDB has a primary"),
    }];
    if let Ok(Some(theirs)) = store.clock_ms().await {
        let ours = Clock::system().now_ms();
        let skew = Duration::from_millis(ours.abs_diff(theirs));
        findings.push(if skew <= MAX_SKEW {
            Finding::ok("store's clock", "as ours")
        } else {
            Finding::failed(
                "store's clock",
                format!("it differs from ours by {} s", skew.as_secs()),
                "set both by NTP: sessions and presence expire by these clocks",
            )
        });
    }
    if let Err(error) = store.close().await {
        findings.push(Finding::warning("store", error.to_string(), "look at the disk"));
    }
    findings
}

/// Whole days since a time, for people.
fn days_since(time: SystemTime) -> u64 {
    time.elapsed().map_or(0, |elapsed| elapsed.as_secs() / (24 * 3600))
}
