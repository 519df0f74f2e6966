//! How many frames a room makes, in virtual time: what is said faster leaves together, and nothing waits that is said at rest.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// Frames a second of somebody who never pauses and speaks alone.
const ALONE: usize = 200;

fn room(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, Weather::CALM);
    (world.persist, world.records) = (true, true);
    for index in 0..count {
        let node = world.add(&format!("member{index}"));
        world.enter(node);
        assert!(world.run_until(30 * SECOND, |world| world.settled(index + 1)).is_some());
    }
    world.run(5 * SECOND);
    world
}

/// Each of the first `speakers` says something every millisecond, for two seconds. Gives the frames of the second one.
fn talk(world: &mut World, speakers: usize, word: &str) -> usize {
    let mut frames = 0;
    for ms in 0..2_000 {
        if ms == 1_000 {
            frames = world.frames.len();
        }
        for speaker in 0..speakers {
            world.send(speaker, &format!("{speaker} {word} {ms}"));
        }
        world.run(MS);
    }
    world.frames.len() - frames
}

#[test]
fn who_talks_beside_others_makes_fuller_frames_and_not_more_of_them() {
    for seed in 0..3 {
        let mut world = room(seed, 5);
        let alone = talk(&mut world, 1, "says");
        assert!(
            (ALONE / 2..=ALONE + 1).contains(&alone),
            "seed {seed}: {alone} frames of one who talks alone"
        );
        world.run(5 * SECOND);
        let together = talk(&mut world, 4, "adds");
        assert!(together <= ALONE + 4, "seed {seed}: {together} frames of four who talk");
        world.run(5 * SECOND);
        for node in 0..5 {
            let texts = world.texts(node);
            let distinct: BTreeSet<&String> = texts.iter().collect();
            assert_eq!(distinct.len(), texts.len(), "seed {seed}: told twice at {node}");
            for speaker in (0..4).filter(|speaker| *speaker != node) {
                let said: Vec<&String> = (texts.iter())
                    .filter(|text| text.starts_with(&format!("{speaker} ")))
                    .collect();
                let all = if speaker == 0 { 4_000 } else { 2_000 };
                assert_eq!(said.len(), all, "seed {seed}: what {speaker} said at {node}");
            }
        }
    }
}

#[test]
fn what_is_said_in_a_quiet_moment_leaves_at_once_however_many_spoke_before() {
    let mut world = room(7, 5);
    talk(&mut world, 4, "says");
    world.run(SECOND);
    let frames = world.frames.len();
    world.send(0, "now");
    assert_eq!(world.frames.len(), frames + 1, "it waits for nothing");
    world.run(SECOND);
    assert!(world.texts(4).contains(&"now".to_owned()));
}

/// Who says something and goes at the same moment has said it.
#[test]
fn what_waits_for_its_frame_goes_before_its_author_does() {
    for seed in 0..5 {
        let mut world = room(seed, 4);
        for n in 0..3 {
            world.send(0, &format!("last words {n}"));
        }
        world.offline(0);
        world.run(5 * SECOND);
        let texts = world.texts(1);
        for n in 0..3 {
            assert!(texts.contains(&format!("last words {n}")), "seed {seed}: {texts:?}");
        }
    }
}

/// Whoever types into an empty room for days was told of each message that it is sent.
#[test]
fn all_that_was_said_to_an_empty_room_is_heard_however_much_it_is() {
    for restarts in [false, true] {
        let mut world = room(9, 1);
        for n in 0..600 {
            world.send(0, &format!("alone {n:03}"));
            world.run(6 * MS);
        }
        world.run(SECOND);
        assert_eq!(world.acknowledged(0).len(), 600);
        if restarts {
            world.kill(0);
            world.restart(0);
            world.enter(0);
            world.run(5 * SECOND);
        }
        let newcomer = world.add("newcomer");
        world.enter(newcomer);
        let all = world.run_until(60 * SECOND, |world| world.texts(newcomer).len() >= 600);
        let texts = world.texts(newcomer);
        assert!(
            all.is_some(),
            "restarted: {restarts}; {} of 600 were heard",
            texts.len()
        );
        let mut ordered = texts.clone();
        ordered.sort();
        ordered.dedup();
        assert_eq!(texts, ordered, "each once, in order");
    }
}
