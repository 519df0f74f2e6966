//! Much said at once, and said before anybody else could be reached: all of it arrives, once, in the order in which it was said.

use serde_json::json;
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("line {n}")).collect()
}

#[test]
fn what_a_program_says_in_a_burst_arrives_in_order() {
    let (a, b) = (Home::new(), Home::new());
    let (mut alice, card) = member::host(&a, "den", "alice");
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    let lines = numbered(500);
    for line in &lines {
        alice.post("send", json!({ "text": line }));
    }
    bob.hears("line 499");
    assert_eq!(bob.heard(), lines);
}

#[test]
fn lines_of_a_pipe_that_ends_at_once_arrive_in_order() {
    let (a, b) = (Home::new(), Home::new());
    let (mut alice, card) = member::host(&a, "den", "alice");
    let lines = numbered(300);
    let input = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let output = process::run("bob", &mut member::join_command(&b, &card, "bob", "--plain"), &input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    alice.hears("line 299");
    assert_eq!(alice.heard(), lines);
}

#[test]
fn what_is_said_before_the_others_can_be_reached_is_not_lost() {
    let server = Rendezvous::start();
    let (maker, a, b) = (Home::new(), Home::new(), Home::new());
    let card = member::create(&maker, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    // Her machine sleeps: she is still announced, and takes connections, but answers none.
    alice.process().signal("STOP");
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    bob.send("Anybody?");
    alice.process().signal("CONT");
    alice.hears("Anybody?");
    bob.send("There you are.");
    alice.hears("There you are.");
    assert_eq!(alice.heard(), ["Anybody?", "There you are."]);
}
