//! Who may name a keeper and who ends one, among simulated members.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use snug::room::{Command, CommandRefused, Input, KeeperView, MAX_KEEPERS, Notice, Output, Role, RoomEvent};
use snug_crypto::ids::PeerKey;
use snug_crypto::keeper::{KeeperInvite, KeeperReply, KeeperRequest, KeeperSecrets, KeptItem};
use snug_sim::{Weather, World};

const SECOND: Duration = Duration::from_secs(1);

fn room(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, Weather::CALM);
    for index in 0..count {
        let node = if index == 0 {
            world.add_admin("member0")
        } else {
            world.add(&format!("member{index}"))
        };
        world.enter(node);
        let settles = world.run_until(40 * SECOND, |world| world.settled(index + 1));
        assert!(settles.is_some(), "seed {seed}");
    }
    world
}

fn keeper(number: u64) -> KeeperSecrets {
    KeeperSecrets::generate(&mut StdRng::seed_from_u64(number))
}

fn offer(of: &KeeperSecrets) -> Command {
    Command::Keeper(Box::new(of.offer(vec!["/ip4/192.0.2.1/tcp/4001".to_owned()])))
}

fn last(world: &World, node: usize) -> Result<(), CommandRefused> {
    *world.nodes[node].commanded.last().expect("answered")
}

fn all_know(world: &World, count: usize) -> bool {
    let known: Vec<Vec<KeeperView>> = world
        .alive()
        .iter()
        .map(|node| world.nodes[*node].room.keepers())
        .collect();
    known
        .iter()
        .all(|keepers| keepers.len() == count && *keepers == known[0])
}

fn invites(world: &World, node: usize) -> Vec<KeeperInvite> {
    let events = world.nodes[node].events.iter();
    let texts = events.filter_map(|(_, event)| match event {
        RoomEvent::System(Notice::KeeperNamed { invite, .. }) => Some(invite),
        _ => None,
    });
    texts.map(|text| KeeperInvite::parse(text).unwrap()).collect()
}

/// What a member asks a keeper, all of it answered at once by `answer`, until it asks no more or has asked 1,000 times.
fn asked(world: &mut World, node: usize, of: PeerKey, mut answer: impl FnMut(KeeperRequest) -> KeeperReply) -> usize {
    let now = world.clock_of(node);
    let room = &mut world.nodes[node].room;
    let mut outputs = Vec::new();
    room.handle(Input::LinkUp { peer: of }, now, &mut outputs);
    let mut count = 0;
    while count < 1_000 {
        room.handle(Input::Tick, now, &mut outputs);
        let questions: Vec<_> = (outputs.drain(..))
            .filter_map(|output| match output {
                Output::Query { to, id, bytes } if to == of => Some((id, KeeperRequest::decode(&bytes).unwrap())),
                _ => None,
            })
            .collect();
        if questions.is_empty() {
            break;
        }
        for (id, question) in questions {
            count += 1;
            let bytes = Some(answer(question).encode().unwrap());
            room.handle(Input::Response { id, bytes }, now, &mut outputs);
        }
    }
    count
}

#[test]
fn a_keeper_that_leads_members_on_is_asked_no_oftener_than_an_honest_one() {
    let mut world = room(9, 2);
    let lying = keeper(1);
    world.command(0, offer(&lying));
    world.run(5 * SECOND);
    let mut number = 0_u64;
    let mut names = |count: u64| -> Vec<KeptItem> {
        let first = number;
        number += count;
        let name = |n: u64| *[n.to_be_bytes(), [7; 8]].concat().first_chunk::<16>().unwrap();
        (first..number)
            .map(|n| KeptItem {
                tag: [0; 8],
                name: name(n),
            })
            .collect()
    };
    // There is always more, in ever another store; and what is asked for is something else.
    let mut flips = 0_u8;
    let rubbish = vec![2; 100];
    let many = asked(&mut world, 1, lying.peer(), |question| match question {
        KeeperRequest::Holdings { after, .. } => {
            flips = flips.wrapping_add(1);
            KeeperReply::Holdings {
                store: [1 + flips % 2; 8],
                items: names(100),
                next: after + 100,
                more: true,
            }
        }
        KeeperRequest::Fetch(_) => KeeperReply::Items(vec![rubbish.clone()]),
        KeeperRequest::Deposit(_) => KeeperReply::Kept,
        KeeperRequest::Generation { .. } => KeeperReply::Generation(None),
    });
    assert!(many < 50, "{many} questions in a moment");
    let (now, down) = (world.clock_of(1), Input::LinkDown { peer: lying.peer() });
    world.nodes[1].room.handle(down, now, &mut Vec::new());
    // A list that stands still.
    let many = asked(&mut world, 1, lying.peer(), |question| match question {
        KeeperRequest::Holdings { .. } => KeeperReply::Holdings {
            store: [9; 8],
            items: names(1),
            next: 5,
            more: true,
        },
        KeeperRequest::Fetch(_) => KeeperReply::Items(vec![rubbish.clone()]),
        KeeperRequest::Deposit(_) => KeeperReply::Kept,
        KeeperRequest::Generation { .. } => KeeperReply::Generation(None),
    });
    assert!(many < 50, "{many} questions in a moment");
}

#[test]
fn the_admin_names_keepers_and_a_removal_ends_one_for_all() {
    for seed in 0..4 {
        let mut world = room(seed, 4);
        let (one, other) = (keeper(1), keeper(2));
        world.command(1, offer(&one));
        assert_eq!(last(&world, 1), Err(CommandRefused::NotAdmin));
        world.command(0, offer(&one));
        assert_eq!(last(&world, 0), Ok(()));
        assert!(
            world.run_until(20 * SECOND, |world| all_know(world, 1)).is_some(),
            "seed {seed}"
        );
        world.command(0, offer(&other));
        assert!(
            world.run_until(20 * SECOND, |world| all_know(world, 2)).is_some(),
            "seed {seed}"
        );
        // Named again it is the same one, with another invite; only its owner opens either.
        world.command(0, offer(&one));
        let given = invites(&world, 0);
        assert_eq!(given.len(), 3);
        let genesis = world.nodes[0].room.genesis().hash();
        for (invite, of) in given.iter().zip([&one, &other, &one]) {
            let granted = invite.grant.open(of, &invite.admin, &genesis, 0).unwrap();
            assert_eq!((granted.generation.count, granted.by_admin), (0, true));
            assert_eq!(invite.admin, *world.nodes[0].room.genesis().admin());
        }
        assert!(given[0].grant.open(&other, &given[0].admin, &genesis, 0).is_err());

        // A moderator removes one as it removes anybody; everybody gets a new Room Key.
        let who = world.nodes[1].room.fingerprint();
        world.command(
            0,
            Command::Role {
                who,
                role: Role::Moderator,
            },
        );
        world.run(5 * SECOND);
        let gone = one.offer(Vec::new()).key.fingerprint();
        world.command(2, Command::Kick { who: gone });
        assert_eq!(last(&world, 2), Err(CommandRefused::NotModerator));
        world.command(1, Command::Kick { who: gone });
        assert_eq!(last(&world, 1), Ok(()));
        let settled = |world: &World| {
            world.settled(4)
                && all_know(world, 1)
                && world
                    .alive()
                    .iter()
                    .all(|node| world.nodes[*node].room.facts(world.clock_of(*node)).generation == 1)
        };
        assert!(
            world.run_until(40 * SECOND, |world| settled(world)).is_some(),
            "seed {seed}"
        );
        assert_eq!(
            world.nodes[3].room.keepers()[0].fingerprint,
            other.offer(Vec::new()).key.fingerprint()
        );
        // It may be named anew.
        world.command(0, offer(&one));
        assert!(
            world.run_until(20 * SECOND, |world| all_know(world, 2)).is_some(),
            "seed {seed}"
        );
    }
}

#[test]
fn a_room_has_few_keepers() {
    let mut world = room(7, 2);
    for number in 0..MAX_KEEPERS as u64 {
        world.command(0, offer(&keeper(number)));
        assert_eq!(last(&world, 0), Ok(()));
    }
    world.command(0, offer(&keeper(99)));
    assert_eq!(last(&world, 0), Err(CommandRefused::EnoughKeepers));
    assert!(
        world
            .run_until(20 * SECOND, |world| all_know(world, MAX_KEEPERS))
            .is_some()
    );
}
