//! The objects of generations: asked for, taken, opened (docs/PROTOCOL.md, "A new generation").

use std::collections::BTreeSet;

use snug_crypto::bounds::MAX_OBJECT_BYTES;
use snug_crypto::direct::DirectRequest;
use snug_crypto::epoch::{self, Announcement, BoxError, EpochKind, OpenedKey, SealedBox};
use snug_crypto::frame::Epoch;
use snug_crypto::ids::{LeafId, OperationHash, PeerKey};
use snug_crypto::leaf::{Admit, Record};
use snug_crypto::object::UnverifiedObject;
use snug_crypto::operation::{Rekey, SignedOperation};

use super::exchange::Question;
use super::generations::{Carried, HeldKey};
use super::timing::{OBJECT_PATIENCE, OBJECT_RETRY};
use super::{Now, Output, Room};

/// What a member's box takes of an object, with its path and its entry, at most: as long as so much for each fits, all boxes have to be there.
const BOX_AND_PATH: usize = 2_048;

/// What became of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Objected {
    /// It counts, or it was known.
    Taken,
    /// It is not what it has to be: whoever gave it is to blame.
    Bad,
    /// Something that it builds on is missing, or it doesn't count here.
    Useless,
    /// Its operation counts, and its issuer has cheated: another one is looked for.
    Cheated,
}

/// How an object came: what nobody asked for is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// We asked for it.
    Asked,
    /// Somebody over a link told us.
    Link(PeerKey),
    /// Somebody at a door, under a key that says nothing: it is a new one whenever whoever comes wants it to be.
    Door,
}

impl Room {
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
            let is_fresh = |peer: &&PeerKey| !wanted.refused.contains(*peer) && !wanted.misled.contains(*peer);
            let fresh = links.iter().find(is_fresh).copied();
            match fresh {
                Some(to) => self.ask_object(to, hash, now),
                None => wanted.refused.clear(),
            }
        }
    }

    /// A reply to our question for an object.
    pub(super) fn on_object(&mut self, operation: OperationHash, from: PeerKey, object: Option<Vec<u8>>, now: Now) {
        if self.authority.contains(&operation) && !self.generations.wanted.contains_key(&operation) {
            return;
        }
        let objected = object.map(|bytes| self.take_object(&bytes, Told::Asked, now));
        if objected != Some(Objected::Taken)
            && let Some(wanted) = self.generations.wanted.get_mut(&operation)
        {
            wanted.refused.insert(from);
            if objected == Some(Objected::Cheated) {
                wanted.misled.insert(from);
            }
            wanted.next_ask = now.elapsed;
        }
        if objected == Some(Objected::Bad) {
            self.out.push_back(Output::Disconnect { peer: from });
        }
    }

    /// Takes a generation's object, from wherever: everything in it proves itself, cheapest first. It counts when it is whole: its operation in the log's
    /// company, its roster, its epoch, and all boxes, or ours where not all fit.
    pub(super) fn take_object(&mut self, bytes: &[u8], told: Told, now: Now) -> Objected {
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
        let Some((named, rekey)) = named.and_then(|named| Some((named, *named.unverified_operation().rekey()?))) else {
            return Objected::Bad;
        };
        if header.kind != EpochKind::KeyGen
            || rekey.generation(target) != generation
            || rekey.members_hash != header.members_hash
            || rekey.member_count != header.member_count
        {
            return Objected::Bad;
        }
        // Whose word it is, and whether it is: so much is cheap, and nobody without a say comes further.
        if !(self.authority).may_come_to_speak(&named.unverified_author(), &object.log, &self.genesis) {
            return Objected::Useless;
        }
        if named.clone().verify(&self.genesis).is_err() {
            return Objected::Bad;
        }
        if !self.may_tell(told, now) {
            return Objected::Useless;
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
        // Everybody carried over has the keys, and could seal others something else: only the author issues, where it is one of them.
        let by = issuer.identity();
        let author = named.unverified_author();
        let is_authors = author == by;
        if !is_authors && author.as_bytes() != self.genesis.admin().as_bytes() {
            return Objected::Bad;
        }
        if self.generations.cheated(&target, &by) {
            return Objected::Cheated;
        }
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
        match self
            .authority
            .insert_with_past(object.log.clone(), target, &self.genesis)
        {
            Ok(true) => {}
            Ok(false) => return Objected::Useless,
            Err(_) => return Objected::Bad,
        }
        let opened = self.open_ours(&announcement, &object.boxes, &rekey);
        if let Some(Err(error @ (BoxError::IssuerFault | BoxError::Unsupported))) = &opened {
            self.tell_unusable(&issuer, *error, now);
        }
        self.members.merge(Record::Leaf(issuer), now.unix_ms);
        // Where the admin key made the generation, its holder issued it, and we can't tell who that is. What is not theirs is handed to nobody.
        if matches!(opened, Some(Err(BoxError::IssuerFault))) && !is_authors {
            self.generations.note_cheat(target, by);
            self.generations.carry(target, carried);
            self.prune_generations(Some(&target));
            self.generations.want(target, now.elapsed);
            self.settle_generation(now);
            return Objected::Cheated;
        }
        let boxes = object.boxes.clone();
        self.keep(target, object, Some(by));
        self.generations.wanted.remove(&target);
        let id = announcement.epoch_id();
        self.epochs.add(announcement.clone(), now.elapsed);
        if let Some(known) = self.epochs.known_mut(&id) {
            known
                .boxes
                .extend(boxes.into_iter().map(|sealed| (sealed.leaf, sealed)));
        }
        if let Some(Ok(opened)) = opened {
            self.take_opened(opened, &announcement, now);
        }
        if let Some(signed) = self.authority.get(&target).cloned() {
            self.spread_generation(&signed);
        }
        self.settle_generation(now);
        Objected::Taken
    }

    /// Whether one more object is looked at, from there.
    fn may_tell(&mut self, told: Told, now: Now) -> bool {
        let whose = match told {
            Told::Asked => return true,
            Told::Link(peer) => Some(peer),
            Told::Door => None,
        };
        let may = self.flood.objects.admits(&whose, now.elapsed);
        if may {
            self.flood.objects.charge(whose, now.elapsed);
        }
        may
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

    /// Opens our box among a generation's: `None` if there is none that we have a key for.
    fn open_ours(
        &self,
        announcement: &Announcement,
        boxes: &[SealedBox],
        rekey: &Rekey,
    ) -> Option<Result<OpenedKey, BoxError>> {
        let mine = self.known_leaf(&self.me)?.id();
        let sealed = boxes.iter().find(|sealed| sealed.leaf == mine)?;
        let (_, entry) = announcement.member(&mine)?;
        let kem = self.own.kem(&entry.kem_hash)?;
        let handle = self.genesis.handle();
        Some(epoch::open_key_box(
            announcement,
            sealed,
            kem,
            &handle,
            &rekey.key_commit,
        ))
    }

    fn take_opened(&mut self, opened: OpenedKey, announcement: &Announcement, now: Now) {
        let leaves: Vec<_> = (announcement.members().iter())
            .filter_map(|member| self.members.leaf(&member.leaf).map(|leaf| (member.leaf, *leaf.key())))
            .collect();
        // A leaf that isn't here yet comes with the next sync; the box is asked for again then.
        if let Ok(epoch) = Epoch::new(opened.secrets, announcement, &leaves) {
            self.epochs.hold(epoch, now.elapsed);
        }
        self.generations.hold(HeldKey {
            room_key: opened.room_key,
            random: opened.random,
            keys: opened.keys,
        });
    }
}
