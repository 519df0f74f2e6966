//! A small world for rooms: virtual time, links with delay, gossip that loses. Everything follows from the seed.

mod carry;
mod links;
mod look;
mod members;
mod time;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;
use std::time::Duration;

use std::cmp::Reverse;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use snug::room::{GossipId, Now, QueryId, RequestId, Ticket};
use snug_crypto::AdminKey;
use snug_crypto::generation::{Generation, GenerationKeys, RoomRandom};
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::ids::PeerKey;
use snug_crypto::names::{RoomId, RoomKey};

use crate::node::{Digest, Node};
use crate::weather::Weather;
use time::Arrival;

/// The wall clock at the start of every world.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// What was gossiped, and its name.
pub(crate) struct Gossip {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

/// What has passed the network, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By gossip, every copy on every link.
    pub gossip: u64,
    /// By questions and answers.
    pub exchange: u64,
}

/// Members of one room, what is on its way between them, and the time.
pub struct World {
    /// The members, by the number that every method takes.
    pub nodes: Vec<Node>,
    /// Time since the world began.
    pub now: Duration,
    /// What the network does to what it carries.
    pub weather: Weather,
    /// Members that one who enters is linked to at most, at random; `None`: everybody.
    pub degree: Option<usize>,
    /// Members hand on gossip that they accepted, to a few of their links. Otherwise only its author tells its links.
    pub relays: bool,
    /// Takes a rule away: boxes, objects and Room Keys are had of this node alone.
    pub only_server: Option<usize>,
    /// Nodes that keep what they know to themselves: they hand on no gossip, and answer that nothing is missing.
    pub withholding: BTreeSet<usize>,
    /// From whom to whom no gossip passes, although they are linked.
    pub deaf: BTreeSet<(usize, usize)>,
    /// Everything that was ever gossiped.
    pub recording: Vec<Vec<u8>>,
    /// All frames that were ever published.
    pub frames: BTreeSet<Vec<u8>>,
    /// Whether `recording` and `frames` are filled.
    pub records: bool,
    /// Questions that members have asked of each other.
    pub questions: usize,
    /// Bytes that have passed the network.
    pub traffic: Traffic,
    /// Members keep what they are told to, and can come back.
    pub persist: bool,
    /// How likely each batch of outputs is a member's last.
    pub crash: f64,
    /// How likely a front end confirms a message only with the next one.
    pub slow_to_tell: f64,
    /// Members whose front ends are too slow, and miss what they are given.
    pub lagging: BTreeSet<usize>,
    /// Members that crashed and have not come back.
    pub crashed: Vec<usize>,
    /// How long members want to stay members after they vanish, in seconds; the room's policy may allow them less.
    pub grace_s: u32,
    /// The room's signed beginning.
    pub genesis: Genesis,
    /// Who is linked to whom.
    links: Vec<BTreeSet<usize>>,
    /// Nodes that can reach each other, whether or not they are linked.
    reach: BTreeSet<(usize, usize)>,
    /// Which member has which peer now.
    peers: BTreeMap<PeerKey, usize>,
    /// Members whose next batch of outputs is their last.
    doomed: BTreeSet<usize>,
    knocks: BTreeMap<(usize, RequestId), usize>,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    /// What arrives, and at which of its receiver's runs.
    arrivals: BTreeMap<u64, (u64, Arrival)>,
    requests: BTreeMap<(usize, RequestId), (usize, QueryId)>,
    /// The gossip that is being judged, and who brought it.
    judged: Option<(GossipId, usize, Rc<Gossip>)>,
    texts: BTreeMap<Ticket, String>,
    next: u64,
    rng: StdRng,
    room_key: RoomKey,
    random: [u8; 32],
    admin: [u8; 32],
}

impl World {
    /// A room of at most 100 members; prints its seed, so that a test which fails shows it.
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self::of_at_most(seed, weather, 100)
    }

    /// A room of at most so many; prints its seed.
    pub fn of_at_most(seed: u64, weather: Weather, max_participants: u16) -> Self {
        println!("seed {seed}");
        Self::silent(seed, weather, max_participants)
    }

    /// A room with these rules, in good weather; prints its seed.
    pub fn ruled(seed: u64, policy: Policy) -> Self {
        println!("seed {seed}");
        Self::with_policy(seed, Weather::CALM, policy)
    }

    /// A room of at most so many, for who prints the seed otherwise.
    pub(crate) fn silent(seed: u64, weather: Weather, max_participants: u16) -> Self {
        let policy = Policy {
            max_participants,
            ..Policy::default()
        };
        Self::with_policy(seed, weather, policy)
    }

    fn with_policy(seed: u64, weather: Weather, policy: Policy) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let admin: [u8; 32] = rng.random();
        let room_id = RoomId::parse("den").expect("a Room ID");
        let genesis = Genesis::create(&AdminKey::from_seed(&admin), &room_id, "", EPOCH_MS, policy).expect("a room");
        Self {
            nodes: Vec::new(),
            now: Duration::from_secs(1),
            weather,
            degree: None,
            relays: false,
            only_server: None,
            withholding: BTreeSet::new(),
            deaf: BTreeSet::new(),
            recording: Vec::new(),
            frames: BTreeSet::new(),
            records: true,
            questions: 0,
            traffic: Traffic::default(),
            persist: false,
            crash: 0.0,
            slow_to_tell: 0.0,
            lagging: BTreeSet::new(),
            crashed: Vec::new(),
            grace_s: 900,
            genesis,
            links: Vec::new(),
            reach: BTreeSet::new(),
            peers: BTreeMap::new(),
            doomed: BTreeSet::new(),
            knocks: BTreeMap::new(),
            queue: BinaryHeap::new(),
            arrivals: BTreeMap::new(),
            requests: BTreeMap::new(),
            judged: None,
            texts: BTreeMap::new(),
            next: 0,
            random: rng.random(),
            rng,
            room_key: RoomKey::parse("correct horse battery staple").expect("a Room Key"),
            admin,
        }
    }

    /// Both clocks, as somebody has them whose clock is right.
    pub fn clock(&self) -> Now {
        Now {
            elapsed: self.now,
            unix_ms: EPOCH_MS + self.now.as_millis() as u64,
        }
    }

    /// Both clocks, as a member has them.
    pub fn clock_of(&self, node: usize) -> Now {
        let right = self.clock();
        Now {
            unix_ms: right.unix_ms.saturating_add_signed(self.nodes[node].skew_ms),
            ..right
        }
    }

    /// The keys that everybody with the Room Key has.
    pub fn keys(&self) -> GenerationKeys {
        let generation = Generation::first(&self.genesis.hash());
        let random = RoomRandom::from_bytes(self.random);
        GenerationKeys::derive(&self.room_key, &random, &self.genesis.handle(), generation)
    }

    /// A number that nothing else in this world has.
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
