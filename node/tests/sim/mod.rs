//! A small world for rooms: virtual time, links with delay, gossip that loses. Everything follows from the seed.

// Each test program uses its own part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use snug::room::{
    Change, Command, CommandRefused, GossipId, Input, Knock, Now, Output, QueryId, RequestId, Room, RoomConfig,
    RoomEvent, Ticket, Verdict,
};
use snug_crypto::AdminKey;
use snug_crypto::capsule::Capsule;
use snug_crypto::direct::DirectRequest;
use snug_crypto::generation::{Generation, GenerationKeys, RoomRandom};
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::identity::{Identity, TransportKey};
use snug_crypto::ids::{EpochId, PeerKey};
use snug_crypto::names::{RoomId, RoomKey};
use snug_crypto::rest::RestBytes;

/// The wall clock at the start of every world.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// How the network treats what passes it.
#[derive(Clone, Copy)]
pub struct Weather {
    pub delay: (Duration, Duration),
    /// Share of gossip deliveries that are lost.
    pub loss: f64,
    /// Share of gossip deliveries that arrive twice.
    pub duplicate: f64,
}

impl Weather {
    pub const CALM: Self = Self {
        delay: (Duration::from_millis(1), Duration::from_millis(3)),
        loss: 0.0,
        duplicate: 0.0,
    };
}

pub struct Node {
    pub room: Room,
    pub peer: PeerKey,
    pub events: Vec<(Duration, RoomEvent)>,
    pub sent: Vec<(Ticket, bool)>,
    pub verdicts: BTreeMap<&'static str, usize>,
    pub alive: bool,
    /// What it has committed: all that is left of it when it is killed.
    pub disk: BTreeMap<Vec<u8>, RestBytes>,
    /// Bytes that it has committed in all, and in how many commits.
    pub written: (usize, usize),
    name: String,
    seed: [u8; 32],
    admin: bool,
    /// Counts its runs: what was on its way to an earlier one is lost.
    run: u64,
    pub commanded: Vec<Result<(), CommandRefused>>,
    /// The mesh key that its net proves, and those that it answers at the door.
    mesh: [u8; 32],
    doors: Vec<[u8; 32]>,
    /// The Room Key that it was given last.
    pub room_key: String,
    knock: Option<Knock>,
    wake: Option<Duration>,
    seen: BTreeSet<Vec<u8>>,
    published: Vec<u8>,
}

enum Arrival {
    Gossip {
        from: usize,
        mesh: [u8; 32],
        bytes: Vec<u8>,
    },
    /// Two nodes that can reach each other and aren't linked try again.
    Redial(usize),
    /// A question at the door, and its answer.
    Knock {
        from: usize,
        bytes: Vec<u8>,
    },
    Door {
        from: usize,
        bytes: Vec<u8>,
    },
    Request {
        from: usize,
        query: QueryId,
        bytes: Vec<u8>,
    },
    Response {
        query: QueryId,
        bytes: Option<Vec<u8>>,
    },
    LinkUp(usize),
    LinkDown(usize),
    Wake,
}

pub struct World {
    pub nodes: Vec<Node>,
    pub now: Duration,
    pub weather: Weather,
    links: BTreeSet<(usize, usize)>,
    /// Nodes that can reach each other, whether or not they are linked.
    reach: BTreeSet<(usize, usize)>,
    knocks: BTreeMap<(usize, RequestId), usize>,
    /// Takes a rule away: boxes, objects and Room Keys are had of this node alone.
    pub only_server: Option<usize>,
    /// Everything that was ever gossiped.
    pub recording: Vec<Vec<u8>>,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    /// What arrives, and at which of its receiver's runs.
    arrivals: BTreeMap<u64, (u64, Arrival)>,
    requests: BTreeMap<(usize, RequestId), (usize, QueryId)>,
    next: u64,
    rng: StdRng,
    pub genesis: Genesis,
    room_key: RoomKey,
    random: [u8; 32],
    admin: [u8; 32],
    /// Questions that members have asked of each other.
    pub questions: usize,
    /// Members keep what they are told to, and can come back.
    pub persist: bool,
    /// How likely each batch of outputs is a member's last.
    pub crash: f64,
    /// How likely a front end confirms a message only with the next one.
    pub slow_to_tell: f64,
    texts: BTreeMap<Ticket, String>,
    /// Members that crashed and have not come back.
    pub crashed: Vec<usize>,
    /// All frames that were ever published.
    pub frames: BTreeSet<Vec<u8>>,
}

impl World {
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self::of_at_most(seed, weather, 100)
    }

    pub fn of_at_most(seed: u64, weather: Weather, max_participants: u16) -> Self {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let admin: [u8; 32] = rng.random();
        let room_id = RoomId::parse("den").unwrap();
        let policy = Policy {
            max_participants,
            ..Policy::default()
        };
        Self::with_policy(rng, admin, room_id, weather, policy)
    }

    /// A room whose newcomers need a moderator's word.
    pub fn with_approval(seed: u64) -> Self {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let admin: [u8; 32] = rng.random();
        let policy = Policy {
            approval: true,
            ..Policy::default()
        };
        Self::with_policy(rng, admin, RoomId::parse("den").unwrap(), Weather::CALM, policy)
    }

    fn with_policy(mut rng: StdRng, admin: [u8; 32], room_id: RoomId, weather: Weather, policy: Policy) -> Self {
        let genesis = Genesis::create(&AdminKey::from_seed(&admin), &room_id, "", EPOCH_MS, policy).unwrap();
        let room_key = RoomKey::parse("correct horse battery staple").unwrap();
        Self {
            nodes: Vec::new(),
            now: Duration::from_secs(1),
            weather,
            links: BTreeSet::new(),
            reach: BTreeSet::new(),
            knocks: BTreeMap::new(),
            only_server: None,
            recording: Vec::new(),
            queue: BinaryHeap::new(),
            arrivals: BTreeMap::new(),
            requests: BTreeMap::new(),
            next: 0,
            random: rng.random(),
            rng,
            genesis,
            room_key,
            admin,
            questions: 0,
            persist: false,
            crash: 0.0,
            slow_to_tell: 0.0,
            texts: BTreeMap::new(),
            crashed: Vec::new(),
            frames: BTreeSet::new(),
        }
    }

    pub fn clock(&self) -> Now {
        Now {
            elapsed: self.now,
            unix_ms: EPOCH_MS + self.now.as_millis() as u64,
        }
    }

    /// A new member with an identity of its own; not linked yet.
    pub fn add(&mut self, name: &str) -> usize {
        let seed = self.rng.random();
        self.add_identity(name, seed)
    }

    pub fn add_identity(&mut self, name: &str, identity_seed: [u8; 32]) -> usize {
        self.add_member(name, identity_seed, None)
    }

    /// A member that holds the admin's key.
    pub fn add_admin(&mut self, name: &str) -> usize {
        let seed = self.rng.random();
        self.add_member(name, seed, Some(AdminKey::from_seed(&self.admin)))
    }

    /// The keys that everybody with the Room Key has.
    pub fn keys(&self) -> GenerationKeys {
        let generation = Generation::first(&self.genesis.hash());
        let random = RoomRandom::from_bytes(self.random);
        GenerationKeys::derive(&self.room_key, &random, &self.genesis.handle(), generation)
    }

    fn add_member(&mut self, name: &str, identity_seed: [u8; 32], admin: Option<AdminKey>) -> usize {
        let keys = self.keys();
        let capsule = Capsule {
            genesis: self.genesis.clone(),
            generation: keys.generation(),
            random: RoomRandom::from_bytes(self.random),
            log: Vec::new(),
        };
        self.add_with(name, identity_seed, admin, capsule, self.room_key.clone())
    }

    /// A new member that enters with what a capsule of `of`'s generation holds.
    pub fn add_later(&mut self, name: &str, of: usize) -> usize {
        let seed = self.rng.random();
        self.add_identity_later(name, seed, of)
    }

    pub fn add_identity_later(&mut self, name: &str, seed: [u8; 32], of: usize) -> usize {
        let capsule = self.nodes[of].room.capsule().unwrap();
        let room_key = self.nodes[of].room.room_key().unwrap().clone();
        self.add_with(name, seed, None, capsule, room_key)
    }

    fn add_with(
        &mut self,
        name: &str,
        identity_seed: [u8; 32],
        admin: Option<AdminKey>,
        capsule: Capsule,
        room_key: RoomKey,
    ) -> usize {
        let is_admin = admin.is_some();
        let known = room_key.reveal().to_owned();
        let (room, peer, mesh) = self.begin(name, identity_seed, admin, capsule, room_key, &BTreeMap::new());
        self.nodes.push(Node {
            room,
            peer,
            events: Vec::new(),
            sent: Vec::new(),
            verdicts: BTreeMap::new(),
            alive: true,
            disk: BTreeMap::new(),
            written: (0, 0),
            name: name.to_owned(),
            seed: identity_seed,
            admin: is_admin,
            run: 0,
            commanded: Vec::new(),
            mesh,
            doors: Vec::new(),
            room_key: known,
            knock: None,
            wake: None,
            seen: BTreeSet::new(),
            published: Vec::new(),
        });
        self.nodes.len() - 1
    }

    fn begin(
        &mut self,
        name: &str,
        identity_seed: [u8; 32],
        admin: Option<AdminKey>,
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
            identity: Identity::from_seed(&identity_seed),
            transport,
            name: name.to_owned(),
            admin,
            grace_s: 900,
            persist: self.persist,
        };
        let stored: Vec<_> = disk.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let (room, _) = Room::restore(config, &stored, self.clock(), StdRng::from_rng(&mut self.rng));
        (room, peer, mesh)
    }

    /// Starts a node again from what it had committed; it knows nobody yet.
    pub fn restart(&mut self, node: usize) {
        assert!(!self.nodes[node].alive);
        let (name, seed) = (self.nodes[node].name.clone(), self.nodes[node].seed);
        let admin = self.nodes[node].admin.then(|| AdminKey::from_seed(&self.admin));
        let disk = self.nodes[node].disk.clone();
        let keys = self.keys();
        let capsule = Capsule {
            genesis: self.genesis.clone(),
            generation: keys.generation(),
            random: RoomRandom::from_bytes(self.random),
            log: Vec::new(),
        };
        // It comes with the first Room Key: what it knows of later ones is on its disk.
        let (room, peer, mesh) = self.begin(&name, seed, admin, capsule, self.room_key.clone(), &disk);
        let again = &mut self.nodes[node];
        (again.mesh, again.doors, again.knock) = (mesh, Vec::new(), None);
        (again.room, again.peer, again.alive, again.wake) = (room, peer, true, None);
        again.run += 1;
        again.seen.clear();
        self.requests.retain(|(other, _), _| *other != node);
        self.crashed.retain(|other| *other != node);
        self.input(node, Input::Tick);
    }

    /// Goes offline in order: membership stays.
    pub fn offline(&mut self, node: usize) {
        self.input(node, Input::Offline);
        self.run(Duration::from_millis(50));
        self.kill(node);
    }

    /// Enters a node: it finds everybody that is alive, and links come up.
    pub fn enter(&mut self, node: usize) {
        let others: Vec<usize> = (0..self.nodes.len())
            .filter(|other| *other != node && self.nodes[*other].alive)
            .collect();
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

    pub fn link(&mut self, a: usize, b: usize) {
        self.reach.insert((a.min(b), a.max(b)));
        self.dial(a, b);
    }

    /// What two nets do that can reach each other: a link, if they are of one generation, else a question at the door of the one that has
    /// moved on; again and again, as nets redial.
    fn dial(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if !self.reach.contains(&pair) || self.links.contains(&pair) {
            return;
        }
        let (one, other) = (&self.nodes[a], &self.nodes[b]);
        if !one.alive || !other.alive {
            return;
        }
        if one.mesh == other.mesh {
            self.links.insert(pair);
            let delay = self.delay();
            self.schedule(delay, a, Arrival::LinkUp(b));
            self.schedule(delay, b, Arrival::LinkUp(a));
            return;
        }
        let plain = |node: &Node| node.knock.as_ref().map(|knock| knock.plain.clone());
        let telling = |node: &Node| node.knock.as_ref().map(|knock| knock.telling.clone());
        let questions = if other.doors.contains(&one.mesh) {
            vec![(a, b, plain(one))]
        } else if one.doors.contains(&other.mesh) {
            vec![(b, a, plain(other))]
        } else if one.doors.iter().any(|door| other.doors.contains(door)) {
            vec![(a, b, telling(one)), (b, a, telling(other))]
        } else {
            Vec::new()
        };
        for (asker, at, question) in questions {
            if let Some(bytes) = question {
                let delay = self.delay();
                self.schedule(delay, at, Arrival::Knock { from: asker, bytes });
            }
        }
        self.schedule(Duration::from_millis(500), a, Arrival::Redial(b));
    }

    /// An act of authority; whether it was done stands in `commanded`.
    pub fn command(&mut self, node: usize, command: Command) {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.input(node, Input::Command { ticket, command });
    }

    pub fn kick(&mut self, node: usize, whom: usize) {
        let who = self.nodes[whom].room.fingerprint();
        self.command(node, Command::Kick { who });
    }

    /// Two sides that can't reach each other.
    pub fn part(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            for b in other {
                self.unlink(*a, *b);
            }
        }
    }

    pub fn heal(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            for b in other {
                self.link(*a, *b);
            }
        }
    }

    pub fn unlink(&mut self, a: usize, b: usize) {
        self.reach.remove(&(a.min(b), a.max(b)));
        self.cut(a, b);
    }

    fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            self.schedule(Duration::ZERO, a, Arrival::LinkDown(b));
            self.schedule(Duration::ZERO, b, Arrival::LinkDown(a));
        }
    }

    /// Stops a node as SIGKILL does: it says nothing more.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        for other in 0..self.nodes.len() {
            self.unlink(node, other);
        }
    }

    pub fn send(&mut self, node: usize, text: &str) {
        let ticket = Ticket(self.next);
        self.next += 1;
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

    pub fn leave(&mut self, node: usize) {
        self.input(node, Input::Leave);
        self.run(Duration::from_millis(50));
        self.kill(node);
    }

    /// Hands a node gossip that no member published; returns its verdict.
    pub fn gossip(&mut self, node: usize, from: usize, bytes: Vec<u8>) -> Verdict {
        let id = GossipId(self.next);
        self.next += 1;
        let (mut out, from, now) = (Vec::new(), self.nodes[from].peer, self.clock());
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
        let (id, from) = (RequestId(self.next), self.nodes[from].peer);
        self.next += 1;
        self.input(
            node,
            Input::Request {
                from,
                id,
                bytes: request.encode().unwrap(),
            },
        );
    }

    /// What a node published last.
    pub fn last_published(&self, node: usize) -> Vec<u8> {
        self.nodes[node].published.clone()
    }

    /// Runs the world for so long.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Runs until something holds, at most for so long; returns the time it took.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> Option<Duration> {
        let start = self.now;
        let until = self.now + limit;
        loop {
            if holds(self) {
                return Some(self.now - start);
            }
            if !self.step(until) {
                self.now = until;
                return holds(self).then_some(limit);
            }
        }
    }

    fn step(&mut self, until: Duration) -> bool {
        match self.queue.peek() {
            Some(Reverse((at, _, _))) if *at <= until => {}
            _ => return false,
        }
        let Some(Reverse((at, key, node))) = self.queue.pop() else {
            return false;
        };
        let Some((run, arrival)) = self.arrivals.remove(&key) else {
            return true;
        };
        self.now = self.now.max(at);
        if !self.nodes[node].alive || self.nodes[node].run != run {
            if let Arrival::Request { from, query, .. } = arrival {
                let delay = self.delay();
                self.schedule(delay, from, Arrival::Response { query, bytes: None });
            }
            return true;
        }
        let peer = |world: &Self, index: usize| world.nodes[index].peer;
        let input = match arrival {
            Arrival::Redial(other) => {
                self.dial(node, other);
                return true;
            }
            Arrival::Knock { from, bytes } => {
                let id = RequestId(self.next);
                self.next += 1;
                self.knocks.insert((node, id), from);
                Input::Knock {
                    from: peer(self, from),
                    id,
                    bytes,
                }
            }
            Arrival::Door { from, bytes } => Input::Door {
                from: peer(self, from),
                bytes,
            },
            Arrival::Gossip { mesh, .. } if mesh != self.nodes[node].mesh => return true,
            Arrival::Gossip { from, bytes, .. } => {
                if !self.nodes[node].seen.insert(bytes.clone()) {
                    return true;
                }
                let id = GossipId(self.next);
                self.next += 1;
                Input::Gossip {
                    from: peer(self, from),
                    id,
                    bytes,
                }
            }
            Arrival::Request { from, query, bytes } => {
                let id = RequestId(self.next);
                self.next += 1;
                self.requests.insert((node, id), (from, query));
                Input::Request {
                    from: peer(self, from),
                    id,
                    bytes,
                }
            }
            Arrival::Response { query, bytes } => Input::Response { id: query, bytes },
            Arrival::LinkUp(other) => Input::LinkUp {
                peer: peer(self, other),
            },
            Arrival::LinkDown(other) => Input::LinkDown {
                peer: peer(self, other),
            },
            Arrival::Wake => {
                if self.nodes[node].wake != Some(at) {
                    return true;
                }
                self.nodes[node].wake = None;
                Input::Tick
            }
        };
        self.input(node, input);
        true
    }

    pub fn input(&mut self, node: usize, input: Input) {
        let mut out = Vec::new();
        let now = self.clock();
        self.nodes[node].room.handle(input, now, &mut out);
        if self.crash > 0.0 && self.rng.random_bool(self.crash) {
            // Anywhere: before the commit, after it, or between two of the outputs that follow.
            out.truncate(self.rng.random_range(0..=out.len()));
            out.into_iter().for_each(|output| self.carry_out(node, output));
            self.crashed.push(node);
            return self.kill(node);
        }
        let mut told = None;
        for output in out {
            if let Output::Event(RoomEvent::Message(message)) = &output {
                told = Some(message.serial);
            }
            self.carry_out(node, output);
        }
        if let Some(serial) = told.filter(|_| self.persist)
            && !self.rng.random_bool(self.slow_to_tell)
        {
            return self.input(node, Input::Told { serial });
        }
        let wake = self.nodes[node]
            .room
            .next_wake(now)
            .map(|at| at.max(self.now + Duration::from_micros(100)));
        if wake != self.nodes[node].wake {
            self.nodes[node].wake = wake;
            if let Some(at) = wake {
                self.schedule(at.saturating_sub(self.now), node, Arrival::Wake);
            }
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        match output {
            Output::Persist(changes) => self.commit(node, changes),
            Output::Publish { bytes } => {
                self.frames.insert(bytes.clone());
                self.nodes[node].seen.insert(bytes.clone());
                self.nodes[node].published = bytes.clone();
                self.recording.push(bytes.clone());
                let mesh = self.nodes[node].mesh;
                for other in self.neighbours(node) {
                    for _ in 0..1 + usize::from(self.rng.random_bool(self.weather.duplicate)) {
                        if !self.rng.random_bool(self.weather.loss) {
                            let delay = self.delay();
                            self.schedule(
                                delay,
                                other,
                                Arrival::Gossip {
                                    from: node,
                                    mesh,
                                    bytes: bytes.clone(),
                                },
                            );
                        }
                    }
                }
            }
            Output::Verdict { verdict, .. } => {
                let word = match verdict {
                    Verdict::Accept => "accept",
                    Verdict::Ignore => "ignore",
                    Verdict::Reject => "reject",
                };
                *self.nodes[node].verdicts.entry(word).or_default() += 1;
            }
            Output::Query { to, id, bytes } => {
                self.questions += 1;
                let target = self.nodes.iter().position(|other| other.peer == to);
                let delay = self.delay();
                match target.filter(|target| self.links.contains(&(node.min(*target), node.max(*target)))) {
                    Some(target) => self.schedule(
                        delay,
                        target,
                        Arrival::Request {
                            from: node,
                            query: id,
                            bytes,
                        },
                    ),
                    None => self.schedule(delay, node, Arrival::Response { query: id, bytes: None }),
                }
            }
            // Replies with a box, boxes, an object, or what a door gives.
            Output::Respond { id, bytes }
                if matches!(bytes.first(), Some(4 | 5 | 8 | 9))
                    && self.only_server.is_some_and(|only| only != node) =>
            {
                if let Some((from, query)) = self.requests.remove(&(node, id)) {
                    let delay = self.delay();
                    self.schedule(delay, from, Arrival::Response { query, bytes: None });
                }
            }
            Output::Respond { id, bytes } if self.knocks.contains_key(&(node, id)) => {
                if let Some(asker) = self.knocks.remove(&(node, id)) {
                    let delay = self.delay();
                    self.schedule(delay, asker, Arrival::Door { from: node, bytes });
                }
            }
            Output::Commanded { result, .. } => self.nodes[node].commanded.push(result),
            Output::Knock(knock) => self.nodes[node].knock = Some(knock),
            Output::Move(there) => {
                self.nodes[node].mesh = *there.keys.mesh().expose();
                self.nodes[node].doors = there.doors.iter().map(|door| *door.expose()).collect();
                self.nodes[node].room_key = there.room_key.reveal().to_owned();
                for other in 0..self.nodes.len() {
                    self.cut(node, other);
                    if self.reach.contains(&(node.min(other), node.max(other))) {
                        let pause = Duration::from_millis(self.rng.random_range(30..90));
                        self.schedule(pause, node, Arrival::Redial(other));
                    }
                }
            }
            Output::DeleteAtRendezvous { .. } | Output::Remember(_) => {}
            Output::Respond { id, bytes } => {
                if let Some((from, query)) = self.requests.remove(&(node, id)) {
                    let delay = self.delay();
                    self.schedule(
                        delay,
                        from,
                        Arrival::Response {
                            query,
                            bytes: Some(bytes),
                        },
                    );
                }
            }
            Output::Disconnect { peer } => {
                if let Some(other) = self.nodes.iter().position(|node| node.peer == peer) {
                    self.unlink(node, other);
                }
            }
            Output::Sent { ticket, result } => self.nodes[node].sent.push((ticket, result.is_ok())),
            Output::Event(event) => self.nodes[node].events.push((self.now, event)),
        }
    }

    fn commit(&mut self, node: usize, changes: Vec<Change>) {
        let node = &mut self.nodes[node];
        node.written.1 += 1;
        for Change { key, value } in changes {
            node.written.0 += key.len() + value.as_ref().map_or(0, |value| value.len());
            match value {
                Some(value) => drop(node.disk.insert(key, value)),
                None => node.disk.retain(|other, _| !other.starts_with(&key)),
            }
        }
    }

    fn neighbours(&self, node: usize) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|other| self.links.contains(&(node.min(*other), node.max(*other))))
            .collect()
    }

    fn delay(&mut self) -> Duration {
        let (low, high) = self.weather.delay;
        self.rng.random_range(low..=high)
    }

    fn schedule(&mut self, after: Duration, node: usize, arrival: Arrival) {
        self.next += 1;
        self.arrivals.insert(self.next, (self.nodes[node].run, arrival));
        self.queue.push(Reverse((self.now + after, self.next, node)));
    }

    // What a test looks at.

    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].alive).collect()
    }

    pub fn epoch(&self, node: usize) -> Option<EpochId> {
        self.nodes[node].room.facts(self.clock()).epoch
    }

    /// Whether everybody alive sends under one epoch, and the roster is `members` long at each.
    pub fn settled(&self, members: usize) -> bool {
        let alive = self.alive();
        let epochs: BTreeSet<_> = alive.iter().map(|node| self.epoch(*node)).collect();
        epochs.len() == 1
            && !epochs.contains(&None)
            && alive
                .iter()
                .all(|node| self.nodes[*node].room.facts(self.clock()).members == members)
            && alive
                .iter()
                .all(|node| self.nodes[*node].room.facts(self.clock()).exact)
    }

    /// The texts that a node showed, in order.
    pub fn texts(&self, node: usize) -> Vec<String> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                RoomEvent::Message(message) => Some(message.text.exact().to_owned()),
                _ => None,
            })
            .collect()
    }

    /// The texts of a node that it was told are out, over all its runs.
    pub fn acknowledged(&self, node: usize) -> BTreeSet<String> {
        let sent = &self.nodes[node].sent;
        let out = sent.iter().filter(|(_, is_out)| *is_out).map(|(ticket, _)| *ticket);
        out.filter_map(|ticket| self.texts.get(&ticket).cloned()).collect()
    }

    /// The texts that a node showed, and whether each may have been shown before.
    pub fn shown(&self, node: usize) -> Vec<(String, bool)> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                RoomEvent::Message(message) => Some((message.text.exact().to_owned(), message.again)),
                _ => None,
            })
            .collect()
    }

    /// The notices that a node showed, in order.
    pub fn notices(&self, node: usize) -> Vec<String> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                RoomEvent::System(notice) => Some(notice.text().exact().to_owned()),
                _ => None,
            })
            .collect()
    }
}
