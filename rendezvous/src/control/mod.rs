//! How the host's own commands reach a server that runs: a socket in the data folder, for this account (and root) alone.
//!
//! One request a connection: a line of JSON. The answer is a line of JSON, and for a snapshot the pieces after it, each as
//! in a backup file, then 00 if they are all there.

mod message;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use snug_crypto::RoomHandle;
use snug_crypto::credential::server::KeyedHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::message::Room;
pub(crate) use self::message::{Answer, MAX_LINE, PAGE, Relaying, Request, Status};
pub(crate) use self::socket::ControlSocket;

use crate::app::App;
use crate::backup;
use crate::http::Counters;
use crate::relay::{RelayCounters, Told};
use crate::store::{HostStore, Store, StoreError};

/// Requests at once.
const AT_ONCE: usize = 4;
/// How long a request line, or the taking of an answer, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pieces of a snapshot that wait for the socket.
const PIECES: usize = 64;

/// What a server that runs can say of itself.
pub(crate) struct Control {
    pub app: Arc<App>,
    pub listen: SocketAddr,
    pub admin_listen: Option<SocketAddr>,
    pub store: String,
    pub counters: Arc<Counters>,
    pub relay: Option<(Told, Arc<RelayCounters>)>,
}

impl Control {
    /// Answers until `stop`.
    pub async fn serve(self, socket: ControlSocket, stop: CancellationToken) {
        let control = Arc::new(self);
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                stream = socket.accept(), if tasks.len() < AT_ONCE => {
                    let Some(stream) = stream else { continue };
                    let (control, stop) = (Arc::clone(&control), stop.clone());
                    tasks.spawn(async move {
                        // Whoever asked and went is told nothing.
                        let _ = stop.run_until_cancelled(control.answer(stream)).await;
                    });
                }
            }
        }
        tasks.shutdown().await;
    }

    async fn answer(&self, stream: UnixStream) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let line =
            tokio::time::timeout(PATIENCE, socket::read_line(&mut BufReader::new(read.take(MAX_LINE)))).await??;
        let request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(_) => {
                let answer =
                    Answer::Error("this server does not know that request: are both of one version?".to_owned());
                return send(&mut write, &answer).await;
            }
        };
        if let Request::Snapshot = request {
            return self.snapshot(&mut write).await;
        }
        let answer = match request {
            Request::Status => Answer::Status(self.status().await),
            other => {
                let keyed = |handle: &RoomHandle| self.app.keys.handles(handle);
                on_store(self.app.store.as_ref(), &keyed, self.app.clock.now_ms(), other).await
            }
        };
        send(&mut write, &answer).await
    }

    async fn status(&self) -> Status {
        Status {
            store_failure: self.app.store.ping().await.err().map(|error| error.to_string()),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: self.listen,
            admin_listen: self.admin_listen,
            store: self.store.clone(),
            connections: self.counters.as_ref().into(),
            relay: self
                .relay
                .as_ref()
                .map(|(told, counters)| Box::new(Relaying::of(told, counters))),
        }
    }

    async fn snapshot(&self, write: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
        let (sender, mut pieces) = mpsc::channel(PIECES);
        let app = Arc::clone(&self.app);
        let sending = tokio::spawn(async move { app.store.snapshot(sender).await });
        let first = pieces.recv().await;
        if let Some(first) = first {
            send(write, &Answer::Done).await?;
            let mut next = Some(first);
            while let Some(piece) = next {
                tokio::time::timeout(PATIENCE, write.write_all(&backup::encode(&piece))).await??;
                next = pieces.recv().await;
            }
            if let Ok(Ok(())) = sending.await {
                write.write_all(&[0]).await?;
            }
            return Ok(());
        }
        let error = match sending.await {
            Ok(Err(error)) => error.to_string(),
            _ => "the store is empty".to_owned(),
        };
        send(write, &Answer::Error(error)).await
    }
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(std::io::Error::other)?;
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, write.write_all(&line)).await??;
    Ok(())
}

/// Does what only needs the store, whether a server runs or not.
pub(crate) async fn on_store(
    store: &dyn Store,
    keyed: &(dyn Fn(&RoomHandle) -> Vec<KeyedHandle> + Sync),
    now_ms: u64,
    request: Request,
) -> Answer {
    let outcome: Result<Answer, StoreError> = async {
        Ok(match request {
            Request::List { after } => {
                let rooms = store.list_rooms(after.and_then(|after| parse(&after)), PAGE).await?;
                Answer::Rooms(rooms.iter().map(Room::of).collect())
            }
            Request::Show { room } => match find(store, keyed, now_ms, &room).await? {
                Some(details) => Answer::Room(Box::new(Room::with_details(&details))),
                None => Answer::NoSuchRoom,
            },
            Request::Delete { room } => match find(store, keyed, now_ms, &room).await? {
                Some(details) => {
                    let tombstone = crate::store::Tombstone {
                        word: crate::store::Word::Host,
                        at_ms: now_ms,
                    };
                    store.delete_room(details.summary.room, tombstone).await?;
                    Answer::Done
                }
                None => Answer::NoSuchRoom,
            },
            Request::Status | Request::Snapshot => Answer::Error("this is asked of a server that runs".to_owned()),
        })
    }
    .await;
    outcome.unwrap_or_else(|error| Answer::Error(error.to_string()))
}

/// A room by what the store calls it, or by the handle that its members know.
async fn find(
    store: &dyn HostStore,
    keyed: &(dyn Fn(&RoomHandle) -> Vec<KeyedHandle> + Sync),
    now_ms: u64,
    room: &str,
) -> Result<Option<crate::store::RoomDetails>, StoreError> {
    let Some(named) = parse(room) else { return Ok(None) };
    let of_handle = keyed(&RoomHandle::from_bytes(*named.as_bytes()));
    for named in std::iter::once(named).chain(of_handle) {
        if let Some(found) = store.room_details(named, now_ms).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn parse(room: &str) -> Option<KeyedHandle> {
    let bytes = HEXLOWER.decode(room.to_ascii_lowercase().as_bytes()).ok()?;
    Some(KeyedHandle::from_bytes(bytes.try_into().ok()?))
}
