//! Receipts among members in virtual time: what authors are told comes true, under loss, absence and restarts, and costs little.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use snug::room::{Receipt, RoomEvent};
use snug_crypto::ids::MessageId;
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);

fn settled(seed: u64, count: usize, weather: Weather) -> World {
    let mut world = World::new(seed, weather);
    world.persist = true;
    for index in 0..count {
        let node = world.add(&format!("member{index}"));
        world.enter(node);
        assert!(world.run_until(30 * SECOND, |world| world.settled(index + 1)).is_some());
    }
    world.run(5 * SECOND);
    world
}

/// The last that an author was told of each of its messages, and how often it was told anything.
fn receipts(world: &World, node: usize) -> (BTreeMap<MessageId, Receipt>, usize) {
    let told = world.nodes[node].events.iter().filter_map(|(_, event)| match event {
        RoomEvent::Receipt(receipt) => Some(*receipt),
        _ => None,
    });
    let all: Vec<Receipt> = told.collect();
    (all.iter().map(|receipt| (receipt.id, *receipt)).collect(), all.len())
}

#[test]
fn everybody_is_counted_in_the_end_although_gossip_loses() {
    for seed in 0..5 {
        let weather = Weather {
            loss: 0.3,
            duplicate: 0.05,
            ..Weather::CALM
        };
        let mut world = settled(seed, 5, weather);
        for n in 0..40 {
            world.send(n % 2, &format!("{n}"));
            world.run(SECOND / 4);
        }
        world.run(20 * SECOND);
        for author in [0, 1] {
            let (told, _) = receipts(&world, author);
            assert_eq!(told.len(), 20, "seed {seed}");
            for receipt in told.values() {
                let numbers = (receipt.held_by, receipt.delivered, receipt.read, receipt.of);
                assert_eq!(numbers, (4, 4, 0, 4), "seed {seed}");
            }
        }
        assert_eq!(receipts(&world, 2).1, 0, "who said nothing is told nothing");
        for reader in 2..5 {
            world.read(reader);
        }
        world.run(10 * SECOND);
        let (told, _) = receipts(&world, 0);
        assert!(told.values().all(|receipt| receipt.read == 3), "seed {seed}");
    }
}

#[test]
fn who_was_away_is_counted_when_it_is_back() {
    for seed in 0..5 {
        let mut world = settled(seed, 3, Weather::CALM);
        world.offline(2);
        world.run(10 * SECOND);
        world.send(0, "for later");
        world.run(10 * SECOND);
        let numbers = |world: &World| {
            let (told, _) = receipts(world, 0);
            told.values()
                .map(|receipt| (receipt.held_by, receipt.delivered, receipt.of))
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(&world), [(1, 1, 2)], "seed {seed}");
        world.restart(2);
        world.enter(2);
        world.run(20 * SECOND);
        assert_eq!(numbers(&world), [(2, 2, 2)], "seed {seed}");
    }
}

/// A thousand messages cost each reader a request every two seconds, not a thousand.
#[test]
fn receipts_are_paced() {
    let mut world = settled(3, 4, Weather::CALM);
    let quiet = world.questions;
    world.run(20 * SECOND);
    let quiet = world.questions - quiet;
    let before = world.questions;
    for n in 0..1_000 {
        world.send(0, &format!("{n}"));
        world.run(SECOND / 50);
    }
    let asked = world.questions - before;
    // Three readers hear a thousand messages, and tell of them at most every two seconds; the rest is comparing, as at any time.
    assert!(asked <= quiet + 100, "{asked} questions, {quiet} when it is quiet");
    world.run(20 * SECOND);
    let (told, times) = receipts(&world, 0);
    assert_eq!(told.len(), 1_000);
    assert!(told.values().all(|receipt| receipt.delivered == 3));
    println!("{asked} questions where {quiet} are asked in silence; {times} receipts were told of 1,000 messages");
}
