//! Whole nodes in one process, over loopback, against a real rendezvous.

mod back;
mod liar;
mod life;
mod trust;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::genesis::Policy;
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_rendezvous::{Clock, Config, Server};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::enter::enter_with_heartbeat;
use super::*;
use crate::profile::{Profile, ProfileOptions};
use crate::rendezvous::{Client, CreateOptions, Created, ServerUrl};
use crate::room::Message;

/// Instead of 30 s.
const HEARTBEAT: Duration = Duration::from_millis(400);
/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A rendezvous in this process, with a clock that can be put forward.
struct Rendezvous {
    url: ServerUrl,
    ahead_ms: Arc<AtomicU64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Rendezvous {
    async fn start(data_dir: &Path) -> Self {
        Self::start_on(data_dir, 0).await
    }

    async fn start_on(data_dir: &Path, port: u16) -> Self {
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let ahead = Arc::clone(&ahead_ms);
        let mut config = Config::new(data_dir);
        config.listen.set_port(port);
        config.clock = Clock::new(move || clock::unix_ms() + ahead.load(Ordering::Relaxed));
        let server = Server::bind(config).await.unwrap();
        let url = ServerUrl::parse(&format!("http://{}", server.local_addr())).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Self {
            url,
            ahead_ms,
            stop,
            task,
        }
    }

    fn port(&self) -> u16 {
        let port = self.url.as_str().rsplit(':').next();
        port.unwrap().parse().unwrap()
    }

    async fn stop(self) -> u16 {
        let port = self.port();
        self.stop.cancel();
        self.task.await.unwrap();
        port
    }

    fn client(&self) -> Client {
        Client::new(self.url.clone()).unwrap()
    }
}

/// A room's secrets, as its founder holds them.
struct Den {
    id: RoomId,
    key: RoomKey,
    password: Password,
}

impl Den {
    fn new() -> Self {
        let rng = &mut UnwrapErr(SysRng);
        Self {
            id: RoomId::parse("den").unwrap(),
            key: RoomKey::generate(rng),
            password: Password::generate(rng),
        }
    }

    async fn create(&self, rendezvous: &Rendezvous) -> Created {
        let options = CreateOptions {
            description: "a small private room".to_owned(),
            policy: Policy::default(),
            insecure_registration: false,
        };
        let client = rendezvous.client();
        client
            .create(&self.id, &self.key, &self.password, options)
            .await
            .unwrap()
    }

    fn options(&self, rendezvous: &Rendezvous, name: &str) -> EnterOptions {
        EnterOptions {
            profile: Profile::ephemeral(),
            meeting: Meeting::Rendezvous(rendezvous.client()),
            room_id: self.id.clone(),
            room_key: self.key.clone(),
            name: name.to_owned(),
            admin: None,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            expected_genesis: None,
            addresses: Vec::new(),
            lan: false,
            relays: true,
            serves: true,
            upnp: false,
            insecure_registration: false,
            read_receipts: true,
        }
    }

    /// In, and ready.
    async fn enter(&self, rendezvous: &Rendezvous, name: &str) -> Node {
        let mut node = Node::enter(self.options(rendezvous, name)).await.unwrap();
        node.until("ready", |kind| matches!(kind, EventKind::Ready { .. }).then_some(()))
            .await;
        node
    }
}

/// A node and what it told so far.
struct Node {
    handle: Handle,
    events: Events,
}

impl Node {
    async fn enter(options: EnterOptions) -> Result<Self, EnterError> {
        let (handle, events) = enter_with_heartbeat(options, HEARTBEAT).await?;
        Ok(Self { handle, events })
    }

    /// Reads events until one is what is waited for.
    async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&EventKind) -> Option<T>) -> T {
        let found = timeout(PATIENCE, async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = wanted(&event.kind) {
                    return found;
                }
            }
            panic!("the node ended before: {what}")
        });
        found.await.unwrap_or_else(|_| panic!("in vain waited for: {what}"))
    }

    async fn until_message(&mut self) -> Message {
        self.until("a message", |kind| match kind {
            EventKind::Message(message) => Some(message.clone()),
            _ => None,
        })
        .await
    }

    async fn until_system(&mut self, wanted: &str) -> String {
        self.until(wanted, |kind| match kind {
            EventKind::System { event, message, .. } if *event == wanted => Some(message.exact().to_owned()),
            _ => None,
        })
        .await
    }

    async fn until_warning(&mut self) -> String {
        self.until("a warning", |kind| match kind {
            EventKind::Warning { message } => Some(message.exact().to_owned()),
            _ => None,
        })
        .await
    }

    async fn until_closed(&mut self) -> CloseReason {
        self.until("the end", |kind| match kind {
            EventKind::Closed(reason) => Some(*reason),
            _ => None,
        })
        .await
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn on_disk(data_dir: &Path) -> Profile {
    Profile::open(ProfileOptions {
        data_dir: data_dir.to_owned(),
        name: "default".to_owned(),
        ephemeral: false,
        passphrase: None,
    })
    .unwrap()
}
