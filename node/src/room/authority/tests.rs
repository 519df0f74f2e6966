//! The pass over the log: who may what, who outranks whom, and that the order in which operations come changes nothing.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use snug_crypto::AdminKey;
use snug_crypto::identity::Identity;
use snug_crypto::ids::GenesisHash;
use snug_crypto::names::RoomId;
use snug_crypto::operation::{Author, OperationKind, Rekey};

use super::*;

struct World {
    admin: AdminKey,
    genesis: Genesis,
    people: Vec<Identity>,
}

impl World {
    fn new() -> Self {
        let admin = AdminKey::from_seed(&[1; 32]);
        let genesis = Genesis::create(&admin, &RoomId::parse("den").unwrap(), "", 7, Policy::default()).unwrap();
        let people = (0..8).map(|n| Identity::from_seed(&[n + 10; 32])).collect();
        Self { admin, genesis, people }
    }

    fn by_admin(&self, parents: &[&SignedOperation], operation: Operation) -> SignedOperation {
        self.sign(Author::Admin(&self.admin), parents, operation)
    }

    fn by(&self, who: usize, parents: &[&SignedOperation], operation: Operation) -> SignedOperation {
        self.sign(Author::Member(&self.people[who]), parents, operation)
    }

    fn sign(&self, author: Author<'_>, parents: &[&SignedOperation], operation: Operation) -> SignedOperation {
        let parents = parents.iter().map(|signed| signed.hash()).collect();
        SignedOperation::create(author, parents, operation, &self.genesis.hash()).unwrap()
    }

    fn role(&self, who: usize, role: Role) -> Operation {
        let identity = self.people[who].key();
        Operation::Role { identity, role }
    }

    fn kick(&self, who: usize, count: u64) -> Operation {
        let identity = self.people[who].key();
        let rekey = rekey(count);
        Operation::Kick { identity, rekey }
    }

    fn log(&self, operations: &[&SignedOperation]) -> Authority {
        Authority::new(
            operations.iter().map(|signed| (*signed).clone()).collect(),
            &self.genesis,
        )
    }

    fn counts(&self, operations: &[&SignedOperation], which: &SignedOperation) -> bool {
        self.log(operations).evaluation().valid.contains(&which.hash())
    }
}

fn rekey(count: u64) -> Rekey {
    Rekey {
        count,
        key_commit: [3; 32],
        members_hash: [4; 32],
        member_count: 1,
    }
}

#[test]
fn only_the_admin_gives_roles_and_only_moderators_kick() {
    let w = World::new();
    let bob = w.by_admin(&[], w.role(1, Role::Moderator));
    let stranger = w.by(5, &[&bob], w.role(5, Role::Admin));
    let by_moderator = w.by(1, &[&bob], w.role(2, Role::Moderator));
    let kick = w.by(1, &[&bob], w.kick(2, 1));
    let by_member = w.by(2, &[&bob], w.kick(3, 1));
    let log = [&bob, &stranger, &by_moderator, &kick, &by_member];
    let valid = |which| w.counts(&log, which);
    assert!(valid(&bob) && valid(&kick));
    assert!(!valid(&stranger) && !valid(&by_moderator) && !valid(&by_member));
    assert_eq!(w.log(&log).role(&w.people[1].key()), Role::Moderator);
}

#[test]
fn nobody_removes_a_senior_itself_or_the_admin() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let two = w.by_admin(&[&one], w.role(2, Role::Moderator));
    let boss = w.by_admin(&[&two], w.role(3, Role::Admin));
    let upward = w.by(2, &[&boss], w.kick(1, 1));
    let own = w.by(1, &[&boss], w.kick(1, 1));
    let admin = w.by(1, &[&boss], w.kick(3, 1));
    let key = Operation::Kick {
        identity: IdentityKey::from_bytes(*w.genesis.admin().as_bytes()),
        rekey: rekey(1),
    };
    let key = w.by(3, &[&boss], key);
    let down = w.by(1, &[&boss], w.kick(2, 1));
    let log = [&one, &two, &boss, &upward, &own, &admin, &key, &down];
    for void in [&upward, &own, &admin, &key] {
        assert!(!w.counts(&log, void));
    }
    assert!(w.counts(&log, &down));
}

#[test]
fn of_two_moderators_who_kick_each_other_the_senior_ones_counts() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let two = w.by_admin(&[&one], w.role(2, Role::Moderator));
    let down = w.by(1, &[&two], w.kick(2, 1));
    let up = w.by(2, &[&two], w.kick(1, 1));
    let aside = w.by(2, &[&two], w.kick(4, 1));
    let before = w.by(2, &[&two], w.kick(5, 1));
    let after = w.by(1, &[&before], w.kick(2, 2));
    let log = [&one, &two, &down, &up, &aside];
    assert!(w.counts(&log, &down) && !w.counts(&log, &up) && !w.counts(&log, &aside));
    // What the senior had seen when it kicked stays.
    let log = [&one, &two, &before, &after];
    assert!(w.counts(&log, &before) && w.counts(&log, &after));
}

#[test]
fn the_admin_voids_what_it_has_not_seen_and_takes_back_roles() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let usurped = w.by(1, &[&one], w.kick(4, 1));
    let demoted = w.by_admin(&[&one], w.role(1, Role::Member));
    let log = [&one, &usurped, &demoted];
    assert!(!w.counts(&log, &usurped));
    let again = w.by_admin(&[&demoted], w.role(1, Role::Moderator));
    let later = w.by(1, &[&again], w.kick(4, 1));
    let log = [&one, &usurped, &demoted, &again, &later];
    assert!(w.counts(&log, &later) && !w.counts(&log, &usurped));
}

#[test]
fn seniority_protects_only_who_has_a_role() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let two = w.by_admin(&[&one], w.role(2, Role::Moderator));
    let demoted = w.by_admin(&[&two], w.role(1, Role::Member));
    let early = w.by(2, &[&two], w.kick(1, 1));
    let late = w.by(2, &[&demoted], w.kick(1, 1));
    let log = [&one, &two, &demoted, &early, &late];
    assert!(w.counts(&log, &late), "it is a member like any other");
    assert!(!w.counts(&log, &early), "it was senior as far as the junior one knew");
    assert!(w.log(&log).evaluation().voids(&w.people[1].key(), 0));
    // Given again, meanwhile or after, it begins anew: whoever has been a moderator for longer is senior.
    let meanwhile = w.by_admin(&[&demoted], w.role(1, Role::Moderator));
    let says = w.by(1, &[&meanwhile], w.kick(4, 1));
    let log = [&one, &two, &demoted, &late, &meanwhile, &says];
    assert!(w.counts(&log, &late) && !w.counts(&log, &says));
    let pardoned = w.by_admin(&[&late], w.role(1, Role::Moderator));
    let says = w.by(1, &[&pardoned], w.kick(4, 2));
    let up = w.by(1, &[&pardoned], w.kick(2, 2));
    let log = [&one, &two, &demoted, &late, &pardoned, &says, &up];
    assert!(w.counts(&log, &late) && w.counts(&log, &says) && !w.counts(&log, &up));
    let again = w.by(2, &[&says], w.kick(1, 3));
    assert!(w.counts(&[&one, &two, &demoted, &late, &pardoned, &says, &again], &again));
    // A higher role that came meanwhile protects.
    let raised = w.by_admin(&[&demoted], w.role(1, Role::Admin));
    let says = w.by(1, &[&raised], w.kick(4, 1));
    let log = [&one, &two, &demoted, &late, &raised, &says];
    assert!(!w.counts(&log, &late) && w.counts(&log, &says));
    // Nobody removes itself, nor the admin key, which has no Role.
    let own = w.by(1, &[&demoted], w.kick(1, 1));
    let key = Operation::Kick {
        identity: IdentityKey::from_bytes(*w.genesis.admin().as_bytes()),
        rekey: rekey(1),
    };
    let key = w.by(2, &[&demoted], key);
    let log = [&one, &two, &demoted, &own, &key];
    assert!(!w.counts(&log, &own) && !w.counts(&log, &key));
}

/// Rank goes with the role: an admin that was made a moderator is the last of these, whoever it was before.
#[test]
fn who_was_an_admin_and_is_a_moderator_ranks_as_one() {
    let w = World::new();
    let boss = w.by_admin(&[], w.role(1, Role::Admin));
    let chair = w.by_admin(&[&boss], w.role(2, Role::Admin));
    let old = w.by_admin(&[&chair], w.role(3, Role::Moderator));
    let did = w.by(1, &[&old], w.role(5, Role::Moderator));
    let less = w.by_admin(&[&did], w.role(1, Role::Moderator));
    let log = [&boss, &chair, &old, &did, &less];
    let with = |more: &[&SignedOperation], which: &SignedOperation| {
        let log: Vec<&SignedOperation> = log.iter().chain(more).copied().collect();
        w.counts(&log, which)
    };
    // What it did as an admin stays; it takes no admin, no elder moderator, and gives no roles.
    assert!(with(&[], &did));
    let up = w.by(1, &[&less], w.kick(2, 1));
    let aside = w.by(1, &[&less], w.kick(3, 1));
    let gives = w.by(1, &[&less], w.role(6, Role::Moderator));
    // Nor by parents from the time when it was an admin.
    let backwards = w.by(1, &[&did], w.kick(2, 1));
    for void in [&up, &aside, &gives, &backwards] {
        assert!(!with(&[void], void));
    }
    let member = w.by(1, &[&less], w.kick(4, 1));
    let newer = w.by_admin(&[&less], w.role(7, Role::Moderator));
    let down = w.by(1, &[&newer], w.kick(7, 1));
    assert!(with(&[&member], &member) && with(&[&newer, &down], &down));
    // An admin takes it, which voids what it had not heard of; and so does an elder moderator.
    let demoted = w.by(2, &[&less], w.role(1, Role::Member));
    assert!(with(&[&demoted, &member], &demoted) && !with(&[&demoted, &member], &member));
    let kicked = w.by(3, &[&less], w.kick(1, 1));
    assert!(with(&[&kicked, &member], &kicked) && !with(&[&kicked, &member], &member));
    // While it was an admin as far as its junior could see, it was senior.
    let early = w.by(2, &[&did], w.role(1, Role::Member));
    assert!(!with(&[&early], &early));
    // Made an admin again, it is the last of the admins; what it says then counts.
    let again = w.by(2, &[&less], w.role(1, Role::Admin));
    let says = w.by(1, &[&again], w.role(3, Role::Member));
    let up = w.by(1, &[&again], w.role(2, Role::Member));
    let down = w.by(2, &[&says], w.role(1, Role::Moderator));
    assert!(with(&[&again, &says, &up, &down], &says) && with(&[&again, &says, &up, &down], &down));
    assert!(!with(&[&again, &says, &up, &down], &up));
}

#[test]
fn counts_rise_by_one_and_the_lowest_hash_wins() {
    let w = World::new();
    let jump = w.by_admin(&[], Operation::KeyGen(rekey(2)));
    let one = w.by_admin(&[], Operation::KeyGen(rekey(1)));
    let other = w.by_admin(
        &[],
        Operation::KeyGen(Rekey {
            member_count: 2,
            ..rekey(1)
        }),
    );
    let next = w.by_admin(&[&one, &other], Operation::KeyGen(rekey(2)));
    let after_jump = w.by_admin(&[&jump], Operation::KeyGen(rekey(3)));
    let log = [&jump, &one, &other, &after_jump];
    let log = w.log(&log);
    assert!(!log.evaluation().valid.contains(&jump.hash()) && !log.evaluation().valid.contains(&after_jump.hash()));
    let winner = one.hash().min(other.hash());
    assert_eq!(log.evaluation().generations[0].0.hash, winner);
    let log = w.log(&[&one, &other, &next]);
    assert_eq!(log.evaluation().generations[0].0.hash, next.hash());
}

#[test]
fn a_moderator_makes_a_generation_only_to_join_removals() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let two = w.by_admin(&[&one], w.role(2, Role::Moderator));
    let alone = w.by(1, &[&two], Operation::KeyGen(rekey(1)));
    let left = w.by(1, &[&two], w.kick(4, 1));
    let right = w.by(2, &[&two], w.kick(5, 1));
    let after_one = w.by(1, &[&left], Operation::KeyGen(rekey(2)));
    let joins = w.by(2, &[&left, &right], Operation::KeyGen(rekey(2)));
    let again = w.by(2, &[&joins], Operation::KeyGen(rekey(3)));
    let log = [&one, &two, &alone, &left, &right, &after_one, &joins, &again];
    assert!(w.counts(&log, &joins));
    for void in [&alone, &after_one, &again] {
        assert!(!w.counts(&log, void));
    }
    let evaluation = w.log(&[&one, &two, &left, &right]).evaluation().clone();
    let (current, outside) = &evaluation.generations[0];
    let other = if current.hash == left.hash() { 5 } else { 4 };
    assert_eq!(*outside, BTreeSet::from([w.people[other].key()]));
    assert!(w.log(&log).evaluation().generations[0].1.is_empty());
}

/// A log of the admin and a few moderators acting on what each of them happens to have seen.
fn random_log(w: &World, rng: &mut StdRng) -> Vec<SignedOperation> {
    let mut log: Vec<SignedOperation> = Vec::new();
    // Where few act and see what is newest, roles come and go; else most of it is void.
    let (people, is_close, most) = [(w.people.len(), false, 24), (4, true, 32)][rng.random_range(0..2)];
    for _ in 0..rng.random_range(3..most) {
        let mut seen: Vec<&SignedOperation> = log.iter().rev().take(if is_close { 3 } else { 24 }).collect();
        seen.shuffle(rng);
        seen.truncate(rng.random_range(usize::from(is_close)..4));
        let seen: Vec<SignedOperation> = seen.into_iter().cloned().collect();
        let seen: Vec<&SignedOperation> = seen.iter().collect();
        let target = rng.random_range(0..people);
        let past = w.log(&log.iter().collect::<Vec<_>>());
        let count = seen
            .iter()
            .flat_map(|head| past.past_of(head.hash(), &w.genesis))
            .filter_map(|hash| past.get(&hash)?.operation().rekey().map(|rekey| rekey.count))
            .max()
            .unwrap_or(0)
            + 1;
        let operation = match rng.random_range(if is_close { -2 } else { 0 }..6) {
            ..=1 => w.role(
                target,
                [Role::Member, Role::Moderator, Role::Admin][rng.random_range(0..3)],
            ),
            2 => Operation::KeyGen(rekey(count)),
            3 => Operation::Policy(Policy {
                max_participants: rng.random_range(1..9),
                ..Policy::default()
            }),
            _ => w.kick(target, count),
        };
        let signed = match rng.random_range(0..4) {
            0 => w.by_admin(&seen, operation),
            _ => w.by(rng.random_range(0..people), &seen, operation),
        };
        log.push(signed);
    }
    log
}

#[test]
fn whatever_order_operations_come_in_all_settle_on_the_same() {
    let w = World::new();
    let mut met = [0; 3];
    for seed in 0..600 {
        let mut rng = StdRng::seed_from_u64(seed);
        let log = random_log(&w, &mut rng);
        let whole = w.log(&log.iter().collect::<Vec<_>>());
        let mut shuffled = log.clone();
        shuffled.shuffle(&mut rng);
        let other = w.log(&shuffled.iter().collect::<Vec<_>>());
        assert_eq!(whole.evaluation(), other.evaluation(), "seed {seed}");
        // Properties of any valid set.
        let valid = &whole.evaluation().valid;
        for signed in log.iter().filter(|signed| valid.contains(&signed.hash())) {
            if let Some(target) = signed.operation().removes() {
                assert_ne!(signed.author(), target, "seed {seed}: nobody removes itself");
                // What the removed one signed without being in the removal's past is void.
                let past = whole.past_of(signed.hash(), &w.genesis);
                let later = |other: &&SignedOperation| whole.past_of(other.hash(), &w.genesis).contains(&signed.hash());
                for other in log
                    .iter()
                    .filter(|other| other.author() == target && valid.contains(&other.hash()))
                {
                    assert!(past.contains(&other.hash()) || later(&other), "seed {seed}");
                }
            }
        }
        // Whatever somebody was before: nobody touches whom it knew to stand above it, by what counts.
        for signed in log.iter().filter(|signed| valid.contains(&signed.hash())) {
            let (author, by_key) = (signed.author(), signed.is_by_admin_key(&w.genesis));
            let target = match signed.operation() {
                Operation::Role { identity, .. } => *identity,
                operation => match operation.removes() {
                    Some(target) => target,
                    None => continue,
                },
            };
            let had = |who: &IdentityKey| held_in_past(&whole, signed, who, &w);
            if by_key || author == target {
                continue;
            }
            let (mine, theirs) = (had(&author).0, had(&target).0);
            assert!(theirs <= mine && mine >= Role::Moderator, "seed {seed}");
            met[0] += usize::from(theirs == Role::Moderator && mine == Role::Moderator);
            met[1] += usize::from(mine == Role::Moderator && had(&author).1);
            met[2] += usize::from(theirs < Role::Admin && had(&target).1);
        }
        // The admin key's own roles and policies always count.
        for signed in log.iter().filter(|signed| signed.is_by_admin_key(&w.genesis)) {
            if matches!(signed.operation(), Operation::Role { .. } | Operation::Policy(_)) {
                assert!(valid.contains(&signed.hash()), "seed {seed}");
            }
        }
    }
    assert!(met.iter().all(|times| *times > 0), "the logs hold too little: {met:?}");
}

/// What somebody was at one point of the log, and whether it had been an admin before and wasn't any more, counted step by step.
fn held_in_past(log: &Authority, of: &SignedOperation, who: &IdentityKey, w: &World) -> (Role, bool) {
    let past = log.past_of(of.hash(), &w.genesis);
    let counts =
        |signed: &SignedOperation| signed.hash() != of.hash() && log.evaluation().valid.contains(&signed.hash());
    let (mut role, mut was_admin) = (Role::Member, false);
    for signed in log.ordered(&w.genesis) {
        if !past.contains(&signed.hash()) || !counts(&signed) {
            continue;
        }
        match signed.operation() {
            Operation::Role { identity, role: given } if identity == who => role = *given,
            operation if operation.removes() == Some(*who) => role = Role::Member,
            _ => continue,
        }
        was_admin |= role == Role::Admin;
    }
    (role, was_admin && role < Role::Admin)
}

#[test]
fn floods_of_those_without_a_say_leave_no_trace_and_moderators_have_a_share() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let mut log = w.log(&[&one]);
    for count in 0..100 {
        let kick = w.by(5, &[&one], w.kick(count % 4, 1));
        assert!(matches!(log.take(kick.to_unverified(), &w.genesis), Ok(Taken::Refused)));
    }
    assert_eq!(log.hashes().count(), 1);
    // A moderator's void operations fill its own share, and then no more.
    let mut kept = 0;
    for count in 0..200 {
        let operation = Operation::Policy(Policy {
            max_participants: count + 1,
            ..Policy::default()
        });
        let spam = w.by(1, &[&one], operation);
        kept += usize::from(matches!(log.take(spam.to_unverified(), &w.genesis), Ok(Taken::New(_))));
    }
    assert_eq!(kept, MAX_OPERATIONS_OF_MODERATOR);
    let kick = w.sign(Author::Admin(&w.admin), &[&one], w.kick(1, 1));
    assert!(matches!(
        log.take(kick.to_unverified(), &w.genesis),
        Ok(Taken::Generation(_))
    ));
    // Forged and foreign ones don't get in.
    let other = GenesisHash::from_bytes([9; 32]);
    let foreign = SignedOperation::create(Author::Admin(&w.admin), vec![], w.role(2, Role::Admin), &other).unwrap();
    assert!(log.take(foreign.to_unverified(), &w.genesis).is_err());
    let orphan = w.by_admin(&[&kick], w.role(2, Role::Admin));
    assert!(matches!(
        log.take(orphan.to_unverified(), &w.genesis),
        Ok(Taken::MissingPast)
    ));
}

/// A count that nobody could rightly reach is void, and what is made on top of it counts as if it weren't there.
#[test]
fn a_moderators_void_count_stops_nobody() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    for count in [0, 2, 1_000, u64::MAX] {
        let mut log = w.log(&[&one]);
        let wrong = w.by(1, &[&one], w.kick(2, count));
        assert!(matches!(log.take(wrong.to_unverified(), &w.genesis), Ok(Taken::New(_))));
        for expected in 1..4 {
            let heads = log.heads();
            assert!(expected > 1 || heads.contains(&wrong.hash()));
            let next = log.next_count(&heads, &w.genesis).unwrap();
            assert_eq!(next, expected, "after a count of {count}");
            let rekey = Operation::KeyGen(rekey(next));
            let signed = SignedOperation::create(Author::Admin(&w.admin), heads, rekey, &w.genesis.hash()).unwrap();
            assert!(log.would_count(&signed, &w.genesis));
            log.insert_verified(signed, &w.genesis);
        }
    }
}

/// What a generation builds on comes with it, unseen until then: a moderator can't fill the log with that either.
#[test]
fn a_moderators_generations_leave_room_for_the_admin() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let big = |number: u8| Operation::Unknown {
        kind: OperationKind(999),
        body: vec![number; 10_000],
    };
    for by_throwaways in [false, true] {
        let mut log = w.log(&[&one]);
        let mut taken = 0;
        for turn in 0..40 {
            let author = if by_throwaways { 5 } else { 1 };
            let padding = w.by(author, &[&one], big(turn));
            let parents = [&padding];
            let kick = w.by(1, &parents, w.kick(2 + usize::from(turn % 3), 1));
            let past = vec![one.to_unverified(), padding.to_unverified(), kick.to_unverified()];
            taken += usize::from(log.insert_with_past(past, kick.hash(), &w.genesis).unwrap());
        }
        assert!(taken <= 1, "{taken} generations with 10,000 bytes of nothing each");
        let heads = log.heads();
        let count = log.next_count(&heads, &w.genesis).unwrap();
        let kick = Operation::Kick {
            identity: w.people[1].key(),
            rekey: rekey(count),
        };
        let kick = SignedOperation::create(Author::Admin(&w.admin), heads, kick, &w.genesis.hash()).unwrap();
        assert!(log.would_count(&kick, &w.genesis), "the admin is heard");
    }
}

/// A hostile moderator tells two members different things, each as much as it may: the kick that removes it still goes from one to the other.
#[test]
fn who_told_two_members_different_things_is_removed_at_both() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let two = w.by_admin(&[&one], w.role(2, Role::Moderator));
    let fill = |from: u16| -> Authority {
        let mut log = w.log(&[&one, &two]);
        for number in from..from + 100 {
            let noise = Operation::Policy(Policy {
                max_participants: number + 1,
                ..Policy::default()
            });
            let noise = w.by(2, &[&two], noise);
            let _ = log.take(noise.to_unverified(), &w.genesis);
        }
        log
    };
    let (ours, mut theirs) = (fill(0), fill(1_000));
    let heads = ours.heads();
    let count = ours.next_count(&heads, &w.genesis).unwrap();
    let kick = w.kick(2, count);
    let kick = SignedOperation::create(Author::Member(&w.people[1]), heads, kick, &w.genesis.hash()).unwrap();
    assert!(ours.would_count(&kick, &w.genesis));
    let mut past: Vec<UnverifiedOperation> = ours.iter().map(|(_, signed)| signed.to_unverified()).collect();
    past.push(kick.to_unverified());
    assert!(theirs.insert_with_past(past, kick.hash(), &w.genesis).unwrap());
    assert!(theirs.evaluation().voids(&w.people[2].key(), 0));
}

/// Who built on what is forgotten goes with it, and comes back to be judged by what was signed meanwhile.
#[test]
fn what_is_forgotten_takes_along_what_builds_on_it() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let two = w.by_admin(&[&one], w.role(2, Role::Moderator));
    let usurping = w.by(1, &[&two], w.kick(4, 1));
    let on_it = w.by(2, &[&usurping], w.kick(5, 2));
    let void = w.by(1, &[&on_it], Operation::Policy(Policy::default()));
    let aside = w.by(2, &[&two], w.kick(6, 1));
    let mut log = w.log(&[&one, &two, &usurping, &on_it, &void, &aside]);
    log.forget(&usurping.hash(), &w.genesis);
    let left: BTreeSet<OperationHash> = log.hashes().copied().collect();
    assert_eq!(left, BTreeSet::from([one.hash(), two.hash(), aside.hash()]));
    let heads = log.heads();
    let count = log.next_count(&heads, &w.genesis).unwrap();
    let kick = SignedOperation::create(Author::Admin(&w.admin), heads, w.kick(1, count), &w.genesis.hash()).unwrap();
    log.insert_verified(kick.clone(), &w.genesis);
    for back in [&usurping, &on_it, &void] {
        log.insert_verified(back.clone(), &w.genesis);
    }
    let valid = &log.evaluation().valid;
    assert!(valid.contains(&kick.hash()) && valid.contains(&on_it.hash()) && valid.contains(&aside.hash()));
    assert!(!valid.contains(&usurping.hash()) && !valid.contains(&void.hash()));
}

#[test]
fn who_has_no_say_and_is_given_none_is_told_apart_unverified() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Admin));
    let two = w.by(1, &[&one], w.role(2, Role::Moderator));
    let by_nobody = w.by(5, &[&one], w.role(3, Role::Moderator));
    let unverified: Vec<UnverifiedOperation> = [&one, &two, &by_nobody].map(SignedOperation::to_unverified).to_vec();
    for (log, known) in [(w.log(&[]), &unverified[..]), (w.log(&[&one, &two]), &[])] {
        let may = |who: usize| log.may_come_to_speak(&w.people[who].key(), known, &w.genesis);
        assert!(may(1) && may(2) && !may(3) && !may(5));
    }
    let key = IdentityKey::from_bytes(*w.genesis.admin().as_bytes());
    assert!(w.log(&[]).may_come_to_speak(&key, &[], &w.genesis));
}

#[test]
fn what_would_not_count_is_told_why() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let mut log = w.log(&[&one]);
    let judge = |log: &Authority, signed: &SignedOperation| log.judge(signed, &w.genesis);
    assert_eq!(judge(&log, &w.by(1, &[&one], w.kick(2, 1))), Ok(()));
    assert_eq!(judge(&log, &w.by(2, &[&one], w.kick(3, 1))), Err(Uncounted::Void));
    assert_eq!(judge(&log, &w.by(1, &[&one], w.kick(2, 7))), Err(Uncounted::Void));
    let big = |number: u8| Operation::Unknown {
        kind: OperationKind(999),
        body: vec![number; 16_100],
    };
    log.insert_verified(w.by(1, &[&one], big(0)), &w.genesis);
    let heads: Vec<SignedOperation> = log.heads().iter().map(|hash| log.get(hash).unwrap().clone()).collect();
    let heads: Vec<&SignedOperation> = heads.iter().collect();
    assert_eq!(judge(&log, &w.by(1, &heads, w.kick(2, 1))), Err(Uncounted::ShareFull));
    assert_eq!(judge(&log, &w.by_admin(&heads, w.kick(2, 1))), Ok(()));
    for number in 1..4 {
        log.insert_verified(w.by_admin(&heads, big(number)), &w.genesis);
    }
    assert_eq!(judge(&log, &w.by_admin(&heads, big(4))), Err(Uncounted::LogFull));
}

#[test]
fn the_serial_of_certificates_rises_with_each_right_taken_and_never_falls() {
    let w = World::new();
    let one = w.by_admin(&[], w.role(1, Role::Moderator));
    let two = w.by_admin(&[&one], w.role(2, Role::Moderator));
    let policy = w.by_admin(&[&two], Operation::Policy(Policy::default()));
    let nobody = w.by_admin(&[&policy], w.kick(5, 1));
    assert_eq!(w.log(&[&one, &two, &policy, &nobody]).serial(), 0, "nobody had a role");
    let taken = w.by_admin(&[&nobody], w.role(1, Role::Member));
    let removed = w.by_admin(&[&taken], w.kick(2, 2));
    // Void, since its author's role was taken by somebody who had not seen it.
    let late = w.by(1, &[&nobody], w.kick(2, 2));
    let all = [&one, &two, &policy, &nobody, &taken, &removed, &late];
    assert!(w.counts(&all[..4], &nobody) && !w.counts(&all, &late));
    assert_eq!(w.log(&all[..5]).serial(), 1);
    assert_eq!(w.log(&all[..6]).serial(), 2);
    assert_eq!(w.log(&all).serial(), 3);

    // Whatever comes first, and whatever is forgotten.
    let mut rng = StdRng::seed_from_u64(11);
    for _ in 0..40 {
        let mut log = w.log(&[]);
        let mut left = all.to_vec();
        let mut last = 0;
        while !left.is_empty() {
            let fits = |signed: &SignedOperation| signed.parents().iter().all(|parent| log.contains(parent));
            let ready: Vec<usize> = (0..left.len()).filter(|index| fits(left[*index])).collect();
            let next = left.swap_remove(ready[rng.random_range(0..ready.len())]);
            log.insert_verified(next.clone(), &w.genesis);
            assert!(log.serial() >= last);
            last = log.serial();
        }
        assert_eq!(last, 3);
        log.forget(&taken.hash(), &w.genesis);
        assert_eq!(log.serial(), 3);
    }
}
