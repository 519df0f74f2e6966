//! Everything that one link knows and the other lacks (docs/PROTOCOL.md, "Direct exchange", 01): on a new link, and where two differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use std::time::Duration;

use rand::RngExt;
use snug_crypto::direct::{Bundle, DirectReply, DirectRequest, Wants};
use snug_crypto::ids::{EpochId, IdentityKey, LeafId, OperationHash, PeerKey};
use snug_crypto::leaf::Record;

use super::exchange::Question;
use super::timing::{REPLY_BYTES, RETELL_INTERVAL, RETOLD, SYNC_TURN};
use super::{Now, Room};

impl Room {
    /// Asks a new link for all that we lack. Who knows nothing yet asks one link after the other: each would tell it of everybody, and of a
    /// room of a thousand that is more than a megabyte.
    pub(super) fn ask_new_link(&mut self, peer: PeerKey, now: Now) {
        if self.questions.told_all || !self.questions.asking_any_sync() {
            return self.ask_sync(peer);
        }
        if self.questions.later.is_empty() {
            self.questions.next_sync = now.elapsed + SYNC_TURN;
        }
        self.questions.later.push_back(peer);
    }

    /// Asks the next of the links that wait for it; all of them, once one has told us all that it knows.
    pub(super) fn ask_later_links(&mut self, now: Now) {
        self.questions.next_sync = now.elapsed + SYNC_TURN;
        while let Some(to) = self.questions.later.pop_front() {
            self.ask_sync(to);
            if !self.questions.told_all {
                return;
            }
        }
    }

    /// Asks a link for all that we lack.
    pub(super) fn ask_sync(&mut self, to: PeerKey) {
        self.ask_sync_because(to, false);
    }

    pub(super) fn ask_sync_because(&mut self, to: PeerKey, differs: bool) {
        if self.questions.asking_sync(&to) || !self.members.linked(&to) {
            return;
        }
        let request = DirectRequest::Sync {
            records: self
                .members
                .records()
                .map(|record| (record.identity(), record.seq()))
                .collect(),
            operations: self.authority.hashes().copied().collect(),
            epochs: self.epochs.announcements().map(|(id, _)| *id).collect(),
        };
        self.ask(to, request, Question::Sync { to, differs });
    }

    pub(super) fn answer_sync(
        &self,
        records: &[(IdentityKey, u64)],
        operations: &[OperationHash],
        epochs: &[EpochId],
    ) -> DirectReply {
        let theirs: BTreeMap<&IdentityKey, u64> = records.iter().map(|(identity, seq)| (identity, *seq)).collect();
        let known: BTreeSet<&OperationHash> = operations.iter().collect();
        let (bundle, more) = self.bundle(
            |record| theirs.get(&record.identity()).is_none_or(|seq| record.seq() > *seq),
            |hash| !known.contains(hash),
            |id| !epochs.contains(id),
        );
        // What we lack, somebody is about to tell us: of everybody who came, all links would.
        if !self.questions.told_all && self.questions.asking_any_sync() {
            let wants = Wants::default();
            return DirectReply::Sync { bundle, wants, more };
        }
        let mine: BTreeSet<&OperationHash> = self.authority.hashes().collect();
        let wants = Wants {
            records: records
                .iter()
                .filter(|(identity, seq)| self.members.record(identity).is_none_or(|record| record.seq() < *seq))
                .map(|(identity, _)| *identity)
                .collect(),
            operations: operations.iter().filter(|hash| !mine.contains(hash)).copied().collect(),
            epochs: epochs.iter().filter(|id| !self.epochs.is_known(id)).copied().collect(),
        };
        DirectReply::Sync { bundle, wants, more }
    }

    /// What a peer lacks, as much as one message carries; and whether there is more. Leaves go first: without them an announcement
    /// can't be checked.
    fn bundle(
        &self,
        record: impl Fn(&Record) -> bool,
        operation: impl Fn(&OperationHash) -> bool,
        epoch: impl Fn(&EpochId) -> bool,
    ) -> (Bundle, bool) {
        let mut bundle = Bundle::default();
        let mut room = REPLY_BYTES;
        let mut fits = |size: usize| {
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        for wanted in self.members.records().filter(|known| record(known)) {
            let wanted = wanted.to_unverified();
            if !fits(wanted.encode().len()) {
                return (bundle, true);
            }
            bundle.records.push(wanted);
        }
        for wanted in self
            .authority
            .ordered(&self.genesis)
            .iter()
            .filter(|signed| operation(&signed.hash()))
        {
            let wanted = wanted.to_unverified();
            if !fits(wanted.encode().len()) {
                return (bundle, true);
            }
            bundle.operations.push(wanted);
        }
        let mut superseded: BTreeMap<LeafId, _> = self.members.superseded().map(|leaf| (leaf.id(), leaf)).collect();
        for (_, wanted) in self.epochs.announcements().filter(|(id, _)| epoch(id)) {
            // Without the leaves of those who went since, nobody can read the epoch who wasn't there.
            for member in wanted.announcement.members() {
                if let Some(leaf) = superseded.remove(&member.leaf) {
                    let record = Record::Leaf(Arc::clone(leaf)).to_unverified();
                    if !fits(record.encode().len()) {
                        return (bundle, true);
                    }
                    bundle.records.push(record);
                }
            }
            let wanted = wanted.announcement.to_unverified();
            if !fits(wanted.encode().len()) {
                return (bundle, true);
            }
            bundle.announcements.push(wanted);
        }
        (bundle, false)
    }

    /// Rises with everything that is learnt.
    pub(super) fn knowledge(&self) -> (u64, usize, u64) {
        (
            self.members.version(),
            self.authority.hashes().count(),
            self.epochs.version(),
        )
    }

    /// Tells a link records: numbers agree, and still we differ, so somebody may have signed two under one number. Of a large room some at
    /// random: whoever finds such a pair tells everybody.
    pub(super) fn retell(&mut self, to: PeerKey, now: Now) {
        let due = |at: Duration| now.elapsed.saturating_sub(at) >= RETELL_INTERVAL;
        if self.questions.retold.is_none_or(due) {
            self.questions.retold = Some(now.elapsed);
            let mut told: Vec<IdentityKey> = self.members.records().map(Record::identity).collect();
            if told.len() > RETOLD {
                let first = self.rng.random_range(0..told.len());
                told.rotate_left(first);
                told.truncate(RETOLD);
                told.sort_unstable();
            }
            let is_told = |record: &Record| told.binary_search(&record.identity()).is_ok();
            let (bundle, _) = self.bundle(is_told, |_| false, |_| false);
            if bundle != Bundle::default() {
                self.ask(to, DirectRequest::Push(bundle), Question::Push);
            }
        }
    }

    /// Gives a peer what it said it lacks.
    pub(super) fn give(&mut self, to: PeerKey, wants: &Wants) {
        let (bundle, _) = self.bundle(
            |record| wants.records.contains(&record.identity()),
            |hash| wants.operations.contains(hash),
            |id| wants.epochs.contains(id),
        );
        if bundle != Bundle::default() {
            self.ask(to, DirectRequest::Push(bundle), Question::Push);
        }
    }
}
