//! Something said to one member alone, in a room of three: only that one is shown it, by whatever way it is asked for.

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::PlainMember;

fn dm(from: &mut Member, to: &str, text: &str) -> String {
    let reply = from
        .request("dm", json!({ "to": to, "text": text }))
        .expect("it is taken");
    reply["id"].as_str().expect("a reply carries the id").to_owned()
}

#[test]
fn over_json() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let (mut alice, card) = member::host(&homes[0], "den", "alice");
    let mut bob = Member::join(&homes[1], &card, "bob");
    let bobs = bob.ready();
    alice.sees(&["bob"]);
    let id = dm(&mut alice, "bob", "Meet me at the hatch.");
    let event = bob.hears("Meet me at the hatch.");
    assert_eq!(event["id"], Value::from(id.clone()), "both name it alike");
    assert_eq!(
        (&event["direct"], &event["from"]["name"]),
        (&json!(true), &json!("alice"))
    );
    // A receipt counts its reader alone.
    alice.wait("receipt", |event| {
        let is_it = event["type"] == "receipt" && event["id"] == id.as_str() && event["delivered"] == 1;
        is_it.then(|| assert_eq!(event["of"], 1))
    });

    // A namesake looks on. Nobody is guessed at.
    let mut other = Member::join(&homes[2], &card, "bob");
    let others = other.ready();
    alice.notice("join", "bob has joined the room den.");
    other.sees(&["alice", "bob"]);
    let members = |member: &mut Member| member.members().len();
    while members(&mut alice) < 3 {
        alice.wait("another join", |event| (event["event"] == "join").then_some(()));
    }
    let refused = alice
        .request("dm", json!({ "to": "bob", "text": "which?" }))
        .expect_err("two go by it");
    assert_eq!(refused.code, -32602);
    assert!(refused.message.contains("fingerprint"), "{refused:?}");
    let answer = json!({ "to": "alice", "text": "I am there.", "reply_to": id });
    bob.request("dm", answer).expect("a direct message can answer one");
    let event = alice.hears("I am there.");
    assert_eq!((&event["direct"], &event["reply_to"]), (&json!(true), &json!(id)));
    dm(&mut alice, &bobs, "So am I.");
    bob.hears("So am I.");
    dm(&mut bob, &others, "Hello, namesake.");
    assert_eq!(other.hears("Hello, namesake.")["direct"], true);
    alice.send("To all of you.");
    assert_eq!(other.hears("To all of you.")["direct"], false);
    bob.hears("To all of you.");
    assert_eq!(other.heard(), ["Hello, namesake.", "To all of you."]);
    assert_eq!(bob.heard(), ["Meet me at the hatch.", "So am I.", "To all of you."]);
    assert_eq!(alice.heard(), ["I am there."]);
    // What is for others is an ordinary part of the transcript.
    let report = other.request("audit", json!({})).expect("a report");
    assert_eq!(report["withheld"], json!([]), "{report}");
    assert_eq!(report["forks"], json!([]), "{report}");

    let me = event_member(&mut alice);
    for (to, text, code) in [
        ("nobody", "x", -32602),
        (me.as_str(), "x", -32602),
        ("00000000000000000000000000000000", "x", -32602),
        (bobs.as_str(), &*"x".repeat(16 * 1024 + 1), -32602),
    ] {
        let refused = alice
            .request("dm", json!({ "to": to, "text": text }))
            .expect_err("refused");
        assert_eq!(refused.code, code, "{to}: {refused:?}");
    }
    let longest = "y".repeat(16 * 1024);
    dm(&mut alice, &bobs, &longest);
    bob.hears(&longest);

    // Mail for who is away waits with the others, and the conversation goes on after a restart.
    bob.hang_up();
    alice.notice("offline", "bob is offline.");
    dm(&mut alice, &bobs, "You left your hat.");
    alice.send("Bob left his hat.");
    other.hears("Bob left his hat.");
    let mut bob = Member::join(&homes[1], &card, "bob");
    assert_eq!(bob.hears("You left your hat.")["direct"], true);
    dm(&mut bob, "alice", "I know.");
    assert_eq!(alice.hears("I know.")["direct"], true);

    other.leave();
    alice.notice("leave", "bob has left the room den.");
    let refused = alice
        .request("dm", json!({ "to": others, "text": "Wait!" }))
        .expect_err("gone");
    assert!(refused.message.contains("no longer in the room"), "{refused:?}");
    bob.hang_up();
    alice.hang_up();
}

fn event_member(member: &mut Member) -> String {
    let status = member.request("status", json!({})).expect("a status");
    status["member"].as_str().expect("a fingerprint").to_owned()
}

#[test]
fn lines_that_come_at_once_take_effect_in_their_order() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let mut alice = PlainMember::start("alice", &mut member::host_command(&homes[0], "den", "alice", "--plain"));
    let card = alice.card();
    alice.sees("Welcome to the room den, alice.");
    let bob = PlainMember::start("bob", &mut member::join_command(&homes[1], &card, "bob", "--plain"));
    let mut carol = PlainMember::start("carol", &mut member::join_command(&homes[2], &card, "carol", "--plain"));
    for name in ["bob", "carol"] {
        alice.sees(&format!("{name} has joined the room den."));
    }
    // Whether they see each other come depends on who was quicker.
    bob.sees("Welcome to the room den, bob.");
    carol.sees("Welcome to the room den, carol.");

    // Names are looked up for every second line, and nothing for the others.
    let typed: Vec<String> = (0..20)
        .map(|round| format!("/dm bob step {round} alone\nstep {round} for all"))
        .collect();
    alice.say(&typed.join("\n"));
    bob.sees("step 19 for all");
    let heard: Vec<String> = (bob.lines().iter())
        .filter_map(|line| Some(line[line.find("step ")?..].to_owned()))
        .collect();
    let expected: Vec<String> = (0..20)
        .flat_map(|round| [format!("step {round} alone"), format!("step {round} for all")])
        .collect();
    assert_eq!(heard, expected);
    carol.hears("alice", "step 19 for all");

    // Who is removed hears nothing of what was typed behind it.
    alice.say("/kick carol\nNow that she is gone\n/dm bob and we are alone");
    bob.hears("alice", "Now that she is gone");
    bob.sees("alice [to you alone]: and we are alone");
    assert_eq!(carol.process().exit_code(), 5, "she was removed");
    assert_eq!(carol.count("she is gone"), 0);

    // Nor is anything lost on who goes.
    alice.say("/dm bob Good night.\n/quit");
    bob.sees("alice [to you alone]: Good night.");
    assert_eq!(alice.process().exit_code(), 0);
    bob.hang_up();
}

#[test]
fn over_plain_lines() {
    let homes = [Home::new(), Home::new(), Home::new()];
    let mut alice = PlainMember::start("alice", &mut member::host_command(&homes[0], "den", "alice", "--plain"));
    let card = alice.card();
    alice.sees("Welcome to the room den, alice.");
    let mut bob = PlainMember::start("bob", &mut member::join_command(&homes[1], &card, "bob", "--plain"));
    alice.sees("bob has joined the room den.");
    // Else she might be there before him, for him.
    bob.sees("Welcome to the room den, bob.");
    let carol = PlainMember::start(
        "carol",
        &mut member::join_command(&homes[2], &card, "carol w", "--plain"),
    );
    for other in [&alice, &bob] {
        other.sees("carol w has joined the room den.");
    }
    carol.sees("Welcome to the room den, carol w.");
    bob.sees("Welcome to the room den, bob.");

    alice.say("/dm bob Meet me at the hatch.");
    alice.sees("* To bob alone: Meet me at the hatch.");
    assert_eq!(
        bob.sees("Meet me at the hatch."),
        "alice [to you alone]: Meet me at the hatch."
    );
    bob.say("/dm alice On my way.");
    assert_eq!(
        alice.sees("On my way."),
        "alice [to you alone]: On my way.".replace("alice", "bob")
    );
    alice.say("/dm carol w This is for you.");
    assert_eq!(carol.sees("This is for you."), "alice [to you alone]: This is for you.");
    alice.say("/dm dave Nobody hears this.");
    alice.sees("! Not sent: there is nobody of that name");
    alice.say("/dm bob");
    alice.sees("! Type: /dm NAME text");
    alice.say("To all of you.");
    carol.hears("alice", "To all of you.");
    bob.hears("alice", "To all of you.");
    assert_eq!(
        carol.count("hatch") + carol.count("On my way") + carol.count("Nobody"),
        0
    );
    assert_eq!(bob.count("This is for you") + bob.count("Nobody"), 0);
    carol.hang_up();
    bob.hang_up();
    alice.process().close_stdin();
    assert_eq!(
        alice.process().exit_code(),
        1,
        "a program that wrote these lines hears that one was not sent"
    );
}
