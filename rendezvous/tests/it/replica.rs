//! Three mongod as a replica set under load: the primary steps down, and the next one is killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use snug_crypto::RoomHandle;
use snug_rendezvous::{Limits, StoreSpec};
use snug_rendezvous_api::{Credential, ProblemType};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::mongod::Mongod;
use crate::support::{Client, KEY, PASSWORD, Running};

/// Rooms that are made at once.
const MAKERS: u8 = 4;
/// How long a failure may keep requests from being served (docs/OPERATIONS.md says it).
const MAX_OUTAGE: Duration = Duration::from_secs(15);
/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

struct Set {
    members: Vec<Option<Mongod>>,
    ports: Vec<u16>,
}

impl Set {
    async fn start(test: &str) -> Option<Self> {
        let start = || Mongod::start_with(test, &["--replSet", "rs", "--oplogSize", "64"]);
        let members: Vec<_> = (0..3).map(|_| start()).collect::<Option<_>>()?;
        let ports: Vec<u16> = members.iter().map(Mongod::port).collect();
        let set = Self {
            members: members.into_iter().map(Some).collect(),
            ports,
        };
        let hosts = set.ports.iter().enumerate().map(|(n, port)| {
            doc! { "_id": i32::try_from(n).unwrap(), "host": format!("127.0.0.1:{port}") }
        });
        let config = doc! { "_id": "rs", "members": hosts.collect::<Vec<_>>() };
        set.ask(0, doc! { "replSetInitiate": config }).await.unwrap();
        set.primary().await;
        Some(set)
    }

    fn uri(&self, database: &str) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("mongodb://{}/{database}?replicaSet=rs", hosts.join(","))
    }

    async fn ask(&self, member: usize, command: Document) -> mongodb::error::Result<Document> {
        let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", self.ports[member]);
        let client = mongodb::Client::with_uri_str(uri).await?;
        client.database("admin").run_command(command).await
    }

    /// Who is primary, once there is one.
    async fn primary(&self) -> usize {
        let since = Instant::now();
        loop {
            for member in (0..3).filter(|member| self.members[*member].is_some()) {
                let hello = self.ask(member, doc! { "hello": 1 }).await;
                if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false)) {
                    return member;
                }
            }
            assert!(since.elapsed() < PATIENCE, "no primary");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What the makers of rooms saw.
#[derive(Default)]
struct Seen {
    acknowledged: Vec<RoomHandle>,
    last_success: Option<Instant>,
    longest_gap: Duration,
    refused: usize,
}

/// Makes rooms and enters them until told to stop. Whatever fails must say when to try again.
async fn make_rooms(client: Client, maker: u8, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) {
    for n in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut room = [maker; 32];
        room[..4].copy_from_slice(&n.to_be_bytes());
        let room = RoomHandle::from_bytes(room);
        let mut tries = 0;
        loop {
            let (reply, _) = client.try_register(&room, KEY, PASSWORD).await;
            let mut seen = seen.lock().unwrap();
            match reply.status {
                201 => {
                    seen.acknowledged.push(room);
                    let gap = seen.last_success.replace(Instant::now()).map(|at| at.elapsed());
                    seen.longest_gap = seen.longest_gap.max(gap.unwrap_or_default());
                    break;
                }
                503 => {
                    reply.refused(ProblemType::Unavailable);
                    assert!(reply.head.to_lowercase().contains("retry-after: "), "{}", reply.head);
                    seen.refused += 1;
                    tries += 1;
                }
                // A try before was stored although its answer said otherwise.
                409 if tries > 0 => break,
                _ => panic!("{} {}", reply.head, String::from_utf8_lossy(&reply.body)),
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_steps_down_or_dies_costs_no_acknowledged_room() {
    let Some(mut set) = Set::start("a_primary_that_steps_down_or_dies_costs_no_acknowledged_room").await else {
        return;
    };
    let uri = set.uri("replica");
    let mut server = Running::with(Limits::default(), Some(StoreSpec::Mongo(uri.clone()))).await;
    let client = server.client();
    let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        makers.spawn(make_rooms(client, maker, Arc::clone(&seen), Arc::clone(&stop)));
    }
    let made = || seen.lock().unwrap().acknowledged.len();
    let more = async |count: usize| {
        let (since, before) = (Instant::now(), made());
        while made() < before + count {
            assert!(since.elapsed() < PATIENCE, "nothing is served any more");
            sleep(Duration::from_millis(50)).await;
        }
    };

    more(20).await;
    let primary = set.primary().await;
    set.ask(primary, doc! { "replSetStepDown": 20, "force": true })
        .await
        .unwrap();
    more(20).await;
    let primary = set.primary().await;
    // SIGKILL.
    drop(set.members[primary].take());
    more(20).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = makers.join_next().await {
        ended.unwrap();
    }

    let seen = Arc::into_inner(seen).unwrap().into_inner().unwrap();
    println!(
        "{} rooms acknowledged, {} tries refused, longest time without one {:?}",
        seen.acknowledged.len(),
        seen.refused,
        seen.longest_gap
    );
    let distinct: BTreeSet<_> = seen.acknowledged.iter().map(RoomHandle::as_bytes).collect();
    assert_eq!(distinct.len(), seen.acknowledged.len(), "a room was made twice");
    for room in &seen.acknowledged {
        client.log_in(room, Credential::Room, KEY).await;
    }
    // And can't be, by whomever: the first and the last of them.
    for room in seen
        .acknowledged
        .iter()
        .take(5)
        .chain(seen.acknowledged.iter().rev().take(5))
    {
        let again = client.try_register(room, KEY, PASSWORD).await.0;
        assert_eq!(again.status, 409, "{}", again.head);
    }
    server.halt().await;
    let rooms = mongodb::Client::with_uri_str(&uri).await.unwrap();
    let rooms = rooms.database("replica").collection::<Document>("rooms");
    let records: Vec<Document> = rooms.find(doc! {}).await.unwrap().try_collect().await.unwrap();
    assert!(records.len() >= seen.acknowledged.len());
    assert!(seen.longest_gap <= MAX_OUTAGE, "{:?} without a room", seen.longest_gap);
}
