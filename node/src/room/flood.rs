//! What one member, and one link, may make us compute: buckets that are looked at before anything is verified (docs/PROTOCOL.md, "Floods").
//!
//! A bucket is charged only once it is sure whose it is: anybody can name somebody else. What is shed is let go without blame, since honest
//! links pass on what they had room for; if it was worth having, comparison brings it later. Operations are never shed: the
//! admin can always remove somebody.

use std::collections::BTreeMap;
use std::time::Duration;

use snug_crypto::ids::{IdentityKey, LeafId, PeerKey};

use super::timing::{ISSUES, MAX_BUCKETS, OBJECTS, QUESTIONS, RECORDS, Rate, SPEECH};

/// All buckets.
pub(super) struct Flood {
    /// Frames that nobody asked for, by their sender.
    pub(super) speech: Buckets<LeafId>,
    /// New records, by whose they are.
    pub(super) records: Buckets<IdentityKey>,
    /// Announcements, by the identity of their issuer.
    pub(super) issues: Buckets<IdentityKey>,
    /// Objects of generations that nobody asked for, by link; `None` are those at doors, altogether.
    pub(super) objects: Buckets<Option<PeerKey>>,
    /// Questions, by link.
    pub(super) questions: Buckets<PeerKey>,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            speech: Buckets::new(SPEECH),
            records: Buckets::new(RECORDS),
            issues: Buckets::new(ISSUES),
            objects: Buckets::new(OBJECTS),
            questions: Buckets::new(QUESTIONS),
        }
    }
}

impl Flood {
    /// What was let go since we came.
    pub(super) fn shed(&self) -> u64 {
        self.speech.shed + self.records.shed + self.issues.shed + self.objects.shed + self.questions.shed
    }
}

/// Buckets of one kind. Each is the time at which it will be empty again.
pub(super) struct Buckets<K> {
    rate: Rate,
    used: BTreeMap<K, Duration>,
    shed: u64,
}

impl<K: Ord> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            used: BTreeMap::new(),
            shed: 0,
        }
    }

    /// Whether there is room for one more; if not, it counts as shed.
    pub(super) fn admits(&mut self, whose: &K, elapsed: Duration) -> bool {
        let admits = !self.is_full(whose, elapsed);
        self.shed += u64::from(!admits);
        admits
    }

    /// Whether there is no room for one more.
    pub(super) fn is_full(&self, whose: &K, elapsed: Duration) -> bool {
        let used = self
            .used
            .get(whose)
            .map_or(Duration::ZERO, |at| at.saturating_sub(elapsed));
        used + self.rate.every > self.rate.every * self.rate.burst
    }

    /// Charges for one.
    pub(super) fn charge(&mut self, whose: K, elapsed: Duration) {
        if self.used.len() >= MAX_BUCKETS {
            self.used.retain(|_, at| *at > elapsed);
        }
        // As many at once are more than there can be members; what they do is bounded elsewhere.
        if self.used.len() < MAX_BUCKETS || self.used.contains_key(&whose) {
            let at = self.used.entry(whose).or_default();
            *at = (*at).max(elapsed) + self.rate.every;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(buckets: &mut Buckets<u8>, who: u8, at: Duration) -> bool {
        let may = buckets.admits(&who, at);
        if may {
            buckets.charge(who, at);
        }
        may
    }

    #[test]
    fn a_burst_passes_and_a_flood_is_cut_to_the_rate() {
        let mut buckets = Buckets::new(SPEECH);
        let burst = (0..10_000).filter(|_| says(&mut buckets, 1, Duration::ZERO)).count();
        assert_eq!(burst, SPEECH.burst as usize);
        assert!(says(&mut buckets, 2, Duration::ZERO), "each has its own");
        // Ten seconds of 10,000 a second.
        let at = |n: u64| Duration::from_micros(n * 100);
        let passed = (0..100_000).filter(|n| says(&mut buckets, 1, at(*n))).count() as u128;
        let rate = Duration::from_secs(10).as_nanos() / SPEECH.every.as_nanos();
        assert!(passed <= rate + 1 && passed + 1 >= rate, "{passed} of {rate}");
        assert_eq!(buckets.shed, 10_000 - burst as u64 + 100_000 - passed as u64);
    }

    #[test]
    fn buckets_are_bounded_and_those_in_use_stay() {
        let mut buckets = Buckets::new(QUESTIONS);
        for who in 0..3 * MAX_BUCKETS {
            buckets.charge(who, Duration::ZERO);
        }
        assert_eq!(buckets.used.len(), MAX_BUCKETS);
        for _ in 0..QUESTIONS.burst {
            buckets.charge(0, Duration::ZERO);
        }
        assert!(buckets.is_full(&0, Duration::ZERO));
        buckets.charge(usize::MAX, QUESTIONS.every * 2);
        assert!(buckets.is_full(&0, QUESTIONS.every) && buckets.used.len() == 2);
    }
}
