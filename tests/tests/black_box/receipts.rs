//! Where messages have got to, as their authors are told: held, shown, read, by how many of how many.

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::rendezvous::Rendezvous;

/// Waits until a message of this member's has got so far: held by, delivered, read, of.
fn gets(member: &mut Member, id: &str, numbers: [u64; 4]) -> Value {
    let what = format!("a receipt of {numbers:?}");
    member.wait(&what, |event| {
        let fits = event["type"] == "receipt"
            && event["id"] == id
            && [&event["held_by"], &event["delivered"], &event["read"], &event["of"]]
                == numbers.map(Value::from).each_ref();
        fits.then(|| event.clone())
    })
}

fn trio() -> (Rendezvous, Vec<Home>, member::RoomCard, Vec<Member>) {
    let server = Rendezvous::start();
    let homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let card = member::create(&homes[0], &server.url(), "marks");
    let mut alice = Member::join(&homes[0], &card, "alice");
    alice.ready();
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    let mut quiet = member::join_command(&homes[2], &card, "carol", "--json");
    quiet.arg("--no-read-receipts");
    let mut carol = Member::start("carol", &mut quiet);
    carol.ready();
    let mut members = vec![alice, bob, carol];
    for (own, others) in [["bob", "carol"], ["alice", "carol"], ["alice", "bob"]]
        .iter()
        .enumerate()
    {
        members[own].sees(others);
    }
    (server, homes, card, members)
}

#[test]
fn an_author_hears_who_has_got_a_message_and_who_has_read_it_if_they_tell() {
    let (_server, _homes, _card, mut members) = trio();
    let id = members[0].send("who reads this?");
    members[1].hears("who reads this?");
    members[2].hears("who reads this?");
    gets(&mut members[0], &id, [2, 2, 0, 2]);

    // Both say that they have read it; carol's program keeps that to itself.
    for reader in [2, 1] {
        members[reader].request("read", json!({})).expect("an answer");
    }
    gets(&mut members[0], &id, [2, 2, 1, 2]);
    let later = members[0].send("and this?");
    members[2].hears("and this?");
    members[2].request("read", json!({})).expect("an answer");
    members[1].hears("and this?");
    members[1].request("read", json!({})).expect("an answer");
    gets(&mut members[0], &later, [2, 2, 1, 2]);
    let all_read = |event: &Value| event["type"] == "receipt" && event["read"] == 2;
    assert!(!members[0].events().iter().any(|(_, event)| all_read(event)));

    // Nobody but an author is told of its messages.
    for member in &mut members[1..] {
        assert!(!member.events().iter().any(|(_, event)| event["type"] == "receipt"));
    }
}

#[test]
fn mail_for_somebody_who_is_away_is_marked_when_it_is_fetched() {
    let (_server, homes, card, mut members) = trio();
    let carol = members.pop().expect("carol");
    carol.hang_up();
    members[0].notice("offline", "carol is offline.");
    let id = members[0].send("for when you are back");
    members[1].hears("for when you are back");
    gets(&mut members[0], &id, [1, 1, 0, 2]);

    let mut carol = Member::join(&homes[2], &card, "carol");
    carol.hears("for when you are back");
    gets(&mut members[0], &id, [2, 2, 0, 2]);
    carol.request("read", json!({})).expect("an answer");
    gets(&mut members[0], &id, [2, 2, 1, 2]);
}
