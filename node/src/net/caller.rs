//! Addresses to call whoever lives there: of invites, and of members that an earlier run knew. No I/O, no clock of its own.
//!
//! A member has another peer id in each run, so these are dialed without one; the link's own proof says whether somebody of the room
//! answered. The addresses of one member make up one *call*: they are tried one after the other, again and again with growing pauses, for as
//! long as nobody is linked there. Everything is bounded: calls, addresses of each, calls under way.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::dialer::plain;

/// Members that are called, at most.
pub(crate) const MAX_CALLS: usize = 32;

/// Addresses of each.
const MAX_ADDRESSES: usize = 16;

/// Calls under way at once.
const MAX_UNDER_WAY: usize = 8;

/// The pause after a round in which no address answered, doubled…
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// …up to this: a member that comes back, or a network that heals, is noticed within ten seconds.
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// Rounds after which a member is more likely asleep than cut off: about ten minutes.
const PATIENT_ROUNDS: u32 = 80;

/// From then on.
const RARE_PAUSE: Duration = Duration::from_secs(60);

/// Somebody else answered there, of another room or of none.
const STRANGER_PAUSE: Duration = Duration::from_secs(10 * 60);

/// See the module.
pub(crate) struct Caller {
    calls: Vec<Call>,
    rng: StdRng,
}

struct Call {
    addresses: Vec<Multiaddr>,
    /// The address to try next.
    next: usize,
    state: State,
    rounds: u32,
    /// Whoever asked for the call hasn't been told yet that nobody answers.
    awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Due(Instant),
    Dialing(ConnectionId),
    /// This peer answered, and is connected.
    Answered(PeerId),
}

impl Caller {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            calls: Vec::new(),
            rng: StdRng::from_seed(seed),
        }
    }

    /// Asks for a call at these addresses of one member. `false` if none of them can be dialed, or if they are called already.
    pub(crate) fn want(&mut self, addresses: Vec<Multiaddr>, now: Instant) -> bool {
        let mut kept: Vec<Multiaddr> = Vec::new();
        for address in addresses.into_iter().filter_map(plain) {
            let is_called = self.calls.iter().any(|call| call.addresses.contains(&address));
            if kept.len() < MAX_ADDRESSES && !is_called && !kept.contains(&address) {
                kept.push(address);
            }
        }
        if kept.is_empty() || (self.calls.len() >= MAX_CALLS && !self.give_one_up()) {
            return false;
        }
        self.calls.push(Call {
            addresses: kept,
            next: 0,
            state: State::Due(now),
            rounds: 0,
            awaited: true,
        });
        true
    }

    /// The next address to dial. Calls to a member that is linked by now (`is_known` says so of an address) wait.
    pub(crate) fn next(&mut self, now: Instant, is_known: impl Fn(&Multiaddr) -> bool) -> Option<Multiaddr> {
        if self.under_way() >= MAX_UNDER_WAY {
            return None;
        }
        for call in &mut self.calls {
            if !matches!(call.state, State::Due(due) if due <= now) {
                continue;
            }
            if call.addresses.iter().any(&is_known) {
                call.awaited = false;
                call.rounds = 0;
                call.next = 0;
                call.state = State::Due(now + LAST_PAUSE);
                continue;
            }
            return call.addresses.get(call.next).cloned();
        }
        None
    }

    /// The address is being dialed on this connection.
    pub(crate) fn dialing(&mut self, address: &Multiaddr, connection: ConnectionId) {
        if let Some(call) = self.call_at(address) {
            call.state = State::Dialing(connection);
        }
    }

    /// The connection stands: its peer, and the address if it was one of ours.
    pub(crate) fn established(&mut self, connection: ConnectionId, peer: PeerId) -> Option<Multiaddr> {
        let call = self
            .calls
            .iter_mut()
            .find(|call| call.state == State::Dialing(connection))?;
        call.state = State::Answered(peer);
        call.addresses.get(call.next).cloned()
    }

    /// The peer is linked: it is of the room.
    pub(crate) fn linked(&mut self, peer: &PeerId) {
        for call in self
            .calls
            .iter_mut()
            .filter(|call| call.state == State::Answered(*peer))
        {
            call.awaited = false;
            call.rounds = 0;
        }
    }

    /// A dial failed. `None` if it was none of ours; else whether whoever asked for the call waits to be told.
    pub(crate) fn failed(&mut self, connection: ConnectionId, now: Instant) -> Option<bool> {
        let at = (self.calls.iter()).position(|call| call.state == State::Dialing(connection))?;
        Some(self.advance(at, now))
    }

    /// The same, of a dial that could not even begin.
    pub(crate) fn not_dialed(&mut self, address: &Multiaddr, now: Instant) -> bool {
        match self.calls.iter().position(|call| call.addresses.contains(address)) {
            Some(at) => self.advance(at, now),
            None => false,
        }
    }

    /// The last connection to the peer is gone; or it turned out to be a stranger. Says how many of those who asked wait to be told.
    pub(crate) fn lost(&mut self, peer: &PeerId, is_stranger: bool, now: Instant) -> usize {
        let mut told = 0;
        for at in 0..self.calls.len() {
            if self.calls[at].state != State::Answered(*peer) {
                continue;
            }
            told += usize::from(std::mem::take(&mut self.calls[at].awaited));
            let pause = if is_stranger {
                STRANGER_PAUSE
            } else {
                self.pause(self.calls[at].rounds)
            };
            self.calls[at].rounds += 1;
            self.calls[at].state = State::Due(now + pause);
        }
        told
    }

    /// All links are about to end, by our own doing: whoever lives there is called again a moment later.
    pub(crate) fn begin_again(&mut self, now: Instant) {
        for call in &mut self.calls {
            if let State::Answered(_) | State::Due(_) = call.state {
                call.rounds = 0;
                call.state = State::Due(now + FIRST_PAUSE);
            }
        }
    }

    /// When to call [`Caller::next`] again, if nothing happens before.
    pub(crate) fn wake(&self) -> Option<Instant> {
        if self.under_way() >= MAX_UNDER_WAY {
            return None;
        }
        let due = self.calls.iter().filter_map(|call| match call.state {
            State::Due(due) => Some(due),
            State::Dialing(_) | State::Answered(_) => None,
        });
        due.min()
    }

    /// Makes room: the one that answered least goes, if it ever failed to.
    fn give_one_up(&mut self) -> bool {
        let idle = self.calls.iter().enumerate();
        let idle = idle.filter(|(_, call)| matches!(call.state, State::Due(_)) && call.rounds > 0);
        let least = idle.max_by_key(|(_, call)| call.rounds).map(|(at, _)| at);
        least.is_some_and(|at| {
            self.calls.swap_remove(at);
            true
        })
    }

    fn advance(&mut self, at: usize, now: Instant) -> bool {
        let call = &mut self.calls[at];
        call.next += 1;
        if call.next < call.addresses.len() {
            call.state = State::Due(now);
            return false;
        }
        call.next = 0;
        let awaited = std::mem::take(&mut call.awaited);
        let rounds = call.rounds;
        call.rounds = rounds.saturating_add(1);
        let pause = self.pause(rounds);
        self.calls[at].state = State::Due(now + pause);
        awaited
    }

    fn pause(&mut self, rounds: u32) -> Duration {
        let pause = if rounds >= PATIENT_ROUNDS {
            RARE_PAUSE
        } else {
            FIRST_PAUSE.saturating_mul(1 << rounds.min(8)).min(LAST_PAUSE)
        };
        pause.mul_f64(self.rng.random_range(0.5..1.0))
    }

    fn call_at(&mut self, address: &Multiaddr) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.addresses.contains(address))
    }

    fn under_way(&self) -> usize {
        (self.calls.iter())
            .filter(|call| matches!(call.state, State::Dialing(_)))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    fn connection(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn dial(caller: &mut Caller, number: usize, now: Instant) -> Option<Multiaddr> {
        let address = caller.next(now, |_| false)?;
        caller.dialing(&address, connection(number));
        Some(address)
    }

    #[test]
    fn addresses_of_one_member_are_tried_one_by_one_and_failure_is_told_once() {
        let (mut caller, mut now) = (Caller::new([7; 32]), Instant::now());
        assert!(caller.want(vec![address(1), address(2), address(1)], now));
        assert!(!caller.want(vec![address(2)], now), "called already");
        for (number, port, told) in [(1, 1, false), (2, 2, true), (3, 1, false), (4, 2, false)] {
            now = caller.wake().unwrap_or(now);
            assert_eq!(dial(&mut caller, number, now), Some(address(port)));
            assert_eq!(caller.next(now, |_| false), None, "one at a time");
            assert_eq!(caller.failed(connection(number), now), Some(told));
        }
        assert_eq!(caller.failed(connection(9), now), None, "a dial of somebody else's");
    }

    #[test]
    fn a_member_that_is_away_is_called_for_good() {
        let (mut caller, mut now) = (Caller::new([7; 32]), Instant::now());
        caller.want(vec![address(1)], now);
        let mut pauses = Vec::new();
        for number in 0..(PATIENT_ROUNDS as usize + 5) {
            dial(&mut caller, number, now).unwrap();
            caller.failed(connection(number), now);
            let wake = caller.wake().unwrap();
            pauses.push(wake - now);
            now = wake;
        }
        assert!(
            pauses[..PATIENT_ROUNDS as usize]
                .iter()
                .all(|pause| *pause <= LAST_PAUSE)
        );
        assert!(
            pauses[PATIENT_ROUNDS as usize + 1..]
                .iter()
                .all(|pause| *pause >= RARE_PAUSE / 2)
        );
    }

    #[test]
    fn who_answered_is_called_again_when_gone_and_a_stranger_much_later() {
        let (mut caller, now, peer) = (Caller::new([7; 32]), Instant::now(), PeerId::random());
        caller.want(vec![address(1)], now);
        dial(&mut caller, 1, now).unwrap();
        assert_eq!(caller.established(connection(1), peer), Some(address(1)));
        assert_eq!(caller.wake(), None);
        caller.linked(&peer);
        assert_eq!(caller.lost(&peer, false, now), 0);
        let soon = caller.wake().unwrap();
        assert!(soon <= now + LAST_PAUSE);
        dial(&mut caller, 2, soon).unwrap();
        caller.established(connection(2), peer);
        assert_eq!(caller.lost(&peer, true, soon), 0);
        assert!(caller.wake().unwrap() >= soon + STRANGER_PAUSE);
    }

    #[test]
    fn who_is_linked_otherwise_is_not_called() {
        let (mut caller, now) = (Caller::new([7; 32]), Instant::now());
        caller.want(vec![address(1), address(2)], now);
        assert_eq!(caller.next(now, |known| *known == address(2)), None);
        let later = caller.wake().unwrap();
        assert!(later > now);
        assert_eq!(caller.next(later, |_| false), Some(address(1)));
    }

    #[test]
    fn calls_are_bounded() {
        let (mut caller, now) = (Caller::new([7; 32]), Instant::now());
        for port in 1..=100 {
            caller.want(vec![address(port)], now);
        }
        assert_eq!(caller.calls.len(), MAX_CALLS);
        let begun = (0..100)
            .take_while(|number| dial(&mut caller, *number, now).is_some())
            .count();
        assert_eq!(begun, MAX_UNDER_WAY);
        for number in 0..100 {
            caller.failed(connection(number), now);
        }
        assert!(
            caller.want(vec![address(200)], now),
            "in the place of one that doesn't answer"
        );
        assert_eq!(caller.calls.len(), MAX_CALLS);
        assert!(!Caller::new([7; 32]).want(vec!["/dns4/example.org/tcp/9".parse().unwrap()], now));
    }
}
