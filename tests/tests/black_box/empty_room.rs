//! A room that nobody is in right now can still be entered.

use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::rendezvous::Rendezvous;

#[test]
fn the_last_one_left_and_another_enters_later() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    alice.send("to nobody");
    alice.leave();

    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    bob.notice("welcome", "Welcome to the room den, bob.");
    assert_eq!(bob.members().len(), 1, "alice left: {:?}", bob.members());
    bob.send("is anybody there?");
    assert!(bob.heard().is_empty(), "nobody spoke to bob");

    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    bob.notice("join", "alice has joined the room den.");
    alice.sees(&["bob"]);
    alice.send("I am back");
    bob.hears("I am back");
    bob.send("so am I");
    alice.hears("so am I");
    alice.leave();
    bob.leave();
}

#[test]
fn the_last_one_crashed_and_another_enters() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    // What alice told the rendezvous of herself is still there, and leads nowhere.
    alice.process().kill();

    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);
    alice.send("after the crash");
    bob.hears("after the crash");
    bob.send("welcome back");
    alice.hears("welcome back");
}
