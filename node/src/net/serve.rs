//! We relay for members of our room who can't reach each other, if we can be reached: every bound, with its reason, and what is going on.
//!
//! It stands behind the gate, so nobody finds it who hasn't proven to be of the room, and both ends of a circuit are linked with us. That we
//! do is told to them by the protocol's name among those that we speak (`identify`), and to nobody else.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use libp2p::{PeerId, relay};

/// Members that may be called through us at once: more would mean that nearly nobody in a room of a hundred can be reached.
const RESERVATIONS: usize = 32;

/// Reservations of one member: one for each connection of a link, the old and the new.
const RESERVATIONS_PER_PEER: usize = 2;

/// A reservation is renewed well before this, on the same link.
const RESERVATION: Duration = Duration::from_secs(3600);

/// Circuits at once. Each carries what a link does: with messages of 256 bytes, one a second, some 300 bytes a second.
const CIRCUITS: usize = 64;

/// Of those, with one member at an end: what it takes to be well linked.
const CIRCUITS_PER_PEER: usize = 8;

/// Bytes that one circuit may carry, both ways together: a day's talk of a busy room, and nothing for those who would send films.
const CIRCUIT_BYTES: u64 = 32 << 20;

/// How long one circuit may last. The ends make another within a second, and fetch what they missed from each other.
const CIRCUIT_DURATION: Duration = Duration::from_secs(2 * 3600);

/// New circuits of one member in the long run, one every so often: with [`CIRCUIT_BYTES`] that is half a megabyte a second at most…
const CIRCUIT_EVERY: Duration = Duration::from_secs(60);

/// …and at once: to be linked anew after a broken network, and to try again.
const CIRCUITS_AT_ONCE: u32 = 24;

/// New reservations of one member, renewals among them, likewise.
const RESERVE_EVERY: Duration = Duration::from_secs(30);
const RESERVATIONS_AT_ONCE: u32 = 16;

/// The relay, of no use to anybody until its status is set: nothing of ours may be told that could be wrong.
pub(crate) fn relay(local: PeerId) -> relay::Behaviour {
    let config = relay::Config {
        max_reservations: RESERVATIONS,
        max_reservations_per_peer: RESERVATIONS_PER_PEER,
        reservation_duration: RESERVATION,
        reservation_rate_limiters: Vec::new(),
        max_circuits: CIRCUITS,
        // libp2p allows one more than it is told.
        max_circuits_per_peer: CIRCUITS_PER_PEER - 1,
        max_circuit_duration: CIRCUIT_DURATION,
        max_circuit_bytes: CIRCUIT_BYTES,
        circuit_src_rate_limiters: Vec::new(),
    };
    let at_once = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    let config = config
        .reservation_rate_per_peer(at_once(RESERVATIONS_AT_ONCE), RESERVE_EVERY)
        .circuit_src_per_peer(at_once(CIRCUITS_AT_ONCE), CIRCUIT_EVERY);
    let mut relay = relay::Behaviour::new(local, config);
    relay.set_status(Some(relay::Status::Disable));
    relay
}

/// What we carry for whom. libp2p tells the end of one circuit more than once, and of none by name.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    is_on: bool,
    circuits: HashMap<(PeerId, PeerId), usize>,
    /// Circuits so far.
    pub(crate) opened: u64,
    /// Reservations and circuits that were refused for their number.
    pub(crate) refused: u64,
}

impl Serving {
    /// From here on we relay, or not. Says whether that is news.
    pub(crate) fn set(&mut self, is_on: bool) -> bool {
        std::mem::replace(&mut self.is_on, is_on) != is_on
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Circuits now.
    pub(crate) fn circuits(&self) -> usize {
        self.circuits.values().sum()
    }

    pub(crate) fn on_event(&mut self, event: &relay::Event) {
        use relay::Event;

        match event {
            Event::ReservationReqAccepted {
                src_peer_id,
                renewed: false,
            } => {
                tracing::debug!(peer = %src_peer_id, "a member can be called through us");
            }
            Event::CircuitReqAccepted {
                src_peer_id,
                dst_peer_id,
            } => {
                self.opened += 1;
                *self.circuits.entry((*src_peer_id, *dst_peer_id)).or_default() += 1;
            }
            Event::CircuitClosed {
                src_peer_id,
                dst_peer_id,
                ..
            } => {
                if let Some(count) = self.circuits.get_mut(&(*src_peer_id, *dst_peer_id)) {
                    *count = count.saturating_sub(1);
                }
                self.circuits.retain(|_, count| *count > 0);
            }
            Event::ReservationReqDenied { src_peer_id, .. } => {
                tracing::debug!(peer = %src_peer_id, "a member's reservation is refused");
                self.refused += 1;
            }
            Event::CircuitReqDenied {
                src_peer_id, status, ..
            } => {
                tracing::debug!(peer = %src_peer_id, ?status, "a member's circuit is refused");
                if matches!(status, relay::StatusCode::ResourceLimitExceeded) {
                    self.refused += 1;
                }
            }
            _ => {}
        }
    }

    /// A peer's last connection is gone, and all that was on it.
    pub(crate) fn gone(&mut self, peer: &PeerId) {
        self.circuits.retain(|(from, to), _| from != peer && to != peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuits_are_counted_until_they_or_their_ends_are_gone() {
        let (a, b, c) = (PeerId::random(), PeerId::random(), PeerId::random());
        let opened = |from, to| relay::Event::CircuitReqAccepted {
            src_peer_id: from,
            dst_peer_id: to,
        };
        let closed = |from, to| relay::Event::CircuitClosed {
            src_peer_id: from,
            dst_peer_id: to,
            error: None,
        };
        let mut serving = Serving::default();
        for event in [opened(a, b), opened(a, b), opened(c, a), opened(c, b)] {
            serving.on_event(&event);
        }
        assert_eq!((serving.circuits(), serving.opened), (4, 4));
        for event in [closed(c, b), closed(c, b), closed(a, b)] {
            serving.on_event(&event);
        }
        assert_eq!(serving.circuits(), 2);
        serving.gone(&b);
        assert_eq!(serving.circuits(), 1);
        serving.gone(&a);
        assert_eq!((serving.circuits(), serving.opened), (0, 4));
    }

    #[test]
    fn what_changes_is_news() {
        let mut serving = Serving::default();
        assert!(!serving.set(false) && serving.set(true) && !serving.set(true) && serving.is_on());
    }
}
