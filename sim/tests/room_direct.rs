//! Direct messages: read by the one they are for, in any weather, and by nobody else, whatever was kept, recorded or stolen.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use snug::room::{RoomEvent, Warning};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const STORM: Weather = Weather {
    delay: (Duration::from_millis(1), Duration::from_millis(60)),
    loss: 0.25,
    duplicate: 0.1,
    reorder: 0.2,
};

fn settled(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, Weather::CALM);
    world.persist = true;
    world.fill(count);
    world
}

fn told(world: &World, node: usize) -> BTreeSet<(String, String)> {
    world.directs(node).into_iter().collect()
}

fn of(who: usize, text: &str) -> (String, String) {
    (format!("member{who}"), text.to_owned())
}

#[test]
fn a_conversation_of_two_in_a_room_of_four() {
    let mut world = settled(1, 4);
    world.send(3, "good evening");
    for turn in 0..20 {
        let (from, to) = if turn % 2 == 0 { (0, 1) } else { (1, 0) };
        world.direct(from, to, &format!("turn {turn}"));
        world.direct(from, to, &format!("and {turn}"));
        world.run(Duration::from_millis(700));
    }
    world.run(5 * SECOND);
    for (from, to) in [(0, 1), (1, 0)] {
        let expected: Vec<_> = (0..20)
            .filter(|turn| turn % 2 == from)
            .flat_map(|turn| [of(from, &format!("turn {turn}")), of(from, &format!("and {turn}"))])
            .collect();
        assert_eq!(world.directs(to), expected, "in order, and once");
        assert_eq!(world.texts(to).len(), 21, "the evening's greeting besides");
    }
    assert_eq!((world.texts(2).len(), world.texts(3).len()), (1, 0));
    assert!((0..4).all(|node| !world.nodes[node].verdicts.contains_key("reject")));
    let receipts: Vec<_> = (world.nodes[0].events.iter())
        .filter_map(|(_, event)| match event {
            RoomEvent::Receipt(receipt) => Some(*receipt),
            _ => None,
        })
        .collect();
    assert!(receipts.iter().all(|receipt| receipt.of == 1));
    let delivered: BTreeSet<_> = receipts.iter().filter(|r| r.delivered == 1).map(|r| r.id).collect();
    assert_eq!(delivered.len(), 20, "each of alice's own has arrived");
    for (node, others) in [(2, 40), (3, 40)] {
        world.audit(node);
        world.run(5 * SECOND);
        let report = world.nodes[node].reports.last().unwrap();
        assert!(
            report.withheld.is_empty() && report.forks.is_empty(),
            "{report:?}, {others} contents for others"
        );
    }
}

#[test]
fn both_may_speak_first_and_at_once_and_nothing_is_lost_in_a_storm() {
    for seed in 0..15 {
        let mut world = settled(seed, 4);
        world.weather = STORM;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut expected: BTreeMap<usize, BTreeSet<(String, String)>> = BTreeMap::new();
        for round in 0..40 {
            // Often both of a pair in one moment, and sometimes a third.
            for (from, to) in [(0, 1), (1, 0), (2, 0), (3, 1)] {
                if rng.random_bool(if from < 2 { 0.6 } else { 0.1 }) {
                    let text = format!("{round}: {from} to {to}");
                    world.direct(from, to, &text);
                    expected.entry(to).or_default().insert(of(from, &text));
                }
            }
            match round {
                10 => drop(world.part(&[0, 2], &[1, 3])),
                25 => world.heal(&[0, 2], &[1, 3]),
                _ => {}
            }
            world.run(Duration::from_millis(rng.random_range(1..2_500)));
        }
        world.weather = Weather::CALM;
        world.run(2 * MINUTE);
        for node in 0..4 {
            let wanted = expected.remove(&node).unwrap_or_default();
            assert_eq!(told(&world, node), wanted, "seed {seed}, node {node}");
            assert_eq!(
                world.directs(node).len(),
                wanted.len(),
                "seed {seed}, node {node}: shown twice"
            );
            assert!(
                !world.nodes[node].verdicts.contains_key("reject"),
                "seed {seed}, node {node}"
            );
        }
    }
}

/// Crashes before a commit, after it, and in between: what its author was told is out is read, and nothing is new twice.
#[test]
fn crashes_and_restarts_of_either_side_lose_nothing() {
    let (mut crashes, mut shown) = (0, 0);
    for seed in 0..15 {
        let mut world = settled(seed, 3);
        world.weather = Weather {
            loss: 0.05,
            duplicate: 0.05,
            ..Weather::CALM
        };
        world.crash = 0.01;
        world.slow_to_tell = 0.2;
        let mut rng = StdRng::seed_from_u64(seed ^ 0xD1);
        for round in 0..60 {
            let from = rng.random_range(0..3);
            let to = (from + rng.random_range(1..3)) % 3;
            if world.nodes[from].alive {
                world.direct(from, to, &format!("{round}: {from} to {to}"));
            }
            world.run(Duration::from_millis(rng.random_range(50..1_500)));
            for node in world.crashed.clone() {
                if rng.random_bool(0.4) {
                    crashes += 1;
                    world.restart(node);
                    if world.nodes[node].alive {
                        world.enter(node);
                    }
                }
            }
        }
        world.crash = 0.0;
        for node in world.crashed.clone() {
            crashes += 1;
            world.restart(node);
            world.enter(node);
        }
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            world.link(a, b);
        }
        assert!(
            world.run_until(MINUTE, |world| world.settled(3)).is_some(),
            "seed {seed}"
        );
        world.run(MINUTE);
        let is_for = |text: &String, node: usize| text.ends_with(&format!("to {node}"));
        for node in 0..3 {
            let all: BTreeSet<String> = world.texts(node).into_iter().collect();
            assert!(
                all.iter().all(|text| is_for(text, node)),
                "seed {seed}: {node} read {all:?}"
            );
            assert_eq!(world.directs(node).len(), world.texts(node).len());
            for other in (0..3).filter(|other| *other != node) {
                for text in world.acknowledged(other).iter().filter(|text| is_for(text, node)) {
                    assert!(all.contains(text), "seed {seed}: {node} lost {text}");
                }
            }
            let mut first: BTreeMap<String, usize> = BTreeMap::new();
            for (text, again) in world.shown(node) {
                shown += 1;
                *first.entry(text).or_default() += usize::from(!again);
            }
            assert!(
                first.values().all(|times| *times <= 1),
                "seed {seed}, node {node}: {first:?}"
            );
        }
    }
    println!("{crashes} crashes, {shown} direct messages shown");
    assert!(crashes > 50 && shown > 300, "the test does not bite");
}

#[test]
fn mail_for_who_is_away_waits_with_others_and_outlasts_the_key_that_it_is_sealed_to() {
    for seed in 0..5 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        world.offline(1);
        world.direct(0, 1, "a first word");
        world.run(SECOND);
        world.direct(0, 1, "and another");
        world.run(5 * SECOND);
        // Its author goes, and the one who keeps it can't read it.
        world.offline(0);
        world.run(30 * MINUTE);
        world.restart(1);
        world.enter_alone(1);
        // Long enough for a new KEM key, which nobody has heard of.
        world.run(3 * MINUTE);
        assert!(world.directs(1).is_empty());
        world.link(1, 2);
        world.run(10 * SECOND);
        assert_eq!(
            world.directs(1),
            [of(0, "a first word"), of(0, "and another")],
            "seed {seed}"
        );
        world.direct(1, 0, "I was away");
        world.run(5 * SECOND);
        world.restart(0);
        world.enter(0);
        world.run(20 * SECOND);
        assert_eq!(world.directs(0), [of(1, "I was away")], "seed {seed}");
        world.direct(0, 1, "welcome back");
        world.run(5 * SECOND);
        assert_eq!(world.directs(1).last(), Some(&of(0, "welcome back")), "seed {seed}");
        assert!(world.texts(2).is_empty());
    }
}

#[test]
fn a_peer_that_lost_its_state_begins_anew_with_everybody() {
    for seed in 0..5 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        world.direct(0, 1, "before");
        world.run(2 * SECOND);
        let old = world.nodes[1].disk.clone();
        world.direct(1, 0, "still before");
        world.run(2 * SECOND);
        world.direct(0, 1, "under the keys of now");
        world.run(2 * SECOND);
        world.offline(1);
        if seed % 2 == 0 {
            world.nodes[1].disk = old;
        } else {
            world.nodes[1].disk.clear();
        }
        world.restart(1);
        world.enter(1);
        assert!(world.run_until(30 * SECOND, |world| world.settled(3)).is_some());
        world.run(5 * SECOND);
        world.direct(0, 1, "to your new leaf");
        world.direct(1, 0, "from my new leaf");
        world.run(5 * SECOND);
        world.direct(0, 1, "and so on");
        world.run(5 * SECOND);
        let last: Vec<_> = world.directs(1).into_iter().rev().take(2).collect();
        assert_eq!(last, [of(0, "and so on"), of(0, "to your new leaf")], "seed {seed}");
        assert_eq!(world.directs(0).last(), Some(&of(1, "from my new leaf")), "seed {seed}");
    }
}

/// All that a member ever has: its disk, with every key that it was given, and every frame that was ever sent.
fn read_with(
    world: &mut World,
    node: usize,
    disk: BTreeMap<Vec<u8>, snug_crypto::rest::RestBytes>,
) -> BTreeSet<String> {
    if world.nodes[node].alive {
        world.kill(node);
    }
    world.nodes[node].disk = disk;
    world.nodes[node].events.clear();
    world.restart(node);
    let from = (node + 1) % world.nodes.len();
    for frame in world.recording.clone() {
        world.gossip(node, from, frame);
    }
    // Nothing waits for its parents for ever.
    world.run(10 * SECOND);
    let texts = world.texts(node).into_iter().collect();
    world.kill(node);
    texts
}

#[test]
fn a_member_with_all_its_keys_and_a_full_recording_reads_nothing_of_two_others() {
    let mut world = settled(3, 3);
    world.run(2 * SECOND);
    let early: Vec<_> = (0..3).map(|node| world.nodes[node].disk.clone()).collect();
    world.direct(0, 1, "psst");
    world.run(2 * SECOND);
    world.direct(1, 0, "what?");
    world.run(2 * SECOND);
    world.direct(0, 1, "nothing");
    world.send(0, "to all");
    world.run(2 * SECOND);
    let late: Vec<_> = (0..3).map(|node| world.nodes[node].disk.clone()).collect();
    // The same tools, in the right hands, do open it: the test bites.
    let mut world2 = world;
    let of_reader = read_with(&mut world2, 1, early[1].clone());
    assert!(
        of_reader.contains("psst") && of_reader.contains("to all"),
        "{of_reader:?}"
    );
    for disk in [&early[2], &late[2]] {
        let read = read_with(&mut world2, 2, disk.clone());
        assert!(read.is_subset(&BTreeSet::from(["to all".to_owned()])), "{read:?}");
        for (key, value) in disk {
            for text in ["psst", "what?", "nothing"] {
                let found = value.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(!found, "{text} rests under {key:?}");
            }
        }
    }
}

/// Whoever copies a device reads on until both have spoken anew.
#[test]
fn a_stolen_copy_reads_nothing_once_both_have_spoken_again() {
    for (seed, victim) in [(4, 0), (5, 1)] {
        let mut world = settled(seed, 3);
        world.run(2 * SECOND);
        let other = 1 - victim;
        world.direct(0, 1, "hello");
        world.run(2 * SECOND);
        world.direct(1, 0, "hello yourself");
        world.run(2 * SECOND);
        let stolen = world.nodes[victim].disk.clone();
        world.direct(other, victim, "overheard");
        world.run(2 * SECOND);
        world.direct(victim, other, "one turn");
        world.run(2 * SECOND);
        world.direct(other, victim, "two turns");
        world.direct(other, victim, "secret");
        world.run(2 * SECOND);
        world.direct(victim, other, "a secret of mine");
        world.run(2 * SECOND);
        assert_eq!(
            world.directs(victim).last(),
            Some(&(format!("member{other}"), "secret".to_owned()))
        );
        let read = read_with(&mut world, victim, stolen);
        assert!(read.contains("overheard"), "the copy is good for something: {read:?}");
        for text in ["two turns", "secret", "a secret of mine"] {
            assert!(!read.contains(text), "seed {seed}: {read:?}");
        }
    }
}

/// What was erased is gone for a thief who comes later, recording or not.
#[test]
fn what_was_said_before_the_retention_is_closed_to_who_steals_the_device_later() {
    let mut world = settled(6, 3);
    world.run(2 * SECOND);
    world.direct(0, 1, "long ago");
    world.run(2 * SECOND);
    world.direct(1, 0, "yes");
    world.run(2 * SECOND);
    world.direct(0, 1, "so it was");
    world.run(2 * SECOND);
    world.direct(1, 0, "it was");
    world.run(2 * SECOND);
    let fresh = world.nodes[1].disk.clone();
    // The retention is a day, and the rooms' own epochs are renewed daily.
    for _ in 0..(50 * 4) {
        world.run(15 * MINUTE);
    }
    let late = world.nodes[1].disk.clone();
    let kept = |disk: &BTreeMap<Vec<u8>, snug_crypto::rest::RestBytes>| {
        disk.keys().filter(|key| key[0] == b'y' && key[33] == b'c').count()
    };
    assert!(kept(&fresh) > 0 && kept(&late) == 0, "{} {}", kept(&fresh), kept(&late));
    let read = read_with(&mut world, 1, late);
    assert!(read.is_empty(), "{read:?}");
}

#[test]
fn who_has_gone_or_is_oneself_is_told_nothing() {
    let mut world = settled(8, 3);
    world.run(30 * SECOND);
    let refused = |world: &World, node: usize| world.nodes[node].sent.last().is_some_and(|(_, out)| !out);
    world.direct(0, 0, "to myself");
    assert!(refused(&world, 0));
    world.leave(2);
    world.run(5 * SECOND);
    world.direct(0, 2, "are you there?");
    assert!(refused(&world, 0), "member2 has left");
    world.direct(0, 1, "but you are");
    world.run(2 * SECOND);
    assert!(!refused(&world, 0));
    assert_eq!(world.directs(1), [of(0, "but you are")]);
}

/// Somebody joins while nobody issues: what is for the newcomer waits for an epoch with the newcomer in it, and nothing else does.
#[test]
fn what_waits_for_a_newcomer_holds_nothing_else_up_and_is_answered_if_the_newcomer_goes() {
    for stays in [true, false] {
        let mut world = settled(9, 2);
        world.run(30 * SECOND);
        let guest = world.add("guest");
        world.enter(guest);
        // Its leaf is here, and no epoch with it yet.
        let known = |world: &mut World| world.nodes[0].room.members(world.clock_of(0)).len() == 3;
        assert!(world.run_until(10 * SECOND, known).is_some());
        world.direct(0, guest, "welcome");
        world.send(0, "who is that?");
        if !stays {
            world.leave(guest);
        }
        world.run(20 * SECOND);
        assert!(world.texts(1).contains(&"who is that?".to_owned()));
        let out = world.nodes[0].sent.iter().filter(|(_, out)| *out).count();
        if stays {
            assert_eq!(world.directs(guest), [of(0, "welcome")]);
        } else {
            // Either it was in time, or its author knows that it wasn't.
            assert_eq!(world.nodes[0].sent.len(), 2);
            assert!(out >= 1);
        }
    }
}

/// What waits in the vault for somebody who has gone meanwhile isn't dropped in silence.
#[test]
fn what_waited_through_a_restart_for_somebody_who_left_is_told() {
    let mut world = settled(10, 3);
    world.run(30 * SECOND);
    world.offline(0);
    world.restart(0);
    // Nobody is linked, so nobody has confirmed its state: it waits.
    world.direct(0, 2, "see you tomorrow");
    world.offline(0);
    world.leave(2);
    world.run(5 * SECOND);
    world.restart(0);
    world.enter(0);
    world.run(20 * SECOND);
    let warned = |event: &RoomEvent| matches!(event, RoomEvent::Warning(Warning::NotDelivered { .. }));
    assert!(world.nodes[0].events.iter().any(|(_, event)| warned(event)));
}
