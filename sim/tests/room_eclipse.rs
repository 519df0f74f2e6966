//! A member whose links are nearly all an attacker's: twenty ghosts that hold the Room Key, hand nothing on, and say that nothing is missing
//! (docs/RELIABILITY.md).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const VICTIM: usize = 0;
/// The one that the victim is still linked with.
const FRIEND: usize = 1;
const HONEST: std::ops::Range<usize> = 1..5;
const GHOSTS: std::ops::Range<usize> = 5..25;
/// From the goal: an omission is noticed within so long.
const NOTICED: Duration = Duration::from_secs(60);

/// A room of all of them, in which the ghosts have closed in on the victim. Of the friend's gossip none reaches it: ghosts fill its mesh.
fn surrounded(seed: u64) -> World {
    let mut world = World::new(seed, Weather::CALM);
    world.relays = true;
    for index in 0..GHOSTS.end {
        let node = world.add(&format!("member{index}"));
        world.enter(node);
    }
    assert!(
        world
            .run_until(60 * SECOND, |world| world.settled(GHOSTS.end))
            .is_some(),
        "seed {seed}"
    );
    world.run(30 * SECOND);
    world.withholding = GHOSTS.collect();
    world.deaf = HONEST.map(|honest| (honest, VICTIM)).collect();
    for honest in HONEST.filter(|honest| *honest != FRIEND) {
        world.unlink(VICTIM, honest);
    }
    world
}

/// So many seeds here, others by command.
fn seeds(few: u64) -> u64 {
    let asked = std::env::var("SNUG_SEEDS").ok();
    asked.and_then(|seeds| seeds.parse().ok()).unwrap_or(few)
}

fn has_heard(world: &World, text: &str) -> bool {
    world.texts(VICTIM).iter().any(|heard| heard == text)
}

#[test]
fn one_honest_link_among_twenty_ghosts_is_enough_to_miss_nothing_for_long() {
    let mut slowest = Duration::ZERO;
    for seed in 1..=seeds(4) {
        let mut world = surrounded(seed);
        // At another moment of the victim's round of comparisons each time.
        world.run(Duration::from_millis(1_700) * u32::try_from(seed).unwrap());
        world.send(2, "what the ghosts hide");
        let took = world.run_until(2 * NOTICED, |world| has_heard(world, "what the ghosts hide"));
        let took = took.unwrap_or_else(|| panic!("seed {seed}: never heard"));
        assert!(took <= NOTICED, "seed {seed}: {took:?}");
        slowest = slowest.max(took);
        // And what the victim says gets out as soon.
        world.send(VICTIM, "an answer");
        let heard = |world: &mut World| world.texts(3).iter().any(|heard| heard == "an answer");
        assert!(world.run_until(NOTICED, heard).is_some(), "seed {seed}");
    }
    assert!(slowest > 2 * SECOND, "the ghosts hid nothing");
    println!("the slowest of {} seeds took {slowest:?}", seeds(4));
}
