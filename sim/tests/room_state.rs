//! Rooms that rest on disk: members that go and come back, crash in the middle of a write, or are restored from an old copy.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use snug::room::{Command, Input, Role, RoomEvent};
use snug_crypto::genesis::Policy;
use snug_crypto::ids::MessageId;
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn settled(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, Weather::CALM);
    world.persist = true;
    world.fill(count);
    world
}

/// No two frames are sealed with one key and one nonce. The keys are secret; but a nonce that never repeats within an epoch repeats with
/// no key of it.
fn assert_no_nonce_twice(world: &World) {
    let mut nonces = BTreeSet::new();
    for frame in world.frames.iter().filter(|frame| frame[0] == 1) {
        assert!(
            nonces.insert((frame[1..9].to_vec(), frame[9..21].to_vec())),
            "a nonce was used twice"
        );
    }
}

#[test]
fn a_sleeper_keeps_its_place_and_reads_what_it_missed_in_order() {
    for seed in 0..10 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        let before = world.epoch(2);
        world.offline(2);
        world.run(10 * SECOND);
        let told = world.notices(0);
        assert_eq!(told.last().map(String::as_str), Some("member2 is offline."), "{told:?}");
        for n in 0..50 {
            world.send(n % 2, &format!("{n:02}"));
            world.run(SECOND / 10);
        }
        world.run(MINUTE);
        assert_eq!(world.epoch(0), before, "nobody left, so the epoch stands");
        world.restart(2);
        world.enter(2);
        assert!(
            world.run_until(10 * SECOND, |world| world.settled(3)).is_some(),
            "seed {seed}"
        );
        world.run(5 * SECOND);
        let expected: Vec<String> = (0..50).map(|n| format!("{n:02}")).collect();
        assert_eq!(world.texts(2), expected, "seed {seed}");
        assert_eq!(world.epoch(0), before, "it came back under the leaf that it had");
        let told = world.notices(0);
        assert_eq!(told.last().map(String::as_str), Some("member2 is online."), "{told:?}");
        assert!(!told.contains(&"member2 has left the room den.".to_owned()));
        world.send(2, "good morning");
        world.run(SECOND);
        assert_eq!(world.texts(0).last().map(String::as_str), Some("good morning"));
    }
}

#[test]
fn who_sleeps_while_members_come_and_go_reads_what_was_sent_in_every_epoch_of_theirs() {
    for seed in 0..10 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        world.offline(2);
        let mut expected = Vec::new();
        for round in 0..6 {
            let guest = world.add(&format!("guest{round}"));
            world.enter(guest);
            assert!(
                world.run_until(20 * SECOND, |world| world.settled(4)).is_some(),
                "seed {seed}, round {round}"
            );
            for author in [0, 1, guest] {
                let text = format!("{round}: {author}");
                world.send(author, &text);
                expected.push(text);
                world.run(SECOND / 5);
            }
            world.leave(guest);
            assert!(
                world.run_until(20 * SECOND, |world| world.settled(3)).is_some(),
                "seed {seed}, round {round}"
            );
        }
        world.restart(2);
        world.enter(2);
        world.run(20 * SECOND);
        assert!(world.settled(3), "seed {seed}");
        assert_eq!(world.texts(2), expected, "seed {seed}");
    }
}

#[test]
fn mail_waits_for_days_and_passes_from_hand_to_hand() {
    let mut world = settled(7, 3);
    world.run(30 * SECOND);
    world.offline(2);
    world.send(0, "written when you slept");
    world.run(5 * SECOND);
    // Its author goes; the one who heard it is asleep for a while, too.
    world.offline(0);
    world.offline(1);
    world.run(30 * MINUTE);
    world.restart(1);
    world.enter_alone(1);
    world.run(MINUTE);
    world.restart(2);
    world.enter(2);
    world.run(20 * SECOND);
    assert_eq!(world.texts(2), ["written when you slept"]);
    assert_eq!(world.texts(1), ["written when you slept"], "and nobody sees it twice");
}

#[test]
fn all_asleep_and_back_in_any_order() {
    for seed in 0..10 {
        let mut world = settled(seed, 4);
        world.run(30 * SECOND);
        for node in 0..4 {
            world.send(node, &format!("good night {node}"));
            world.run(2 * SECOND);
            world.offline(node);
        }
        let mut rng = StdRng::seed_from_u64(seed);
        world.run(Duration::from_secs(rng.random_range(1..900)));
        let mut order = vec![0, 1, 2, 3];
        while !order.is_empty() {
            let node = order.remove(rng.random_range(0..order.len()));
            world.restart(node);
            world.enter(node);
            world.run(Duration::from_millis(rng.random_range(0..8_000)));
        }
        assert!(
            world.run_until(30 * SECOND, |world| world.settled(4)).is_some(),
            "seed {seed}"
        );
        world.run(20 * SECOND);
        for node in 0..4 {
            let texts: BTreeSet<String> = world.texts(node).into_iter().collect();
            let expected = (0..4)
                .filter(|other| *other != node)
                .map(|other| format!("good night {other}"))
                .collect();
            assert_eq!(texts, expected, "seed {seed}, node {node}");
            assert_eq!(world.texts(node).len(), 3, "seed {seed}, node {node}: shown twice");
        }
        assert_no_nonce_twice(&world);
    }
}

/// Members crash at any point of any batch: before a commit, after it, between a commit and what rests on it. What was acknowledged to
/// its author reaches everybody; what is shown a second time is marked as such, and nothing else is.
#[test]
fn crashes_at_any_point_lose_nothing_and_show_nothing_twice() {
    let (mut crashes, mut again, mut messages) = (0, 0, 0);
    // SNUG_SEEDS=300 for a long run.
    let seeds = std::env::var("SNUG_SEEDS").map_or(30, |seeds| seeds.parse().expect("a number"));
    for seed in 0..seeds {
        let mut world = settled(seed, 4);
        world.weather = Weather {
            delay: (Duration::from_millis(1), Duration::from_millis(40)),
            loss: 0.05,
            duplicate: 0.05,
            reorder: 0.0,
        };
        world.crash = 0.008;
        world.slow_to_tell = 0.2;
        let mut rng = StdRng::seed_from_u64(seed ^ 0xdead);
        for round in 0..60 {
            let author = rng.random_range(0..4);
            if world.nodes[author].alive {
                world.send(author, &format!("{author}:{round}"));
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
        for (a, b) in (0..4).flat_map(|a| (a + 1..4).map(move |b| (a, b))) {
            world.link(a, b);
        }
        assert!(
            world.run_until(60 * SECOND, |world| world.settled(4)).is_some(),
            "seed {seed}"
        );
        world.run(40 * SECOND);
        let acknowledged: Vec<BTreeSet<String>> = (0..4).map(|node| world.acknowledged(node)).collect();
        for node in 0..4 {
            let mut first: BTreeMap<String, usize> = BTreeMap::new();
            let mut all: BTreeSet<String> = BTreeSet::new();
            for (text, is_again) in world.shown(node) {
                again += usize::from(is_again);
                messages += 1;
                all.insert(text.clone());
                *first.entry(text).or_default() += usize::from(!is_again);
            }
            for (author, said) in acknowledged.iter().enumerate().filter(|(author, _)| *author != node) {
                for text in said {
                    assert!(all.contains(text), "seed {seed}: {node} lost {text} of {author}");
                }
            }
            for (text, times) in first {
                assert!(
                    times <= 1,
                    "seed {seed}: {node} was shown {text} {times} times as if it were new"
                );
            }
        }
        assert_no_nonce_twice(&world);
    }
    println!("{crashes} crashes, {messages} messages shown, {again} of them marked as perhaps shown before");
    assert!(crashes > 100 && again > 0, "the test does not bite");
}

/// A front end that is too slow misses messages between others that it shows. They wait in the vault for the next run, and count as
/// delivered only then.
#[test]
fn what_a_slow_front_end_missed_comes_in_the_next_run_and_is_not_delivered_before() {
    for seed in 0..5 {
        let mut world = settled(seed, 3);
        let delivered = |world: &World| -> BTreeMap<MessageId, usize> {
            let told = world.nodes[0].events.iter().filter_map(|(_, event)| match event {
                RoomEvent::Receipt(receipt) => Some((receipt.id, receipt.delivered)),
                _ => None,
            });
            told.collect()
        };
        let say = |world: &mut World, kind: &str| {
            for n in 0..4 {
                world.send(0, &format!("{kind} {n}"));
                world.run(SECOND);
            }
            world.run(10 * SECOND);
        };
        say(&mut world, "shown");
        assert!(
            delivered(&world).values().all(|delivered| *delivered == 2),
            "seed {seed}"
        );
        world.lagging.insert(2);
        say(&mut world, "missed");
        world.lagging.remove(&2);
        say(&mut world, "later");
        world.read(2);
        world.run(10 * SECOND);
        let kinds = |world: &World, kind: &str| -> Vec<(String, bool)> {
            let shown = world.shown(2).into_iter();
            shown.filter(|(text, _)| text.starts_with(kind)).collect()
        };
        let all = |kind: &str, again: bool| -> Vec<(String, bool)> {
            (0..4).map(|n| (format!("{kind} {n}"), again)).collect()
        };
        assert_eq!(kinds(&world, "missed"), [], "seed {seed}");
        assert_eq!(kinds(&world, "later"), all("later", false), "seed {seed}");
        let mut numbers: Vec<usize> = delivered(&world).into_values().collect();
        numbers.sort_unstable();
        assert_eq!(
            numbers,
            [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2],
            "seed {seed}: a mark stops at the first that was missed"
        );

        world.offline(2);
        world.restart(2);
        world.enter(2);
        world.run(MINUTE);
        assert_eq!(kinds(&world, "missed"), all("missed", true), "seed {seed}");
        assert_eq!(
            kinds(&world, "later"),
            all("later", false),
            "seed {seed}: what was confirmed isn't told twice"
        );
        assert!(
            delivered(&world).values().all(|delivered| *delivered == 2),
            "seed {seed}"
        );
        world.offline(2);
        world.restart(2);
        world.enter(2);
        world.run(MINUTE);
        assert_eq!(
            kinds(&world, "missed").len(),
            4,
            "seed {seed}: nor is what was missed, once it was told"
        );
    }
}

/// Whoever reads stalls for longer than any queue holds: nothing is left out, nothing comes twice, and nothing comes before what was said
/// before it; nor if the program is killed meanwhile.
#[test]
fn what_is_said_while_a_front_end_is_behind_comes_when_it_takes_again() {
    for seed in 0..10 {
        let mut world = settled(seed, 3);
        world.run(10 * SECOND);
        let say = |world: &mut World, numbers: std::ops::Range<usize>| {
            for n in numbers {
                world.send(n % 2, &format!("{n}"));
                world.run(Duration::from_millis(150));
            }
        };
        let wanted = |numbers: std::ops::Range<usize>| -> Vec<(String, bool)> {
            numbers.map(|n| (n.to_string(), false)).collect()
        };
        say(&mut world, 0..3);
        world.run(SECOND);
        world.input(2, Input::FrontEnd { behind: true });
        say(&mut world, 3..120);
        world.run(SECOND);
        assert_eq!(world.shown(2), wanted(0..3), "seed {seed}");
        let shown_before = if seed % 2 == 1 {
            world.kill(2);
            world.restart(2);
            world.enter(2);
            world.run(10 * SECOND);
            3
        } else {
            // It takes some, and stalls again while the next are being fetched.
            world.input(2, Input::FrontEnd { behind: false });
            world.input(2, Input::FrontEnd { behind: true });
            say(&mut world, 120..130);
            world.run(SECOND);
            let some = world.shown(2).len();
            assert!((4..120).contains(&some), "seed {seed}: {some}");
            world.input(2, Input::FrontEnd { behind: false });
            say(&mut world, 130..140);
            world.run(10 * SECOND);
            0
        };
        let all = if shown_before > 0 { 120 } else { 140 };
        assert_eq!(world.shown(2), wanted(0..all), "seed {seed}");
    }
}

/// Somebody restores yesterday's backup of their data folder: counters were used since.
#[test]
fn an_old_copy_is_noticed_and_repeats_no_key_and_nonce() {
    for seed in 0..10 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        let old = world.nodes[2].disk.clone();
        for n in 0..5 {
            world.send(2, &format!("first {n}"));
        }
        world.run(5 * SECOND);
        let heard = world.texts(0);
        assert_eq!(heard.len(), 5);
        world.offline(2);
        world.restart(2);
        world.enter(2);
        world.run(10 * SECOND);
        world.offline(2);

        world.nodes[2].disk = old;
        let before = world.epoch(0);
        world.restart(2);
        world.enter(2);
        for n in 0..5 {
            world.send(2, &format!("second {n}"));
        }
        assert!(
            world.run_until(20 * SECOND, |world| world.settled(3)).is_some(),
            "seed {seed}"
        );
        world.run(20 * SECOND);
        assert_ne!(world.epoch(0), before, "a new incarnation is boxed anew");
        for node in [0, 1] {
            let mut texts = world.texts(node);
            texts.sort();
            let mut expected: Vec<String> = (0..5)
                .flat_map(|n| [format!("first {n}"), format!("second {n}")])
                .collect();
            expected.sort();
            assert_eq!(texts, expected, "seed {seed}, node {node}");
        }
        assert_no_nonce_twice(&world);
    }
}

/// The same with nobody there to tell: what was sealed under used counters is said again as soon as that shows.
#[test]
fn an_old_copy_that_meets_nobody_at_first_loses_nothing_either() {
    for seed in 0..10 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        let old = world.nodes[2].disk.clone();
        for n in 0..5 {
            world.send(2, &format!("first {n}"));
        }
        world.run(5 * SECOND);
        world.kill(2);
        world.nodes[2].disk = old;
        world.restart(2);
        world.enter_alone(2);
        world.run(SECOND);
        for n in 0..5 {
            world.send(2, &format!("second {n}"));
        }
        world.run(20 * SECOND);
        for other in [0, 1] {
            world.link(2, other);
        }
        world.run(60 * SECOND);
        assert!(world.settled(3), "seed {seed}");
        for node in [0, 1] {
            let texts: BTreeSet<String> = world.texts(node).into_iter().collect();
            let expected = (0..5)
                .flat_map(|n| [format!("first {n}"), format!("second {n}")])
                .collect();
            assert_eq!(texts, expected, "seed {seed}, node {node}");
        }
        assert_no_nonce_twice(&world);
    }
}

/// The random nonce is all that stands between two runs of one snapshot and one key stream for two texts: here both seal under one
/// counter of one chain.
#[test]
fn two_runs_of_one_snapshot_seal_under_one_counter_and_two_nonces() {
    let mut world = settled(3, 2);
    world.run(30 * SECOND);
    world.kill(0);
    world.kill(1);
    let snapshot = world.nodes[1].disk.clone();
    let reader = world.nodes[0].disk.clone();
    let mut frames = Vec::new();
    for text in ["one", "two"] {
        // Both are of that moment, so that neither notices.
        for (node, disk) in [(0, &reader), (1, &snapshot)] {
            world.nodes[node].disk = disk.clone();
            world.restart(node);
            world.enter(node);
        }
        world.run(5 * SECOND);
        world.send(1, text);
        frames.push(world.last_published(1));
        world.kill(0);
        world.kill(1);
    }
    assert_eq!(frames[0][1..9], frames[1][1..9], "one epoch");
    assert_ne!(frames[0][9..33], frames[1][9..33], "two nonces");
    // That both have one counter shows in that a reader takes either, and then refuses the other as a duplicate.
    for (first, second) in [(0, 1), (1, 0)] {
        world.nodes[0].disk = reader.clone();
        world.restart(0);
        world.enter_alone(0);
        world.run(SECOND);
        let before = world.texts(0).len();
        world.gossip(0, 1, frames[first].clone());
        world.gossip(0, 1, frames[second].clone());
        world.run(10 * SECOND);
        assert_eq!(world.texts(0).len(), before + 1);
        world.kill(0);
    }
}

#[test]
fn lost_state_is_a_new_incarnation_and_one_member() {
    for seed in 0..10 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        world.offline(2);
        world.nodes[2].disk.clear();
        world.restart(2);
        world.enter(2);
        assert!(
            world.run_until(20 * SECOND, |world| world.settled(3)).is_some(),
            "seed {seed}"
        );
        world.send(2, "I forgot everything");
        world.run(SECOND);
        assert_eq!(world.texts(0), ["I forgot everything"]);
        assert!(!world.notices(0).iter().any(|notice| notice.contains("has left")));
    }
}

/// Any part of what was stored may be missing or cut: then it is fetched again, or the member comes in anew.
#[test]
fn damaged_state_never_keeps_a_member_out() {
    for seed in 0..40 {
        let mut world = settled(seed, 3);
        world.run(30 * SECOND);
        world.send(0, "before");
        world.run(SECOND);
        world.offline(2);
        world.send(0, "meanwhile");
        world.run(SECOND);
        let mut rng = StdRng::seed_from_u64(seed);
        let keys: Vec<Vec<u8>> = world.nodes[2].disk.keys().cloned().collect();
        for key in keys {
            // The seal leaves no flipped bit unnoticed: what is left is what a defect of ours could do.
            if rng.random_bool(0.15) {
                world.nodes[2].disk.remove(&key);
            } else if rng.random_bool(0.1)
                && let Some(value) = world.nodes[2].disk.get_mut(&key)
            {
                let half = value.len() / 2;
                value.truncate(half);
            }
        }
        world.restart(2);
        world.enter(2);
        assert!(
            world.run_until(60 * SECOND, |world| world.settled(3)).is_some(),
            "seed {seed}"
        );
        world.run(10 * SECOND);
        world.send(2, "here I am");
        world.run(2 * SECOND);
        assert_eq!(
            world.texts(0).last().map(String::as_str),
            Some("here I am"),
            "seed {seed}"
        );
    }
}

#[test]
fn what_is_said_to_an_empty_room_waits_for_whoever_comes_and_survives_a_restart() {
    let mut world = settled(5, 1);
    for n in 0..3 {
        world.send(0, &format!("anybody? {n}"));
    }
    world.run(SECOND);
    world.kill(0);
    world.run(MINUTE);
    world.restart(0);
    world.enter_alone(0);
    world.run(5 * SECOND);
    let guest = world.add("guest");
    world.enter(guest);
    world.run(10 * SECOND);
    assert!(world.settled(2));
    assert_eq!(world.texts(guest), ["anybody? 0", "anybody? 1", "anybody? 2"]);
    let resent = world.nodes[0]
        .events
        .iter()
        .filter(|(_, event)| matches!(event, RoomEvent::Resent { .. }))
        .count();
    assert_eq!(resent, 3);
    // Once is enough.
    let late = world.add("late");
    world.enter(late);
    world.run(10 * SECOND);
    assert!(world.texts(late).is_empty());
}

#[test]
fn what_nobody_has_is_kept_longer_than_everything_else() {
    let mut world = settled(6, 2);
    world.run(30 * SECOND);
    world.offline(1);
    world.send(0, "for your eyes");
    // Long beyond what is kept for the absent, and within the grace of a sleeper: the membership here lasts 15 minutes and an hour.
    world.run(70 * MINUTE);
    world.restart(1);
    world.enter(1);
    world.run(20 * SECOND);
    assert_eq!(world.texts(1), ["for your eyes"]);
}

#[test]
fn who_leaves_leaves_nothing_behind() {
    let mut world = settled(8, 2);
    world.send(1, "secret");
    world.run(SECOND);
    assert!(!world.nodes[1].disk.is_empty());
    world.leave(1);
    assert!(world.nodes[1].disk.is_empty());
    world.restart(1);
    world.enter(1);
    assert!(world.run_until(20 * SECOND, |world| world.settled(2)).is_some());
    assert!(world.notices(0).contains(&"member1 has left the room den.".to_owned()));
}

/// Keys that are of no more use go: boxes, chains and KEM keys of epochs beyond the retention.
#[test]
fn what_is_old_is_erased_from_disk() {
    let mut world = settled(9, 3);
    world.run(MINUTE);
    for round in 0..4 {
        let guest = world.add(&format!("guest{round}"));
        world.enter(guest);
        world.run(30 * SECOND);
        world.leave(guest);
        world.run(30 * SECOND);
    }
    let epochs = |world: &World| -> BTreeSet<Vec<u8>> {
        let keys = world.nodes[0].disk.keys().filter(|key| key[0] == b'e');
        keys.map(|key| key[1..33].to_vec()).collect()
    };
    assert!(epochs(&world).len() >= 6);
    let first = epochs(&world);
    // A day at most until the last of them gives way to a new day's, and the retention from then.
    world.run(Duration::from_secs(49 * 3_600));
    let rest = epochs(&world);
    assert!(rest.len() <= 3, "{} epochs are left", rest.len());
    assert!(rest.is_disjoint(&first), "the new day has a new epoch");
}

/// What a message costs on disk.
#[test]
fn a_message_writes_little() {
    let mut world = settled(10, 10);
    world.run(2 * MINUTE);
    let before: Vec<(usize, usize)> = world.nodes.iter().map(|node| node.written).collect();
    const MESSAGES: usize = 200;
    for n in 0..MESSAGES {
        world.send(n % 10, &format!("message {n} of some forty bytes or so, as they are"));
        world.run(SECOND / 20);
    }
    for (node, before) in before.iter().enumerate() {
        let bytes = (world.nodes[node].written.0 - before.0) / MESSAGES;
        let commits = (world.nodes[node].written.1 - before.1) as f64 / MESSAGES as f64;
        println!("member {node}: {bytes} bytes and {commits:.2} commits a message");
        assert!(bytes <= 1_800 && commits <= 4.0, "{bytes} bytes, {commits} commits");
    }
}

/// Whoever goes before it was in has published no leaf, so that nothing of its place is on disk; what it signed and wrote is.
#[test]
fn who_goes_before_it_was_in_keeps_its_role_what_it_signed_and_what_it_wrote() {
    for dies in [false, true] {
        let mut world = World::new(12, Weather::CALM);
        world.persist = true;
        let maker = world.add_admin("maker");
        let policy = Policy {
            max_participants: 7,
            ..*world.nodes[maker].room.genesis().policy()
        };
        world.command(maker, Command::Policy(policy));
        world.send(maker, "first words");
        world.run(SECOND / 10);
        assert_eq!(world.nodes[maker].commanded, [Ok(())]);
        let facts = world.nodes[maker].room.facts(world.clock());
        assert_eq!(facts.epoch, None, "it is not in yet");
        match dies {
            true => world.kill(maker),
            false => world.offline(maker),
        }
        // The admin's key was of that run alone, and the next one does not get far either.
        world.nodes[maker].admin = false;
        world.restart(maker);
        world.offline(maker);
        world.restart(maker);
        world.enter_alone(maker);
        assert!(world.run_until(30 * SECOND, |world| world.settled(1)).is_some());
        let now = world.clock();
        let me = world.nodes[maker].room.members(now).remove(0);
        assert_eq!(me.role, Role::Admin, "killed: {dies}");
        assert_eq!(world.nodes[maker].room.facts(now).policy.max_participants, 7);
        let guest = world.add("guest");
        world.enter(guest);
        assert!(world.run_until(30 * SECOND, |world| world.settled(2)).is_some());
        world.run(10 * SECOND);
        assert_eq!(world.texts(guest), ["first words"], "killed: {dies}");
    }
}

/// Who was away for so long that its membership ended is a newcomer, but no stranger: what it signed still stands where nobody else has it.
#[test]
fn who_was_away_for_too_long_still_knows_what_it_signed() {
    let mut world = World::new(13, Weather::CALM);
    world.persist = true;
    let maker = world.add_admin("maker");
    world.enter_alone(maker);
    assert!(world.run_until(30 * SECOND, |world| world.settled(1)).is_some());
    let policy = Policy {
        max_participants: 7,
        ..*world.nodes[maker].room.genesis().policy()
    };
    world.command(maker, Command::Policy(policy));
    world.send(maker, "first words");
    world.run(SECOND);
    world.offline(maker);
    let grace = Duration::from_secs(world.nodes[maker].room.genesis().policy().grace_s.into());
    world.run(grace + MINUTE);
    world.nodes[maker].admin = false;
    world.restart(maker);
    world.enter_alone(maker);
    assert!(world.run_until(30 * SECOND, |world| world.settled(1)).is_some());
    let now = world.clock();
    let me = world.nodes[maker].room.members(now).remove(0);
    assert_eq!(me.role, Role::Admin);
    assert_eq!(world.nodes[maker].room.facts(now).policy.max_participants, 7);
    let guest = world.add("guest");
    world.enter(guest);
    assert!(world.run_until(30 * SECOND, |world| world.settled(2)).is_some());
    world.run(10 * SECOND);
    assert_eq!(world.texts(guest), ["first words"]);
}
