//! The objects of generations: asked for, taken, opened (docs/PROTOCOL.md, "A new generation").

use std::collections::BTreeSet;

use snug_crypto::bounds::MAX_OBJECT_BYTES;
use snug_crypto::direct::DirectRequest;
use snug_crypto::epoch::{self, BoxError, EpochKind};
use snug_crypto::frame::Epoch;
use snug_crypto::ids::{LeafId, OperationHash, PeerKey};
use snug_crypto::leaf::{Admit, Record};
use snug_crypto::object::UnverifiedObject;
use snug_crypto::operation::{Rekey, SignedOperation};

use super::exchange::Question;
use super::generations::{Carried, HeldKey};
use super::timing::{OBJECT_PATIENCE, OBJECT_RETRY};
use super::{Now, Output, Room, RoomEvent, Warning};

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
        let objected = object.map(|bytes| self.take_object(&bytes, Told::Asked, now));
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
}
