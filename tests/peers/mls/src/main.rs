//! Sealing and opening a signed message of 256 bytes in a group of 100, beside openmls and mls-rs, in turns: a block of one, a block of
//! the next, hundreds of times, so that a busy machine slows all alike. Prints the quickest and the median block of each, and ratios.
//!
//!     cargo run --release --manifest-path tests/peers/mls/Cargo.toml
//!
//! All three sign with Ed25519 and seal with ChaCha20-Poly1305; the bytes are what goes over the wire, and decoding them is part of
//! opening. MLS groups are of the suite MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519 over RustCrypto, as ours are, in the settings
//! that their crates come with: openmls writes its state into a store in memory with each message, mls-rs when it is told to.

use std::hint::black_box;
use std::time::Instant;

use snug_crypto::LeafId;
use snug_crypto::content::Content;
use snug_crypto::frame::Epoch;
use snug_crypto::leaf::LeafSigningKey;

mod aws;
mod open;
#[path = "../../../../crypto/benches/room/mod.rs"]
mod room;

/// Members of each group.
const MEMBERS: usize = 100;
const BLOCKS: usize = 300;
const PER_BLOCK: usize = 25;
const TEXT: [u8; 256] = [b'x'; 256];

/// A sender and a receiver of one group.
pub trait Pair {
    /// The bytes of one message more.
    fn seal(&mut self) -> Vec<u8>;
    /// Opens the next one; gives the length of what was said.
    fn open(&mut self, bytes: &[u8]) -> usize;
}

struct Snug {
    room: room::Room,
    sender: Epoch,
    receiver: Epoch,
    me: LeafId,
    key: LeafSigningKey,
    contents: [Content; 1],
}

impl Snug {
    fn new() -> Self {
        let mut room = room::Room::new(MEMBERS);
        let issued = room.issue();
        let sender = room.live(room.open(&issued, 0), &issued.announcement);
        let receiver = room.live(room.open(&issued, 1), &issued.announcement);
        let text = Content::Text {
            text: String::from_utf8(TEXT.to_vec()).expect("text"),
            reply_to: None,
            sent_at_ms: 1_700_000_000_000,
        };
        Self {
            me: room.members[0].leaf.id(),
            key: room.members[0].secrets.signing.clone(),
            room,
            sender,
            receiver,
            contents: [text],
        }
    }
}

impl Pair for Snug {
    fn seal(&mut self) -> Vec<u8> {
        let sealed = self
            .sender
            .seal(&mut self.room.rng, self.me, &self.key, &[], &self.contents);
        sealed.expect("a frame").bytes
    }

    fn open(&mut self, bytes: &[u8]) -> usize {
        match &self.receiver.open(bytes).expect("it opens").contents[0] {
            Content::Text { text, .. } => text.len(),
            _ => 0,
        }
    }
}

/// Microseconds of each block.
struct Times {
    name: &'static str,
    seal: Vec<f64>,
    open: Vec<f64>,
    bytes: usize,
}

fn main() {
    let mut pairs: [(&'static str, Box<dyn Pair>); 3] = [
        ("snug", Box::new(Snug::new())),
        ("openmls", Box::new(open::OpenMls::new(MEMBERS))),
        ("mls-rs", Box::new(aws::MlsRs::new(MEMBERS))),
    ];
    let mut all = pairs.each_ref().map(|(name, _)| Times {
        name,
        seal: Vec::new(),
        open: Vec::new(),
        bytes: 0,
    });
    for _ in 0..BLOCKS {
        for ((_, pair), times) in pairs.iter_mut().zip(&mut all) {
            let mut sealed = Vec::with_capacity(PER_BLOCK);
            let start = Instant::now();
            for _ in 0..PER_BLOCK {
                sealed.push(pair.seal());
            }
            times.seal.push(micros(start));
            let start = Instant::now();
            for bytes in &sealed {
                assert_eq!(black_box(pair.open(bytes)), TEXT.len());
            }
            times.open.push(micros(start));
            times.bytes = sealed[0].len();
        }
    }
    println!(
        "{MEMBERS} members, a signed message of {} bytes; {BLOCKS} blocks of {PER_BLOCK} in turns",
        TEXT.len()
    );
    let ours = (summary(&mut all[0].seal.clone()), summary(&mut all[0].open.clone()));
    for times in &mut all {
        let (seal, open) = (summary(&mut times.seal), summary(&mut times.open));
        println!(
            "{:8} seal {:6.1} us (median {:6.1}), open {:6.1} us (median {:6.1}), {} bytes; times snug's: seal {:.2} (median {:.2}), \
             open {:.2} (median {:.2})",
            times.name,
            seal.0,
            seal.1,
            open.0,
            open.1,
            times.bytes,
            seal.0 / ours.0.0,
            seal.1 / ours.0.1,
            open.0 / ours.1.0,
            open.1 / ours.1.1,
        );
    }
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / PER_BLOCK as f64
}

/// The quickest and the median.
fn summary(times: &mut [f64]) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}
