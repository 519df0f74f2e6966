//! What a member that breaks the rules can do to the others, in virtual time: not much.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use snug::room::{Role, RoomEvent, Warning};
use snug_crypto::direct::{Bundle, DirectRequest};
use snug_crypto::identity::{Identity, TransportKey};
use snug_crypto::leaf::{Leaf, LeafParams, LeafSecrets, Leave, Record};
use snug_crypto::operation::{Author, Operation, OperationKind, SignedOperation};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);

fn settled(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, Weather::CALM);
    for index in 0..count {
        let node = world.add(&format!("member{index}"));
        world.enter(node);
        assert!(world.run_until(30 * SECOND, |world| world.settled(index + 1)).is_some());
    }
    world.run(30 * SECOND);
    world
}

fn push_records(world: &mut World, from: usize, to: usize, records: &[Record]) {
    let records = records.iter().map(Record::to_unverified).collect();
    world.request(
        to,
        from,
        &DirectRequest::Push(Bundle {
            records,
            ..Bundle::default()
        }),
    );
}

/// A stranger's leaves, admitted by the Room Key, all under one number.
fn leaves_of_one_number(world: &World, count: u32) -> Vec<Record> {
    let now = world.clock().unix_ms;
    leaves(world, &vec![(now, now + 900_000); count as usize])
}

/// A stranger's leaves, admitted by the Room Key, of these numbers and ends.
fn leaves(world: &World, claims: &[(u64, u64)]) -> Vec<Record> {
    let mut rng = StdRng::seed_from_u64(99);
    let (identity, transport, keys) = (
        Identity::generate(&mut rng),
        TransportKey::generate(&mut rng),
        world.keys(),
    );
    (0..)
        .zip(claims)
        .map(|(incarnation, (seq, expires_at_ms))| {
            let params = LeafParams {
                name: "mallory".to_owned(),
                seq: *seq,
                incarnation,
                expires_at_ms: *expires_at_ms,
                generation: keys.generation(),
                approval: None,
            };
            let secrets = LeafSecrets::generate(&mut rng);
            let genesis = world.genesis.hash();
            Record::Leaf(Arc::new(
                Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis).unwrap(),
            ))
        })
        .collect()
}

#[test]
fn thousands_of_leaves_of_strangers_keep_nobody_out() {
    for seq in [u64::MAX, 1_800_000_000_000] {
        let mut world = settled(1, 3);
        let mut rng = StdRng::seed_from_u64(9);
        let genesis = world.genesis.hash();
        let flood: Vec<Record> = (0..2_100)
            .map(|_| Record::Leave(Leave::create(&Identity::generate(&mut rng), seq, 1, &genesis)))
            .collect();
        push_records(&mut world, 2, 0, &flood);
        push_records(&mut world, 2, 1, &flood);
        world.run(10 * SECOND);
        let newcomer = world.add("newcomer");
        world.enter(newcomer);
        assert!(
            world.run_until(20 * SECOND, |world| world.settled(4)).is_some(),
            "seq {seq}"
        );
    }
}

#[test]
fn who_tells_two_halves_different_things_is_named_and_splits_nobody() {
    let mut world = settled(2, 4);
    let leaves = leaves_of_one_number(&world, 2);
    for (to, leaf) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        push_records(&mut world, (to + 1) % 4, to, &leaves[leaf..=leaf]);
    }
    assert!(world.run_until(30 * SECOND, |world| world.settled(5)).is_some());
    for node in 0..4 {
        world.send(node, &format!("{node}"));
    }
    world.run(10 * SECOND);
    let mut warned = 0;
    for node in 0..4 {
        assert_eq!(world.texts(node).len(), 3, "node {node}");
        let events = &world.nodes[node].events;
        warned += usize::from(
            events
                .iter()
                .any(|(_, event)| matches!(event, RoomEvent::Warning(Warning::Equivocation { .. }))),
        );
    }
    assert!(warned >= 2, "{warned} of 4 were warned");
}

/// Who was here when it was good, and who hears of it when it has expired, hold the same: it supersedes what came before it.
#[test]
fn a_leaf_that_has_expired_still_supersedes_the_one_before_it() {
    let mut world = settled(4, 4);
    let now = world.clock().unix_ms;
    let hours = |hours: u64| hours * 3_600_000;
    let told = leaves(
        &world,
        &[(now - hours(10), now + hours(10)), (now - hours(9), now - hours(8))],
    );
    for to in 0..3 {
        push_records(&mut world, (to + 1) % 3, to, &told[1..]);
    }
    world.run(SECOND);
    push_records(&mut world, 0, 3, &told[..1]);
    world.run(30 * SECOND);
    assert!(world.settled(4), "nobody holds the stranger for a member");
}

#[test]
fn operations_of_nobody_in_charge_neither_fill_the_log_nor_stop_the_admin() {
    let mut world = settled(3, 2);
    let junk = Identity::generate(&mut StdRng::seed_from_u64(9));
    let genesis = world.genesis.hash();
    let operations = (0..40u8)
        .map(|number| {
            let operation = Operation::Unknown {
                kind: OperationKind(999),
                body: vec![number],
            };
            SignedOperation::create(Author::Member(&junk), Vec::new(), operation, &genesis)
                .unwrap()
                .to_unverified()
        })
        .collect();
    world.request(
        0,
        1,
        &DirectRequest::Push(Bundle {
            operations,
            ..Bundle::default()
        }),
    );
    world.run(5 * SECOND);
    let boss = world.add_admin("boss");
    world.enter(boss);
    assert!(world.run_until(20 * SECOND, |world| world.settled(3)).is_some());
    world.run(SECOND);
    let now = world.clock();
    for node in 0..3 {
        let members = world.nodes[node].room.members(now);
        let admins: Vec<&str> = members
            .iter()
            .filter(|member| member.role == Role::Admin)
            .map(|member| member.name.exact())
            .collect();
        assert_eq!(admins, ["boss"], "as node {node} sees it");
    }
}

#[test]
fn a_member_cannot_make_itself_admin() {
    let mut world = settled(4, 2);
    let pretender = Identity::generate(&mut StdRng::seed_from_u64(9));
    let role = Operation::Role {
        identity: pretender.key(),
        role: Role::Admin,
    };
    let genesis = world.genesis.hash();
    let operation = SignedOperation::create(Author::Member(&pretender), Vec::new(), role, &genesis).unwrap();
    let operations = vec![operation.to_unverified()];
    world.request(
        0,
        1,
        &DirectRequest::Push(Bundle {
            operations,
            ..Bundle::default()
        }),
    );
    let node = world.add_identity("pretender", *pretender.to_seed().expose());
    world.enter(node);
    assert!(world.run_until(20 * SECOND, |world| world.settled(3)).is_some());
    let now = world.clock();
    assert!(
        world.nodes[0]
            .room
            .members(now)
            .iter()
            .all(|member| member.role == Role::Member)
    );
}
