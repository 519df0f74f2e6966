//! What is done right before somebody goes, from a pipe as fast as it can: it is done, answered, and still so in the next run.

use crate::keeper::Keeper;
use serde_json::json;
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::{LOOPBACK, PlainMember};
use snug_tests::rendezvous::Rendezvous;

/// Makes a room, and goes after these lines; the admin's key goes with it. Gives what was printed.
fn make_and_go(home: &Home, server: &str, lines: &[&str]) -> Vec<String> {
    let arguments = [
        "create", "--server", server, "--join", "--plain", "--room", "den", "--name", "alice",
    ];
    let mut alice = PlainMember::start("alice", home.snug(arguments).args(LOOPBACK));
    for line in lines {
        alice.say(line);
    }
    alice.say("/quit");
    assert_eq!(alice.process().exit_code(), 0);
    alice.lines()
}

/// Comes back with nothing but the Room ID.
fn back(home: &Home) -> Member {
    let mut command = home.snug(["join", "--room", "den", "--json"]);
    let mut alice = Member::start("alice", command.args(LOOPBACK));
    alice.ready();
    alice
}

#[test]
fn a_keeper_that_is_named_right_before_its_admin_goes_stays_named() {
    let server = Rendezvous::start();
    // Nobody answers there, for which the room would wait a little.
    let (home, keeper) = (Home::new(), Keeper::new(41));
    let offer = keeper.offer();
    let printed = make_and_go(&home, &server.url(), &[&format!("/keeper {offer}")]);
    let printed = printed.join("\n");
    assert!(printed.contains("The keeper is named."), "{printed}");
    let mut alice = back(&home);
    let shown = alice.request("members", json!({})).expect("a list");
    assert_eq!(shown["keepers"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["members"][0]["role"], "admin", "{shown}");
    let obeyed = alice.request("policy", json!({ "max_participants": 9 }));
    assert!(obeyed.is_ok(), "the word of an admin: {obeyed:?}");
}

#[test]
fn what_is_asked_right_before_somebody_goes_is_answered() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let mut alice = PlainMember::start("alice", &mut member::join_command(&home, &card, "alice", "--plain"));
    alice.sees("Welcome to the room den, alice.");
    for line in ["/info", "/policy", "/audit", "/members", "/quit"] {
        alice.say(line);
    }
    assert_eq!(alice.process().exit_code(), 0);
    for answer in ["Room den", "At most 100 members", "Nothing is missing", "alice, you"] {
        assert!(alice.count(answer) > 0, "{answer:?} is not in {:?}", alice.lines());
    }
}
