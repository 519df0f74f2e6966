//! Five people with five data folders enter by Room ID and Room Key, all at once, and every message reaches every other exactly once.

use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::rendezvous::Rendezvous;
use std::collections::BTreeMap;

const NAMES: [&str; 5] = ["ana", "ben", "cleo", "dov", "eve"];
/// Messages of each member, apart from its last word.
const EACH: usize = 8;

#[test]
fn each_message_reaches_each_other_member_exactly_once() {
    let server = Rendezvous::start();
    let homes: Vec<Home> = NAMES.iter().map(|_| Home::new()).collect();
    let card = member::create(&homes[0], &server.url(), "five");
    let mut members: Vec<Member> = homes
        .iter()
        .zip(NAMES)
        .map(|(home, name)| Member::join(home, &card, name))
        .collect();
    let keys: Vec<String> = members.iter_mut().map(Member::ready).collect();
    for member in &mut members {
        let others: Vec<&str> = NAMES.into_iter().filter(|&name| name != member.name()).collect();
        member.sees(&others);
    }

    for round in 0..EACH {
        for (member, name) in members.iter_mut().zip(NAMES) {
            member.send(&format!("{name} says {round}"));
        }
    }
    // A last word comes after all else of its sender; when all of them are in, whatever was to come twice had its chance.
    for (member, name) in members.iter_mut().zip(NAMES) {
        member.send(&format!("{name} is done"));
    }
    for member in &mut members {
        let own = member.name().to_owned();
        for name in NAMES.into_iter().filter(|&name| name != own) {
            for round in 0..EACH {
                member.hears(&format!("{name} says {round}"));
            }
            member.hears(&format!("{name} is done"));
        }
    }
    for member in &mut members {
        let own = member.name().to_owned();
        let mut heard = BTreeMap::new();
        for (_, event) in member.events().iter().filter(|(_, event)| event["type"] == "message") {
            let from = event["from"]["fingerprint"]
                .as_str()
                .expect("a sender has a fingerprint")
                .to_owned();
            let text = event["text"].as_str().expect("a message has a text").to_owned();
            *heard.entry((from, text)).or_insert(0) += 1;
        }
        let mut expected = BTreeMap::new();
        for (name, key) in NAMES.iter().zip(&keys).filter(|(name, _)| **name != own) {
            for round in 0..EACH {
                expected.insert((key.clone(), format!("{name} says {round}")), 1);
            }
            expected.insert((key.clone(), format!("{name} is done")), 1);
        }
        assert_eq!(heard, expected, "what {own} heard, and how often");
    }
    members.into_iter().for_each(Member::leave);
}

#[test]
fn two_with_one_name_are_told_apart() {
    let server = Rendezvous::start();
    let (a, b, c) = (Home::new(), Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "twins");
    let mut first = Member::join(&a, &card, "sam");
    let mut second = Member::join(&b, &card, "sam");
    let (one, two) = (first.ready(), second.ready());
    assert_ne!(one, two);
    let mut third = Member::join(&c, &card, "tess");
    third.ready();
    first.sees(&["tess"]);
    second.sees(&["tess"]);
    first.send("I am the first");
    second.send("I am the second");
    assert_eq!(third.hears("I am the first")["from"]["fingerprint"], one.as_str());
    assert_eq!(third.hears("I am the second")["from"]["fingerprint"], two.as_str());
    assert_eq!(
        third.members().iter().filter(|member| member["name"] == "sam").count(),
        2
    );
}
