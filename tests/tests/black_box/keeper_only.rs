//! A keeper where nobody else is, or was when it mattered: members and newcomers who never meet.

use crate::approval;
use crate::keeper::{Keeper, address, back, enter, found, holds, linked, name, stop};
use serde_json::json;
use snug_tests::PATIENCE;
use snug_tests::home::Home;
use snug_tests::member::{Member, RoomCard};
use snug_tests::process::Process;
use snug_tests::rendezvous::Rendezvous;
use std::time::{Duration, Instant};

/// Exit status: you were removed.
const REMOVED: i32 = 5;

/// How many other messages than frames a keeper said last that it holds.
fn messages(keeper: &Process) -> usize {
    let lines = keeper.lines_since(0);
    let last = lines.iter().rev().find_map(|line| {
        let (_, rest) = line.text.strip_prefix("holds ")?.split_once(" frames and ")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    last.unwrap_or_default()
}

/// Waits until a keeper says that it holds more of them than before.
fn holds_more(keeper: &Process, before: usize) {
    let end = Instant::now() + 3 * PATIENCE;
    while messages(keeper) <= before {
        assert!(Instant::now() < end, "{}", keeper.describe());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A room at a rendezvous, whose admin is there, with a keeper that newcomers hear of.
fn room(server: &Rendezvous, home: &Home, flags: &[&str], keeper: &Keeper) -> (Member, RoomCard, Process) {
    let card = approval::create(home, &server.url(), flags);
    let mut alice = approval::admin(home, &card, "alice");
    let invite = name(&mut alice, &keeper.offer());
    let keeping = keeper.start(Some(&invite));
    linked(&mut alice, true);
    // What came later than its name stands at the rendezvous: so does its name.
    let rules = json!({"max_participants": 17});
    alice.request("policy", rules).expect("a rule that shows");
    let end = Instant::now() + 3 * PATIENCE;
    let stranger = Home::new();
    while approval::rules_at_rendezvous(&stranger, &card)["max_participants"] != 17 {
        assert!(Instant::now() < end, "the capsule is not brought up to date");
        std::thread::sleep(Duration::from_millis(200));
    }
    (alice, card, keeping)
}

#[test]
fn a_newcomer_who_finds_a_keeper_alone_comes_in_and_is_heard_when_it_has_gone() {
    let server = Rendezvous::start();
    let (a, b, keeper) = (Home::new(), Home::new(), Keeper::new(53));
    let (alice, card, keeping) = room(&server, &a, &[], &keeper);
    alice.hang_up();

    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    linked(&mut bob, true);
    bob.send("Is anybody here?");
    holds(&keeping, 1);
    bob.hang_up();

    let mut alice = approval::admin(&a, &card, "alice");
    alice.hears("Is anybody here?");
    alice.send("Not while you were.");
    holds(&keeping, 2);
    alice.hang_up();

    let mut bob = Member::join(&b, &card, "bob");
    bob.hears("Not while you were.");
    let members = bob.members();
    assert_eq!(members.len(), 2, "{members:?}");
    bob.hang_up();
    stop(keeping);
}

#[test]
fn a_newcomer_who_needs_a_moderators_word_waits_for_it_with_the_keeper() {
    let server = Rendezvous::start();
    let (a, b, keeper) = (Home::new(), Home::new(), Keeper::new(63));
    let (alice, card, keeping) = room(&server, &a, &["--approval"], &keeper);
    alice.hang_up();

    // It is told what it waits for, and leaves its name.
    let before = messages(&keeping);
    let mut bob = Member::join(&b, &card, "bob");
    approval::waits(&mut bob);
    holds_more(&keeping, before);
    bob.hang_up();

    let mut alice = approval::admin(&a, &card, "alice");
    let who = approval::knocks(&mut alice, "bob");
    alice.request("approve", json!({ "who": who })).expect("let in");
    alice.hang_up();

    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    bob.send("Thank you.");
    holds(&keeping, 1);
    bob.hang_up();
    let mut alice = approval::admin(&a, &card, "alice");
    alice.hears("Thank you.");
    alice.hang_up();
    stop(keeping);
}

#[test]
fn a_keeper_that_was_away_when_a_moderator_removed_somebody_is_let_in_by_that_moderator() {
    let (a, b, c, keeper) = (Home::new(), Home::new(), Home::new(), Keeper::new(73));
    let (at_a, at_b, at_c) = (address(71), address(72), address(74));
    let (mut alice, room) = found(&a, &at_a);
    let mut bob = enter(&b, &room, "bob", &at_b);
    let mut carol = enter(&c, &room, "carol", &at_c);
    alice.sees(&["bob", "carol"]);
    bob.sees(&["carol"]);
    let invite = name(&mut alice, &keeper.offer());
    let keeping = keeper.start(Some(&invite));
    alice
        .request("role", json!({"who": "bob", "role": "moderator"}))
        .expect("done");
    linked(&mut alice, true);
    linked(&mut bob, true);
    bob.notice("role", "bob is a moderator of the room den now.");
    stop(keeping);
    linked(&mut bob, false);
    // Whoever holds the admin's key is away as well.
    alice.hang_up();
    bob.notice("offline", "alice is offline.");
    bob.request("kick", json!({ "who": "carol" })).expect("removed");
    assert_eq!(carol.process().exit_code(), REMOVED);

    let keeping = keeper.start(None);
    // A call that meets a busy machine is made again later, and later still.
    keeping.wait_line_within(Duration::from_secs(240), "that it moved", 0, |line| {
        line.text.contains("Room Key number 1").then_some(())
    });
    linked(&mut bob, true);
    bob.send("without her");
    holds(&keeping, 1);
    bob.hang_up();

    // She comes back with the old Room Key, and finds nobody else.
    let mut alice = back(&a, "alice", &at_a);
    alice.hears("without her");
    alice.hang_up();
    stop(keeping);
}
