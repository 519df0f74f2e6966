//! Leaves, leaves' ends, operations, and the control messages that carry them.

use std::sync::Arc;

use snug_crypto::{
    AdminKey, Generation, GenesisHash, JoinKey, OperationHash, Policy,
    approval::Approval,
    bounds,
    control::{self, ControlError, ControlMessage},
    credential::Tombstone,
    leaf::{Leaf, LeafParams, Leave, Record, RecordError, UnverifiedRecord},
    names::NameError,
    operation::{Author, Operation, OperationError, OperationKind, OperationTooLarge, Role, SignedOperation},
    wire::DecodeError,
};

use crate::fixture::Room;

fn verify(room: &Room, bytes: &[u8]) -> Result<Record, RecordError> {
    let join = |generation: Generation| (generation == room.keys.generation()).then_some(room.keys.join());
    UnverifiedRecord::decode(bytes).unwrap().verify(&room.hash(), join)
}

#[test]
fn an_approval_is_the_first_kind_of_extension() {
    let room = Room::new(19, 1);
    let (member, generation) = (&room.members[0], room.keys.generation());
    let approval = Approval::sign(
        Author::Admin(&room.admin),
        &member.identity.key(),
        generation,
        &room.hash(),
    );
    let params = |approval| LeafParams {
        name: "bob".to_owned(),
        seq: 2,
        incarnation: 0,
        expires_at_ms: 1_800_000_000_000,
        generation,
        approval,
    };
    let make = |approval| {
        let (transport, secrets, join) = (&member.transport, &member.secrets, room.keys.join());
        let leaf = Leaf::create(
            params(approval),
            &member.identity,
            transport,
            secrets,
            join,
            &room.hash(),
        )
        .unwrap();
        leaf.encode()
    };
    let (with, without) = (make(Some(approval.clone())), make(None));
    // Before the admission and the signature: a list of one, of kind 1 and 96 bytes; or of none.
    let behind = 32 + 64;
    let extensions = [&[0, 0, 0, 1, 0, 1, 0, 0, 0, 96][..], &approval.encode()].concat();
    assert_eq!(with[with.len() - behind - 106..with.len() - behind], extensions);
    assert_eq!(without[without.len() - behind - 4..without.len() - behind], [0; 4]);
    assert!(verify(&room, &with).is_ok());
}

#[test]
fn a_leaf_is_believed_as_it_was_made() {
    let room = Room::new(1, 1);
    let leaf = &room.members[0].leaf;
    let record = verify(&room, &leaf.encode()).unwrap();
    assert_eq!(record, Record::Leaf(Arc::new(leaf.clone())));
    assert_eq!(
        record.to_unverified(),
        UnverifiedRecord::decode(&leaf.encode()).unwrap()
    );
    assert_eq!(
        (record.identity(), record.seq(), record.incarnation()),
        (room.members[0].identity.key(), 1, 0)
    );
    assert_eq!(leaf.peer(), room.members[0].transport.peer_key());
}

#[test]
fn no_flipped_bit_of_a_leaf_is_believed() {
    let room = Room::new(2, 1);
    let bytes = room.members[0].leaf.encode();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let join = |_| Some(room.keys.join());
        let believed = UnverifiedRecord::decode(&bad).map(|record| record.verify(&room.hash(), join));
        assert!(!matches!(believed, Ok(Ok(_))), "bit {bit}");
    }
}

#[test]
fn a_leaf_needs_the_room_key_the_room_and_a_known_generation() {
    let room = Room::new(3, 1);
    let leaf = || UnverifiedRecord::decode(&room.members[0].leaf.encode()).unwrap();
    assert_eq!(
        leaf().verify(&room.hash(), |_| None),
        Err(RecordError::UnknownGeneration)
    );
    let other = JoinKey::from_bytes([0; 32]);
    assert_eq!(
        leaf().verify(&room.hash(), |_| Some(&other)),
        Err(RecordError::NotAdmitted)
    );
    let elsewhere = GenesisHash::from_bytes([0; 32]);
    assert_eq!(
        leaf().verify(&elsewhere, |_| Some(room.keys.join())),
        Err(RecordError::NotAdmitted)
    );
}

/// Somebody with the Room Key can't put another's identity, or another's peer, into a leaf of its own.
#[test]
fn a_leaf_needs_its_identity_and_its_peer() {
    let room = Room::new(4, 2);
    let bytes = room.members[0].leaf.encode();
    let other = room.members[1].leaf.encode();
    let admission = bytes.len() - 96;
    for (what, range) in [
        ("identity", 1..33),
        ("peer", 1281..1313),
        ("peer's signature", 1313..1377),
    ] {
        let mut bad = bytes.clone();
        bad[range.clone()].copy_from_slice(&other[range]);
        let genesis = room.hash();
        let fields: [&[u8]; 2] = [genesis.as_bytes(), &bad[..admission]];
        let admitted = snug_crypto::kdf::mac(room.keys.join().expose(), snug_crypto::label::ADMISSION, &fields);
        bad[admission..admission + 32].copy_from_slice(&admitted);
        assert_eq!(verify(&room, &bad), Err(RecordError::BadSignature), "{what}");
    }
}

#[test]
fn a_kem_key_rotates_within_an_incarnation_and_a_new_incarnation_is_a_new_leaf() {
    let mut room = Room::new(5, 1);
    let mut secrets = room.members[0].secrets.clone();
    secrets.kem = snug_crypto::kem::KemSecret::generate(&mut room.rng);
    let member = &room.members[0];
    let make = |seq, incarnation| {
        let generation = room.keys.generation();
        let params = LeafParams {
            name: "a".to_owned(),
            seq,
            incarnation,
            expires_at_ms: 9,
            generation,
            approval: None,
        };
        Leaf::create(
            params,
            &member.identity,
            &member.transport,
            &secrets,
            room.keys.join(),
            &room.hash(),
        )
        .unwrap()
    };
    assert_eq!(make(2, 0).id(), member.leaf.id());
    assert_ne!(make(2, 0).kem(), member.leaf.kem());
    assert_ne!(make(3, 1).id(), member.leaf.id());
}

#[test]
fn a_leave_is_its_identitys_alone() {
    let room = Room::new(6, 2);
    let leave = Leave::create(&room.members[0].identity, 7, 3, &room.hash());
    assert_eq!(verify(&room, &leave.encode()), Ok(Record::Leave(leave.clone())));
    let mut forged = leave.encode();
    forged[1..33].copy_from_slice(room.members[1].identity.key().as_bytes());
    assert_eq!(verify(&room, &forged), Err(RecordError::BadSignature));
}

#[test]
fn names_that_are_none_are_refused_on_both_sides() {
    let mut room = Room::new(7, 1);
    let member = &room.members[0];
    let params = LeafParams {
        name: "a\u{202E}\n".to_owned(),
        seq: 1,
        incarnation: 0,
        expires_at_ms: 9,
        generation: room.keys.generation(),
        approval: None,
    };
    let made = Leaf::create(
        params,
        &member.identity,
        &member.transport,
        &member.secrets,
        room.keys.join(),
        &room.hash(),
    );
    assert_eq!(made, Err(NameError::Control));
    let mut bytes = room.member("some name").leaf.encode();
    let at = bytes.windows(9).position(|window| window == b"some name").unwrap();
    bytes[at + 4] = b'\n';
    assert_eq!(
        UnverifiedRecord::decode(&bytes),
        Err(DecodeError::Invalid { what: "name" })
    );
}

#[test]
fn an_operation_is_its_authors_in_its_room() {
    let room = Room::new(8, 2);
    let role = Operation::Role {
        identity: room.members[1].identity.key(),
        role: Role::Moderator,
    };
    for author in [Author::Admin(&room.admin), Author::Member(&room.members[0].identity)] {
        let parents = vec![OperationHash::from_bytes([2; 32]), OperationHash::from_bytes([1; 32])];
        let made = SignedOperation::create(author, parents, role.clone(), &room.hash()).unwrap();
        let bytes = made.encode();
        let decode = |bytes: &[u8]| snug_crypto::operation::UnverifiedOperation::decode(bytes);
        assert_eq!(decode(&bytes).unwrap().hash(&room.hash()), made.hash());
        assert_eq!(decode(&bytes).unwrap().verify(&room.genesis), Ok(made.clone()));
        assert_eq!(made.is_by_admin_key(&room.genesis), matches!(author, Author::Admin(_)));
        assert!(made.parents().is_sorted());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let believed = decode(&bad).map(|operation| operation.verify(&room.genesis));
            assert!(!matches!(believed, Ok(Ok(_))), "bit {bit}");
        }
        let other = Room::new(9, 0);
        assert_eq!(
            decode(&bytes).unwrap().verify(&other.genesis),
            Err(OperationError::BadSignature)
        );
    }
}

#[test]
fn anybody_may_carry_the_admins_tombstone_and_nobody_make_one() {
    let room = Room::new(10, 1);
    let tombstone = Tombstone {
        handle: room.genesis.handle(),
        genesis_hash: room.hash(),
    };
    let carry = |admin: &AdminKey, tombstone: Tombstone| {
        let operation = Operation::Tombstone(tombstone.sign(admin));
        let author = Author::Member(&room.members[0].identity);
        let signed = SignedOperation::create(author, vec![], operation, &room.hash()).unwrap();
        signed.to_unverified().verify(&room.genesis).map(|_| ())
    };
    assert_eq!(carry(&room.admin, tombstone), Ok(()));
    assert_eq!(
        carry(&AdminKey::from_seed(&[9; 32]), tombstone),
        Err(OperationError::BadTombstone)
    );
    let elsewhere = Tombstone {
        genesis_hash: GenesisHash::from_bytes([1; 32]),
        ..tombstone
    };
    assert_eq!(carry(&room.admin, elsewhere), Err(OperationError::BadTombstone));
}

#[test]
fn kinds_of_a_later_version_are_kept_and_passed_on() {
    let room = Room::new(11, 1);
    let kick = Operation::Unknown {
        kind: OperationKind::KICK,
        body: vec![1, 2, 3],
    };
    let signed = SignedOperation::create(Author::Admin(&room.admin), vec![], kick.clone(), &room.hash()).unwrap();
    let verified = signed.to_unverified().verify(&room.genesis).unwrap();
    assert_eq!((verified.operation(), verified.encode()), (&kick, signed.encode()));
    let large = Operation::Unknown {
        kind: OperationKind::KICK,
        body: vec![0; bounds::MAX_OPERATION_BODY + 1],
    };
    let made = SignedOperation::create(Author::Admin(&room.admin), vec![], large, &room.hash());
    assert_eq!(made, Err(OperationTooLarge::Body));
}

#[test]
fn control_messages_have_one_sealed_form() {
    let mut room = Room::new(12, 2);
    let announcement = room.issue().announcement;
    let role = Operation::Role {
        identity: room.members[1].identity.key(),
        role: Role::Member,
    };
    let role = SignedOperation::create(Author::Admin(&room.admin), vec![], role, &room.hash()).unwrap();
    let record = UnverifiedRecord::decode(&room.members[0].leaf.encode()).unwrap();
    for message in [
        ControlMessage::Record(record),
        ControlMessage::Operation(role.to_unverified()),
        ControlMessage::Announcement(announcement.to_unverified()),
    ] {
        let sealed = control::seal(room.keys.control(), &message).unwrap();
        assert_eq!(control::seal(room.keys.control(), &message).unwrap(), sealed);
        assert_eq!(control::open(room.keys.control(), &sealed), Ok(message));
        let other = Room::new(13, 0);
        assert_eq!(control::open(other.keys.control(), &sealed), Err(ControlError::Forged));
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 0x40;
            control::open(room.keys.control(), &bad).unwrap_err();
        }
    }
}

#[test]
fn a_policy_speaks_of_people_and_seconds() {
    let policy = Policy::default();
    assert_eq!(
        (policy.max_participants, policy.retention_s, policy.grace_s),
        (100, 86_400, 604_800)
    );
    assert!(!policy.listed && !policy.history && !policy.approval);
}
