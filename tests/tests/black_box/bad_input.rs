//! Input that is wrong gets a clear error, and nothing is lost by it.

use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::plain::LOOPBACK;
use snug_tests::process::{self, Process};
use snug_tests::rendezvous::Rendezvous;
use std::fs;
use std::process::{Command, Output};

/// Exit status: usage.
const USAGE: i32 = 2;
const KEY: &str = "long-enough-and-strong-key-2041";
const PASSWORD: &str = "another-strong-password-1066";

/// Runs to the end, and gives status and errors; a crash or a secret in the errors fails here.
pub fn outcome(command: &mut Command, secrets: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = process::run("snug", command, "");
    let words = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!words.contains("panicked"), "a crash: {words}");
    for secret in secrets {
        assert!(!words.contains(secret), "an error shows the secret {secret:?}: {words}");
    }
    (status.code(), words)
}

#[track_caller]
fn refused(code: i32, command: &mut Command, secrets: &[&str], about: &str) {
    let (status, words) = outcome(command, secrets);
    assert_eq!(status, Some(code), "{words}");
    assert!(
        words.to_lowercase().contains(about),
        "an error that speaks of {about:?}: {words}"
    );
}

fn create(home: &Home, server: &str, room: &str, key: &str, password: &str) -> Command {
    let (key, password) = (home.secret("key", key), home.secret("password", password));
    let mut command = home.snug(["create", "--server", server, "--json", "--room", room]);
    command
        .arg("--room-key-file")
        .arg(key)
        .arg("--password-file")
        .arg(password);
    command
}

#[test]
fn room_ids_keys_and_passwords() {
    let server = Rendezvous::start();
    let (home, url) = (Home::new(), server.url());
    let make = |room: &str, key: &str, password: &str| create(&home, &url, room, key, password);

    let long = "x".repeat(65);
    for room in ["", long.as_str(), "two\nlines", "bell\u{7}", "c1\u{9b}2J"] {
        refused(USAGE, &mut make(room, KEY, PASSWORD), &[KEY, PASSWORD], "room id");
    }
    refused(
        USAGE,
        &mut make("den", "abcd", PASSWORD),
        &["abcd", PASSWORD],
        "room key",
    );
    refused(
        USAGE,
        &mut make("den", "hello12345", PASSWORD),
        &["hello12345", PASSWORD],
        "--allow-weak-key",
    );
    refused(USAGE, &mut make("den", KEY, KEY), &[KEY], "password");
    refused(USAGE, &mut make("den", KEY, "seven77"), &["seven77"], "password");

    // All that was wrong made nothing: the id is free, and 64 characters of any script are fine.
    let widest = "ü".repeat(64);
    for (room, key) in [("den", KEY), (widest.as_str(), KEY)] {
        let (status, words) = outcome(&mut make(room, key, PASSWORD), &[]);
        assert_eq!(status, Some(0), "{words}");
    }
    let (status, words) = outcome(make("weak", "hello12345", PASSWORD).arg("--allow-weak-key"), &[]);
    assert_eq!(status, Some(0), "{words}");

    // One that exists stays as it was.
    refused(
        1,
        &mut make("den", "quite-another-key-entirely-77", PASSWORD),
        &[PASSWORD],
        "exists",
    );
    let card = RoomCard {
        server: url,
        room: "den".into(),
        room_key: KEY.into(),
        password: PASSWORD.into(),
        invite: String::new(),
    };
    let mut alice = Member::join(&home, &card, "alice");
    alice.ready();
    alice.leave();

    let long = "n".repeat(65);
    for name in ["", long.as_str(), "new\nline", "es\u{1b}[31mcape"] {
        refused(
            USAGE,
            &mut member::join_command(&home, &card, name, "--json"),
            &[KEY],
            "name",
        );
    }
}

#[test]
fn invites_cut_short_or_altered() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let join = |invite: &str| {
        let mut command = home.snug(["join", "--name", "bob", "--json"]);
        command
            .arg("--invite-file")
            .arg(home.secret("invite", invite))
            .args(LOOPBACK);
        command
    };
    let altered = |at: usize| {
        let mut bytes = card.invite.clone().into_bytes();
        bytes[at] = if bytes[at] == b'q' { b'p' } else { b'q' };
        String::from_utf8(bytes).expect("an invite is ASCII")
    };
    let last = card.invite.len() - 1;
    let mut wrong: Vec<String> = [7, last / 3, last / 2, last].into_iter().map(altered).collect();
    wrong.extend([
        card.invite[..last].into(),
        card.invite[..last / 2].into(),
        "snug1".into(),
        "hello".into(),
        "snug1é".into(),
    ]);
    wrong.push(format!("{0}{0}", card.invite));
    for invite in wrong {
        refused(USAGE, &mut join(&invite), &[&card.room_key], "invite");
    }
    // Case and white space around it are no alteration: people copy with both.
    let mut bob = Member::start("bob", &mut join(&format!("  {}\r\n", card.invite.to_uppercase())));
    bob.ready();
    bob.leave();
}

#[test]
fn an_invite_that_was_wrapped_is_whole_and_what_follows_it_is_said() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let wrapped: Vec<&str> = card
        .invite
        .as_bytes()
        .chunks(60)
        .map(|line| std::str::from_utf8(line).expect("ASCII"))
        .collect();
    assert!(wrapped.len() > 2);
    let wrapped = wrapped.join("\r\n  ");
    let mut join = home.snug(["join", "--name", "bob", "--json", "--ephemeral"]);
    join.arg("--invite-file")
        .arg(home.secret("invite", &wrapped))
        .args(LOOPBACK);
    let mut bob = Member::start("bob", &mut join);
    bob.ready();
    bob.leave();
    let mut join = home.snug(["join", "--name", "bob", "--plain", "--invite-file", "-"]);
    let said = process::run("bob", join.args(LOOPBACK), &format!("{wrapped}\n/info\n"));
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("* Room den"), "{said}");
}

#[test]
fn a_new_room_key_is_neither_the_password_nor_weak() {
    let server = Rendezvous::start();
    let home = Home::new();
    let made = create(&home, &server.url(), "den", KEY, PASSWORD)
        .output()
        .expect("a room");
    let card: serde_json::Value = serde_json::from_slice(&made.stdout).expect("a card");
    let card = RoomCard::from_json(&card);
    let (key, password) = (home.secret("key", KEY), home.secret("password", PASSWORD));
    let rotate = |new: &str| {
        let mut command = home.snug([
            "room",
            "rotate-key",
            "--alone",
            "--server",
            &card.server,
            "--room",
            "den",
        ]);
        command
            .arg("--room-key-file")
            .arg(&key)
            .arg("--password-file")
            .arg(&password);
        command.arg("--new-room-key-file").arg(home.secret("new", new));
        command
    };
    refused(USAGE, &mut rotate(PASSWORD), &[PASSWORD], "must differ");
    refused(USAGE, &mut rotate("hello12345"), &["hello12345"], "--allow-weak-key");

    let mut join = member::join_command(&home, &card, "alice", "--json");
    let mut admin = Member::start("alice", join.arg("--password-file").arg(&password));
    admin.ready();
    let same = admin.request("rekey", serde_json::json!({"room_key": PASSWORD}));
    assert!(format!("{same:?}").contains("must differ"), "{same:?}");
    let weak = admin.request("rekey", serde_json::json!({"room_key": "hello12345"}));
    assert!(format!("{weak:?}").contains("allow_weak_key"), "{weak:?}");
    let new = "quite-another-key-entirely-77";
    admin
        .request("rekey", serde_json::json!({"room_key": new}))
        .expect("a good key");
    admin.wait("room_key", |event| (event["room_key"] == new).then_some(()));
    admin.leave();
}

#[test]
fn a_weak_password_is_warned_of() {
    let server = Rendezvous::start();
    let home = Home::new();
    let url = server.url();
    let (status, words) = outcome(&mut create(&home, &url, "den", KEY, "hello12345"), &["hello12345"]);
    assert_eq!(status, Some(0), "{words}");
    assert!(words.contains("the Password is weak"), "{words}");
    let (_, words) = outcome(&mut create(&home, &url, "other", KEY, PASSWORD), &[]);
    assert!(!words.contains("weak"), "{words}");
}

#[test]
fn what_was_piped_to_an_empty_room_is_kept_or_told_to_be_lost() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let mut lost = member::join_command(&home, &card, "bob", "--plain");
    let said = process::run("bob", lost.arg("--ephemeral"), "is anybody there?\n");
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{words}");
    assert!(words.contains("error: nobody was there: 1 of your messages"), "{words}");
    assert!(!words.contains("before the room was ready"), "{words}");
    let mut lost = member::join_command(&home, &card, "bob", "--json");
    let send = r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"text":"hello?"}}"#;
    let said = process::run("bob", lost.arg("--ephemeral"), &format!("{send}\n"));
    assert_eq!(said.status.code(), Some(1));
    let told = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        told.contains(r#""type":"error""#) && told.contains("nobody was there"),
        "{told}"
    );
    let mut kept = member::join_command(&home, &card, "bob", "--plain");
    let said = process::run("bob", &mut kept, "is anybody there?\n");
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(0), "{words}");
    assert!(words.contains("kept until somebody is there"), "{words}");
}

#[test]
fn server_addresses() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    for url in [
        "",
        "127.0.0.1:7070",
        "localhost:7070",
        "ftp://127.0.0.1",
        "http://",
        "http://user:pw@127.0.0.1",
        "http://127.0.0.1:99999",
    ] {
        let there = RoomCard {
            server: url.into(),
            ..card.clone()
        };
        refused(
            USAGE,
            &mut member::join_command(&home, &there, "bob", "--json"),
            &[&card.room_key],
            "server",
        );
        refused(USAGE, &mut create(&home, url, "other", KEY, PASSWORD), &[KEY], "server");
    }
    // 0.0.0.0 leads to this machine, and isn't one of its loopback addresses: plain http to another host, as far as anyone can tell.
    let elsewhere = format!(
        "http://0.0.0.0:{}",
        server.address().rsplit(':').next().expect("a port")
    );
    refused(
        USAGE,
        &mut create(&home, &elsewhere, "other", KEY, PASSWORD),
        &[KEY],
        "--insecure-registration",
    );
    let (status, words) = outcome(
        create(&home, &elsewhere, "other", KEY, PASSWORD).arg("--insecure-registration"),
        &[KEY],
    );
    assert_eq!(status, Some(0), "{words}");
    // Entering is safe there, with a warning.
    let mut bob = Member::join(
        &home,
        &RoomCard {
            server: elsewhere,
            ..card
        },
        "bob",
    );
    bob.ready();
    let warned = |bob: &mut Member| bob.events().iter().any(|(_, event)| event["type"] == "warning");
    assert!(
        bob.process().stderr().contains("warning") || warned(&mut bob),
        "{}",
        bob.process().describe()
    );
    bob.leave();
}

#[test]
fn data_folders() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");

    // Not a folder that can be made (this also holds for root, whom no permission stops).
    let blocked = Home::new();
    fs::write(blocked.data(), "a file where the folder should be").expect("a file");
    refused(
        1,
        &mut member::join_command(&blocked, &card, "bob", "--json"),
        &[&card.room_key],
        "data",
    );

    // In use.
    let mut alice = Member::join(&home, &card, "alice");
    let key = alice.ready();
    refused(
        1,
        &mut member::join_command(&home, &card, "alice", "--json"),
        &[&card.room_key],
        "in use",
    );
    alice.send("the first is none the worse");
    alice.leave();

    // Of a version that doesn't exist yet: refused, and left alone.
    let version = home.data().join("profiles/default/version");
    let found = fs::read_to_string(&version).expect("a data folder says of which version it is");
    fs::write(&version, "4000000000\n").expect("a file of ours");
    refused(
        1,
        &mut member::join_command(&home, &card, "alice", "--json"),
        &[&card.room_key],
        "newer snug",
    );
    fs::write(&version, found).expect("a file of ours");
    let mut alice = Member::join(&home, &card, "alice");
    assert_eq!(alice.ready(), key, "nothing was lost by it");
    alice.leave();
}

/// A shell that lets its program write no file beyond so many blocks of 1 KiB, as a full disk would, and then becomes the program.
fn on_a_full_disk(home: &Home, blocks: u32, program: &Command) -> Command {
    let mut command = home.bare("/bin/bash".as_ref());
    command
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""))
        .arg(program.get_program());
    command.args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_full_disk_under_the_node() {
    let server = Rendezvous::start();
    let card = member::create(&Home::new(), &server.url(), "den");
    let home = Home::new();
    let join = member::join_command(&home, &card, "bob", "--json");
    let (status, words) = outcome(&mut on_a_full_disk(&home, 0, &join), &[&card.room_key]);
    assert_eq!(status, Some(1), "{words}");
    assert!(
        words.contains(home.data().to_str().expect("UTF-8")),
        "an error that names the file: {words}"
    );
    // With room again, it works.
    let mut bob = Member::join(&home, &card, "bob");
    let key = bob.ready();
    bob.leave();
    // An identity that rests is read as well where nothing can be written, or refused in words; never replaced.
    let mut full = Process::start(
        "bob",
        &mut on_a_full_disk(&home, 0, &member::join_command(&home, &card, "bob", "--json")),
    );
    full.close_stdin();
    full.wait();
    let mut bob = Member::join(&home, &card, "bob");
    assert_eq!(bob.ready(), key);
    bob.leave();
}

#[test]
fn who_leaves_before_the_room_is_ready_is_told_why() {
    let server = Rendezvous::start();
    let (maker, home) = (Home::new(), Home::new());
    let card = member::create(&maker, &server.url(), "den");
    let (status, words) = outcome(
        &mut member::join_command(&home, &card, "bob", "--plain"),
        &[&card.room_key],
    );
    assert_eq!(status, Some(0), "{words}");
    assert!(words.contains("the input ended before the room was ready"), "{words}");
}
