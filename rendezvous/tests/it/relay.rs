//! The relay as members are told of it, and as its host sees it. What it does is tested beside its code, and by members in `snug-tests`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use snug_rendezvous_api::{Credential, Introductions};

use crate::support::{KEY, PASSWORD, Running, handle};

const PATIENCE: Duration = Duration::from_secs(120);

/// Addresses of relays without their ports: what stays.
fn relays(introductions: &Introductions) -> HashSet<String> {
    let relays = introductions.relays.iter();
    let without_port = relays.map(|relay| {
        let parts: Vec<&str> = relay.as_str().split('/').collect();
        assert!(matches!(parts[1], "tcp" | "udp") && parts[2] != "0", "{parts:?}");
        format!("{} {}", parts[1], parts.last().unwrap())
    });
    without_port.collect()
}

#[tokio::test]
async fn members_are_told_of_the_relay_and_it_stays_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let den = handle("den");
    let mut before = None;
    for run in 0..2 {
        let mut server = Running::with_relay(folder.path()).await;
        let client = server.client();
        if run == 0 {
            client.register(&den).await;
        }
        // The system says where it listens a moment after the server serves.
        let end = Instant::now() + PATIENCE;
        let session = loop {
            let session = client.log_in(&den, Credential::Room, KEY).await;
            if session.introductions.relays.len() == 2 {
                break session;
            }
            assert!(Instant::now() < end, "{:?}", session.introductions);
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let told = relays(&session.introductions);
        assert_eq!(told.len(), 2, "TCP and QUIC: {told:?}");
        let present: Introductions = client.get(&den, &session.token).await.expect(200);
        assert_eq!(relays(&present), told);
        let admin = client.log_in(&den, Credential::Admin, PASSWORD).await;
        assert!(admin.introductions.relays.is_empty(), "an admin meets nobody");
        assert_eq!(*before.get_or_insert(told.clone()), told);
        server.halt().await;
    }
    let key = std::fs::metadata(folder.path().join("relay.key")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777,
        0o600
    );
}

#[tokio::test]
async fn without_a_relay_nothing_is_told() {
    let server = Running::start().await;
    let (client, den) = (server.client(), handle("den"));
    client.register(&den).await;
    let session = client.log_in(&den, Credential::Room, KEY).await;
    assert!(session.introductions.relays.is_empty());
    assert!(!server.folder().join("relay.key").exists());
}

fn program(arguments: &[&str], folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snug-rendezvous"));
    command.args(arguments).arg("--data-dir").arg(folder).env_clear();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A server process, and the address of its operators' port.
struct Serving {
    child: Child,
    admin: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serving(more: &[&str], folder: &std::path::Path) -> Serving {
    let arguments = [
        &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        more,
    ]
    .concat();
    let mut child = program(&arguments, folder).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let admin = log.find_map(|line| {
        let (_, after) = line
            .ok()?
            .split_once("health on http://")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        after.split_once('/').map(|(address, _)| address.to_owned())
    });
    // Somebody has to read on, or the server waits.
    std::thread::spawn(move || log.for_each(drop));
    let admin = admin.expect("it serves health");
    Serving { child, admin }
}

fn metrics(serving: &Serving) -> String {
    let mut stream = TcpStream::connect(&serving.admin).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn doctor(more: &[&str], folder: &std::path::Path) -> String {
    let arguments = [&["doctor", "--listen", "127.0.0.1:0", "--admin-listen", "none"], more].concat();
    let output = program(&arguments, folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn its_host_sees_what_it_counts_and_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let relay = ["--relay-listen", "127.0.0.1:0"];
    let server = serving(&relay, folder.path());
    let text = metrics(&server);
    for line in [
        "snug_rendezvous_relay_circuits_open{} 0",
        "snug_rendezvous_relay_circuits_total{outcome=\"opened\"} 0",
        "snug_rendezvous_relay_bytes_total{direction=\"in\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let end = Instant::now() + PATIENCE;
    let told = loop {
        let told = doctor(&relay, folder.path());
        if told.contains("members are told /udp/") {
            break told;
        }
        assert!(Instant::now() < end, "{told}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(told.contains("0 reservations, 0 circuits"), "{told}");
    assert!(!told.contains("can't be reached"), "its port answers: {told}");
    drop(server);

    let off = serving(&["--no-relay"], folder.path());
    assert!(
        !metrics(&off).contains("relay_circuits_open{}"),
        "there is nothing to count"
    );
    assert!(doctor(&["--no-relay"], folder.path()).contains("switched off"));
    assert!(doctor(&relay, folder.path()).contains("the running server has none"));
    drop(off);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let place = format!("/ip4/127.0.0.1/tcp/{port}");
    let found = doctor(&["--relay-listen", &place], folder.path());
    assert!(found.contains("warn  relay: ") && found.contains(&place), "{found}");
    let refused = program(
        &["serve", "--listen", "127.0.0.1:0", "--relay-listen", &place],
        folder.path(),
    )
    .output()
    .unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(error.contains(&format!("can't relay on {place}")), "{error}");
}

#[test]
fn what_can_not_be_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    for (wrong, why) in [
        (vec!["--relay-listen", "nowhere"], "is no place for a relay"),
        (
            vec!["--relay-external", "relay.example.org"],
            "is no address of a relay",
        ),
        (vec!["--relay-circuits", "0"], "is no number from"),
        (vec!["--no-relay", "--relay-listen", "[::]:1"], "cannot be used with"),
    ] {
        let output = program(&[&["config", "check"], &wrong[..]].concat(), folder.path())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(why), "{error}");
    }
}
