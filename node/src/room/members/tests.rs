//! How many members are remembered.

use rand::SeedableRng;
use rand::rngs::StdRng;
use snug_crypto::AdminKey;
use snug_crypto::bounds::{MAX_MEMBERS, MAX_SYNC_ENTRIES};
use snug_crypto::generation::{Generation, GenerationKeys, RoomRandom};
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::identity::{Identity, TransportKey};
use snug_crypto::leaf::{LeafParams, LeafSecrets, Leave};
use snug_crypto::names::{RoomId, RoomKey};

use super::*;

/// A policy may allow 4,096 members, and an epoch holds as many: so many are remembered, and no roster is larger than an epoch.
#[test]
fn as_many_are_remembered_as_a_policy_may_allow() {
    let mut rng = StdRng::seed_from_u64(4);
    let policy = Policy {
        max_participants: u16::try_from(MAX_MEMBERS).unwrap(),
        ..Policy::default()
    };
    let genesis = Genesis::create(
        &AdminKey::from_seed(&[1; 32]),
        &RoomId::parse("den").unwrap(),
        "",
        7,
        policy,
    )
    .unwrap();
    let generation = Generation::first(&genesis.hash());
    let (room_key, random) = (
        RoomKey::parse("a room of many").unwrap(),
        RoomRandom::generate(&mut rng),
    );
    let keys = GenerationKeys::derive(&room_key, &random, &genesis.handle(), generation);
    // Making keys takes longest: all have the same but for their identity.
    let (transport, secrets) = (TransportKey::generate(&mut rng), LeafSecrets::generate(&mut rng));
    let now = 1_800_000_000_000;
    let mut leaf = || {
        let identity = Identity::generate(&mut rng);
        let params = LeafParams {
            name: "one of many".to_owned(),
            seq: now,
            incarnation: 0,
            expires_at_ms: now + 900_000,
            generation,
            approval: None,
        };
        Leaf::create(params, &identity, &transport, &secrets, keys.join(), &genesis.hash()).unwrap()
    };
    let mut members = Members::new(900_000);
    for count in 0..MAX_MEMBERS {
        assert_eq!(
            members.merge(Record::Leaf(Arc::new(leaf())), now),
            Merged::New,
            "after {count}"
        );
    }
    assert_eq!(members.merge(Record::Leaf(Arc::new(leaf())), now), Merged::Refused);
    // Ends of memberships have a place of their own, and what all of that is compared by fits into one request.
    for number in 0..2_000 {
        let gone = Identity::generate(&mut StdRng::seed_from_u64(number));
        members.merge(Record::Leave(Leave::create(&gone, now, 0, &genesis.hash())), now);
    }
    assert_eq!(members.current_leaves().count(), MAX_MEMBERS);
    assert!(members.digests().count() > MAX_MEMBERS && members.digests().count() <= MAX_SYNC_ENTRIES);
}
