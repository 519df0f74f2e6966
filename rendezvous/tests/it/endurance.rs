//! What a server has to stand in years: silent sockets by the thousand, a full disk, crashes in the middle of writes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit, setrlimit};
use snug_crypto::RoomHandle;
use snug_rendezvous::testing::check_redb;
use snug_rendezvous_api::{Credential, Exact, LoginFinish, ProblemType, Session, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Serving, on, run, succeeds};
use crate::support::{Client, KEY, PASSWORD, Reply, handle, path_handle, rng};

/// Sockets that the attack opens, if the system lets us.
const SOCKETS: usize = 5000;

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_silent_sockets_are_closed_and_keep_nobody_out() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )
    .unwrap();
    let allowed = usize::try_from(hard.unwrap_or(u64::MAX))
        .unwrap_or(usize::MAX)
        .saturating_sub(300);
    let sockets = SOCKETS.min(allowed);
    if sockets < SOCKETS {
        eprintln!("only {sockets} sockets: the system allows no more open files");
    }
    let data = tempfile::tempdir().unwrap();
    let serving = Serving::start(data.path(), &[]);
    let client = serving.client();
    client.register(&handle("den")).await;

    let body = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        snug_rendezvous_api::login_start(&path_handle(&handle("den")))
    );
    let openings: [&[u8]; 4] = [b"", b"GET /v1 HT", b"GET / HTTP/1.1\r\nhost: x\r\n", body.as_bytes()];
    let began = Instant::now();
    let mut attack = tokio::task::JoinSet::new();
    for n in 0..sockets {
        let mut stream = TcpStream::connect(&serving.address).await.unwrap();
        // One that has to make room is closed meanwhile.
        let _ = stream.write_all(openings[n % openings.len()]).await;
        let since = Instant::now();
        attack.spawn(async move {
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "a silent socket is still open");
            since.elapsed()
        });
    }
    let opened = began.elapsed();
    let mut honest = Vec::new();
    let mut still_open = Vec::new();
    // For as long as the attack lasts, and at least this often.
    while honest.len() < 50 || (attack.len() > sockets / 2 && honest.len() < 2000) {
        let since = Instant::now();
        let reply = client.send("GET", "/v1/nowhere", "", b"").await;
        assert_eq!(reply.status, 404);
        honest.push(since.elapsed());
        still_open.push(attack.len());
        while attack.try_join_next().is_some_and(|closed| closed.is_ok()) {}
    }
    client.log_in(&handle("den"), Credential::Room, KEY).await;
    let mut longest = Duration::ZERO;
    while let Some(closed) = attack.join_next().await {
        longest = longest.max(closed.unwrap());
    }
    honest.sort();
    eprintln!(
        "{sockets} silent sockets, opened in {opened:?}; the last was closed after {longest:?}; {} honest requests beside \
         up to {} of them, p50 {:?}, p99 {:?}",
        honest.len(),
        still_open.iter().max().unwrap(),
        honest[honest.len() / 2],
        honest[honest.len() * 99 / 100],
    );
    serving.stop();
}

/// A login that may be refused.
async fn try_log_in(client: &Client, room: &RoomHandle) -> Result<Session, Reply> {
    let begun = client.start(room, Credential::Room, KEY, None).await?;
    let done = begun.login.finish(&mut rng(), begun.started.ke2.as_bytes()).unwrap();
    let proof = LoginFinish {
        credential: Credential::Room,
        ke3: Exact::new(done.ke3),
        state: begun.started.state,
    };
    let reply = client.finish(room, &proof).await;
    if reply.status == 200 {
        Ok(reply.expect(200))
    } else {
        Err(reply)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_acknowledges_nothing_and_passes() {
    let data = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(data.path(), &[]);
    let client = serving.client();
    client.register(&handle("den")).await;
    let store = data.path().join("rooms.redb");
    let before = client.member(&handle("den")).await;
    // The disk has the session once it has what came after it.
    client.register(&handle("next")).await;
    // A limit on the size of files does what a full disk does: writes beyond it fail.
    let limit = |bytes: Option<u64>| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit {
            current: bytes.or(maximum),
            maximum,
        };
        prlimit(Some(serving.pid()), Resource::Fsize, limit).unwrap();
    };
    limit(Some(std::fs::metadata(&store).unwrap().len()));
    let mut acknowledged = vec![handle("den")];
    let refused = 'full: loop {
        assert!(acknowledged.len() < 20_000, "the disk never fills");
        let base = acknowledged.len();
        // As many as an address may send at once.
        let batch = (0..8).map(|n| handle(&format!("room {}", base + n)));
        let replies = futures::future::join_all(
            batch.map(async |room| (room, client.try_register(&room, KEY, PASSWORD).await.0)),
        );
        let mut refused = None;
        for (room, reply) in replies.await {
            if reply.status == 201 {
                acknowledged.push(room);
            } else {
                refused = Some(reply);
            }
        }
        if let Some(refused) = refused {
            break 'full refused;
        }
    };
    refused.refused(ProblemType::Unavailable);
    assert!(
        refused.head.to_lowercase().contains("retry-after: "),
        "{}",
        refused.head
    );
    serving.wait_for_log("the store can't write");
    // Whoever only reads notices nothing. A login is refused, or its session is there for good.
    let mut kept: Vec<Token> = Vec::new();
    let den = handle("den");
    let (mut tries, mut refusals) = (0, 0);
    let end = Instant::now() + Duration::from_secs(60);
    while refusals < 3 {
        assert!(Instant::now() < end, "no login is refused");
        tries += 1;
        let room = handle(&format!("one of too many {tries}"));
        let (registered, login, read) = tokio::join!(
            client.try_register(&room, KEY, PASSWORD),
            try_log_in(&client, &den),
            client.get(&den, &before),
        );
        if registered.0.status == 201 {
            acknowledged.push(room);
        }
        assert_eq!(read.status, 200, "{}", read.head);
        match login {
            Ok(session) => kept.push(session.token),
            Err(refused) => {
                refused.refused(ProblemType::Unavailable);
                refusals += 1;
            }
        }
    }
    // It stays up, and is not called ready until there is room again.
    let doctor = ["doctor", "--listen", &serving.address, "--admin-listen", "none"];
    let asked = run(&mut on(data.path(), &doctor)).1;
    assert!(
        asked.contains("FAIL  store") && asked.contains("does not answer the server"),
        "{asked}"
    );
    limit(None);
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let room = handle("after");
        let reply = client.try_register(&room, KEY, PASSWORD).await.0;
        if reply.status == 201 {
            acknowledged.push(room);
            break;
        }
        assert!(Instant::now() < end, "it does not recover");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    succeeds(&mut on(data.path(), &doctor));
    let after = client.member(&handle("after")).await;
    assert_eq!(client.put(&handle("after"), &after, b"here").await.status, 200);
    serving.kill();
    assert!(check_redb(&store).unwrap(), "the store is damaged");
    let serving = Serving::start(data.path(), &[]);
    let client = serving.client();
    for token in kept.iter().chain([&before]) {
        assert_eq!(client.get(&handle("den"), token).await.status, 200, "a session is lost");
    }
    assert_eq!(
        client.get(&handle("after"), &after).await.status,
        200,
        "a session is lost"
    );
    eprintln!(
        "{} rooms and {} sessions acknowledged around a full disk",
        acknowledged.len(),
        kept.len(),
    );
    let logins = acknowledged
        .iter()
        .step_by(acknowledged.len() / 50 + 1)
        .chain(acknowledged.last());
    for room in logins {
        client.log_in(room, Credential::Room, KEY).await;
    }
    let listed = succeeds(&mut on(data.path(), &["room", "list"]));
    assert!(
        listed.lines().filter(|line| line.ends_with("standing")).count() >= acknowledged.len(),
        "an acknowledged room is lost"
    );
    serving.stop();
    assert!(check_redb(&store).unwrap(), "the store is damaged");
}

/// Rounds of the next test; 100 with `SNUG_KILLS=100`.
fn rounds() -> usize {
    std::env::var("SNUG_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(6)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_middle_of_writes_lose_no_acknowledged_room_and_damage_nothing() {
    let data = tempfile::tempdir().unwrap();
    let store = data.path().join("rooms.redb");
    let acknowledged = Arc::new(Mutex::new(Vec::<RoomHandle>::new()));
    for round in 0..rounds() {
        let mut serving = Serving::start(data.path(), &[]);
        let client = serving.client();
        let before = acknowledged.lock().unwrap().len();
        let tasks: Vec<_> = (0..4)
            .map(|task| {
                let acknowledged = Arc::clone(&acknowledged);
                tokio::spawn(async move {
                    for n in 0.. {
                        let room = handle(&format!("{round}-{task}-{n}"));
                        // Panics once the server is gone, which ends the task.
                        client.register(&room).await;
                        acknowledged.lock().unwrap().push(room);
                        let token = client.member(&room).await;
                        client.put(&room, &token, b"here").await;
                    }
                })
            })
            .collect();
        // In the middle of whatever comes after these.
        let end = Instant::now() + Duration::from_secs(60);
        while acknowledged.lock().unwrap().len() < before + 5 + round % 7 {
            assert!(Instant::now() < end, "no rooms are made");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        serving.kill();
        for task in tasks {
            assert!(task.await.is_err());
        }
        assert!(check_redb(&store).unwrap(), "round {round}: the store is damaged");
    }
    let serving = Serving::start(data.path(), &[]);
    let client = serving.client();
    let rooms = acknowledged.lock().unwrap().clone();
    eprintln!("{} kills, {} acknowledged rooms", rounds(), rooms.len());
    for room in &rooms {
        client.log_in(room, Credential::Room, KEY).await;
    }
    serving.signal(Signal::TERM);
}
