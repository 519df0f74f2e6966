//! How far we have got with each author's frames, and whom to tell of it when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use snug_crypto::direct::ReceiptMark;
use snug_crypto::ids::{EpochId, LeafId, PeerKey};

use crate::room::timing::{RECEIPT_PACE, RECEIPT_WAIT};

/// An epoch, and an author in it.
type Line = (EpochId, LeafId);

/// Blocks that one author's open frames are kept in: when there are more, neighbours join, and the mark rises in larger steps.
const MAX_BLOCKS: usize = 64;

/// What of others' frames the user has not been shown, or has not read.
#[derive(Default)]
pub(in crate::room) struct Heard {
    /// Whether others are told what the user reads.
    reads: bool,
    lines: BTreeMap<Line, Open>,
    /// Lines with something that the front end has not confirmed.
    untold: BTreeSet<Line>,
    /// By author, the epochs in which something is new.
    fresh: BTreeMap<LeafId, BTreeSet<EpochId>>,
    /// When somebody is to be told.
    due: Option<Duration>,
    /// When a peer may be told again.
    paces: BTreeMap<PeerKey, Duration>,
}

/// What is open of one author's frames in one epoch.
#[derive(Default)]
struct Open {
    /// The first that arrived in this run.
    first: Option<u64>,
    /// Opened, and not shown: they wait for their parents.
    waiting: BTreeSet<u64>,
    /// Handed to the front end, and not confirmed.
    untold: Blocks,
    /// Handed to the front end, and not read.
    unread: Blocks,
}

/// Some frames of one author.
#[derive(Clone, Copy)]
struct Block {
    /// The least counter.
    least: u64,
    /// Their messages have serials after this one.
    after: u64,
    /// The last of these; nothing reaches [`NEVER`].
    last: u64,
}

/// In place of the last serial of what was missed: it isn't shown in this run.
const NEVER: u64 = u64::MAX;

/// Frames in the order in which they were handed on.
#[derive(Default)]
struct Blocks(VecDeque<Block>);

impl Blocks {
    fn push(&mut self, block: Block) {
        self.0.push_back(block);
        if self.0.len() > MAX_BLOCKS {
            let blocks = self.0.make_contiguous();
            let join = |one: Block, other: &Block| Block {
                least: one.least.min(other.least),
                after: one.after.min(other.after),
                last: one.last.max(other.last),
            };
            self.0 = blocks.chunks(2).map(|pair| pair.iter().fold(pair[0], join)).collect();
        }
    }

    /// Everything up to this serial is done; returns whether that is news.
    fn pass(&mut self, serial: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|block| block.last > serial);
        self.0.len() != before
    }

    /// Something between these serials was missed. Of a block that reaches into them nothing is said any more: it may hold that.
    fn miss(&mut self, after: u64, to: u64) {
        for block in self.0.iter_mut().filter(|block| block.after < to && after < block.last) {
            block.last = NEVER;
        }
    }

    fn least(&self) -> Option<u64> {
        self.0.iter().map(|block| block.least).min()
    }
}

impl Heard {
    pub(in crate::room) fn new(reads: bool) -> Self {
        Self {
            reads,
            ..Self::default()
        }
    }

    pub(super) fn arrived(&mut self, line: Line, counter: u64, elapsed: Duration) {
        let open = self.lines.entry(line).or_default();
        open.first = Some(open.first.map_or(counter, |first| first.min(counter)));
        open.waiting.insert(counter);
        self.renew(line, elapsed);
    }

    /// It was handed on under the serials after the one up to the other, or needs no showing.
    pub(super) fn shown(&mut self, line: Line, counter: u64, serials: Option<(u64, u64)>, elapsed: Duration) {
        let open = self.lines.entry(line).or_default();
        open.waiting.remove(&counter);
        if let Some((after, last)) = serials {
            let least = counter;
            open.untold.push(Block { least, after, last });
            if self.reads {
                open.unread.push(Block { least, after, last });
            }
            self.untold.insert(line);
        }
        self.renew(line, elapsed);
    }

    /// What has serials after the one up to the other isn't shown in this run. Marks stop below it; the next run takes them on.
    pub(super) fn missed(&mut self, after: u64, to: u64) {
        for open in self.lines.values_mut() {
            open.untold.miss(after, to);
            open.unread.miss(after, to);
        }
    }

    pub(super) fn told(&mut self, serial: u64, elapsed: Duration) {
        for line in std::mem::take(&mut self.untold) {
            let Some(open) = self.lines.get_mut(&line) else {
                continue;
            };
            let news = open.untold.pass(serial);
            if !open.untold.0.is_empty() {
                self.untold.insert(line);
            }
            if news {
                self.renew(line, elapsed);
            }
        }
    }

    pub(super) fn read(&mut self, serial: u64, elapsed: Duration) {
        let read: Vec<Line> = (self.lines.iter_mut())
            .filter_map(|(line, open)| open.unread.pass(serial).then_some(*line))
            .collect();
        read.into_iter().for_each(|line| self.renew(line, elapsed));
    }

    /// The author of a line is to be told of it.
    pub(super) fn renew(&mut self, (epoch, author): Line, elapsed: Duration) {
        self.fresh.entry(author).or_default().insert(epoch);
        self.due.get_or_insert(elapsed + RECEIPT_WAIT);
    }

    /// Forgets all epochs but these.
    pub(super) fn keep(&mut self, epochs: &[EpochId]) {
        self.lines.retain(|(epoch, _), _| epochs.contains(epoch));
        self.untold.retain(|(epoch, _)| epochs.contains(epoch));
        for fresh in self.fresh.values_mut() {
            fresh.retain(|epoch| epochs.contains(epoch));
        }
        self.fresh.retain(|_, fresh| !fresh.is_empty());
    }

    pub(super) fn is_due(&self, elapsed: Duration) -> bool {
        self.due.is_some_and(|due| due <= elapsed)
    }

    pub(in crate::room) fn next_wake(&self) -> Option<Duration> {
        self.due
    }

    pub(super) fn due_at(&mut self, at: Option<Duration>) {
        self.due = at;
    }

    /// Authors with something new.
    pub(super) fn authors(&self) -> Vec<LeafId> {
        self.fresh.keys().copied().collect()
    }

    /// When a peer may be told again, if that is later.
    pub(super) fn next_to(&mut self, peer: &PeerKey, elapsed: Duration) -> Option<Duration> {
        self.paces.retain(|_, at| *at > elapsed);
        self.paces.get(peer).copied()
    }

    /// What an author is told of now.
    pub(super) fn take(&mut self, author: &LeafId, peer: PeerKey, elapsed: Duration) -> BTreeSet<EpochId> {
        self.paces.insert(peer, elapsed + RECEIPT_PACE);
        self.fresh.remove(author).unwrap_or_default()
    }

    /// How far we are; all below `held` was opened.
    pub(super) fn mark(&self, line: Line, held: u64) -> ReceiptMark {
        let open = self.lines.get(&line);
        let waiting = open.and_then(|open| open.waiting.first().copied());
        let untold = open.and_then(|open| open.untold.least());
        let unread = open.and_then(|open| open.unread.least());
        let below = |limit: u64, first: Option<u64>| first.map_or(limit, |first| limit.min(first));
        let delivered = below(below(held, waiting), untold);
        // What came in an earlier run was shown then, and nobody knows whether it was read.
        let first = open.and_then(|open| open.first).filter(|_| self.reads);
        let read = first.map_or(0, |_| below(delivered, unread));
        ReceiptMark {
            epoch: line.0,
            held,
            delivered,
            read_from: first.unwrap_or_default().min(read),
            read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = (EpochId::from_bytes([1; 32]), LeafId::from_bytes([2; 16]));
    const T: Duration = Duration::ZERO;

    fn numbers(heard: &Heard, held: u64) -> (u64, u64, u64) {
        let mark = heard.mark(LINE, held);
        (mark.delivered, mark.read_from, mark.read)
    }

    #[test]
    fn a_mark_stops_at_the_first_that_was_not_shown() {
        let mut heard = Heard::new(true);
        for counter in [5, 6, 7] {
            heard.arrived(LINE, counter, T);
        }
        assert_eq!(numbers(&heard, 8), (5, 5, 5));
        heard.shown(LINE, 5, Some((0, 1)), T);
        heard.shown(LINE, 6, None, T);
        heard.shown(LINE, 7, Some((1, 2)), T);
        assert_eq!(numbers(&heard, 8), (5, 5, 5));
        heard.told(1, T);
        assert_eq!(numbers(&heard, 8), (7, 5, 5));
        heard.told(2, T);
        heard.read(1, T);
        assert_eq!(numbers(&heard, 8), (8, 5, 7));
        heard.read(2, T);
        assert_eq!(numbers(&heard, 8), (8, 5, 8));
    }

    #[test]
    fn nothing_is_said_of_reading_where_it_is_switched_off_or_was_before_this_run() {
        let mut heard = Heard::new(false);
        heard.arrived(LINE, 0, T);
        heard.shown(LINE, 0, Some((0, 1)), T);
        heard.told(1, T);
        heard.read(1, T);
        assert_eq!(numbers(&heard, 1), (1, 0, 0));
        assert_eq!(numbers(&Heard::new(true), 9), (9, 0, 0));
    }

    #[test]
    fn what_was_missed_is_neither_shown_nor_read_whatever_comes_after() {
        const OTHER: Line = (LINE.0, LeafId::from_bytes([3; 16]));
        let mut heard = Heard::new(true);
        for counter in 0..9 {
            heard.arrived(LINE, counter, T);
            heard.shown(LINE, counter, Some((counter, counter + 1)), T);
        }
        heard.arrived(OTHER, 0, T);
        heard.shown(OTHER, 0, Some((9, 10)), T);
        heard.told(2, T);
        heard.missed(5, 7);
        heard.told(10, T);
        heard.read(10, T);
        assert_eq!(numbers(&heard, 9), (5, 0, 5));
        let other = heard.mark(OTHER, 1);
        assert_eq!(
            (other.delivered, other.read),
            (1, 1),
            "another author's are not concerned"
        );
    }

    #[test]
    fn a_block_with_something_missed_in_it_passes_no_more() {
        for missed in [0, 4_000, 9_999] {
            let mut heard = Heard::new(true);
            for counter in 0..10_000 {
                heard.arrived(LINE, counter, T);
                heard.shown(LINE, counter, Some((counter, counter + 1)), T);
            }
            heard.missed(missed, missed + 1);
            heard.told(10_000, T);
            heard.read(10_000, T);
            let (delivered, _, read) = numbers(&heard, 10_000);
            assert!(delivered <= missed && read <= missed, "{missed}: {delivered}, {read}");
        }
    }

    #[test]
    fn thousands_of_unread_frames_cost_a_few_blocks_and_are_never_overstated() {
        let mut heard = Heard::new(true);
        for counter in 0..10_000 {
            heard.arrived(LINE, counter, T);
            heard.shown(LINE, counter, Some((counter, counter + 1)), T);
        }
        assert!(heard.lines[&LINE].unread.0.len() <= MAX_BLOCKS);
        for serial in [1, 100, 5_000, 9_999] {
            heard.told(serial, T);
            heard.read(serial, T);
            let (delivered, from, read) = numbers(&heard, 10_000);
            assert!(
                delivered <= serial && read <= serial && from == 0,
                "{serial}: {delivered}, {read}"
            );
        }
        heard.told(10_000, T);
        heard.read(10_000, T);
        assert_eq!(numbers(&heard, 10_000), (10_000, 0, 10_000));
    }
}
