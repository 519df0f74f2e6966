//! One command opens a room; two others join it, and all talk both ways.

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::PlainMember;

#[test]
fn over_json() {
    let (a, b, c) = (Home::new(), Home::new(), Home::new());
    let (mut alice, card) = member::host(&a, "den", "alice");
    alice.notice("welcome", "Welcome to the room den, alice.");
    assert_eq!(card.room, "den");
    assert!(card.invite.starts_with("snug1"), "an invite: {}", card.invite);

    let mut bob = Member::join(&b, &card, "bob");
    let bob_key = bob.ready();
    bob.notice("welcome", "Welcome to the room den, bob.");
    alice.notice("join", "bob has joined the room den.");

    // The second joiner has only the invite: everything else is in it.
    let invite = c.secret("invite", &card.invite);
    let mut by_invite = c.snug(["join", "--name", "carol", "--json"]);
    by_invite
        .arg("--invite-file")
        .arg(invite)
        .args(snug_tests::plain::LOOPBACK);
    let mut carol = Member::start("carol", &mut by_invite);
    carol.ready();
    alice.notice("join", "carol has joined the room den.");
    bob.notice("join", "carol has joined the room den.");
    alice.sees(&["bob", "carol"]);
    bob.sees(&["alice", "carol"]);
    carol.sees(&["alice", "bob"]);

    let id = bob.send("Is anyone in?");
    for other in [&mut alice, &mut carol] {
        let event = other.hears("Is anyone in?");
        assert_eq!(
            event["id"],
            Value::from(id.clone()),
            "sender and receiver name a message alike"
        );
        assert_eq!(event["room"], "den");
        assert_eq!(event["from"]["name"], "bob");
        assert_eq!(event["from"]["fingerprint"], Value::from(bob_key.clone()));
        assert_eq!(event["direct"], false);
        assert_eq!(event["reply_to"], Value::Null);
    }
    let reply = json!({ "text": "We are.\nBoth of us.", "reply_to": id });
    alice.request("send", reply).expect("a reply can be sent");
    for other in [&mut bob, &mut carol] {
        assert_eq!(other.hears("We are.\nBoth of us.")["reply_to"], Value::from(id.clone()));
    }
    carol.send("日本語 👩‍👩‍👧 — naïve \"quotes\" \\ and / more");
    for other in [&mut alice, &mut bob] {
        other.hears("日本語 👩‍👩‍👧 — naïve \"quotes\" \\ and / more");
    }

    let names = |members: Vec<Value>| {
        let mut names: Vec<_> = members
            .iter()
            .map(|member| member["name"].as_str().unwrap_or("").to_owned())
            .collect();
        names.sort();
        names
    };
    for member in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(names(member.members()), ["alice", "bob", "carol"]);
        let info = member
            .request("room.info", json!({}))
            .expect("a room has a description");
        assert_eq!(info["room"], "den");
        member.request("status", json!({})).expect("a member has a status");
    }
    // The room's maker is its admin, and everybody can see it.
    let role =
        |members: Vec<Value>| members.iter().find(|member| member["name"] == "alice").expect("alice")["role"].clone();
    assert_eq!(role(bob.members()), "admin");

    bob.leave();
    alice.notice("leave", "bob has left the room den.");
    carol.notice("leave", "bob has left the room den.");
    alice.send("Two of us now.");
    carol.hears("Two of us now.");
    assert_eq!(names(carol.members()), ["alice", "carol"]);
    carol.hang_up();
    alice.hang_up();
}

#[test]
fn over_plain_lines() {
    let (a, b, c) = (Home::new(), Home::new(), Home::new());
    let mut alice = PlainMember::start("alice", &mut member::host_command(&a, "den", "alice", "--plain"));
    let card = alice.card();
    alice.sees("Welcome to the room den, alice.");
    let mut bob = PlainMember::start("bob", &mut member::join_command(&b, &card, "bob", "--plain"));
    bob.sees("Welcome to the room den, bob.");
    alice.sees("bob has joined the room den.");
    let mut carol = PlainMember::start("carol", &mut member::join_command(&c, &card, "carol", "--plain"));
    for other in [&alice, &bob] {
        other.sees("carol has joined the room den.");
    }

    alice.say("Good evening.");
    bob.hears("alice", "Good evening.");
    carol.hears("alice", "Good evening.");
    bob.say("The bar is that way.");
    carol.say("Through the hatch?");
    alice.hears("bob", "The bar is that way.");
    alice.hears("carol", "Through the hatch?");
    bob.hears("carol", "Through the hatch?");
    carol.hears("bob", "The bar is that way.");
    for member in [&alice, &bob, &carol] {
        assert!(member.count("Good evening.") <= 1, "a message is shown once");
    }

    bob.hang_up();
    alice.sees("bob is offline.");
    carol.sees("bob is offline.");
    carol.say("/leave");
    alice.sees("carol has left the room den.");
    alice.hang_up();
}

#[test]
fn joining_again_keeps_the_identity_and_changes_everything_else() {
    let (a, b) = (Home::new(), Home::new());
    let (mut alice, card) = member::host(&a, "den", "alice");
    let mut keys = Vec::new();
    for round in 0..3 {
        let mut bob = Member::join(&b, &card, "bob");
        keys.push(bob.ready());
        bob.sees(&["alice"]);
        bob.send(&format!("round {round}"));
        alice.hears(&format!("round {round}"));
        bob.leave();
    }
    assert!(
        keys.iter().all(|key| *key == keys[0]),
        "one data folder is one person: {keys:?}"
    );
    assert_eq!(alice.heard(), ["round 0", "round 1", "round 2"]);
    alice.hang_up();
}

#[test]
fn an_ephemeral_member_leaves_nothing_behind() {
    let (a, b) = (Home::new(), Home::new());
    let (mut alice, card) = member::host(&a, "den", "alice");
    let mut command = member::join_command(&b, &card, "ghost", "--json");
    command.arg("--ephemeral");
    let mut ghost = Member::start("ghost", &mut command);
    ghost.ready();
    ghost.sees(&["alice"]);
    ghost.send("here and gone");
    alice.hears("here and gone");
    ghost.hang_up();
    alice.notice("leave", "ghost has left the room den.");
    assert!(!b.data().exists(), "nothing was written to the data folder");
    alice.hang_up();
}
