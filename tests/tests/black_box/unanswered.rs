//! A program that sends more than anybody is there to hear: what it asks is answered all the same, and nothing is lost in silence.

use std::time::Duration;

use serde_json::{Value, json};
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::rendezvous::Rendezvous;

/// Half a minute is what is waited for somebody to come, after the end of input.
const END: Duration = Duration::from_secs(180);
const SENDS: usize = 300;
/// So many wait for the room at once.
const HANDED_OVER: usize = 128;

#[test]
fn questions_and_the_end_of_input_do_not_wait_for_messages_that_nobody_hears() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);
    alice.hang_up();
    bob.hang_up();

    // Back alone, he has nobody who would tell him the keys of now.
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let posted: Vec<u64> = (0..SENDS)
        .map(|n| bob.post("send", json!({ "text": format!("m{n}") })))
        .collect();
    for method in ["status", "members", "room.info"] {
        let answer = bob.request(method, json!({}));
        assert!(answer.is_ok(), "{method} behind {SENDS} messages: {answer:?}");
    }
    bob.process().close_stdin();
    let status = bob.process().wait_within(END);
    assert_eq!(status.code(), Some(0), "the end of input is an orderly end");
    // Kept for the next run, sent, or refused with what to do.
    let answers: Vec<Option<Value>> = (posted.iter())
        .map(|id| bob.reply_within(Duration::from_millis(1), *id))
        .collect();
    let refused = |answer: &Option<Value>| {
        let message = answer.as_ref().and_then(|answer| answer["error"]["message"].as_str());
        message.is_some_and(|message| !message.contains("it is kept"))
    };
    let texts = |wanted: &dyn Fn(usize, &Option<Value>) -> bool| -> Vec<String> {
        let chosen = answers.iter().enumerate().filter(|(n, answer)| wanted(*n, answer));
        chosen.map(|(n, _)| format!("m{n}")).collect()
    };
    // The first were handed over when they were read; the end may come before the answers to some of the others.
    let taken = texts(&|n, answer| n < HANDED_OVER || answer.is_some() && !refused(answer));
    for answer in answers.iter().filter(|answer| refused(answer)).flatten() {
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("unanswered") || message.contains("wait already"),
            "{message}"
        );
    }

    // The next run says what was taken, in its order, and nothing that was refused.
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.hears(taken.last().unwrap());
    let heard = alice.heard();
    let all = texts(&|_, answer| !refused(answer));
    let unexpected: Vec<&String> = heard.iter().filter(|text| !all.contains(text)).collect();
    assert!(unexpected.is_empty(), "refused, and said all the same: {unexpected:?}");
    let of_taken: Vec<&String> = heard.iter().filter(|text| taken.contains(text)).collect();
    assert_eq!(of_taken, taken.iter().collect::<Vec<_>>());
}
