//! Where we can be called through: one reservation at one of the relays that the rendezvous names, or else at a member who relays. No I/O, no
//! clock of its own.
//!
//! The rendezvous' addresses are tried one after the other, the best first, and then, if nobody can reach us, the members that we are linked
//! with; whatever ends a reservation, another is asked for: of each relay in turn, with a pause after each round that grows. A listener of a
//! relay may end without ever having had an address, so it is known by its id.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId, core::transport::ListenerId, multiaddr::Protocol};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Addresses of relays that are known at once.
const MAX_KNOWN: usize = 16;

/// Members who relay that are known at once: one is enough, and the others are for when it goes.
const MAX_MEMBERS: usize = 8;

/// The pause after a round in which no relay took us, doubled…
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// …up to this: a relay that comes back finds us back within ten seconds.
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// A relay that hasn't answered by then won't.
const PATIENCE: Duration = Duration::from_secs(30);

/// How things stand with relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayState {
    /// We use none, as we were told.
    Off,
    /// The rendezvous has named none, and no member relays for us.
    None,
    /// The rendezvous has named one, and it doesn't take us, or not yet.
    Asking,
    /// We can be called through it.
    Reserved,
}

impl RelayState {
    /// The stable word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::None => "none",
            Self::Asking => "asking",
            Self::Reserved => "reserved",
        }
    }
}

/// See the module.
pub(crate) struct Relays {
    is_off: bool,
    known: Vec<Multiaddr>,
    /// Members who relay, and where others reach them.
    members: Vec<(PeerId, Multiaddr)>,
    /// Others reach us without one, so we are no burden to members.
    is_reachable: bool,
    /// The one to try next, of both together.
    next: usize,
    rounds: u32,
    state: State,
    rng: StdRng,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Due(Instant),
    Asking(ListenerId, Instant),
    Reserved(ListenerId, Multiaddr),
}

impl Relays {
    pub(crate) fn new(is_off: bool, seed: [u8; 32]) -> Self {
        Self {
            is_off,
            known: Vec::new(),
            members: Vec::new(),
            is_reachable: false,
            next: 0,
            rounds: 0,
            state: State::Idle,
            rng: StdRng::from_seed(seed),
        }
    }

    /// These are named now. A reservation that stands stays, wherever it is.
    pub(crate) fn set(&mut self, addresses: Vec<Multiaddr>, now: Instant) {
        let mut known: Vec<Multiaddr> = Vec::new();
        for address in addresses.into_iter().filter(is_relay) {
            if known.len() < MAX_KNOWN && !known.contains(&address) {
                known.push(address);
            }
        }
        if self.is_off || known == self.known {
            return;
        }
        self.known = known;
        self.begin(now);
    }

    /// A member that we are linked with relays, and others reach it there.
    pub(crate) fn add_member(&mut self, member: PeerId, address: Multiaddr, now: Instant) {
        let address = address.with(Protocol::P2p(member));
        if self.is_off || !is_relay(&address) {
            return;
        }
        if let Some((_, known)) = self.members.iter_mut().find(|(known, _)| *known == member) {
            *known = address;
        } else if self.members.len() < MAX_MEMBERS {
            self.members.push((member, address));
            if self.state == State::Idle {
                self.begin(now);
            }
        }
    }

    /// It relays no more, or isn't linked.
    pub(crate) fn remove_member(&mut self, member: &PeerId) {
        self.members.retain(|(known, _)| known != member);
    }

    /// Whether others reach us without a relay. What stands, stands.
    pub(crate) fn set_reachable(&mut self, is_reachable: bool, now: Instant) {
        self.is_reachable = is_reachable;
        if self.state == State::Idle {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        (self.next, self.rounds) = (0, 0);
        match self.state {
            State::Idle | State::Due(_) if self.candidates() == 0 => self.state = State::Idle,
            State::Idle | State::Due(_) => self.state = State::Due(now),
            State::Asking(..) | State::Reserved(..) => {}
        }
    }

    fn candidates(&self) -> usize {
        self.known.len() + if self.is_reachable { 0 } else { self.members.len() }
    }

    /// Where to ask for a reservation now, as an address to listen on; [`Relays::asked`] or [`Relays::failed`] must follow.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Multiaddr> {
        if !matches!(self.state, State::Due(due) if due <= now) {
            return None;
        }
        if self.candidates() == 0 {
            self.state = State::Idle;
            return None;
        }
        // Members come and go between one try and the next.
        self.next = self.next.min(self.candidates() - 1);
        let of_members = self.next.saturating_sub(self.known.len());
        let relay = match self.known.get(self.next) {
            Some(relay) => relay,
            None => &self.members.get(of_members)?.1,
        };
        Some(relay.clone().with(Protocol::P2pCircuit))
    }

    pub(crate) fn asked(&mut self, listener: ListenerId, now: Instant) {
        self.state = State::Asking(listener, now + PATIENCE);
    }

    /// The relay that was asked won't have us.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.next += 1;
        if self.next < self.candidates() {
            self.state = State::Due(now);
            return;
        }
        self.next = 0;
        let pause = FIRST_PAUSE.saturating_mul(1 << self.rounds.min(8)).min(LAST_PAUSE);
        self.rounds = self.rounds.saturating_add(1);
        self.state = match self.candidates() {
            0 => State::Idle,
            _ => State::Due(now + pause.mul_f64(self.rng.random_range(0.5..1.0))),
        };
    }

    /// We can be called at this address. Says whether that is news.
    pub(crate) fn reserved(&mut self, circuit: Multiaddr) -> bool {
        let State::Asking(listener, _) = self.state else {
            return false;
        };
        self.rounds = 0;
        self.state = State::Reserved(listener, circuit);
        true
    }

    pub(crate) fn is_ours(&self, listener: ListenerId) -> bool {
        matches!(self.state, State::Asking(ours, _) | State::Reserved(ours, _) if ours == listener)
    }

    /// The listener is gone. Hands out the address that holds no more, if there was one.
    pub(crate) fn closed(&mut self, listener: ListenerId, now: Instant) -> Option<Multiaddr> {
        if !self.is_ours(listener) {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Reserved(_, circuit) => {
                // The same relay first: most likely it was started anew, or our own network was.
                self.state = match self.candidates() {
                    0 => State::Idle,
                    _ => State::Due(now + FIRST_PAUSE.mul_f64(self.rng.random_range(0.5..1.0))),
                };
                Some(circuit)
            }
            _ => {
                self.failed(now);
                None
            }
        }
    }

    /// A listener whose relay has been asked for too long.
    pub(crate) fn overdue(&self, now: Instant) -> Option<ListenerId> {
        match self.state {
            State::Asking(listener, by) if by <= now => Some(listener),
            _ => None,
        }
    }

    /// When to look again, if nothing happens before.
    pub(crate) fn wake(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) | State::Asking(_, at) => Some(at),
            State::Idle | State::Reserved(..) => None,
        }
    }

    /// The address at which we can be called, if any; it ends in our own id.
    pub(crate) fn circuit(&self) -> Option<&Multiaddr> {
        match &self.state {
            State::Reserved(_, circuit) => Some(circuit),
            _ => None,
        }
    }

    /// Whether a relay of this id is one of the rendezvous'.
    pub(crate) fn is_named(&self, relay: &PeerId) -> bool {
        let ends_in = |address: &Multiaddr| address.iter().last() == Some(Protocol::P2p(*relay));
        self.known.iter().any(ends_in)
    }

    /// Whether it is a member through whom we can be called.
    pub(crate) fn is_at_member(&self) -> bool {
        let relay = self.circuit().and_then(super::ways::relay_of);
        relay.is_some_and(|relay| !self.is_named(&relay))
    }

    pub(crate) fn state(&self) -> RelayState {
        match self.state {
            _ if self.is_off => RelayState::Off,
            State::Reserved(..) => RelayState::Reserved,
            State::Due(_) | State::Asking(..) if !self.known.is_empty() => RelayState::Asking,
            State::Due(_) | State::Asking(..) | State::Idle => RelayState::None,
        }
    }
}

/// Whether an address is of TCP or QUIC, and ends in the relay's id.
fn is_relay(address: &Multiaddr) -> bool {
    let mut host = address.clone();
    matches!(host.pop(), Some(Protocol::P2p(_))) && super::dialer::plain(host.clone()).as_ref() == Some(&host)
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    fn relay(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}/p2p/{}", PeerId::random())
            .parse()
            .unwrap()
    }

    fn relays(known: &[Multiaddr], now: Instant) -> Relays {
        let mut relays = Relays::new(false, [3; 32]);
        relays.set(known.to_vec(), now);
        relays
    }

    fn circuit(relay: &Multiaddr) -> Multiaddr {
        relay.clone().with(Protocol::P2pCircuit)
    }

    #[test]
    fn each_address_is_asked_in_turn_and_then_again_later_and_later() {
        let (known, mut now) = ([relay(1), relay(2)], Instant::now());
        let mut relays = relays(&known, now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            for relay in &known {
                assert_eq!(relays.next(now), Some(circuit(relay)));
                relays.failed(now);
            }
            assert_eq!((relays.next(now), relays.state()), (None, RelayState::Asking));
            let wake = relays.wake().unwrap();
            pauses.push(wake - now);
            now = wake;
        }
        assert!(pauses[0] <= FIRST_PAUSE && pauses[5] > LAST_PAUSE / 2 - FIRST_PAUSE && pauses[5] <= LAST_PAUSE);
    }

    #[test]
    fn a_reservation_stands_until_its_listener_ends_and_is_asked_for_again() {
        let (known, now) = ([relay(1), relay(2)], Instant::now());
        let mut relays = relays(&known, now);
        let listener = ListenerId::next();
        assert!(!relays.reserved(circuit(&known[0])), "nobody was asked");
        relays.asked(listener, now);
        assert!(relays.reserved(circuit(&known[0])));
        assert_eq!((relays.circuit(), relays.wake()), (Some(&circuit(&known[0])), None));
        // Others are named: what stands, stands.
        relays.set(vec![known[1].clone()], now);
        assert_eq!(relays.state(), RelayState::Reserved);
        assert_eq!(relays.closed(ListenerId::next(), now), None);
        assert_eq!(relays.closed(listener, now), Some(circuit(&known[0])));
        assert_eq!(
            relays.next(now),
            None,
            "a relay that takes us and drops us isn't asked all the time"
        );
        assert_eq!(relays.next(relays.wake().unwrap()), Some(circuit(&known[1])));
    }

    #[test]
    fn a_relay_that_says_nothing_is_given_up() {
        let (known, now) = ([relay(1), relay(2)], Instant::now());
        let mut relays = relays(&known, now);
        let listener = ListenerId::next();
        relays.asked(listener, now);
        assert_eq!(relays.overdue(now), None);
        assert_eq!(relays.overdue(relays.wake().unwrap()), Some(listener));
        assert_eq!(relays.closed(listener, now), None);
        assert_eq!(relays.next(now), Some(circuit(&known[1])));
    }

    #[test]
    fn members_are_asked_after_the_rendezvous_relays_and_by_those_only_whom_nobody_can_reach() {
        let (known, mut now) = ([relay(1)], Instant::now());
        let (member, other) = (PeerId::random(), PeerId::random());
        let address: Multiaddr = "/ip4/192.0.2.7/tcp/1".parse().unwrap();
        let at = |member| circuit(&address.clone().with(Protocol::P2p(member)));
        let mut relays = relays(&known, now);
        relays.add_member(member, address.clone(), now);
        relays.add_member(member, address.clone(), now);
        for expected in [circuit(&known[0]), at(member)] {
            assert_eq!(relays.next(now), Some(expected));
            relays.failed(now);
        }
        assert_eq!((relays.next(now), relays.state()), (None, RelayState::Asking));
        now = relays.wake().unwrap();
        assert_eq!(relays.next(now), Some(circuit(&known[0])));
        relays.set_reachable(true, now);
        relays.failed(now);
        assert_eq!(relays.next(now), None, "we are no burden to members");

        let mut alone = Relays::new(false, [3; 32]);
        alone.add_member(member, address.clone(), now);
        assert_eq!((alone.next(now), alone.state()), (Some(at(member)), RelayState::None));
        let listener = ListenerId::next();
        alone.asked(listener, now);
        assert!(alone.reserved(at(member)) && alone.is_at_member());
        alone.add_member(other, address.clone(), now);
        assert_eq!(alone.state(), RelayState::Reserved);
        alone.remove_member(&member);
        assert_eq!(alone.closed(listener, now), Some(at(member)));
        assert_eq!(alone.next(alone.wake().unwrap()), Some(at(other)));
        alone.remove_member(&other);
        assert_eq!(
            (alone.next(alone.wake().unwrap()), alone.state()),
            (None, RelayState::None)
        );
        let mut off = Relays::new(true, [3; 32]);
        off.add_member(member, address, now);
        assert_eq!(off.next(now), None);
    }

    #[test]
    fn who_becomes_unreachable_asks_the_members_that_are_there() {
        let now = Instant::now();
        let mut relays = Relays::new(false, [3; 32]);
        relays.set_reachable(true, now);
        relays.add_member(PeerId::random(), "/ip4/192.0.2.7/tcp/1".parse().unwrap(), now);
        assert_eq!((relays.next(now), relays.wake()), (None, None));
        relays.set_reachable(false, now);
        assert!(relays.next(now).is_some());
        for port in 1..100 {
            let address = format!("/ip4/192.0.2.7/tcp/{port}").parse().unwrap();
            relays.add_member(PeerId::random(), address, now);
        }
        assert_eq!(relays.members.len(), MAX_MEMBERS);
    }

    #[test]
    fn nothing_named_and_nothing_wanted() {
        let now = Instant::now();
        let mut none = relays(&[], now);
        assert_eq!(
            (none.next(now), none.wake(), none.state()),
            (None, None, RelayState::None)
        );
        none.set(vec![relay(1)], now);
        assert_eq!(none.state(), RelayState::Asking);
        none.set(Vec::new(), now);
        assert_eq!(none.state(), RelayState::None);
        let mut off = Relays::new(true, [3; 32]);
        off.set(vec![relay(1)], now);
        assert_eq!((off.next(now), off.state()), (None, RelayState::Off));
    }

    #[test]
    fn only_addresses_of_relays_are_kept() {
        let (good, id) = (relay(1), PeerId::random());
        let wrong = [
            "/ip4/192.0.2.1/tcp/1".to_owned(),
            format!("/p2p/{id}"),
            format!("/dns4/example.org/tcp/1/p2p/{id}"),
            format!("/ip4/192.0.2.1/tcp/0/p2p/{id}"),
            format!("/ip4/192.0.2.1/tcp/1/p2p/{id}/p2p-circuit"),
            format!("/ip4/192.0.2.1/tcp/1/p2p/{id}/p2p/{id}"),
        ];
        let mut all: Vec<Multiaddr> = wrong.iter().map(|text| text.parse().unwrap()).collect();
        all.extend([good.clone(), good.clone()]);
        assert_eq!(relays(&all, Instant::now()).known, [good]);
        let many: Vec<_> = (1..100).map(relay).collect();
        assert_eq!(relays(&many, Instant::now()).known.len(), MAX_KNOWN);
    }
}
