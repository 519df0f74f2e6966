//! Rooms that no rendezvous knows of, and rooms whose rendezvous is away: members find each other at the addresses in an invite, through
//! each other, and where they met before.

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::PlainMember;
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;
use std::process::Command;
use std::time::{Duration, Instant};

/// Nobody listens there: whoever asks a rendezvous all the same fails.
const DEAD_SERVER: &str = "http://127.0.0.1:9";

/// An address of this machine that is nobody else's: one of this process, by number. Ports would be shared with all other tests.
fn address(number: u8) -> String {
    let id = std::process::id();
    format!("/ip4/127.{}.{}.{number}/tcp/4001", 64 + (id >> 8) % 128, id % 256)
}

/// `snug` with this front end, at this address, in an environment that names a rendezvous which doesn't exist.
fn snug(home: &Home, arguments: &[&str], listen: &str) -> Command {
    let mut command = home.snug(arguments);
    command.args(["--listen", listen]).env("SNUG_SERVER", DEAD_SERVER);
    command
}

fn by_invite(home: &Home, invite: &str, name: &str, front_end: &str, listen: &str) -> Command {
    let file = home.secret("invite", invite);
    let mut command = snug(home, &["join", "--name", name, front_end], listen);
    command.arg("--invite-file").arg(file);
    command
}

/// Comes back with nothing but the Room ID.
fn back(home: &Home, name: &str, listen: &str) -> Member {
    Member::start(name, &mut snug(home, &["join", "--room", "den", "--json"], listen))
}

/// Waits until a member has so many links.
fn linked(member: &mut Member, count: u64) {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let status = member.request("status", json!({})).expect("a status");
        assert_eq!(status["rendezvous"], "none");
        if status["links"].as_u64() == Some(count) {
            return;
        }
        assert!(
            Instant::now() < end,
            "{} in vain waited for {count} links: {status}",
            member.name()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_room_lives_among_its_members_alone() {
    let (a, b, c) = (Home::new(), Home::new(), Home::new());
    let (at_a, at_b, at_c) = (address(1), address(2), address(3));
    let arguments = [
        "create",
        "--no-server",
        "--join",
        "--room",
        "den",
        "--name",
        "alice",
        "--json",
    ];
    let mut alice = Member::start("alice", &mut snug(&a, &arguments, &at_a));
    let card = alice.wait("`created` event", |event| {
        (event["type"] == "created").then(|| event.clone())
    });
    assert_eq!((&card["server"], &card["password"]), (&Value::Null, &Value::Null));
    let invite = card["invite"].as_str().expect("an invite");
    alice.ready();
    let info = alice.request("room.info", json!({})).expect("a room has facts");
    assert_eq!(info["server"], Value::Null);

    let mut bob = PlainMember::start("bob", &mut by_invite(&b, invite, "bob", "--plain", &at_b));
    bob.sees("Welcome to the room den, bob.");
    alice.notice("join", "bob has joined the room den.");
    bob.say("/info");
    bob.sees("No rendezvous");

    // What a member hands on is as good as the maker's, and all three meet through each other.
    bob.say("/invite");
    let line = bob.sees("Invite: snug1");
    let handed_on = line.trim_start_matches("Invite: ");
    let mut carol = Member::start("carol", &mut by_invite(&c, handed_on, "carol", "--json", &at_c));
    carol.ready();
    alice.sees(&["bob", "carol"]);
    bob.sees("carol has joined the room den.");
    linked(&mut carol, 2);
    linked(&mut alice, 2);
    carol.send("all of us");
    alice.hears("all of us");
    bob.hears("carol", "all of us");

    // The maker may go: the others go on, and are found again.
    alice.hang_up();
    bob.sees("alice is offline.");
    bob.say("without her");
    carol.hears("without her");
    let mut alice = back(&a, "alice", &at_a);
    alice.ready();
    alice.hears("without her");
    alice.send("back again");
    carol.hears("back again");
    bob.hears("alice", "back again");
    let is_admin = |member: &Value| member["name"] == "alice" && member["role"] == "admin";
    assert!(
        carol.members().iter().any(is_admin),
        "who made it holds the power over it"
    );

    // All of them go, and come back one by one, each where it was.
    linked(&mut alice, 2);
    carol.hang_up();
    bob.hang_up();
    alice.hang_up();
    let mut carol = back(&c, "carol", &at_c);
    carol.ready();
    carol.post("send", json!({ "text": "anybody?" }));
    let mut alice = back(&a, "alice", &at_a);
    alice.ready();
    alice.hears("anybody?");
    alice.send("yes");
    carol.hears("yes");

    // The admin key rests with whoever made the room: it still deletes it for everybody.
    alice
        .request("room.delete", json!({}))
        .expect("the admin deletes the room");
    assert_eq!(carol.process().exit_code(), 5);
    assert_eq!(alice.process().exit_code(), 5);
}

#[test]
fn a_room_is_made_first_and_entered_later_and_its_new_key_is_handed_on() {
    let (a, b, c) = (Home::new(), Home::new(), Home::new());
    let (at_a, at_b, at_c) = (address(11), address(12), address(13));
    let arguments = ["create", "--no-server", "--room", "den", "--name", "alice", "--json"];
    let made = process::run("create", &mut snug(&a, &arguments, &at_a), "");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let card: Value = serde_json::from_slice(&made.stdout).expect("create prints JSON");
    let invite = card["invite"].as_str().expect("an invite");

    // Nobody is there yet.
    let mut bob = Member::start("bob", &mut by_invite(&b, invite, "bob", "--json", &at_b));
    bob.ready();
    let mut alice = back(&a, "alice", &at_a);
    alice.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);
    bob.send("here I wait");
    alice.hears("here I wait");

    // A new Room Key: the old invite is void, and the new one says all that a newcomer needs.
    alice
        .request("rekey", json!({}))
        .expect("the admin changes the Room Key");
    let renewed = bob.wait("`room_key` event", |event| {
        (event["type"] == "room_key").then(|| event["invite"].as_str().expect("an invite").to_owned())
    });
    linked(&mut bob, 1);
    bob.hang_up();
    let mut carol = Member::start("carol", &mut by_invite(&c, &renewed, "carol", "--json", &at_c));
    // The maker is where the room was made, and bob's invite knew of it.
    carol.ready();
    carol.sees(&["alice"]);
    alice.notice("join", "carol has joined the room den.");
    alice.send("welcome");
    carol.hears("welcome");
    let mut bob = back(&b, "bob", &at_b);
    bob.ready();
    bob.hears("welcome");
    bob.send("all here");
    for other in [&mut alice, &mut carol] {
        other.hears("all here");
    }
}

#[test]
fn members_come_back_while_their_rendezvous_is_away() {
    let mut server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let (at_a, at_b) = (address(21), address(22));
    let card = member::create(&a, &server.url(), "den");
    let join = |home: &Home, name: &str, listen: &str| {
        let key = home.secret("room-key", &card.room_key);
        let arguments = [
            "join",
            "--server",
            &card.server,
            "--room",
            "den",
            "--name",
            name,
            "--json",
        ];
        let mut command = snug(home, &arguments, listen);
        command.arg("--room-key-file").arg(key);
        Member::start(name, &mut command)
    };
    let mut alice = join(&a, "alice", &at_a);
    alice.ready();
    let mut bob = join(&b, "bob", &at_b);
    bob.ready();
    alice.sees(&["bob"]);
    alice.send("before");
    bob.hears("before");
    alice.hang_up();
    bob.hang_up();

    server.process().kill();
    // With the Room Key from a file or from the vault: who was here before gets in.
    let mut alice = join(&a, "alice", &at_a);
    alice.wait("warning that the rendezvous is away", |event| {
        let text = event["message"].as_str().unwrap_or_default();
        (event["type"] == "warning" && text.contains("can't reach the rendezvous")).then_some(())
    });
    alice.ready();
    alice.post("send", json!({ "text": "is anybody there?" }));
    let mut bob = back(&b, "bob", &at_b);
    bob.ready();
    bob.hears("is anybody there?");
    bob.send("I am");
    alice.hears("I am");
    // Whoever was never here needs the rendezvous.
    let stranger = Home::new();
    let mut stranger = join(&stranger, "stranger", &address(23));
    assert_eq!(stranger.process().exit_code(), 4);

    server.crash_and_restart();
    for member in [&mut alice, &mut bob] {
        member.wait_within(
            Duration::from_secs(120),
            "notice that the rendezvous is back",
            |event| (event["event"] == "rendezvous").then_some(()),
        );
    }
    let c = Home::new();
    let mut carol = join(&c, "carol", &address(24));
    carol.ready();
    carol.sees(&["alice", "bob"]);
    carol.send("I was told of you again");
    for other in [&mut alice, &mut bob] {
        other.hears("I was told of you again");
    }
}
