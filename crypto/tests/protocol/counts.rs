//! Lists and lengths at exactly their bounds, and one above: custodians, members that stand in an announcement, paths and plaintexts of boxes.

use sha2::{Digest, Sha256};
use snug_crypto::{
    EpochId, IdentityKey, LeafId, bounds,
    epoch::{self, IssueError, IssueParams, Issued, MemberEntry, Round, SealedBox, UnverifiedAnnouncement},
    kem::KEM_CIPHERTEXT,
    wire::DecodeError,
};

use crate::fixture::Room;

/// An epoch of somebody and as many others as it takes, whose keys nobody holds.
fn issue(room: &mut Room, members: usize, custodians: usize) -> Result<Issued, IssueError> {
    let alice = MemberEntry::of(&room.members[0].leaf);
    let kem = room.members[0].leaf.kem().clone();
    let mut entries = vec![(alice, &kem)];
    for number in 1..members {
        let mut leaf = [0; 16];
        leaf[8..].copy_from_slice(&(number as u64).to_be_bytes());
        let leaf = LeafId::from_bytes(leaf);
        entries.push((MemberEntry { leaf, ..alice }, &kem));
    }
    let genesis = room.hash();
    let params = IssueParams {
        generation: room.keys.generation(),
        round: Round { day: 1, counter: 2 },
        issuer: alice.leaf,
        custodians: entries.iter().take(custodians).map(|(entry, _)| entry.leaf).collect(),
        members: &entries,
    };
    let signer = room.members[0].secrets.signing.clone();
    epoch::issue(&mut room.rng, room.keys.psk(), &genesis, params, &signer)
}

fn too_long(bytes: &[u8]) -> bool {
    matches!(UnverifiedAnnouncement::decode(bytes), Err(DecodeError::TooLong { .. }))
}

#[test]
fn an_epoch_has_as_many_custodians_as_its_bound() {
    let mut room = Room::new(61, 1);
    let issued = issue(&mut room, 10, bounds::MAX_CUSTODIANS).unwrap();
    let bytes = issued.announcement.encode();
    let decoded = UnverifiedAnnouncement::decode(&bytes).unwrap();
    let verified = decoded.verify(&room.hash(), |leaf| room.key_of(leaf)).unwrap();
    assert_eq!(verified.header().custodians.len(), bounds::MAX_CUSTODIANS);
    for over in [1, 2] {
        let refused = issue(&mut room, 10, bounds::MAX_CUSTODIANS + over);
        assert_eq!(refused.err(), Some(IssueError::NotAMember));
    }
    // One more in the list, behind kind, generation, round and issuer, and behind all others.
    let (count, end) = (65, 69 + 16 * bounds::MAX_CUSTODIANS);
    let one_more = u8::try_from(bounds::MAX_CUSTODIANS + 1).unwrap();
    let more = [
        &bytes[..count],
        &[0, 0, 0, one_more],
        &bytes[count + 4..end],
        &[0xFF; 16],
        &bytes[end..],
    ];
    assert!(too_long(&more.concat()));
}

#[test]
fn an_announcement_holds_as_many_members_as_its_bound() {
    let mut room = Room::new(62, 1);
    for (members, apart) in [
        (bounds::MAX_INLINE_MEMBERS, false),
        (bounds::MAX_INLINE_MEMBERS + 1, true),
    ] {
        let issued = issue(&mut room, members, 1).unwrap();
        let bytes = issued.announcement.encode();
        let decoded = UnverifiedAnnouncement::decode(&bytes).unwrap();
        assert_eq!(decoded.needs_members(), apart, "{members}");
        assert_eq!(bytes.len() > 52 * bounds::MAX_INLINE_MEMBERS, !apart, "{members}");
        let whole = issued.announcement.to_unverified_with_members();
        assert!(whole.verify(&room.hash(), |leaf| room.key_of(leaf)).is_ok());
        if apart {
            // An option of a list with them all: so many don't stand there.
            let mut listed = bytes[..bytes.len() - 1].to_vec();
            listed.extend([1, 0, 0, 1, 1]);
            listed.extend(vec![0; 52 * members]);
            assert!(too_long(&listed));
        }
    }
}

#[test]
fn a_box_has_a_path_and_a_plaintext_within_their_bounds() {
    const TAG: usize = 16;
    let sealed = |plaintext, path| SealedBox {
        leaf: LeafId::from_bytes([1; 16]),
        ciphertext: vec![2; KEM_CIPHERTEXT + plaintext + TAG],
        path: vec![[3; 32]; path],
    };
    let (plaintext, path) = (bounds::MAX_BOX_PLAINTEXT, bounds::MAX_PATH);
    let most = sealed(plaintext, path);
    assert_eq!(SealedBox::decode(&most.encode()), Ok(most));
    for more in [sealed(plaintext + 1, 0), sealed(0, path + 1)] {
        assert!(matches!(
            SealedBox::decode(&more.encode()),
            Err(DecodeError::TooLong { .. })
        ));
    }
}

/// Nobody checks anybody's rank: members who compute it otherwise issue at the same moment, and nothing fails.
#[test]
fn the_order_of_issuing_is_the_documented_one() {
    let (identity, best) = (IdentityKey::from_bytes([7; 32]), EpochId::from_bytes([8; 32]));
    for (known, best_or_zeros) in [(Some(&best), [8; 32]), (None, [0; 32])] {
        let length = 32u32.to_be_bytes();
        let rank = Sha256::new_with_prefix(b"snug/1 rank")
            .chain_update(length)
            .chain_update([7; 32])
            .chain_update(length)
            .chain_update(best_or_zeros);
        assert_eq!(epoch::issue_rank(&identity, known)[..], rank.finalize()[..]);
    }
}
