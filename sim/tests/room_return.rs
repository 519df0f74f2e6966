//! An epoch that the room goes back to when its roster is what it was, and others that were of use while somebody was out of touch.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use snug::room::RoomEvent;
use snug_crypto::genesis::Policy;
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
/// More than the epochs that members ask each other for by default.
const GUESTS: usize = 12;

/// Guests who come one after the other, by one of these, and leave together or stay.
fn guests(world: &mut World, by: &[usize], members: usize, seed: u64, stay: bool) {
    let mut came = Vec::new();
    for number in 0..GUESTS {
        let guest = world.add(&format!("guest{number}"));
        world.enter_alone(guest);
        for host in by {
            world.link(guest, *host);
        }
        let there: BTreeSet<usize> = by.iter().copied().chain([guest]).chain(came.iter().copied()).collect();
        let expected = members + number + 1;
        let settles = world.run_until(30 * SECOND, |world| {
            let epochs: BTreeSet<_> = there.iter().map(|node| world.epoch(*node)).collect();
            let facts = world.nodes[guest].room.facts(world.clock_of(guest));
            epochs.len() == 1 && facts.members == expected && facts.exact
        });
        assert!(settles.is_some(), "seed {seed}: guest {number} does not settle");
        came.push(guest);
    }
    if !stay {
        for guest in came {
            world.leave(guest);
            world.run(SECOND / 5);
        }
    }
}

fn heard(world: &World, node: usize, texts: &[String]) -> bool {
    let heard: BTreeSet<String> = world.texts(node).into_iter().collect();
    texts.iter().all(|text| heard.contains(text))
}

fn say(world: &mut World, node: usize, count: usize) -> Vec<String> {
    let texts: Vec<String> = (0..count).map(|number| format!("{node} says {number}")).collect();
    for text in &texts {
        world.send(node, text);
        world.run(SECOND / 10);
    }
    texts
}

#[test]
fn what_is_said_in_an_epoch_that_the_room_went_back_to_is_fetched_and_receipts_follow() {
    for seed in 0..5 {
        let mut world = World::new(seed, Weather::CALM);
        world.persist = true;
        world.fill(3);
        let before = world.epoch(0);
        guests(&mut world, &[0, 1, 2], 3, seed, false);
        let back = world.run_until(30 * SECOND, |world| world.settled(3));
        assert!(back.is_some(), "seed {seed}");
        assert_eq!(
            world.epoch(0),
            before,
            "seed {seed}: the roster is what it was, and so is the epoch"
        );
        world.run(10 * SECOND);

        let cut = world.part(&[2], &[0, 1]);
        world.run(20 * SECOND);
        let mut texts = say(&mut world, 0, 20);
        texts.extend(say(&mut world, 1, 20));
        world.run(20 * SECOND);
        for (a, b) in cut {
            world.link(a, b);
        }
        let healed = world.run_until(10 * SECOND, |world| heard(world, 2, &texts));
        assert!(healed.is_some(), "seed {seed}: it lacks some for good");

        world.run(20 * SECOND);
        let delivered = world.nodes[0].events.iter().filter_map(|(_, event)| match event {
            RoomEvent::Receipt(receipt) if receipt.delivered == receipt.of => Some(receipt.id),
            _ => None,
        });
        let delivered: BTreeSet<_> = delivered.collect();
        assert_eq!(
            delivered.len(),
            20,
            "seed {seed}: all have them, and their author isn't told"
        );
    }
}

#[test]
fn what_one_half_said_in_an_epoch_that_the_other_left_long_ago_comes_to_all_of_that() {
    for seed in 0..5 {
        let mut world = World::new(seed, Weather::CALM);
        world.fill(4);
        // Nobody but the third is ever linked with the fourth again.
        world.part(&[3], &[0, 1, 2]);
        guests(&mut world, &[0, 1, 2], 4, seed, true);
        let texts = say(&mut world, 3, 10);
        world.run(200 * SECOND);
        world.link(2, 3);
        // And nobody says anything that would name what is missing.
        for node in 0..3 {
            let healed = world.run_until(30 * SECOND, |world| heard(world, node, &texts));
            assert!(healed.is_some(), "seed {seed}: {node} lacks some for good");
        }
    }
}

#[test]
fn an_epoch_older_than_the_retention_is_kept_for_as_long_once_it_gave_way() {
    for seed in 0..3 {
        let policy = Policy {
            retention_s: 600,
            ..Policy::default()
        };
        let mut world = World::ruled(seed, policy);
        world.fill(3);
        world.run(3_600 * SECOND);
        let cut = world.part(&[2], &[0, 1]);
        let texts = say(&mut world, 0, 3);
        let guest = world.add("guest");
        world.enter_alone(guest);
        world.link(guest, 0);
        world.link(guest, 1);
        world.run(60 * SECOND);
        for (a, b) in cut {
            world.link(a, b);
        }
        let healed = world.run_until(30 * SECOND, |world| heard(world, 2, &texts));
        assert!(healed.is_some(), "seed {seed}: erased while it was still wanted");
    }
}
