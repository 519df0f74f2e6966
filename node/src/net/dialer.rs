//! Whom to dial, where and when: no I/O, no clock of its own.
//!
//! A peer that somebody named is dialed at once, at all its own addresses, and a moment later, if those don't answer, through the relays at
//! which it can be called: a link that needs no relay is the better one, and who can be reached only so shouldn't wait for time-outs. A
//! peer whose link was lost, or that could not be reached, again after a pause that doubles and is jittered, so that a room doesn't dial
//! in step after a broken network. Everything is bounded: peers, addresses of each, dials at once, tries.

#[cfg(test)]
mod tests;

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

/// How long a peer's own addresses are tried alone: handshakes within a country take a fifth of this.
const HEAD_START: Duration = Duration::from_millis(500);

/// How much longer, at most, until a relay has told us how it sees us: without that no hole is punched later.
const UNOBSERVED: Duration = Duration::from_secs(2);

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
    Dialing(Dials),
    Connected,
}

/// What is under way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dials {
    under_way: u8,
    /// When its relays are tried, unless they are already.
    relays_at: Option<Instant>,
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
        if let State::Dialing(dials) = &mut target.state {
            dials.under_way = dials.under_way.saturating_sub(1);
            if dials.under_way > 0 {
                return false;
            }
            if let Some(at) = &mut dials.relays_at {
                // Its own addresses don't answer: there is nothing to wait for.
                *at = now;
                return false;
            }
        }
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
        loop {
            if self.dialing() >= self.max_dials {
                return None;
            }
            let due = |target: &Target| matches!(target.state, State::Due(due) if due <= now);
            // Those that failed before wait for those that may well be there: a dead peer holds a place for seconds.
            let due = self.peers.iter_mut().filter(|(_, target)| due(target));
            let (peer, target) = due.min_by_key(|(_, target)| target.tries)?;
            let (through_relays, own): (Vec<_>, Vec<_>) = target.addresses.iter().cloned().partition(is_circuit);
            let head_start = if own.is_empty() { Duration::ZERO } else { HEAD_START };
            target.state = State::Dialing(Dials {
                under_way: u8::from(!own.is_empty()),
                relays_at: (!through_relays.is_empty()).then_some(now + head_start),
            });
            if !own.is_empty() {
                return Some((*peer, own));
            }
        }
    }

    /// The next peer that is being dialed and is to be dialed through its relays, too; it counts as begun. `is_observed`: whether a relay
    /// has told us how it sees us.
    pub(crate) fn next_through_relays(&mut self, is_observed: bool, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        self.peers.iter_mut().find_map(|(peer, target)| {
            let State::Dialing(dials) = &mut target.state else {
                return None;
            };
            if dials.relays_at.is_none_or(|at| relays_due(at, is_observed) > now) {
                return None;
            }
            *dials = Dials {
                under_way: dials.under_way + 1,
                relays_at: None,
            };
            Some((
                *peer,
                target
                    .addresses
                    .iter()
                    .filter(|address| is_circuit(address))
                    .cloned()
                    .collect(),
            ))
        })
    }

    /// Whether somebody named the peer, or it is linked.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
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
    pub(crate) fn wake(&self, is_observed: bool) -> Option<Instant> {
        let has_room = self.dialing() < self.max_dials;
        let due = self.peers.values().filter_map(|target| match target.state {
            State::Due(due) => has_room.then_some(due),
            State::Dialing(dials) => Some(relays_due(dials.relays_at?, is_observed)),
            State::Connected => None,
        });
        due.min()
    }

    fn dialing(&self) -> usize {
        self.peers
            .values()
            .filter(|target| matches!(target.state, State::Dialing(_)))
            .count()
    }
}

fn relays_due(at: Instant, is_observed: bool) -> Instant {
    if is_observed { at } else { at + UNOBSERVED }
}

/// Whether an address leads through a relay.
pub(crate) fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The address without the peer's id, or nothing if it names another peer or no transport of ours. One that leads through a relay names both.
fn dialable(address: Multiaddr, peer: PeerId) -> Option<Multiaddr> {
    if is_circuit(&address) {
        return circuit(address, peer);
    }
    match address.iter().last() {
        Some(Protocol::P2p(named)) if named != peer => None,
        _ => plain(address),
    }
}

/// `/ip…/…/p2p/RELAY/p2p-circuit/p2p/PEER`; the last part may be missing.
fn circuit(mut address: Multiaddr, peer: PeerId) -> Option<Multiaddr> {
    let mut last = address.pop()?;
    if last == Protocol::P2p(peer) {
        last = address.pop()?;
    }
    let Some(Protocol::P2p(relay)) = (last == Protocol::P2pCircuit).then(|| address.pop()).flatten() else {
        return None;
    };
    let host = plain(address.clone()).filter(|host| *host == address && relay != peer)?;
    Some(
        host.with(Protocol::P2p(relay))
            .with(Protocol::P2pCircuit)
            .with(Protocol::P2p(peer)),
    )
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
