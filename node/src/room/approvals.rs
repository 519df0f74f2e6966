//! Rooms that ask for a moderator's word: who waits for it, who gives it, and how it reaches those who wait (docs/PROTOCOL.md,
//! "Approval").
//!
//! A newcomer publishes its leaf as anywhere, and is on nobody's roster until the leaf shows an approval. The word is told by gossip and
//! kept by everybody; whoever waits asks its links for it too, so that it comes whatever gossip lost, and after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use snug_crypto::approval::Approval;
use snug_crypto::control::ControlMessage;
use snug_crypto::direct::DirectRequest;
use snug_crypto::generation::Generation;
use snug_crypto::ids::{Fingerprint, IdentityKey};
use snug_crypto::leaf::{Leaf, Record};
use snug_crypto::operation::{Author, Role};

use super::command::CommandRefused;
use super::exchange::Question;
use super::judgement::Versions;
use super::timing::{APPROVAL_ASK, MAX_APPROVALS, MAX_KNOCKS};
use super::{MemberView, Notice, Now, Phase, Room, RoomEvent, Verdict};
use crate::text::Untrusted;

/// Who asked to be let in, and who was.
#[derive(Default)]
pub(super) struct Approvals {
    /// Moderators' words, for those who may not have shown them yet.
    given: BTreeMap<IdentityKey, (Generation, Approval)>,
    /// Rises with each of them.
    version: u64,
    /// Who waits, and was told of to our user.
    told: BTreeSet<IdentityKey>,
    /// When we, who wait, ask a link again.
    next_ask: Option<Duration>,
    /// What was looked at last, for who waits.
    looked_at: Option<(Versions, u64)>,
}

impl Approvals {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Every word that we know of.
    pub(super) fn all(&self) -> impl Iterator<Item = (&IdentityKey, &Generation, &Approval)> {
        self.given
            .iter()
            .map(|(identity, (generation, approval))| (identity, generation, approval))
    }

    /// Takes up a word that was kept before.
    pub(super) fn restore(&mut self, identity: IdentityKey, generation: Generation, approval: Approval) {
        self.given.insert(identity, (generation, approval));
        self.version += 1;
    }

    fn is_full_for(&self, identity: &IdentityKey) -> bool {
        self.given.len() >= MAX_APPROVALS && !self.given.contains_key(identity)
    }

    /// Forgets what lets nobody in any more: words of earlier generations, and those for who is in, whose leaves show them. If everybody
    /// still waits, somebody has to be approved again.
    fn make_room(&mut self, generation: Generation, spare: &BTreeSet<IdentityKey>) {
        self.given
            .retain(|identity, (of, _)| *of == generation && !spare.contains(identity));
        while self.given.len() >= MAX_APPROVALS {
            self.given.pop_first();
        }
        self.version += 1;
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.next_ask
    }

    fn of(&self, identity: &IdentityKey, generation: &Generation) -> Option<&Approval> {
        let (of, approval) = self.given.get(identity)?;
        (of == generation).then_some(approval)
    }
}

impl Room {
    /// Lets somebody in.
    pub(super) fn approve(&mut self, who: Fingerprint, now: Now) -> Result<(), CommandRefused> {
        if self.my_role() < Role::Moderator {
            return Err(CommandRefused::NotModerator);
        }
        let identity = self.identity_of(who)?;
        if !self.waiting().iter().any(|leaf| leaf.identity() == identity) {
            return Err(CommandRefused::NotWaiting);
        }
        let generation = self.keys.generation();
        let author = self.own.admin().map_or(Author::Member(&self.identity), Author::Admin);
        let approval = Approval::sign(author, &identity, generation, &self.genesis_hash);
        self.publish_control(&ControlMessage::Approval {
            identity,
            generation,
            approval: approval.clone(),
        });
        self.keep_approval(identity, generation, approval, now);
        Ok(())
    }

    /// A moderator's word for somebody, by gossip.
    pub(super) fn take_approval(
        &mut self,
        identity: IdentityKey,
        generation: Generation,
        approval: Approval,
        now: Now,
    ) -> Verdict {
        if generation != self.keys.generation() || !self.may_approve(&approval.approver) {
            return Verdict::Ignore;
        }
        if approval.verify(&identity, generation, &self.genesis_hash).is_err() {
            return Verdict::Reject;
        }
        self.keep_approval(identity, generation, approval, now);
        Verdict::Accept
    }

    fn may_approve(&self, approver: &IdentityKey) -> bool {
        approver.as_bytes() == self.genesis.admin().as_bytes() || self.authority.role(approver) >= Role::Moderator
    }

    fn keep_approval(&mut self, identity: IdentityKey, generation: Generation, approval: Approval, now: Now) {
        if self.approvals.is_full_for(&identity) {
            let admission = self.admission();
            let is_in = |who: &IdentityKey| {
                self.members
                    .current_leaf(who)
                    .is_some_and(|leaf| admission.counts(leaf))
            };
            let spare: BTreeSet<IdentityKey> = self.approvals.given.keys().filter(|who| is_in(who)).copied().collect();
            self.approvals.make_room(generation, &spare);
        }
        // A later word replaces one whose author may have lost its role.
        self.approvals.restore(identity, generation, approval);
        if identity == self.me && self.own.leaf().is_some() && self.moving.is_none() && self.is_waiting() {
            self.publish_leaf(now);
        }
    }

    /// The word for ourselves, in the generation that we are in: one that we were told, or the one that our last leaf showed.
    pub(super) fn own_approval(&self) -> Option<Approval> {
        let generation = self.keys.generation();
        let shown = || match self.members.record(&self.me)? {
            Record::Leaf(leaf) if leaf.generation() == generation => leaf.unverified_approval(),
            _ => None,
        };
        let told = self.approvals.of(&self.me, &generation).cloned();
        told.or_else(|| shown().filter(|approval| self.may_approve(&approval.approver)))
    }

    /// What we know of a moderator's word for somebody: the answer to who waits.
    pub(super) fn approval_of(&self, identity: &IdentityKey, generation: &Generation) -> Option<Approval> {
        let approval = self.approvals.of(identity, generation)?;
        self.may_approve(&approval.approver).then(|| approval.clone())
    }

    /// Who asks to be let in.
    pub fn applicants(&self, now: Now) -> Vec<MemberView> {
        self.waiting().iter().map(|leaf| self.view_of(leaf, now)).collect()
    }

    /// Leaves of this generation that lack a moderator's word.
    fn waiting(&self) -> Vec<&Arc<Leaf>> {
        let generation = self.keys.generation();
        if !self.authority.asks_for_approval(&generation, &self.genesis) {
            return Vec::new();
        }
        let (admission, evaluation) = (self.admission(), self.authority.evaluation());
        (self.members.current_leaves())
            .filter(|leaf| leaf.generation() == generation && !admission.counts(leaf))
            .filter(|leaf| !evaluation.voids(&leaf.identity(), generation.count))
            .collect()
    }

    /// Whether we are one of them.
    fn is_waiting(&self) -> bool {
        self.waiting().iter().any(|leaf| leaf.identity() == self.me)
    }

    /// Tells moderators who waits, and our own user if it is us; then asks our links whether somebody let us in.
    pub(super) fn tend_approvals(&mut self, now: Now) {
        let state = (self.versions(), self.approvals.version);
        let asks = self.approvals.next_ask.is_some_and(|at| at <= now.elapsed);
        if self.phase != Phase::In || (self.approvals.looked_at == Some(state) && !asks) {
            return;
        }
        self.approvals.looked_at = Some(state);
        let waiting: BTreeMap<IdentityKey, String> = (self.waiting().into_iter())
            .map(|leaf| (leaf.identity(), leaf.name().to_owned()))
            .collect();
        self.approvals.told.retain(|identity| waiting.contains_key(identity));
        let is_moderator = self.my_role() >= Role::Moderator;
        let generation = self.keys.generation();
        for (identity, name) in &waiting {
            let is_me = *identity == self.me;
            let concerns_us = is_me || (is_moderator && self.approvals.of(identity, &generation).is_none());
            if !concerns_us || self.approvals.told.len() >= MAX_KNOCKS || !self.approvals.told.insert(*identity) {
                continue;
            }
            let room = self.genesis.room_id().as_str().to_owned();
            let notice = if is_me {
                Notice::Waiting { room }
            } else {
                Notice::Knocks {
                    room,
                    name: Untrusted::new(name.as_str()),
                    fingerprint: identity.fingerprint(),
                }
            };
            self.event(RoomEvent::System(notice));
        }
        if !waiting.contains_key(&self.me) {
            self.approvals.next_ask = None;
        } else if self.approvals.next_ask.is_none_or(|at| at <= now.elapsed) {
            self.approvals.next_ask = Some(now.elapsed + APPROVAL_ASK);
            if let Some(to) = self.random_link() {
                let identity = self.me;
                let question = Question::Approval { generation };
                self.ask(to, DirectRequest::Approval { identity, generation }, question);
            }
        }
    }

    /// A link's answer to our question whether somebody let us in.
    pub(super) fn on_approval(&mut self, generation: Generation, approval: Option<Approval>, now: Now) {
        if let Some(approval) = approval {
            // What doesn't verify is no worse than no answer.
            self.take_approval(self.me, generation, approval, now);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use snug_crypto::GenesisHash;
    use snug_crypto::identity::Identity;

    use super::*;

    /// A room that asks for approval takes in more people than words are kept.
    #[test]
    fn words_for_those_who_are_in_make_room_for_those_who_wait() {
        let mut rng = StdRng::seed_from_u64(1);
        let (genesis, moderator) = (GenesisHash::from_bytes([1; 32]), Identity::generate(&mut rng));
        let generation = Generation::first(&genesis);
        let word = |who: &IdentityKey| Approval::sign(Author::Member(&moderator), who, generation, &genesis);
        let mut approvals = Approvals::default();
        let people: Vec<IdentityKey> = (0..=MAX_APPROVALS)
            .map(|_| Identity::generate(&mut rng).key())
            .collect();
        let (last, first) = people.split_last().unwrap();
        for who in first {
            assert!(!approvals.is_full_for(who));
            approvals.restore(*who, generation, word(who));
        }
        assert!(!approvals.is_full_for(&first[0]), "a word that is known is replaced");
        assert!(approvals.is_full_for(last));
        let (inside, waits) = first.split_at(MAX_APPROVALS - 3);
        approvals.make_room(generation, &inside.iter().copied().collect());
        assert!(!approvals.is_full_for(last));
        assert!(waits.iter().all(|who| approvals.of(who, &generation).is_some()));
        assert!(inside.iter().all(|who| approvals.of(who, &generation).is_none()));
    }

    #[test]
    fn words_stay_bounded_though_everybody_still_waits() {
        let mut rng = StdRng::seed_from_u64(2);
        let (genesis, moderator) = (GenesisHash::from_bytes([1; 32]), Identity::generate(&mut rng));
        let generation = Generation::first(&genesis);
        let mut approvals = Approvals::default();
        for _ in 0..MAX_APPROVALS + 10 {
            let who = Identity::generate(&mut rng).key();
            if approvals.is_full_for(&who) {
                approvals.make_room(generation, &BTreeSet::new());
            }
            let word = Approval::sign(Author::Member(&moderator), &who, generation, &genesis);
            approvals.restore(who, generation, word);
            assert!(approvals.of(&who, &generation).is_some());
        }
        assert!(approvals.given.len() <= MAX_APPROVALS);
    }
}
