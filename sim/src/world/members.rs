//! Members: how they come into the world, leave it, and come back; what they are made to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use snug::room::{Command, GossipId, Input, Output, RequestId, Room, RoomConfig, Ticket, Verdict};
use snug_crypto::AdminKey;
use snug_crypto::capsule::Capsule;
use snug_crypto::direct::DirectRequest;
use snug_crypto::generation::{GenerationKeys, RoomRandom};
use snug_crypto::identity::{Identity, TransportKey};
use snug_crypto::ids::PeerKey;
use snug_crypto::names::RoomKey;
use snug_crypto::rest::RestBytes;

use super::World;
use crate::node::Node;

/// Who somebody is: what it is called, its identity's seed, and whether it holds the admin's key.
struct Person<'a> {
    name: &'a str,
    seed: [u8; 32],
    admin: bool,
    skew_ms: i64,
}

impl World {
    /// A new member with an identity of its own; not linked yet.
    pub fn add(&mut self, name: &str) -> usize {
        let seed = self.rng.random();
        self.add_identity(name, seed)
    }

    /// New members, who enter one after the other, each when those before have settled.
    ///
    /// # Panics
    /// If they don't settle within half a minute.
    pub fn fill(&mut self, count: usize) {
        for members in 1..=count {
            let node = self.add(&format!("member{}", members - 1));
            self.enter(node);
            let settles = self.run_until(Duration::from_secs(30), |world| world.settled(members));
            assert!(settles.is_some(), "{members} members do not settle");
        }
    }

    /// A new member whose clock is off.
    pub fn add_skewed(&mut self, name: &str, skew_ms: i64) -> usize {
        let seed = self.rng.random();
        let capsule = self.first_capsule();
        let person = Person {
            name,
            seed,
            admin: false,
            skew_ms,
        };
        self.add_with(&person, capsule, self.room_key.clone())
    }

    /// A new member of a given identity.
    pub fn add_identity(&mut self, name: &str, identity_seed: [u8; 32]) -> usize {
        self.add_member(name, identity_seed, false)
    }

    /// A member that holds the admin's key.
    pub fn add_admin(&mut self, name: &str) -> usize {
        let seed = self.rng.random();
        self.add_member(name, seed, true)
    }

    /// A new member that enters with what a capsule of `of`'s generation holds.
    pub fn add_later(&mut self, name: &str, of: usize) -> usize {
        let seed = self.rng.random();
        self.add_identity_later(name, seed, of)
    }

    /// The same, of a given identity.
    pub fn add_identity_later(&mut self, name: &str, seed: [u8; 32], of: usize) -> usize {
        let capsule = self.nodes[of].room.capsule().expect("a member holds its generation");
        self.add_identity_with(name, seed, of, capsule)
    }

    /// The same with no more than an invite holds that names no rendezvous: the log comes from members.
    pub fn add_identity_invited(&mut self, name: &str, seed: [u8; 32], of: usize) -> usize {
        let mut capsule = self.nodes[of].room.capsule().expect("a member holds its generation");
        capsule.log.clear();
        self.add_identity_with(name, seed, of, capsule)
    }

    fn add_identity_with(&mut self, name: &str, seed: [u8; 32], of: usize, capsule: Capsule) -> usize {
        let room_key = self.nodes[of].room.room_key().expect("and its Room Key").clone();
        let person = Person {
            name,
            seed,
            admin: false,
            skew_ms: 0,
        };
        self.add_with(&person, capsule, room_key)
    }

    fn add_member(&mut self, name: &str, seed: [u8; 32], admin: bool) -> usize {
        let capsule = self.first_capsule();
        let person = Person {
            name,
            seed,
            admin,
            skew_ms: 0,
        };
        self.add_with(&person, capsule, self.room_key.clone())
    }

    fn first_capsule(&self) -> Capsule {
        Capsule {
            genesis: self.genesis.clone(),
            generation: self.keys().generation(),
            random: RoomRandom::from_bytes(self.random),
            log: Vec::new(),
        }
    }

    fn add_with(&mut self, person: &Person<'_>, capsule: Capsule, room_key: RoomKey) -> usize {
        let known = room_key.reveal().to_owned();
        let (room, peer, mesh) = self.begin(person, capsule, room_key, &BTreeMap::new());
        let number = self.nodes.len();
        self.peers.insert(peer, number);
        self.links.push(BTreeSet::new());
        self.nodes.push(Node {
            room,
            peer,
            events: Vec::new(),
            sent: Vec::new(),
            verdicts: BTreeMap::new(),
            alive: true,
            disk: BTreeMap::new(),
            written: (0, 0),
            skew_ms: person.skew_ms,
            name: person.name.to_owned(),
            seed: person.seed,
            admin: person.admin,
            run: 0,
            commanded: Vec::new(),
            reports: Vec::new(),
            mesh,
            doors: Vec::new(),
            room_key: known,
            knock: None,
            wake: None,
            seen: BTreeSet::new(),
            published: Vec::new(),
            serial: 0,
        });
        number
    }

    fn begin(
        &mut self,
        person: &Person<'_>,
        capsule: Capsule,
        room_key: RoomKey,
        disk: &BTreeMap<Vec<u8>, RestBytes>,
    ) -> (Room, PeerKey, [u8; 32]) {
        let handle = self.genesis.handle();
        let keys = GenerationKeys::derive(&room_key, &capsule.random, &handle, capsule.generation);
        let mesh = *keys.mesh().expose();
        let transport = TransportKey::generate(&mut self.rng);
        let peer = transport.peer_key();
        let config = RoomConfig {
            genesis: self.genesis.clone(),
            keys,
            room_key,
            random: capsule.random,
            log: capsule.log,
            identity: Identity::from_seed(&person.seed),
            transport,
            name: person.name.to_owned(),
            admin: person.admin.then(|| AdminKey::from_seed(&self.admin)),
            grace_s: self.grace_s,
            persist: self.persist,
            read_receipts: true,
        };
        let stored: Vec<_> = disk.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut now = self.clock();
        now.unix_ms = now.unix_ms.saturating_add_signed(person.skew_ms);
        let (room, _) = Room::restore(config, &stored, now, StdRng::from_rng(&mut self.rng));
        (room, peer, mesh)
    }

    /// Starts a node again from what it had committed; it knows nobody yet.
    pub fn restart(&mut self, node: usize) {
        assert!(!self.nodes[node].alive, "only who is gone can come back");
        let name = self.nodes[node].name.clone();
        let disk = self.nodes[node].disk.clone();
        // It comes with the first Room Key: what it knows of later ones is on its disk.
        let capsule = self.first_capsule();
        let person = Person {
            name: &name,
            seed: self.nodes[node].seed,
            admin: self.nodes[node].admin,
            skew_ms: self.nodes[node].skew_ms,
        };
        let (room, peer, mesh) = self.begin(&person, capsule, self.room_key.clone(), &disk);
        self.peers.remove(&self.nodes[node].peer);
        self.peers.insert(peer, node);
        let again = &mut self.nodes[node];
        (again.mesh, again.doors, again.knock) = (mesh, Vec::new(), None);
        (again.room, again.peer, again.alive, again.wake) = (room, peer, true, None);
        again.run += 1;
        again.seen.clear();
        self.requests.retain(|(other, _), _| *other != node);
        self.crashed.retain(|other| *other != node);
        self.input(node, Input::Tick);
    }

    /// Enters a node: it finds others that are alive, and links come up.
    pub fn enter(&mut self, node: usize) {
        let mut others: Vec<usize> = self.alive().into_iter().filter(|other| *other != node).collect();
        if let Some(degree) = self.degree {
            while others.len() > degree {
                let one = self.rng.random_range(0..others.len());
                others.swap_remove(one);
            }
        }
        self.input(
            node,
            Input::Introduced {
                links_expected: others.len(),
            },
        );
        for other in others {
            self.link(node, other);
        }
    }

    /// A node that finds nobody.
    pub fn enter_alone(&mut self, node: usize) {
        self.input(node, Input::Introduced { links_expected: 0 });
    }

    /// Goes offline in order: membership stays.
    pub fn offline(&mut self, node: usize) {
        self.input(node, Input::Offline);
        self.run(Duration::from_millis(50));
        self.kill(node);
    }

    /// Leaves for good, in order.
    pub fn leave(&mut self, node: usize) {
        self.input(node, Input::Leave);
        self.run(Duration::from_millis(50));
        self.kill(node);
    }

    /// Stops a node as SIGKILL does: it says nothing more.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.doomed.remove(&node);
        for other in 0..self.nodes.len() {
            self.unlink(node, other);
        }
    }

    /// Stops a node in the middle of what it does next: before a commit, after it, or between two of the outputs that follow.
    pub fn doom(&mut self, node: usize) {
        self.doomed.insert(node);
    }

    /// Its user reads all that it was shown.
    pub fn read(&mut self, node: usize) {
        let serial = self.nodes[node].serial;
        self.input(node, Input::Read { serial });
    }

    /// Lets live whoever was to be stopped and has done nothing since.
    pub fn pardon(&mut self) {
        self.doomed.clear();
    }

    /// Says something; whether it is out stands in `sent`.
    pub fn send(&mut self, node: usize, text: &str) {
        let ticket = Ticket(self.fresh());
        self.texts.insert(ticket, text.to_owned());
        self.input(
            node,
            Input::Send {
                ticket,
                text: text.to_owned(),
                reply_to: None,
            },
        );
    }

    /// Says something to one other alone; whether it is out stands in `sent`.
    pub fn direct(&mut self, node: usize, to: usize, text: &str) {
        let (ticket, to) = (Ticket(self.fresh()), self.nodes[to].room.fingerprint());
        self.texts.insert(ticket, text.to_owned());
        self.input(
            node,
            Input::Direct {
                ticket,
                to,
                text: text.to_owned(),
                reply_to: None,
            },
        );
    }

    /// An act of authority; whether it was done stands in `commanded`.
    pub fn command(&mut self, node: usize, command: Command) {
        let ticket = Ticket(self.fresh());
        self.input(node, Input::Command { ticket, command });
    }

    /// Has a node check its transcript; what it finds stands in `reports`.
    pub fn audit(&mut self, node: usize) {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.input(node, Input::Audit { ticket });
    }

    /// Removes a member.
    pub fn kick(&mut self, node: usize, whom: usize) {
        let who = self.nodes[whom].room.fingerprint();
        self.command(node, Command::Kick { who });
    }

    /// Hands a node gossip that no member published; returns its verdict.
    pub fn gossip(&mut self, node: usize, from: usize, bytes: Vec<u8>) -> Verdict {
        let id = GossipId(self.fresh());
        let (mut out, from, now) = (Vec::new(), self.nodes[from].peer, self.clock_of(node));
        self.nodes[node]
            .room
            .handle(Input::Gossip { from, id, bytes }, now, &mut out);
        let verdicts: Vec<Verdict> = out
            .iter()
            .filter_map(|output| match output {
                Output::Verdict { id: of, verdict } if *of == id => Some(*verdict),
                _ => None,
            })
            .collect();
        assert_eq!(verdicts.len(), 1, "each frame gets one verdict");
        for output in out {
            self.carry_out(node, output);
        }
        verdicts[0]
    }

    /// Hands a node a question as if it came from another.
    pub fn request(&mut self, node: usize, from: usize, request: &DirectRequest) {
        let (id, from) = (RequestId(self.fresh()), self.nodes[from].peer);
        self.input(
            node,
            Input::Request {
                from,
                id,
                bytes: request.encode().expect("a question within its bounds"),
            },
        );
    }
}
