//! Every decoder under random bytes, damaged bytes and honest ones: it never panics, it takes one encoding of a value and
//! no other, and refuses what follows after the end.

use std::sync::LazyLock;

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    AdminKey, ControlKey, EpochId, ExportKey, Generation, GenerationKeys, Genesis, GenesisHash, IdentityKey, IntroKey,
    LeafId, MeshKey, OperationHash, PeerKey, RoomKey, RoomRandom, Topic,
    approval::Approval,
    capsule::{AdminCapsule, Capsule},
    control::{self, ControlMessage},
    credential::{CERTIFICATE_LEN, Certificate, Listing, Rank, SignedCertificate},
    direct::{Bundle, DirectReply, DirectRequest, EpochVector, ReceiptMark, SenderVector, Wants},
    epoch::{NewKey, SealedBox, UnverifiedAnnouncement},
    hand_over,
    invite::{Invite, Serverless},
    kdf,
    keeper::{Grant, Granter, KeeperReply, KeeperRequest, KeeperSecrets, KeptItem, UnverifiedGrant},
    label,
    leaf::{Leave, UnverifiedRecord},
    object::UnverifiedObject,
    operation::{Author, Operation, OperationKind, Role, SignedOperation, UnverifiedOperation},
    presence::PresenceRecord,
};

use crate::fixture::Room;

/// Decodes and encodes again; `None` if the bytes are refused.
type Codec = fn(&[u8]) -> Option<Vec<u8>>;

const CODECS: &[(&str, Codec)] = &[
    ("genesis", |b| Genesis::decode(b).ok().map(|v| v.encode())),
    ("record", |b| {
        UnverifiedRecord::decode(b).ok().map(|v| v.encode().to_vec())
    }),
    ("operation", |b| UnverifiedOperation::decode(b).ok().map(|v| v.encode())),
    ("announcement", |b| {
        UnverifiedAnnouncement::decode(b).ok().map(|v| v.encode())
    }),
    ("box", |b| SealedBox::decode(b).ok().map(|v| v.encode())),
    ("request", |b| {
        DirectRequest::decode(b).ok().map(|v| v.encode().unwrap())
    }),
    ("reply", |b| DirectReply::decode(b).ok().map(|v| v.encode().unwrap())),
    ("object", |b| {
        UnverifiedObject::decode(b).ok().map(|v| v.encode().unwrap())
    }),
    ("approval", |b| Approval::decode(b).ok().map(|v| v.encode())),
    ("grant", |b| UnverifiedGrant::decode(b).ok().map(|v| v.encode())),
    ("keeper's request", |b| {
        KeeperRequest::decode(b).ok().map(|v| v.encode().unwrap())
    }),
    ("keeper's reply", |b| {
        KeeperReply::decode(b).ok().map(|v| v.encode().unwrap())
    }),
];

/// What a keeper and members say to each other.
fn keepers(room: &Room) -> Vec<(usize, Vec<u8>)> {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let offer = KeeperSecrets::generate(&mut rng).offer(Vec::new());
    let generation = Generation::first(&room.hash());
    let grant = Grant {
        generation,
        topic: Topic([4; 32]),
        keep: &MeshKey::from_bytes([5; 32]),
        before: generation,
        at_ms: 9,
        object: None,
    };
    let grant = grant
        .create(Granter::Admin(&room.admin), &offer, &room.hash(), &mut rng)
        .unwrap();
    let item = KeptItem {
        tag: [6; 8],
        name: [7; 16],
    };
    let requests = [
        KeeperRequest::Deposit(vec![vec![1; 40], vec![]]),
        KeeperRequest::Holdings {
            store: [1; 8],
            after: 2,
        },
        KeeperRequest::Fetch(vec![[3; 16]]),
        KeeperRequest::Generation {
            generation,
            grant: Some((grant.encode(), Some(vec![8; 50]))),
        },
    ];
    let replies = [
        KeeperReply::Kept,
        KeeperReply::Holdings {
            store: [1; 8],
            items: vec![item],
            next: 3,
            more: true,
        },
        KeeperReply::Items(vec![vec![1; 40]]),
        KeeperReply::Generation(Some(vec![8; 50])),
    ];
    let requests = requests.iter().map(|request| (10, request.encode().unwrap()));
    let replies = replies.iter().map(|reply| (11, reply.encode().unwrap()));
    std::iter::once((9, grant.encode()))
        .chain(requests)
        .chain(replies)
        .collect()
}

/// Honest encodings, each with its codec's place in [`CODECS`].
static HONEST: LazyLock<Vec<(usize, Vec<u8>)>> = LazyLock::new(|| {
    let mut room = Room::new(1, 3);
    let issued = room.issue();
    let (id, epoch) = (room.members[1].identity.key(), issued.announcement.epoch_id());
    let author = Author::Admin(&room.admin);
    let role = Operation::Role {
        identity: id,
        role: Role::Moderator,
    };
    let role = SignedOperation::create(author, vec![OperationHash::from_bytes([1; 32])], role, &room.hash()).unwrap();
    let other = Operation::Unknown {
        kind: OperationKind(900),
        body: vec![1, 2, 3],
    };
    let other = SignedOperation::create(author, vec![], other, &room.hash()).unwrap();
    let leave = Leave::create(&room.members[0].identity, 9, 0, &room.hash());
    let record = |bytes: &[u8]| UnverifiedRecord::decode(bytes).unwrap();
    let bundle = Bundle {
        records: vec![record(&room.members[0].leaf.encode()), record(&leave.encode())],
        operations: vec![role.to_unverified(), other.to_unverified()],
        announcements: vec![issued.announcement.to_unverified()],
    };
    let (leaf, operation) = (LeafId::from_bytes([3; 16]), role.hash());
    let vector = EpochVector {
        epoch,
        senders: vec![SenderVector {
            leaf,
            next: 4,
            extra: vec![6, 9],
        }],
    };
    let requests = [
        DirectRequest::Sync {
            records: vec![(id, 7)],
            operations: vec![operation],
            epochs: vec![epoch],
        },
        DirectRequest::Compare { digest: [5; 32] },
        DirectRequest::Push(bundle.clone()),
        DirectRequest::Box { epoch, leaf },
        DirectRequest::Boxes { epoch, skip: 3 },
        DirectRequest::Members { epoch },
        DirectRequest::Receipt {
            marks: vec![ReceiptMark {
                epoch,
                held: 9,
                delivered: 7,
                read_from: 2,
                read: 5,
            }],
        },
        DirectRequest::Frames { have: vec![vector] },
        DirectRequest::Approval {
            identity: id,
            generation: room.keys.generation(),
        },
    ];
    let wants = Wants {
        records: vec![id],
        operations: vec![operation],
        epochs: vec![epoch],
    };
    let approval = Approval::sign(author, &id, room.keys.generation(), &room.hash());
    let replies = [
        DirectReply::Sync {
            bundle,
            wants,
            more: true,
        },
        DirectReply::Compare { same: false },
        DirectReply::Done,
        DirectReply::Box(None),
        DirectReply::Box(Some(issued.boxes[0].clone())),
        DirectReply::Boxes(issued.boxes.clone()),
        DirectReply::Members(issued.announcement.members().to_vec()),
        DirectReply::Frames(vec![vec![1; 40], vec![]]),
        DirectReply::Noted,
        DirectReply::Approval(Some(approval.clone())),
    ];
    let object = UnverifiedObject {
        log: vec![role.to_unverified(), other.to_unverified()],
        issuer: record(&room.members[0].leaf.encode()),
        announcement: issued.announcement.to_unverified(),
        boxes: issued.boxes.clone(),
    };
    let mut honest = vec![
        (0, room.genesis.encode()),
        (1, room.members[0].leaf.encode()),
        (1, leave.encode()),
        (2, role.encode()),
        (2, other.encode()),
        (3, issued.announcement.encode()),
        (4, issued.boxes[0].encode()),
    ];
    honest.push((7, object.encode().unwrap()));
    honest.push((8, approval.encode()));
    honest.extend(keepers(&room));
    honest.extend(requests.iter().map(|request| (5, request.encode().unwrap())));
    honest.extend(replies.iter().map(|reply| (6, reply.encode().unwrap())));
    honest
});

static HANDED: LazyLock<Room> = LazyLock::new(|| Room::new(4, 1));

#[test]
fn honest_bytes_round_trip_and_neither_less_nor_more_is_taken() {
    for (codec, bytes) in HONEST.iter() {
        let (name, codec) = CODECS[*codec];
        assert_eq!(codec(bytes).as_ref(), Some(bytes), "{name}");
        for len in 0..bytes.len() {
            assert_eq!(codec(&bytes[..len]), None, "{name} cut at {len}");
        }
        for extra in [0, 1, 0xFF] {
            assert_eq!(
                codec(&[bytes.as_slice(), &[extra]].concat()),
                None,
                "{name} with {extra} after it"
            );
        }
    }
}

#[test]
fn a_length_bomb_costs_nothing() {
    for (codec, bytes) in HONEST.iter() {
        let (name, codec) = CODECS[*codec];
        for at in 0..bytes.len().saturating_sub(3).min(2_000) {
            let mut bomb = bytes.clone();
            bomb[at..at + 4].fill(0xFF);
            if let Some(again) = codec(&bomb) {
                assert_eq!(again, bomb, "{name} at {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(kind in 0u8..10, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&[kind], bytes.as_slice()].concat();
        for (name, codec) in CODECS {
            if let Some(again) = codec(&bytes) {
                prop_assert_eq!(&again, &bytes, "{}", name);
            }
        }
    }

    #[test]
    fn damaged_bytes(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let (codec, bytes) = which.get(&HONEST);
        let mut bytes = bytes.clone();
        for (at, value, edit) in edits {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match edit {
                0 if at < bytes.len() => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => (),
            }
        }
        let (name, codec) = CODECS[*codec];
        if let Some(again) = codec(&bytes) {
            prop_assert_eq!(again, bytes, "{}", name);
        }
    }

    /// What stands inside a seal comes from somebody who holds the key: it must be survived, too.
    #[test]
    fn sealed_random_bytes(kind in 0u8..10, plaintext in prop::collection::vec(any::<u8>(), 0..300)) {
        let plaintext = [&[kind], plaintext.as_slice()].concat();
        let key = [7; 32];
        let control = ControlKey::from_bytes(key);
        let mac = kdf::mac(&key, label::CONTROL_NONCE, &[&plaintext]);
        let sealed = seal(&key, 2, mac[..24].try_into().unwrap(), &plaintext);
        if let Ok(message) = control::open(&control, &sealed) {
            prop_assert_eq!(control::seal(&control, &message).unwrap(), sealed);
        }
        let _ = PresenceRecord::open(&IntroKey::from_bytes(key), &seal(&key, 3, [1; 24], &plaintext));
        let export = ExportKey::from_bytes([8; 64]);
        let key = kdf::expand(&[8; 64], label::CAPSULE, &[]);
        let _ = Capsule::open(&export, &seal(&key, 4, [1; 24], &plaintext));
        let key = kdf::expand(&[8; 64], label::ADMIN_CAPSULE, &[]);
        let _ = AdminCapsule::open(&export, &seal(&key, 5, [1; 24], &plaintext));
    }

    /// Certificates are of one length and hold together by their signature: any bytes come back as they are, and no change verifies.
    #[test]
    fn certificates(bytes in prop::collection::vec(any::<u8>(), CERTIFICATE_LEN), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let bytes: [u8; CERTIFICATE_LEN] = bytes.try_into().unwrap();
        let admin = AdminKey::from_seed(&[5; 32]);
        let signed = SignedCertificate::from_bytes(bytes);
        prop_assert_eq!(signed.to_bytes(), bytes);
        prop_assert!(signed.verify(&admin.public()).is_err());

        let certificate = Certificate {
            genesis_hash: GenesisHash::from_bytes(bytes[..32].try_into().unwrap()),
            key: bytes[32..64].try_into().unwrap(),
            rank: if bytes[64] & 1 == 0 { Rank::Moderator } else { Rank::Admin },
            serial: u32::from_be_bytes(bytes[65..69].try_into().unwrap()),
            expires_at_ms: u64::from_be_bytes(bytes[69..77].try_into().unwrap()),
        };
        let mut honest = certificate.sign(&admin).to_bytes();
        let verified = SignedCertificate::from_bytes(honest).verify(&admin.public());
        prop_assert_eq!(verified, Ok(certificate));
        honest[at.index(CERTIFICATE_LEN)] ^= flip;
        prop_assert!(SignedCertificate::from_bytes(honest).verify(&admin.public()).is_err());
    }

    #[test]
    fn listings(
        bytes in prop::collection::vec(any::<u8>(), 0..300), rightly_signed in any::<bool>(),
        room_id in "\\PC{1,64}|.{0,80}", description in "\\PC{0,60}|.{0,90}",
    ) {
        let admin = AdminKey::from_seed(&[5; 32]);
        let genesis_hash = GenesisHash::from_bytes([6; 32]);
        // Any bytes, also such as the admin key itself signed.
        let mut body = bytes;
        if rightly_signed {
            body = [&[1], &genesis_hash.as_bytes()[..], admin.public().as_bytes(), &body].concat();
            let digest = kdf::hash(label::LISTING, &[&body]);
            let signed = [kdf::PREFIX, label::SIGN_LISTING.as_bytes(), &[0], &genesis_hash.as_bytes()[..], &digest].concat();
            let key = ed25519_dalek::SigningKey::from_bytes(&admin.to_seed());
            body.extend(ed25519_dalek::Signer::sign(&key, &signed).to_bytes());
        }
        if let Ok(listing) = Listing::open(&body) {
            prop_assert_eq!(listing.sign(&admin), body);
        }
        let listing = Listing { genesis_hash, admin: admin.public(), room_id, description };
        let signed = listing.sign(&admin);
        if let Ok(opened) = Listing::open(&signed) {
            prop_assert_eq!(opened.sign(&admin), signed);
            prop_assert_eq!(opened, listing);
        }
    }

    /// What was handed over is one form of one key, and nothing else opens.
    #[test]
    fn handed_room_keys(
        bytes in prop::collection::vec(any::<u8>(), 0..1300), key in "[a-z ]{5,60}",
        at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let room = &*HANDED;
        let (member, handle) = (&room.members[0], room.genesis.handle());
        let random = RoomRandom::from_bytes([9; 32]);
        let room_key = RoomKey::parse(&key).unwrap();
        let generation = room.keys.generation();
        let commit = GenerationKeys::derive(&room_key, &random, &handle, generation).commit();
        let open = |bytes: &[u8]| {
            let (kem, id) = (&member.secrets.kem, member.leaf.id());
            hand_over::open(bytes, kem, generation, &room.hash(), &id, &handle, &commit)
        };
        prop_assert!(open(&bytes).is_none());
        let new = NewKey { room_key: &room_key, random: &random };
        let mut sealed =
            hand_over::seal(&mut ChaCha20Rng::seed_from_u64(3), new, generation, &room.hash(), &member.leaf).unwrap();
        let handed = open(&sealed).unwrap();
        prop_assert_eq!(handed.room_key.reveal(), room_key.reveal());
        prop_assert_eq!(handed.random.expose(), random.expose());
        let at = at.index(sealed.len());
        sealed[at] ^= flip;
        prop_assert!(open(&sealed).is_none(), "flipped at {}", at);
    }

    #[test]
    fn sealed_damaged_control_messages(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let key = ControlKey::from_bytes([7; 32]);
        for (codec, kind) in [(1, 1u8), (2, 2), (3, 3)] {
            let (_, honest) = HONEST.iter().find(|(index, _)| *index == codec).unwrap();
            let mut plaintext = [&[kind], honest.as_slice()].concat();
            let at = at.index(plaintext.len());
            plaintext[at] = value;
            let mac = kdf::mac(&[7; 32], label::CONTROL_NONCE, &[&plaintext]);
            let sealed = seal(&[7; 32], 2, mac[..24].try_into().unwrap(), &plaintext);
            if let Ok(message) = control::open(&key, &sealed) {
                prop_assert_eq!(control::seal(&key, &message).unwrap(), sealed);
            }
        }
    }

    #[test]
    fn any_invite_round_trips(
        server in any::<Option<String>>().prop_filter("bound", |s| s.as_ref().is_none_or(|s| s.len() <= 512)),
        key in "[a-z ]{5,60}", hash in any::<[u8; 32]>(),
        serverless in any::<Option<(u64, [u8; 32], [u8; 32])>>(),
        addresses in prop::collection::vec("[ -~]{0,80}", 0..4),
    ) {
        let invite = Invite {
            server,
            room_id: snug_crypto::RoomId::parse("den").unwrap(),
            room_key: snug_crypto::RoomKey::parse(&key).unwrap(),
            genesis_hash: snug_crypto::GenesisHash::from_bytes(hash),
            serverless: serverless.map(|(count, hash, random)| Serverless {
                generation: Generation { count, hash: OperationHash::from_bytes(hash) },
                random: RoomRandom::from_bytes(random),
            }),
            genesis: None,
            addresses,
        };
        let text = invite.to_text().unwrap();
        let back = Invite::parse(&text).unwrap();
        let again = back.to_text().unwrap();
        prop_assert_eq!(again.as_str(), text.as_str());
        prop_assert_eq!(back.room_key.reveal(), invite.room_key.reveal());
        prop_assert_eq!((back.server, back.addresses), (invite.server, invite.addresses));
    }

    #[test]
    fn any_text_is_an_invite_or_refused(text in "(snug1)?[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{0,200}|.{0,60}") {
        let _ = Invite::parse(&text);
    }
}

#[test]
fn control_messages_hold_what_they_held() {
    let room = Room::new(2, 1);
    let record = UnverifiedRecord::decode(&room.members[0].leaf.encode()).unwrap();
    let sealed = control::seal(room.keys.control(), &ControlMessage::Record(record.clone())).unwrap();
    assert_eq!(
        control::open(room.keys.control(), &sealed),
        Ok(ControlMessage::Record(record))
    );
}

#[test]
fn ids_of_all_kinds_are_taken_from_slices_of_their_size_only() {
    assert!(EpochId::from_slice(&[0; 32]).is_some() && EpochId::from_slice(&[0; 31]).is_none());
    assert!(PeerKey::from_slice(&[0; 33]).is_none() && IdentityKey::from_slice(&[]).is_none());
}

fn seal(key: &[u8; 32], kind: u8, nonce: [u8; 24], plaintext: &[u8]) -> Vec<u8> {
    let mut text = plaintext.to_vec();
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached((&nonce).into(), &[kind], text.as_mut_slice().into())
        .unwrap();
    [&[kind], &nonce[..], &text, &tag[..]].concat()
}
