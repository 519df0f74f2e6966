//! `/snug/peers/1`: who else is there (docs/PROTOCOL.md, "Peer exchange").
//!
//! Whoever comes in by one member's address must find the others too, or the room hangs on that member. On a new link, and now and then
//! on a random one, a member asks whom the other is linked with, and dials some of those.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId, StreamProtocol};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use snug_crypto::{PeerKey, bounds::MAX_ADDRESS_BYTES, bounds::MAX_ADDRESSES};

use super::direct::DirectCodec;

/// The protocol's name on the wire.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/snug/peers/1");

/// Peers in one answer.
pub(crate) const MAX_PEERS: usize = 32;

/// Bytes of one answer: that many peers with a handful of addresses each.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// Before somebody that a link told of is dialed, at most: when many come at once, most of them are being dialed already.
const DIAL_WITHIN: Duration = Duration::from_secs(1);

/// Between two questions to a random link; jittered by half.
const INTERVAL: Duration = Duration::from_secs(30);

/// After a link was lost, or we can be called somewhere else: whom we lost may be found there, too.
const SOON: Duration = Duration::from_secs(4);

/// Questions and answers between linked peers.
pub(crate) type Exchange = libp2p::request_response::Behaviour<DirectCodec>;

pub(crate) fn exchange(timeout: Duration) -> Exchange {
    use libp2p::request_response::{Config, ProtocolSupport};

    let config = Config::default()
        .with_request_timeout(timeout)
        // One each way, and one that is late.
        .with_max_concurrent_streams(4);
    Exchange::with_codec(
        DirectCodec::bounded(MAX_BYTES),
        [(PROTOCOL, ProtocolSupport::Full)],
        config,
    )
}

/// Whom to ask when.
pub(crate) struct Curiosity {
    next: Option<Instant>,
    rng: StdRng,
}

impl Curiosity {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            next: None,
            rng: StdRng::from_seed(seed),
        }
    }

    /// A link came up, and is asked now.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.next = Some(now + INTERVAL.mul_f64(self.rng.random_range(0.75..1.25)));
    }

    /// Something changed of who can be reached how.
    pub(crate) fn soon(&mut self, now: Instant) {
        let soon = now + SOON.mul_f64(self.rng.random_range(0.5..1.0));
        self.next = self.next.map(|next| next.min(soon));
    }

    pub(crate) fn wake(&self) -> Option<Instant> {
        self.next
    }

    /// One of the links, if it is time.
    pub(crate) fn choose(&mut self, links: &[PeerId], now: Instant) -> Option<PeerId> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        self.asked(now);
        (!links.is_empty()).then(|| links[self.rng.random_range(0..links.len())])
    }

    /// When to dial somebody that a link told of.
    pub(crate) fn dial_at(&mut self, now: Instant) -> Instant {
        now + DIAL_WITHIN.mul_f64(self.rng.random_range(0.2..1.0))
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        list.shuffle(&mut self.rng);
    }
}

/// `list of (peer(32) ‖ list of lp(address))`, as much of it as fits.
pub(crate) fn encode(peers: &[(PeerKey, Vec<Multiaddr>)]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut count: u32 = 0;
    for (peer, addresses) in peers.iter().take(MAX_PEERS) {
        let mut entry = peer.as_bytes().to_vec();
        let texts: Vec<String> = (addresses.iter().map(Multiaddr::to_string))
            .filter(|text| text.len() <= MAX_ADDRESS_BYTES)
            .take(MAX_ADDRESSES)
            .collect();
        entry.extend_from_slice(&(texts.len() as u32).to_be_bytes());
        for text in &texts {
            entry.extend_from_slice(&(text.len() as u32).to_be_bytes());
            entry.extend_from_slice(text.as_bytes());
        }
        if texts.is_empty() || 4 + body.len() + entry.len() > MAX_BYTES {
            continue;
        }
        body.extend_from_slice(&entry);
        count += 1;
    }
    [&count.to_be_bytes()[..], &body].concat()
}

/// `None` for anything else than [`encode`] makes. Addresses that are none are passed over.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(PeerKey, Vec<Multiaddr>)>> {
    let mut rest = bytes;
    let count = number(&mut rest)?;
    if count > MAX_PEERS {
        return None;
    }
    let mut peers = Vec::new();
    for _ in 0..count {
        let peer = PeerKey::from_bytes(*rest.split_first_chunk::<32>().map(|(peer, after)| {
            rest = after;
            peer
        })?);
        let addresses = number(&mut rest)?;
        if addresses > MAX_ADDRESSES {
            return None;
        }
        let mut known = Vec::new();
        for _ in 0..addresses {
            let length = number(&mut rest)?;
            if length > MAX_ADDRESS_BYTES {
                return None;
            }
            let (text, after) = rest.split_at_checked(length)?;
            rest = after;
            known.extend(std::str::from_utf8(text).ok()?.parse::<Multiaddr>().ok());
        }
        peers.push((peer, known));
    }
    rest.is_empty().then_some(peers)
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<Multiaddr> {
        (1..=count)
            .map(|port| format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap())
            .collect()
    }

    #[test]
    fn peers_and_addresses_come_back() {
        let peers = vec![
            (PeerKey::from_bytes([1; 32]), addresses(2)),
            (PeerKey::from_bytes([2; 32]), addresses(1)),
        ];
        assert_eq!(decode(&encode(&peers)), Some(peers));
        assert_eq!(decode(&encode(&[])), Some(Vec::new()));
        let nowhere = [(PeerKey::from_bytes([1; 32]), Vec::new())];
        assert_eq!(decode(&encode(&nowhere)), Some(Vec::new()), "nothing to dial");
    }

    #[test]
    fn an_answer_is_bounded() {
        let many: Vec<_> = (0..100)
            .map(|n| (PeerKey::from_bytes([n; 32]), addresses(30)))
            .collect();
        let bytes = encode(&many);
        assert!(bytes.len() <= MAX_BYTES);
        let back = decode(&bytes).unwrap();
        assert!(back.len() <= MAX_PEERS && back.iter().all(|(_, known)| known.len() <= MAX_ADDRESSES));
    }

    #[test]
    fn anything_else_is_refused() {
        let good = encode(&[(PeerKey::from_bytes([1; 32]), addresses(2))]);
        for cut in 0..good.len() {
            assert_eq!(decode(&good[..cut]), None, "cut at {cut}");
        }
        assert_eq!(decode(&[&good[..], &[0]].concat()), None);
        assert_eq!(decode(&u32::MAX.to_be_bytes()), None);
        let mut long = good.clone();
        long[36..40].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(decode(&long), None);
    }

    #[test]
    fn a_random_link_is_asked_now_and_then() {
        let (mut curiosity, now) = (Curiosity::new([1; 32]), Instant::now());
        let links = [PeerId::random(), PeerId::random()];
        assert_eq!(curiosity.choose(&links, now), None, "no link came up yet");
        curiosity.asked(now);
        assert_eq!(curiosity.choose(&links, now), None);
        let due = curiosity.wake().unwrap();
        assert!(curiosity.choose(&links, due).is_some_and(|peer| links.contains(&peer)));
        assert!(curiosity.wake().unwrap() > due);
        curiosity.soon(due);
        assert!(curiosity.wake().unwrap() <= due + SOON);
        assert_eq!(curiosity.choose(&[], curiosity.wake().unwrap()), None);
    }
}
