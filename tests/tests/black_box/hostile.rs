//! A member that runs the library without our program around it, and so without its manners: its name and texts go out as they are.

use snug::engine::{self, EnterOptions, EventKind, Meeting};
use snug::profile::Profile;
use snug::rendezvous::{Client, ServerUrl};
use snug_crypto::names::{RoomId, RoomKey};
use snug_tests::PATIENCE;
use snug_tests::member::RoomCard;
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A hostile member, until it is dropped.
pub struct Hostile {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    /// Enters, waits until as many members are there, says these things, and stays.
    pub fn enter(card: &RoomCard, name: &str, members: usize, texts: Vec<String>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let options = EnterOptions {
            profile: Profile::ephemeral(),
            meeting: Meeting::Rendezvous(
                Client::new(ServerUrl::parse(&card.server).expect("a server")).expect("a client"),
            ),
            room_id: RoomId::parse(&card.room).expect("a Room ID"),
            room_key: RoomKey::parse(&card.room_key).expect("a Room Key"),
            name: name.to_owned(),
            admin: None,
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().expect("an address")],
            expected_genesis: None,
            addresses: Vec::new(),
            lan: false,
            relays: true,
            serves: true,
            upnp: false,
            insecure_registration: false,
            read_receipts: false,
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let life = async { timeout(3 * PATIENCE, misbehave(options, members, texts, stopped)).await };
            runtime.block_on(life).expect("an end");
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || matches!(ended, Some(Ok(()))),
            "the hostile member failed"
        );
    }
}

async fn misbehave(options: EnterOptions, members: usize, texts: Vec<String>, stopped: oneshot::Receiver<()>) {
    let (handle, mut events) = engine::enter(options).await.expect("it holds the Room Key");
    while let Some(event) = events.recv().await {
        let about_members = matches!(event.kind, EventKind::Ready { .. } | EventKind::System { .. });
        if about_members && handle.members().await.expect("it is in").len() == members {
            break;
        }
    }
    for text in texts {
        handle.send(text, None).await.expect("it may send");
    }
    let _ = stopped.await;
    handle.leave().await;
}
