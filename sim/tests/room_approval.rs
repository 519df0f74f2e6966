//! Rooms that ask for a moderator's word, and rules that change, among simulated members.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use snug::room::{Command, CommandRefused, Role, RoomEvent};
use snug_crypto::genesis::Policy;
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const WAITING: &str = "Waiting for approval by a moderator of the room den.";

fn asking() -> Policy {
    Policy {
        approval: true,
        ..Policy::default()
    }
}

/// A room that asks for approval, with its admin in it.
fn world(seed: u64) -> (World, usize) {
    let mut world = World::ruled(seed, asking());
    // From before the first commit on.
    world.persist = true;
    let admin = world.add_admin("admin");
    world.enter(admin);
    settle(&mut world, 1);
    (world, admin)
}

fn settle(world: &mut World, members: usize) {
    let settles = world.run_until(60 * SECOND, |world| world.settled(members));
    let facts: Vec<_> = (world.alive().into_iter())
        .map(|node| world.nodes[node].room.facts(world.clock_of(node)))
        .collect();
    assert!(settles.is_some(), "{members} members do not settle: {facts:#?}");
}

fn approve(world: &mut World, by: usize, whom: usize) {
    let who = world.nodes[whom].room.fingerprint();
    world.command(by, Command::Approve { who });
    assert_eq!(world.nodes[by].commanded.last(), Some(&Ok(())));
}

fn refused(world: &mut World, by: usize, command: Command) -> CommandRefused {
    world.command(by, command);
    world.nodes[by].commanded.last().unwrap().unwrap_err()
}

fn waits(world: &World, node: usize) -> bool {
    world.notices(node).iter().any(|notice| notice.starts_with(WAITING))
}

fn knocked(world: &World, at: usize, name: &str) -> usize {
    let asks = format!("{name} (");
    let notices = world.notices(at);
    let of_name = notices.iter().filter(|notice| notice.starts_with(&asks));
    of_name
        .filter(|notice| notice.contains("asks to be let into the room den"))
        .count()
}

/// A member that was let in.
fn enter_approved(world: &mut World, admin: usize, name: &str, members: usize) -> usize {
    let node = world.add(name);
    world.enter(node);
    assert!(
        world
            .run_until(20 * SECOND, |world| knocked(world, admin, name) == 1)
            .is_some()
    );
    approve(world, admin, node);
    settle(world, members);
    node
}

#[test]
fn a_newcomer_reads_nothing_until_a_moderator_lets_it_in() {
    for seed in 400..404 {
        let (mut world, admin) = world(seed);
        let bob = enter_approved(&mut world, admin, "bob", 2);
        let dave = world.add("dave");
        world.enter(dave);
        world.run(5 * SECOND);
        for from in [admin, bob] {
            world.send(from, &format!("not for dave, from {from}"));
        }
        world.send(dave, "may I?");
        world.run(20 * SECOND);
        for node in [admin, bob] {
            assert_eq!(world.nodes[node].room.facts(world.clock()).members, 2, "seed {seed}");
            assert!(!world.texts(node).contains(&"may I?".to_owned()), "seed {seed}");
        }
        assert_eq!(
            (world.epoch(dave), world.texts(dave)),
            (None, Vec::new()),
            "seed {seed}"
        );
        assert!(waits(&world, dave) && knocked(&world, admin, "dave") == 1);
        assert_eq!(knocked(&world, bob, "dave"), 0, "it is no moderator's business");

        let who = world.nodes[dave].room.fingerprint();
        assert_eq!(
            refused(&mut world, bob, Command::Approve { who }),
            CommandRefused::NotModerator
        );
        approve(&mut world, admin, dave);
        settle(&mut world, 3);
        world.send(admin, "for dave, too");
        world.run(10 * SECOND);
        assert_eq!(
            world
                .texts(dave)
                .iter()
                .filter(|text| text.starts_with("not for"))
                .count(),
            0
        );
        assert!(world.texts(dave).contains(&"for dave, too".to_owned()), "seed {seed}");
        for node in [admin, bob] {
            let said = world.texts(node).iter().filter(|text| *text == "may I?").count();
            assert_eq!(said, 1, "seed {seed}: what it said while it waited");
        }
        // Nobody waits any more.
        assert_eq!(
            refused(&mut world, admin, Command::Approve { who }),
            CommandRefused::NotWaiting
        );
    }
}

#[test]
fn a_word_that_gossip_lost_is_asked_for() {
    for seed in 410..414 {
        let (mut world, admin) = world(seed);
        let dave = world.add("dave");
        world.enter(dave);
        assert!(
            world
                .run_until(20 * SECOND, |world| knocked(world, admin, "dave") == 1)
                .is_some()
        );
        // Nothing that is published arrives any more; questions and answers do.
        world.weather = Weather {
            loss: 1.0,
            ..Weather::CALM
        };
        approve(&mut world, admin, dave);
        settle(&mut world, 2);
    }
}

#[test]
fn who_was_let_in_comes_back_with_no_moderator_there() {
    for (seed, loses_state) in [(420, false), (421, true), (422, false), (423, true)] {
        let (mut world, admin) = world(seed);
        let bob = enter_approved(&mut world, admin, "bob", 2);
        let identity = [60; 32];
        let dave = world.add_identity("dave", identity);
        world.enter(dave);
        assert!(
            world
                .run_until(20 * SECOND, |world| knocked(world, admin, "dave") == 1)
                .is_some()
        );
        approve(&mut world, admin, dave);
        settle(&mut world, 3);
        world.offline(dave);
        world.offline(admin);
        world.run(20 * SECOND);
        let dave = match loses_state {
            true => world.add_identity("dave", identity),
            false => {
                world.restart(dave);
                dave
            }
        };
        world.enter(dave);
        settle(&mut world, 3);
        world.send(bob, "evening");
        world.run(10 * SECOND);
        assert!(world.texts(dave).contains(&"evening".to_owned()), "seed {seed}");
        assert_eq!(knocked(&world, bob, "dave"), 0);
    }
}

#[test]
fn a_word_given_while_its_owner_is_away_outlives_the_moderators_restart() {
    for seed in 430..433 {
        let (mut world, admin) = world(seed);
        let dave = world.add("dave");
        world.enter(dave);
        assert!(
            world
                .run_until(20 * SECOND, |world| knocked(world, admin, "dave") == 1)
                .is_some()
        );
        world.offline(dave);
        approve(&mut world, admin, dave);
        world.run(SECOND);
        world.offline(admin);
        world.restart(admin);
        world.enter(admin);
        world.run(5 * SECOND);
        world.restart(dave);
        world.enter(dave);
        settle(&mut world, 2);
    }
}

#[test]
fn a_word_for_an_earlier_generation_lets_nobody_in() {
    for seed in 440..443 {
        let (mut world, admin) = world(seed);
        let identity = [61; 32];
        let dave = world.add_identity("dave", identity);
        world.enter(dave);
        assert!(
            world
                .run_until(20 * SECOND, |world| knocked(world, admin, "dave") == 1)
                .is_some()
        );
        world.kill(dave);
        approve(&mut world, admin, dave);
        world.run(SECOND);
        world.command(admin, Command::Rekey { room_key: None });
        world.run(10 * SECOND);
        assert_eq!(world.nodes[admin].room.facts(world.clock()).generation, 1);
        let again = world.add_identity_later("dave", identity, admin);
        world.enter(again);
        world.run(30 * SECOND);
        assert!(waits(&world, again) && world.epoch(again).is_none(), "seed {seed}");
        approve(&mut world, admin, again);
        settle(&mut world, 2);
    }
}

#[test]
fn an_empty_room_waits_for_a_moderator() {
    for seed in 450..453 {
        let mut world = World::ruled(seed, asking());
        let dave = world.add("dave");
        world.enter_alone(dave);
        world.run(60 * SECOND);
        assert!(waits(&world, dave) && world.epoch(dave).is_none(), "seed {seed}");
        let erin = world.add("erin");
        world.enter(erin);
        world.run(60 * SECOND);
        assert_eq!(
            (world.epoch(dave), world.epoch(erin)),
            (None, None),
            "two who wait are no room"
        );
        let admin = world.add_admin("admin");
        world.enter(admin);
        let both = |world: &World| knocked(world, admin, "dave") == 1 && knocked(world, admin, "erin") == 1;
        assert!(
            world.run_until(30 * SECOND, |world| both(world)).is_some(),
            "seed {seed}"
        );
        approve(&mut world, admin, dave);
        approve(&mut world, admin, erin);
        settle(&mut world, 3);
    }
}

#[test]
fn moderators_let_in_and_turn_away() {
    for seed in 460..463 {
        let (mut world, admin) = world(seed);
        let bob = enter_approved(&mut world, admin, "bob", 2);
        let dave = world.add("dave");
        world.enter(dave);
        world.run(10 * SECOND);
        // Who becomes a moderator hears of those who wait already.
        let who = world.nodes[bob].room.fingerprint();
        let role = Role::Moderator;
        world.command(admin, Command::Role { who, role });
        assert!(
            world
                .run_until(20 * SECOND, |world| knocked(world, bob, "dave") == 1)
                .is_some()
        );
        let mallory = world.add("mallory");
        world.enter(mallory);
        assert!(
            world
                .run_until(20 * SECOND, |world| knocked(world, bob, "mallory") == 1)
                .is_some()
        );
        approve(&mut world, bob, dave);
        settle_but(&mut world, mallory, 3);
        world.kick(bob, mallory);
        assert_eq!(world.nodes[bob].commanded.last(), Some(&Ok(())));
        let told = world.run_until(30 * SECOND, |world| {
            world.nodes[mallory]
                .events
                .iter()
                .any(|(_, event)| matches!(event, RoomEvent::Removed))
        });
        assert!(told.is_some(), "seed {seed}: it is told, and ends");
        world.kill(mallory);
        settle(&mut world, 3);
    }
}

#[test]
fn who_was_let_in_by_somebody_who_is_no_moderator_any_more_stays_in() {
    for seed in 470..473 {
        let (mut world, admin) = world(seed);
        let bob = enter_approved(&mut world, admin, "bob", 2);
        let who = world.nodes[bob].room.fingerprint();
        let role = Role::Moderator;
        world.command(admin, Command::Role { who, role });
        let dave = world.add("dave");
        world.enter(dave);
        assert!(
            world
                .run_until(20 * SECOND, |world| knocked(world, bob, "dave") == 1)
                .is_some()
        );
        approve(&mut world, bob, dave);
        settle(&mut world, 3);
        let role = Role::Member;
        world.command(admin, Command::Role { who, role });
        assert_eq!(world.nodes[admin].commanded.last(), Some(&Ok(())), "seed {seed}");
        world.run(20 * SECOND);
        settle(&mut world, 3);
        world.send(dave, "still here");
        world.run(5 * SECOND);
        for reader in [admin, bob] {
            assert!(world.texts(reader).contains(&"still here".to_owned()), "seed {seed}");
        }
        let roles: Vec<Role> = [admin, dave]
            .iter()
            .map(|node| {
                let members = world.nodes[*node].room.members(world.clock_of(*node));
                members.iter().find(|member| member.fingerprint == who).unwrap().role
            })
            .collect();
        assert_eq!(roles, [Role::Member; 2], "seed {seed}: everybody hears of it");
        // And it lets nobody in any more.
        let erin = world.add("erin");
        world.enter(erin);
        world.run(10 * SECOND);
        let who = world.nodes[erin].room.fingerprint();
        assert_eq!(
            refused(&mut world, bob, Command::Approve { who }),
            CommandRefused::NotModerator
        );
    }
}

/// The same, where somebody waits and is no member.
fn settle_but(world: &mut World, waiting: usize, members: usize) {
    let holds = |world: &World| {
        let mut others = world.alive().into_iter().filter(|node| *node != waiting);
        others.all(|node| {
            let facts = world.nodes[node].room.facts(world.clock_of(node));
            facts.exact && facts.members == members
        })
    };
    assert!(world.run_until(60 * SECOND, |world| holds(world)).is_some());
}

#[test]
fn rules_that_begin_to_ask_for_approval_turn_nobody_out() {
    for seed in 470..474 {
        let mut world = World::new(seed, Weather::CALM);
        let admin = world.add_admin("admin");
        world.enter(admin);
        settle(&mut world, 1);
        for members in [2, 3] {
            let node = world.add(&format!("member{members}"));
            world.enter(node);
            settle(&mut world, members);
        }
        let (bob, carol) = (admin + 1, admin + 2);
        let asks = Command::Policy(asking());
        assert_eq!(refused(&mut world, bob, asks), CommandRefused::NotAdmin);
        let nobody = Policy {
            max_participants: 0,
            ..Policy::default()
        };
        assert_eq!(
            refused(&mut world, admin, Command::Policy(nobody)),
            CommandRefused::BadPolicy
        );
        let same = Command::Policy(Policy::default());
        assert_eq!(refused(&mut world, admin, same), CommandRefused::SamePolicy);
        // One of them hears of it later.
        world.part(&[carol], &[admin, bob]);
        world.run(5 * SECOND);
        world.command(admin, Command::Policy(asking()));
        assert_eq!(world.nodes[admin].commanded.last(), Some(&Ok(())));
        world.run(10 * SECOND);
        world.heal(&[carol], &[admin, bob]);
        let moved = |world: &World| {
            let mut facts = world
                .alive()
                .into_iter()
                .map(|node| world.nodes[node].room.facts(world.clock_of(node)));
            facts.all(|facts| facts.generation == 1 && facts.policy == asking())
        };
        assert!(
            world.run_until(60 * SECOND, |world| moved(world)).is_some(),
            "seed {seed}"
        );
        settle(&mut world, 3);
        for node in [admin, bob, carol] {
            let gone = |notice: &&String| notice.contains("has left") || notice.contains("removed");
            assert_eq!(world.notices(node).iter().find(gone), None, "seed {seed}");
            assert!(!waits(&world, node), "seed {seed}");
        }

        // What a newcomer knows of it comes from the capsule, or from the members.
        let dave = world.add_later("dave", admin);
        assert!(world.nodes[dave].room.facts(world.clock()).policy.approval);
        world.enter(dave);
        world.run(20 * SECOND);
        assert!(waits(&world, dave) && world.epoch(dave).is_none(), "seed {seed}");
        // Without it they are in at once.
        world.command(admin, Command::Policy(Policy::default()));
        settle(&mut world, 4);
        let generation = |node: usize| world.nodes[node].room.facts(world.clock()).generation;
        assert!(
            world.alive().iter().all(|node| generation(*node) == 1),
            "no new Room Key for that"
        );
    }
}

/// The admin makes the rule on one side, and a moderator a generation on the other, which wins as it has heard of nothing: the rule is
/// brought into force by the admin when they meet.
#[test]
fn approval_is_in_force_whatever_generation_wins() {
    for seed in 480..486 {
        let mut world = World::new(seed, Weather::CALM);
        let admin = world.add_admin("admin");
        world.enter(admin);
        settle(&mut world, 1);
        for members in [2, 3, 4] {
            let node = world.add(&format!("member{members}"));
            world.enter(node);
            settle(&mut world, members);
        }
        let (moderator, carol, gone) = (admin + 1, admin + 2, admin + 3);
        let who = world.nodes[moderator].room.fingerprint();
        let role = Role::Moderator;
        world.command(admin, Command::Role { who, role });
        world.run(5 * SECOND);
        world.part(&[admin], &[moderator, carol, gone]);
        world.run(5 * SECOND);
        world.command(admin, Command::Policy(asking()));
        world.kick(moderator, gone);
        world.run(10 * SECOND);
        world.kill(gone);
        world.heal(&[admin], &[moderator, carol]);
        world.run(60 * SECOND);
        settle(&mut world, 3);
        let dave = world.add_later("dave", carol);
        world.enter(dave);
        world.run(20 * SECOND);
        assert!(waits(&world, dave) && world.epoch(dave).is_none(), "seed {seed}");
    }
}

#[test]
fn a_shorter_grace_counts_for_those_who_are_away_already() {
    let mut world = World::ruled(490, Policy::default());
    world.grace_s = u32::MAX;
    let admin = world.add_admin("admin");
    world.enter(admin);
    settle(&mut world, 1);
    for members in [2, 3] {
        let node = world.add(&format!("member{members}"));
        world.enter(node);
        settle(&mut world, members);
    }
    world.kill(admin + 2);
    world.run(8 * HOUR);
    assert_eq!(
        world.nodes[admin].room.facts(world.clock()).members,
        3,
        "it is away for a week at most"
    );
    let hour = Policy {
        grace_s: 3_600,
        ..Policy::default()
    };
    world.command(admin, Command::Policy(hour));
    settle(&mut world, 2);
    // The others renew their leaves by it.
    world.run(6 * HOUR);
    settle(&mut world, 2);
    let rules = "The rules of the room den have changed: at most 100 members; whoever has the Room Key may enter; what is said is kept for 1 \
                 day for who is away; who is away stays a member for 1 hour.";
    assert!(world.notices(admin + 1).contains(&rules.to_owned()));
    // Whoever comes later learns them with the log.
    let late = world.add_later("late", admin);
    assert_eq!(world.nodes[late].room.facts(world.clock()).policy, hour);
    world.enter(late);
    settle(&mut world, 3);
}

/// A room has one member more than it may have from now on: it stays, and the next one doesn't come in.
#[test]
fn a_smaller_room_keeps_those_who_are_in_and_takes_nobody() {
    let mut world = World::new(495, Weather::CALM);
    let admin = world.add_admin("admin");
    world.enter(admin);
    settle(&mut world, 1);
    for members in [2, 3] {
        let node = world.add(&format!("member{members}"));
        world.enter(node);
        settle(&mut world, members);
    }
    let two = Policy {
        max_participants: 2,
        ..Policy::default()
    };
    world.command(admin, Command::Policy(two));
    world.run(10 * SECOND);
    settle(&mut world, 3);
    let late = world.add_later("late", admin);
    world.enter(late);
    world.run(20 * SECOND);
    let full = |(_, event): &(Duration, RoomEvent)| matches!(event, RoomEvent::Full { max: 2 });
    assert!(world.nodes[late].events.iter().any(full));
}
