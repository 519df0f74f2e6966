//! When the next frame of ours may leave.
//!
//! A frame costs every member a signature to verify, a commit and the gossip around it, whatever it carries. So the whole room shares one
//! budget of frames: who speaks alone may send one every [`FRAME_PACE`], and who speaks while others do leaves each of them as much. What
//! is said meanwhile leaves together, so that a room in which many talk at once makes fuller frames instead of more of them.

use std::collections::BTreeMap;
use std::time::Duration;

use snug_crypto::ids::LeafId;

use super::timing::{FRAME_PACE, MAX_SHARES, SPEAKS_FOR};

/// Who spoke lately, we among them.
#[derive(Default)]
pub(super) struct Pacer {
    /// When our last frame left.
    last: Option<Duration>,
    /// When each of the others' last frame came.
    others: BTreeMap<LeafId, Duration>,
    /// Whether the last look found that something waits for its frame, and for nothing else.
    holds: bool,
}

impl Pacer {
    /// A frame of somebody else came by gossip.
    pub(super) fn heard(&mut self, sender: LeafId, elapsed: Duration) {
        self.others.insert(sender, elapsed);
        // As many as it takes to know our share; the others' are counted when they speak again.
        if self.others.len() > 2 * MAX_SHARES {
            self.others.retain(|_, at| elapsed.saturating_sub(*at) < SPEAKS_FOR);
            while self.others.len() > 2 * MAX_SHARES {
                self.others.pop_first();
            }
        }
    }

    /// A frame of ours left.
    pub(super) fn left(&mut self, elapsed: Duration) {
        self.last = Some(elapsed);
    }

    /// When the next one may.
    pub(super) fn next(&self, elapsed: Duration) -> Option<Duration> {
        let speak = |at: &&Duration| elapsed.saturating_sub(**at) < SPEAKS_FOR;
        let others = self.others.values().filter(speak).take(MAX_SHARES - 1).count();
        let shares = u32::try_from(1 + others).unwrap_or(u32::MAX);
        self.last.map(|last| last + FRAME_PACE.saturating_mul(shares))
    }

    /// Says whether something waits for its frame alone, which is over in a moment.
    pub(super) fn hold(&mut self, holds: bool) {
        self.holds = holds;
    }

    /// See [`Self::hold`].
    pub(super) fn holds(&self) -> bool {
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u8) -> LeafId {
        LeafId::from_bytes([n; 16])
    }

    const NOW: Duration = Duration::from_secs(60);

    #[test]
    fn who_speaks_alone_waits_for_one_share_and_who_speaks_among_others_for_all_of_theirs() {
        let mut pacer = Pacer::default();
        assert_eq!(pacer.next(NOW), None, "the first leaves at once");
        pacer.left(NOW);
        assert_eq!(pacer.next(NOW), Some(NOW + FRAME_PACE));
        for n in 0..3 {
            pacer.heard(leaf(n), NOW);
            pacer.heard(leaf(n), NOW);
        }
        assert_eq!(pacer.next(NOW), Some(NOW + 4 * FRAME_PACE));
        assert_eq!(
            pacer.next(NOW + SPEAKS_FOR),
            Some(NOW + FRAME_PACE),
            "they have fallen silent"
        );
    }

    #[test]
    fn a_crowd_delays_nobody_for_long_and_is_not_remembered() {
        let mut pacer = Pacer::default();
        pacer.left(NOW);
        for n in 0..=255 {
            pacer.heard(leaf(n), NOW);
        }
        assert_eq!(pacer.next(NOW), Some(NOW + FRAME_PACE * MAX_SHARES as u32));
        assert!(pacer.others.len() <= 2 * MAX_SHARES);
    }
}
