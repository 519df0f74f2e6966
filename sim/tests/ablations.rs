//! What five of the room's rules are for: each run passes as the room is, and fails with that one rule broken.
//!
//! Membership by identity alone, KEM keys erased on rotation, a new generation apart from its boxes, boxes served by their maker alone, and
//! generations told apart by a number: the more obvious designs, and what becomes of members under each.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use snug::room::{Command, Input, RoomEvent, Rule};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);

/// A room whose first member is the admin, as many more as asked for, and a rule that nobody keeps.
fn room(seed: u64, count: usize, broken: Option<Rule>) -> World {
    let mut world = World::new(seed, Weather::CALM);
    for index in 0..count {
        let name = format!("member{index}");
        let node = if index == 0 {
            world.add_admin(&name)
        } else {
            world.add_identity(&name, identity(index))
        };
        world.enter(node);
        let settles = world.run_until(40 * SECOND, |world| world.settled(index + 1));
        assert!(settles.is_some(), "seed {seed}: {} members do not settle", index + 1);
    }
    for node in 0..count {
        breaks(&mut world, node, broken);
    }
    world
}

fn identity(index: usize) -> [u8; 32] {
    [u8::try_from(index).unwrap() + 100; 32]
}

fn breaks(world: &mut World, node: usize, rule: Option<Rule>) {
    if let Some(rule) = rule {
        world.nodes[node].room.danger_break(rule);
    }
}

fn removed(world: &World, node: usize) -> bool {
    let mut events = world.nodes[node].events.iter();
    events.any(|(_, event)| matches!(event, RoomEvent::Removed))
}

/// Each seed with the rule and without it: what is asked must hold in the first and in none of the second.
fn needs(rule: Rule, seeds: std::ops::Range<u64>, mut holds: impl FnMut(u64, Option<Rule>) -> bool) {
    for seed in seeds {
        assert!(holds(seed, None), "seed {seed}: it doesn't hold with all rules kept");
        assert!(
            !holds(seed, Some(rule)),
            "seed {seed}: it holds without {rule:?}, so this tests nothing"
        );
    }
}

/// An epoch that holds a member's identity looks exact although its keys went to a state that is lost.
#[test]
fn who_lost_its_state_needs_epochs_that_hold_incarnations() {
    needs(Rule::Incarnations, 300..304, |seed, broken| {
        let mut world = room(seed, 3, broken);
        world.kill(2);
        world.run(5 * SECOND);
        let again = world.add_identity("member2", identity(2));
        breaks(&mut world, again, broken);
        world.enter(again);
        let settles = world.run_until(60 * SECOND, |world| world.settled(3));
        world.send(0, "welcome back");
        world.run(10 * SECOND);
        settles.is_some() && world.texts(again).contains(&"welcome back".to_owned())
    });
}

/// Others seal an epoch to the key that they know, and its owner has replaced it meanwhile.
#[test]
fn who_rotates_its_key_while_parted_needs_the_old_one() {
    needs(Rule::KemKeysLiveOn, 310..314, |seed, broken| {
        let mut world = room(seed, 4, broken);
        world.part(&[3], &[0, 1, 2]);
        // Every member replaces its key within a minute of joining.
        world.run(70 * SECOND);
        let late = world.add("late");
        breaks(&mut world, late, broken);
        world.input(late, Input::Introduced { links_expected: 3 });
        world.heal(&[late], &[0, 1, 2]);
        world.run(10 * SECOND);
        assert_eq!(world.epoch(late), world.epoch(0), "seed {seed}");
        world.send(0, "while you were away");
        world.run(5 * SECOND);
        assert!(world.texts(late).contains(&"while you were away".to_owned()));
        world.heal(&[3], &[0, 1, 2, late]);
        world.run(60 * SECOND);
        world.texts(3).contains(&"while you were away".to_owned())
    });
}

/// A generation that counts as soon as it is heard of, and whose maker is gone before anybody has a box of it.
#[test]
fn a_new_generation_needs_its_boxes() {
    needs(Rule::WholeGenerations, 320..324, |seed, broken| {
        let mut world = room(seed, 5, broken);
        world.kick(0, 4);
        // What it published is on its way; it never answers anybody.
        world.kill(0);
        world.run(20 * SECOND);
        let stays = world.alive().iter().all(|node| !removed(&world, *node));
        world.send(1, "still here");
        world.run(10 * SECOND);
        stays && world.texts(2).contains(&"still here".to_owned())
    });
}

/// Two admins who can't reach each other give the room a new Room Key each: both are number one.
#[test]
fn two_generations_of_one_number_need_their_hashes() {
    needs(Rule::GenerationsByHash, 330..334, |seed, broken| {
        let mut world = room(seed, 3, broken);
        let second = world.add_admin("second admin");
        breaks(&mut world, second, broken);
        world.enter(second);
        assert!(world.run_until(40 * SECOND, |world| world.settled(4)).is_some());
        let (left, right) = ([0, 1], [second, 2]);
        world.part(&left, &right);
        world.run(5 * SECOND);
        world.command(0, Command::Rekey { room_key: None });
        world.command(second, Command::Rekey { room_key: None });
        world.run(10 * SECOND);
        world.heal(&left, &right);
        let meet = world.run_until(90 * SECOND, |world| {
            let key = &world.nodes[0].room_key;
            world.settled(4) && world.nodes.iter().all(|node| node.room_key == *key)
        });
        meet.is_some()
    });
}

#[test]
fn who_is_late_needs_others_than_the_maker_to_serve_boxes() {
    for seed in 220..224 {
        // The ablation must fail where the rule holds.
        for only_the_maker in [false, true] {
            let mut world = room(seed, 6, None);
            world.part(&[3, 4], &[0, 1, 2, 5]);
            world.run(4 * SECOND);
            world.only_server = only_the_maker.then_some(0);
            world.kick(0, 5);
            world.run(8 * SECOND);
            assert!(removed(&world, 5), "seed {seed}: it is told");
            world.kill(5);
            world.kill(0);
            world.heal(&[3, 4], &[1, 2]);
            // The maker is gone, and stays a member.
            let come_back = world.run_until(60 * SECOND, |world| {
                world.settled(5)
                    && world
                        .alive()
                        .iter()
                        .all(|node| world.nodes[*node].room_key == world.nodes[1].room_key)
            });
            assert_eq!(come_back.is_some(), !only_the_maker, "seed {seed}");
        }
    }
}
