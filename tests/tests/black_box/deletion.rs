//! A room that is deleted while people are in it.

use serde_json::Value;
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::PlainMember;
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;
use std::time::{Duration, Instant};

/// Within this a deletion reaches everybody: the next heartbeat, and the flood that follows it.
const BOUND: Duration = Duration::from_secs(40);
/// Exit status: the room was deleted, or you were removed.
const DELETED: i32 = 5;

#[test]
fn everybody_is_told_and_let_out() {
    let server = Rendezvous::start();
    let (a, b, c) = (Home::new(), Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut carol = PlainMember::start("carol", &mut member::join_command(&c, &card, "carol", "--plain"));
    carol.sees("Welcome to the room den, carol.");
    alice.sees(&["bob", "carol"]);

    let other = Home::new();
    let password = other.secret("password", &card.password);
    let mut delete = other.snug(["delete", "--server", &server.url(), "--room", "den", "--json"]);
    let output = process::run("delete", delete.arg("--password-file").arg(password), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).expect("one JSON object");

    let end = Instant::now() + BOUND;
    let left = || end.saturating_duration_since(Instant::now());
    for member in [&mut alice, &mut bob] {
        member.wait_within(left(), "notice of the deletion", |event| {
            (event["event"] == "delete" && event["message"] == "The room den has been deleted.").then_some(())
        });
        assert_eq!(member.process().wait_within(left()).code(), Some(DELETED));
    }
    assert_eq!(carol.process().wait_within(left()).code(), Some(DELETED));
    carol.sees("The room den has been deleted.");

    // Whoever comes later, and could have entered, is told that it is gone.
    let d = Home::new();
    let mut late = Member::join(&d, &card, "dave");
    assert_eq!(late.process().exit_code(), DELETED);
    // Who doesn't hold the key learns nothing of it.
    let stranger = Home::new();
    let wrong = member::RoomCard {
        room_key: "some-other-room-key-2041".into(),
        ..card
    };
    let output = process::run(
        "join",
        &mut member::join_command(&stranger, &wrong, "eve", "--json"),
        "",
    );
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
