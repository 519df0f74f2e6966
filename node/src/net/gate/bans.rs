//! Peers that failed their proof and are left alone for a while.
//!
//! A PeerId costs nothing, so this keeps no attacker out; it ends the loop of dialing a peer that is of another room, or
//! of another generation of this one.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Bans kept at once: about 100 bytes each. The one that ends first makes room.
const MAX_BANS: usize = 512;

#[derive(Default)]
pub(crate) struct Bans {
    until: HashMap<PeerId, Instant>,
}

impl Bans {
    pub(crate) fn insert(&mut self, peer: PeerId, now: Instant, length: Duration) {
        if self.until.len() >= MAX_BANS {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= MAX_BANS
            && let Some(first) = self
                .until
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(peer, _)| *peer)
        {
            self.until.remove(&first);
        }
        self.until.insert(peer, now + length);
    }

    pub(crate) fn contains(&self, peer: &PeerId, now: Instant) -> bool {
        self.until.get(peer).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_and_the_list_stays_bounded() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut bans = Bans::default();
        let first = PeerId::random();
        bans.insert(first, now, minute);
        assert!(bans.contains(&first, now));
        assert!(!bans.contains(&first, now + minute));
        for _ in 0..2 * MAX_BANS {
            bans.insert(PeerId::random(), now, 2 * minute);
        }
        assert_eq!(bans.until.len(), MAX_BANS);
        assert!(!bans.contains(&first, now), "the one that ends first went");
    }
}
