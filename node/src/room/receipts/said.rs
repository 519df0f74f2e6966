//! Who has told us how far it has got with what we said.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use snug_crypto::direct::ReceiptMark;
use snug_crypto::ids::{EpochId, FrameHash, IdentityKey, MessageId};

use super::Receipt;
use crate::room::timing::{MAX_TRACKED, RECEIPT_TELL, RECEIPTS_AT_ONCE};

/// Our newest frames, and others' marks.
#[derive(Default)]
pub(in crate::room) struct Said {
    frames: BTreeMap<(EpochId, u64), Frame>,
    order: VecDeque<(EpochId, u64)>,
    marks: BTreeMap<EpochId, BTreeMap<IdentityKey, Mark>>,
    /// Epochs of which the user has not been told all.
    changed: BTreeSet<EpochId>,
    due: Option<Duration>,
}

struct Frame {
    hash: FrameHash,
    messages: Vec<Followed>,
    /// Keepers that were seen to have it.
    keepers: usize,
}

struct Followed {
    /// Its place among the frame's contents.
    index: u32,
    /// The one whom it is for alone: nobody else counts.
    reader: Option<IdentityKey>,
    /// What the user was told last.
    told: Counts,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    held: usize,
    keepers: usize,
    delivered: usize,
    read: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    held: u64,
    delivered: u64,
    read_from: u64,
    read: u64,
}

impl Said {
    /// A frame of ours with these messages was sealed.
    pub(in crate::room) fn sealed(
        &mut self,
        at: (EpochId, u64),
        hash: FrameHash,
        messages: Vec<(u32, Option<IdentityKey>)>,
    ) {
        if messages.is_empty() {
            return;
        }
        let follow = |(index, reader)| Followed {
            index,
            reader,
            told: Counts::default(),
        };
        let messages = messages.into_iter().map(follow).collect();
        let frame = Frame {
            hash,
            messages,
            keepers: 0,
        };
        if self.frames.insert(at, frame).is_none() {
            self.order.push_back(at);
        }
        if self.order.len() > MAX_TRACKED
            && let Some(oldest) = self.order.pop_front()
        {
            self.frames.remove(&oldest);
            if self.of(&oldest.0).next().is_none() {
                self.marks.remove(&oldest.0);
                self.changed.remove(&oldest.0);
            }
        }
    }

    fn of(&self, epoch: &EpochId) -> impl Iterator<Item = (&(EpochId, u64), &Frame)> {
        self.frames.range((*epoch, 0)..=(*epoch, u64::MAX))
    }

    /// Whether anything of ours in an epoch is followed.
    pub(super) fn would_change(&self, epoch: &EpochId) -> bool {
        self.of(epoch).next().is_some()
    }

    /// A member's own word.
    pub(super) fn mark(&mut self, who: IdentityKey, mark: &ReceiptMark, elapsed: Duration) {
        self.change(mark.epoch, who, elapsed, |known| {
            known.held = known.held.max(mark.held);
            known.delivered = known.delivered.max(mark.delivered);
            if mark.read > mark.read_from && mark.read > known.read {
                // Two ranges that touch are one; of two that don't, the later one counts.
                let touches = known.read > known.read_from && mark.read_from <= known.read;
                known.read_from = match touches {
                    true => known.read_from.min(mark.read_from),
                    false => mark.read_from,
                };
                known.read = mark.read;
            }
        });
    }

    /// A member holds everything below a counter.
    pub(super) fn hold(&mut self, who: IdentityKey, epoch: EpochId, held: u64, elapsed: Duration) {
        self.change(epoch, who, elapsed, |known| known.held = known.held.max(held));
    }

    fn change(&mut self, epoch: EpochId, who: IdentityKey, elapsed: Duration, change: impl Fn(&mut Mark)) {
        if !self.would_change(&epoch) {
            return;
        }
        let known = self.marks.entry(epoch).or_default().entry(who).or_default();
        let before = *known;
        change(known);
        if *known != before {
            self.changed.insert(epoch);
            self.due.get_or_insert(elapsed + RECEIPT_TELL);
        }
    }

    /// The frames that are followed.
    pub(super) fn followed(&self) -> Vec<(EpochId, u64)> {
        self.frames.keys().copied().collect()
    }

    /// So many keepers have a frame.
    pub(super) fn kept(&mut self, at: (EpochId, u64), keepers: usize, elapsed: Duration) {
        if let Some(frame) = self.frames.get_mut(&at).filter(|frame| frame.keepers < keepers) {
            frame.keepers = keepers;
            self.changed.insert(at.0);
            self.due.get_or_insert(elapsed + RECEIPT_TELL);
        }
    }

    pub(super) fn is_due(&self, elapsed: Duration) -> bool {
        self.due.is_some_and(|due| due <= elapsed)
    }

    pub(in crate::room) fn next_wake(&self) -> Option<Duration> {
        self.due
    }

    /// What the user has not been told, as much as is told at once. `members` are an epoch's, ourselves among them.
    pub(super) fn tell(&mut self, members: impl Fn(&EpochId) -> Option<usize>, elapsed: Duration) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        while let Some(epoch) = self.changed.first().copied() {
            let of = members(&epoch).map(|members| members.saturating_sub(1));
            let Some(of) = of else {
                self.changed.remove(&epoch);
                continue;
            };
            let nobody = BTreeMap::new();
            let marks = self.marks.get(&epoch).unwrap_or(&nobody);
            let sorted = |what: fn(&Mark) -> u64| {
                let mut all: Vec<u64> = marks.values().map(what).collect();
                all.sort_unstable();
                all
            };
            let (held, delivered) = (sorted(|mark| mark.held), sorted(|mark| mark.delivered));
            let (begun, read) = (sorted(|mark| mark.read_from), sorted(|mark| mark.read));
            let above = |sorted: &[u64], counter: u64| sorted.len() - sorted.partition_point(|mark| *mark <= counter);
            for ((_, counter), frame) in self.frames.range_mut((epoch, 0)..=(epoch, u64::MAX)) {
                let keepers = frame.keepers;
                let all = Counts {
                    held: above(&held, *counter),
                    keepers,
                    delivered: above(&delivered, *counter),
                    read: above(&read, *counter) - above(&begun, *counter),
                };
                let alone = |reader: &IdentityKey| {
                    let mark = marks.get(reader).copied().unwrap_or_default();
                    Counts {
                        held: usize::from(mark.held > *counter),
                        keepers,
                        delivered: usize::from(mark.delivered > *counter),
                        read: usize::from(mark.read_from <= *counter && *counter < mark.read),
                    }
                };
                if receipts.len() >= RECEIPTS_AT_ONCE {
                    self.due = Some(elapsed + RECEIPT_TELL);
                    return receipts;
                }
                for message in &mut frame.messages {
                    let counts = message.reader.as_ref().map_or(all, alone);
                    if counts == message.told {
                        continue;
                    }
                    message.told = counts;
                    receipts.push(Receipt {
                        id: MessageId::of(&frame.hash, message.index),
                        held_by: counts.held + counts.keepers,
                        keepers: counts.keepers,
                        delivered: counts.delivered,
                        read: counts.read,
                        of: message.reader.map_or(of, |_| 1),
                    });
                }
            }
            self.changed.remove(&epoch);
        }
        self.due = None;
        receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: EpochId = EpochId::from_bytes([1; 32]);
    const T: Duration = Duration::ZERO;

    fn mark(held: u64, delivered: u64, read_from: u64, read: u64) -> ReceiptMark {
        ReceiptMark {
            epoch: EPOCH,
            held,
            delivered,
            read_from,
            read,
        }
    }

    fn told(said: &mut Said) -> Vec<(usize, usize, usize, usize)> {
        let receipts = said.tell(|_| Some(4), T);
        receipts
            .iter()
            .map(|r| (r.held_by, r.delivered, r.read, r.of))
            .collect()
    }

    #[test]
    fn members_are_counted_once_and_numbers_never_fall() {
        let mut said = Said::default();
        let [alice, bob] = [1, 2].map(|byte| IdentityKey::from_bytes([byte; 32]));
        for counter in 0..3 {
            said.sealed(
                (EPOCH, counter),
                FrameHash::from_bytes([counter as u8; 32]),
                vec![(0, None)],
            );
        }
        said.mark(alice, &mark(2, 1, 0, 0), T);
        assert_eq!(told(&mut said), [(1, 1, 0, 3), (1, 0, 0, 3)]);
        said.mark(bob, &mark(3, 3, 1, 2), T);
        said.mark(alice, &mark(1, 0, 0, 0), T);
        assert_eq!(told(&mut said), [(2, 2, 0, 3), (2, 1, 1, 3), (1, 1, 0, 3)]);
        assert!(told(&mut said).is_empty() && said.next_wake().is_none());
        said.hold(alice, EPOCH, 3, T);
        said.mark(bob, &mark(3, 3, 2, 3), T);
        assert_eq!(told(&mut said), [(2, 1, 1, 3)]);
    }

    #[test]
    fn keepers_hold_what_nobody_was_shown_yet_and_never_hold_less() {
        let mut said = Said::default();
        let bob = IdentityKey::from_bytes([2; 32]);
        said.sealed(
            (EPOCH, 0),
            FrameHash::from_bytes([7; 32]),
            vec![(0, None), (1, Some(bob))],
        );
        said.kept((EPOCH, 0), 2, T);
        said.kept((EPOCH, 1), 1, T);
        let receipts = said.tell(|_| Some(4), T);
        let numbers = |r: &Receipt| (r.held_by, r.keepers, r.delivered, r.of);
        assert_eq!(
            receipts.iter().map(numbers).collect::<Vec<_>>(),
            [(2, 2, 0, 3), (2, 2, 0, 1)]
        );
        said.kept((EPOCH, 0), 1, T);
        assert!(told(&mut said).is_empty());
        said.mark(bob, &mark(1, 1, 0, 0), T);
        assert_eq!(told(&mut said), [(3, 1, 0, 3), (3, 1, 0, 1)]);
    }

    #[test]
    fn of_a_direct_message_its_reader_alone_counts() {
        let mut said = Said::default();
        let [alice, bob] = [1, 2].map(|byte| IdentityKey::from_bytes([byte; 32]));
        said.sealed(
            (EPOCH, 0),
            FrameHash::from_bytes([7; 32]),
            vec![(0, None), (1, Some(bob))],
        );
        said.mark(alice, &mark(1, 1, 0, 1), T);
        assert_eq!(told(&mut said), [(1, 1, 1, 3)]);
        said.mark(bob, &mark(1, 1, 0, 0), T);
        assert_eq!(told(&mut said), [(2, 2, 1, 3), (1, 1, 0, 1)]);
        said.mark(bob, &mark(1, 1, 0, 1), T);
        assert_eq!(told(&mut said), [(2, 2, 2, 3), (1, 1, 1, 1)]);
    }

    #[test]
    fn a_burst_is_told_in_portions_and_what_is_old_is_not_followed() {
        let mut said = Said::default();
        for counter in 0..2_000 {
            said.sealed((EPOCH, counter), FrameHash::from_bytes([7; 32]), vec![(0, None)]);
        }
        assert_eq!(said.frames.len(), MAX_TRACKED);
        said.mark(IdentityKey::from_bytes([1; 32]), &mark(2_000, 2_000, 0, 0), T);
        let mut all = 0;
        while said.is_due(RECEIPT_TELL) {
            let some = told(&mut said).len();
            assert!(some <= RECEIPTS_AT_ONCE);
            all += some;
        }
        assert_eq!(all, MAX_TRACKED);
    }
}
