//! The server on its two stores: what it keeps survives it, and everything happens alike on both.

use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::mongod::Mongod;
use snug_tests::process;
use snug_tests::rendezvous::{Rendezvous, Store};

/// Create, join, talk, restart, join, talk, wrong key, delete.
fn story(mut server: Rendezvous) {
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);
    alice.send("before");
    bob.hears("before");

    server.restart();
    // Those who are in don't need the server to talk.
    bob.send("during");
    alice.hears("during");
    bob.leave();
    alice.notice("leave", "bob has left the room den.");
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);
    bob.send("after");
    alice.hears("after");

    server.crash_and_restart();
    let c = Home::new();
    let mut carol = Member::join(&c, &card, "carol");
    carol.ready();
    carol.sees(&["alice", "bob"]);
    carol.send("after the crash");
    alice.hears("after the crash");
    bob.hears("after the crash");

    // A room that exists can't be made again.
    let output = process::run(
        "create",
        &mut a.snug(["create", "--server", &server.url(), "--room", "den", "--json"]),
        "",
    );
    assert_eq!(
        output.status.code(),
        Some(1),
        "the id is taken: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    let password = a.secret("password", &card.password);
    let mut delete = a.snug(["delete", "--server", &server.url(), "--room", "den"]);
    let output = process::run("delete", delete.arg("--password-file").arg(password), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for member in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(member.process().exit_code(), 5);
    }
}

#[test]
fn on_redb() {
    story(Rendezvous::start());
}

#[test]
fn on_mongodb() {
    let Some(mongod) = Mongod::start() else { return };
    story(Rendezvous::on(Store::Mongo(mongod.url("snug"))));
}

#[test]
fn two_instances_on_one_mongodb_serve_one_room() {
    let Some(mongod) = Mongod::start() else { return };
    let first = Rendezvous::on(Store::Mongo(mongod.url("snug")));
    let second = first.second_instance();
    let card = member::create(&Home::new(), &first.url(), "den");
    let at_second = member::RoomCard {
        server: second.url(),
        ..card.clone()
    };
    let (a, b) = (Home::new(), Home::new());
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &at_second, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);
    alice.send("over there?");
    bob.hears("over there?");
    bob.send("over here.");
    alice.hears("over here.");
}
