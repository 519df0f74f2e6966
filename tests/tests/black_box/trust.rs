//! Safety numbers and changed keys, with real processes.

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::plain::PlainMember;
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;

fn is_key_change(event: &Value) -> Option<Value> {
    (event["event"] == "key_changed").then(|| event.clone())
}

fn seen<'m>(members: &'m [Value], fingerprint: &str) -> &'m Value {
    let found = members.iter().find(|member| member["fingerprint"] == fingerprint);
    found.expect("on the list of members")
}

fn verify(member: &mut Member, params: Value) -> Value {
    let reply = member.request("verify", params);
    reply.unwrap_or_else(|error| panic!("{}: `verify` failed: {error:?}", member.name()))
}

fn come_in(home: &Home, card: &RoomCard, name: &str) -> (Member, String) {
    let mut member = Member::join(home, card, name);
    let fingerprint = member.ready();
    (member, fingerprint)
}

#[test]
fn two_compare_numbers_and_it_lasts() {
    let server = Rendezvous::start();
    let homes: [Home; 2] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let (mut alice, alices) = come_in(&homes[0], &card, "alice");
    let (mut bob, bobs) = come_in(&homes[1], &card, "bob");
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);

    let (one, other) = (
        verify(&mut alice, json!({"who": "bob"})),
        verify(&mut bob, json!({"who": alices})),
    );
    assert_eq!(one["number"], other["number"]);
    assert_eq!(one["fingerprint"], json!(bobs));
    assert_eq!(one["verified"], json!(false));
    let digits: String = one["number"].as_str().unwrap().split(' ').collect();
    assert!(
        digits.len() == 60 && digits.bytes().all(|byte| byte.is_ascii_digit()),
        "{digits}"
    );
    assert_eq!(one["qr"], json!(format!("SNUG-SAFETY:{digits}")));

    // Another number changes nothing.
    let wrong = digits.chars().rev().collect::<String>();
    let refused = alice
        .request("verify", json!({"who": "bob", "number": wrong}))
        .expect_err("refused");
    assert!(refused.message.contains("differ"), "{}", refused.message);
    assert_eq!(seen(&alice.members(), &bobs)["verified"], json!(false));
    let nobody = alice.request("verify", json!({"who": alices})).expect_err("oneself");
    assert!(nobody.message.contains("nobody else"), "{}", nobody.message);

    let verified = verify(&mut alice, json!({"who": "bob", "number": other["qr"]}));
    assert_eq!(verified["verified"], json!(true));
    alice.notice("verify", "You verified bob.");
    assert_eq!(seen(&alice.members(), &bobs)["verified"], json!(true));
    bob.send("now you know");
    assert_eq!(alice.hears("now you know")["from"]["verified"], json!(true));
    assert_eq!(
        seen(&bob.members(), &alices)["verified"],
        json!(false),
        "each for themself"
    );

    // It is still so in the next run, and without a room.
    alice.hang_up();
    let shown = process::run(
        "verify",
        homes[0]
            .snug(["id", "verify", "bob", "--json"])
            .args(["--data-dir"])
            .arg(homes[0].data()),
        "",
    );
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&shown["number"], &shown["verified"]), (&one["number"], &json!(true)));
    let (mut alice, _) = come_in(&homes[0], &card, "alice");
    assert_eq!(seen(&alice.members(), &bobs)["verified"], json!(true));
    verify(&mut alice, json!({"who": "bob", "verified": false}));
    assert_eq!(seen(&alice.members(), &bobs)["verified"], json!(false));
    alice.hang_up();
    let listed = process::run(
        "verify",
        homes[0].snug(["id", "verify", "--data-dir"]).arg(homes[0].data()),
        "",
    );
    assert_eq!(String::from_utf8_lossy(&listed.stdout), format!("bob, {bobs}\n"));
    bob.leave();
}

#[test]
fn a_known_name_with_another_key_alarms_until_it_is_accepted() {
    let server = Rendezvous::start();
    let homes: [Home; 4] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let (mut alice, _) = come_in(&homes[0], &card, "alice");
    let (bob, bobs) = come_in(&homes[1], &card, "bob");
    alice.sees(&["bob"]);
    verify(&mut alice, json!({"who": "bob", "verified": true}));
    bob.leave();
    alice.notice("leave", "bob has left the room den.");

    // Another device, or another person: a key that nobody has seen.
    let (mut other, others) = come_in(&homes[2], &card, "Bob");
    let alarm = alice.wait("`key_changed` event", is_key_change);
    assert_eq!(alarm["fingerprint"], json!(others));
    assert_eq!(alarm["was"], json!({"fingerprint": bobs, "verified": true}));
    let other_seen = seen(&alice.members(), &others).clone();
    assert_eq!(
        (&other_seen["key_changed"], &other_seen["verified"]),
        (&json!(true), &json!(false))
    );
    other.send("it is me");
    assert_eq!(alice.hears("it is me")["from"]["key_changed"], json!(true));

    // The next run begins with it.
    alice.hang_up();
    let (mut alice, _) = come_in(&homes[0], &card, "alice");
    alice.sees(&["Bob"]);
    assert_eq!(
        alice.wait("`key_changed` event", is_key_change)["fingerprint"],
        json!(others)
    );
    let accepted = verify(&mut alice, json!({"who": others, "accept": true}));
    assert_eq!(
        (&accepted["key_changed"], &accepted["verified"]),
        (&json!(false), &json!(false))
    );
    let again = alice
        .request("verify", json!({"who": others, "accept": true}))
        .expect_err("nothing to accept");
    assert!(again.message.contains("has not changed"), "{}", again.message);
    alice.hang_up();
    let (mut alice, _) = come_in(&homes[0], &card, "alice");
    alice.sees(&["Bob"]);
    assert_eq!(seen(&alice.members(), &others)["key_changed"], json!(false));
    assert!(alice.events().iter().all(|(_, event)| is_key_change(event).is_none()));

    // Who comes in for the first time knows nobody, and isn't alarmed.
    let (mut carol, _) = come_in(&homes[3], &card, "carol");
    carol.sees(&["alice", "Bob"]);
    assert!(carol.events().iter().all(|(_, event)| is_key_change(event).is_none()));
    for member in [carol, other, alice] {
        member.leave();
    }
}

#[test]
fn in_plain_lines_it_is_compared_by_typing() {
    let server = Rendezvous::start();
    let homes: [Home; 3] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let (mut bob, _) = come_in(&homes[1], &card, "bob");
    let mut alice = PlainMember::start("alice", &mut member::join_command(&homes[0], &card, "alice", "--plain"));
    alice.sees("* Welcome to the room den, alice.");
    bob.sees(&["alice"]);
    let number = verify(&mut bob, json!({"who": "alice"}))["number"]
        .as_str()
        .unwrap()
        .to_owned();

    alice.say("/verify bob");
    alice.sees(&format!("* {number}"));
    alice.say(&format!("/verify bob {}", number.replace(' ', "").replace('1', "2")));
    alice.sees("! Not done: the safety numbers differ");
    alice.say(&format!("/verify bob {number}"));
    alice.sees("* You verified bob.");
    alice.say("/members");
    alice.sees(", verified, ");
    bob.leave();
    let (mut other, _) = come_in(&homes[2], &card, "bob");
    alice.sees("of the one whom you verified");
    other.send("me again");
    alice.sees("[KEY CHANGED]: me again");
    other.leave();
}
