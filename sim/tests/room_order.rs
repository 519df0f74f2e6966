//! Messages are shown after those that their authors had seen, also while much that was missed is still coming.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::time::Duration;

use snug::room::RoomEvent;
use snug_crypto::ids::{FrameHash, MessageId};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const AWAY: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
/// Said while one is away: as ciphertext four times what one reply carries.
const MISSED: usize = 1_500;

/// Messages that a member was shown before one that their author had seen, and that came after all.
fn out_of_order(world: &World, node: usize) -> usize {
    let messages: Vec<_> = (world.nodes[node].events.iter())
        .filter_map(|(_, event)| match event {
            RoomEvent::Message(message) => Some(message),
            _ => None,
        })
        .collect();
    let all: HashSet<MessageId> = messages.iter().map(|message| message.id).collect();
    let mut shown = HashSet::new();
    let mut early = 0;
    for message in messages {
        let parents = message.parents.iter();
        let mut parents = parents.map(|parent| MessageId::of(&FrameHash::from_bytes(*parent), 0));
        early += usize::from(parents.any(|parent| all.contains(&parent) && !shown.contains(&parent)));
        shown.insert(message.id);
    }
    early
}

#[test]
fn what_is_said_while_missed_messages_still_come_waits_for_them() {
    for seed in 1..=3 {
        let mut world = World::new(seed, Weather::CALM);
        for (index, name) in ["away", "bob", "carol"].into_iter().enumerate() {
            let node = world.add(name);
            world.enter(node);
            let settled = world.run_until(30 * SECOND, |world| world.settled(index + 1));
            assert!(settled.is_some(), "seed {seed}");
        }
        world.run(10 * SECOND);
        world.unlink(AWAY, BOB);
        world.unlink(AWAY, CAROL);
        for number in 0..MISSED {
            world.send([BOB, CAROL][number % 2], &format!("{number} {}", "x".repeat(1_000)));
            world.run(Duration::from_millis(20));
        }
        // The way back is slow: each question takes a second, and not all gossip arrives.
        world.weather = Weather {
            delay: (Duration::from_millis(400), Duration::from_millis(600)),
            loss: 0.1,
            ..Weather::CALM
        };
        world.link(AWAY, BOB);
        world.link(AWAY, CAROL);
        for number in 0..30 {
            world.send([BOB, CAROL][number % 2], &format!("live {number}"));
            world.run(Duration::from_millis(300));
        }
        let all = |world: &mut World| world.texts(AWAY).len() == MISSED + 30;
        assert!(world.run_until(60 * SECOND, all).is_some(), "seed {seed}");
        assert_eq!(out_of_order(&world, AWAY), 0, "seed {seed}");
    }
}
