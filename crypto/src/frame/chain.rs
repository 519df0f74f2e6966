//! One sender's chain: docs/PROTOCOL.md, "Sender chains".
//!
//! `mk_n = HMAC(ck_n, 01)`, `ck_{n+1} = HMAC(ck_n, 02)`, 32 bytes each. A receiver takes a step in two halves: it *prepares*
//! without touching the chain, and *commits* once the frame has proven genuine, so that no forgery moves anything.

use std::collections::VecDeque;

use crate::{
    bounds,
    kdf::{self, Secret32},
    rest::ChainAtRest,
};

/// A chain with the keys of frames that are still missing.
pub(crate) struct Chain {
    key: Secret32,
    next: u64,
    /// Keys of counters below `next` that were skipped, ascending.
    skipped: VecDeque<(u64, Secret32)>,
}

/// What has to happen to a chain when the frame at hand is genuine.
pub(crate) struct Step {
    message_key: Secret32,
    change: Change,
}

enum Change {
    /// The frame is the chain's next, or further on.
    Advance {
        key: Secret32,
        next: u64,
        skipped: Vec<(u64, Secret32)>,
    },
    /// The frame was skipped before: its key goes.
    Take { index: usize },
}

/// Why there is no key for a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChainError {
    /// Its key was used, or dropped as one of too many.
    Used,
    /// More than [`bounds::MAX_SKIP`] ahead.
    TooFar { ahead: u64 },
}

impl Chain {
    pub(crate) const fn new(key: Secret32) -> Self {
        Self {
            key,
            next: 0,
            skipped: VecDeque::new(),
        }
    }

    pub(crate) fn at_rest(&self) -> ChainAtRest {
        ChainAtRest {
            next: self.next,
            key: self.key.clone(),
            skipped: self.skipped.iter().cloned().collect(),
        }
    }

    pub(crate) fn restore(stored: ChainAtRest) -> Self {
        Self {
            key: stored.key,
            next: stored.next,
            skipped: stored.skipped.into(),
        }
    }

    /// One above the highest counter seen.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Counters below `next` whose frames are still missing.
    pub(crate) fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        self.skipped.iter().map(|(counter, _)| *counter)
    }

    /// The key for the frame with this counter, and the step to commit if it proves genuine.
    pub(crate) fn prepare(&self, counter: u64) -> Result<Step, ChainError> {
        let Some(ahead) = counter.checked_sub(self.next) else {
            let index = self.skipped.binary_search_by_key(&counter, |(skipped, _)| *skipped);
            let index = index.map_err(|_| ChainError::Used)?;
            let (_, key) = self.skipped.get(index).ok_or(ChainError::Used)?;
            return Ok(Step {
                message_key: key.clone(),
                change: Change::Take { index },
            });
        };
        let next = counter.checked_add(1).filter(|_| ahead <= bounds::MAX_SKIP);
        let next = next.ok_or(ChainError::TooFar { ahead })?;
        let (mut message_key, mut key) = kdf::step(&self.key);
        let mut skipped = Vec::new();
        for counter in self.next..counter {
            let (following, after) = kdf::step(&key);
            skipped.push((counter, core::mem::replace(&mut message_key, following)));
            key = after;
        }
        Ok(Step {
            message_key,
            change: Change::Advance { key, next, skipped },
        })
    }

    /// Takes the step.
    pub(crate) fn commit(&mut self, step: Step) {
        match step.change {
            Change::Advance { key, next, skipped } => {
                self.key = key;
                self.next = next;
                self.skipped.extend(skipped);
                while self.skipped.len() > bounds::MAX_STORED_KEYS {
                    self.skipped.pop_front();
                }
            }
            Change::Take { index } => drop(self.skipped.remove(index)),
        }
    }
}

impl Step {
    pub(crate) fn message_key(&self) -> &[u8; 32] {
        &self.message_key
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn chain() -> Chain {
        Chain::new(Zeroizing::new([7; 32]))
    }

    fn take(chain: &mut Chain, counter: u64) -> Result<[u8; 32], ChainError> {
        let step = chain.prepare(counter)?;
        let key = *step.message_key();
        chain.commit(step);
        Ok(key)
    }

    #[test]
    fn a_counter_has_the_same_key_in_any_order() {
        let mut ordered = chain();
        let keys: Vec<_> = (0..50).map(|counter| take(&mut ordered, counter).unwrap()).collect();
        let mut shuffled = chain();
        for counter in (0..50).rev().step_by(2).chain((0..50).step_by(2)) {
            assert_eq!(
                take(&mut shuffled, counter).unwrap(),
                keys[counter as usize],
                "{counter}"
            );
        }
        assert_eq!((shuffled.next(), shuffled.missing().count()), (50, 0));
    }

    #[test]
    fn a_key_is_given_once() {
        let mut chain = chain();
        take(&mut chain, 3).unwrap();
        assert_eq!(chain.missing().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(take(&mut chain, 3), Err(ChainError::Used));
        take(&mut chain, 1).unwrap();
        assert_eq!(take(&mut chain, 1), Err(ChainError::Used));
        assert_eq!(chain.missing().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn preparing_changes_nothing() {
        let chain = chain();
        let first = *chain.prepare(9).unwrap().message_key();
        assert_eq!((chain.next(), chain.missing().count()), (0, 0));
        assert_eq!(*chain.prepare(9).unwrap().message_key(), first);
    }

    #[test]
    fn skips_are_bounded() {
        let mut chain = chain();
        assert_eq!(take(&mut chain, 1_001), Err(ChainError::TooFar { ahead: 1_001 }));
        assert_eq!(take(&mut chain, u64::MAX), Err(ChainError::TooFar { ahead: u64::MAX }));
        take(&mut chain, 1_000).unwrap();
        take(&mut chain, 2_001).unwrap();
        assert_eq!(chain.missing().count(), bounds::MAX_STORED_KEYS, "the oldest go first");
        assert_eq!(take(&mut chain, 0), Err(ChainError::Used));
        assert!(take(&mut chain, 2_000).is_ok());
    }

    #[test]
    fn a_chain_at_its_end_stops() {
        let mut chain = chain();
        chain.next = u64::MAX;
        assert_eq!(take(&mut chain, u64::MAX), Err(ChainError::TooFar { ahead: 0 }));
    }
}
