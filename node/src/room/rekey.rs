//! A new generation: made by the admin or a moderator, found by everybody else, adopted by all who were carried over
//! (docs/PROTOCOL.md, "A new generation").

use std::sync::Arc;

use snug_crypto::control::ControlMessage;
use snug_crypto::epoch::{
    self, EpochHeader, EpochKind, IssueParams, MemberEntry, NewKey, Round, UnverifiedAnnouncement,
};
use snug_crypto::frame::Epoch;
use snug_crypto::generation::{Generation, GenerationKeys, RoomRandom};
use snug_crypto::hand_over;
use snug_crypto::ids::{IdentityKey, LeafId, OperationHash, PeerKey};
use snug_crypto::kem::KemKey;
use snug_crypto::leaf::{Admit, Leaf, Record, UnverifiedRecord};
use snug_crypto::names::RoomKey;
use snug_crypto::object::UnverifiedObject;
use snug_crypto::operation::{Author, Operation, Rekey, Role, SignedOperation, UnverifiedOperation};

use super::admission::Admission;
use super::command::CommandRefused;
use super::generations::{Carried, HeldKey};
use super::timing::CUSTODIANS;
use super::{Now, Phase, Room, Rule, Verdict};

/// What a new generation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Kick(IdentityKey),
    Ban(IdentityKey),
    /// A new Room Key, and nobody is removed.
    Rekey,
}

impl Purpose {
    fn removes(self) -> Option<IdentityKey> {
        match self {
            Self::Kick(identity) | Self::Ban(identity) => Some(identity),
            Self::Rekey => None,
        }
    }

    fn operation(self, rekey: Rekey) -> Operation {
        match self {
            Self::Kick(identity) => Operation::Kick { identity, rekey },
            Self::Ban(identity) => Operation::Ban { identity, rekey },
            Self::Rekey => Operation::KeyGen(rekey),
        }
    }
}

/// How it came to a generation without us, an admin.
struct Usurped {
    /// The first operation in its past that made one in which we may not be.
    first: OperationHash,
    /// The first that made one in which we are not.
    without_us: OperationHash,
    /// Who signed that.
    by: IdentityKey,
}

/// Whether an announcement is of a generation whose boxes we can open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Legible {
    Yes,
    No,
    /// That depends on its members, which travel apart.
    WithMembers,
}

impl Room {
    /// Whether an announcement's box may be opened here: its generation's keys are held, or it is the first epoch of a generation that came
    /// and went while we were away, and carries us.
    pub(super) fn legible(&self, announcement: &UnverifiedAnnouncement) -> Legible {
        let header = announcement.unverified_header();
        if header.generation == self.keys.generation() || self.generations.held(&header.generation).is_some() {
            return Legible::Yes;
        }
        // Who holds none before it came later, and is in none of them.
        let holds_earlier =
            (self.generations.all_held().iter()).any(|held| held.keys.generation().count < header.generation.count);
        if !holds_earlier || !self.brings_keys(header) {
            return Legible::No;
        }
        let mine = self.own.known_leaf_id();
        match announcement.unverified_members() {
            Some(members) if members.iter().any(|member| Some(member.leaf) == mine) => Legible::Yes,
            Some(_) => Legible::No,
            None => Legible::WithMembers,
        }
    }

    /// Whether this is the first epoch of a generation that counts: its boxes hold the generation's keys.
    pub(super) fn brings_keys(&self, header: &EpochHeader) -> bool {
        let mut valid = self.authority.evaluation().generations.iter();
        header.kind == EpochKind::KeyGen && valid.any(|(generation, _)| *generation == header.generation)
    }

    /// The keys of a generation that passed us by are here: what was said in it can be asked for, once we know its epochs.
    pub(super) fn learn_generation(&mut self, key: HeldKey, from: PeerKey, now: Now) {
        self.generations.hold(key);
        self.catching_up.learnt(now.elapsed);
        self.ask_sync(from);
        self.settle_generation(now);
    }

    /// Makes a generation: operation, roster and boxes in one, for everybody on our roster but whom it removes.
    pub(super) fn make_generation(
        &mut self,
        purpose: Purpose,
        room_key: Option<RoomKey>,
        now: Now,
    ) -> Result<(), CommandRefused> {
        let (Some(mine), Phase::In) = (self.own.leaf().cloned(), self.phase) else {
            return Err(CommandRefused::NotReady);
        };
        let admission = Admission::new(
            self.keys.generation(),
            &self.generations,
            &self.authority,
            &self.genesis,
            &self.members,
        );
        let mut roster = self.members.roster(&admission, now.unix_ms);
        if let Some(identity) = purpose.removes() {
            roster.remove(&identity);
        }
        if !roster.contains_key(&self.me) {
            return Err(CommandRefused::NotReady);
        }
        let entries: Vec<(MemberEntry, &KemKey)> = roster
            .values()
            .map(|leaf| (MemberEntry::of(leaf), leaf.kem()))
            .collect();
        let members: Vec<MemberEntry> = entries.iter().map(|(entry, _)| *entry).collect();
        let room_key = room_key.unwrap_or_else(|| RoomKey::generate(&mut self.rng));
        let random = RoomRandom::generate(&mut self.rng);
        let handle = self.genesis.handle();
        let heads = self.authority.heads();
        let count = (self.authority.next_count(&heads, &self.genesis)).ok_or(CommandRefused::LogFull)?;
        let derive = |hash| GenerationKeys::derive(&room_key, &random, &handle, Generation { count, hash });
        let rekey = Rekey {
            count,
            // The keys depend on the count and r, not on the hash that this goes into.
            key_commit: derive(OperationHash::from_bytes([0; 32])).commit(),
            members_hash: epoch::roster_hash(&members),
            member_count: u32::try_from(members.len()).unwrap_or(u32::MAX),
        };
        let author = self.own.admin().map_or(Author::Member(&self.identity), Author::Admin);
        let signed = SignedOperation::create(author, heads, purpose.operation(rekey), &self.genesis_hash)
            .map_err(|_| CommandRefused::LogFull)?;
        self.must_count(&signed, Role::Moderator)?;
        let keys = derive(signed.hash());
        let mut custodians: Vec<LeafId> = roster
            .values()
            .filter(|leaf| leaf.id() != mine.id() && self.members.present(leaf, now.elapsed))
            .map(|leaf| leaf.id())
            .take(CUSTODIANS - 1)
            .collect();
        custodians.push(mine.id());
        let params = IssueParams {
            generation: keys.generation(),
            round: Round::of_day(now.unix_ms),
            issuer: mine.id(),
            custodians,
            members: &entries,
        };
        let new = NewKey {
            room_key: &room_key,
            random: &random,
        };
        let signer = &self.own.secrets().signing;
        let issued = epoch::issue_generation(&mut self.rng, keys.psk(), new, &self.genesis_hash, params, signer)
            .map_err(|error| {
                tracing::warn!(%error, "a new generation can't be made");
                CommandRefused::NotReady
            })?;
        let leaves: Vec<_> = roster.values().map(|leaf| (leaf.id(), *leaf.key())).collect();
        let epoch = Epoch::new(issued.secrets, &issued.announcement, &leaves).map_err(|error| {
            tracing::error!(%error, "a generation of our own making does not fit together");
            CommandRefused::NotReady
        })?;
        self.authority.insert_verified(signed.clone(), &self.genesis);
        let object = UnverifiedObject {
            log: self.log_up_to(&signed),
            issuer: Record::Leaf(mine).to_unverified(),
            announcement: issued.announcement.to_unverified_with_members(),
            boxes: issued.boxes.clone(),
        };
        let hash = signed.hash();
        self.keep(hash, object, Some(self.me));
        let id = epoch.id();
        self.epochs.add(issued.announcement, now.elapsed);
        if let Some(known) = self.epochs.known_mut(&id) {
            known.boxes = issued.boxes.into_iter().map(|sealed| (sealed.leaf, sealed)).collect();
        }
        self.epochs.hold(epoch, now.elapsed);
        self.generations.hold(HeldKey { room_key, random, keys });
        // Under the old keys, on the old mesh: there is nobody on the new one yet.
        self.spread_generation(&signed);
        self.settle_generation(now);
        Ok(())
    }

    /// The log in which an operation counts: what an object carries.
    fn log_up_to(&self, signed: &SignedOperation) -> Vec<UnverifiedOperation> {
        let past = self.authority.past_of(signed.hash(), &self.genesis);
        let ordered = self.authority.ordered(&self.genesis);
        ordered
            .iter()
            .filter(|operation| past.contains(&operation.hash()))
            .map(SignedOperation::to_unverified)
            .collect()
    }

    /// Tells everybody of an operation whose object can be asked of us.
    pub(super) fn spread_generation(&mut self, signed: &SignedOperation) {
        self.publish_control(&ControlMessage::Operation(signed.to_unverified()));
        self.push_to_links(&[], std::slice::from_ref(signed), &[]);
    }

    pub(super) fn keep(&mut self, hash: OperationHash, object: UnverifiedObject, by: Option<IdentityKey>) {
        let members = object.announcement.unverified_members().unwrap_or_default().to_vec();
        self.generations.carry(hash, Carried { members, by });
        self.generations.keep_object(hash, Arc::new(object));
        self.prune_generations(Some(&hash));
    }

    /// Bounds what is kept of generations, after something was added.
    pub(super) fn prune_generations(&mut self, added: Option<&OperationHash>) {
        let authority = &self.authority;
        self.generations.prune(added, |hash| {
            let rekey = authority.get(hash)?.operation().rekey()?;
            Some(rekey.generation(*hash))
        });
    }

    /// An announcement of a generation's first epoch tells whom it carried over: the operation's author vouches for that by their hash,
    /// so their leaves can be verified before the announcement's signature can.
    pub(super) fn note_carried(&mut self, announcement: &UnverifiedAnnouncement) {
        let header = announcement.unverified_header();
        let Some(members) = announcement.unverified_members() else {
            return;
        };
        if header.kind != EpochKind::KeyGen || self.generations.carried(&header.generation.hash).is_some() {
            return;
        }
        if self.is_first_of_generation(header) {
            let members = members.to_vec();
            let carried = Carried { members, by: None };
            self.generations.carry(header.generation.hash, carried);
            self.prune_generations(Some(&header.generation.hash));
        }
    }

    /// Whether the operation that makes a generation means this epoch as its first.
    pub(super) fn is_first_of_generation(&self, header: &EpochHeader) -> bool {
        let made = self.authority.get(&header.generation.hash);
        made.and_then(|signed| Some((signed.operation().rekey()?, signed.hash())))
            .is_some_and(|(rekey, hash)| {
                header.kind == EpochKind::KeyGen
                    && rekey.members_hash == header.members_hash
                    && rekey.generation(hash) == header.generation
            })
    }

    /// What lets a leaf in: the key of its generation, or having been carried into one that we hold.
    pub(super) fn verify_record(&self, record: UnverifiedRecord) -> Result<Record, snug_crypto::leaf::RecordError> {
        record.verify_with(&self.genesis_hash, |generation, leaf| {
            let is_carried = || {
                let held = self.generations.all_held();
                let held = held.iter().map(|held| held.keys.generation().hash);
                // One that passed us by is about to be opened with such leaves.
                let valid = self.authority.evaluation().generations.iter();
                let mut carried = held
                    .chain(valid.map(|(generation, _)| generation.hash))
                    .filter_map(|hash| self.generations.carried(&hash));
                carried.any(|carried| carried.holds(&leaf))
            };
            match self.generations.held(&generation) {
                Some(held) => Admit::With(held.keys.join()),
                None if is_carried() => Admit::Carried,
                None => Admit::Unknown,
            }
        })
    }

    /// A Room Key that somebody handed over: taken if it is what the operation commits to.
    pub(super) fn take_handed(&mut self, bytes: &[u8], now: Now) {
        let Some(leaf) = self.known_leaf(&self.me).cloned() else {
            return;
        };
        let lacking: Vec<SignedOperation> = (self.authority.evaluation().generations.iter())
            .filter(|(generation, _)| self.generations.held(generation).is_none())
            .filter_map(|(generation, _)| self.authority.get(&generation.hash).cloned())
            .collect();
        for signed in lacking {
            let Some(rekey) = signed.operation().rekey() else {
                continue;
            };
            let generation = rekey.generation(signed.hash());
            let handle = self.genesis.handle();
            let (genesis, id) = (&self.genesis_hash, leaf.id());
            let opened = (self.own.kems())
                .find_map(|kem| hand_over::open(bytes, kem, generation, genesis, &id, &handle, &rekey.key_commit));
            if let Some(handed) = opened {
                self.generations.hold(HeldKey {
                    room_key: handed.room_key,
                    random: handed.random,
                    keys: handed.keys,
                });
                return self.settle_generation(now);
            }
        }
    }

    /// What a peer gets to hear that may be in an earlier generation: the object of ours, and its Room Key if it is on our roster. This is
    /// all that is answered over a link that proved an earlier mesh key.
    pub(super) fn answer_door(
        &mut self,
        record: UnverifiedRecord,
        theirs: Generation,
        now: Now,
    ) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let current = self.keys.generation();
        let Ok(Record::Leaf(leaf)) = self.verify_record(record) else {
            return (None, None);
        };
        let object = (theirs != current)
            .then(|| self.object_for(&current.hash, &leaf.id()))
            .flatten();
        let admission = Admission::new(
            current,
            &self.generations,
            &self.authority,
            &self.genesis,
            &self.members,
        );
        let on_roster = self
            .members
            .roster(&admission, now.unix_ms)
            .get(&leaf.identity())
            .map(|known| known.seq());
        // A new incarnation of somebody who was carried over gets the key too: its owner signed it, and lost its boxes. An earlier leaf
        // doesn't: its KEM key may be what somebody stole.
        let handed = match (on_roster, self.generations.held(&current)) {
            (Some(newest), Some(held)) if leaf.seq() >= newest => {
                let new = NewKey {
                    room_key: &held.room_key,
                    random: &held.random,
                };
                hand_over::seal(&mut self.rng, new, current, &self.genesis_hash, &leaf)
            }
            _ => None,
        };
        (object, handed)
    }

    /// An object with as many boxes as fit: all, or that of one leaf.
    pub(super) fn object_for(&self, operation: &OperationHash, leaf: &LeafId) -> Option<Vec<u8>> {
        let object = self.generations.object(operation)?;
        object.encode().ok().or_else(|| {
            let one = UnverifiedObject {
                boxes: object
                    .boxes
                    .iter()
                    .filter(|sealed| sealed.leaf == *leaf)
                    .cloned()
                    .collect(),
                ..(**object).clone()
            };
            one.encode().ok()
        })
    }

    /// The current generation's object, if all of it fits into one.
    pub(super) fn current_object(&self) -> Option<Vec<u8>> {
        self.generations.object(&self.keys.generation().hash)?.encode().ok()
    }

    /// Moves to the generation that counts, or learns that we are out of it.
    pub(super) fn settle_generation(&mut self, now: Now) {
        if self.is_over() {
            return;
        }
        // The most current first; the room's first one needs no operation to be valid.
        let evaluation = self.authority.evaluation();
        let mut valid: Vec<Generation> = evaluation
            .generations
            .iter()
            .map(|(generation, _)| *generation)
            .collect();
        valid.push(Generation::first(&self.genesis_hash));
        let best_held = valid
            .iter()
            .find(|generation| self.generations.held(generation).is_some());
        let best_whole = valid
            .iter()
            .find(|generation| {
                self.generations.object(&generation.hash).is_some() || !self.keeps(Rule::WholeGenerations)
            })
            .copied();
        let by_hash = self.keeps(Rule::GenerationsByHash);
        let outranks = |other: &Generation, current: &Generation| {
            let is_later = other.cmp_currency(current).is_gt() && (by_hash || other.count > current.count);
            other != current && (!valid.contains(current) || is_later)
        };
        if let Some(generation) = best_held
            .filter(|held| outranks(held, &self.keys.generation()))
            .copied()
        {
            self.adopt(generation, now);
        }
        let current = self.keys.generation();
        let Some(above) = best_whole.filter(|whole| outranks(whole, &current)) else {
            return;
        };
        // A generation counts that we don't hold: with a box of ours in it that did not open, somebody will hand us its key.
        if self.carries_us(&above.hash) != Some(true) {
            self.left_out(above, now);
        }
    }

    fn adopt(&mut self, generation: Generation, now: Now) {
        let Some(held) = self.generations.held(&generation) else {
            return;
        };
        let keys = held.keys.clone();
        tracing::debug!(count = generation.count, "moved to a new generation of the Room Key");
        self.tell_of_generation(generation, now);
        let before = self.keys.generation();
        self.keys = keys;
        self.judgement = None;
        self.own.generation_changed(now.elapsed, &mut self.rng);
        self.certify_own(now);
        self.begin_move(now);
        self.hand_to_keepers(before, now);
        self.entered(now);
    }

    /// Whether a generation carried a leaf of ours over; `None` where we don't know whom it did.
    fn carries_us(&self, operation: &OperationHash) -> Option<bool> {
        let is_mine = |leaf: &LeafId| self.members.leaf(leaf).is_some_and(|leaf| leaf.identity() == self.me);
        let carried = self.generations.carried(operation)?;
        Some(carried.members.iter().any(|member| is_mine(&member.leaf)))
    }

    /// The generation that counts does not hold us.
    fn left_out(&mut self, generation: Generation, now: Now) {
        if self.my_role() == Role::Admin
            && let Some(usurped) = self.usurped(&generation.hash)
        {
            return self.strike_back(&usurped, now);
        }
        self.tell_removed(now);
        self.phase = Phase::Over;
    }

    /// How it came to a generation without us, if that is no admin's.
    fn usurped(&self, generation: &OperationHash) -> Option<Usurped> {
        let by_admin = |signed: &SignedOperation| {
            signed.is_by_admin_key(&self.genesis) || self.authority.role(&signed.author()) == Role::Admin
        };
        if by_admin(self.authority.get(generation)?) {
            return None;
        }
        let past = self.authority.past_of(*generation, &self.genesis);
        let made = past.iter().filter_map(|hash| self.authority.get(hash));
        let mut made: Vec<(u64, OperationHash, IdentityKey)> = made
            .filter(|signed| !by_admin(signed))
            .filter_map(|signed| Some((signed.operation().rekey()?.count, signed.hash(), signed.author())))
            .collect();
        made.sort_unstable();
        let (_, without_us, by) = *(made.iter()).find(|(_, hash, _)| self.carries_us(hash) == Some(false))?;
        // Nobody is on a roster of ours while something is removed of which we don't know who is left.
        let held = |hash: &OperationHash| {
            let generation = self.authority.get(hash).and_then(SignedOperation::generation);
            generation.is_some_and(|generation| self.generations.held(&generation).is_some())
        };
        let (_, first, _) = *(made.iter()).find(|(_, hash, _)| !held(hash) && self.carries_us(hash) != Some(true))?;
        Some(Usurped { first, without_us, by })
    }

    /// A moderator made a generation without an admin: the admin's word, which has not seen it, voids it and removes the moderator. What another
    /// one built on that in good faith still counts, so a further generation is made on top.
    fn strike_back(&mut self, usurped: &Usurped, now: Now) {
        let made = if self.authority.evaluation().valid.contains(&usurped.without_us) {
            self.authority.forget(&usurped.first, &self.genesis);
            self.make_generation(Purpose::Kick(usurped.by), None, now)
        } else {
            self.make_generation(Purpose::Rekey, None, now)
        };
        if let Err(error) = made {
            tracing::warn!(%error, "a moderator's generation without us, an admin, could not be voided");
        }
    }

    /// The leaf that a record must name, for questions about members who may be gone.
    pub(super) fn known_leaf(&self, identity: &IdentityKey) -> Option<&Arc<Leaf>> {
        self.members.current_leaf(identity)
    }

    /// Gossip of the generation that we are moving away from is still understood; what it says of members no longer counts.
    pub(super) fn take_old_control(&mut self, from: PeerKey, message: ControlMessage, now: Now) -> Verdict {
        match message {
            ControlMessage::Operation(operation) => {
                self.take_operation(from, operation, super::frames::Way::Gossip, now)
            }
            _ => Verdict::Ignore,
        }
    }
}
