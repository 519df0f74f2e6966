//! Epochs: who can open a box, who is to blame for a bad one, what an announcement is bound to.

use snug_crypto::{
    GenesisHash, LeafId, Psk, bounds,
    epoch::{
        self, AnnouncementError, BoxError, IssueError, IssueParams, Issued, MemberEntry, Round, SealedBox,
        UnverifiedAnnouncement,
    },
    merkle,
};

use crate::fixture::Room;

fn box_of(issued: &Issued, leaf: LeafId) -> SealedBox {
    issued.boxes.iter().find(|sealed| sealed.leaf == leaf).unwrap().clone()
}

#[test]
fn every_member_opens_its_box_to_the_same_epoch() {
    for members in [1, 2, 3, 7] {
        let mut room = Room::new(1, members);
        let issued = room.issue();
        for member in &room.members {
            let sealed = box_of(&issued, member.leaf.id());
            let decoded = SealedBox::decode(&sealed.encode()).unwrap();
            let secrets =
                epoch::open_box(&issued.announcement, &decoded, &member.secrets.kem, room.keys.psk()).unwrap();
            assert_eq!(secrets.epoch_id(), issued.announcement.epoch_id());
            assert_eq!(secrets.export().expose(), issued.secrets.export().expose());
        }
    }
}

#[test]
fn a_box_is_for_its_member_under_its_generation() {
    let mut room = Room::new(2, 3);
    let issued = room.issue();
    let sealed = box_of(&issued, room.members[1].leaf.id());
    let other = &room.members[2].secrets.kem;
    let open = |sealed: &SealedBox, kem, psk: &Psk| epoch::open_box(&issued.announcement, sealed, kem, psk).err();
    assert_eq!(open(&sealed, other, room.keys.psk()), Some(BoxError::NotForUs));
    let stranger = SealedBox {
        leaf: LeafId::from_bytes([9; 16]),
        ..sealed.clone()
    };
    assert_eq!(open(&stranger, other, room.keys.psk()), Some(BoxError::NotForUs));
    // Without the Room Key's generation the KEM secret alone opens nothing. Who asks has checked the generation.
    let kem = &room.members[1].secrets.kem;
    assert_eq!(
        open(&sealed, kem, &Psk::from_bytes([0; 32])),
        Some(BoxError::IssuerFault)
    );
}

#[test]
fn a_damaged_box_is_the_fault_of_who_served_it() {
    let mut room = Room::new(3, 4);
    let issued = room.issue();
    let member = &room.members[2];
    let sealed = box_of(&issued, member.leaf.id());
    let blame = |sealed: &SealedBox| {
        epoch::open_box(&issued.announcement, sealed, &member.secrets.kem, room.keys.psk()).unwrap_err()
    };
    for at in [0, 500, 1_119, 1_120, sealed.ciphertext.len() - 1] {
        let mut bad = sealed.clone();
        bad.ciphertext[at] ^= 1;
        assert_eq!(blame(&bad), BoxError::ServerFault);
    }
    let mut bad = sealed.clone();
    bad.path[0][0] ^= 1;
    assert_eq!(blame(&bad), BoxError::ServerFault);
    let swapped = SealedBox {
        leaf: sealed.leaf,
        ..box_of(&issued, room.members[1].leaf.id())
    };
    assert_eq!(blame(&swapped), BoxError::ServerFault, "another member's box");
    assert!(sealed.is_of(&issued.announcement) && !swapped.is_of(&issued.announcement));
}

/// An issuer that commits to one secret and boxes another, properly signed: what an honest implementation can't make.
#[test]
fn a_box_that_the_issuer_made_badly_is_proven_its_fault() {
    let mut room = Room::new(4, 2);
    let honest = room.issue();
    let victim = &room.members[1];
    let mut boxes = honest.boxes.clone();
    let index = boxes.iter().position(|sealed| sealed.leaf == victim.leaf.id()).unwrap();
    boxes[index].ciphertext[1_130] ^= 1;
    let leaves: Vec<_> = boxes
        .iter()
        .map(|sealed| merkle::leaf(&sealed.leaf, &sealed.ciphertext))
        .collect();
    let (root, paths) = merkle::build(&leaves).unwrap();
    boxes[index].path.clone_from(&paths[index]);
    let forged = resign(&room, &honest, root);
    let error = epoch::open_box(&forged, &boxes[index], &victim.secrets.kem, room.keys.psk()).unwrap_err();
    assert_eq!(error, BoxError::IssuerFault);
}

/// What an issuer that speaks a later version seals is of no use here, and nobody's fault; what only looks like one is the issuer's.
#[test]
fn a_box_of_a_later_version_blames_nobody() {
    let mut room = Room::new(6, 3);
    let issued = room.issue();
    // `01 ‖ es(32) ‖ count of extensions u32`, and what is there instead.
    let with = |extensions: &[u8]| [&[1][..], &[7; 32], extensions].concat();
    let later = [
        [&[2][..], &[7; 32], &[0; 4]].concat(),
        vec![2],
        with(&[0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0]),
        with(&[0, 0, 0, 1, 0xFF, 0xFF, 0, 0, 0, 1, 9]),
    ];
    let bad = [
        Vec::new(),
        vec![1],
        with(&[]),
        with(&[0, 0, 0, 0, 9]),
        with(&[0, 0, 0, 2, 0x80, 0]),
        // In form, and not the secret that was committed to.
        with(&[0; 4]),
        with(&[0, 0, 0, 1, 0, 9, 0, 0, 0, 0]),
    ];
    for text in later {
        assert_eq!(opened_as(&room, &issued, &text), BoxError::Unsupported, "{text:?}");
    }
    for text in bad {
        assert_eq!(opened_as(&room, &issued, &text), BoxError::IssuerFault, "{text:?}");
    }
}

/// What becomes of the last member's box if this is sealed in it in place of what was, by the issuer itself.
fn opened_as(room: &Room, issued: &Issued, text: &[u8]) -> BoxError {
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
    use snug_crypto::{kdf, label};
    use x_wing::{Decapsulate, DecapsulationKey};
    let victim = room.members.last().unwrap();
    let mut boxes = issued.boxes.clone();
    let index = boxes.iter().position(|sealed| sealed.leaf == victim.leaf.id()).unwrap();
    let encapsulated: [u8; 1_120] = boxes[index].ciphertext[..1_120].try_into().unwrap();
    let shared = DecapsulationKey::from(*victim.secrets.kem.to_seed()).decapsulate(&encapsulated.into());
    let bytes = issued.announcement.encode();
    let head = &bytes[..bytes.len() - (1 + 4 + room.members.len() * 52) - 128];
    let context = kdf::hash(label::CONTEXT, &[room.hash().as_bytes(), head]);
    let key = kdf::expand(
        &*kdf::extract(room.keys.psk().expose(), &shared[..]),
        label::BOX,
        &[&context, victim.leaf.id().as_bytes()],
    );
    let cipher = ChaCha20Poly1305::new((&*key).into());
    let mut sealed = boxes[index].ciphertext[1_120..].to_vec();
    cipher
        .decrypt_in_place(&[0; 12].into(), &[], &mut sealed)
        .expect("the key is the right one");
    let mut sealed = text.to_vec();
    cipher.encrypt_in_place(&[0; 12].into(), &[], &mut sealed).unwrap();
    boxes[index].ciphertext.truncate(1_120);
    boxes[index].ciphertext.extend(sealed);
    let leaves: Vec<_> = boxes
        .iter()
        .map(|sealed| merkle::leaf(&sealed.leaf, &sealed.ciphertext))
        .collect();
    let (root, paths) = merkle::build(&leaves).unwrap();
    boxes[index].path.clone_from(&paths[index]);
    let announcement = resign(room, issued, root);
    epoch::open_box(&announcement, &boxes[index], &victim.secrets.kem, room.keys.psk()).unwrap_err()
}

/// The same announcement over another box root, signed by the issuer again.
fn resign(room: &Room, issued: &Issued, root: [u8; 32]) -> epoch::Announcement {
    use ed25519_dalek::Signer;
    use snug_crypto::{kdf, label};
    let announcement = &issued.announcement;
    let mut bytes = announcement.encode();
    let members = 1 + 4 + announcement.members().len() * 52;
    let at = bytes.len() - members - 64 - 32;
    bytes[at..at + 32].copy_from_slice(&root);
    let digest = kdf::hash(label::ANNOUNCEMENT, &[announcement.epoch_id().as_bytes(), &root]);
    let message = [&b"snug/1 sign announcement\0"[..], room.hash().as_bytes(), &digest].concat();
    let key = ed25519_dalek::SigningKey::from_bytes(&room.members[0].secrets.signing.to_seed());
    bytes[at + 32..at + 96].copy_from_slice(&key.sign(&message).to_bytes());
    let unverified = UnverifiedAnnouncement::decode(&bytes).unwrap();
    unverified.verify(&room.hash(), |leaf| room.key_of(leaf)).unwrap()
}

#[test]
fn an_announcement_is_its_issuers_in_its_room() {
    let mut room = Room::new(5, 3);
    let issued = room.issue();
    let bytes = issued.announcement.encode();
    let decode = || UnverifiedAnnouncement::decode(&bytes).unwrap();
    assert_eq!(
        decode().verify(&room.hash(), |leaf| room.key_of(leaf)),
        Ok(issued.announcement.clone())
    );
    assert_eq!(decode().epoch_id(&room.hash()), issued.announcement.epoch_id());
    assert_eq!(
        decode().verify(&room.hash(), |_| None),
        Err(AnnouncementError::UnknownIssuer)
    );
    let other = *room.members[1].leaf.key();
    assert_eq!(
        decode().verify(&room.hash(), |_| Some(other)),
        Err(AnnouncementError::BadSignature)
    );
    let elsewhere = GenesisHash::from_bytes([0; 32]);
    assert_eq!(
        decode().verify(&elsewhere, |leaf| room.key_of(leaf)),
        Err(AnnouncementError::BadSignature)
    );
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let verified = UnverifiedAnnouncement::decode(&bad)
            .map(|unverified| unverified.verify(&room.hash(), |leaf| room.key_of(leaf)));
        assert!(!matches!(verified, Ok(Ok(_))), "bit {bit}");
    }
}

#[test]
fn what_can_not_be_an_epoch_is_not_issued() {
    let mut room = Room::new(6, 2);
    let kems: Vec<_> = room.members.iter().map(|member| member.leaf.kem().clone()).collect();
    let entries: Vec<_> = room
        .members
        .iter()
        .map(|member| MemberEntry::of(&member.leaf))
        .collect();
    let (alice, genesis) = (room.members[0].leaf.id(), room.hash());
    let stranger = LeafId::from_bytes([1; 16]);
    let mut issue = |members: &[(MemberEntry, &_)], issuer, custodians| {
        let round = Round::of_day(0);
        let params = IssueParams {
            generation: room.keys.generation(),
            round,
            issuer,
            custodians,
            members,
        };
        epoch::issue(
            &mut room.rng,
            room.keys.psk(),
            &genesis,
            params,
            &room.members[0].secrets.signing,
        )
        .err()
    };
    let good = [(entries[0], &kems[0]), (entries[1], &kems[1])];
    assert_eq!(issue(&good, alice, vec![alice]), None);
    assert_eq!(issue(&[], alice, vec![]), Some(IssueError::MemberCount));
    assert_eq!(issue(&[good[0], good[0]], alice, vec![]), Some(IssueError::Duplicate));
    assert_eq!(issue(&good, stranger, vec![]), Some(IssueError::NotAMember));
    assert_eq!(issue(&good, alice, vec![stranger]), Some(IssueError::NotAMember));
    assert_eq!(
        issue(&[good[0], (entries[1], &kems[0])], alice, vec![]),
        Some(IssueError::WrongKey)
    );
}

#[test]
fn members_of_a_large_epoch_travel_apart() {
    let mut room = Room::new(7, 1);
    let alice = MemberEntry::of(&room.members[0].leaf);
    let kem = room.members[0].leaf.kem().clone();
    // Entries need a key each, but not one that somebody holds: one key serves them all.
    let mut members = vec![(alice, &kem)];
    for number in 0..bounds::MAX_INLINE_MEMBERS {
        let mut leaf = [0; 16];
        leaf[..8].copy_from_slice(&(number as u64).to_be_bytes());
        members.push((
            MemberEntry {
                leaf: LeafId::from_bytes(leaf),
                ..alice
            },
            &kem,
        ));
    }
    let genesis = room.hash();
    let round = Round { day: 1, counter: 2 };
    let params = IssueParams {
        generation: room.keys.generation(),
        round,
        issuer: alice.leaf,
        custodians: vec![],
        members: &members,
    };
    let issued = epoch::issue(
        &mut room.rng,
        room.keys.psk(),
        &genesis,
        params,
        &room.members[0].secrets.signing,
    )
    .unwrap();
    let bytes = issued.announcement.encode();
    assert!(bytes.len() < 1_000);
    let unverified = UnverifiedAnnouncement::decode(&bytes).unwrap();
    assert!(unverified.needs_members());
    let verify = |unverified: UnverifiedAnnouncement| unverified.verify(&genesis, |leaf| room.key_of(leaf));
    assert_eq!(verify(unverified.clone()), Err(AnnouncementError::MembersMissing));
    // Its signature tells that it is genuine all the same: it can be handed on.
    let signed = |unverified: &UnverifiedAnnouncement| unverified.verify_signature(&genesis, |leaf| room.key_of(leaf));
    assert_eq!(signed(&unverified), Ok(()));
    assert_eq!(
        unverified.verify_signature(&genesis, |_| None),
        Err(AnnouncementError::UnknownIssuer)
    );
    let end_of_signature = bytes.len() - 2;
    let mut forged = bytes.clone();
    forged[end_of_signature] ^= 1;
    let forged = UnverifiedAnnouncement::decode(&forged).unwrap();
    assert_eq!(signed(&forged), Err(AnnouncementError::BadSignature));
    let entries = issued.announcement.members().to_vec();
    assert!(unverified.clone().with_members(entries[1..].to_vec()).is_err());
    let mut shuffled = entries.clone();
    shuffled.swap(0, 1);
    assert!(unverified.clone().with_members(shuffled).is_err());
    assert_eq!(
        verify(unverified.with_members(entries).unwrap()),
        Ok(issued.announcement)
    );
}

#[test]
fn a_round_is_plausible_up_to_a_day_ahead() {
    let now = 1_700_000_000_000;
    let today = Round::of_day(now);
    assert!(
        Round {
            day: today.day + 1,
            counter: 9
        }
        .is_plausible(now)
    );
    assert!(
        !Round {
            day: today.day + 2,
            counter: 0
        }
        .is_plausible(now)
    );
    assert!(Round { day: 0, counter: 0 }.is_plausible(now));
    assert!(
        Round {
            day: today.day,
            counter: 1
        } > today
    );
}
