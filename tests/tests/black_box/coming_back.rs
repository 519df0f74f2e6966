//! Members who come back to a room that went on without them, once or several times, and to a rendezvous that has not heard of it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::plain;
use snug_tests::rendezvous::Rendezvous;

/// Exit status: the room was deleted, or you were removed.
const REMOVED: i32 = 5;
/// Exit status: wrong credentials, or no such room.
const REFUSED: i32 = 3;

/// Each change that is followed takes two logins of 64 MiB and 0.1 s, and what a login missed is told with a heartbeat, after up to 33 s: on
/// a slow machine more than other tests wait for.
const LONG: Duration = Duration::from_secs(240);

/// Enters as the room's admin.
fn admin(home: &Home, card: &RoomCard, name: &str) -> Member {
    let mut command = member::join_command(home, card, name, "--json");
    let password = home.secret("password", &card.password);
    let mut admin = Member::start(name, command.arg("--password-file").arg(password));
    admin.ready();
    admin
}

fn join(home: &Home, card: &RoomCard, name: &str) -> Member {
    let mut member = Member::join(home, card, name);
    is_ready(&mut member);
    member
}

/// `snug join --room`: with what the vault knows, and no secret.
fn return_command(home: &Home, room: &str) -> Command {
    let mut command = home.snug(["join", "--room", room, "--json"]);
    command.arg("--data-dir").arg(home.data()).args(plain::LOOPBACK);
    command
}

fn comes_back(home: &Home, room: &str, name: &str) -> Member {
    let mut member = Member::start(name, &mut return_command(home, room));
    is_ready(&mut member);
    member
}

fn is_ready(member: &mut Member) {
    member.wait_within(LONG, "`ready` event", |event| (event["type"] == "ready").then_some(()));
}

fn hears(member: &mut Member, text: &str) {
    member.wait_within(LONG, text, |event| {
        (event["type"] == "message" && event["text"] == text).then_some(())
    });
}

/// Waits until the rendezvous took the member's word for so many new Room Keys.
fn registered(member: &mut Member, times: usize) {
    let mut seen = 0;
    member.wait_within(LONG, "`registered` event", |event| {
        seen += usize::from(event["event"] == "registered");
        (seen == times).then_some(())
    });
}

/// The Room Key of the room's nth change, the first one being 1.
fn room_key(member: &mut Member, nth: usize) -> String {
    let mut seen = 0;
    member.wait("`room_key` event", |event| {
        seen += usize::from(event["type"] == "room_key");
        (seen == nth).then(|| event["room_key"].as_str().expect("a Room Key").to_owned())
    })
}

fn rekey(member: &mut Member) {
    member.request("rekey", json!({})).expect("a new Room Key");
}

fn kick(member: &mut Member, who: &str) {
    member.request("kick", json!({ "who": who })).expect("done");
}

#[test]
fn who_was_away_over_many_registered_changes_comes_back_and_a_removed_one_does_not() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let [mut dave, mut carol, mut erin] =
        std::array::from_fn(|at| join(&homes[at + 1], &card, ["dave", "carol", "erin"][at]));
    alice.sees(&["dave", "carol", "erin"]);
    for member in [&mut dave, &mut carol, &mut erin] {
        member.sees(&["alice"]);
    }
    for member in [dave, carol, erin] {
        member.hang_up();
    }
    for name in ["dave", "carol", "erin"] {
        alice.notice("offline", &format!("{name} is offline."));
    }
    // Erin is out from the first change on; carol is carried over by that one, and not by the second.
    kick(&mut alice, "erin");
    registered(&mut alice, 1);
    alice.send("said while dave was away");
    kick(&mut alice, "carol");
    registered(&mut alice, 2);
    for times in 3..=5 {
        rekey(&mut alice);
        registered(&mut alice, times);
    }
    let mut dave = comes_back(&homes[1], "den", "dave");
    hears(&mut dave, "said while dave was away");
    dave.send("back after five changes");
    hears(&mut alice, "back after five changes");
    for (home, by_name) in [(&homes[2], "carol"), (&homes[3], "erin")] {
        // What is stored tells who removed whom; and is gone then.
        for (command, status, says) in [
            (
                &mut return_command(home, "den"),
                REMOVED,
                "You were removed from the room den by alice.",
            ),
            (
                &mut member::join_command(home, &card, by_name, "--json"),
                REFUSED,
                "wrong credentials or no such room",
            ),
        ] {
            let mut removed = Member::start("removed", command);
            assert_eq!(removed.process().exit_code(), status);
            let told = removed.process().stderr();
            assert!(told.contains(says), "{told}");
        }
    }
    let names: Vec<Value> = alice.members().iter().map(|member| member["name"].clone()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn who_was_away_over_two_changes_comes_back_with_the_first_room_key() {
    let server = Rendezvous::start();
    let homes: [Home; 2] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let dave = join(&homes[1], &card, "dave");
    alice.sees(&["dave"]);
    dave.hang_up();
    alice.notice("offline", "dave is offline.");
    for times in 1..=2 {
        rekey(&mut alice);
        registered(&mut alice, times);
    }
    let mut dave = join(&homes[1], &card, "dave");
    dave.send("with the first Room Key");
    hears(&mut alice, "with the first Room Key");
}

#[test]
fn changes_that_come_faster_than_they_are_registered_shut_nobody_out() {
    let server = Rendezvous::start();
    let homes: [Home; 3] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = join(&homes[1], &card, "bob");
    let dave = join(&homes[2], &card, "dave");
    alice.sees(&["bob", "dave"]);
    bob.sees(&["alice", "dave"]);
    dave.hang_up();
    alice.notice("offline", "dave is offline.");
    // Bob goes with a Room Key that the rendezvous may never have heard of; whatever it has heard by now, both come back.
    for _ in 0..3 {
        rekey(&mut alice);
    }
    room_key(&mut bob, 1);
    bob.hang_up();
    for _ in 0..3 {
        rekey(&mut alice);
    }
    let mut bob = comes_back(&homes[1], "den", "bob");
    let mut dave = comes_back(&homes[2], "den", "dave");
    bob.send("bob is back");
    dave.send("dave is back");
    for member in [&mut alice, &mut bob, &mut dave] {
        for text in ["bob is back", "dave is back"] {
            if !text.starts_with(member.name()) {
                hears(member, text);
            }
        }
    }
}

#[test]
fn a_new_room_key_that_was_never_registered_shuts_nobody_out_and_is_registered_by_its_maker_after_a_restart() {
    let mut server = Rendezvous::start();
    let homes: [Home; 5] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = join(&homes[1], &card, "bob");
    let mut carol = join(&homes[2], &card, "carol");
    alice.sees(&["bob", "carol"]);
    carol.sees(&["alice", "bob"]);
    server.process().kill();
    rekey(&mut alice);
    let key = room_key(&mut alice, 1);
    for member in [&mut bob, &mut carol] {
        assert_eq!(room_key(member, 1), key);
    }
    carol.send("we are all here");
    for member in [&mut alice, &mut bob] {
        hears(member, "we are all here");
    }
    carol.hang_up();
    alice.process().kill();
    // It knows of the first Room Key only, and nobody is there who may tell it.
    server.crash_and_restart();
    let mut carol = comes_back(&homes[2], "den", "carol");
    carol.send("carol is back");
    hears(&mut bob, "carol is back");
    // No Password is given: what registers it rests in the vault.
    let mut alice = comes_back(&homes[0], "den", "alice");
    registered(&mut alice, 1);
    alice.send("alice is back");
    for member in [&mut bob, &mut carol] {
        hears(member, "alice is back");
    }
    let new = RoomCard {
        room_key: key,
        ..card.clone()
    };
    let mut dave = join(&homes[3], &new, "dave");
    dave.send("new here");
    for member in [&mut alice, &mut bob, &mut carol] {
        hears(member, "new here");
    }
    let mut late = Member::join(&homes[4], &card, "late");
    assert_eq!(late.process().exit_code(), REFUSED);
}

#[test]
fn a_moderator_registers_what_a_maker_that_is_gone_could_not() {
    let mut server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = admin(&homes[0], &card, "alice");
    let mut bob = join(&homes[1], &card, "bob");
    let mut carol = join(&homes[3], &card, "carol");
    alice.sees(&["bob", "carol"]);
    bob.sees(&["alice", "carol"]);
    carol.sees(&["alice", "bob"]);
    alice
        .request("role", json!({"who": "bob", "role": "moderator"}))
        .expect("done");
    bob.notice("role", "bob is a moderator of the room den now.");
    // That the rendezvous takes it shows that he has the admin's word.
    kick(&mut bob, "carol");
    registered(&mut bob, 1);
    room_key(&mut alice, 1);
    server.process().kill();
    rekey(&mut alice);
    let key = room_key(&mut bob, 2);
    alice.process().kill();
    bob.process().kill();
    server.crash_and_restart();
    let mut bob = comes_back(&homes[1], "den", "bob");
    registered(&mut bob, 1);
    let new = RoomCard { room_key: key, ..card };
    let mut dave = join(&homes[2], &new, "dave");
    dave.send("new here");
    hears(&mut bob, "new here");
}
