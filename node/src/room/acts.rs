//! Acts of authority: checked against our own role, signed, told (docs/PROTOCOL.md, "Authority").

use std::time::Duration;

use snug_crypto::credential::Tombstone;
use snug_crypto::genesis::Policy;
use snug_crypto::ids::{Fingerprint, IdentityKey};
use snug_crypto::leaf::Record;
use snug_crypto::names::RoomKey;
use snug_crypto::operation::{Author, Operation, Role, SignedOperation};

use super::admission::Admission;
use super::authority::Uncounted;
use super::command::{Command, CommandRefused};
use super::rekey::Purpose;
use super::rules;
use super::timing::{JOIN_REMOVALS, RANK_STEP};
use super::{Notice, Now, Output, Phase, Room, RoomEvent, Ticket};
use crate::text::Untrusted;

impl Room {
    pub(super) fn on_command(&mut self, ticket: Ticket, command: Command, now: Now) {
        let result = self.obey(command, now);
        self.out.push_back(Output::Commanded { ticket, result });
    }

    fn obey(&mut self, command: Command, now: Now) -> Result<(), CommandRefused> {
        if self.phase == Phase::Joining && !matches!(command, Command::Trust { .. } | Command::Delete) {
            // However this run ends: who signs with the admin's key is the admin in the next one too.
            self.appoint();
        }
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
                // Whom it let in showed its word: a generation carries all of them over, before that word counts for nothing.
                let lets_in = role < Role::Moderator && self.authority.role(&identity) >= Role::Moderator;
                if lets_in && self.authority.asks_for_approval(&self.keys.generation(), &self.genesis) {
                    self.make_generation(Purpose::Rekey, None, now)?;
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
            Command::Keeper(offer) => self.name_keeper(*offer, now),
            Command::Policy(policy) => self.set_policy(policy, now),
            Command::Approve { who } => self.approve(who, now),
            Command::Trust { who, trust } => self.trust(who, trust, now),
            Command::Delete => self.delete(now),
        }
    }

    /// As whom we sign.
    fn my_author(&self) -> IdentityKey {
        self.own
            .admin()
            .map_or(self.me, |admin| IdentityKey::from_bytes(*admin.public().as_bytes()))
    }

    /// Changes the rules. Newcomers can be asked for an approval from the next generation on, which carries over everybody who is here:
    /// so it is made at once.
    fn set_policy(&mut self, policy: Policy, now: Now) -> Result<(), CommandRefused> {
        self.must_be_admin()?;
        if !rules::is_valid(&policy) {
            return Err(CommandRefused::BadPolicy);
        }
        if policy == self.authority.policy(&self.genesis) {
            return Err(CommandRefused::SamePolicy);
        }
        self.sign_and_tell(Operation::Policy(policy), now)?;
        if self.lacks_approval() {
            self.make_generation(Purpose::Rekey, None, now)?;
        }
        Ok(())
    }

    /// Whether the rules ask for approvals, and the generation that counts was made by somebody who had not heard of that.
    fn lacks_approval(&self) -> bool {
        let current = self.keys.generation();
        self.authority.policy(&self.genesis).approval && !self.authority.asks_for_approval(&current, &self.genesis)
    }

    pub(super) fn my_role(&self) -> Role {
        if self.own.admin().is_some() {
            Role::Admin
        } else {
            self.authority.role(&self.me)
        }
    }

    pub(super) fn must_be_admin(&self) -> Result<(), CommandRefused> {
        match self.my_role() {
            Role::Admin => Ok(()),
            _ => Err(CommandRefused::NotAdmin),
        }
    }

    pub(super) fn identity_of(&self, who: Fingerprint) -> Result<IdentityKey, CommandRefused> {
        let keepers = self.authority.evaluation().keepers.keys().copied();
        let mut records = self.members.records().map(Record::identity).chain(keepers);
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
        } else if self.is_junior(&identity) || self.authority.role(&identity) == Role::Member {
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

    pub(super) fn sign_and_tell(&mut self, operation: Operation, now: Now) -> Result<(), CommandRefused> {
        let author = self.own.admin().map_or(Author::Member(&self.identity), Author::Admin);
        let signed = SignedOperation::create(author, self.authority.heads(), operation, &self.genesis_hash)
            .map_err(|_| CommandRefused::LogFull)?;
        self.must_count(&signed, Role::Admin)?;
        self.tell_operation(signed.clone());
        self.operation_counts(&signed, now);
        Ok(())
    }

    /// Whether what we signed counts, and if not why: `least` is the role that it takes.
    pub(super) fn must_count(&self, signed: &SignedOperation, least: Role) -> Result<(), CommandRefused> {
        let refused = match self.authority.judge(signed, &self.genesis) {
            Ok(()) => return Ok(()),
            Err(Uncounted::LogFull) => CommandRefused::LogFull,
            Err(Uncounted::ShareFull) => CommandRefused::ShareFull,
            Err(Uncounted::Void) if self.my_role() >= least => CommandRefused::WouldNotCount,
            Err(Uncounted::Void) if least == Role::Admin => CommandRefused::NotAdmin,
            Err(Uncounted::Void) => CommandRefused::NotModerator,
        };
        Err(refused)
    }

    /// An operation that makes no generation is in the log now: what people hear of it.
    pub(super) fn operation_counts(&mut self, signed: &SignedOperation, _: Now) {
        if !self.authority.evaluation().valid.contains(&signed.hash()) || self.phase != Phase::In {
            return;
        }
        let room = self.genesis.room_id().as_str().to_owned();
        let notice = match signed.operation() {
            Operation::Role { identity, role } if *identity != self.me || self.own.admin().is_none() => {
                // The log is often told before leaves are, as when `snug room rotate-key` comes by; and roles outlive leaves.
                let leaf = self.known_leaf(identity);
                let unknown = || format!("whoever has the fingerprint {}", identity.fingerprint());
                Notice::Role {
                    room,
                    name: Untrusted::new(leaf.map_or_else(unknown, |leaf| leaf.name().to_owned())),
                    fingerprint: identity.fingerprint(),
                    role: *role,
                }
            }
            // Who named it is told more.
            Operation::Keeper(keeper) if signed.author() != self.my_author() => Notice::Keeper {
                room,
                fingerprint: keeper.key.fingerprint(),
            },
            Operation::Policy(_) => Notice::Policy {
                room,
                policy: self.authority.policy(&self.genesis),
            },
            _ => return,
        };
        self.event(RoomEvent::System(notice));
    }

    fn delete(&mut self, _: Now) -> Result<(), CommandRefused> {
        let Some(admin) = self.own.admin() else {
            return Err(CommandRefused::NeedsPassword);
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
    /// them in one that nobody removed holds; the next one if it doesn't. Where the rules ask for approvals and that generation's maker had
    /// not heard of it, an admin makes another.
    pub(super) fn join_removals_due(&self, now: Now) -> Option<Duration> {
        let current = self.keys.generation();
        if self.phase != Phase::In || self.moving.is_some() {
            return None;
        }
        let since = self.overlap_since?;
        let overlaps = !self.authority.evaluation().removed_outside(&current).is_empty();
        let least = if overlaps { Role::Moderator } else { Role::Admin };
        if self.my_role() < least || !(overlaps || self.lacks_approval()) {
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
                && evaluation.role(&identity) >= least
                && evaluation.rank(&identity) > rank
                && self.members.present(leaf, now.elapsed)
        });
        Some(since + JOIN_REMOVALS + RANK_STEP * u32::try_from(juniors.count()).unwrap_or(u32::MAX))
    }

    pub(super) fn tend_removals(&mut self, now: Now) {
        let overlap = !(self.authority.evaluation().removed_outside(&self.keys.generation())).is_empty();
        self.overlap_since = (overlap || self.lacks_approval()).then(|| self.overlap_since.unwrap_or(now.elapsed));
        if self.join_removals_due(now).is_some_and(|due| due <= now.elapsed) {
            self.overlap_since = Some(now.elapsed);
            if let Err(error) = self.make_generation(Purpose::Rekey, None, now) {
                tracing::debug!(%error, "the generation that is due could not be made");
            }
        }
    }
}
