//! Who has what we said, and how far we have got with what others said (docs/PROTOCOL.md, "Receipts").
//!
//! Marks travel over links alone, from whoever heard to whoever spoke, paced: a word costs no frame. They are counters below which everything
//! is so; a member's word about itself.

mod heard;
mod said;

use std::time::Duration;

use snug_crypto::direct::{DirectRequest, EpochVector, ReceiptMark};
use snug_crypto::frame::OpenedFrame;
use snug_crypto::ids::{EpochId, IdentityKey, LeafId, MessageId, PeerKey};

use super::exchange::Question;
use super::timing::SYNC_EPOCHS;
use super::{Now, Room, RoomEvent};

pub(super) use heard::Heard;
pub(super) use said::Said;

/// How far a message of ours has got. Numbers of members of its epoch, ourselves not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The message.
    pub id: MessageId,
    /// Who keep its ciphertext for others: members, who have opened it, and keepers, who can't.
    pub held_by: usize,
    /// How many of these are keepers.
    pub keepers: usize,
    /// Whose users it was shown to.
    pub delivered: usize,
    /// Whose users have read it, as far as they tell.
    pub read: usize,
    /// All of them.
    pub of: usize,
}

impl Room {
    /// A frame of somebody else's was opened.
    pub(super) fn note_arrived(&mut self, epoch: EpochId, frame: &OpenedFrame, now: Now) {
        self.heard.arrived((epoch, frame.sender), frame.counter, now.elapsed);
    }

    /// What it says goes to the user, under the numbers after the one up to the other, or has nothing for the user.
    pub(super) fn note_shown(&mut self, epoch: EpochId, frame: &OpenedFrame, serials: Option<(u64, u64)>, now: Now) {
        self.heard
            .shown((epoch, frame.sender), frame.counter, serials, now.elapsed);
    }

    pub(super) fn on_missed(&mut self, after: u64, to: u64) {
        self.ledger.missed(after, to);
        self.heard.missed(after, to);
    }

    pub(super) fn on_told(&mut self, serial: u64, now: Now) {
        self.ledger.told(serial);
        self.heard.told(serial, now.elapsed);
    }

    pub(super) fn on_read(&mut self, serial: u64, now: Now) {
        self.heard.read(serial, now.elapsed);
    }

    /// Somebody can be told again how far we are: it has another peer, or another link.
    pub(super) fn mark_all_for(&mut self, identity: &IdentityKey, now: Now) {
        let linked = |room: &Self| {
            let leaf = room.members.current_leaf(identity)?;
            room.members.linked(&leaf.peer()).then_some(())
        };
        if linked(self).is_none() {
            return;
        }
        for epoch in self.epochs.latest_held(SYNC_EPOCHS) {
            for leaf in self.delivery.senders(&epoch) {
                if self
                    .members
                    .leaf(&leaf)
                    .is_some_and(|known| known.identity() == *identity)
                {
                    self.heard.renew((epoch, leaf), now.elapsed);
                }
            }
        }
    }

    /// Tells authors how far we are, and the user how far others are.
    pub(super) fn tend_receipts(&mut self, now: Now) {
        if self.heard.is_due(now.elapsed) {
            self.tell_authors(now);
        }
        // Numbers may skip: a front end that is behind hears of the newest later.
        if self.said.is_due(now.elapsed) && !self.parked.is_behind() {
            let members = |id: &EpochId| self.epochs.known(id).map(|known| known.announcement.members().len());
            for receipt in self.said.tell(members, now.elapsed) {
                self.event(RoomEvent::Receipt(receipt));
            }
        }
    }

    fn tell_authors(&mut self, now: Now) {
        let held = self.epochs.latest_held(SYNC_EPOCHS);
        self.heard.keep(&held);
        let mut later: Option<Duration> = None;
        for author in self.heard.authors() {
            let Some(peer) = self.peer_of(&author) else { continue };
            if let Some(at) = self.heard.next_to(&peer, now.elapsed) {
                later = Some(later.map_or(at, |later| later.min(at)));
                continue;
            }
            let marks: Vec<ReceiptMark> = (self.heard.take(&author, peer, now.elapsed).into_iter())
                .map(|epoch| self.heard.mark((epoch, author), self.delivery.next(&epoch, &author)))
                .collect();
            self.ask(peer, DirectRequest::Receipt { marks }, Question::Receipt);
        }
        self.heard.due_at(later);
    }

    /// Where the owner of a leaf is now, if we are linked.
    fn peer_of(&self, leaf: &LeafId) -> Option<PeerKey> {
        let identity = self.members.leaf(leaf)?.identity();
        let peer = self.members.current_leaf(&identity)?.peer();
        self.members.linked(&peer).then_some(peer)
    }

    /// Whose link this is.
    pub(super) fn owner_of(&self, peer: &PeerKey) -> Option<IdentityKey> {
        let leaf = self.members.current_leaves().find(|leaf| leaf.peer() == *peer)?;
        Some(leaf.identity())
    }

    /// A member says how far it has got with what we said.
    pub(super) fn on_receipt(&mut self, from: PeerKey, marks: &[ReceiptMark], now: Now) {
        let Some(identity) = self.owner_of(&from) else { return };
        for mark in marks {
            if self.is_in(&identity, &mark.epoch) {
                self.note_held_below(mark.epoch, mark.held);
                self.said.mark(identity, mark, now.elapsed);
            }
        }
    }

    /// A member's request for frames says what it holds of ours.
    pub(super) fn note_vectors(&mut self, from: PeerKey, have: &[EpochVector], now: Now) {
        let Some(mine) = self.own.leaf_id() else { return };
        for vector in have {
            if let Some(ours) = vector.senders.iter().find(|sender| sender.leaf == mine) {
                self.note_member_holds(from, vector.epoch, ours.next, now);
            }
        }
    }

    /// A member holds what we had said in an epoch below a counter.
    pub(super) fn note_member_holds(&mut self, from: PeerKey, epoch: EpochId, held: u64, now: Now) {
        if !self.said.would_change(&epoch) {
            return;
        }
        let Some(identity) = self.owner_of(&from) else { return };
        if self.is_in(&identity, &epoch) {
            self.said.hold(identity, epoch, held, now.elapsed);
        }
    }

    /// What we know of keepers' shelves may have grown: what of it is ours has got further.
    pub(super) fn note_kept(&mut self, now: Now) {
        let Some(mine) = self.own.leaf_id() else { return };
        for (epoch, counter) in self.said.followed() {
            let keepers = self.keepers.holding(&(epoch, mine, counter));
            self.said.kept((epoch, counter), keepers, now.elapsed);
        }
    }

    fn is_in(&self, identity: &IdentityKey, epoch: &EpochId) -> bool {
        let Some(known) = self.epochs.known(epoch) else {
            return false;
        };
        let current = self.members.current_leaf(identity).map(|leaf| leaf.id());
        let is_theirs = |leaf: &LeafId| {
            self.members
                .leaf(leaf)
                .is_some_and(|known| known.identity() == *identity)
        };
        let members = known.announcement.members();
        members.iter().any(|member| Some(member.leaf) == current)
            || members.iter().any(|member| is_theirs(&member.leaf))
    }
}
