//! What a member gives to keepers: all that somebody who comes back needs, sealed, and nothing else (docs/PROTOCOL.md, "Keepers").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use snug_crypto::bounds::{MAX_DEPOSIT, MAX_INLINE_MEMBERS};
use snug_crypto::control::{self, ControlMessage};
use snug_crypto::generation::Generation;
use snug_crypto::ids::PeerKey;
use snug_crypto::keeper::{KeeperRequest, item_name};
use snug_crypto::leaf::Record;

use super::{KeeperQuestion, Name};
use crate::room::delivery::FrameKey;
use crate::room::timing::{REPLY_BYTES, SYNC_EPOCHS};
use crate::room::{Phase, Room};

/// What is to be kept, sealed and named; made anew when something changed.
#[derive(Default)]
pub(in crate::room) struct Deposits {
    made_for: Option<(Generation, [u64; 4], usize)>,
    messages: Vec<(Name, Vec<u8>)>,
    /// Names of frames that we keep ourselves.
    frames: BTreeMap<FrameKey, Name>,
}

impl Deposits {
    /// What a frame is called there.
    pub(super) fn frame(&self, key: &FrameKey) -> Option<&Name> {
        self.frames.get(key)
    }
}

impl Room {
    /// Names of all that we hold and could give.
    pub(super) fn known_names(&mut self) -> BTreeSet<Name> {
        self.prepare_deposits();
        let deposits = &self.keepers.deposits;
        let messages = deposits.messages.iter().map(|(name, _)| *name);
        messages.chain(deposits.frames.values().copied()).collect()
    }

    /// Gives a keeper what it lacks, as much as fits into one request; `last` when we are about to go, and no answer is waited for.
    pub(in crate::room) fn deposit(&mut self, to: PeerKey, last: bool) {
        let is_due =
            |room: &Self| (room.keepers.links.get(&to)).is_some_and(|shelf| shelf.complete && (shelf.lacks || last));
        if self.phase != Phase::In || self.moving.is_some() || !is_due(self) {
            return;
        }
        self.prepare_deposits();
        let Some(shelf) = self.keepers.links.get_mut(&to) else {
            return;
        };
        let deposits = &self.keepers.deposits;
        let lacks = |name: &Name| !shelf.has.contains(name);
        let messages = deposits.messages.iter().filter(|(name, _)| lacks(name));
        let messages = messages.map(|(name, bytes)| (*name, bytes.as_slice()));
        let frames = deposits.frames.iter().filter(|(_, name)| lacks(name));
        let frames = frames.filter_map(|(key, name)| Some((*name, self.delivery.kept(key)?.0)));
        let (mut names, mut items, mut size) = (Vec::new(), Vec::new(), 0);
        for (name, bytes) in messages.chain(frames) {
            size += bytes.len() + 4;
            if size > REPLY_BYTES || items.len() == MAX_DEPOSIT {
                break;
            }
            names.push(name);
            items.push(bytes.to_vec());
        }
        if items.is_empty() {
            shelf.lacks = false;
            return;
        }
        self.ask_keeper(to, &KeeperRequest::Deposit(items), KeeperQuestion::Deposit(names));
    }

    /// What we said last shall be there when we are not.
    pub(in crate::room) fn deposit_last(&mut self) {
        let peers: Vec<PeerKey> = self.keepers.links.keys().copied().collect();
        for peer in peers {
            self.deposit(peer, true);
        }
    }

    fn prepare_deposits(&mut self) {
        let generation = self.keys.generation();
        let boxes = self.epochs.announcements().map(|(_, known)| known.boxes.len()).sum();
        let versions = [
            self.members.version(),
            self.authority.version(),
            self.epochs.version(),
            self.approvals.version(),
        ];
        let state = (generation, versions, boxes);
        if self.keepers.deposits.made_for != Some(state) {
            self.keepers.deposits.made_for = Some(state);
            self.keepers.deposits.messages = self.messages_to_keep();
        }
        let frames = &mut self.keepers.deposits.frames;
        frames.retain(|key, _| self.delivery.kept(key).is_some());
        for (key, bytes) in self.delivery.all_kept() {
            frames.entry(*key).or_insert_with(|| item_name(bytes));
        }
    }

    /// Log, records, moderators' words, announcements and boxes of the generation: in the order in which each finds what it builds on.
    fn messages_to_keep(&self) -> Vec<(Name, Vec<u8>)> {
        let generation = self.keys.generation();
        let ordered = self.authority.ordered(&self.genesis);
        let operations = ordered
            .iter()
            .map(|signed| ControlMessage::Operation(signed.to_unverified()));
        let held = self.epochs.latest_held(SYNC_EPOCHS);
        let epochs: Vec<_> = (self.epochs.announcements())
            .filter(|(_, known)| known.announcement.header().generation == generation)
            // Of what nobody here can read there is nothing to be read there either.
            .filter(|(id, _)| held.contains(*id))
            .collect();
        let named: BTreeSet<_> = (epochs.iter())
            .flat_map(|(_, known)| known.announcement.members().iter().map(|member| member.leaf))
            .collect();
        // Without the leaves of those who went since, nobody can read an epoch who wasn't there.
        let superseded = self.members.superseded().filter(|leaf| named.contains(&leaf.id()));
        let superseded = superseded.map(|leaf| Record::Leaf(Arc::clone(leaf)));
        let records = self.members.records().cloned().chain(superseded);
        let records = records.map(|record| ControlMessage::Record(record.to_unverified()));
        // Whoever waits to be let in may come back when nobody else is there.
        let approvals = (self.approvals.all()).filter(|(_, of, _)| **of == generation);
        let approvals = approvals.map(|(identity, generation, approval)| ControlMessage::Approval {
            identity: *identity,
            generation: *generation,
            approval: approval.clone(),
        });
        let announcements = epochs
            .iter()
            .map(|(_, known)| ControlMessage::Announcement(known.announcement.to_unverified()));
        let boxes = (epochs.iter())
            .filter(|(_, known)| known.announcement.members().len() <= MAX_INLINE_MEMBERS)
            .flat_map(|(id, known)| known.boxes.values().map(move |sealed| (**id, sealed.clone())))
            .map(|(epoch, sealed)| ControlMessage::Box { epoch, sealed });
        (operations
            .chain(records)
            .chain(approvals)
            .chain(announcements)
            .chain(boxes))
        .filter_map(|message| control::seal(self.keys.control(), &message).ok())
        .map(|bytes| (item_name(&bytes), bytes))
        .collect()
    }
}
