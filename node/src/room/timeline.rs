//! The order in which messages are shown: a frame waits for the frames its author had seen, but never for long.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use snug_crypto::frame::{OpenedFrame, ParentRef};
use snug_crypto::ids::{EpochId, FrameHash, LeafId};

use super::timing::{CAUSAL_HOLD, GAP_TOLD, MAX_PARENTS};

/// Hashes remembered of frames already shown: parents reach back a little, not for ever.
const REMEMBERED: usize = 8_192;
/// Frames that may wait for their parents; beyond, the oldest is shown as it stands.
const MAX_WAITING: usize = 512;

/// A frame that was opened and may have to wait.
pub(super) struct Arrived {
    pub(super) epoch: EpochId,
    pub(super) frame: OpenedFrame,
    /// Whether an earlier run was about to show it when it was killed.
    pub(super) again: bool,
}

/// A frame whose parents are not all shown.
struct Waiting {
    /// When it came.
    since: Duration,
    /// When it is shown regardless.
    until: Duration,
    unmet: BTreeSet<FrameHash>,
    arrived: Arrived,
}

impl Waiting {
    fn new(unmet: BTreeSet<FrameHash>, arrived: Arrived, elapsed: Duration) -> Self {
        Self {
            since: elapsed,
            until: elapsed + CAUSAL_HOLD,
            unmet,
            arrived,
        }
    }
}

/// Puts frames behind those of their parents that are among them, and each sender's in the order in which it sent them; else they stay in
/// their order.
pub(super) fn in_causal_order(frames: Vec<(bool, EpochId, OpenedFrame)>) -> Vec<(bool, EpochId, OpenedFrame)> {
    let at: HashMap<FrameHash, usize> = (frames.iter().enumerate())
        .map(|(index, (_, _, frame))| (frame.hash, index))
        .collect();
    let mut lines: BTreeMap<(EpochId, LeafId, u64), usize> = BTreeMap::new();
    for (index, (_, epoch, frame)) in frames.iter().enumerate() {
        lines.insert((*epoch, frame.sender, frame.counter), index);
    }
    let mut before: Vec<BTreeSet<usize>> = frames
        .iter()
        .map(|(_, _, frame)| {
            frame
                .parents
                .iter()
                .filter_map(|parent| at.get(&parent.hash).copied())
                .collect()
        })
        .collect();
    let mut last: Option<((EpochId, LeafId), usize)> = None;
    for ((epoch, sender, _), index) in lines {
        if let Some((line, previous)) = last
            && line == (epoch, sender)
        {
            before[index].insert(previous);
        }
        last = Some(((epoch, sender), index));
    }
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); frames.len()];
    for (index, before) in before.iter().enumerate() {
        before.iter().for_each(|before| behind[*before].push(index));
    }
    let mut unmet: Vec<usize> = before.iter().map(BTreeSet::len).collect();
    let mut ready: BTreeSet<usize> = (0..frames.len()).filter(|index| unmet[*index] == 0).collect();
    let mut frames: Vec<Option<_>> = frames.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(frames.len());
    while let Some(index) = ready.pop_first() {
        ordered.extend(frames[index].take());
        for next in &behind[index] {
            unmet[*next] -= 1;
            if unmet[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    // Somebody who signs may contradict himself: what is left names each other.
    ordered.extend(frames.into_iter().flatten());
    ordered
}

/// Causal order by the parents that frames name.
#[derive(Default)]
pub(super) struct Timeline {
    shown: HashSet<FrameHash>,
    order: VecDeque<FrameHash>,
    waiting: VecDeque<Waiting>,
    /// Frames that no later one names yet: the parents of the next one we send.
    tips: VecDeque<ParentRef>,
}

impl Timeline {
    /// Takes a frame in. `mine` says whether a parent's epoch is one that we hold: other parents count as met.
    /// Returns what can be shown now, in order.
    pub(super) fn insert(
        &mut self,
        arrived: Arrived,
        mine: impl Fn(&ParentRef) -> bool,
        elapsed: Duration,
    ) -> Vec<Arrived> {
        let unmet: BTreeSet<FrameHash> = arrived
            .frame
            .parents
            .iter()
            .filter(|parent| !self.shown.contains(&parent.hash) && mine(parent))
            .map(|parent| parent.hash)
            .collect();
        self.waiting.push_back(Waiting::new(unmet, arrived, elapsed));
        self.release(elapsed)
    }

    /// A frame came because we asked: what is missing is on its way, and what waits for it waits on, as long as more comes, but no longer than
    /// until the user is told of a gap.
    pub(super) fn pulled(&mut self, elapsed: Duration) {
        for waiting in &mut self.waiting {
            let until = (elapsed + CAUSAL_HOLD).min(waiting.since + GAP_TOLD);
            waiting.until = waiting.until.max(until);
        }
    }

    /// What is missing of these epochs can be told from the numbers of their frames, and is being fetched: what waits for it waits on, but no
    /// longer than until the user is told of a gap.
    pub(super) fn hold_on(&mut self, has_gap: impl Fn(&EpochId) -> bool) {
        for waiting in &mut self.waiting {
            if has_gap(&waiting.arrived.epoch) {
                waiting.until = waiting.until.max(waiting.since + GAP_TOLD);
            }
        }
    }

    /// What can be shown at this time: frames whose parents are all shown, or that waited long enough.
    pub(super) fn release(&mut self, elapsed: Duration) -> Vec<Arrived> {
        let mut ready = Vec::new();
        loop {
            let overfull = self.waiting.len() > MAX_WAITING;
            let Some(position) = self
                .waiting
                .iter()
                .position(|waiting| waiting.unmet.is_empty() || waiting.until <= elapsed || overfull)
            else {
                return ready;
            };
            let Some(Waiting { arrived, .. }) = self.waiting.remove(position) else {
                return ready;
            };
            self.show(arrived.frame.hash);
            ready.push(arrived);
        }
    }

    /// Notes a frame of our own: shown, and the only tip.
    pub(super) fn sent(&mut self, tip: ParentRef) {
        self.show(tip.hash);
        self.tips.clear();
        self.tips.push_back(tip);
    }

    /// Notes a frame as the latest of its line.
    pub(super) fn tip(&mut self, tip: ParentRef, parents: &[ParentRef]) {
        self.tips.retain(|known| !parents.contains(known));
        self.tips.push_back(tip);
        while self.tips.len() > MAX_PARENTS {
            self.tips.pop_front();
        }
    }

    /// The parents of the next frame.
    pub(super) fn tips(&self) -> Vec<ParentRef> {
        self.tips.iter().copied().collect()
    }

    /// Takes up the latest frames.
    pub(super) fn restore_tips(&mut self, tips: &[ParentRef]) {
        self.tips = tips.iter().copied().collect();
    }

    /// A frame that an earlier run showed.
    pub(super) fn was_shown(&mut self, hash: FrameHash) {
        self.show(hash);
    }

    /// Whether a frame is here, shown or waiting, or was shown not long ago.
    pub(super) fn knows(&self, hash: &FrameHash) -> bool {
        self.shown.contains(hash) || self.waiting().any(|arrived| arrived.frame.hash == *hash)
    }

    /// Frames that wait for their parents.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Arrived> {
        self.waiting.iter().map(|waiting| &waiting.arrived)
    }

    /// Whether some frame waits for a parent: something is missing.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When the next waiting frame is shown regardless.
    pub(super) fn next_release(&self) -> Option<Duration> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    fn show(&mut self, hash: FrameHash) {
        for waiting in &mut self.waiting {
            waiting.unmet.remove(&hash);
        }
        if self.shown.insert(hash) {
            self.order.push_back(hash);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.shown.remove(&oldest);
            }
        }
    }
}
