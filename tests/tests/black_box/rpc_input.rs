//! What programs and people write at a front end: wrong requests get an error each, and the member stays in the room.

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::PlainMember;
use snug_tests::rendezvous::Rendezvous;

#[test]
fn wrong_requests_are_answered_and_harm_nothing() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);

    // Lines that are no requests, with the code that JSON-RPC gives for each.
    let mark = alice.process().mark();
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":9,"method":"send","params":{{"text":"{}"}}}}"#,
        "x".repeat(4 << 20)
    );
    let lines = [
        ("hello", -32700),
        (r#"{"jsonrpc":"2.0","id":9001,"method""#, -32700),
        ("[]", -32600),
        ("17", -32600),
        (r#"{"id":9001,"method":"status"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#, -32600),
        (long.as_str(), -32600),
    ];
    for (line, _) in &lines {
        alice.process().write_line(line);
    }
    let mut codes = Vec::new();
    alice.process().wait_line("an error for each line", mark, |line| {
        let value: Value = serde_json::from_str(&line.text).ok()?;
        codes.extend(value["error"]["code"].as_i64());
        (codes.len() == lines.len()).then_some(())
    });
    assert_eq!(codes, lines.map(|(_, code)| code));

    for (method, params, code) in [
        ("dance", json!({}), -32601),
        ("send", json!({}), -32602),
        ("send", json!({ "text": 17 }), -32602),
        ("send", json!({ "text": "" }), -32602),
        ("send", json!({ "text": "x", "reply_to": "not a hash" }), -32602),
        ("send", json!({ "text": "x".repeat(100_000) }), -32602),
        ("members", json!({ "surplus": 1 }), -32602),
    ] {
        let error = alice.request(method, params).expect_err("it must be refused");
        assert_eq!(error.code, code, "{method}: {}", error.message);
        assert!(!error.message.is_empty(), "{method}: an error says what is wrong");
    }
    alice.send("still here");
    bob.hears("still here");
    assert_eq!(bob.heard(), ["still here"], "nothing of what was wrong got out");
}

#[test]
fn a_long_text_arrives_whole_or_is_refused() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    let mut accepted = 0;
    for size in [
        1, 200, 255, 256, 257, 1_000, 4_096, 8_000, 16_000, 24_000, 31_000, 32_000, 33_000, 64_000,
    ] {
        let text: String = ('a'..='z').cycle().take(size).collect();
        if alice.request("send", json!({ "text": text })).is_ok() {
            assert_eq!(bob.hears(&text)["text"], text.as_str(), "{size} bytes");
            accepted = size;
        }
    }
    assert!(
        (16_000..33_000).contains(&accepted),
        "the longest that was accepted: {accepted} bytes"
    );
}

#[test]
fn plain_lines_of_any_bytes() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut alice = PlainMember::start("alice", &mut member::join_command(&a, &card, "alice", "--plain"));
    bob.sees(&["alice"]);
    alice.say("");
    alice.say("   ");
    alice.say("caf\u{e9}\u{7}\u{1b}[2J");
    alice.say(&"y".repeat(4 << 20));
    alice.say("the end");
    bob.hears("the end");
    let heard = bob.heard();
    assert!(
        heard.iter().all(|text| !text.trim().is_empty()),
        "an empty line is no message: {heard:?}"
    );
    assert!(
        heard.iter().all(|text| text.len() < 40_000),
        "too long a line is no message"
    );
    alice.process().close_stdin();
    assert_eq!(
        alice.process().exit_code(),
        1,
        "a script hears that not all of it was sent"
    );
}
