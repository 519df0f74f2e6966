//! Whether comparisons with secrets take the same time wherever the difference stands, after dudect (Reparaz, Balasch,
//! Verbauwhede, 2017): two classes of inputs in random order, Welch's t over the times, and |t| below 4.5.
//!
//! `cargo bench --bench timing` takes a minute, and says nothing on a busy machine. A comparison that leaks is measured with
//! the others, to see that the measurement would notice. Without `--bench` only the statistics are tried, on made-up times.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{hint::black_box, process::ExitCode, time::Instant};

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use snug_crypto::{
    MeshKey, Password, PeerKey, RoomKey,
    leaf::UnverifiedRecord,
    link::{self, Link, LinkRole},
    names::check_distinct,
};

mod dudect;
mod room;

use dudect::{BOUND, welch};
use room::Room;

const SAMPLES: usize = 200_000;

fn main() -> ExitCode {
    statistics_tell_a_leak_from_noise();
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut leaks = 0;
    let mut case = |what: &str, t: f64| {
        println!("{what}: |t| = {:.2}", t.abs());
        leaks += u32::from(t.abs() >= BOUND);
    };
    case("proof of a link", link_proof());
    case("admission of a leaf", admission());
    case("envelope of a frame", envelope());
    case("Room Key and Password alike", distinct());
    let leaky = early_exit();
    println!("an early exit, for comparison: |t| = {:.2}", leaky.abs());
    if leaky.abs() < BOUND {
        println!("the machine is too busy: a comparison that leaks went unnoticed");
        return ExitCode::FAILURE;
    }
    if leaks == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Class 0 differs at the first byte, class 1 at the last.
fn link_proof() -> f64 {
    let (dialer, listener) = (PeerKey::from_bytes([1; 32]), PeerKey::from_bytes([2; 32]));
    let link = Link {
        dialer: &dialer,
        listener: &listener,
        dialer_nonce: &[3; 32],
        listener_nonce: &[4; 32],
    };
    let mesh = MeshKey::from_bytes([5; 32]);
    let proof = link::prove(&mesh, LinkRole::Dialer, &link);
    measure(|class| {
        let mut bad = proof;
        bad[class * 31] ^= 1;
        timed(|| link::verify(&mesh, LinkRole::Dialer, &link, black_box(&bad)))
    })
}

fn admission() -> f64 {
    let room = Room::new(1);
    let bytes = room.members[0].leaf.encode();
    let (hash, join, at) = (room.genesis.hash(), room.keys.join(), bytes.len() - 96);
    measure(|class| {
        let mut bad = bytes.clone();
        bad[at + class * 31] ^= 1;
        let record = UnverifiedRecord::decode(&bad).unwrap();
        timed(|| record.verify(&hash, |_| Some(join)).is_ok())
    })
}

fn envelope() -> f64 {
    let mut room = Room::new(2);
    let issued = room.issue();
    let (mut sender, mut receiver) = (
        room.live(room.open(&issued, 0), &issued.announcement),
        room.live(room.open(&issued, 1), &issued.announcement),
    );
    let (me, key) = (room.members[0].leaf.id(), room.members[0].secrets.signing.clone());
    let text = snug_crypto::content::Content::Text {
        text: "x".repeat(200),
        reply_to: None,
        sent_at_ms: 1,
    };
    let frame = sender.seal(&mut room.rng, me, &key, &[], &[text]).unwrap().bytes;
    measure(|class| {
        let mut bad = frame.clone();
        let at = bad.len() - 16 + class * 15;
        bad[at] ^= 1;
        timed(|| receiver.open(black_box(&bad)).is_ok())
    })
}

fn distinct() -> f64 {
    let key = RoomKey::parse(&"k".repeat(64)).unwrap();
    let others = [format!("x{}", "k".repeat(63)), format!("{}x", "k".repeat(63))];
    let others = others.map(|text| Password::parse(&text).unwrap());
    measure(|class| timed(|| check_distinct(black_box(&key), black_box(&others[class])).is_ok()))
}

/// What the others must not do.
fn early_exit() -> f64 {
    let (one, mut other) = ([7u8; 1_024], [[7u8; 1_024]; 2]);
    other[0][0] ^= 1;
    other[1][1_023] ^= 1;
    measure(|class| timed(|| (0..1_024).all(|at| black_box(one[at]) == black_box(other[class][at]))))
}

/// Nanoseconds.
fn timed(one: impl FnOnce() -> bool) -> f64 {
    let start = Instant::now();
    black_box(one());
    start.elapsed().as_nanos() as f64
}

/// Both classes in random order.
fn measure(mut one: impl FnMut(usize) -> f64) -> f64 {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut times = [Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES)];
    for _ in 0..SAMPLES {
        let class = rng.next_u32() as usize % 2;
        times[class].push(one(class));
    }
    dudect::t(times)
}

fn statistics_tell_a_leak_from_noise() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut noisy = |shift: f64| -> Vec<f64> { (0..20_000).map(|_| shift + f64::from(rng.next_u32() % 100)).collect() };
    let (one, same, slower) = (noisy(0.0), noisy(0.0), noisy(3.0));
    assert!(welch(&one, &same).abs() < BOUND, "noise is no leak");
    assert!(
        welch(&one, &slower).abs() > BOUND,
        "three nanoseconds in a hundred are one"
    );
}
