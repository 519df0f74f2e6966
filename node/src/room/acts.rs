//! Acts of authority: checked against our own role, signed, told (docs/PROTOCOL.md, "Authority").

use std::sync::Arc;
use std::time::Duration;

use snug_crypto::approval::Approval;
use snug_crypto::control::ControlMessage;
use snug_crypto::credential::Tombstone;
use snug_crypto::generation::Generation;
use snug_crypto::ids::{Fingerprint, IdentityKey};
use snug_crypto::leaf::{Leaf, Record};
use snug_crypto::names::RoomKey;
use snug_crypto::operation::{Author, Operation, Role, SignedOperation};

use super::admission::Admission;
use super::command::{Command, CommandRefused};
use super::rekey::Purpose;
use super::timing::{JOIN_REMOVALS, MAX_APPROVALS, RANK_STEP};
use super::{MemberView, Notice, Now, Output, Phase, Room, RoomEvent, Ticket, Verdict};
use crate::text::Untrusted;

/// Who asked to be let in, and who was.
#[derive(Default)]
pub(super) struct Approvals {
    /// Moderators' words for those who have not shown them yet.
    given: std::collections::BTreeMap<IdentityKey, (Generation, Approval)>,
    /// Whom the user was told of.
    told: std::collections::BTreeSet<IdentityKey>,
}

impl Room {
    pub(super) fn on_command(&mut self, ticket: Ticket, command: Command, now: Now) {
        let result = self.obey(command, now);
        self.out.push_back(Output::Commanded { ticket, result });
    }

    fn obey(&mut self, command: Command, now: Now) -> Result<(), CommandRefused> {
        match command {
            Command::Kick { who } => {
                let identity = self.junior(who)?;
                self.make_generation(Purpose::Kick(identity), None, now)
            }
            Command::Ban { who } => {
                let identity = self.junior(who)?;
                self.make_generation(Purpose::Ban(identity), None, now)
            }
            Command::Role { who, role } => {
                self.must_be_admin()?;
                let identity = self.identity_of(who)?;
                if identity != self.me && !self.is_junior(&identity) {
                    return Err(CommandRefused::Senior);
                }
                self.sign_and_tell(Operation::Role { identity, role }, now)
            }
            Command::Rekey { room_key } => {
                self.must_be_admin()?;
                let used = |key: &RoomKey| {
                    let held = self.generations.all_held();
                    held.iter().any(|held| held.room_key.reveal() == key.reveal())
                };
                if room_key.as_ref().is_some_and(used) {
                    return Err(CommandRefused::SameKey);
                }
                self.make_generation(Purpose::Rekey, room_key, now)
            }
            Command::Policy(policy) => {
                self.must_be_admin()?;
                self.sign_and_tell(Operation::Policy(policy), now)
            }
            Command::Approve { who } => self.approve(who, now),
            Command::Trust { who, trust } => self.trust(who, trust, now),
            Command::Delete => self.delete(now),
        }
    }

    fn my_role(&self) -> Role {
        if self.own.admin().is_some() {
            Role::Admin
        } else {
            self.authority.role(&self.me)
        }
    }

    fn must_be_admin(&self) -> Result<(), CommandRefused> {
        match self.my_role() {
            Role::Admin => Ok(()),
            _ => Err(CommandRefused::NotAdmin),
        }
    }

    pub(super) fn identity_of(&self, who: Fingerprint) -> Result<IdentityKey, CommandRefused> {
        let mut records = self.members.records().map(Record::identity);
        records
            .find(|identity| identity.fingerprint() == who)
            .ok_or(CommandRefused::NoSuchMember)
    }

    /// Somebody whom we may remove.
    fn junior(&self, who: Fingerprint) -> Result<IdentityKey, CommandRefused> {
        if self.my_role() < Role::Moderator {
            return Err(CommandRefused::NotModerator);
        }
        let identity = self.identity_of(who)?;
        if identity == self.me {
            Err(CommandRefused::Yourself)
        } else if self.is_junior(&identity) {
            Ok(identity)
        } else {
            Err(CommandRefused::Senior)
        }
    }

    fn is_junior(&self, identity: &IdentityKey) -> bool {
        let evaluation = self.authority.evaluation();
        match (evaluation.rank(identity), evaluation.rank(&self.me)) {
            (None, _) => true,
            (Some(_), _) if self.own.admin().is_some() => true,
            (Some(theirs), Some(mine)) => theirs > mine,
            (Some(_), None) => false,
        }
    }

    fn sign_and_tell(&mut self, operation: Operation, now: Now) -> Result<(), CommandRefused> {
        let author = self.own.admin().map_or(Author::Member(&self.identity), Author::Admin);
        let signed = SignedOperation::create(author, self.authority.heads(), operation, &self.genesis_hash)
            .map_err(|_| CommandRefused::LogFull)?;
        if !self.authority.would_count(&signed, &self.genesis) {
            return Err(CommandRefused::LogFull);
        }
        self.tell_operation(signed.clone());
        self.operation_counts(&signed, now);
        Ok(())
    }

    /// An operation that makes no generation is in the log now: what people hear of it.
    pub(super) fn operation_counts(&mut self, signed: &SignedOperation, _: Now) {
        if !self.authority.evaluation().valid.contains(&signed.hash()) || self.phase != Phase::In {
            return;
        }
        let room = self.genesis.room_id().as_str().to_owned();
        let notice = match signed.operation() {
            Operation::Role { identity, role } if *identity != self.me || self.own.admin().is_none() => {
                let leaf = self.known_leaf(identity);
                Notice::Role {
                    room,
                    name: Untrusted::new(leaf.map_or("somebody who is away", |leaf| leaf.name())),
                    fingerprint: identity.fingerprint(),
                    role: *role,
                }
            }
            Operation::Policy(_) => Notice::Policy { room },
            _ => return,
        };
        self.event(RoomEvent::System(notice));
    }

    fn delete(&mut self, _: Now) -> Result<(), CommandRefused> {
        let Some(admin) = self.own.admin() else {
            return Err(CommandRefused::NotAdmin);
        };
        let tombstone = Tombstone {
            handle: self.genesis.handle(),
            genesis_hash: self.genesis_hash,
        };
        let tombstone = tombstone.sign(admin);
        let bytes = tombstone.to_bytes().to_vec();
        let operation = Operation::Tombstone(tombstone);
        let heads = self.authority.heads();
        let signed = SignedOperation::create(Author::Admin(admin), heads, operation, &self.genesis_hash)
            .map_err(|_| CommandRefused::LogFull)?;
        self.tell_operation(signed);
        self.out.push_back(Output::DeleteAtRendezvous { tombstone: bytes });
        self.end_deleted();
        Ok(())
    }

    /// Where removals overlap, the generation that counts was given to somebody who is removed: the most junior moderator present joins
    /// them in one that nobody removed holds; the next one if it doesn't.
    pub(super) fn join_removals_due(&self, now: Now) -> Option<Duration> {
        let current = self.keys.generation();
        if self.phase != Phase::In || self.moving.is_some() {
            return None;
        }
        let since = self.overlap_since?;
        let mine = self.my_role();
        if mine < Role::Moderator || self.authority.evaluation().removed_outside(&current).is_empty() {
            return None;
        }
        let evaluation = self.authority.evaluation();
        let admission = Admission::new(
            current,
            &self.generations,
            &self.authority,
            &self.genesis,
            &self.members,
        );
        let roster = self.members.roster(&admission, now.unix_ms);
        if !roster.contains_key(&self.me) {
            return None;
        }
        let rank = evaluation.rank(&self.me);
        let juniors = roster.values().filter(|leaf| {
            let identity = leaf.identity();
            identity != self.me
                && evaluation.role(&identity) >= Role::Moderator
                && evaluation.rank(&identity) > rank
                && self.members.present(leaf, now.elapsed)
        });
        Some(since + JOIN_REMOVALS + RANK_STEP * u32::try_from(juniors.count()).unwrap_or(u32::MAX))
    }

    pub(super) fn tend_removals(&mut self, now: Now) {
        let overlap = !(self.authority.evaluation().removed_outside(&self.keys.generation())).is_empty();
        self.overlap_since = overlap.then(|| self.overlap_since.unwrap_or(now.elapsed));
        if self.join_removals_due(now).is_some_and(|due| due <= now.elapsed) {
            self.overlap_since = Some(now.elapsed);
            if let Err(error) = self.make_generation(Purpose::Rekey, None, now) {
                tracing::debug!(%error, "overlapping removals could not be joined");
            }
        }
    }

    /// Lets somebody in.
    fn approve(&mut self, who: Fingerprint, now: Now) -> Result<(), CommandRefused> {
        if self.my_role() < Role::Moderator {
            return Err(CommandRefused::NotModerator);
        }
        let identity = self.identity_of(who)?;
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

    /// A moderator's word for somebody: kept until that one shows it, and passed on by gossip.
    pub(super) fn take_approval(
        &mut self,
        identity: IdentityKey,
        generation: Generation,
        approval: Approval,
        now: Now,
    ) -> Verdict {
        let admin_key = IdentityKey::from_bytes(*self.genesis.admin().as_bytes());
        let may = approval.approver == admin_key || self.authority.role(&approval.approver) >= Role::Moderator;
        if generation != self.keys.generation() || !may {
            return Verdict::Ignore;
        }
        if approval.verify(&identity, generation, &self.genesis_hash).is_err() {
            return Verdict::Reject;
        }
        self.keep_approval(identity, generation, approval, now);
        Verdict::Accept
    }

    fn keep_approval(&mut self, identity: IdentityKey, generation: Generation, approval: Approval, now: Now) {
        if self.approvals.given.len() >= MAX_APPROVALS {
            self.approvals.given.retain(|_, (of, _)| *of == generation);
        }
        if self.approvals.given.len() < MAX_APPROVALS {
            self.approvals.given.insert(identity, (generation, approval));
        }
        if identity == self.me && self.own.leaf().is_some() && self.moving.is_none() {
            self.publish_leaf(now);
        }
    }

    /// The word for ourselves, in the generation that we are in.
    pub(super) fn own_approval(&self) -> Option<Approval> {
        let (generation, approval) = self.approvals.given.get(&self.me)?;
        (*generation == self.keys.generation()).then(|| approval.clone())
    }

    /// Who asks to be let in.
    pub fn applicants(&self, now: Now) -> Vec<MemberView> {
        self.waiting().iter().map(|leaf| self.view_of(leaf, now)).collect()
    }

    /// Leaves of this generation that lack a moderator's word.
    fn waiting(&self) -> Vec<&Arc<Leaf>> {
        if !self.authority.policy(&self.genesis).approval {
            return Vec::new();
        }
        let generation = self.keys.generation();
        let (admission, evaluation) = (self.admission(), self.authority.evaluation());
        (self.members.current_leaves())
            .filter(|leaf| leaf.generation() == generation && !admission.counts(leaf))
            .filter(|leaf| !evaluation.voids(&leaf.identity(), generation.count))
            .collect()
    }

    /// Tells moderators who waits at a room that asks for their word, and gives an applicant the word that it may have missed.
    pub(super) fn tend_approvals(&mut self) {
        if self.phase != Phase::In {
            return;
        }
        let generation = self.keys.generation();
        let waiting = self.waiting().into_iter();
        let waiting: Vec<(IdentityKey, String)> =
            waiting.map(|leaf| (leaf.identity(), leaf.name().to_owned())).collect();
        self.approvals
            .told
            .retain(|identity| waiting.iter().any(|(waiting, _)| waiting == identity));
        for (identity, name) in waiting {
            if !self.approvals.told.insert(identity) {
                continue;
            }
            if let Some((of, approval)) = self.approvals.given.get(&identity).cloned()
                && of == generation
            {
                self.publish_control(&ControlMessage::Approval {
                    identity,
                    generation,
                    approval,
                });
                continue;
            }
            let (room, name) = (self.genesis.room_id().as_str().to_owned(), Untrusted::new(name));
            let fingerprint = identity.fingerprint();
            let notice = match (identity == self.me, self.my_role() >= Role::Moderator) {
                (true, _) => Notice::Waiting { room },
                (false, true) => Notice::Knocks {
                    room,
                    name,
                    fingerprint,
                },
                (false, false) => continue,
            };
            self.event(RoomEvent::System(notice));
        }
    }
}
