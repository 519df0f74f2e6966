//! Members that vanish without a word, and come back.

use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::rendezvous::Rendezvous;
use std::time::Duration;

/// Within this the others say that somebody is offline.
const NOTICED: Duration = Duration::from_secs(60);

#[test]
fn a_killed_member_comes_back_as_the_same_person() {
    let server = Rendezvous::start();
    let (a, b, c) = (Home::new(), Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut carol = Member::join(&c, &card, "carol");
    let before = carol.ready();
    for (member, others) in [
        (&mut alice, ["bob", "carol"]),
        (&mut bob, ["alice", "carol"]),
        (&mut carol, ["alice", "bob"]),
    ] {
        member.sees(&others);
    }
    carol.send("about to crash");
    alice.hears("about to crash");
    bob.hears("about to crash");

    carol.process().kill();
    for member in [&mut alice, &mut bob] {
        member.wait_within(NOTICED, "notice that carol is offline", |event| {
            (event["event"] == "offline" && event["message"] == "carol is offline.").then_some(())
        });
    }
    // The room goes on without her.
    alice.send("carol is gone");
    bob.hears("carol is gone");

    let mut carol = Member::join(&c, &card, "carol");
    assert_eq!(carol.ready(), before, "the data folder keeps the identity");
    carol.sees(&["alice", "bob"]);
    carol.send("back again");
    alice.hears("back again");
    bob.hears("back again");
    alice.send("hello carol");
    bob.send("hello too");
    for text in ["hello carol", "hello too"] {
        carol.hears(text);
    }
    let carols = |member: &mut Member| {
        member
            .members()
            .iter()
            .filter(|other| other["fingerprint"] == before.as_str())
            .count()
    };
    for member in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(carols(member), 1, "one person is one member");
    }
    assert_eq!(alice.heard(), ["about to crash", "back again", "hello too"]);
}

#[test]
fn half_of_the_room_crashes_at_once() {
    let server = Rendezvous::start();
    let homes: Vec<Home> = (0..4).map(|_| Home::new()).collect();
    let names = ["ana", "ben", "cleo", "dov"];
    let card = member::create(&homes[0], &server.url(), "den");
    let mut members: Vec<Member> = homes
        .iter()
        .zip(names)
        .map(|(home, name)| Member::join(home, &card, name))
        .collect();
    members.iter_mut().for_each(|member| drop(member.ready()));
    for member in &mut members {
        let others: Vec<&str> = names.into_iter().filter(|&name| name != member.name()).collect();
        member.sees(&others);
    }
    for member in &mut members[2..] {
        member.process().kill();
    }
    members.truncate(2);
    members[0].send("still here");
    members[1].hears("still here");
    for (home, name) in homes.iter().zip(names).skip(2) {
        members.push(Member::join(home, &card, name));
    }
    for member in &mut members[2..] {
        member.ready();
        member.sees(&["ana", "ben"]);
    }
    members[3].send("all back");
    for member in &mut members[..3] {
        member.hears("all back");
    }
    members[0].send("good");
    for member in &mut members[1..] {
        member.hears("good");
    }
}

#[test]
fn an_interrupt_is_an_orderly_end_and_no_farewell() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.process().signal("INT");
    assert_eq!(bob.process().exit_code(), 0);
    alice.notice("offline", "bob is offline.");
    let bobs = |members: Vec<serde_json::Value>| members.iter().filter(|member| member["name"] == "bob").count();
    assert_eq!(bobs(alice.members()), 1, "who is offline is a member still");
    alice.process().signal("TERM");
    assert_eq!(alice.process().exit_code(), 0);
}
