//! Whom to dial, where and when: no I/O, no clock of its own.
//!
//! A peer that somebody named is dialed at once, at all its addresses; a peer whose link was lost, or that could not be
//! reached, again after a pause that doubles and is jittered, so that a room doesn't dial in step after a broken
//! network. Everything is bounded: peers, addresses of each, dials at once, tries.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Peers that are remembered: four times the largest room that is foreseen for one process.
const MAX_PEERS: usize = 4096;

/// Addresses that are remembered of a peer: the newest.
const MAX_ADDRESSES: usize = 16;

/// The pause before the first of the tries…
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Before everybody is dialed again because the room has a new generation: the others take a moment to get there, too.
const AGAIN: Duration = Duration::from_millis(60);

/// …and before the last ones: links stand again within ten seconds of a network's healing.
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// Tries before a peer is forgotten: after about three minutes. By then it may be another peer, so its addresses are [called](super::caller).
const MAX_TRIES: u32 = 25;

/// Addresses of forgotten peers that wait to be taken.
const MAX_FORGOTTEN: usize = 32;

/// See the module.
pub(crate) struct Dialer {
    peers: HashMap<PeerId, Target>,
    /// Where peers lived that were given up.
    forgotten: Vec<Vec<Multiaddr>>,
    max_dials: usize,
    rng: StdRng,
}

struct Target {
    addresses: Vec<Multiaddr>,
    state: State,
    tries: u32,
    /// Whoever named the peer hasn't been told yet that it can't be reached.
    awaited: bool,
    /// It was of the room.
    was_linked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Due(Instant),
    Dialing,
    Connected,
}

impl Dialer {
    pub(crate) fn new(max_dials: usize, seed: [u8; 32]) -> Self {
        Self {
            peers: HashMap::new(),
            forgotten: Vec::new(),
            max_dials,
            rng: StdRng::from_seed(seed),
        }
    }

    /// Somebody named a peer that isn't linked. `false` if nothing of it can be dialed.
    ///
    /// With a connection at hand it isn't dialed now; that one may yet become a link, or be on its way out.
    pub(crate) fn want(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, is_connected: bool, now: Instant) -> bool {
        self.learn(peer, addresses, now);
        let Some(target) = self.peers.get_mut(&peer) else {
            return false;
        };
        target.awaited = true;
        target.tries = 0;
        if is_connected {
            target.state = State::Connected;
        }
        if let State::Due(due) = &mut target.state {
            *due = now;
        }
        true
    }

    /// More addresses of a peer, the better ones first. One that isn't known yet is dialed then.
    pub(crate) fn learn(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, due: Instant) {
        let mut addresses: Vec<_> = addresses
            .into_iter()
            .filter_map(|address| dialable(address, peer))
            .take(MAX_ADDRESSES)
            .collect();
        if addresses.is_empty() || (self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer)) {
            return;
        }
        let target = self.peers.entry(peer).or_insert_with(|| Target {
            addresses: Vec::new(),
            state: State::Due(due),
            tries: 0,
            awaited: false,
            was_linked: false,
        });
        addresses.append(&mut target.addresses);
        for address in addresses {
            if target.addresses.len() < MAX_ADDRESSES && !target.addresses.contains(&address) {
                target.addresses.push(address);
            }
        }
    }

    /// More addresses of a peer that is connected, for when it is no longer; nothing is dialed for it now.
    pub(crate) fn learn_connected(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) {
        self.learn(peer, addresses, now);
        self.connected(&peer);
    }

    /// Not dialed any more. Says whether whoever named the peer waits to be told.
    pub(crate) fn forget(&mut self, peer: &PeerId) -> bool {
        self.peers.remove(peer).is_some_and(|target| target.awaited)
    }

    /// The peer is connected, by whoever's dial.
    pub(crate) fn connected(&mut self, peer: &PeerId) {
        if let Some(target) = self.peers.get_mut(peer) {
            target.state = State::Connected;
        }
    }

    /// The peer is linked: it deserves all tries again.
    pub(crate) fn linked(&mut self, peer: &PeerId) {
        if let Some(target) = self.peers.get_mut(peer) {
            target.state = State::Connected;
            target.tries = 0;
            target.awaited = false;
            target.was_linked = true;
        }
    }

    /// A dial failed, or the last connection is gone. Says whether whoever named the peer waits to be told.
    pub(crate) fn lost(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(target) = self.peers.get_mut(peer) else {
            return false;
        };
        let awaited = std::mem::take(&mut target.awaited);
        target.tries += 1;
        if target.tries > MAX_TRIES {
            if let Some(gone) = self.peers.remove(peer).filter(|gone| gone.was_linked)
                && self.forgotten.len() < MAX_FORGOTTEN
            {
                self.forgotten.push(gone.addresses);
            }
            return awaited;
        }
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (target.tries - 1).min(16))
            .min(LAST_PAUSE);
        target.state = State::Due(now + pause.mul_f64(self.rng.random_range(0.5..1.0)));
        awaited
    }

    /// All links are about to end, by our own doing: everybody is dialed again, a moment later, as if for the first time.
    pub(crate) fn begin_again(&mut self, now: Instant) {
        for target in self.peers.values_mut() {
            target.tries = 0;
            let pause = AGAIN.mul_f64(self.rng.random_range(0.5..1.5));
            target.state = State::Due(now + pause);
        }
    }

    /// The next dial that is due, if another one may begin; it counts as begun.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        if self.dialing() >= self.max_dials {
            return None;
        }
        let due = |target: &Target| matches!(target.state, State::Due(due) if due <= now);
        // Those that failed before wait for those that may well be there: a dead peer holds a place for seconds.
        let due = self.peers.iter_mut().filter(|(_, target)| due(target));
        let (peer, target) = due.min_by_key(|(_, target)| target.tries)?;
        target.state = State::Dialing;
        Some((*peer, target.addresses.clone()))
    }

    /// Where a peer can be reached, as far as is known: the newest first.
    pub(crate) fn addresses(&self, peer: &PeerId) -> &[Multiaddr] {
        self.peers.get(peer).map_or(&[], |target| &target.addresses)
    }

    /// Whether a peer that is connected has this address.
    pub(crate) fn is_connected_at(&self, address: &Multiaddr) -> bool {
        let connected = self.peers.values().filter(|target| target.state == State::Connected);
        connected.into_iter().any(|target| target.addresses.contains(address))
    }

    /// The addresses of members that were given up since this was asked last.
    pub(crate) fn take_forgotten(&mut self) -> Vec<Vec<Multiaddr>> {
        std::mem::take(&mut self.forgotten)
    }

    /// When to call [`Dialer::next`] again, if nothing happens before.
    pub(crate) fn wake(&self) -> Option<Instant> {
        if self.dialing() >= self.max_dials {
            return None;
        }
        let due = self.peers.values().filter_map(|target| match target.state {
            State::Due(due) => Some(due),
            State::Dialing | State::Connected => None,
        });
        due.min()
    }

    fn dialing(&self) -> usize {
        self.peers
            .values()
            .filter(|target| target.state == State::Dialing)
            .count()
    }
}

/// The address without the peer's id, or nothing if it names another peer or no transport of ours.
fn dialable(address: Multiaddr, peer: PeerId) -> Option<Multiaddr> {
    match address.iter().last() {
        Some(Protocol::P2p(named)) if named != peer => None,
        _ => plain(address),
    }
}

/// The address without whoever's id, or nothing if it is of no transport of ours.
pub(crate) fn plain(mut address: Multiaddr) -> Option<Multiaddr> {
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    let mut parts = address.iter();
    let host = parts.next()?;
    let unspecified = match host {
        Protocol::Ip4(ip) => ip.is_unspecified(),
        Protocol::Ip6(ip) => ip.is_unspecified(),
        _ => return None,
    };
    let known = match (parts.next()?, parts.next(), parts.next()) {
        (Protocol::Tcp(port), None, None) | (Protocol::Udp(port), Some(Protocol::QuicV1), None) => port != 0,
        _ => false,
    };
    (known && !unspecified).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    fn dialer(max_dials: usize) -> Dialer {
        Dialer::new(max_dials, [7; 32])
    }

    #[test]
    fn a_peer_is_dialed_once_at_all_its_addresses() {
        let (mut dialer, peer, now) = (dialer(4), PeerId::random(), Instant::now());
        assert!(dialer.want(peer, vec![address(1), address(2), address(1)], false, now));
        assert!(dialer.want(peer, vec![address(3)], false, now));
        let (dialed, addresses) = dialer.next(now).unwrap();
        assert_eq!((dialed, addresses), (peer, vec![address(3), address(1), address(2)]));
        assert!(dialer.want(peer, vec![address(3)], false, now));
        assert_eq!(dialer.next(now), None);
        assert_eq!(dialer.wake(), None);
    }

    #[test]
    fn dials_at_once_are_bounded() {
        let (mut dialer, now) = (dialer(2), Instant::now());
        for _ in 0..5 {
            dialer.want(PeerId::random(), vec![address(1)], false, now);
        }
        let (first, _) = dialer.next(now).unwrap();
        assert!(dialer.next(now).is_some());
        assert_eq!(dialer.next(now), None);
        dialer.linked(&first);
        assert!(dialer.next(now).is_some());
    }

    #[test]
    fn failure_is_told_once_and_tried_again_later_and_later_and_then_no_more() {
        let (mut dialer, peer, mut now) = (dialer(1), PeerId::random(), Instant::now());
        dialer.want(peer, vec![address(1)], false, now);
        assert!(dialer.next(now).is_some());
        assert!(dialer.lost(&peer, now), "who named it is told");
        let mut tries = 0;
        while let Some(wake) = dialer.wake() {
            assert!(wake - now >= FIRST_PAUSE / 2 && wake - now <= LAST_PAUSE);
            now = wake;
            assert!(dialer.next(now).is_some());
            tries += 1;
            assert!(!dialer.lost(&peer, now), "and only once");
        }
        assert_eq!(tries, MAX_TRIES);
        assert!(dialer.peers.is_empty());
        assert!(dialer.take_forgotten().is_empty(), "it never was of the room");
    }

    #[test]
    fn the_addresses_of_a_member_that_is_given_up_are_handed_on() {
        let (mut dialer, peer, mut now) = (dialer(1), PeerId::random(), Instant::now());
        dialer.learn_connected(peer, vec![address(1), address(2)], now);
        dialer.linked(&peer);
        assert!(dialer.is_connected_at(&address(2)));
        assert_eq!(dialer.addresses(&peer), [address(1), address(2)]);
        dialer.lost(&peer, now);
        assert!(!dialer.is_connected_at(&address(2)));
        while let Some(wake) = dialer.wake() {
            now = wake;
            dialer.next(now).unwrap();
            dialer.lost(&peer, now);
        }
        assert_eq!(dialer.take_forgotten(), [[address(1), address(2)]]);
        assert!(dialer.take_forgotten().is_empty());
    }

    #[test]
    fn who_failed_waits_for_who_did_not() {
        let (mut dialer, now) = (dialer(1), Instant::now());
        let [dead, fresh] = [(); 2].map(|()| PeerId::random());
        dialer.want(dead, vec![address(1)], false, now);
        dialer.next(now).unwrap();
        dialer.lost(&dead, now);
        let later = dialer.wake().unwrap();
        dialer.want(fresh, vec![address(2)], false, later);
        assert_eq!(dialer.next(later).unwrap().0, fresh);
    }

    #[test]
    fn a_link_that_is_lost_is_dialed_again() {
        let (mut dialer, peer, now) = (dialer(1), PeerId::random(), Instant::now());
        dialer.learn_connected(peer, vec![address(1)], now);
        assert_eq!(dialer.wake(), None);
        assert!(!dialer.lost(&peer, now));
        assert!(dialer.wake().is_some());
        dialer.forget(&peer);
        assert_eq!(dialer.wake(), None);
    }

    #[test]
    fn only_addresses_that_can_be_dialed_are_kept() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let kept = |text: String| dialable(text.parse().unwrap(), peer).is_some();
        assert!(kept("/ip6/::1/udp/9/quic-v1".into()));
        assert!(kept(format!("/ip4/192.0.2.1/tcp/9/p2p/{peer}")));
        for text in [
            format!("/ip4/192.0.2.1/tcp/9/p2p/{other}"),
            format!("/ip4/192.0.2.1/tcp/9/p2p/{other}/p2p-circuit/p2p/{peer}"),
            "/ip4/0.0.0.0/tcp/9".into(),
            "/ip4/192.0.2.1/tcp/0".into(),
            "/ip4/192.0.2.1/udp/9".into(),
            "/dns4/example.org/tcp/9".into(),
            "/memory/5".into(),
        ] {
            assert!(!kept(text.clone()), "{text}");
        }
    }

    #[test]
    fn the_list_of_peers_is_bounded() {
        let (mut dialer, now) = (dialer(1), Instant::now());
        for _ in 0..MAX_PEERS + 10 {
            dialer.want(PeerId::random(), vec![address(1)], false, now);
        }
        assert_eq!(dialer.peers.len(), MAX_PEERS);
    }
}
