//! Whom the rendezvous introduces, and whom of them to dial.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libp2p::Multiaddr;
use snug_crypto::generation::IntroKey;
use snug_crypto::ids::PeerKey;
use snug_crypto::presence::PresenceRecord;
use tokio::time::Instant;

use super::clock::unix_ms;
use crate::room::CLOCK_SKEW_MS;

/// Links beyond which introductions are left alone: the mesh needs far fewer, and others want to be found as well.
const ENOUGH_LINKS: usize = 24;
/// A peer that was dialled is left to the mesh's own retries for this long.
const DIAL_PAUSE: Duration = Duration::from_secs(20);
/// A record older than this, or from that far ahead, is a replay: the server keeps one for 90 s, and clocks may be two hours apart.
const MAX_SKEW_MS: u64 = CLOCK_SKEW_MS + 90_000;
/// A clock that is off by more is told of: half an hour, long before it keeps anybody out.
const CLOCK_TOLD_MS: u64 = 30 * 60_000;
/// Addresses of one peer that are dialled.
const MAX_ADDRESSES: usize = 16;

/// What is remembered between introductions: bounded by [`ENOUGH_LINKS`] dials in any [`DIAL_PAUSE`].
#[derive(Debug)]
pub(super) struct Introductions {
    me: PeerKey,
    /// One of each generation that we hold, the current one first.
    intros: Vec<IntroKey>,
    dialled: BTreeMap<PeerKey, Instant>,
    /// Whether the user was told that the clock is wrong.
    clock_told: bool,
}

/// A peer to dial.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Introduced {
    pub peer: PeerKey,
    pub addresses: Vec<Multiaddr>,
}

impl Introductions {
    pub fn new(me: PeerKey, intros: Vec<IntroKey>) -> Self {
        Self {
            me,
            intros,
            dialled: BTreeMap::new(),
            clock_told: false,
        }
    }

    /// The room has another generation: everybody may be dialled anew, and those of earlier ones too, to be told of it.
    pub fn rekey(&mut self, intros: Vec<IntroKey>) {
        self.intros = intros;
        self.dialled.clear();
    }

    /// Opens sealed records, and picks those to dial. What can't be opened, is stale or is our own is passed over in silence: the
    /// server can put anything there.
    pub fn choose(&mut self, records: &[Vec<u8>], links: &BTreeSet<PeerKey>) -> Vec<Introduced> {
        let now = Instant::now();
        self.dialled.retain(|_, at| now.duration_since(*at) < DIAL_PAUSE);
        let mut chosen: Vec<Introduced> = Vec::new();
        for record in self.opened(records) {
            let room_left = links.len() + self.dialled.len() < ENOUGH_LINKS;
            if !room_left || !self.is_news(&record, links) {
                continue;
            }
            let addresses: Vec<Multiaddr> = record
                .addresses
                .iter()
                .filter_map(|address| address.parse().ok())
                .take(MAX_ADDRESSES)
                .collect();
            if !addresses.is_empty() {
                self.dialled.insert(record.peer, now);
                chosen.push(Introduced {
                    peer: record.peer,
                    addresses,
                });
            }
        }
        chosen
    }

    /// By how many milliseconds our clock is ahead of the others' (behind, if negative), if that is to be told, once: the median of those
    /// that are there, so that no single member can say it. It changes nothing but what the user knows: a server can hand out old records.
    pub fn clock_ahead_ms(&mut self, records: &[Vec<u8>]) -> Option<i64> {
        if self.clock_told {
            return None;
        }
        let now = i64::try_from(unix_ms()).ok()?;
        let others = self.opened(records).into_iter().filter(|record| record.peer != self.me);
        let mut ahead: Vec<i64> = others
            .map(|record| now.saturating_sub(i64::try_from(record.at_ms).unwrap_or(i64::MAX)))
            .collect();
        ahead.sort_unstable();
        let median = *ahead.get(ahead.len() / 2)?;
        self.clock_told = median.unsigned_abs() > CLOCK_TOLD_MS;
        self.clock_told.then_some(median)
    }

    fn opened(&self, records: &[Vec<u8>]) -> Vec<PresenceRecord> {
        let open = |sealed: &Vec<u8>| {
            let mut intros = self.intros.iter();
            intros.find_map(|intro| PresenceRecord::open(intro, sealed).ok())
        };
        records.iter().filter_map(open).collect()
    }

    /// The peer needs no dial any more, or may be dialled again.
    pub fn settled(&mut self, peer: &PeerKey) {
        self.dialled.remove(peer);
    }

    fn is_news(&self, record: &PresenceRecord, links: &BTreeSet<PeerKey>) -> bool {
        record.peer != self.me
            && record.at_ms.abs_diff(unix_ms()) <= MAX_SKEW_MS
            && !links.contains(&record.peer)
            && !self.dialled.contains_key(&record.peer)
    }
}

#[cfg(test)]
mod tests {
    use rand::rand_core::UnwrapErr;
    use rand::rngs::SysRng;

    use super::*;

    const ME: PeerKey = PeerKey::from_bytes([0; 32]);

    fn peer(n: u8) -> PeerKey {
        PeerKey::from_bytes([n; 32])
    }

    fn intro() -> IntroKey {
        IntroKey::from_bytes([7; 32])
    }

    fn record(n: u8, at_ms: u64, addresses: &[&str]) -> Vec<u8> {
        let record = PresenceRecord {
            peer: peer(n),
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            at_ms,
        };
        record.seal(&intro(), &mut UnwrapErr(SysRng))
    }

    fn chosen(introductions: &mut Introductions, records: &[Vec<u8>], links: &[u8]) -> Vec<PeerKey> {
        let links = links.iter().map(|&n| peer(n)).collect();
        let chosen = introductions.choose(records, &links);
        chosen.into_iter().map(|introduced| introduced.peer).collect()
    }

    #[test]
    fn what_the_server_made_up_is_passed_over() {
        let now = unix_ms();
        let good = ["/ip4/192.0.2.1/tcp/1"];
        let foreign = PresenceRecord {
            peer: peer(9),
            addresses: vec![good[0].to_owned()],
            at_ms: now,
        };
        let records = [
            record(1, now, &good),
            record(0, now, &good),
            record(2, now - MAX_SKEW_MS - 60_000, &good),
            record(3, now + MAX_SKEW_MS + 60_000, &good),
            record(4, now - 3_000_000, &["no address", good[0]]),
            record(5, now, &["no address"]),
            record(6, now, &[]),
            record(7, now, &good),
            foreign.seal(&IntroKey::from_bytes([8; 32]), &mut UnwrapErr(SysRng)),
            vec![0; 1024],
            Vec::new(),
        ];
        let mut introductions = Introductions::new(ME, vec![intro()]);
        let dialled = introductions.choose(&records, &BTreeSet::from([peer(7)]));
        assert_eq!(
            dialled.iter().map(|introduced| introduced.peer).collect::<Vec<_>>(),
            [peer(1), peer(4)]
        );
        assert_eq!(dialled[1].addresses, [good[0].parse().unwrap()]);
    }

    #[test]
    fn a_clock_that_most_others_contradict_is_told_of_once() {
        const HOUR: u64 = 3_600_000;
        let now = unix_ms();
        let at = |n: u8, at_ms: u64| record(n, at_ms, &["/ip4/192.0.2.1/tcp/1"]);
        let mut introductions = Introductions::new(ME, vec![intro()]);
        assert_eq!(introductions.clock_ahead_ms(&[]), None);
        // Our own record says nothing, and neither does one of three.
        let ours = at(0, now - 9 * HOUR);
        let one = [ours, at(1, now + 9 * HOUR), at(2, now), at(3, now - 60_000)];
        assert_eq!(introductions.clock_ahead_ms(&one), None);
        let most = [at(1, now - 24 * HOUR), at(2, now - 24 * HOUR), at(3, now)];
        let ahead = introductions.clock_ahead_ms(&most).unwrap();
        assert!(ahead.unsigned_abs().abs_diff(24 * HOUR) < HOUR, "{ahead}");
        assert_eq!(introductions.clock_ahead_ms(&most), None, "once");
        let mut introductions = Introductions::new(ME, vec![intro()]);
        assert!(introductions.clock_ahead_ms(&[at(1, now + HOUR)]).unwrap() < 0);
    }

    #[test]
    fn a_peer_is_dialled_once_until_that_is_settled() {
        let records = [record(1, unix_ms(), &["/ip4/192.0.2.1/tcp/1"])];
        let mut introductions = Introductions::new(ME, vec![intro()]);
        assert_eq!(chosen(&mut introductions, &records, &[]), [peer(1)]);
        assert_eq!(chosen(&mut introductions, &records, &[]), []);
        introductions.settled(&peer(1));
        assert_eq!(chosen(&mut introductions, &records, &[]), [peer(1)]);
    }

    #[test]
    fn enough_links_are_enough() {
        let records: Vec<_> = (100..140)
            .map(|n| record(n, unix_ms(), &["/ip4/192.0.2.1/tcp/1"]))
            .collect();
        let mut introductions = Introductions::new(ME, vec![intro()]);
        let links: Vec<u8> = (1..=20).collect();
        assert_eq!(chosen(&mut introductions, &records, &links).len(), ENOUGH_LINKS - 20);
        assert!(chosen(&mut introductions, &records, &links).is_empty());
    }
}
