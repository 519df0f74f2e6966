//! A member that says, and asks, as much as it can: the others talk on, keep each other's mail, and can still be rid of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use snug::room::{Command, Input, RequestId, Verdict};
use snug_crypto::content::Content;
use snug_crypto::direct::DirectRequest;
use snug_crypto::frame::Epoch;
use snug_crypto::generation::Generation;
use snug_crypto::identity::Identity;
use snug_crypto::ids::{LeafId, PeerKey};
use snug_crypto::leaf::LeafSecrets;
use snug_crypto::object::UnverifiedObject;
use snug_crypto::rest::{ChainAtRest, EpochAtRest, OwnAtRest};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);

/// Somebody with a member's keys, and a program of their own.
struct Mallory {
    node: usize,
    epoch: Epoch,
    leaf: LeafId,
    secrets: LeafSecrets,
    rng: StdRng,
}

impl Mallory {
    /// Takes over what a member's disk holds: of the epoch that it sends under.
    fn with_the_keys_of(world: &mut World, node: usize) -> Self {
        let id = world.epoch(node).unwrap();
        let under = |what: u8, rest: &[u8]| [b"e", &id.as_bytes()[..], &[what], rest].concat();
        let disk = &world.nodes[node].disk;
        let own = OwnAtRest::decode(disk.get(&b"o"[..]).unwrap()).unwrap();
        // Behind the time since when it is held.
        let stored = EpochAtRest::decode(&disk.get(&under(b'h', &[])).unwrap()[8..]).unwrap();
        let leaves: Vec<LeafId> = stored.members().copied().collect();
        let chain = |leaf: &LeafId| ChainAtRest::decode(disk.get(&under(b'c', leaf.as_bytes()))?).ok();
        let mut epoch = Epoch::restore(stored, chain).unwrap();
        let (secrets, mut rng) = (own.secrets(), StdRng::seed_from_u64(5));
        let is_its = |leaf: &LeafId| {
            epoch
                .seal(&mut rng, *leaf, &secrets.signing, &[], &[text("hello")])
                .is_ok()
        };
        let leaf = leaves.into_iter().find(is_its).unwrap();
        world.kill(node);
        Self {
            node,
            epoch,
            leaf,
            secrets,
            rng,
        }
    }

    /// The next frame of hers, as large as one can be.
    fn frame(&mut self) -> Vec<u8> {
        let contents = [text(&"a".repeat(15_000)), text(&"b".repeat(15_000))];
        let sealed = self
            .epoch
            .seal(&mut self.rng, self.leaf, &self.secrets.signing, &[], &contents);
        sealed.unwrap().bytes
    }
}

fn text(text: &str) -> Content {
    Content::Text {
        text: text.to_owned(),
        reply_to: None,
        sent_at_ms: 0,
    }
}

/// Members of a room that has settled; the first is its admin.
fn settled(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, Weather::CALM);
    world.persist = true;
    for index in 0..count {
        let node = match index {
            0 => world.add_admin("boss"),
            _ => world.add(&format!("member{index}")),
        };
        world.enter(node);
        assert!(world.run_until(30 * SECOND, |world| world.settled(index + 1)).is_some());
    }
    // Each rotates its key once after it came.
    world.run(90 * SECOND);
    world
}

fn heard(world: &World, node: usize) -> Vec<String> {
    let texts = world.texts(node).into_iter();
    texts.filter(|text| text.starts_with("honest")).collect()
}

#[test]
fn a_members_flood_is_cut_and_neither_drowns_the_others_nor_their_mail() {
    let mut world = settled(1, 5);
    let (honest, away) = ([0, 1, 2], 4);
    world.offline(away);
    let mut mallory = Mallory::with_the_keys_of(&mut world, 3);
    world.run(5 * SECOND);

    let (mut said, mut accepted) = (Vec::new(), [0; 3]);
    for round in 0..20 {
        let speaker = honest[round % 3];
        said.push(format!("honest {round}"));
        world.send(speaker, &said[round]);
        // Three times what she may say, and 37 MB a second.
        for _ in 0..120 {
            let frame = mallory.frame();
            for (node, accepted) in honest.into_iter().zip(&mut accepted) {
                match world.gossip(node, mallory.node, frame.clone()) {
                    Verdict::Accept => *accepted += 1,
                    // It is let go, and nobody is blamed: whoever passed it on had room for it.
                    Verdict::Ignore => {}
                    Verdict::Reject => panic!("rejected by {node}"),
                }
            }
        }
        world.run(SECOND / 10);
    }
    world.run(30 * SECOND);
    for node in honest {
        let others = said.iter().enumerate().filter(|(round, _)| honest[round % 3] != node);
        assert_eq!(
            heard(&world, node).len(),
            others.count(),
            "each of the others' messages, once, at {node}"
        );
        let facts = world.nodes[node].room.facts(world.clock_of(node));
        assert!(facts.shed > 600, "{} at {node}", facts.shed);
    }
    // 20,000 came within 2 s: a burst, and 400 a second; what was accepted at one reaches the others too.
    assert!(
        accepted.iter().all(|accepted| (300..1_500).contains(accepted)),
        "{accepted:?}"
    );

    // Hers would fill what is kept twice over, and yet who was away gets theirs.
    world.restart(away);
    world.enter(away);
    let all_heard = |world: &mut World| heard(world, away).len() == said.len();
    assert!(
        world.run_until(60 * SECOND, all_heard).is_some(),
        "{:?}",
        heard(&world, away)
    );

    // And she can be removed while she goes on.
    world.kick(0, mallory.node);
    for _ in 0..50 {
        for _ in 0..10 {
            let frame = mallory.frame();
            for node in honest {
                world.gossip(node, mallory.node, frame.clone());
            }
        }
        world.run(SECOND / 10);
    }
    assert!(world.run_until(30 * SECOND, |world| world.settled(4)).is_some());
}

#[test]
fn who_asks_without_end_is_not_answered_without_end_and_the_others_are() {
    let mut world = settled(2, 3);
    let compare = DirectRequest::Compare { digest: [0; 32] };
    for _ in 0..5_000 {
        world.request(0, 1, &compare);
    }
    let shed = |world: &World| world.nodes[0].room.facts(world.clock_of(0)).shed;
    let after_the_flood = shed(&world);
    assert!((3_900..=4_100).contains(&after_the_flood), "{after_the_flood}");
    world.request(0, 2, &compare);
    assert_eq!(shed(&world), after_the_flood, "each link has its own");
    // It is heard again a moment later.
    world.run(10 * SECOND);
    world.send(1, "honest");
    world.run(SECOND);
    assert_eq!(heard(&world, 0), ["honest"]);
}

/// A generation's object costs signatures and a hash tree: what comes unasked is looked at a few times, and one whose author has no say never.
#[test]
fn objects_that_nobody_asked_for_are_looked_at_a_few_times() {
    let mut world = settled(3, 4);
    world.part(&[3], &[0, 1, 2]);
    world.command(0, Command::Rekey { room_key: None });
    world.run(10 * SECOND);
    let generation = |world: &World| world.nodes[3].room.facts(world.clock()).generation;
    let shed = |world: &World| world.nodes[3].room.facts(world.clock_of(3)).shed;
    let leaf = snug_crypto::leaf::Record::Leave(snug_crypto::leaf::Leave::create(
        &Identity::from_seed(&[7; 32]),
        1,
        1,
        &world.genesis.hash(),
    ));
    let door = |object: &UnverifiedObject| DirectRequest::Door {
        leaf: leaf.to_unverified(),
        generation: Generation::first(&world.genesis.hash()),
        object: Some(object.encode().unwrap()),
    };
    let whole = UnverifiedObject::decode(&world.nodes[0].room.generation_object().unwrap()).unwrap();
    let mut useless = whole.clone();
    useless.boxes.truncate(1);
    let (whole, useless) = (door(&whole), door(&useless));
    let before = shed(&world);
    let knock = |world: &mut World, request: &DirectRequest, key: u8| {
        let bytes = request.encode().unwrap();
        let (from, id) = (PeerKey::from_bytes([key; 32]), RequestId(u64::MAX - u64::from(key)));
        world.input(3, Input::Knock { from, id, bytes });
    };
    // Under as many keys as somebody likes, and over a link.
    for key in 0..40 {
        knock(&mut world, &useless, key);
    }
    assert_eq!(shed(&world) - before, 32);
    for _ in 0..20 {
        world.request(3, 1, &useless);
    }
    assert_eq!((shed(&world) - before, generation(&world)), (32 + 12, 0));
    // Another link has its own, and a while later there is room again.
    world.request(3, 2, &useless);
    assert_eq!(shed(&world) - before, 32 + 12);
    world.run(10 * SECOND);
    knock(&mut world, &whole, 41);
    assert_eq!((shed(&world) - before, generation(&world)), (32 + 12, 1));
    // It is known now, and costs nothing any more.
    for _ in 0..40 {
        knock(&mut world, &whole, 42);
    }
    assert_eq!(shed(&world) - before, 32 + 12);
}
