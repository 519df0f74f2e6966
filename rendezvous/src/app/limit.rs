//! Budgets per address, in memory: the generic cell rate algorithm (ATM Forum TM 4.0), one instant per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses remembered at once. Those whose budget is full again are forgotten first; if none is, newcomers share one
/// budget until there is room.
const MAX_ADDRESSES: usize = 65_536;

/// Whom a request is counted against: an IPv4 address, or the /64 of an IPv6 one, as that is what one subscriber gets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    V4([u8; 4]),
    V6([u8; 8]),
    Loopback,
}

impl Address {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback,
            IpAddr::V4(v4) => Self::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let mut network = [0; 8];
                network.copy_from_slice(&v6.octets()[..8]);
                Self::V6(network)
            }
        }
    }

    pub fn is_loopback(self) -> bool {
        self == Self::Loopback
    }
}

/// Some requests at once, and one more for each interval.
pub(super) struct Limiter {
    interval: Duration,
    tolerance: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When each address' budget is full again.
    full_at: HashMap<Address, Instant>,
    /// The same for all that found no place in the map.
    rest_full_at: Option<Instant>,
    /// The map was searched for full budgets then.
    purged_at: Option<Instant>,
}

impl Limiter {
    /// `count` in each `period`, and up to `burst` at once.
    pub fn new(count: u32, period: Duration, burst: u32) -> Self {
        let interval = period / count.max(1);
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.max(1) - 1),
            seen: Mutex::default(),
        }
    }

    /// Takes one from the budget, or says how long to wait for one.
    pub fn admit(&self, address: Address, now: Instant) -> Result<(), Duration> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut *seen;
        if !seen.full_at.contains_key(&address) && seen.full_at.len() >= MAX_ADDRESSES {
            seen.purge(now);
        }
        let known = seen.full_at.len() < MAX_ADDRESSES || seen.full_at.contains_key(&address);
        let full_at = if known {
            seen.full_at.get(&address).copied()
        } else {
            seen.rest_full_at
        };
        let full_at = full_at.map_or(now, |full_at| full_at.max(now));
        let ahead = full_at - now;
        if ahead > self.tolerance {
            return Err(ahead - self.tolerance);
        }
        let full_at = full_at + self.interval;
        if known {
            seen.full_at.insert(address, full_at);
        } else {
            seen.rest_full_at = Some(full_at);
        }
        Ok(())
    }
}

impl Seen {
    /// Forgets full budgets, at most once a second: the search takes a millisecond.
    fn purge(&mut self, now: Instant) {
        if self.purged_at.is_some_and(|at| now - at < Duration::from_secs(1)) {
            return;
        }
        self.purged_at = Some(now);
        self.full_at.retain(|_, full_at| *full_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Address {
        Address::of(text.parse().unwrap())
    }

    #[test]
    fn burst_then_rate_then_recovery() {
        let limiter = Limiter::new(10, Duration::from_secs(1), 5);
        let (start, address) = (Instant::now(), of("192.0.2.1"));
        for _ in 0..5 {
            assert_eq!(limiter.admit(address, start), Ok(()));
        }
        assert_eq!(limiter.admit(address, start), Err(Duration::from_millis(100)));
        assert_eq!(limiter.admit(of("192.0.2.2"), start), Ok(()));
        assert_eq!(limiter.admit(address, start + Duration::from_millis(100)), Ok(()));
        assert!(limiter.admit(address, start + Duration::from_millis(150)).is_err());
        let later = start + Duration::from_secs(10);
        assert_eq!((0..9).filter(|_| limiter.admit(address, later).is_ok()).count(), 5);
    }

    #[test]
    fn a_v6_subscriber_is_one_and_a_mapped_v4_is_itself() {
        assert!(of("2001:db8:1:2::1") == of("2001:db8:1:2:ffff::9"));
        assert!(of("2001:db8:1:2::1") != of("2001:db8:1:3::1"));
        assert!(of("::ffff:192.0.2.1") == of("192.0.2.1"));
        assert!(of("::1").is_loopback() && of("127.8.8.8").is_loopback() && of("::ffff:127.0.0.1").is_loopback());
    }

    #[test]
    fn memory_is_bounded_and_known_addresses_keep_their_budget() {
        let limiter = Limiter::new(1, Duration::from_secs(3600), 2);
        let now = Instant::now();
        let known = of("192.0.2.1");
        assert_eq!(limiter.admit(known, now), Ok(()));
        let admitted = (0..200_000_u32)
            .filter(|n| limiter.admit(Address::V4(n.to_be_bytes()), now).is_ok())
            .count();
        assert_eq!(
            admitted,
            MAX_ADDRESSES - 1 + 2,
            "newcomers beyond the map share one budget"
        );
        assert_eq!(limiter.admit(known, now), Ok(()));
        assert!(limiter.admit(known, now).is_err());
        let later = now + Duration::from_secs(3 * 3600);
        assert_eq!(limiter.admit(of("198.51.100.7"), later), Ok(()));
        assert!(limiter.seen.lock().unwrap().full_at.len() < 10);
    }
}
