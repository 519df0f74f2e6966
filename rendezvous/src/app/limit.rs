//! Budgets per address and per room, in memory: the generic cell rate algorithm (ATM Forum TM 4.0), one instant for each.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses, or rooms, remembered at once. Those whose budget is full again are forgotten first; if none is, newcomers share one
/// budget until there is room.
const MAX_KEYS: usize = 65_536;

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
            address => Self::forwarded(address),
        }
    }

    /// Whom a proxy names. Its loopback is not ours, and never exempt from anything.
    pub fn forwarded(address: IpAddr) -> Self {
        match address.to_canonical() {
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

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(octets) => write!(f, "{}", std::net::Ipv4Addr::from(*octets)),
            Self::V6(network) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(network);
                write!(f, "{}/64", std::net::Ipv6Addr::from(octets))
            }
            Self::Loopback => f.write_str("loopback"),
        }
    }
}

/// Some requests at once, and one more for each interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    interval: Duration,
    tolerance: Duration,
}

impl Rate {
    /// `count` in each `period`, and up to `burst` at once.
    pub fn new(count: u32, period: Duration, burst: u32) -> Self {
        let interval = period / count.max(1);
        Self {
            interval,
            tolerance: interval.saturating_mul(burst.max(1) - 1),
        }
    }
}

/// What each of many has left.
pub(crate) struct Limiter<K> {
    seen: Mutex<Seen<K>>,
}

struct Seen<K> {
    /// When each one's budget is full again.
    full_at: HashMap<K, Instant>,
    /// The same for all that found no place in the map.
    rest_full_at: Option<Instant>,
    /// The map was searched for full budgets then.
    purged_at: Option<Instant>,
}

impl<K> Default for Limiter<K> {
    fn default() -> Self {
        Self {
            seen: Mutex::new(Seen {
                full_at: HashMap::new(),
                rest_full_at: None,
                purged_at: None,
            }),
        }
    }
}

impl<K: Copy + Eq + Hash> Limiter<K> {
    /// Takes one from the budget, or says how long to wait for one. The rate may differ from the last time's.
    pub fn admit(&self, key: K, rate: Rate, now: Instant) -> Result<(), Duration> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &mut *seen;
        if !seen.full_at.contains_key(&key) && seen.full_at.len() >= MAX_KEYS {
            seen.purge(now);
        }
        let known = seen.full_at.len() < MAX_KEYS || seen.full_at.contains_key(&key);
        let full_at = if known {
            seen.full_at.get(&key).copied()
        } else {
            seen.rest_full_at
        };
        let full_at = full_at.map_or(now, |full_at| full_at.max(now));
        let ahead = full_at - now;
        if ahead > rate.tolerance {
            return Err(ahead - rate.tolerance);
        }
        let full_at = full_at + rate.interval;
        if known {
            seen.full_at.insert(key, full_at);
        } else {
            seen.rest_full_at = Some(full_at);
        }
        Ok(())
    }
}

impl<K: Eq + Hash> Seen<K> {
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
        let (limiter, rate) = (Limiter::default(), Rate::new(10, Duration::from_secs(1), 5));
        let (start, address) = (Instant::now(), of("192.0.2.1"));
        for _ in 0..5 {
            assert_eq!(limiter.admit(address, rate, start), Ok(()));
        }
        assert_eq!(limiter.admit(address, rate, start), Err(Duration::from_millis(100)));
        assert_eq!(limiter.admit(of("192.0.2.2"), rate, start), Ok(()));
        assert_eq!(limiter.admit(address, rate, start + Duration::from_millis(100)), Ok(()));
        assert!(
            limiter
                .admit(address, rate, start + Duration::from_millis(150))
                .is_err()
        );
        let later = start + Duration::from_secs(10);
        assert_eq!(
            (0..9).filter(|_| limiter.admit(address, rate, later).is_ok()).count(),
            5
        );
    }

    #[test]
    fn a_v6_subscriber_is_one_and_a_mapped_v4_is_itself() {
        assert!(of("2001:db8:1:2::1") == of("2001:db8:1:2:ffff::9"));
        assert!(of("2001:db8:1:2::1") != of("2001:db8:1:3::1"));
        assert!(of("::ffff:192.0.2.1") == of("192.0.2.1"));
        assert!(Address::forwarded("127.0.0.1".parse().unwrap()) == Address::V4([127, 0, 0, 1]));
        assert_eq!(of("2001:db8:1:2:ffff::9").to_string(), "2001:db8:1:2::/64");
        assert!(of("::1").is_loopback() && of("127.8.8.8").is_loopback() && of("::ffff:127.0.0.1").is_loopback());
    }

    #[test]
    fn memory_is_bounded_and_known_addresses_keep_their_budget() {
        let (limiter, rate) = (Limiter::default(), Rate::new(1, Duration::from_secs(3600), 2));
        let now = Instant::now();
        let known = of("192.0.2.1");
        assert_eq!(limiter.admit(known, rate, now), Ok(()));
        let admitted = (0..200_000_u32)
            .filter(|n| limiter.admit(Address::V4(n.to_be_bytes()), rate, now).is_ok())
            .count();
        assert_eq!(admitted, MAX_KEYS - 1 + 2, "newcomers beyond the map share one budget");
        assert_eq!(limiter.admit(known, rate, now), Ok(()));
        assert!(limiter.admit(known, rate, now).is_err());
        let later = now + Duration::from_secs(3 * 3600);
        assert_eq!(limiter.admit(of("198.51.100.7"), rate, later), Ok(()));
        assert!(limiter.seen.lock().unwrap().full_at.len() < 10);
    }

    #[test]
    fn another_rate_holds_from_the_next_time_on() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        let address = of("192.0.2.1");
        let (slow, fast) = (
            Rate::new(1, Duration::from_secs(1), 1),
            Rate::new(1, Duration::from_secs(1), 3),
        );
        assert!(limiter.admit(address, slow, now).is_ok() && limiter.admit(address, slow, now).is_err());
        assert!(limiter.admit(address, fast, now).is_ok());
    }
}
