//! Seal and open beside vodozemac's Megolm, in turns: a block of one, a block of the other, hundreds of times, so that a busy
//! machine slows both alike. Prints the time of the quickest and of the median block, and their ratios.
//!
//! A message of 256 bytes, signed; the bytes are what goes over the wire. Then a burst: 32 messages of 32 bytes, which here are
//! one frame and there 32 messages, as they queue while a publish is under way. Times are for one message.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{hint::black_box, time::Instant};

use snug_crypto::content::Content;
use vodozemac::megolm::{GroupSession, InboundGroupSession, MegolmMessage, SessionConfig};

mod room;

use room::Room;

const BLOCKS: usize = 400;
const PER_BLOCK: usize = 25;
/// Messages that leave together.
const BURST: usize = 32;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut room = Room::new(10);
    let issued = room.issue();
    let mut sender = room.live(room.open(&issued, 0), &issued.announcement);
    let mut receiver = room.live(room.open(&issued, 1), &issued.announcement);
    let (me, key) = (room.members[0].leaf.id(), room.members[0].secrets.signing.clone());
    let plaintext = "x".repeat(256);
    let contents = [Content::Text {
        text: plaintext.clone(),
        reply_to: None,
        sent_at_ms: 1_700_000_000_000,
    }];
    let mut group = GroupSession::new(SessionConfig::version_1());
    let mut inbound = InboundGroupSession::new(&group.session_key(), SessionConfig::version_1());

    let mut times = [const { Vec::new() }; 4];
    for _ in 0..BLOCKS {
        let mut ours = Vec::with_capacity(PER_BLOCK);
        let mut theirs = Vec::with_capacity(PER_BLOCK);
        times[0].push(block(|| {
            ours.push(sender.seal(&mut room.rng, me, &key, &[], &contents).unwrap().bytes);
        }));
        times[1].push(block(|| theirs.push(group.encrypt(&plaintext).to_bytes())));
        let mut ours = ours.iter();
        times[2].push(block(|| drop(black_box(receiver.open(ours.next().unwrap()).unwrap()))));
        let mut theirs = theirs.iter();
        times[3].push(block(|| {
            let message = MegolmMessage::try_from(theirs.next().unwrap().as_slice()).unwrap();
            drop(black_box(inbound.decrypt(&message).unwrap()));
        }));
    }
    report(&mut times, ["seal", "open"]);

    let short = "x".repeat(BURST);
    let said = |text: &str| Content::Text {
        text: text.to_owned(),
        reply_to: None,
        sent_at_ms: 1_700_000_000_000,
    };
    let burst: Vec<Content> = (0..BURST).map(|_| said(&short)).collect();
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..BLOCKS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::with_capacity(BURST));
        times[0].push(one(|| {
            ours = sender.seal(&mut room.rng, me, &key, &[], &burst).unwrap().bytes
        }));
        times[1].push(one(|| {
            (0..BURST).for_each(|_| theirs.push(group.encrypt(&short).to_bytes()))
        }));
        times[2].push(one(|| drop(black_box(receiver.open(&ours).unwrap()))));
        times[3].push(one(|| {
            for bytes in &theirs {
                let message = MegolmMessage::try_from(bytes.as_slice()).unwrap();
                drop(black_box(inbound.decrypt(&message).unwrap()));
            }
        }));
    }
    report(&mut times, ["seal a burst", "open a burst"]);
}

/// Prints sealing and opening, ours before theirs.
fn report(times: &mut [Vec<f64>; 4], names: [&str; 2]) {
    for (what, ours, theirs) in [(names[0], 0, 1), (names[1], 2, 3)] {
        let ((ours_best, ours_median), (theirs_best, theirs_median)) =
            (summary(&mut times[ours]), summary(&mut times[theirs]));
        println!(
            "{what}: snug {ours_best:.1} us (median {ours_median:.1}), megolm {theirs_best:.1} us (median {theirs_median:.1}): \
             {:.2}x (median {:.2}x)",
            theirs_best / ours_best,
            theirs_median / ours_median,
        );
    }
}

/// Microseconds for a message of a burst.
fn one(burst: impl FnOnce()) -> f64 {
    let start = Instant::now();
    burst();
    start.elapsed().as_secs_f64() * 1e6 / BURST as f64
}

/// Microseconds for one of a block.
fn block(mut one: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..PER_BLOCK {
        one();
    }
    start.elapsed().as_secs_f64() * 1e6 / PER_BLOCK as f64
}

/// The quickest and the median.
fn summary(times: &mut [f64]) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}
