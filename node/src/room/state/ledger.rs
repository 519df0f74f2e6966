//! What was written, so that only what differs is written again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use snug_crypto::frame::{OpenedFrame, ParentRef};
use snug_crypto::ids::{EpochId, FrameHash, IdentityKey, LeafId, OperationHash};
use snug_crypto::rest::{self, OwnAtRest, RestBytes};
use snug_crypto::wire::Writer;

use super::generations::GenerationsLedger;
use super::words::WordsLedger;
use super::{
    ALIVE, ANNOUNCEMENT, BOX, CHAIN, Change, EPOCH, FORK, FRAME, GRAVE, HELD, LEAF, OPERATION, OWN, QUEUED, RECORD,
    TIPS, UNHELD, epoch_key, key, pending_key, wall,
};
use crate::room::{Now, Phase, Room};

/// How far the stored moment of our last sign of life may lag: an absence is counted from it.
const ALIVE_EVERY: Duration = Duration::from_secs(600);
/// Frames that the front end may still confirm: more than the engine holds messages for it. Beyond, the oldest counts as missed.
const MAX_UNTOLD: usize = 10_240;
/// Frames that it missed and that stay in the vault for later runs; beyond, the oldest is lost to the user: some 16 MiB of ordinary talk.
const MAX_MISSED: usize = 16_384;

/// What stands in the vault, as far as it takes to see what differs.
#[derive(Default)]
pub(in crate::room) struct Ledger {
    /// Off for a room that rests nowhere.
    pub(super) on: bool,
    /// What stands there is of no use.
    anew: bool,
    pub(super) records: BTreeMap<IdentityKey, [u8; 32]>,
    pub(super) leaves: BTreeSet<LeafId>,
    pub(super) operations: BTreeSet<OperationHash>,
    pub(super) generations: GenerationsLedger,
    pub(super) words: WordsLedger,
    /// Announcements, and how many boxes of each.
    pub(super) known: BTreeMap<EpochId, BTreeSet<LeafId>>,
    pub(super) held: BTreeSet<EpochId>,
    pub(super) graves: BTreeSet<EpochId>,
    /// By frame, whether it was handed on.
    pub(super) pending: BTreeMap<FrameHash, bool>,
    pub(super) queued: BTreeSet<u64>,
    /// The first message that was never looked at.
    pub(super) next_queued: u64,
    pub(super) unheld: BTreeSet<(EpochId, u64)>,
    pub(super) own: Option<RestBytes>,
    pub(super) tips: Vec<ParentRef>,
    pub(super) alive: Option<Duration>,
    looked_at: Option<(u64, u64, usize)>,
    /// Frames whose messages were handed on, until the front end says that it has shown them: each one's messages have the serials after
    /// the one up to the other.
    untold: VecDeque<((u64, u64), FrameHash)>,
    /// What was handed on since the last look, or waits for the front end, and whether the user may have seen it.
    fresh: Vec<(EpochId, OpenedFrame, bool)>,
    /// Frames that need no showing any more, since the last look.
    settled: Vec<FrameHash>,
    /// Frames that the front end missed, and of which it will say nothing more in this run: they stay in the vault.
    missed: VecDeque<FrameHash>,
    next_serial: u64,
}

impl Ledger {
    pub(in crate::room) fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// What is stored is forgotten with the first commit.
    pub(super) fn begin_anew(&mut self) {
        *self = Self {
            anew: true,
            ..Self::new(self.on)
        };
    }

    /// Numbers for so many messages of a frame; gives the last one. The front end confirms numbers.
    pub(in crate::room) fn number(&mut self, messages: u64) -> u64 {
        self.next_serial += messages;
        self.next_serial
    }

    /// A frame's messages are handed on, under the numbers after the one up to the other.
    pub(in crate::room) fn handed_on(&mut self, serials: (u64, u64), epoch: EpochId, frame: OpenedFrame) {
        if !self.on {
            return;
        }
        self.untold.push_back((serials, frame.hash));
        self.fresh.push((epoch, frame, true));
        if self.untold.len() > MAX_UNTOLD
            && let Some((_, frame)) = self.untold.pop_front()
        {
            self.keep_for_later(frame);
        }
    }

    /// A frame waits for the front end.
    pub(in crate::room) fn wait(&mut self, epoch: EpochId, frame: OpenedFrame, again: bool) {
        self.fresh.push((epoch, frame, again));
    }

    /// Whether there is anything that things can rest in.
    pub(in crate::room) fn rests(&self) -> bool {
        self.on
    }

    /// Some of the numbers after the one up to the other never come to the user in this run: the frames that they belong to are handed on
    /// again in the next, whole.
    pub(in crate::room) fn missed(&mut self, after: u64, to: u64) {
        let first = self.untold.partition_point(|((_, last), _)| *last <= after);
        let end = self.untold.partition_point(|((before, _), _)| *before < to).max(first);
        let missed: Vec<FrameHash> = self.untold.drain(first..end).map(|(_, frame)| frame).collect();
        missed.into_iter().for_each(|frame| self.keep_for_later(frame));
    }

    /// The user has seen everything up to this number that was not missed.
    pub(in crate::room) fn told(&mut self, serial: u64) {
        while let Some((_, frame)) = self.untold.pop_front_if(|((_, last), _)| *last <= serial) {
            self.settled.push(frame);
        }
    }

    /// A frame stays in the vault, and nothing more is heard of it in this run.
    pub(in crate::room) fn keep_for_later(&mut self, frame: FrameHash) {
        self.missed.push_back(frame);
        if self.missed.len() > MAX_MISSED
            && let Some(oldest) = self.missed.pop_front()
        {
            self.settled.push(oldest);
        }
    }

    /// A frame's contents need no showing.
    pub(in crate::room) fn settled(&mut self, frame: FrameHash) {
        if self.on {
            self.settled.push(frame);
        }
    }
}

impl Room {
    /// What has to be on disk before anything of this batch leaves.
    pub(in crate::room) fn changes(&mut self, now: Now) -> Vec<Change> {
        let (fresh, dropped) = self.delivery.take_journal();
        let sent = self.outbox.take_gone();
        if !self.ledger.on {
            return Vec::new();
        }
        let mut changes = Changes::default();
        if matches!(self.phase, Phase::Left | Phase::Over) {
            // A room that is no more leaves nothing behind.
            self.ledger.on = false;
            changes.forget(Vec::new());
            return changes.0;
        }
        if std::mem::take(&mut self.ledger.anew) {
            changes.forget(Vec::new());
        }
        self.note_members(&mut changes);
        self.note_generations(&mut changes);
        self.note_words(&mut changes);
        self.note_epochs(now, &mut changes);
        for (epoch, leaf, counter) in fresh {
            let at = key(FRAME, &[epoch.as_bytes(), leaf.as_bytes(), &counter.to_be_bytes()]);
            if let Some((bytes, hash, since)) = self.delivery.kept(&(epoch, leaf, counter)) {
                let mut value = Writer::with_capacity(8 + 32 + bytes.len());
                value.u64(wall(now, since)).raw(hash.as_bytes()).raw(bytes);
                changes.put(at, value);
            }
            // A chain moves with each frame, and with nothing else.
            if let Some(chain) = self
                .epochs
                .held_epoch(&epoch)
                .and_then(|epoch| epoch.chain_at_rest(&leaf))
            {
                changes.put_bytes(epoch_key(&epoch, CHAIN, Some(&leaf)), chain.encode());
            }
        }
        for (epoch, leaf, counter) in dropped {
            changes.forget(key(FRAME, &[epoch.as_bytes(), leaf.as_bytes(), &counter.to_be_bytes()]));
        }
        self.note_pending(&mut changes);
        for ((who, epoch, counter), fork) in self.audit.take_fresh() {
            let mut value = Writer::with_capacity(72);
            fork.frames.iter().for_each(|frame| {
                value.raw(frame.as_bytes());
            });
            value.u64(fork.at_ms);
            changes.put(
                key(FORK, &[who.as_bytes(), epoch.as_bytes(), &counter.to_be_bytes()]),
                value,
            );
        }
        self.note_outbox(sent, now, &mut changes);
        self.note_own(&mut changes);
        self.note_pairs(now, &mut changes);
        let quiet = |alive: Duration| now.elapsed.saturating_sub(alive) < ALIVE_EVERY;
        if !self.ledger.alive.is_some_and(quiet) || self.phase == Phase::Offline {
            self.ledger.alive = Some(now.elapsed);
            let mut value = Writer::new();
            value.u64(now.unix_ms);
            changes.put(vec![ALIVE], value);
        }
        changes.0
    }

    fn note_members(&mut self, changes: &mut Changes) {
        let state = (
            self.members.version(),
            self.epochs.version(),
            self.members.leaves_known(),
        );
        let ledger = &mut self.ledger;
        if ledger.looked_at != Some(state) {
            ledger.looked_at = Some(state);
            let mut gone: BTreeSet<IdentityKey> = ledger.records.keys().copied().collect();
            for (record, digest, equivocated) in self.members.stored() {
                let identity = record.identity();
                gone.remove(&identity);
                if ledger.records.insert(identity, *digest) != Some(*digest) {
                    let mut value = Writer::new();
                    value.bool(equivocated).raw(&record.encode());
                    changes.put(key(RECORD, &[identity.as_bytes()]), value);
                }
            }
            for identity in gone {
                ledger.records.remove(&identity);
                changes.forget(key(RECORD, &[identity.as_bytes()]));
            }
            let superseded: BTreeMap<LeafId, _> = self.members.superseded().map(|leaf| (leaf.id(), leaf)).collect();
            for (id, leaf) in &superseded {
                if ledger.leaves.insert(*id) {
                    let mut value = Writer::new();
                    value.raw(&leaf.encode());
                    changes.put(key(LEAF, &[id.as_bytes()]), value);
                }
            }
            ledger.leaves.retain(|id| {
                let stays = superseded.contains_key(id);
                if !stays {
                    changes.forget(key(LEAF, &[id.as_bytes()]));
                }
                stays
            });
        }
        if !ledger.operations.iter().eq(self.authority.hashes()) {
            ledger.operations.retain(|hash| {
                let stays = self.authority.contains(hash);
                if !stays {
                    changes.forget(key(OPERATION, &[hash.as_bytes()]));
                }
                stays
            });
            for (hash, operation) in self.authority.iter() {
                if ledger.operations.insert(*hash) {
                    let mut value = Writer::new();
                    value.raw(&operation.encode());
                    changes.put(key(OPERATION, &[hash.as_bytes()]), value);
                }
            }
        }
    }

    fn note_epochs(&mut self, now: Now, changes: &mut Changes) {
        let ledger = &mut self.ledger;
        let mut gone: BTreeSet<EpochId> = ledger.known.keys().copied().collect();
        for (id, known) in self.epochs.announcements() {
            gone.remove(id);
            let boxes = ledger.known.entry(*id).or_insert_with(|| {
                let announcement = &known.announcement;
                let mut value = Writer::new();
                value.u64(wall(now, known.since)).lp(&announcement.encode());
                // Of a large epoch the announcement doesn't list them.
                value.list(announcement.members(), |w, member| {
                    w.raw(member.leaf.as_bytes())
                        .u32(member.incarnation)
                        .raw(&member.kem_hash);
                });
                changes.put(epoch_key(id, ANNOUNCEMENT, None), value);
                BTreeSet::new()
            });
            if boxes.len() < known.boxes.len() {
                for (leaf, sealed) in &known.boxes {
                    if boxes.insert(*leaf) {
                        let mut value = Writer::new();
                        value.raw(&sealed.encode());
                        changes.put(epoch_key(id, BOX, Some(leaf)), value);
                    }
                }
            }
        }
        for (id, held) in self.epochs.all_held() {
            if !ledger.held.insert(*id) {
                continue;
            }
            let epoch = held.epoch.at_rest();
            let mut value = Writer::with_capacity(8 + epoch.encode().len());
            value.u64(wall(now, held.since)).raw(&epoch.encode());
            changes.put(epoch_key(id, HELD, None), value);
            for leaf in epoch.members() {
                if let Some(chain) = held.epoch.chain_at_rest(leaf) {
                    changes.put_bytes(epoch_key(id, CHAIN, Some(leaf)), chain.encode());
                }
            }
        }
        for id in gone {
            ledger.known.remove(&id);
            ledger.held.remove(&id);
            changes.forget(key(EPOCH, &[id.as_bytes()]));
        }
        if ledger.graves.len() != self.epochs.graves().count() {
            let graves: BTreeSet<EpochId> = self.epochs.graves().copied().collect();
            for id in graves.difference(&ledger.graves) {
                let mut value = Writer::new();
                value.u64(now.unix_ms);
                changes.put(key(GRAVE, &[id.as_bytes()]), value);
            }
            for id in ledger.graves.difference(&graves) {
                changes.forget(key(GRAVE, &[id.as_bytes()]));
            }
            ledger.graves = graves;
        }
    }

    /// Frames whose keys are used up, and whose contents the user may not have seen.
    fn note_pending(&mut self, changes: &mut Changes) {
        let ledger = &mut self.ledger;
        let waiting = self
            .timeline
            .waiting()
            .map(|arrived| (&arrived.epoch, &arrived.frame, arrived.again));
        let fresh = std::mem::take(&mut ledger.fresh);
        let fresh = fresh.iter().map(|(epoch, frame, handed_on)| (epoch, frame, *handed_on));
        for (epoch, frame, handed_on) in waiting.chain(fresh) {
            if ledger.pending.insert(frame.hash, handed_on) != Some(handed_on) {
                let opened = rest::encode_opened(epoch, frame);
                let mut value = Writer::with_capacity(1 + opened.len());
                value.bool(handed_on).raw(&opened);
                changes.put(pending_key(&frame.hash), value);
            }
        }
        for hash in ledger.settled.drain(..) {
            if ledger.pending.remove(&hash).is_some() {
                changes.forget(pending_key(&hash));
            }
        }
        let tips = self.timeline.tips();
        if tips != ledger.tips {
            changes.put_bytes(vec![TIPS], rest::encode_parents(&tips));
            ledger.tips = tips;
        }
    }

    /// What waits to be sent, and what was sent and may have reached nobody. What leaves within this share of a second isn't kept on its
    /// way: nobody was told that it is sent, and the frame is kept before it leaves.
    fn note_outbox(&mut self, sent: Vec<u64>, now: Now, changes: &mut Changes) {
        let ledger = &mut self.ledger;
        for number in sent {
            if ledger.queued.remove(&number) {
                changes.forget(key(QUEUED, &[&number.to_be_bytes()]));
            }
        }
        if !self.outbox.pacer.holds() || self.outbox.repeats_from(ledger.next_queued) {
            for (number, since, content) in self.outbox.queued_from(ledger.next_queued) {
                let contents = rest::encode_contents(std::slice::from_ref(content));
                let mut value = Writer::with_capacity(8 + contents.len());
                value.u64(wall(now, since)).raw(&contents);
                changes.put(key(QUEUED, &[&number.to_be_bytes()]), value);
                ledger.queued.insert(number);
            }
            ledger.next_queued = self.outbox.next_number();
        }
        if !self.outbox.take_changed() {
            return;
        }
        let mut gone = std::mem::take(&mut ledger.unheld);
        for (at, unheld) in self.outbox.unheld() {
            if !gone.remove(at) {
                let contents = rest::encode_contents(&unheld.contents);
                let mut value = Writer::with_capacity(32 + contents.len());
                value.raw(unheld.hash.as_bytes()).raw(&contents);
                changes.put(key(UNHELD, &[at.0.as_bytes(), &at.1.to_be_bytes()]), value);
            }
            ledger.unheld.insert(*at);
        }
        for at in gone {
            changes.forget(key(UNHELD, &[at.0.as_bytes(), &at.1.to_be_bytes()]));
        }
    }

    fn note_own(&mut self, changes: &mut Changes) {
        // Before the first leaf there is nothing that anybody knows us by.
        if self.own.leaf_id().is_none() || !self.own.take_changed() {
            return;
        }
        let own = OwnAtRest::new(self.own.incarnation(), self.own.secrets(), self.own.old_kems()).encode();
        if self.ledger.own.as_ref() != Some(&own) {
            changes.put_bytes(vec![OWN], own.clone());
            self.ledger.own = Some(own);
        }
    }
}

/// Changes on their way out.
#[derive(Default)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    pub(super) fn put(&mut self, key: Vec<u8>, value: Writer) {
        self.put_bytes(key, RestBytes::new(value.finish()));
    }

    pub(super) fn put_bytes(&mut self, key: Vec<u8>, value: RestBytes) {
        self.0.push(Change {
            key,
            value: Some(value),
        });
    }

    pub(super) fn forget(&mut self, key: Vec<u8>) {
        self.0.push(Change { key, value: None });
    }
}
