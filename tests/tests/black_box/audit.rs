//! The transcript check, with real processes.

use serde_json::json;
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::PlainMember;
use snug_tests::rendezvous::Rendezvous;

/// Reports that may find something on its way: each waits for answers itself.
const TRIES: usize = 60;

#[test]
fn where_nothing_is_missing_the_check_says_so() {
    let server = Rendezvous::start();
    let homes: [Home; 3] = std::array::from_fn(|_| Home::new());
    let card = member::create(&homes[0], &server.url(), "den");
    let mut alice = Member::join(&homes[0], &card, "alice");
    alice.ready();
    let mut bob = Member::join(&homes[1], &card, "bob");
    bob.ready();
    let mut carol = PlainMember::start("carol", &mut member::join_command(&homes[2], &card, "carol", "--plain"));
    carol.sees("* Welcome to the room den, carol.");
    alice.sees(&["bob", "carol"]);
    for number in 0..20 {
        alice.send(&format!("a{number}"));
        bob.send(&format!("b{number}"));
    }
    alice.hears("b19");
    bob.hears("a19");
    carol.hears("alice", "a19");
    carol.hears("bob", "b19");

    let wrong = alice
        .request("audit", json!({"who": "bob"}))
        .expect_err("no parameters");
    assert!(wrong.message.contains("no parameters"), "{}", wrong.message);
    // What is still on its way counts as missing until it has come.
    let clean = (0..TRIES).find_map(|_| {
        let report = alice.request("audit", json!({})).expect("a report");
        (report["clean"] == json!(true)).then_some(report)
    });
    let report = clean.expect("nothing is missing in the end");
    assert!(report["epochs"].as_u64().unwrap() >= 1, "{report}");
    for list in ["gaps", "withheld", "forks", "contradictory"] {
        assert_eq!(report[list], json!([]), "{report}");
    }
    carol.say("/audit");
    carol.sees("members linked with you answered.");
    assert_eq!(carol.count("signed two"), 0);
    carol.hang_up();
    bob.leave();
    alice.leave();
}
