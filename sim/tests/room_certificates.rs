//! The admin's word for moderators, among simulated members: who has one, and which it makes void.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use snug::room::{Command, Refreshing, Role};
use snug_crypto::credential::{Certificate, Rank};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const LOSSY: Weather = Weather {
    delay: (Duration::from_millis(2), Duration::from_millis(60)),
    loss: 0.2,
    duplicate: 0.05,
    reorder: 0.0,
};

/// A room whose first member is the admin, and the others moderators.
fn room(seed: u64, moderators: usize, weather: Weather) -> World {
    let mut world = World::new(seed, weather);
    world.persist = true;
    for index in 0..=moderators {
        let node = match index {
            0 => world.add_admin("admin"),
            _ => world.add(&format!("moderator{index}")),
        };
        world.enter(node);
        let settles = world.run_until(60 * SECOND, |world| world.settled(index + 1));
        assert!(settles.is_some(), "seed {seed}: {} members do not settle", index + 1);
    }
    for node in 1..=moderators {
        give(&mut world, node, Role::Moderator);
    }
    until(&mut world, seed, "each has the first word for it", |world| {
        (1..=moderators).all(|node| serial(world, node) == Some(0))
    });
    world
}

fn give(world: &mut World, node: usize, role: Role) {
    let who = world.nodes[node].room.fingerprint();
    world.command(0, Command::Role { who, role });
    assert_eq!(world.nodes[0].commanded.last(), Some(&Ok(())));
}

fn until(world: &mut World, seed: u64, what: &str, holds: impl FnMut(&mut World) -> bool) {
    assert!(world.run_until(120 * SECOND, holds).is_some(), "seed {seed}: {what}");
}

/// What a node would tell a rendezvous that knows nothing of the log.
fn refreshing(world: &World, node: usize) -> Option<Refreshing> {
    let room = &world.nodes[node].room;
    room.refreshing(&room.generation(), &BTreeSet::new(), 0, world.clock_of(node))
}

fn word(world: &World, node: usize) -> Option<Certificate> {
    let refreshing = refreshing(world, node)?;
    let certificate = refreshing.certificate.verify(world.genesis.admin()).unwrap();
    assert_eq!(certificate.key, *refreshing.key.public().as_bytes());
    let raises = refreshing.least_serial > 0;
    assert!(
        !raises || certificate.rank == Rank::Admin,
        "only the admin makes any void"
    );
    Some(certificate)
}

fn serial(world: &World, node: usize) -> Option<u32> {
    word(world, node).map(|certificate| certificate.serial)
}

#[test]
fn a_role_that_is_taken_voids_the_word_for_it_and_the_others_get_another() {
    for seed in 0..10 {
        let weather = if seed % 2 == 0 { Weather::CALM } else { LOSSY };
        let mut world = room(seed, 3, weather);
        assert_eq!(refreshing(&world, 0).unwrap().least_serial, 0, "nothing is void yet");
        give(&mut world, 1, Role::Member);

        // The admin's node says so at once, even where the capsule lacks nothing, and once it is known no more.
        let (room, now) = (&world.nodes[0].room, world.clock_of(0));
        let log: BTreeSet<_> = room.capsule().unwrap().log.iter().map(|signed| signed.hash()).collect();
        let told = room.refreshing(&room.generation(), &log, 0, now).unwrap();
        assert!((told.least_serial, told.ours) == (1, true));
        assert!(room.refreshing(&room.generation(), &log, 1, now).is_none());

        until(&mut world, seed, "who keeps a role has another word", |world| {
            serial(world, 2) == Some(1) && serial(world, 3) == Some(1)
        });
        world.run(20 * SECOND);
        assert!(serial(&world, 1).unwrap_or(0) < 1, "who lost it has none that is good");
        assert_eq!(word(&world, 2).unwrap().rank, Rank::Moderator);

        // A kick takes the role too, on the way to a new generation.
        world.kick(0, 2);
        until(&mut world, seed, "the last one has another", |world| {
            serial(world, 3) == Some(2)
        });
        let registering = world.nodes[0].room.registering(world.clock_of(0)).unwrap();
        assert_eq!(registering.least_serial, 2, "with the new Room Key");
        let registering = world.nodes[3].room.registering(world.clock_of(3)).unwrap();
        assert_eq!(registering.least_serial, 0, "which is not a moderator's to say");
    }
}

#[test]
fn who_was_away_when_another_lost_its_role_gets_another_word_as_soon_as_it_is_back() {
    for seed in 20..26 {
        let mut world = room(seed, 3, Weather::CALM);
        world.offline(2);
        give(&mut world, 1, Role::Member);
        // Longer than it takes until the admin says it less often.
        world.run(300 * SECOND);
        world.restart(2);
        world.enter(2);
        let back = world.run_until(20 * SECOND, |world| serial(world, 2) == Some(1));
        assert!(back.is_some(), "seed {seed}");
    }
}

#[test]
fn a_member_that_is_removed_or_changes_of_rules_void_nobodys_word() {
    let mut world = room(40, 2, Weather::CALM);
    let late = world.add("late");
    world.enter(late);
    assert!(world.run_until(60 * SECOND, |world| world.settled(4)).is_some());
    let policy = world.nodes[0].room.facts(world.clock_of(0)).policy;
    world.command(
        0,
        Command::Policy(snug_crypto::genesis::Policy {
            max_participants: 7,
            ..policy
        }),
    );
    world.kick(1, late);
    world.run(30 * SECOND);
    assert_eq!(world.nodes[1].commanded.last(), Some(&Ok(())));
    assert_eq!(serial(&world, 1), Some(0));
    assert_eq!(
        world.nodes[0].room.registering(world.clock_of(0)).unwrap().least_serial,
        0
    );
}

/// The admin gives its word for a moderator's leaf once an hour; a moderator that was away meanwhile still has it.
#[test]
fn a_moderators_certificate_outlives_its_restart() {
    let mut world = room(500, 2, Weather::CALM);
    let (admin, moderator, other) = (0, 1, 2);
    world.offline(moderator);
    world.offline(admin);
    world.restart(moderator);
    world.enter(moderator);
    world.run(10 * SECOND);
    world.kick(moderator, other);
    assert_eq!(world.nodes[moderator].commanded.last(), Some(&Ok(())));
    let registering = world.nodes[moderator].room.registering(world.clock());
    let registering = registering.expect("it registers the new Room Key by the word that it was given before");
    let certified = registering.certificate.verify(world.genesis.admin()).unwrap();
    assert_eq!(certified.key, *registering.key.public().as_bytes());
}
