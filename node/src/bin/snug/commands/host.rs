//! `snug host`: a rendezvous in this process, a new room, and oneself in it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use snug::rendezvous::ServerUrl;
use snug::text::Untrusted;
use snug_crypto::identity::Identity;
use snug_crypto::ids::Fingerprint;
use snug_rendezvous::{Config as ServerConfig, RelayListen, Server, StartError};
use tokio::sync::oneshot;

use super::create::{self, Who};
use super::{App, given, lan, log_place, profile};
use crate::cli::HostArgs;
use crate::failure::Failure;
use crate::front::Front;
use crate::secrets::Prompter;

/// The rendezvous' own folder within the data folder.
const SERVER_FOLDER: &str = "rendezvous";

/// Runs until the room is left; the rendezvous ends with it.
pub async fn run(app: &App, args: HostArgs) -> Result<u8, Failure> {
    let front = Front::choose(&args.enter);
    let prompter = Prompter::new(args.enter.json);
    let listen_http = address(&args.listen_http).await?;
    let room_id = given::new_room_id(&args.room, None)?;
    let (room_key, password) = given::new_secrets(&args.room)?;
    let name = given::name(app, &args.enter, None, &prompter)?;
    let listen = given::listen(app, &args.enter)?;
    let (data_dir, profile) = profile::open(app, &args.profile, args.enter.ephemeral, &prompter)?;
    app.log(log_place(front, &data_dir, args.enter.ephemeral))?;

    let folder = if args.enter.ephemeral {
        Folder::temporary()
    } else {
        Folder::kept(data_dir.join(SERVER_FOLDER))
    };
    let mut config = ServerConfig::new(&folder.path);
    config.listen = listen_http;
    if app.config.relay(&args.enter) {
        config.relay.listen = RelayListen::IfPublic;
    }
    let server = Server::bind(config)
        .await
        .map_err(|error| not_started(error, &args.listen_http))?;
    let bound = server.local_addr();
    // Members on the network find it by this machine's address there; we ourselves stay on loopback.
    let public = ServerUrl::parse(&lan::url(bound)).map_err(Failure::failed)?;
    let client = given::client(Some(&lan::local_url(bound)))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async {
        // A sender that is gone means stop, too.
        let _ = stopped.await;
    }));

    let outcome = async {
        let again = (!folder.temporary).then(|| reopening(&folder.path, bound));
        let mut options = create::options(false);
        options.policy = args.rules.policy();
        let mut made = create::make(&client, room_id, room_key, password, options, again).await?;
        made.handout = made.handout.at(public)?;
        let who = Who {
            profile,
            name,
            listen,
            read_receipts: app.config.read_receipts(&args.enter),
            lan: app.config.mdns(&args.enter),
            relays: app.config.relay(&args.enter),
            serves: app.config.relay_for_members(&args.enter),
            upnp: app.config.upnp(&args.enter),
        };
        create::enter(app, front, client, made, who).await
    }
    .await;
    drop(stop);
    if serving.await.is_err() {
        tracing::error!("the rendezvous ended by itself");
    }
    drop(folder);
    outcome
}

/// How to open a room again that was hosted here: its rendezvous alone, at the address that its members know.
fn reopening(store: &Path, bound: SocketAddr) -> String {
    format!(
        "if it was hosted here before, open it again: snug-rendezvous serve --data-dir '{}' --listen {bound}, and then: snug join",
        store.display()
    )
}

/// The address to listen on; a name is looked up.
async fn address(text: &str) -> Result<SocketAddr, Failure> {
    let wrong = || {
        Failure::usage(format_args!(
            "{} is no address to listen on",
            Untrusted::new(text).log()
        ))
        .help("for example: --listen-http [::]:7070 for all interfaces, 127.0.0.1:0 for this machine and any port")
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    tokio::net::lookup_host(text)
        .await
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(wrong)
}

fn not_started(error: StartError, listen: &str) -> Failure {
    let help = match &error {
        StartError::Listen { reason, .. } if reason.kind() == ErrorKind::AddrInUse => Some(
            "perhaps another snug host runs here: join its room, end it, or take a free port with --listen-http [::]:0"
                .to_owned(),
        ),
        StartError::Listen { reason, .. }
            if matches!(reason.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
                && listen.starts_with("[::]") =>
        {
            Some("this machine may be without IPv6: try --listen-http 0.0.0.0:7070".to_owned())
        }
        _ => None,
    };
    let failure = Failure::failed(match &error {
        StartError::Listen { reason, .. } if reason.kind() == ErrorKind::AddrInUse => {
            format!("{listen} is taken by another program: the rendezvous can't listen there")
        }
        _ => format!("the rendezvous can't start: {error}"),
    });
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// Where the rendezvous keeps its store.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn kept(path: PathBuf) -> Self {
        Self { path, temporary: false }
    }

    /// A folder of a name that nobody can foresee, in memory where the system has such a place; gone with this value.
    fn temporary() -> Self {
        let base = std::env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_dir());
        let unique: Fingerprint = Identity::generate(&mut given::rng()).fingerprint();
        Self {
            path: base.unwrap_or_else(std::env::temp_dir).join(format!("snug-{unique}")),
            temporary: true,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!(%error, "the temporary folder stays");
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_parsed_or_told_wrong() {
        assert_eq!(address("[::]:7070").await.unwrap(), "[::]:7070".parse().unwrap());
        assert_eq!(address("127.0.0.1:0").await.unwrap().port(), 0);
        for wrong in ["", "7070", "localhost", "127.0.0.1:70700", "nonsense"] {
            let failure = address(wrong).await.unwrap_err();
            assert_eq!(failure.exit, crate::failure::Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_temporary_folder_goes() {
        let folder = Folder::temporary();
        std::fs::create_dir_all(&folder.path).unwrap();
        let path = folder.path.clone();
        drop(folder);
        assert!(!path.exists());
    }
}
