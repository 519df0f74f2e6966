//! Where bounds and orders lie exactly, and that what is decoded is what was encoded: each of these was found by a change of the code that
//! no other test noticed.

use snug_crypto::{
    Generation, MeshKey, OperationHash, Topic,
    epoch::{Round, UnverifiedAnnouncement, roster_hash},
    keeper::{Grant, Granter, KeeperSecrets},
    leaf::{Leave, Record},
    operation::{Author, Operation, Rekey, SignedOperation, UnverifiedOperation},
    wire::DecodeError,
};

use crate::fixture::{Room, text};

#[test]
fn every_kind_of_operation_comes_back_as_what_it_is() {
    let room = Room::new(21, 1);
    let identity = room.members[0].identity.key();
    let rekey = |member_count| Rekey {
        count: 1,
        key_commit: [2; 32],
        members_hash: [3; 32],
        member_count,
    };
    let keeper = KeeperSecrets::generate(&mut room.rng.clone()).offer(vec!["/ip4/192.0.2.1/tcp/1".to_owned()]);
    let all = [
        (
            Operation::Kick {
                identity,
                rekey: rekey(1),
            },
            Some(identity),
        ),
        (
            Operation::Ban {
                identity,
                rekey: rekey(2),
            },
            Some(identity),
        ),
        (Operation::KeyGen(rekey(4_096)), None),
        (Operation::Policy(*room.genesis.policy()), None),
        (Operation::Keeper(Box::new(keeper)), None),
    ];
    for (operation, removes) in all {
        assert_eq!(operation.removes(), removes);
        let parents = vec![OperationHash::from_bytes([1; 32]), OperationHash::from_bytes([2; 32])];
        let signed = SignedOperation::create(
            Author::Admin(&room.admin),
            parents.clone(),
            operation.clone(),
            &room.hash(),
        );
        let decoded = UnverifiedOperation::decode(&signed.unwrap().encode()).unwrap();
        assert_eq!(decoded.unverified_operation(), &operation);
        assert_eq!(decoded.unverified_parents(), parents);
        assert_eq!(decoded.verify(&room.genesis).unwrap().operation(), &operation);
    }
    // A generation of nobody, or of more than an epoch may have.
    for count in [0, 4_097, u32::MAX] {
        let operation = Operation::KeyGen(rekey(count));
        let made = SignedOperation::create(Author::Admin(&room.admin), vec![], operation, &room.hash());
        assert!(
            made.is_err() || UnverifiedOperation::decode(&made.unwrap().encode()).is_err(),
            "{count}"
        );
    }
}

#[test]
fn no_parent_of_an_operation_stands_twice() {
    let room = Room::new(22, 1);
    let parents = vec![OperationHash::from_bytes([1; 32]), OperationHash::from_bytes([2; 32])];
    let operation = Operation::Policy(*room.genesis.policy());
    let signed = SignedOperation::create(Author::Admin(&room.admin), parents, operation, &room.hash()).unwrap();
    let mut bytes = signed.encode();
    // Behind version, author and count.
    assert_eq!(bytes[37..69], [1; 32]);
    bytes[69..101].copy_from_slice(&[1; 32]);
    assert!(matches!(
        UnverifiedOperation::decode(&bytes),
        Err(DecodeError::Invalid { .. })
    ));
}

#[test]
fn no_custodian_and_no_member_stands_twice() {
    let mut room = Room::new(23, 2);
    let announcement = room.issue().announcement;
    let bytes = announcement.encode();
    assert!(UnverifiedAnnouncement::decode(&bytes).is_ok());
    // Behind kind, generation, round and issuer: one custodian.
    let (count, custodian, behind) = (65..69, 69..85, 85);
    assert_eq!(bytes[count.clone()], [0, 0, 0, 1]);
    let twice = [
        &bytes[..count.start],
        &[0, 0, 0, 2],
        &bytes[custodian.clone()],
        &bytes[custodian],
        &bytes[behind..],
    ];
    assert_eq!(
        UnverifiedAnnouncement::decode(&twice.concat()),
        Err(DecodeError::Invalid {
            what: "order of custodians"
        })
    );

    // One member in the place of both, with the hash that says so.
    let one = announcement.members()[announcement.member(&announcement.header().issuer).unwrap().0];
    let mut twice = bytes.clone();
    twice[behind..behind + 32].copy_from_slice(&roster_hash(&[one, one]));
    let entries = bytes.len() - 2 * 52;
    let at = entries + 52 * usize::from(announcement.members()[0] != one);
    let entry = bytes[at..at + 52].to_vec();
    twice[entries..].copy_from_slice(&[&entry[..], &entry].concat());
    assert_eq!(
        UnverifiedAnnouncement::decode(&twice),
        Err(DecodeError::Invalid { what: "members" })
    );
}

#[test]
fn a_day_begins_at_midnight() {
    for (unix_ms, day) in [
        (0, 0),
        (86_399_999, 0),
        (86_400_000, 1),
        (1_700_000_000_000, 19_675),
        (u64::MAX, u32::MAX),
    ] {
        assert_eq!(Round::of_day(unix_ms), Round { day, counter: 0 });
    }
}

#[test]
fn a_record_says_what_was_signed() {
    let room = Room::new(24, 1);
    let member = &room.members[0];
    let leave = Leave::create(&member.identity, 7, 3, &room.hash());
    assert_eq!(
        (leave.identity(), leave.seq(), leave.incarnation()),
        (member.identity.key(), 7, 3)
    );
    let unverified = Record::Leave(leave).to_unverified();
    assert_eq!((unverified.identity(), unverified.seq()), (member.identity.key(), 7));
    let record = unverified.verify(&room.hash(), |_| None).unwrap();
    assert_eq!(
        (record.identity(), record.seq(), record.incarnation()),
        (member.identity.key(), 7, 3)
    );
    assert_eq!(room.genesis.created_at_ms(), 1_700_000_000_000);
    assert_eq!(room.genesis.description(), "");
}

#[test]
fn a_grant_goes_with_its_object_and_no_other() {
    let mut room = Room::new(25, 1);
    let offer = KeeperSecrets::generate(&mut room.rng).offer(Vec::new());
    let generation = Generation::first(&room.hash());
    let keep = MeshKey::from_bytes([5; 32]);
    let mut grant = |object| {
        let grant = Grant {
            generation,
            topic: Topic([4; 32]),
            keep: &keep,
            before: generation,
            at_ms: 9,
            object,
        };
        (grant.create(Granter::Admin(&room.admin), &offer, &room.genesis.hash(), &mut room.rng)).unwrap()
    };
    let (with, without) = (grant(Some(b"object")), grant(None));
    assert!(with.is_with(b"object") && !with.is_with(b"objecT") && !with.is_with(b""));
    assert!(!without.is_with(b"object") && !without.is_with(b""));
}

#[test]
fn two_statements_contradict_each_other_at_one_place_only() {
    let mut room = Room::new(26, 2);
    let (_, mut epochs) = room.live();
    let stored = |epoch: &snug_crypto::frame::Epoch, leaf| {
        (epoch.at_rest().encode(), epoch.chain_at_rest(leaf).unwrap().encode())
    };
    let leaves = [room.members[0].leaf.id(), room.members[1].leaf.id()];
    let before: Vec<_> = leaves.iter().map(|leaf| (*leaf, stored(&epochs[0], leaf))).collect();
    // The same place in the chain twice, as only who breaks the rules has it.
    let mut fork = snug_crypto::frame::Epoch::restore(
        snug_crypto::rest::EpochAtRest::decode(&before[0].1.0).unwrap(),
        |leaf| {
            let (_, (_, chain)) = before.iter().find(|(id, _)| id == leaf)?;
            snug_crypto::rest::ChainAtRest::decode(chain).ok()
        },
    )
    .unwrap();
    let signing = room.members[0].secrets.signing.clone();
    let mut say = |epoch: &mut snug_crypto::frame::Epoch, words: &str| {
        (epoch.seal(&mut room.rng, leaves[0], &signing, &[], &[text(words)]))
            .unwrap()
            .statement
    };
    let (one, other) = (say(&mut epochs[0], "one"), say(&mut fork, "other"));
    let (next, again) = (say(&mut epochs[0], "next"), say(&mut fork, "again"));
    assert!(one.contradicts(&other) && other.contradicts(&one) && next.contradicts(&again));
    assert!(!one.contradicts(&one) && !one.contradicts(&next) && !next.contradicts(&one));
    assert_eq!(
        (one.counter(), next.counter(), one.sender(), one.epoch()),
        (0, 1, leaves[0], epochs[0].id())
    );
    assert!(one.parents().is_empty());
}
