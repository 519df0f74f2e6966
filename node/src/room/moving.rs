//! From one generation's mesh to the next one's: what was said is let out, what others need of us is given, then the net moves
//! (docs/PROTOCOL.md, "A new generation").
//!
//! Who is not done by then finds everything at the door: a link that proves an earlier mesh key, and is good for that question alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use snug_crypto::direct::{DirectReply, DirectRequest};
use snug_crypto::generation::{Generation, GenerationKeys, MeshKey};
use snug_crypto::ids::PeerKey;
use snug_crypto::names::RoomKey;

use super::objects::Told;
use super::timing::{MOVE_MAKER, MOVE_OTHERS};
use super::{Now, Output, Registering, RequestId, Room};

/// On our way.
pub(super) struct Moving {
    until: Duration,
    /// Whether we made the generation: then everybody asks us first.
    maker: bool,
    /// Peers that we gave the object.
    fetched: BTreeSet<PeerKey>,
}

/// Where the net moves to.
#[derive(Debug)]
pub struct Move {
    /// The generation's keys.
    pub keys: GenerationKeys,
    /// Its Room Key, for invites and the rendezvous.
    pub room_key: RoomKey,
    /// The mesh keys of earlier generations, the latest first: who proves one is answered at the door.
    pub doors: Vec<MeshKey>,
    /// What registers it at the rendezvous, where that is for us to do.
    pub register: Option<Registering>,
}

/// What a peer is asked at its door.
#[derive(Debug)]
pub struct Knock {
    /// Where our own generation is the one that the peer may have left.
    pub plain: Vec<u8>,
    /// Where the peer may not know of ours: a question under an earlier mesh key, which brings our generation's object.
    pub telling: Vec<u8>,
}

impl Room {
    pub(super) fn begin_move(&mut self, now: Now) {
        let generation = self.keys.generation();
        let carried = self.generations.carried(&generation.hash);
        let maker = carried.and_then(|carried| carried.by) == Some(self.me);
        let alone = self.members.links().next().is_none() && !self.keepers.any_linked();
        let patience = match (alone, maker) {
            (true, _) => Duration::ZERO,
            (_, true) => MOVE_MAKER,
            (_, false) => MOVE_OTHERS,
        };
        self.moving = Some(Moving {
            until: now.elapsed + patience,
            maker,
            fetched: BTreeSet::new(),
        });
    }

    /// A peer was given the object that everybody is after.
    pub(super) fn gave_object(&mut self, to: PeerKey, now: Now) {
        let waits = {
            let generation = self.keys.generation();
            let carried = self.generations.carried(&generation.hash);
            let Some(moving) = &mut self.moving else { return };
            moving.fetched.insert(to);
            let fetched = &moving.fetched;
            (self.members.current_leaves())
                .filter(|leaf| self.members.linked(&leaf.peer()) && carried.is_some_and(|c| c.holds(&leaf.id())))
                .any(|leaf| !fetched.contains(&leaf.peer()))
        };
        if let Some(moving) = &mut self.moving {
            let soon = now.elapsed + MOVE_OTHERS;
            moving.until = if waits && moving.maker {
                moving.until
            } else {
                soon.min(moving.until.max(soon))
            };
        }
    }

    /// A keeper was given all that it needs: where no member waits for us, nobody does.
    pub(super) fn gave_keeper(&mut self, now: Now) {
        let waited_for = self.members.links().next().is_some();
        if let (Some(moving), false) = (&mut self.moving, waited_for) {
            moving.until = moving.until.min(now.elapsed + MOVE_OTHERS);
        }
    }

    pub(super) fn tend_move(&mut self, now: Now) {
        if self.moving.as_ref().is_some_and(|moving| moving.until <= now.elapsed) {
            self.moving = None;
            let generation = self.keys.generation();
            let Some(held) = self.generations.held(&generation) else {
                return;
            };
            let there = Move {
                keys: self.keys.clone(),
                room_key: held.room_key.clone(),
                doors: self.doors(),
                register: self.registering(now),
            };
            self.out.push_back(Output::Move(Box::new(there)));
            self.prepare_knock();
        }
    }

    pub(super) fn move_due(&self) -> Option<Duration> {
        self.moving.as_ref().map(|moving| moving.until)
    }

    /// The mesh keys of the other generations that we hold, the latest first.
    pub fn doors(&self) -> Vec<MeshKey> {
        let current = self.keys.generation();
        let others = self
            .generations
            .all_held()
            .into_iter()
            .filter(|held| held.keys.generation() != current);
        others.map(|held| held.keys.mesh().clone()).collect()
    }

    /// Tells the net what to ask at a door, should it find itself at one.
    pub(super) fn prepare_knock(&mut self) {
        let Some(leaf) = self.own.leaf() else { return };
        let leaf = snug_crypto::leaf::Record::Leaf(Arc::clone(leaf)).to_unverified();
        let generation = self.keys.generation();
        let ask = |object| DirectRequest::Door {
            leaf: leaf.clone(),
            generation,
            object,
        };
        if let (Ok(plain), Ok(telling)) = (ask(None).encode(), ask(self.current_object()).encode()) {
            self.out.push_back(Output::Knock(Knock { plain, telling }));
        }
    }

    /// Somebody of an earlier generation is at the door.
    pub(super) fn on_knock(&mut self, id: RequestId, bytes: &[u8], now: Now) {
        let reply = match DirectRequest::decode(bytes) {
            Ok(DirectRequest::Door {
                leaf,
                generation,
                object,
            }) => self.open_door(leaf, generation, object, Told::Door, now),
            _ => return,
        };
        if let Ok(bytes) = reply.encode() {
            self.out.push_back(Output::Respond { id, bytes });
        }
    }

    /// Also asked over a link of this generation, by a member whose box did not open.
    pub(super) fn open_door(
        &mut self,
        leaf: snug_crypto::leaf::UnverifiedRecord,
        theirs: Generation,
        object: Option<Vec<u8>>,
        told: Told,
        now: Now,
    ) -> DirectReply {
        if let Some(object) = object {
            self.take_object(&object, told, now);
        }
        let (object, handed) = self.answer_door(leaf, theirs, now);
        DirectReply::Door { object, handed }
    }

    /// What a door had to say.
    pub(super) fn on_door(&mut self, bytes: &[u8], now: Now) {
        if let Ok(DirectReply::Door { object, handed }) = DirectReply::decode(bytes) {
            if let Some(object) = object {
                self.take_object(&object, Told::Asked, now);
            }
            if let (Some(handed), false) = (handed, self.is_over()) {
                self.take_handed(&handed, now);
            }
        } else {
            self.on_keepers_door(bytes, now);
        }
    }
}
