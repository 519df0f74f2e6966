//! What has arrived, what is missing, and the ciphertext kept for those who missed it (docs/PROTOCOL.md, "Delivery").
//!
//! Gossip loses frames silently, so each member counts: for every epoch and sender, the highest counter below which nothing is
//! missing, and what came beyond it. Members compare these vectors and pull what they lack.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use snug_crypto::direct::{EpochVector, SenderVector};
use snug_crypto::ids::{EpochId, FrameHash, LeafId};

use super::timing::{KEPT_BYTES, KEPT_FRAMES, REPLY_BYTES};

/// The most counters beyond the contiguous ones that a vector spells out; what is not spelled out is sent again, and ignored.
const MAX_EXTRA: usize = 64;

/// The most frames of a sender beyond one that is missing; then it counts as lost. Memory: some 16 bytes for each.
const MAX_BEYOND: usize = 16_384;

/// Counters of one sender in one epoch.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Everything below has arrived.
    next: u64,
    /// What has arrived at `next` or beyond.
    extra: BTreeSet<u64>,
}

impl Seen {
    fn insert(&mut self, counter: u64) {
        if counter >= self.next {
            self.extra.insert(counter);
            // What was missing so long is lost: chains keep keys for fewer.
            if self.extra.len() > MAX_BEYOND
                && let Some(first) = self.extra.first()
            {
                self.next = *first;
            }
            while self.extra.remove(&self.next) {
                self.next += 1;
            }
        }
    }
}

/// Vectors and kept ciphertext of all epochs held.
#[derive(Default)]
pub(super) struct Delivery {
    seen: BTreeMap<EpochId, BTreeMap<LeafId, Seen>>,
    /// Of whom something is missing in an epoch: asked with each frame, when all others have spoken, too.
    gappy: BTreeMap<EpochId, BTreeSet<LeafId>>,
    kept: BTreeMap<FrameKey, Kept>,
    order: VecDeque<FrameKey>,
    bytes: usize,
    /// Bytes kept of each sender: whoever takes most gives way first, so that nobody can push out others' mail.
    of_sender: BTreeMap<LeafId, usize>,
    /// What was added and dropped since the last look.
    fresh: Vec<FrameKey>,
    dropped: Vec<FrameKey>,
}

/// An epoch, a sender in it, and which of its frames.
pub(super) type FrameKey = (EpochId, LeafId, u64);

struct Kept {
    bytes: Vec<u8>,
    hash: FrameHash,
    at: Duration,
}

/// A frame that a peer lacks.
struct Lacking<'a> {
    sender: LeafId,
    counter: u64,
    at: Duration,
    /// Among those of its sender.
    place: usize,
    kept: &'a Kept,
}

impl Delivery {
    /// Notes a frame that was opened (or is our own), and keeps its ciphertext.
    pub(super) fn record(&mut self, key: FrameKey, hash: FrameHash, bytes: Vec<u8>, elapsed: Duration) {
        let (epoch, sender, counter) = key;
        let seen = self.seen.entry(epoch).or_default().entry(sender).or_default();
        seen.insert(counter);
        let has_gap = !seen.extra.is_empty();
        self.note_gap(epoch, sender, has_gap);
        self.fresh.push(key);
        self.keep(key, hash, bytes, elapsed);
        while self.order.len() > KEPT_FRAMES || self.bytes > KEPT_BYTES {
            self.drop_of_the_loudest();
        }
    }

    /// Whether something of somebody's is missing in an epoch.
    pub(super) fn has_gap(&self, epoch: &EpochId) -> bool {
        self.gappy.get(epoch).is_some_and(|gappy| !gappy.is_empty())
    }

    fn note_gap(&mut self, epoch: EpochId, sender: LeafId, has_gap: bool) {
        if has_gap {
            self.gappy.entry(epoch).or_default().insert(sender);
        } else if let Some(gappy) = self.gappy.get_mut(&epoch) {
            gappy.remove(&sender);
        }
    }

    fn keep(&mut self, key: FrameKey, hash: FrameHash, bytes: Vec<u8>, at: Duration) {
        self.bytes += bytes.len();
        *self.of_sender.entry(key.1).or_default() += bytes.len();
        if let Some(old) = self.kept.insert(key, Kept { bytes, hash, at }) {
            self.subtract(&key.1, old.bytes.len());
            return;
        }
        self.order.push_back(key);
    }

    /// What was added and dropped since this was asked last.
    pub(super) fn take_journal(&mut self) -> (Vec<FrameKey>, Vec<FrameKey>) {
        (std::mem::take(&mut self.fresh), std::mem::take(&mut self.dropped))
    }

    /// Ciphertext kept, its name, and since when.
    pub(super) fn kept(&self, key: &FrameKey) -> Option<(&[u8], &FrameHash, Duration)> {
        self.kept.get(key).map(|kept| (&kept.bytes[..], &kept.hash, kept.at))
    }

    /// All ciphertext that is kept, by epoch, sender and counter.
    pub(super) fn all_kept(&self) -> impl Iterator<Item = (&FrameKey, &[u8])> {
        self.kept.iter().map(|(key, kept)| (key, &kept.bytes[..]))
    }

    /// Keeps ciphertext that was kept before; in order of age.
    pub(super) fn restore(&mut self, key: FrameKey, hash: FrameHash, bytes: Vec<u8>, at: Duration) {
        self.keep(key, hash, bytes, at);
    }

    /// Takes up what has arrived of a sender.
    pub(super) fn resume(&mut self, epoch: EpochId, sender: LeafId, next: u64, missing: &[u64]) {
        let first = missing.first().copied().unwrap_or(next);
        let extra = (first..next)
            .filter(|counter| missing.binary_search(counter).is_err())
            .collect();
        let seen = Seen { next: first, extra };
        self.note_gap(epoch, sender, !seen.extra.is_empty());
        self.seen.entry(epoch).or_default().insert(sender, seen);
    }

    /// Forgets ciphertext older than `age`, and all of epochs that `keep` refuses. What `pinned` names stays.
    pub(super) fn prune(
        &mut self,
        elapsed: Duration,
        age: Duration,
        keep: impl Fn(&EpochId) -> bool,
        pinned: impl Fn(&FrameKey) -> bool,
    ) {
        let mut kept_on = Vec::new();
        while let Some(front) = self.order.front() {
            match self.kept.get(front) {
                Some(kept) if elapsed.saturating_sub(kept.at) <= age => break,
                Some(_) if pinned(front) => kept_on.extend(self.order.pop_front()),
                _ => self.drop_oldest(),
            }
        }
        kept_on.into_iter().rev().for_each(|key| self.order.push_front(key));
        self.seen.retain(|epoch, _| keep(epoch));
        self.gappy.retain(|epoch, _| keep(epoch));
    }

    fn drop_oldest(&mut self) {
        self.drop_at(0);
    }

    /// Drops the oldest frame of whoever takes most.
    fn drop_of_the_loudest(&mut self) {
        let loudest = self.of_sender.iter().max_by_key(|(_, bytes)| **bytes);
        let is_its = |key: &FrameKey| loudest.is_some_and(|(leaf, _)| *leaf == key.1);
        let at = self.order.iter().position(is_its);
        self.drop_at(at.unwrap_or(0));
    }

    fn drop_at(&mut self, at: usize) {
        let Some(key) = self.order.remove(at) else { return };
        if let Some(kept) = self.kept.remove(&key) {
            self.subtract(&key.1, kept.bytes.len());
            self.dropped.push(key);
        }
    }

    fn subtract(&mut self, sender: &LeafId, bytes: usize) {
        self.bytes -= bytes;
        if let Some(of_sender) = self.of_sender.get_mut(sender) {
            *of_sender -= bytes;
            if *of_sender == 0 {
                self.of_sender.remove(sender);
            }
        }
    }

    /// Of whom something is known to be missing in an epoch.
    pub(super) fn gappy(&self, epoch: &EpochId) -> impl Iterator<Item = &LeafId> {
        self.gappy.get(epoch).into_iter().flatten()
    }

    /// Of whom we have anything in an epoch.
    pub(super) fn senders(&self, epoch: &EpochId) -> Vec<LeafId> {
        self.seen
            .get(epoch)
            .map_or_else(Vec::new, |senders| senders.keys().copied().collect())
    }

    /// The counter below which nothing of a sender is missing.
    pub(super) fn next(&self, epoch: &EpochId, sender: &LeafId) -> u64 {
        let senders = self.seen.get(epoch);
        senders
            .and_then(|senders| senders.get(sender))
            .map_or(0, |seen| seen.next)
    }

    /// How many of each sender's frames are missing below the highest one that has arrived.
    pub(super) fn gaps(&self, epoch: &EpochId) -> Vec<(LeafId, u64)> {
        let senders = self.seen.get(epoch).into_iter().flatten();
        let missing = senders.filter_map(|(leaf, seen)| {
            let highest = seen.extra.last()?;
            Some((*leaf, (highest - seen.next + 1).saturating_sub(seen.extra.len() as u64)))
        });
        missing.filter(|(_, missing)| *missing > 0).collect()
    }

    /// Whether this frame has arrived.
    pub(super) fn has_seen(&self, (epoch, sender, counter): &FrameKey) -> bool {
        let seen = self.seen.get(epoch).and_then(|senders| senders.get(sender));
        seen.is_some_and(|seen| *counter < seen.next || seen.extra.contains(counter))
    }

    /// What we have of an epoch, for a peer to compare with.
    pub(super) fn vector(&self, epoch: EpochId) -> EpochVector {
        let senders = self.seen.get(&epoch).map_or_else(Vec::new, |senders| {
            senders
                .iter()
                .map(|(leaf, seen)| SenderVector {
                    leaf: *leaf,
                    next: seen.next,
                    extra: seen.extra.iter().take(MAX_EXTRA).copied().collect(),
                })
                .collect()
        });
        EpochVector { epoch, senders }
    }

    /// Frames that the owner of a vector lacks, in order of arrival, at most [`REPLY_BYTES`]: of an epoch of which there are more, as many of each
    /// sender.
    pub(super) fn missing(&self, vectors: &[EpochVector]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut size = 0;
        for vector in vectors {
            let have: BTreeMap<LeafId, &SenderVector> =
                vector.senders.iter().map(|sender| (sender.leaf, sender)).collect();
            let from = (vector.epoch, LeafId::from_bytes([0; 16]), 0);
            let until = (vector.epoch, LeafId::from_bytes([0xff; 16]), u64::MAX);
            let mut lacking: Vec<Lacking<'_>> = self
                .kept
                .range(from..=until)
                .filter(|((_, leaf, counter), _)| {
                    have.get(leaf)
                        .is_none_or(|sender| *counter >= sender.next && !sender.extra.contains(counter))
                })
                .map(|((_, sender, counter), kept)| Lacking {
                    sender: *sender,
                    counter: *counter,
                    at: kept.at,
                    place: 0,
                    kept,
                })
                .collect();
            lacking.sort_by_key(|lacking| (lacking.at, lacking.counter));
            let all: usize = lacking.iter().map(|lacking| lacking.kept.bytes.len()).sum();
            let fits_all = size + all <= REPLY_BYTES;
            if !fits_all {
                let mut of_sender: BTreeMap<LeafId, usize> = BTreeMap::new();
                for lacking in &mut lacking {
                    let place = of_sender.entry(lacking.sender).or_default();
                    lacking.place = *place;
                    *place += 1;
                }
                lacking.sort_by_key(|lacking| lacking.place);
                let fits = |lacking: &Lacking<'_>| {
                    size += lacking.kept.bytes.len();
                    size <= REPLY_BYTES
                };
                let count = lacking.iter().map(fits).take_while(|fits| *fits).count();
                lacking.truncate(count);
                lacking.sort_by_key(|lacking| (lacking.at, lacking.counter));
            }
            size += all;
            frames.extend(lacking.into_iter().map(|lacking| lacking.kept.bytes.clone()));
            if !fits_all {
                break;
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: FrameHash = FrameHash::from_bytes([9; 32]);

    fn leaf(byte: u8) -> LeafId {
        LeafId::from_bytes([byte; 16])
    }

    #[test]
    fn what_one_lacks_is_what_the_other_sends() {
        let epoch = EpochId::from_bytes([7; 32]);
        let (mut a, mut b) = (Delivery::default(), Delivery::default());
        for counter in 0..10 {
            let (key, frame) = ((epoch, leaf(1), counter), vec![counter as u8; 300]);
            a.record(key, HASH, frame.clone(), Duration::from_secs(counter));
            if counter % 3 != 0 {
                b.record(key, HASH, frame, Duration::ZERO);
            }
        }
        assert!(b.gappy(&epoch).eq([&leaf(1)]));
        let frames = a.missing(&[b.vector(epoch)]);
        assert_eq!(frames.iter().map(|frame| frame[0]).collect::<Vec<_>>(), [0, 3, 6, 9]);
        assert!(b.missing(&[a.vector(epoch)]).is_empty());
        for counter in [0, 3, 6, 9] {
            b.record((epoch, leaf(1), counter), HASH, vec![0; 300], Duration::ZERO);
        }
        assert!(b.gappy(&epoch).next().is_none());
        assert!(a.missing(&[b.vector(epoch)]).is_empty());
    }

    #[test]
    fn a_reply_stays_within_its_bound() {
        let epoch = EpochId::from_bytes([7; 32]);
        let mut log = Delivery::default();
        for counter in 0..40 {
            log.record((epoch, leaf(1), counter), HASH, vec![0; 32 << 10], Duration::ZERO);
        }
        let size: usize = log
            .missing(&[EpochVector { epoch, senders: vec![] }])
            .iter()
            .map(Vec::len)
            .sum();
        assert!(size <= REPLY_BYTES && size > REPLY_BYTES / 2);
    }

    #[test]
    fn kept_ciphertext_is_bounded_by_bytes_and_age() {
        let epoch = EpochId::from_bytes([7; 32]);
        let mut log = Delivery::default();
        for counter in 0..2_000 {
            let key = (epoch, leaf(1), counter);
            log.record(key, HASH, vec![0; 32 << 10], Duration::from_secs(counter));
        }
        assert!(log.bytes <= KEPT_BYTES);
        let pinned = |key: &FrameKey| key.2 == 1_980;
        log.prune(Duration::from_secs(2_100), Duration::from_secs(110), |_| true, pinned);
        assert_eq!(log.kept.len(), 11);
        assert_eq!(log.bytes, 11 * (32 << 10));
        log.prune(
            Duration::from_secs(2_100),
            Duration::from_secs(110),
            |_| true,
            |_| false,
        );
        assert_eq!(log.kept.len(), 10);
    }

    #[test]
    fn whoever_says_most_pushes_out_its_own() {
        let epoch = EpochId::from_bytes([7; 32]);
        let mut log = Delivery::default();
        for counter in 0..100 {
            log.record(
                (epoch, leaf(1), counter),
                HASH,
                vec![1; 300],
                Duration::from_secs(counter),
            );
        }
        for counter in 0..2_000 {
            log.record(
                (epoch, leaf(2), counter),
                HASH,
                vec![2; 32 << 10],
                Duration::from_secs(200),
            );
        }
        assert!(log.bytes <= KEPT_BYTES);
        assert_eq!(log.kept.keys().filter(|key| key.1 == leaf(1)).count(), 100);
        assert_eq!(log.of_sender.values().sum::<usize>(), log.bytes);
        // And who asks for all gets the quiet one's whole, in order, beside some of the loud one's.
        let frames = log.missing(&[EpochVector { epoch, senders: vec![] }]);
        let quiet = frames.iter().take_while(|frame| frame[0] == 1).count();
        assert!(quiet >= 10 && frames.len() > quiet, "{quiet} of {}", frames.len());
    }
}
