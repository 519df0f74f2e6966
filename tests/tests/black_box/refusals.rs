//! Who may not enter, and what they are told.

use snug_tests::home::Home;
use snug_tests::member::{self, RoomCard};
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;
use std::net::TcpListener;

/// Exit status: usage.
const USAGE: i32 = 2;
/// Exit status: wrong credentials, or no such room.
const REFUSED: i32 = 3;
/// Exit status: the rendezvous can't be reached.
const UNREACHABLE: i32 = 4;

fn join(card: &RoomCard, front_end: &str) -> (Option<i32>, String) {
    let home = Home::new();
    let output = process::run("join", &mut member::join_command(&home, card, "mallory", front_end), "");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_wrong_key_and_an_unknown_room_are_the_same_to_the_caller() {
    let server = Rendezvous::start();
    let card = member::create(&Home::new(), &server.url(), "room-1204");
    let wrong_key = RoomCard {
        room_key: "a-wrong-but-long-enough-key".into(),
        ..card.clone()
    };
    let unknown = RoomCard {
        room: "room-7731".into(),
        ..card.clone()
    };
    for front_end in ["--json", "--plain"] {
        let (code, words) = join(&wrong_key, front_end);
        assert_eq!(code, Some(REFUSED), "a wrong Room Key: {words}");
        assert!(!words.trim().is_empty(), "an error says what happened");
        assert!(
            !words.contains(&wrong_key.room_key),
            "an error shows no secret: {words}"
        );
        let (code, same) = join(&unknown, front_end);
        assert_eq!(code, Some(REFUSED), "an unknown room: {same}");
        assert_eq!(
            words.replace("room-1204", "ROOM"),
            same.replace("room-7731", "ROOM"),
            "the words must not tell the two apart"
        );
    }
}

#[test]
fn a_wrong_password_deletes_nothing() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    for (room, password) in [
        ("den", "not-the-password"),
        ("lair", card.password.as_str()),
        ("den", card.room_key.as_str()),
    ] {
        let file = home.secret("password", password);
        let mut delete = home.snug(["delete", "--server", &server.url(), "--room", room]);
        let output = process::run("delete", delete.arg("--password-file").arg(file), "");
        assert_eq!(
            output.status.code(),
            Some(REFUSED),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let mut alice = member::Member::join(&home, &card, "alice");
    alice.ready();
    alice.leave();
}

#[test]
fn a_server_that_is_not_there() {
    let free = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port");
    let card = RoomCard {
        server: format!("http://{free}"),
        room: "den".into(),
        room_key: "long-enough-and-strong-key-2041".into(),
        password: String::new(),
        invite: String::new(),
    };
    for front_end in ["--json", "--plain"] {
        let (code, words) = join(&card, front_end);
        assert_eq!(code, Some(UNREACHABLE), "{words}");
        assert!(words.contains(&free.to_string()), "the error names the server: {words}");
    }
    let home = Home::new();
    let output = process::run(
        "create",
        &mut home.snug(["create", "--server", &card.server, "--room", "den"]),
        "",
    );
    assert_eq!(
        output.status.code(),
        Some(UNREACHABLE),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn bad_flags_are_usage_errors() {
    let home = Home::new();
    let key = home.secret("key", "long-enough-and-strong-key-2041");
    let key = key.to_str().expect("a path of ours is UTF-8");
    let server = "http://127.0.0.1:1";
    let cases: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["join", "--no-such-flag"],
        &[
            "join",
            "--json",
            "--plain",
            "--server",
            server,
            "--room",
            "den",
            "--room-key-file",
            key,
            "--name",
            "x",
        ],
        // What is missing is a usage error without a terminal, never a prompt that nobody sees.
        &[
            "join",
            "--json",
            "--server",
            server,
            "--room-key-file",
            key,
            "--name",
            "x",
        ],
        &["join", "--json", "--server", server, "--room", "den", "--name", "x"],
        &[
            "join",
            "--json",
            "--server",
            server,
            "--room",
            "den",
            "--room-key-file",
            key,
        ],
        &["join", "--json", "--room", "den", "--room-key-file", key, "--name", "x"],
        &[
            "join",
            "--json",
            "--server",
            server,
            "--room",
            "den",
            "--room-key-file",
            "/does/not/exist",
            "--name",
            "x",
        ],
        &[
            "join",
            "--json",
            "--server",
            server,
            "--room",
            "den",
            "--room-key-file",
            key,
            "--name",
            "x",
            "--listen",
            "nonsense",
        ],
        &["delete", "--server", server, "--room", "den"],
        &["delete", "--server", server, "--password-file", key],
        &["create", "--server"],
        &["join", "--color", "sometimes"],
    ];
    for case in cases {
        let output = process::run("snug", &mut home.snug(*case), "");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(USAGE), "{case:?}: {words}");
        assert!(!words.trim().is_empty(), "{case:?}: an error goes to standard error");
        assert!(output.stdout.is_empty(), "{case:?}: and nowhere else");
    }
    let rendezvous: &[&[&str]] = &[
        &["serve", "--listen", "nonsense"],
        &["serve", "--store", "floppy:A"],
        &["serve", "--no-such-flag"],
        &["brew"],
    ];
    for case in rendezvous {
        let output = process::run(
            "snug-rendezvous",
            home.bare(&snug_tests::binaries::rendezvous()).args(*case),
            "",
        );
        assert_eq!(
            output.status.code(),
            Some(USAGE),
            "{case:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
