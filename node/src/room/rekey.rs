//! A new generation: made by the admin or a moderator, found by everybody else, adopted by all who were carried over
//! (docs/PROTOCOL.md, "A new generation").

use std::collections::BTreeSet;
use std::sync::Arc;

use snug_crypto::bounds::MAX_OBJECT_BYTES;
use snug_crypto::control::ControlMessage;
use snug_crypto::direct::DirectRequest;
use snug_crypto::epoch::{
    self, BoxError, EpochHeader, EpochKind, IssueParams, MemberEntry, NewKey, Round, UnverifiedAnnouncement,
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
use super::exchange::Question;
use super::generations::{Carried, HeldKey};
use super::timing::{CUSTODIANS, OBJECT_PATIENCE, OBJECT_RETRY};
use super::{Now, Output, Phase, Room, RoomEvent, Rule, Verdict, Warning};

/// What a member's box takes of an object, with its path and its entry, at most: as long as so much for each fits, all boxes have to be there.
const BOX_AND_PATH: usize = 2_048;

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

/// What became of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Objected {
    /// It counts, or it was known.
    Taken,
    /// It is not what it has to be: whoever gave it is to blame.
    Bad,
    /// Something that it builds on is missing, or it doesn't count here.
    Useless,
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
        if !self.authority.would_count(&signed, &self.genesis) {
            return Err(if self.authority.role(&self.me) < Role::Moderator {
                CommandRefused::NotModerator
            } else {
                CommandRefused::LogFull
            });
        }
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
    fn spread_generation(&mut self, signed: &SignedOperation) {
        self.publish_control(&ControlMessage::Operation(signed.to_unverified()));
        self.push_to_links(&[], std::slice::from_ref(signed), &[]);
    }

    fn keep(&mut self, hash: OperationHash, object: UnverifiedObject, by: Option<IdentityKey>) {
        let members = object.announcement.unverified_members().unwrap_or_default().to_vec();
        self.generations.carry(hash, Carried { members, by });
        let current = self.keys.generation();
        self.generations.keep_object(hash, Arc::new(object), &current);
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
        let Some(signed) = self.authority.get(&header.generation.hash) else {
            return;
        };
        let fits = signed.operation().rekey().is_some_and(|rekey| {
            rekey.members_hash == header.members_hash && rekey.generation(signed.hash()) == header.generation
        });
        if fits {
            let members = members.to_vec();
            let carried = Carried { members, by: None };
            self.generations.carry(header.generation.hash, carried);
        }
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

    /// An operation that makes a generation: its object is fetched, and only then it counts.
    pub(super) fn want_object(&mut self, signed: SignedOperation, from: PeerKey, now: Now) {
        let hash = signed.hash();
        if self.authority.contains(&hash) {
            return;
        }
        self.generations.want(hash, now.elapsed);
        self.ask_object(from, hash, now);
    }

    fn ask_object(&mut self, to: PeerKey, operation: OperationHash, now: Now) {
        let Some(leaf) = self.own.leaf_id() else { return };
        if let Some(wanted) = self.generations.wanted.get_mut(&operation) {
            wanted.next_ask = now.elapsed + OBJECT_RETRY;
        }
        if !self.questions.asking_object(&operation, &to) {
            self.ask(
                to,
                DirectRequest::Object { operation, leaf },
                Question::Object { operation, to },
            );
        }
    }

    /// Asks on for objects that nobody has given us yet.
    pub(super) fn tend_objects(&mut self, now: Now) {
        self.generations
            .wanted
            .retain(|_, wanted| now.elapsed.saturating_sub(wanted.since) < OBJECT_PATIENCE);
        let due: Vec<OperationHash> = (self.generations.wanted.iter())
            .filter(|(_, wanted)| wanted.next_ask <= now.elapsed)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in due {
            let links: Vec<PeerKey> = self.members.links().copied().collect();
            let Some(wanted) = self.generations.wanted.get_mut(&hash) else {
                continue;
            };
            wanted.next_ask = now.elapsed + OBJECT_RETRY;
            let fresh = links.iter().find(|peer| !wanted.refused.contains(*peer)).copied();
            match fresh {
                Some(to) => self.ask_object(to, hash, now),
                None => wanted.refused.clear(),
            }
        }
    }

    /// A reply to our question for an object.
    pub(super) fn on_object(&mut self, operation: OperationHash, from: PeerKey, object: Option<Vec<u8>>, now: Now) {
        if self.authority.contains(&operation) {
            return;
        }
        let objected = object.map(|bytes| self.take_object(&bytes, now));
        if objected != Some(Objected::Taken)
            && let Some(wanted) = self.generations.wanted.get_mut(&operation)
        {
            wanted.refused.insert(from);
            wanted.next_ask = now.elapsed;
        }
        if objected == Some(Objected::Bad) {
            self.out.push_back(Output::Disconnect { peer: from });
        }
    }

    /// Takes a generation's object, from wherever: everything in it proves itself. It counts when it is whole: its operation in the log's
    /// company, its roster, its epoch, and all boxes, or ours where not all fit.
    pub(super) fn take_object(&mut self, bytes: &[u8], now: Now) -> Objected {
        let Ok(object) = UnverifiedObject::decode(bytes) else {
            return Objected::Bad;
        };
        let header = object.announcement.unverified_header();
        let (generation, target) = (header.generation, header.generation.hash);
        if self.authority.contains(&target) && self.generations.object(&target).is_some() {
            return Objected::Taken;
        }
        let named = object
            .log
            .iter()
            .find(|operation| operation.hash(&self.genesis_hash) == target);
        let Some(rekey) = named.and_then(|named| named.unverified_operation().rekey().copied()) else {
            return Objected::Bad;
        };
        if header.kind != EpochKind::KeyGen
            || rekey.generation(target) != generation
            || rekey.members_hash != header.members_hash
            || rekey.member_count != header.member_count
        {
            return Objected::Bad;
        }
        // The operation vouches for those it carries, the issuer among them.
        let carried = Carried {
            members: object.announcement.unverified_members().unwrap_or_default().to_vec(),
            by: None,
        };
        let admit = |_, leaf: LeafId| {
            if carried.holds(&leaf) {
                Admit::Carried
            } else {
                Admit::Unknown
            }
        };
        let Ok(Record::Leaf(issuer)) = object.issuer.clone().verify_with(&self.genesis_hash, admit) else {
            return Objected::Bad;
        };
        let key = |leaf: LeafId| (leaf == issuer.id()).then(|| *issuer.key());
        let Ok(announcement) = object.announcement.clone().verify(&self.genesis_hash, key) else {
            return Objected::Bad;
        };
        if !object.boxes.iter().all(|sealed| sealed.is_of(&announcement)) {
            return Objected::Bad;
        }
        if !self.is_whole(&object, rekey.member_count) {
            return Objected::Useless;
        }
        let (log, by) = (object.log.clone(), issuer.identity());
        match self.authority.insert_with_past(log, target, &self.genesis) {
            Ok(true) => {}
            Ok(false) => return Objected::Useless,
            Err(_) => return Objected::Bad,
        }
        self.members.merge(Record::Leaf(issuer), now.unix_ms);
        let boxes = object.boxes.clone();
        self.keep(target, object, Some(by));
        self.generations.wanted.remove(&target);
        let id = announcement.epoch_id();
        self.epochs.add(announcement, now.elapsed);
        if let Some(known) = self.epochs.known_mut(&id) {
            known
                .boxes
                .extend(boxes.into_iter().map(|sealed| (sealed.leaf, sealed)));
        }
        self.open_generation(&rekey, target, now);
        if let Some(signed) = self.authority.get(&target).cloned() {
            self.spread_generation(&signed);
        }
        self.settle_generation(now);
        Objected::Taken
    }

    /// Whether an object has all boxes; or ours, where so many may not fit into one. Else whoever handed it on could keep some from those who
    /// take it from us.
    fn is_whole(&self, object: &UnverifiedObject, members: u32) -> bool {
        let boxed: BTreeSet<LeafId> = object.boxes.iter().map(|sealed| sealed.leaf).collect();
        if boxed.len() == members as usize {
            return true;
        }
        let mine = self.known_leaf(&self.me).map(|leaf| leaf.id());
        let listed = object.announcement.unverified_members().unwrap_or_default();
        let is_listed = |mine: LeafId| listed.iter().any(|entry| entry.leaf == mine);
        members as usize * BOX_AND_PATH > MAX_OBJECT_BYTES
            && mine.is_none_or(|mine| !is_listed(mine) || boxed.contains(&mine))
    }

    /// Opens our box of a generation that we have the object of.
    fn open_generation(&mut self, rekey: &Rekey, target: OperationHash, now: Now) {
        let Some(object) = self.generations.object(&target).cloned() else {
            return;
        };
        let id = object.announcement.epoch_id(&self.genesis_hash);
        let mine = self.known_leaf(&self.me).map(|leaf| leaf.id());
        let (Some(known), Some(mine)) = (self.epochs.known(&id), mine) else {
            return;
        };
        let Some(sealed) = known.boxes.get(&mine) else { return };
        let kem = known
            .announcement
            .member(&mine)
            .and_then(|(_, entry)| self.own.kem(&entry.kem_hash));
        let Some(kem) = kem else { return };
        let handle = self.genesis.handle();
        match epoch::open_key_box(&known.announcement, sealed, kem, &handle, &rekey.key_commit) {
            Ok(opened) => {
                let leaves: Vec<_> = (known.announcement.members().iter())
                    .filter_map(|member| self.members.leaf(&member.leaf).map(|leaf| (member.leaf, *leaf.key())))
                    .collect();
                // A leaf that isn't here yet comes with the next sync; the box is asked for again then.
                if let Ok(epoch) = Epoch::new(opened.secrets, &known.announcement, &leaves) {
                    self.epochs.hold(epoch, now.elapsed);
                }
                self.generations.hold(HeldKey {
                    room_key: opened.room_key,
                    random: opened.random,
                    keys: opened.keys,
                });
            }
            Err(BoxError::IssuerFault) => {
                // Others hold the same generation, and can hand us its key; the operation commits to it.
                let by = self.generations.carried(&target).and_then(|carried| carried.by);
                if let Some(leaf) = by.and_then(|by| self.members.current_leaf(&by)).cloned() {
                    let view = self.view_of(&leaf, now);
                    let (issuer, fingerprint) = (view.name, view.fingerprint);
                    self.event(RoomEvent::Warning(Warning::BadEpoch { issuer, fingerprint }));
                }
            }
            Err(BoxError::ServerFault | BoxError::NotForUs) => {}
        }
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
        let is_mine = |leaf: &LeafId| self.members.leaf(leaf).is_some_and(|leaf| leaf.identity() == self.me);
        let carried = self.generations.carried(&above.hash);
        let listed = carried.is_some_and(|carried| carried.members.iter().any(|member| is_mine(&member.leaf)));
        if !listed {
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
        self.begin_move(now);
        self.hand_to_keepers(before, now);
        self.entered(now);
    }

    /// The generation that counts does not hold us.
    fn left_out(&mut self, generation: Generation, now: Now) {
        let signed = self.authority.get(&generation.hash).cloned();
        let by_admin = signed.as_ref().is_some_and(|signed| {
            signed.is_by_admin_key(&self.genesis) || self.authority.role(&signed.author()) == Role::Admin
        });
        if let (Some(signed), false, Some(_)) = (&signed, by_admin, self.own.admin()) {
            return self.strike_back(signed, now);
        }
        self.tell_removed(signed.as_ref(), now);
        self.phase = Phase::Over;
    }

    /// A moderator made a generation without the admin: the admin's word voids it, and removes the moderator.
    fn strike_back(&mut self, usurping: &SignedOperation, now: Now) {
        let author = usurping.author();
        self.authority.forget(&usurping.hash(), &self.genesis);
        if let Err(error) = self.make_generation(Purpose::Kick(author), None, now) {
            tracing::warn!(%error, "a moderator's generation without the admin could not be voided");
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
