//! The transcript check: gaps, messages that are withheld, and a member who tells others different things.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use snug::room::{AuditReport, RoomEvent, Warning};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
/// The identity that lives twice.
const TWINS: [u8; 32] = [7; 32];

/// Three members, the last of whom has a seed that is known.
fn three(seed: u64) -> World {
    let mut world = World::new(seed, Weather::CALM);
    world.persist = true;
    for name in ["alice", "bob", "mallory"] {
        let node = match name {
            "mallory" => world.add_identity(name, TWINS),
            _ => world.add(name),
        };
        world.enter(node);
        let settled = world.run_until(30 * SECOND, |world| world.settled(node + 1));
        assert!(settled.is_some(), "{name} does not settle");
    }
    world.run(5 * SECOND);
    world
}

fn audit(world: &mut World, node: usize) -> AuditReport {
    let before = world.nodes[node].reports.len();
    world.audit(node);
    let found = world.run_until(10 * SECOND, |world| world.nodes[node].reports.len() > before);
    assert!(found.is_some(), "no report");
    world.nodes[node].reports[before].clone()
}

fn forks(world: &World, node: usize) -> Vec<String> {
    let forks = world.nodes[node].events.iter().filter_map(|(_, event)| match event {
        RoomEvent::Warning(Warning::Fork { name, .. }) => Some(name.exact().to_owned()),
        _ => None,
    });
    forks.collect()
}

fn gaps(world: &World, node: usize) -> Vec<(String, u64)> {
    let gaps = world.nodes[node].events.iter().filter_map(|(_, event)| match event {
        RoomEvent::Gap { from, missing } => Some((from.name.exact().to_owned(), *missing)),
        _ => None,
    });
    gaps.collect()
}

/// What mallory says to alice in one place of its chain, and to bob in the same.
fn forked(seed: u64) -> World {
    let mut world = three(seed);
    world.offline(2);
    world.part(&[0], &[1]);
    let disk = world.nodes[2].disk.clone();
    let twin = world.add_identity("mallory", TWINS);
    world.nodes[twin].alive = false;
    world.nodes[twin].disk = disk;
    for (mallory, victim, text) in [(2, 0, "yes"), (twin, 1, "no")] {
        world.restart(mallory);
        world.link(mallory, victim);
        world.run(5 * SECOND);
        world.send(mallory, text);
        let heard = world.run_until(20 * SECOND, |world| world.texts(victim).contains(&text.to_owned()));
        assert!(heard.is_some(), "seed {seed}: {text}");
        world.kill(mallory);
    }
    assert!(!world.texts(0).contains(&"no".to_owned()) && !world.texts(1).contains(&"yes".to_owned()));
    world
}

#[test]
fn a_member_that_tells_others_different_things_is_found_by_what_they_say_next() {
    for seed in 0..5 {
        let mut world = forked(seed);
        assert!(forks(&world, 0).is_empty() && forks(&world, 1).is_empty());
        world.link(0, 1);
        world.run(2 * SECOND);
        world.send(0, "mallory agrees");
        world.send(1, "mallory does not");
        for node in [0, 1] {
            let found = world.run_until(120 * SECOND, |world| !forks(world, node).is_empty());
            assert!(found.is_some(), "seed {seed}: node {node} found nothing");
            world.run(30 * SECOND);
            assert_eq!(forks(&world, node), ["mallory"], "seed {seed}: told once");
            let report = audit(&mut world, node);
            let (who, fork) = &report.forks[0];
            assert_eq!((who.name.exact(), report.forks.len()), ("mallory", 1), "seed {seed}");
            assert_ne!(fork.frames[0], fork.frames[1]);
            assert!(
                !report.is_clean() && report.withheld.is_empty(),
                "seed {seed}: {report:?}"
            );
        }
        let sides = [0, 1].map(|node| world.nodes[node].reports[0].forks[0].1.frames);
        assert_eq!(sides[0], [sides[1][1], sides[1][0]], "each was told one of the two");
        // It stays on record.
        world.offline(0);
        world.restart(0);
        world.enter(0);
        let back = world.run_until(60 * SECOND, |world| {
            world.texts(0).len() > 1 || world.epoch(0) == world.epoch(1)
        });
        assert!(back.is_some(), "seed {seed}");
        assert_eq!(audit(&mut world, 0).forks.len(), 1, "seed {seed}");
    }
}

#[test]
fn a_check_finds_it_before_anybody_has_spoken() {
    for seed in 10..13 {
        let mut world = forked(seed);
        world.link(0, 1);
        world.run(SECOND);
        let report = audit(&mut world, 0);
        assert!(report.answered >= 1 && report.answered <= report.asked, "seed {seed}");
        assert_eq!(report.forks.len(), 1, "seed {seed}: {report:?}");
        assert_eq!(forks(&world, 0), ["mallory"]);
    }
}

#[test]
fn what_somebody_saw_and_nobody_gives_is_named_until_it_comes() {
    for seed in 20..25 {
        let mut world = three(seed);
        assert!(audit(&mut world, 1).is_clean(), "seed {seed}");
        // Alice hears mallory, and bob hears of it only by what alice says.
        world.part(&[1], &[0, 2]);
        world.run(SECOND);
        world.send(2, "between us");
        let heard = world.run_until(20 * SECOND, |world| world.texts(0).contains(&"between us".to_owned()));
        assert!(heard.is_some(), "seed {seed}");
        world.send(0, "as mallory said");
        world.run(SECOND);
        let said = world.last_published(0);
        world.gossip(1, 0, said);
        world.run(5 * SECOND);
        let report = audit(&mut world, 1);
        assert_eq!(report.withheld.len(), 1, "seed {seed}: {report:?}");
        assert_eq!(report.withheld[0].named_by.name.exact(), "alice");
        assert!(report.withheld[0].author.is_none() && report.forks.is_empty());
        world.heal(&[1], &[0, 2]);
        let heard = world.run_until(60 * SECOND, |world| world.texts(1).contains(&"between us".to_owned()));
        assert!(heard.is_some(), "seed {seed}");
        assert!(audit(&mut world, 1).is_clean(), "seed {seed}");
    }
}

#[test]
fn a_gap_is_told_when_it_stays_and_when_it_is_filled() {
    for seed in 30..35 {
        let mut world = three(seed);
        world.part(&[1], &[0, 2]);
        world.run(SECOND);
        for text in ["one", "two", "three"] {
            world.send(2, text);
            world.run(SECOND);
        }
        let last = world.last_published(2);
        world.gossip(1, 2, last);
        let told = world.run_until(60 * SECOND, |world| !gaps(world, 1).is_empty());
        assert!(told.is_some(), "seed {seed}");
        assert_eq!(gaps(&world, 1), [("mallory".to_owned(), 2)], "seed {seed}");
        assert_eq!(audit(&mut world, 1).gaps[0].1, 2);
        world.heal(&[1], &[0, 2]);
        let filled = world.run_until(60 * SECOND, |world| gaps(world, 1).len() == 2);
        assert!(filled.is_some(), "seed {seed}");
        assert_eq!(gaps(&world, 1)[1], ("mallory".to_owned(), 0));
        assert!(audit(&mut world, 1).is_clean(), "seed {seed}");
    }
}
