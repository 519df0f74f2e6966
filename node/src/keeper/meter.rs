//! How much one link may cost a keeper: a bucket of bytes for each peer and one for all, each way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use snug_crypto::PeerKey;

/// What a link brings or takes at once: all that a keeper holds by default.
const LINK_BURST: f64 = (64 << 20) as f64;
/// What it brings or takes in a second, from then on.
const LINK_RATE: f64 = (256 << 10) as f64;
/// The same for all links together.
const ALL_BURST: f64 = (256 << 20) as f64;
const ALL_RATE: f64 = (4 << 20) as f64;
/// Peers that are remembered; whoever was quiet longest is forgotten.
const MAX_PEERS: usize = 1_024;

/// See the module.
pub(super) struct Meter {
    peers: HashMap<PeerKey, Bucket>,
    all: Bucket,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, bytes: usize, burst: f64, rate: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        self.left = (self.left + passed.as_secs_f64() * rate).min(burst);
        self.at = now;
        let bytes = bytes as f64;
        let may = self.left >= bytes;
        if may {
            self.left -= bytes;
        }
        may
    }
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        let all = Bucket {
            left: ALL_BURST,
            at: now,
        };
        Self {
            peers: HashMap::new(),
            all,
        }
    }

    /// Whether a peer may bring, or take, so much more.
    pub(super) fn take(&mut self, peer: PeerKey, bytes: usize, now: Instant) -> bool {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            let refilled = Duration::from_secs_f64(LINK_BURST / LINK_RATE);
            self.peers
                .retain(|_, bucket| now.saturating_duration_since(bucket.at) < refilled);
            let quiet = self
                .peers
                .iter()
                .min_by_key(|(_, bucket)| bucket.at)
                .map(|(peer, _)| *peer);
            if let Some(quiet) = quiet.filter(|_| self.peers.len() >= MAX_PEERS) {
                self.peers.remove(&quiet);
            }
        }
        let bucket = self.peers.entry(peer).or_insert(Bucket {
            left: LINK_BURST,
            at: now,
        });
        bucket.take(bytes, LINK_BURST, LINK_RATE, now) && self.all.take(bytes, ALL_BURST, ALL_RATE, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_its_share_and_all_links_have_one_together() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        let peer = |byte| PeerKey::from_bytes([byte; 32]);
        let mebibytes = |meter: &mut Meter, of, now| (0..1_000).filter(|_| meter.take(peer(of), 1 << 20, now)).count();
        assert_eq!(mebibytes(&mut meter, 1, now), 64);
        assert_eq!(mebibytes(&mut meter, 2, now), 64);
        assert_eq!(mebibytes(&mut meter, 3, now), 64);
        assert_eq!(mebibytes(&mut meter, 4, now), 64);
        assert_eq!(mebibytes(&mut meter, 5, now), 0, "the five together");
        let later = now + Duration::from_secs(8);
        assert_eq!(mebibytes(&mut meter, 1, later), 2);
        for number in 0..5_000_u32 {
            let mut bytes = [9; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            meter.take(PeerKey::from_bytes(bytes), 1, later);
        }
        assert!(meter.peers.len() <= MAX_PEERS);
    }
}
