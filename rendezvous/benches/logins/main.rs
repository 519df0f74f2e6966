//! What a login and a heartbeat cost the server: `cargo bench -p snug-rendezvous --bench logins`.
//!
//! The server is the real program in a process of its own, on redb and (with `$MONGOD` or a mongod on the PATH) on a real
//! MongoDB. Each login is a new TCP connection, `login/start`, `login/finish`: what a joining member does, and what the
//! join of the baseline in `tests/peers` is. 32 are in flight. The clients run in this process; to measure the server and
//! not them, they leave Argon2id out (`DangerNoStretching`, which only this build has) and have their KE1 ready. They still
//! have to open the envelope and answer KE2, and on a machine of two cores that is a good part of the work: compare
//! CPU per login, or give the clients a machine of their own.
//!
//! Options: `--seconds 5` a phase, `--in-flight 32`, `--rooms 200`, `--store redb|mongodb` for one of them, `--instances 2`: so many
//! of the program on one MongoDB, each login and each member's heartbeats at the next one in turn. The last line is JSON.
//!
//! `--exists 100000` measures instead whether a login's start tells by its time, or by the size of its answer, if there is such a room:
//! rooms that exist and handles of none in random order, one at a time, Welch's t after dudect, which has to stay below 4.5. On
//! a quiet machine, that is. `--sessions 100000` opens so many sessions and says what memory the server then has.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A benchmark that can't go on has to stop.

mod client;
#[path = "../../../crypto/benches/dudect/mod.rs"]
mod dudect;
mod exists;
#[path = "../../tests/it/mongod.rs"]
mod mongod;
mod procfs;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use snug_crypto::RoomHandle;

use client::{Member, Prepared};
use mongod::Mongod;
use server::Server;

struct Options {
    seconds: u64,
    in_flight: usize,
    rooms: usize,
    store: Option<String>,
    exists: Option<usize>,
    sessions: Option<usize>,
    instances: usize,
}

fn main() {
    let options = options();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut results = serde_json::Map::new();
    let wanted = |store: &str| options.store.as_deref().is_none_or(|only| only == store);
    if wanted("redb") {
        let started = start_to_ready();
        let server = Server::start(None);
        let idle = server.rss_mib();
        let servers = [server];
        let mut measured = runtime.block_on(measure(&servers, None, &options));
        measured["start_to_ready_ms"] = started;
        measured["idle_rss_mib"] = json!(idle);
        measured["busy_rss_mib"] = json!(servers[0].rss_mib());
        results.insert("redb".to_owned(), measured);
    }
    if let Some(mongod) = wanted("mongodb").then(|| Mongod::start("logins")).flatten() {
        let uri = mongod.uri("bench");
        let mut servers = vec![Server::start(Some(&uri))];
        let idle = servers[0].rss_mib();
        while servers.len() < options.instances {
            servers.push(servers[0].beside(&uri));
        }
        let mut measured = runtime.block_on(measure(&servers, Some(mongod.pid()), &options));
        measured["instances"] = json!(servers.len());
        measured["idle_rss_mib"] = json!(idle);
        measured["busy_rss_mib"] = json!(servers[0].rss_mib());
        results.insert("mongodb".to_owned(), measured);
    }
    for (store, figures) in &results {
        println!("{store}: {}", serde_json::to_string_pretty(figures).unwrap());
    }
    println!("{}", Value::Object(results));
}

fn options() -> Options {
    let mut options = Options {
        seconds: 5,
        in_flight: 32,
        rooms: 200,
        store: None,
        exists: None,
        sessions: None,
        instances: 1,
    };
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
        match name.as_str() {
            "--seconds" => options.seconds = value.parse().expect("a number"),
            "--in-flight" => options.in_flight = value.parse().expect("a number"),
            "--rooms" => options.rooms = value.parse().expect("a number"),
            "--store" => options.store = Some(value),
            "--exists" => options.exists = Some(value.parse().expect("a number")),
            "--instances" => options.instances = value.parse().expect("a number"),
            "--sessions" => options.sessions = Some(value.parse().expect("a number")),
            _ => panic!("no such option: {name}"),
        }
    }
    assert!(
        options.instances <= 1 || options.store.as_deref() == Some("mongodb"),
        "several instances share a MongoDB: --store mongodb"
    );
    options
}

/// From the start of the process to its line, on a store that exists.
fn start_to_ready() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut times: Vec<f64> = (0..11)
        .map(|_| {
            let since = Instant::now();
            let server = Server::start_in(folder.path());
            let time = since.elapsed().as_secs_f64() * 1000.0;
            server.stop();
            time
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    json!({ "median": round(times[times.len() / 2]), "max": round(times[times.len() - 1]) })
}

async fn measure(servers: &[Server], mongod: Option<u32>, options: &Options) -> Value {
    let address = servers[0].address();
    let rooms = client::register_rooms(address, options.rooms).await;
    if let Some(samples) = options.exists {
        return exists::measure(address, &rooms, samples).await;
    }
    if let Some(count) = options.sessions {
        return sessions(&servers[0], mongod, &rooms, count, options.in_flight).await;
    }
    // Enough prepared logins that none has to be made while the clock runs.
    let prepared = client::prepare(&rooms, 2500 * usize::try_from(options.seconds).unwrap());
    let addresses: Vec<_> = servers.iter().map(Server::address).collect();
    let turn = Arc::new(AtomicUsize::new(0));
    let logins = phase(servers, mongod, options, prepared, move |prepared| {
        let address = addresses[turn.fetch_add(1, Ordering::Relaxed) % addresses.len()];
        async move { Some(client::log_in(address, prepared).await) }
    })
    .await;
    let members: Vec<Member> = logins.done;
    let one_each: Vec<Member> = members.into_iter().take(options.in_flight).collect();
    let beats = heartbeats(servers, mongod, options, one_each).await;
    json!({ "logins": logins.figures, "heartbeats": beats })
}

/// Opens so many sessions, and says what memory that takes.
async fn sessions(server: &Server, mongod: Option<u32>, rooms: &[RoomHandle], count: usize, in_flight: usize) -> Value {
    let (address, since) = (server.address(), Instant::now());
    let before = server.rss_mib();
    let mut open = 0;
    while open < count {
        // In portions, so that what is measured isn't this program's own memory.
        let portion = client::prepare(rooms, (count - open).min(2_000));
        open += portion.len();
        let logins = futures::stream::iter(portion).map(|prepared| client::log_in(address, prepared));
        logins.buffer_unordered(in_flight).for_each(async |_| {}).await;
    }
    json!({
        "sessions": count,
        "seconds": round(since.elapsed().as_secs_f64()),
        "rss_before_mib": before,
        "rss_with_them_mib": server.rss_mib(),
        "mongod_rss_mib": mongod.map(procfs::rss_mib),
    })
}

struct Phase<T> {
    figures: Value,
    done: Vec<T>,
}

/// Runs the operation on the inputs, so many in flight, until the time is over.
async fn phase<T, F>(
    servers: &[Server],
    mongod: Option<u32>,
    options: &Options,
    inputs: Vec<Prepared>,
    operation: impl Fn(Prepared) -> F + Clone + Send + 'static,
) -> Phase<T>
where
    T: Send + 'static,
    F: Future<Output = Option<T>> + Send,
{
    let inputs = Arc::new(std::sync::Mutex::new(inputs.into_iter()));
    let meter = Meter::start(servers, mongod);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let tasks: Vec<_> = (0..options.in_flight)
        .map(|_| {
            let (inputs, operation) = (Arc::clone(&inputs), operation.clone());
            tokio::spawn(async move {
                let (mut done, mut times) = (Vec::new(), Vec::new());
                while Instant::now() < end {
                    let next = inputs.lock().unwrap().next();
                    let Some(next) = next else { break };
                    let since = Instant::now();
                    done.extend(operation(next).await);
                    times.push(since.elapsed());
                }
                (done, times)
            })
        })
        .collect();
    let (mut done, mut times) = (Vec::new(), Vec::new());
    for task in tasks {
        let (some, their_times) = task.await.unwrap();
        done.extend(some);
        times.extend(their_times);
    }
    Phase {
        figures: meter.stop(servers, mongod, times),
        done,
    }
}

/// Each member puts its presence again and again over one connection.
async fn heartbeats(servers: &[Server], mongod: Option<u32>, options: &Options, members: Vec<Member>) -> Value {
    let count = Arc::new(AtomicUsize::new(0));
    let meter = Meter::start(servers, mongod);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let tasks: Vec<_> = members
        .into_iter()
        .zip(servers.iter().cycle())
        .map(|(member, server)| {
            let address = server.address();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut connection = client::Connection::open(address).await;
                let mut times = Vec::new();
                while Instant::now() < end {
                    let since = Instant::now();
                    member.heartbeat(&mut connection).await;
                    times.push(since.elapsed());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    meter.stop(servers, mongod, times)
}

/// Wall clock and CPU of the processes over a phase.
struct Meter {
    since: Instant,
    server: Duration,
    mongod: Duration,
    clients: Duration,
}

impl Meter {
    fn start(servers: &[Server], mongod: Option<u32>) -> Self {
        Self {
            since: Instant::now(),
            server: all(servers),
            mongod: mongod.map_or(Duration::ZERO, procfs::cpu),
            clients: procfs::cpu(std::process::id()),
        }
    }

    fn stop(self, servers: &[Server], mongod: Option<u32>, mut times: Vec<Duration>) -> Value {
        let seconds = self.since.elapsed().as_secs_f64();
        times.sort();
        let count = times.len().max(1);
        #[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
        let number = count as f64;
        let each = |cpu: Duration| round(cpu.as_secs_f64() * 1000.0 / number);
        let percentile = |percent: usize| {
            times
                .get((count - 1) * percent / 100)
                .map_or(Value::Null, |time| json!(round(time.as_secs_f64() * 1000.0)))
        };
        json!({
            "count": times.len(),
            "per_second": (number / seconds).round(),
            "server_cpu_ms_each": each(all(servers) - self.server),
            "mongod_cpu_ms_each": mongod.map(|pid| each(procfs::cpu(pid) - self.mongod)),
            "clients_cpu_ms_each": each(procfs::cpu(std::process::id()) - self.clients),
            "p50_ms": percentile(50),
            "p99_ms": percentile(99),
        })
    }
}

/// The CPU that the server's instances have used together.
fn all(servers: &[Server]) -> Duration {
    servers.iter().map(|server| procfs::cpu(server.pid())).sum()
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
