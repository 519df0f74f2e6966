//! A program that reads what we say slowly, or not at all: what it did not take comes again in the next run.

use std::collections::BTreeSet;
use std::io::{Read, Write as _};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};

const LINES: usize = 600;

/// More than a pipe holds, and what waits before it.
fn line(number: usize) -> String {
    format!("{number} {}", "so it goes ".repeat(20))
}

/// Somebody whose output nobody reads yet, and to whom much was said.
fn stalled(alice: &mut Member, home: &Home, card: &RoomCard) -> Child {
    let mut command = member::join_command(home, card, "bob", "--json");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let bob = command.spawn().expect("snug starts");
    alice.sees(&["bob"]);
    for number in 0..LINES - 1 {
        alice.post("send", json!({ "text": line(number) }));
    }
    let last = alice.send(&line(LINES - 1));
    alice.wait("a receipt of the last", |event| {
        (event["type"] == "receipt" && event["id"] == last.as_str() && event["held_by"] == 1).then_some(())
    });
    bob
}

/// Ends it by a signal, and only then reads what it had written: the messages, and whether each says that it comes again.
fn ended(mut bob: Child, signal: &str) -> Vec<(String, bool)> {
    let killed = std::process::Command::new("kill")
        .args([format!("-{signal}"), bob.id().to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
    bob.wait().expect("it ends");
    let mut text = String::new();
    let mut output = bob.stdout.take().expect("a pipe");
    output.read_to_string(&mut text).expect("lines");
    // The last line may be cut short.
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| message(&event["params"])).collect()
}

fn message(event: &Value) -> Option<(String, bool)> {
    let is_message = event["type"] == "message";
    is_message.then(|| Some((event["text"].as_str()?.to_owned(), event["again"].as_bool()?)))?
}

fn nothing_is_lost(signal: &str) {
    let (a, b) = (Home::new(), Home::new());
    let (mut alice, card) = member::host(&a, "den", "alice");
    let bob = stalled(&mut alice, &b, &card);
    let first = ended(bob, signal);
    assert!(first.len() < LINES, "all {LINES} fit into the pipe: nothing is tested");

    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    bob.hears(&line(LINES - 1));
    let seen: BTreeSet<String> = first.iter().map(|(text, _)| text.clone()).collect();
    let mut all = seen.clone();
    for (_, event) in bob.events() {
        if let Some((text, again)) = message(event) {
            assert!(again || !seen.contains(&text), "told twice, and not marked: {text}");
            all.insert(text);
        }
    }
    let lost: Vec<usize> = (0..LINES).filter(|number| !all.contains(&line(*number))).collect();
    assert!(
        lost.is_empty(),
        "shown in neither run: {lost:?} ({} in the first)",
        first.len()
    );
}

/// A program that says that it has read everything, while it reads nothing, has read no more than it was given.
#[test]
fn what_was_not_written_when_a_stalled_reader_spoke_of_reading_comes_again() {
    // Some fill the pipe, and the rest doesn't fill the queue behind it, before which input would wait too.
    const LINES: usize = 48;
    let line = |number: usize| format!("{number} {}", "so it goes ".repeat(800));
    let (a, b) = (Home::new(), Home::new());
    let (mut alice, card) = member::host(&a, "den", "alice");
    let mut command = member::join_command(&b, &card, "bob", "--json");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut bob = command.spawn().expect("snug starts");
    alice.sees(&["bob"]);
    let mut last = String::new();
    for number in 0..LINES {
        last = alice.send(&line(number));
    }
    alice.wait("a receipt of the last", |event| {
        (event["type"] == "receipt" && event["id"] == last.as_str() && event["held_by"] == 1).then_some(())
    });
    let mut input = bob.stdin.take().expect("a pipe");
    let mut say = |method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        writeln!(input, "{request}").expect("bob takes it");
    };
    say("read", json!({}));
    // Requests take effect in their order: by the time that alice hears these, the first has had its effect.
    for text in ["one", "two", "three"] {
        say("send", json!({ "text": text }));
        alice.hears(text);
    }
    let first = ended(bob, "KILL");
    assert!(first.len() < LINES, "all {LINES} fit into the pipe: nothing is tested");

    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    for number in (0..LINES).filter(|number| first.iter().all(|(text, _)| *text != line(*number))) {
        let event = bob.hears(&line(number));
        assert_eq!(event["again"], true);
    }
}

#[test]
fn what_a_stalled_reader_did_not_take_before_an_orderly_end_comes_again() {
    nothing_is_lost("TERM");
}

#[test]
fn what_a_stalled_reader_did_not_take_before_a_kill_comes_again() {
    nothing_is_lost("KILL");
}
