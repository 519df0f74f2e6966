//! Two to five members who send, deliver in any order, deliver twice, damage and lose: each frame is read once by each
//! other member, and nothing that wasn't sent is ever read.
#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use snug_crypto::frame::FrameError;
use snug_crypto_fuzz::{Session, text};

#[derive(Arbitrary, Debug)]
enum Step {
    Send { from: u8, len: u16 },
    Deliver { frame: u8, to: u8 },
    Damage { frame: u8, to: u8, at: u16, flip: u8 },
}

#[derive(Arbitrary, Debug)]
struct Input {
    members: u8,
    steps: Vec<Step>,
}

fuzz_target!(|input: Input| {
    let members = 2 + usize::from(input.members % 4);
    let mut session = Session::new(members);
    let mut sent: Vec<(usize, Vec<u8>, String)> = Vec::new();
    let mut read = BTreeSet::new();
    for step in input.steps.into_iter().take(200) {
        match step {
            Step::Send { from, len } => {
                let from = usize::from(from) % members;
                let said = format!("{}{}", sent.len(), "x".repeat(usize::from(len) % 9_000));
                let frame = session.send(from, &[text(&said)]);
                read.insert((sent.len(), from));
                sent.push((from, frame, said));
            }
            Step::Deliver { frame, to } if !sent.is_empty() => {
                let (index, to) = (usize::from(frame) % sent.len(), usize::from(to) % members);
                let (from, bytes, said) = &sent[index];
                let opened = session.members[to].epoch.open(bytes);
                if read.insert((index, to)) {
                    let opened = opened.unwrap();
                    assert_eq!(opened.contents, [text(said)]);
                    assert_eq!(opened.sender, session.members[*from].leaf.id());
                } else {
                    assert_eq!(opened, Err(FrameError::Duplicate));
                }
            }
            Step::Damage { frame, to, at, flip } if !sent.is_empty() && flip != 0 => {
                let mut bad = sent[usize::from(frame) % sent.len()].1.clone();
                let at = usize::from(at) % bad.len();
                bad[at] ^= flip;
                assert!(session.members[usize::from(to) % members].epoch.open(&bad).is_err());
            }
            Step::Deliver { .. } | Step::Damage { .. } => (),
        }
    }
});
