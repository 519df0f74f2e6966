//! What a room costs a member: memory of a room of so many beyond an empty one, and the CPU of a new Room Key for it.
//!
//!     cargo run --release -p snug-sim --example room_memory -- 1000
//!
//! The member measured is the one that issued the epoch, so that it keeps a box for everybody beside the leaves and chains that all keep. Several
//! rooms stand side by side, and what the process has grown by is divided among them; then one gives everybody a new Room Key.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use snug::room::{Command, Input, Now, Output, RequestId, Room, RoomConfig, Ticket};
use snug_crypto::direct::{Bundle, DirectRequest};
use snug_crypto::generation::{Generation, GenerationKeys, RoomRandom};
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::identity::{Identity, TransportKey};
use snug_crypto::leaf::{Leaf, LeafParams, LeafSecrets, UnverifiedRecord};
use snug_crypto::names::{RoomId, RoomKey};
use snug_crypto::{AdminKey, PeerKey};

/// Rooms side by side.
const ROOMS: usize = 8;
/// Leaves in one push: it stays below a megabyte.
const PUSHED: usize = 400;
const START_MS: u64 = 1_800_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let members: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000);
    let world = World::new(members);
    // What the first one leaves behind (tables, freed memory) is nobody's.
    drop(world.room(members));
    let start = resident();
    let empty: Vec<Room> = (0..ROOMS).map(|_| world.room(1)).collect();
    let one = resident();
    let mut full: Vec<Room> = (0..ROOMS).map(|_| world.room(members)).collect();
    let many = resident();
    let each = |bytes: u64| bytes as f64 / ROOMS as f64 / f64::from(1 << 20);
    println!(
        "a room of 1: {:.2} MiB; of {members}: {:.2} MiB more",
        each(one.saturating_sub(start)),
        each(many.saturating_sub(one)) - each(one.saturating_sub(start))
    );
    drop(empty);
    let mut spent: Vec<Duration> = full.iter_mut().map(|room| world.rekey(room)).collect();
    spent.sort_unstable();
    println!(
        "a new Room Key for {members}: {:?} of CPU at best, {:?} at the median",
        spent[0],
        spent[ROOMS / 2]
    );
}

/// The room that all are of.
struct World {
    genesis: Genesis,
    admin: AdminKey,
    keys: GenerationKeys,
    room_key: RoomKey,
    random: [u8; 32],
    leaves: Vec<Vec<u8>>,
}

impl World {
    fn new(members: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let admin = AdminKey::generate(&mut rng);
        let id = RoomId::parse("den").unwrap();
        let policy = Policy {
            max_participants: u16::try_from(members).unwrap().max(2),
            ..Policy::default()
        };
        let genesis = Genesis::create(&admin, &id, "", START_MS, policy).unwrap();
        let (room_key, random) = (RoomKey::generate(&mut rng), RoomRandom::generate(&mut rng));
        let keys = GenerationKeys::derive(&room_key, &random, &id.handle(), Generation::first(&genesis.hash()));
        let leaf = |number: usize, rng: &mut StdRng| {
            let params = LeafParams {
                name: format!("member {number}"),
                seq: START_MS,
                incarnation: 1,
                expires_at_ms: START_MS + 900_000,
                generation: keys.generation(),
                approval: None,
            };
            let (identity, transport) = (Identity::generate(rng), TransportKey::generate(rng));
            let secrets = LeafSecrets::generate(rng);
            Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash())
                .unwrap()
                .encode()
        };
        let leaves = (1..members).map(|number| leaf(number, &mut rng)).collect();
        Self {
            random: *random.expose(),
            genesis,
            admin,
            keys,
            room_key,
            leaves,
        }
    }

    /// A member's side of the room with so many in it, in an epoch of all of them.
    fn room(&self, members: usize) -> Room {
        let mut rng = StdRng::seed_from_u64(2);
        let config = RoomConfig {
            genesis: self.genesis.clone(),
            keys: self.keys.clone(),
            room_key: self.room_key.clone(),
            random: RoomRandom::from_bytes(self.random),
            log: Vec::new(),
            identity: Identity::generate(&mut rng),
            transport: TransportKey::generate(&mut rng),
            name: "member 0".to_owned(),
            admin: Some(self.admin.clone()),
            grace_s: 900,
            persist: false,
            read_receipts: true,
        };
        let (mut now, mut out) = (at(Duration::ZERO), Vec::new());
        let mut room = Room::new(config, now, rng);
        room.handle(Input::Introduced { links_expected: 0 }, now, &mut out);
        let from = PeerKey::from_bytes([7; 32]);
        for (number, some) in self.leaves[..members - 1].chunks(PUSHED).enumerate() {
            let bundle = Bundle {
                records: some
                    .iter()
                    .map(|bytes| UnverifiedRecord::decode(bytes).unwrap())
                    .collect(),
                ..Bundle::default()
            };
            let (id, bytes) = (RequestId(number as u64), DirectRequest::Push(bundle).encode().unwrap());
            room.handle(Input::Request { from, id, bytes }, now, &mut out);
            out.clear();
        }
        while !(room.facts(now).exact && room.facts(now).members == members) {
            assert!(now.elapsed < PATIENCE, "{:?}", room.facts(now));
            now = at(now.elapsed + Duration::from_millis(10));
            room.handle(Input::Tick, now, &mut out);
            out.clear();
        }
        room
    }

    /// The CPU that a new Room Key takes whoever makes it, to 10 ms.
    fn rekey(&self, room: &mut Room) -> Duration {
        let (mut out, ticket) = (Vec::new(), Ticket(1));
        let command = Command::Rekey { room_key: None };
        let start = computed();
        room.handle(Input::Command { ticket, command }, at(PATIENCE), &mut out);
        let spent = computed() - start;
        assert!(
            out.iter()
                .any(|output| matches!(output, Output::Commanded { result: Ok(()), .. }))
        );
        spent
    }
}

fn at(elapsed: Duration) -> Now {
    Now {
        elapsed,
        unix_ms: START_MS + u64::try_from(elapsed.as_millis()).unwrap(),
    }
}

/// CPU that this process has used.
fn computed() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("the program's name");
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches(" kB")
        .trim()
        .parse::<u64>()
        .expect("a number")
        * 1024
}
