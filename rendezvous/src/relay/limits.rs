//! What the relay gives away, and to whom: every bound, with its reason.

use std::num::NonZeroU32;
use std::time::Duration;

use libp2p::relay;

use super::guard;

/// Inbound connections in the transport's handshake at once.
pub(super) const HANDSHAKES: u32 = 128;
/// Dials under way for AutoNAT: each ends after ten seconds.
pub(super) const DIAL_BACKS: u32 = 32;
/// Connections of one member: TCP and QUIC while it changes from one to the other, and as many that are dying.
pub(super) const CONNECTIONS_PER_PEER: u32 = 4;
/// Reservations of one member, by the same reckoning.
const RESERVATIONS_PER_PEER: usize = 4;
/// A reservation is renewed well before this, on the same connection.
const RESERVATION: Duration = Duration::from_secs(3600);
/// New circuits of an address in the long run, one every so often…
const CIRCUIT_EVERY: Duration = Duration::from_millis(500);
/// …and at once: a room of thirty behind one router that meets through the relay makes some hundreds.
const CIRCUITS_AT_ONCE: u32 = 600;
/// New reservations of an address, renewals among them.
const RESERVE_EVERY: Duration = Duration::from_secs(1);
const RESERVATIONS_AT_ONCE: u32 = 300;

/// What the relay may cost. All of it holds for this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Members that may be called through it at once; each is a connection that stays.
    pub reservations: usize,
    /// Connections at once from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// Pairs of members that are connected through it at once.
    pub circuits: usize,
    /// Of those, with one member at an end.
    pub circuits_per_member: usize,
    /// Bytes that one circuit may carry in both directions; the members make another then.
    pub circuit_bytes: u64,
    /// How long one circuit may last; likewise.
    pub circuit_duration: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            // A community of a few hundred, with their laptops asleep and awake; about 100 MB of memory if all are taken.
            reservations: 1024,
            // A household, an office, a mobile operator's gateway.
            connections_per_address: 64,
            circuits: 1024,
            // Members keep to a few dozen links each.
            circuits_per_member: 32,
            // Many days' talk: a frame is a few hundred bytes.
            circuit_bytes: 256 << 20,
            // An evening. The ends meet again within a second, and fetch what they missed from each other.
            circuit_duration: Duration::from_secs(6 * 3600),
        }
    }
}

impl RelayLimits {
    /// Connections at once: those who dial somebody through the relay need not have reserved anything.
    pub(super) fn connections(&self) -> u32 {
        u32::try_from(self.reservations.saturating_mul(2)).unwrap_or(u32::MAX)
    }

    /// The same as libp2p has it.
    pub(super) fn of_protocol(&self) -> relay::Config {
        relay::Config {
            max_reservations: self.reservations,
            max_reservations_per_peer: RESERVATIONS_PER_PEER,
            reservation_duration: RESERVATION,
            reservation_rate_limiters: vec![guard::rate(RESERVATIONS_AT_ONCE, RESERVE_EVERY)],
            max_circuits: self.circuits,
            max_circuits_per_peer: self.circuits_per_member,
            max_circuit_duration: self.circuit_duration,
            max_circuit_bytes: self.circuit_bytes,
            circuit_src_rate_limiters: vec![guard::rate(CIRCUITS_AT_ONCE, CIRCUIT_EVERY)],
        }
    }

    /// Streams on one connection: a circuit each, and some for the rest.
    pub(super) fn streams(&self) -> NonZeroU32 {
        let streams = u32::try_from(self.circuits_per_member).unwrap_or(1024).min(1024);
        NonZeroU32::new(streams.saturating_mul(2).saturating_add(32)).unwrap_or(NonZeroU32::MIN)
    }
}
