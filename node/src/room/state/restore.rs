//! Taking a room up again where it was.
//!
//! Nothing stored is worth more than the room's own rules: what can't be understood is left out, and then fetched again from others. If
//! our own leaf is not among what was stored, or expired meanwhile, we come in as somebody who lost their state: with a new incarnation.
//! What doesn't hang on our leaf is taken up all the same: the authority log and the generations, which nobody else may hold, and what
//! waits to be sent.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use snug_crypto::epoch::{MemberEntry, SealedBox, UnverifiedAnnouncement};
use snug_crypto::frame::{Epoch, OpenedFrame};
use snug_crypto::ids::{EpochId, FrameHash, IdentityKey, LeafId};
use snug_crypto::leaf::{Record, UnverifiedRecord};
use snug_crypto::operation::UnverifiedOperation;
use snug_crypto::rest::{self, ChainAtRest, EpochAtRest, OwnAtRest};
use snug_crypto::wire::{DecodeError, Reader};

use super::{
    ALIVE, ANNOUNCEMENT, BOX, CHAIN, EPOCH, FORK, FORMER_KEM, FRAME, GENERATION, GRAVE, HELD, LEAF, OPERATION, OWN,
    PAIR, PENDING, QUEUED, RECORD, Stored, TIPS, UNHELD, decode_pending, moment,
};
use crate::room::outbox::{Unheld, messages_among};
use crate::room::timeline::in_causal_order;
use crate::room::{Fork, Now, Room, RoomConfig};

/// Members of an epoch, and boxes kept of it, at most.
const MAX_MEMBERS: usize = snug_crypto::bounds::MAX_MEMBERS;
/// Largest encoded announcement.
const MAX_ANNOUNCEMENT: usize = 64 * 1024;

/// A key without its letter, and the value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// What was stored, sorted by what it is.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    kinds: BTreeMap<u8, Vec<Pair<'a>>>,
}

impl<'a> Sorted<'a> {
    fn new(stored: &'a [Stored]) -> Self {
        let mut sorted = Self::default();
        for (key, value) in stored {
            if let Some((kind, rest)) = key.split_first() {
                sorted.kinds.entry(*kind).or_default().push((rest, value));
            }
        }
        sorted
    }

    pub(super) fn of(&self, kind: u8) -> impl Iterator<Item = Pair<'a>> + '_ {
        self.kinds.get(&kind).into_iter().flatten().copied()
    }

    pub(super) fn one(&self, kind: u8) -> Option<&'a [u8]> {
        self.of(kind).next().map(|(_, value)| value)
    }
}

impl Room {
    /// A room as it was when `stored` was written: what [`super::super::Output::Persist`] said, under the keys it gave. `false` if we come
    /// in anew, because there was nothing stored, or our membership ended meanwhile.
    pub fn restore(config: RoomConfig, stored: &[Stored], now: Now, rng: StdRng) -> (Self, bool) {
        let sorted = Sorted::new(stored);
        let mut room = Self::new(config, now, rng);
        room.take_up_log(&sorted);
        let resumed = room.take_up(&sorted, now);
        if resumed.is_none() && !stored.is_empty() {
            tracing::info!("what was stored of our place in this room is no longer of use; it is entered anew");
            room.take_up_without_leaf(&sorted, now);
            // With the first commit, in which what was taken up is written again.
            room.ledger.begin_anew();
        }
        (room, resumed.is_some())
    }

    /// Before all else: it says how long a leaf lives.
    fn take_up_log(&mut self, sorted: &Sorted<'_>) {
        for (_, value) in sorted.of(OPERATION) {
            let operation = UnverifiedOperation::decode(value).ok();
            if let Some(operation) = operation.and_then(|operation| operation.verify(&self.genesis).ok()) {
                self.ledger.operations.insert(operation.hash());
                self.authority.insert_verified(operation, &self.genesis);
            }
        }
        self.tend_rules();
    }

    /// Whoever was never in the room, or for too long, still has what it signed, and what it wrote and nobody has.
    fn take_up_without_leaf(&mut self, sorted: &Sorted<'_>, now: Now) {
        self.take_up_approvals(sorted);
        self.take_up_generations(sorted.of(GENERATION), now);
        self.take_up_outbox(sorted, now);
        self.outbox.requeue_all();
    }

    /// `None` leaves the room as it was.
    fn take_up(&mut self, sorted: &Sorted<'_>, now: Now) -> Option<()> {
        let own = OwnAtRest::decode(sorted.one(OWN)?).ok()?;
        let alive_ms = Reader::new(sorted.one(ALIVE)?).u64().ok()?;
        let records: Vec<(Record, bool)> = sorted
            .of(RECORD)
            .filter_map(|(_, value)| {
                let (equivocated, record) = value.split_first()?;
                Some((self.trusted(record)?, *equivocated == 1))
            })
            .collect();
        let mine = records.iter().find(|(record, _)| record.identity() == self.me)?;
        let Record::Leaf(leaf) = &mine.0 else { return None };
        let is_ours = leaf.incarnation() == own.incarnation() && *leaf.key() == own.secrets().signing.public();
        if !is_ours || self.members.is_expired(leaf, now.unix_ms) {
            return None;
        }
        self.own.resume(&own, leaf);
        self.ledger.own = Some(own.encode());
        self.catching_up.begin(now.elapsed);

        for (record, equivocated) in records {
            let (identity, digest) = self.members.restore(record, equivocated);
            self.ledger.records.insert(identity, digest);
        }
        for (_, value) in sorted.of(LEAF) {
            if let Some(Record::Leaf(leaf)) = self.trusted(value) {
                self.ledger.leaves.insert(leaf.id());
                self.members.restore_leaf(leaf);
            }
        }
        self.take_up_words(sorted);
        self.take_up_epochs(sorted, now, alive_ms);
        self.take_up_generations(sorted.of(GENERATION), now);
        self.take_up_frames(sorted, now);
        self.take_up_outbox(sorted, now);
        self.take_up_pairs(sorted.of(PAIR), sorted.of(FORMER_KEM), now, alive_ms);
        for (who, fork) in sorted.of(FORK).filter_map(|(key, value)| fork_at_rest(key, value)) {
            self.audit.restore(who, fork);
        }
        Some(())
    }

    fn trusted(&self, record: &[u8]) -> Option<Record> {
        let record = UnverifiedRecord::decode(record).ok()?;
        Some(record.danger_trust(&self.genesis_hash))
    }

    fn take_up_epochs(&mut self, sorted: &Sorted<'_>, now: Now, alive_ms: u64) {
        // Time away doesn't count: what we could read when we went, we can still catch up with.
        let away = now.unix_ms.saturating_sub(alive_ms);
        let since = |at_ms: u64| moment(now, at_ms.saturating_add(away));
        let mut held = BTreeMap::new();
        let mut chains: BTreeMap<(EpochId, LeafId), &[u8]> = BTreeMap::new();
        let mut boxes: BTreeMap<EpochId, Vec<SealedBox>> = BTreeMap::new();
        for (id, what, rest, value) in sorted.of(EPOCH).filter_map(|(key, value)| {
            let (id, rest) = key.split_first_chunk::<32>()?;
            let (what, rest) = rest.split_first()?;
            Some((EpochId::from_bytes(*id), *what, rest, value))
        }) {
            match what {
                HELD => drop(held.insert(id, value)),
                CHAIN => {
                    if let Ok(leaf) = rest.try_into() {
                        chains.insert((id, LeafId::from_bytes(leaf)), value);
                    }
                }
                BOX => {
                    if let Ok(sealed) = SealedBox::decode(value) {
                        boxes.entry(id).or_default().push(sealed);
                    }
                }
                ANNOUNCEMENT => {
                    if let Some((announcement, at_ms)) = self.announcement(value) {
                        self.epochs.add(announcement, since(at_ms));
                    }
                }
                _ => {}
            }
        }
        for (id, boxes) in boxes {
            if let Some(known) = self.epochs.known_mut(&id) {
                known.boxes = boxes.into_iter().map(|sealed| (sealed.leaf, sealed)).collect();
            }
        }
        let known: Vec<_> = (self.epochs.announcements())
            .map(|(id, known)| (*id, known.boxes.keys().copied().collect()))
            .collect();
        self.ledger.known.extend(known);
        for (id, value) in held {
            let mut reader = Reader::new(value);
            let Ok(at_ms) = reader.u64() else { continue };
            let Ok(stored) = EpochAtRest::decode(reader.rest()) else {
                continue;
            };
            let chain = |leaf: &LeafId| ChainAtRest::decode(chains.get(&(id, *leaf))?).ok();
            // Without its announcement it would be no candidate, and never be erased.
            if let (Ok(epoch), true) = (Epoch::restore(stored, chain), self.epochs.known(&id).is_some()) {
                self.resume_delivery(&epoch);
                self.epochs.hold(epoch, since(at_ms));
                self.ledger.held.insert(id);
            }
        }
        let mut graves: Vec<(u64, EpochId)> = sorted
            .of(GRAVE)
            .filter_map(|(key, value)| {
                Some((
                    Reader::new(value).u64().ok()?,
                    EpochId::from_bytes(key.try_into().ok()?),
                ))
            })
            .collect();
        graves.sort_unstable();
        for (_, id) in graves {
            self.epochs.restore_grave(id);
            self.ledger.graves.insert(id);
        }
    }

    /// What has arrived in an epoch follows from its chains.
    fn resume_delivery(&mut self, epoch: &Epoch) {
        for leaf in epoch.at_rest().members() {
            if let Some(progress) = epoch.progress(leaf).filter(|progress| progress.next > 0) {
                self.delivery
                    .resume(epoch.id(), *leaf, progress.next, &progress.missing);
            }
        }
    }

    fn announcement(&self, value: &[u8]) -> Option<(snug_crypto::epoch::Announcement, u64)> {
        let read = || -> Result<_, DecodeError> {
            let mut reader = Reader::new(value);
            let at_ms = reader.u64()?;
            let announcement = UnverifiedAnnouncement::decode(reader.lp("announcement", MAX_ANNOUNCEMENT)?)?;
            let members = reader.list("members", MAX_MEMBERS, |r| {
                Ok(MemberEntry {
                    leaf: LeafId::from_bytes(r.array()?),
                    incarnation: r.u32()?,
                    kem_hash: r.array()?,
                })
            })?;
            reader.finish()?;
            Ok((announcement, members, at_ms))
        };
        let (announcement, members, at_ms) = read().ok()?;
        let announcement = announcement.with_members(members).ok()?;
        let leaf_key = |leaf| self.members.leaf(&leaf).map(|leaf| *leaf.key());
        Some((announcement.verify(&self.genesis_hash, leaf_key).ok()?, at_ms))
    }

    fn take_up_frames(&mut self, sorted: &Sorted<'_>, now: Now) {
        let mut pending: Vec<(bool, EpochId, OpenedFrame)> = sorted
            .of(PENDING)
            .filter_map(|(_, value)| decode_pending(value))
            .collect();
        for (handed_on, _, frame) in &pending {
            self.ledger.pending.insert(frame.hash, *handed_on);
        }
        // Those that were on their way to the user come first, in the order in which they were sent. All are fetched from where they stand,
        // as what a front end couldn't take is: there may be more than it takes at once, and what comes in this run comes behind them.
        pending.sort_by_key(|(handed_on, _, frame)| (!handed_on, frame.counter));
        for (_, epoch, frame) in in_causal_order(pending) {
            self.note_arrived(epoch, &frame, now);
            self.timeline.was_shown(frame.hash);
            self.park(frame.hash);
        }
        let mut kept = Vec::new();
        for (key, value) in sorted.of(FRAME) {
            let read = || -> Result<_, DecodeError> {
                let mut key = Reader::new(key);
                let at = (
                    EpochId::from_bytes(key.array()?),
                    LeafId::from_bytes(key.array()?),
                    key.u64()?,
                );
                let mut value = Reader::new(value);
                Ok((value.u64()?, at, FrameHash::from_bytes(value.array()?), value.rest()))
            };
            if let Ok(frame) = read() {
                kept.push(frame);
            }
        }
        kept.sort_unstable_by_key(|(at_ms, (_, _, counter), ..)| (*at_ms, *counter));
        for (at_ms, at, hash, bytes) in kept {
            self.delivery.restore(at, hash, bytes.to_vec(), moment(now, at_ms));
            if !self.ledger.pending.contains_key(&hash) {
                self.timeline.was_shown(hash);
            }
        }
        if let Some(tips) = sorted.one(TIPS).and_then(|value| rest::decode_parents(value).ok()) {
            for tip in &tips {
                if !self.ledger.pending.contains_key(&tip.hash) {
                    self.timeline.was_shown(tip.hash);
                }
            }
            self.timeline.restore_tips(&tips);
            self.ledger.tips = tips;
        }
    }

    fn take_up_outbox(&mut self, sorted: &Sorted<'_>, now: Now) {
        for (key, value) in sorted.of(QUEUED) {
            let mut reader = Reader::new(value);
            let (Ok(number), Ok(at_ms)) = (key.try_into().map(u64::from_be_bytes), reader.u64()) else {
                continue;
            };
            let content = rest::decode_contents(reader.rest()).ok();
            if let Some(content) = content.and_then(|contents| contents.into_iter().next()) {
                self.outbox.restore(number, content, moment(now, at_ms));
                self.ledger.queued.insert(number);
                self.ledger.next_queued = self.ledger.next_queued.max(number + 1);
            }
        }
        for (key, value) in sorted.of(UNHELD) {
            let (mut key, mut value) = (Reader::new(key), Reader::new(value));
            let (Ok(epoch), Ok(counter), Ok(hash)) = (key.array(), key.u64(), value.array()) else {
                continue;
            };
            if let Ok(contents) = rest::decode_contents(value.rest()) {
                let at = (EpochId::from_bytes(epoch), counter);
                let alone = self.epochs.is_ours_alone(&at.0);
                let hash = FrameHash::from_bytes(hash);
                self.said.sealed(at, hash, messages_among(&contents));
                self.outbox.restore_unheld(at, Unheld { contents, hash, alone });
                self.ledger.unheld.insert(at);
            }
        }
    }
}

/// A fork that was found, and whose.
fn fork_at_rest(key: &[u8], value: &[u8]) -> Option<(IdentityKey, Fork)> {
    let mut key = Reader::new(key);
    let who = IdentityKey::from_bytes(key.array().ok()?);
    let (epoch, counter) = (EpochId::from_bytes(key.array().ok()?), key.u64().ok()?);
    let mut value = Reader::new(value);
    let frames = [value.array().ok()?, value.array().ok()?].map(FrameHash::from_bytes);
    let at_ms = value.u64().ok()?;
    Some((
        who,
        Fork {
            epoch,
            counter,
            frames,
            at_ms,
        },
    ))
}
