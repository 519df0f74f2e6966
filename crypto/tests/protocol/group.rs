//! A whole group, driven by steps from anywhere: real leaves, epochs, boxes and frames of 2 to 8 members, any of whom may
//! lag, lose what it was sent, lose its state, rotate its keys, be removed or be a newcomer.
//!
//! After each step the model below says what must have happened. The property tests and the fuzzer drive the same group.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    AdminKey, Generation, GenerationKeys, Genesis, GenesisHash, Identity, LeafId, OperationHash, Policy, RoomId,
    RoomKey, RoomRandom, TransportKey,
    content::Content,
    epoch::{self, BoxError, IssueParams, Issued, MemberEntry, Round},
    frame::{Epoch, FrameError},
    kem::KemSecret,
    leaf::{Leaf, LeafParams, LeafPublicKey, LeafSecrets},
};

/// Most members, those who were removed included.
const MAX_MEMBERS: usize = 8;
/// Most epochs: each costs an encapsulation for each member.
const MAX_EPOCHS: usize = 12;

/// What happens. The numbers choose among what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member says something under the newest epoch that it holds.
    Send { from: u8, len: u8 },
    /// A frame reaches a member: early, late or again.
    Deliver { frame: u8, to: u8 },
    /// A frame reaches a member with a bit changed.
    Damage { frame: u8, to: u8, bit: u8 },
    /// A member issues an epoch of everybody in its generation.
    Issue { by: u8 },
    /// A member is given a box, its own or another's, by anybody.
    Box { epoch: u8, to: u8, of: u8 },
    /// A member takes a new KEM key; its old ones live on until `Erase`.
    Rotate { member: u8 },
    /// A member erases its old KEM keys.
    Erase { member: u8 },
    /// A member loses all its state, and comes back as another incarnation.
    Lose { member: u8 },
    /// A member is removed: the others have a new generation, it keeps all it ever had.
    Remove { member: u8 },
    /// Somebody new comes in.
    Join,
}

impl Step {
    /// Any four bytes are a step.
    pub fn from_bytes([kind, a, b, c]: [u8; 4]) -> Self {
        match kind % 16 {
            0..=3 => Self::Send { from: a, len: b },
            4..=7 => Self::Deliver { frame: a, to: b },
            8 => Self::Damage {
                frame: a,
                to: b,
                bit: c,
            },
            9 => Self::Issue { by: a },
            10 | 11 => Self::Box { epoch: a, to: b, of: c },
            12 => Self::Rotate { member: a },
            13 => Self::Erase { member: a },
            14 if b < 128 => Self::Lose { member: a },
            14 => Self::Remove { member: a },
            _ => Self::Join,
        }
    }
}

struct Member {
    identity: Identity,
    secrets: LeafSecrets,
    leaf: Leaf,
    /// Every KEM key that it has not erased.
    kems: Vec<KemSecret>,
    /// The newest generation whose Room Key it holds.
    generation: usize,
    removed: bool,
    epochs: BTreeMap<usize, Epoch>,
    read: BTreeSet<usize>,
}

struct Announced {
    issued: Issued,
    generation: usize,
    /// Who is in it, and the leaf keys of its time.
    leaves: BTreeMap<usize, LeafId>,
    keys: Vec<(LeafId, LeafPublicKey)>,
}

struct Sent {
    epoch: usize,
    from: LeafId,
    bytes: Vec<u8>,
    said: String,
}

/// The group.
pub struct Group {
    rng: ChaCha20Rng,
    genesis: Genesis,
    generations: Vec<GenerationKeys>,
    members: Vec<Member>,
    epochs: Vec<Announced>,
    frames: Vec<Sent>,
}

impl Group {
    /// A room with so many members, and no epoch yet.
    pub fn new(seed: u64, members: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let admin = AdminKey::generate(&mut rng);
        let id = RoomId::parse("den").unwrap();
        let genesis = Genesis::create(&admin, &id, "", 0, Policy::default()).unwrap();
        let (epochs, frames) = (Vec::new(), Vec::new());
        let mut group = Self {
            rng,
            genesis,
            generations: Vec::new(),
            members: Vec::new(),
            epochs,
            frames,
        };
        group.turn_the_key();
        for _ in 0..members.clamp(2, MAX_MEMBERS) {
            group.join();
        }
        group
    }

    /// Does what the step says, if it can be done, and holds what comes of it against the model.
    pub fn step(&mut self, step: Step) {
        let members = self.members.len();
        let at = |number: u8| usize::from(number) % members;
        match step {
            Step::Send { from, len } => self.send(at(from), usize::from(len) * 40),
            Step::Deliver { frame, to } if !self.frames.is_empty() => {
                self.deliver(usize::from(frame) % self.frames.len(), at(to))
            }
            Step::Damage { frame, to, bit } if !self.frames.is_empty() => {
                self.damage(usize::from(frame) % self.frames.len(), at(to), usize::from(bit));
            }
            Step::Issue { by } => self.issue(at(by)),
            Step::Box { epoch, to, of } if !self.epochs.is_empty() => {
                self.give_box(usize::from(epoch) % self.epochs.len(), at(to), at(of));
            }
            Step::Rotate { member } => self.rotate(at(member)),
            Step::Erase { member } => {
                let member = &mut self.members[at(member)];
                member.kems.drain(..member.kems.len() - 1);
            }
            Step::Lose { member } => self.lose(at(member)),
            Step::Remove { member } => self.remove(at(member)),
            Step::Join if members < MAX_MEMBERS => self.join(),
            Step::Deliver { .. } | Step::Damage { .. } | Step::Box { .. } | Step::Join => (),
        }
    }

    /// The partition ends: everybody hears everything, one epoch is issued, everybody speaks, everybody reads everybody. Those
    /// who were removed try all they ever had on all that was recorded.
    pub fn heal(&mut self) {
        let present: Vec<usize> = (0..self.members.len())
            .filter(|member| !self.members[*member].removed)
            .collect();
        let newest = self.generations.len() - 1;
        for member in &present {
            self.members[*member].generation = newest;
            self.refresh(*member);
        }
        let before = self.epochs.len();
        self.issue_of(present[0], &present);
        assert_eq!(self.epochs.len(), before + 1);
        for member in &present {
            self.give_box(before, *member, *member);
        }
        for member in &present {
            assert!(
                self.members[*member].epochs.contains_key(&before),
                "its box of the epoch after the heal opens"
            );
            self.send(*member, 1);
        }
        for frame in 0..self.frames.len() {
            for member in 0..self.members.len() {
                self.deliver(frame, member);
            }
        }
        for member in &present {
            let unread = (0..self.frames.len()).filter(|frame| self.frames[*frame].epoch == before);
            let mine = self.members[*member].leaf.id();
            let unread =
                unread.filter(|frame| self.frames[*frame].from != mine && !self.members[*member].read.contains(frame));
            assert_eq!(unread.count(), 0, "everybody reads everybody");
        }
        self.removed_read_nothing_new();
    }

    fn hash(&self) -> GenesisHash {
        self.genesis.hash()
    }

    /// A new generation: another Room Key, another r.
    fn turn_the_key(&mut self) {
        let (key, random) = (RoomKey::generate(&mut self.rng), RoomRandom::generate(&mut self.rng));
        let count = self.generations.len() as u64;
        let generation = match count {
            0 => Generation::first(&self.hash()),
            _ => Generation {
                count,
                hash: OperationHash::from_bytes([count as u8; 32]),
            },
        };
        self.generations.push(GenerationKeys::derive(
            &key,
            &random,
            &self.genesis.handle(),
            generation,
        ));
    }

    fn leaf(&mut self, identity: &Identity, secrets: &LeafSecrets, incarnation: u32, generation: usize) -> Leaf {
        let keys = &self.generations[generation];
        let params = LeafParams {
            name: "a".into(),
            seq: 1,
            incarnation,
            expires_at_ms: 1,
            generation: keys.generation(),
            approval: None,
        };
        let transport = TransportKey::generate(&mut self.rng);
        Leaf::create(params, identity, &transport, secrets, keys.join(), &self.genesis.hash()).unwrap()
    }

    fn join(&mut self) {
        let identity = Identity::generate(&mut self.rng);
        let secrets = LeafSecrets::generate(&mut self.rng);
        let generation = self.generations.len() - 1;
        let leaf = self.leaf(&identity, &secrets, 0, generation);
        self.members.push(Member {
            identity,
            kems: vec![secrets.kem.clone()],
            secrets,
            leaf,
            generation,
            removed: false,
            epochs: BTreeMap::new(),
            read: BTreeSet::new(),
        });
    }

    /// The member's leaf as it is now, in its generation.
    fn refresh(&mut self, member: usize) {
        let m = &self.members[member];
        let (identity, secrets) = (m.identity.clone(), m.secrets.clone());
        let leaf = self.leaf(&identity, &secrets, m.leaf.incarnation(), m.generation);
        assert_eq!(
            leaf.id(),
            self.members[member].leaf.id(),
            "a leaf id stays while the incarnation does"
        );
        self.members[member].leaf = leaf;
    }

    fn rotate(&mut self, member: usize) {
        let kem = KemSecret::generate(&mut self.rng);
        let m = &mut self.members[member];
        m.secrets.kem = kem.clone();
        m.kems.push(kem);
        self.refresh(member);
    }

    fn lose(&mut self, member: usize) {
        if self.members[member].removed {
            return;
        }
        let secrets = LeafSecrets::generate(&mut self.rng);
        let m = &self.members[member];
        let (identity, incarnation) = (m.identity.clone(), m.leaf.incarnation() + 1);
        let leaf = self.leaf(&identity, &secrets, incarnation, m.generation);
        let m = &mut self.members[member];
        m.kems = vec![secrets.kem.clone()];
        (m.secrets, m.leaf) = (secrets, leaf);
        m.epochs.clear();
        m.read.clear();
    }

    fn remove(&mut self, member: usize) {
        let present = self.members.iter().filter(|member| !member.removed).count();
        if present <= 2 || self.members[member].removed {
            return;
        }
        self.turn_the_key();
        self.members[member].removed = true;
        let newest = self.generations.len() - 1;
        for index in (0..self.members.len()).filter(|index| *index != member) {
            if !self.members[index].removed {
                self.members[index].generation = newest;
                self.refresh(index);
            }
        }
    }

    fn issue(&mut self, by: usize) {
        let generation = self.members[by].generation;
        let mates = (0..self.members.len()).filter(|member| self.members[*member].generation == generation);
        let mates: Vec<usize> = mates.collect();
        if self.epochs.len() < MAX_EPOCHS {
            self.issue_of(by, &mates);
        }
    }

    fn issue_of(&mut self, by: usize, mates: &[usize]) {
        let generation = self.members[by].generation;
        let members: Vec<_> = mates
            .iter()
            .map(|member| {
                (
                    MemberEntry::of(&self.members[*member].leaf),
                    self.members[*member].leaf.kem().clone(),
                )
            })
            .collect();
        let members: Vec<_> = members.iter().map(|(entry, kem)| (*entry, kem)).collect();
        let (keys, genesis) = (&self.generations[generation], self.genesis.hash());
        let params = IssueParams {
            generation: keys.generation(),
            round: Round {
                day: 1,
                counter: self.epochs.len() as u32,
            },
            issuer: self.members[by].leaf.id(),
            custodians: vec![],
            members: &members,
        };
        let signer = &self.members[by].secrets.signing;
        let issued = epoch::issue(&mut self.rng, keys.psk(), &genesis, params, signer).unwrap();
        let leaves = mates
            .iter()
            .map(|member| (*member, self.members[*member].leaf.id()))
            .collect();
        let keys = mates
            .iter()
            .map(|member| &self.members[*member].leaf)
            .map(|leaf| (leaf.id(), *leaf.key()))
            .collect();
        self.epochs.push(Announced {
            issued,
            generation,
            leaves,
            keys,
        });
    }

    /// `to` is handed the box of `of`, and opens it if, and only if, it is its own, for a key and a Room Key that it has.
    fn give_box(&mut self, epoch: usize, to: usize, of: usize) {
        let announced = &self.epochs[epoch];
        let Some(leaf) = announced.leaves.get(&of) else {
            return;
        };
        let announcement = &announced.issued.announcement;
        let sealed = announced
            .issued
            .boxes
            .iter()
            .find(|sealed| sealed.leaf == *leaf)
            .unwrap();
        let psk = self.generations[announced.generation].psk();
        let (_, entry) = announcement.member(leaf).unwrap();
        let member = &self.members[to];
        let held = member.kems.iter().find(|kem| kem.public().hash() == entry.kem_hash);
        let tried = held.or(member.kems.last()).unwrap();
        let opened = epoch::open_box(announcement, sealed, tried, psk);
        if held.is_none() {
            assert_eq!(opened.err(), Some(BoxError::NotForUs), "it has no key for this box");
            return;
        }
        let opened = opened.unwrap();
        assert_eq!(opened.epoch_id(), announcement.epoch_id());
        assert_eq!(
            opened.export().expose(),
            announced.issued.secrets.export().expose(),
            "one epoch, one secret"
        );
        // Only who lacks the Room Key of a generation could be here with a key and without a psk.
        if member.generation < announced.generation {
            return;
        }
        let live = Epoch::new(opened, announcement, &announced.keys).unwrap();
        self.members[to].epochs.entry(epoch).or_insert(live);
    }

    fn send(&mut self, from: usize, len: usize) {
        let said = format!("{} {}", self.frames.len(), "x".repeat(len));
        let contents = [text(&said)];
        let member = &mut self.members[from];
        let leaf = member.leaf.id();
        let Some((epoch, live)) = member.epochs.last_entry().map(|entry| (*entry.key(), entry.into_mut())) else {
            return;
        };
        let key = member.secrets.signing.clone();
        let sealed = live.seal(&mut self.rng, leaf, &key, &[], &contents).unwrap();
        self.frames.push(Sent {
            epoch,
            from: leaf,
            bytes: sealed.bytes,
            said,
        });
    }

    fn deliver(&mut self, frame: usize, to: usize) {
        let sent = &self.frames[frame];
        let member = &mut self.members[to];
        let mine = member.leaf.id() == sent.from;
        for (epoch, live) in &mut member.epochs {
            let opened = live.open(&sent.bytes);
            if *epoch != sent.epoch {
                assert_eq!(opened, Err(FrameError::OtherEpoch));
            } else if !mine && member.read.insert(frame) {
                let opened = opened.unwrap();
                assert_eq!(
                    (opened.sender, &opened.contents[..]),
                    (sent.from, &[text(&sent.said)][..])
                );
            } else {
                assert_eq!(opened, Err(FrameError::Duplicate), "each frame is read once");
            }
        }
    }

    fn damage(&mut self, frame: usize, to: usize, bit: usize) {
        let mut bytes = self.frames[frame].bytes.clone();
        let at = (bit * 31) % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        for live in self.members[to].epochs.values_mut() {
            live.open(&bytes).unwrap_err();
        }
    }

    /// Whoever was removed, with every key it ever had, the Room Keys it knew and a recording of everything.
    fn removed_read_nothing_new(&mut self) {
        for index in 0..self.members.len() {
            if !self.members[index].removed {
                continue;
            }
            let known = self.members[index].generation;
            for announced in self.epochs.iter().filter(|announced| announced.generation > known) {
                for sealed in &announced.issued.boxes {
                    for (kem, keys) in self.members[index]
                        .kems
                        .iter()
                        .flat_map(|kem| self.generations[..=known].iter().map(move |keys| (kem, keys)))
                    {
                        epoch::open_box(&announced.issued.announcement, sealed, kem, keys.psk()).unwrap_err();
                    }
                }
            }
            let later = |sent: &&Sent| self.epochs[sent.epoch].generation > known;
            for sent in self.frames.iter().filter(later) {
                for live in self.members[index].epochs.values_mut() {
                    live.open(&sent.bytes).unwrap_err();
                }
            }
        }
    }
}

fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        reply_to: None,
        sent_at_ms: 0,
    }
}
