//! Rooms that ask a moderator before they let somebody in, and rules that change, with real processes.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use snug_tests::PATIENCE;
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::plain::{self, PlainMember};
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;

/// Exit status: the room was deleted, or you were removed.
const REMOVED: i32 = 5;
const WAITING: &str = "Waiting for approval by a moderator of the room den.";

/// Makes a room with these flags.
pub fn create(home: &Home, server: &str, flags: &[&str]) -> RoomCard {
    let mut command = home.snug(["create", "--server", server, "--room", "den", "--json"]);
    let output = process::run("create", command.args(plain::LOOPBACK).args(flags), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    RoomCard::from_json(&serde_json::from_slice(&output.stdout).expect("one JSON object"))
}

/// Enters as the room's admin.
pub fn admin(home: &Home, card: &RoomCard, name: &str) -> Member {
    let mut admin = Member::start(name, &mut as_admin(home, card, name));
    admin.ready();
    admin
}

fn as_admin(home: &Home, card: &RoomCard, name: &str) -> Command {
    let mut command = member::join_command(home, card, name, "--json");
    command
        .arg("--password-file")
        .arg(home.secret("password", &card.password));
    command
}

/// Waits until it is told that it waits.
pub fn waits(member: &mut Member) {
    member.wait("word that it waits", |event| {
        let is_this = event["event"] == "approval" && event["message"].as_str()?.starts_with(WAITING);
        is_this.then_some(())
    });
}

/// Waits until a moderator is told that somebody asks to be let in; gives the fingerprint.
pub fn knocks(moderator: &mut Member, name: &str) -> String {
    moderator.wait(&format!("{name} at the door"), |event| {
        let is_this = event["event"] == "approval" && event["name"] == name;
        let fingerprint = is_this.then(|| event["fingerprint"].as_str())??;
        assert!(event["message"].as_str()?.contains(fingerprint), "{event}");
        Some(fingerprint.to_owned())
    })
}

pub fn new_room_key(member: &mut Member) -> String {
    member.wait("`room_key` event", |event| {
        let key = (event["type"] == "room_key").then(|| event["room_key"].as_str())?;
        key.map(str::to_owned)
    })
}

pub fn registered(member: &mut Member) {
    member.wait("`registered` event", |event| {
        (event["event"] == "registered").then_some(())
    });
}

/// What the capsule at the rendezvous says of the rules: nobody of the room need be there.
pub fn rules_at_rendezvous(home: &Home, card: &RoomCard) -> Value {
    let key = home.secret("info-key", &card.room_key);
    let mut info = home.snug(["room", "info", "--json", "--server", &card.server, "--room", "den"]);
    let output = process::run("info", info.arg("--room-key-file").arg(key), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut told: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    told["policy"].take()
}

#[test]
fn a_newcomer_waits_until_a_moderator_lets_it_in() {
    let server = Rendezvous::start();
    let homes: [Home; 3] = std::array::from_fn(|_| Home::new());
    let card = create(&homes[0], &server.url(), &["--approval"]);
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    waits(&mut bob);
    let who = knocks(&mut alice, "bob");
    let waiting = bob.request("status", json!({})).expect("it answers");
    assert_eq!((&waiting["ready"], &waiting["member"]), (&json!(false), &json!(who)));
    let asking = alice.request("applicants", json!({})).expect("it answers");
    assert_eq!(asking["applicants"][0]["name"], "bob", "{asking}");
    assert_eq!(alice.members().len(), 1, "who waits is no member");
    let unknown = alice.request("approve", json!({"who": "nobody"})).expect_err("refused");
    assert!(unknown.message.contains("nobody of that name"), "{}", unknown.message);

    alice.request("approve", json!({"who": "bob"})).expect("done");
    bob.ready();
    alice.sees(&["bob"]);
    alice.send("welcome");
    bob.hears("welcome");

    // It comes back with no moderator there, and somebody new has to wait for one.
    alice.hang_up();
    bob.hang_up();
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    let mut carol = Member::join(&homes[2], &card, "carol");
    waits(&mut carol);
    let end = Instant::now() + PATIENCE;
    while bob.request("applicants", json!({})).expect("it answers")["applicants"] == json!([]) {
        assert!(Instant::now() < end, "bob is never told of carol");
        std::thread::sleep(Duration::from_millis(100));
    }
    let refused = bob.request("approve", json!({"who": "carol"})).expect_err("refused");
    assert!(
        refused.message.contains("admin and its moderators"),
        "{}",
        refused.message
    );
    bob.send("not for carol");
    // An admin by its role alone: this run needs no Password for that.
    let mut alice = Member::join(&homes[0], &card, "alice");
    alice.ready();
    let who = knocks(&mut alice, "carol");
    alice.hears("not for carol");
    alice.request("approve", json!({"who": who})).expect("done");
    carol.ready();
    bob.send("for carol, too");
    carol.hears("for carol, too");
    assert!(!carol.heard().iter().any(|text| text == "not for carol"));
}

#[test]
fn who_is_turned_away_ends_and_who_gives_up_comes_again() {
    let server = Rendezvous::start();
    let homes: [Home; 3] = std::array::from_fn(|_| Home::new());
    let card = create(&homes[0], &server.url(), &["--approval"]);
    let mut alice = PlainMember::start("alice", &mut {
        let mut command = member::join_command(&homes[0], &card, "alice", "--plain");
        command
            .arg("--password-file")
            .arg(homes[0].secret("password", &card.password));
        command
    });
    alice.sees("Welcome to the room den, alice.");
    alice.say("/approve");
    alice.sees("Nobody waits to be let in");
    // Its input ends: it goes offline, and still waits.
    let bob = PlainMember::start("bob", &mut member::join_command(&homes[1], &card, "bob", "--plain"));
    bob.sees(WAITING);
    alice.sees("bob (");
    bob.hang_up();
    let mut mallory = PlainMember::start(
        "mallory",
        &mut member::join_command(&homes[2], &card, "mallory", "--plain"),
    );
    mallory.sees(WAITING);
    alice.sees("mallory (");
    alice.say("/approve bob");
    let mut bob = PlainMember::start("bob", &mut member::join_command(&homes[1], &card, "bob", "--plain"));
    bob.sees("Welcome to the room den, bob.");
    alice.sees("bob has joined the room den.");
    alice.say("/kick mallory");
    mallory.sees("You were removed from the room den by alice.");
    assert_eq!(mallory.process().exit_code(), REMOVED);
    bob.say("still here");
    alice.hears("bob", "still here");
}

#[test]
fn rules_change_by_command_and_newcomers_to_an_empty_room_know_them() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let made = ["--max-participants", "9", "--retention", "12h", "--grace", "3d"];
    let card = create(&homes[0], &server.url(), &made);
    let rules = rules_at_rendezvous(&homes[3], &card);
    let founded = json!({"max_participants": 9, "listed": false, "retention_s": 43_200, "history": false, "approval": false, "grace_s": 259_200});
    assert_eq!(rules, founded);
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = PlainMember::start("bob", &mut member::join_command(&homes[1], &card, "bob", "--plain"));
    bob.sees("Welcome to the room den, bob.");
    alice.sees(&["bob"]);
    bob.say("/policy members 8");
    bob.sees("Not done: only an admin of the room may do that");
    bob.say("/policy");
    bob.sees("At most 9 members");
    bob.say("/policy members 0");
    bob.sees("Not done: a room takes 1 to 4096 members");
    bob.say("/policy approval perhaps");
    bob.sees("Type: /policy approval on, or off");
    alice
        .request("role", json!({"who": "bob", "role": "moderator"}))
        .expect("done");
    let set = alice.request("policy", json!({"max_participants": 7})).expect("done");
    assert_eq!(set["policy"]["max_participants"], 7);
    bob.sees("The rules of the room den have changed: at most 7 members;");
    let same = alice
        .request("policy", json!({"max_participants": 7}))
        .expect_err("refused");
    assert!(same.message.contains("already"), "{}", same.message);
    let end = Instant::now() + PATIENCE;
    while rules_at_rendezvous(&homes[3], &card)["max_participants"] != 7 {
        assert!(Instant::now() < end, "the capsule is not brought up to date");
        std::thread::sleep(Duration::from_millis(200));
    }
    alice.hang_up();
    bob.hang_up();
    let mut carol = Member::join(&homes[2], &card, "carol");
    carol.ready();
    let known = carol.request("policy", json!({})).expect("it answers");
    assert_eq!(known["policy"]["max_participants"], 7, "{known}");
    carol.leave();

    // From now on it asks: nobody is turned out, and who comes with the new Room Key waits, even where nobody is.
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    alice.request("policy", json!({"approval": true})).expect("done");
    registered(&mut alice);
    let card = RoomCard {
        room_key: new_room_key(&mut alice),
        ..card
    };
    assert_eq!(new_room_key(&mut bob), card.room_key);
    bob.send("both still here");
    alice.hears("both still here");
    alice.hang_up();
    bob.hang_up();
    let mut carol = Member::join(&homes[2], &card, "carol");
    waits(&mut carol);
    // A moderator by the log alone.
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    knocks(&mut bob, "carol");
    bob.request("approve", json!({"who": "carol"})).expect("done");
    carol.ready();
}

#[test]
fn a_moderators_certificate_outlives_its_restart() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = create(&homes[0], &server.url(), &[]);
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    let mut carol = Member::join(&homes[2], &card, "carol");
    bob.ready();
    carol.ready();
    alice.sees(&["bob", "carol"]);
    alice
        .request("role", json!({"who": "bob", "role": "moderator"}))
        .expect("done");
    bob.notice("role", "bob is a moderator of the room den now.");
    // The certificate follows the role, and this follows both.
    alice.send("over to you");
    bob.hears("over to you");
    alice.hang_up();
    bob.hang_up();
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    bob.wait("carol's link", |event| {
        (event["event"] == "online" || event["type"] == "ready").then_some(())
    });
    bob.request("kick", json!({"who": "carol"})).expect("done");
    // The admin is not there to do it.
    registered(&mut bob);
    let card = RoomCard {
        room_key: new_room_key(&mut bob),
        ..card
    };
    let mut dave = Member::join(&homes[3], &card, "dave");
    dave.ready();
    dave.send("with the moderator's Room Key");
    bob.hears("with the moderator's Room Key");
}
