//! What the relay counts. It names nobody: who is there is held only to tell their second reservation from their first.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use libp2p::{PeerId, relay};

/// What became of circuits, in the order of [`RelayCounters::circuits`].
pub(crate) const CIRCUITS: [&str; 6] = ["opened", "no_reservation", "too_many", "failed", "closed", "used_up"];
/// What became of reservations, likewise.
pub(crate) const RESERVATIONS: [&str; 3] = ["accepted", "renewed", "too_many"];

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct RelayCounters {
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    circuits: [AtomicU64; CIRCUITS.len()],
    reservations: [AtomicU64; RESERVATIONS.len()],
    now: Mutex<Now>,
}

/// What there is at this moment. libp2p tells the end of one circuit more than once, and of none by name.
#[derive(Debug, Default)]
struct Now {
    reserved: HashSet<PeerId>,
    circuits: HashMap<(PeerId, PeerId), u64>,
}

impl RelayCounters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes came in from members.
    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes went out to members.
    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A peer's last connection is gone, and all that was on it.
    pub(super) fn gone(&self, peer: &PeerId) {
        self.with(|now| {
            now.reserved.remove(peer);
            now.circuits.retain(|(from, to), count| {
                let stays = from != peer && to != peer;
                if !stays {
                    self.circuits[4].fetch_add(*count, Ordering::Relaxed);
                }
                stays
            });
        });
    }

    pub(super) fn relayed(&self, event: &relay::Event) {
        let reservation = |at: usize| self.reservations[at].fetch_add(1, Ordering::Relaxed);
        let circuit = |at: usize| self.circuits[at].fetch_add(1, Ordering::Relaxed);
        match event {
            relay::Event::ReservationReqAccepted { src_peer_id, renewed } => {
                reservation(usize::from(*renewed));
                self.with(|now| now.reserved.insert(*src_peer_id));
            }
            relay::Event::ReservationReqDenied { .. } => drop(reservation(2)),
            relay::Event::ReservationTimedOut { src_peer_id } => {
                self.with(|now| now.reserved.remove(src_peer_id));
            }
            relay::Event::CircuitReqAccepted {
                src_peer_id,
                dst_peer_id,
            } => {
                circuit(0);
                self.with(|now| *now.circuits.entry((*src_peer_id, *dst_peer_id)).or_default() += 1);
            }
            relay::Event::CircuitReqDenied { status, .. } => {
                circuit(match status {
                    relay::StatusCode::NoReservation => 1,
                    relay::StatusCode::ResourceLimitExceeded => 2,
                    _ => 3,
                });
            }
            relay::Event::CircuitClosed {
                src_peer_id,
                dst_peer_id,
                error,
            } => {
                let was_open = self.with(|now| {
                    let pair = (*src_peer_id, *dst_peer_id);
                    let Some(count) = now.circuits.get_mut(&pair) else {
                        return false;
                    };
                    *count -= 1;
                    if *count == 0 {
                        now.circuits.remove(&pair);
                    }
                    true
                });
                if was_open {
                    // Its time is up, or its bytes are; everything else is somebody who went.
                    let is_used_up =
                        |error: &std::io::Error| matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Other);
                    circuit(if error.as_ref().is_some_and(is_used_up) { 5 } else { 4 });
                }
            }
            _ => {}
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Now) -> T) -> T {
        look(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connections at this moment.
    pub fn connections_open(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Members that can be called at this moment.
    pub fn reservations_open(&self) -> u64 {
        self.with(|now| now.reserved.len() as u64)
    }

    /// Circuits at this moment.
    pub fn circuits_open(&self) -> u64 {
        self.with(|now| now.circuits.values().sum())
    }

    /// Circuits, by [`CIRCUITS`].
    pub fn circuits(&self) -> [u64; CIRCUITS.len()] {
        self.circuits.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Reservations, by [`RESERVATIONS`].
    pub fn reservations(&self) -> [u64; RESERVATIONS.len()] {
        self.reservations.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Bytes on members' streams, received and sent.
    pub fn bytes(&self) -> [u64; 2] {
        [&self.received, &self.sent].map(|count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circuit_is_open_until_it_closes_however_often_that_is_said() {
        let counters = RelayCounters::default();
        let [from, to] = [(); 2].map(|()| PeerId::random());
        let closed = || relay::Event::CircuitClosed {
            src_peer_id: from,
            dst_peer_id: to,
            error: None,
        };
        for _ in 0..2 {
            counters.relayed(&relay::Event::CircuitReqAccepted {
                src_peer_id: from,
                dst_peer_id: to,
            });
        }
        assert_eq!(counters.circuits_open(), 2);
        counters.relayed(&closed());
        assert_eq!((counters.circuits_open(), counters.circuits()[4]), (1, 1));
        counters.gone(&to);
        counters.relayed(&closed());
        assert_eq!((counters.circuits_open(), counters.circuits()[4]), (0, 2));
    }

    #[test]
    fn a_reservation_lasts_as_long_as_its_holder_is_there() {
        let (counters, peer) = (RelayCounters::default(), PeerId::random());
        for renewed in [false, true] {
            counters.relayed(&relay::Event::ReservationReqAccepted {
                src_peer_id: peer,
                renewed,
            });
        }
        assert_eq!((counters.reservations_open(), counters.reservations()), (1, [1, 1, 0]));
        counters.gone(&peer);
        assert_eq!(counters.reservations_open(), 0);
    }
}
