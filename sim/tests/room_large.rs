//! Rooms of more members than an announcement lists: lists and boxes travel apart, and most members are several links away from whoever has
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use snug_crypto::bounds::MAX_INLINE_MEMBERS;
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const MEMBERS: usize = MAX_INLINE_MEMBERS + 1;

fn enter(world: &mut World, number: usize) -> usize {
    let node = world.add(&format!("m{number}"));
    world.enter(node);
    node
}

/// Whether all are in one epoch within a time. Looked at now and then: each look asks everybody.
fn rests(world: &mut World, members: usize, within: Duration) -> bool {
    let until = world.now + within;
    while !world.settled(members) && world.now < until {
        world.run(SECOND / 5);
    }
    world.settled(members)
}

#[test]
fn members_far_from_all_custodians_get_their_lists_and_boxes() {
    let mut world = World::of_at_most(31, Weather::CALM, 300);
    (world.degree, world.relays, world.records) = (Some(6), true, false);
    for number in 0..MEMBERS {
        enter(&mut world, number);
        world.run(if number == 0 {
            SECOND / 2
        } else {
            Duration::from_millis(1)
        });
    }
    // What they need. Those who can't get their box begin anew after twelve seconds, and then everybody needs another epoch.
    assert!(rests(&mut world, MEMBERS, 10 * SECOND), "no rest");
    // One more, while all is quiet: everybody knows whose the list is.
    let late = enter(&mut world, MEMBERS);
    assert!(rests(&mut world, MEMBERS + 1, 10 * SECOND), "no rest with one more");
    world.send(late, "good evening");
    world.run(2 * SECOND);
    for node in world.alive().into_iter().filter(|node| *node != late) {
        assert_eq!(world.texts(node), ["good evening"], "member {node}");
    }
    assert!(world.acknowledged(late).contains("good evening"));
}
