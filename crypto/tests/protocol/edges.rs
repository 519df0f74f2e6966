//! Messages, capsules, invites and forms at rest at exactly their bounds and one above, and at the edges of their orders: senders refuse what
//! no receiver would take, and receivers refuse before they read.

use snug_crypto::{
    ControlKey, EpochId, ExportKey, FrameHash, Generation, Genesis, IdentityKey, IntroKey, LeafId, OperationHash,
    PeerKey, Policy, RoomId, RoomKey, bounds,
    capsule::{AdminCapsule, Capsule, CapsuleError},
    control::{self, ControlError},
    direct::{Bundle, DirectReply, DirectRequest, EpochVector, ReceiptMark, SenderVector, Wants},
    hand_over::MAX_HANDED,
    invite::Invite,
    keeper::{self, KeeperReply, KeeperRequest, KeeperSecrets, KeptItem, MAX_SEALED_OBJECT},
    leaf::{Leave, Record},
    object::UnverifiedObject,
    operation::{Author, Keeper, Operation, OperationKind, SignedOperation, UnverifiedOperation},
    presence::PresenceRecord,
    rest::{ChainAtRest, EpochAtRest, vault::Passphrase},
    wire::DecodeError,
};

use crate::fixture::{Room, text};

const MAX: usize = bounds::MAX_SYNC_ENTRIES;

/// What fits is sent and read; what doesn't, isn't sent.
fn requests(fit: &[DirectRequest], too_large: &[DirectRequest]) {
    for (at, request) in fit.iter().enumerate() {
        let bytes = request.encode().unwrap_or_else(|_| panic!("request {at}"));
        assert!(DirectRequest::decode(&bytes).as_ref() == Ok(request), "request {at}");
    }
    for (at, request) in too_large.iter().enumerate() {
        assert!(request.encode().is_err(), "large request {at}");
    }
}

fn replies(fit: &[DirectReply], too_large: &[DirectReply]) {
    for (at, reply) in fit.iter().enumerate() {
        let bytes = reply.encode().unwrap_or_else(|_| panic!("reply {at}"));
        assert!(DirectReply::decode(&bytes).as_ref() == Ok(reply), "reply {at}");
    }
    for (at, reply) in too_large.iter().enumerate() {
        assert!(reply.encode().is_err(), "large reply {at}");
    }
}

fn operation(room: &Room, parents: Vec<OperationHash>, body: usize) -> Option<SignedOperation> {
    let operation = Operation::Unknown {
        kind: OperationKind(900),
        body: vec![7; body],
    };
    SignedOperation::create(Author::Admin(&room.admin), parents, operation, &room.hash()).ok()
}

#[test]
fn a_direct_request_is_as_long_as_its_bounds_and_no_longer() {
    let room = Room::new(41, 1);
    let (id, hash, epoch) = (
        room.members[0].identity.key(),
        OperationHash::from_bytes([1; 32]),
        EpochId::from_bytes([2; 32]),
    );
    let leaf = LeafId::from_bytes([3; 16]);
    let sync = |records, operations, epochs| DirectRequest::Sync {
        records: vec![(id, 7); records],
        operations: vec![hash; operations],
        epochs: vec![epoch; epochs],
    };
    let vector = |senders: &[(u64, &[u64])]| EpochVector {
        epoch,
        senders: (senders.iter())
            .map(|(next, extra)| SenderVector {
                leaf,
                next: *next,
                extra: extra.to_vec(),
            })
            .collect(),
    };
    let have = |vectors: &[EpochVector]| DirectRequest::Frames { have: vectors.to_vec() };
    let mark = |held, delivered, read_from, read| ReceiptMark {
        epoch,
        held,
        delivered,
        read_from,
        read,
    };
    let marks = |marks: &[ReceiptMark]| DirectRequest::Receipt { marks: marks.to_vec() };
    let statements = |count| DirectRequest::Statements {
        frames: vec![FrameHash::from_bytes([4; 32]); count],
    };
    let record = Record::Leave(Leave::create(&room.members[0].identity, 9, 0, &room.hash())).to_unverified();
    let door = |bytes: Option<usize>| DirectRequest::Door {
        leaf: record.clone(),
        generation: Generation::first(&room.hash()),
        object: bytes.map(|bytes| vec![5; bytes]),
    };
    let small = operation(&room, vec![], 0).unwrap().to_unverified();
    let push = |records, operations| {
        DirectRequest::Push(Bundle {
            records: vec![record.clone(); records],
            operations: vec![small.clone(); operations],
            announcements: Vec::new(),
        })
    };
    let counters: Vec<u64> = (1..=bounds::MAX_EXTRA_COUNTERS as u64 + 1).collect();
    let most = &counters[..bounds::MAX_EXTRA_COUNTERS];
    let epochs = bounds::MAX_SYNC_EPOCHS;
    requests(
        &[
            sync(MAX, MAX, MAX),
            push(0, MAX),
            push(MAX, 0),
            have(&vec![vector(&[]); epochs]),
            have(&[vector(&vec![(0, &[][..]); bounds::MAX_MEMBERS])]),
            have(&[vector(&[(0, most), (4, &[5, 6, 9])])]),
            marks(&vec![mark(0, 0, 0, 0); epochs]),
            marks(&[mark(9, 7, 2, 5), mark(4, 4, 4, 4)]),
            statements(bounds::MAX_STATEMENTS),
            DirectRequest::Object { operation: hash, leaf },
            door(None),
            door(Some(0)),
            door(Some(bounds::MAX_OBJECT_BYTES)),
        ],
        &[
            sync(MAX + 1, 0, 0),
            sync(0, MAX + 1, 0),
            sync(0, 0, MAX + 1),
            push(0, MAX + 1),
            push(MAX + 1, 0),
            push(MAX, MAX),
            have(&vec![vector(&[]); epochs + 1]),
            have(&[vector(&vec![(0, &[][..]); bounds::MAX_MEMBERS + 1])]),
            have(&[vector(&[(0, &counters)])]),
            have(&[vector(&[(0, &[1]), (4, &[6, 5])])]),
            have(&[vector(&[(4, &[6, 6])])]),
            have(&[vector(&[(4, &[4])])]),
            have(&[vector(&[(4, &[3, 9])])]),
            marks(&vec![mark(0, 0, 0, 0); epochs + 1]),
            marks(&[mark(6, 7, 2, 5)]),
            marks(&[mark(9, 4, 2, 5)]),
            marks(&[mark(9, 7, 6, 5)]),
            statements(bounds::MAX_STATEMENTS + 1),
            door(Some(bounds::MAX_OBJECT_BYTES + 1)),
        ],
    );
    let DirectRequest::Push(bundle) = push(2, 3) else {
        unreachable!()
    };
    assert_eq!(bundle.encoded_len() + 1, push(2, 3).encode().unwrap().len());
}

#[test]
fn a_direct_reply_is_as_long_as_its_bounds_and_no_longer() {
    let mut room = Room::new(42, 2);
    let (announcement, mut epochs) = room.live();
    let member = announcement.members()[0];
    let small = operation(&room, vec![], 0).unwrap().to_unverified();
    let sync = |operations, counts: [usize; 3]| DirectReply::Sync {
        bundle: Bundle {
            operations: vec![small.clone(); operations],
            ..Bundle::default()
        },
        wants: Wants {
            records: vec![IdentityKey::from_bytes([1; 32]); counts[0]],
            operations: vec![OperationHash::from_bytes([1; 32]); counts[1]],
            epochs: vec![EpochId::from_bytes([1; 32]); counts[2]],
        },
        more: false,
    };
    let frames = |sizes: &[usize]| DirectReply::Frames(sizes.iter().map(|size| vec![6; *size]).collect());
    let bytes = |bytes: Option<usize>| bytes.map(|bytes| vec![8; bytes]);
    let object = |size| DirectReply::Object(bytes(size));
    let door = |object, handed| DirectReply::Door {
        object: bytes(object),
        handed: bytes(handed),
    };
    let signing = room.members[0].secrets.signing.clone();
    let sealed = epochs[0].seal(&mut room.rng, room.members[0].leaf.id(), &signing, &[], &[text("a")]);
    let statement = sealed.unwrap().statement.to_unverified();
    let statements = |count| DirectReply::Statements(vec![statement.clone(); count]);
    let (large, gossip) = (bounds::MAX_OBJECT_BYTES, bounds::MAX_GOSSIP_BYTES);
    replies(
        &[
            sync(MAX, [0; 3]),
            sync(0, [MAX; 3]),
            DirectReply::Members(vec![member; bounds::MAX_MEMBERS]),
            frames(&[0; MAX]),
            frames(&[gossip, 0, gossip - 1]),
            object(None),
            object(Some(0)),
            object(Some(large)),
            door(None, None),
            door(Some(3), None),
            door(Some(large), Some(MAX_HANDED)),
            statements(bounds::MAX_STATEMENTS),
        ],
        &[
            sync(MAX + 1, [0; 3]),
            sync(0, [MAX + 1, 0, 0]),
            sync(0, [0, MAX + 1, 0]),
            sync(0, [0, 0, MAX + 1]),
            DirectReply::Members(vec![member; bounds::MAX_MEMBERS + 1]),
            frames(&[0; MAX + 1]),
            frames(&[gossip + 1]),
            frames(&[gossip; 33]),
            object(Some(large + 1)),
            door(Some(large + 1), None),
            door(None, Some(MAX_HANDED + 1)),
            statements(bounds::MAX_STATEMENTS + 1),
        ],
    );
}

#[test]
fn what_is_above_its_size_is_refused_unread_and_what_is_not_is_read() {
    fn too_long<T>(result: &Result<T, DecodeError>) -> bool {
        matches!(result, Err(DecodeError::TooLong { .. }))
    }
    for (over, above) in [(0, false), (1, true), (2, true)] {
        let zeros = |max: usize| vec![0; max + over];
        let direct = zeros(bounds::MAX_DIRECT_BYTES);
        assert_eq!(too_long(&DirectRequest::decode(&direct)), above);
        assert_eq!(too_long(&DirectReply::decode(&direct)), above);
        assert_eq!(too_long(&KeeperRequest::decode(&direct)), above);
        assert_eq!(too_long(&KeeperReply::decode(&direct)), above);
        assert_eq!(
            too_long(&UnverifiedObject::decode(&zeros(bounds::MAX_OBJECT_BYTES))),
            above
        );
        let export = ExportKey::from_bytes([8; 64]);
        let capsule = Capsule::open(&export, &zeros(bounds::MAX_CAPSULE_BYTES)).unwrap_err();
        assert_eq!(capsule != CapsuleError::Forged, above);
        let capsule = AdminCapsule::open(&export, &zeros(bounds::MAX_ADMIN_CAPSULE_BYTES)).unwrap_err();
        assert_eq!(capsule != CapsuleError::Forged, above);
        let control = control::open(&ControlKey::from_bytes([7; 32]), &zeros(bounds::MAX_GOSSIP_BYTES)).unwrap_err();
        assert_eq!(control != ControlError::Forged, above);
    }
    assert!(control::is_control(&[2]) && control::is_control(&[2, 0]));
    assert!(!control::is_control(&[1]) && !control::is_control(&[3]) && !control::is_control(&[]));
}

#[test]
fn a_message_for_a_keeper_is_as_long_as_its_bounds_and_no_longer() {
    let item = KeptItem {
        tag: [6; 8],
        name: [7; 16],
    };
    let gossip = bounds::MAX_GOSSIP_BYTES;
    let items = |count: usize, bytes: usize| vec![vec![1; bytes]; count];
    let generation = |object: Option<usize>| KeeperRequest::Generation {
        generation: Generation {
            count: 1,
            hash: OperationHash::from_bytes([1; 32]),
        },
        grant: Some((vec![2; 100], object.map(|object| vec![3; object]))),
    };
    let long_grant = KeeperRequest::Generation {
        generation: Generation {
            count: 1,
            hash: OperationHash::from_bytes([1; 32]),
        },
        grant: Some((vec![2; gossip], None)),
    };
    let fit = [
        KeeperRequest::Deposit(items(bounds::MAX_DEPOSIT, 1)),
        KeeperRequest::Deposit(items(2, gossip)),
        KeeperRequest::Fetch(vec![[3; 16]; bounds::MAX_FETCH]),
        generation(Some(MAX_SEALED_OBJECT)),
    ];
    for request in &fit {
        assert!(KeeperRequest::decode(&request.encode().unwrap()).as_ref() == Ok(request));
    }
    let too_large = [
        KeeperRequest::Deposit(items(bounds::MAX_DEPOSIT + 1, 1)),
        KeeperRequest::Deposit(items(1, gossip + 1)),
        KeeperRequest::Deposit(items(33, gossip)),
        KeeperRequest::Fetch(vec![[3; 16]; bounds::MAX_FETCH + 1]),
        generation(Some(MAX_SEALED_OBJECT + 1)),
        long_grant,
    ];
    assert!(too_large.iter().all(|request| request.encode().is_err()));

    let holdings = |count| KeeperReply::Holdings {
        store: [1; 8],
        items: vec![item; count],
        next: 3,
        more: true,
    };
    let fit = [
        holdings(bounds::MAX_HOLDINGS),
        KeeperReply::Items(items(bounds::MAX_FETCH, 1)),
        KeeperReply::Items(items(2, gossip)),
        KeeperReply::Generation(Some(vec![8; MAX_SEALED_OBJECT])),
    ];
    for reply in &fit {
        assert!(KeeperReply::decode(&reply.encode().unwrap()).as_ref() == Ok(reply));
    }
    let too_large = [
        holdings(bounds::MAX_HOLDINGS + 1),
        KeeperReply::Items(items(bounds::MAX_FETCH + 1, 1)),
        KeeperReply::Items(items(1, gossip + 1)),
        KeeperReply::Items(items(33, gossip)),
        KeeperReply::Generation(Some(vec![8; MAX_SEALED_OBJECT + 1])),
    ];
    assert!(too_large.iter().all(|reply| reply.encode().is_err()));

    let mut room = Room::new(43, 0);
    let secrets = KeeperSecrets::generate(&mut room.rng);
    let address = |len: usize| "a".repeat(len);
    let longest = secrets.offer(vec![address(bounds::MAX_ADDRESS_BYTES); bounds::MAX_ADDRESSES]);
    let line = longest.to_text().unwrap();
    let padded = format!("{line:<max$}", max = bounds::MAX_INVITE_CHARS);
    assert_eq!(Keeper::parse(&padded), Ok(longest));
    assert!(Keeper::parse(&format!("{padded} ")).is_err() && Keeper::parse(&format!("{padded}  ")).is_err());
    let many = secrets.offer(vec![address(1); bounds::MAX_ADDRESSES + 1]);
    let long = secrets.offer(vec![address(bounds::MAX_ADDRESS_BYTES + 1)]);
    assert!(many.to_text().is_none() && long.to_text().is_none());

    let control = ControlKey::from_bytes([7; 32]);
    for (bytes, opens) in [(0, true), (1, false), (2, false)] {
        let object = vec![1; bounds::MAX_OBJECT_BYTES + bytes];
        let sealed = keeper::seal_object(&control, &mut room.rng, &object);
        assert_eq!(keeper::open_object(&control, &sealed), opens.then_some(object));
    }
}

#[test]
fn operations_and_capsules_are_as_long_as_their_bounds_and_no_longer() {
    let mut room = Room::new(44, 0);
    let parents = |count: u8| {
        (0..count)
            .map(|at| OperationHash::from_bytes([at; 32]))
            .collect::<Vec<_>>()
    };
    let largest = operation(&room, parents(16), bounds::MAX_OPERATION_BODY).unwrap();
    assert!(UnverifiedOperation::decode(&largest.encode()).is_ok());
    assert!(operation(&room, parents(17), 0).is_none());
    assert!(operation(&room, parents(18), 0).is_none());
    assert!(operation(&room, vec![], bounds::MAX_OPERATION_BODY + 1).is_none());
    assert!(operation(&room, vec![], bounds::MAX_OPERATION_BODY + 2).is_none());

    let (export, genesis) = (ExportKey::from_bytes([8; 64]), room.genesis.clone());
    let generation = Generation::first(&room.hash());
    let random = snug_crypto::RoomRandom::generate(&mut room.rng);
    let mut rng = room.rng.clone();
    let mut opens = |sizes: &[usize], times: usize| {
        let log = (sizes
            .iter()
            .flat_map(|size| vec![operation(&room, vec![], *size).unwrap(); times]))
        .collect();
        let capsule = Capsule {
            genesis: genesis.clone(),
            generation,
            random: random.clone(),
            log,
        };
        let sealed = capsule.seal(&export, &mut rng).ok()?;
        Some(Capsule::open(&export, &sealed).unwrap().log == capsule.log)
    };
    assert_eq!(opens(&[0], bounds::MAX_LOG_OPERATIONS), Some(true));
    assert_eq!(opens(&[0], bounds::MAX_LOG_OPERATIONS + 1), None);
    assert_eq!(opens(&[0], bounds::MAX_LOG_OPERATIONS + 2), None);
    // Each with its length in front.
    let four = (bounds::MAX_LOG_BYTES - 4 * (operation(&room, vec![], 0).unwrap().encode().len() + 4)) / 4;
    assert_eq!(opens(&[four], 4), Some(true));
    assert_eq!(opens(&[four, four, four, four + 1], 1), None);
    assert_eq!(opens(&[four, four, four, four + 4], 1), None);
}

#[test]
fn what_a_room_is_founded_with_has_exact_bounds() {
    let room = Room::new(45, 0);
    let id = RoomId::parse("den").unwrap();
    let found = |description: &str, max_participants| {
        let policy = Policy {
            max_participants,
            ..Policy::default()
        };
        let genesis = Genesis::create(&room.admin, &id, description, 123, policy).ok()?;
        assert_eq!((genesis.description(), genesis.created_at_ms()), (description, 123));
        assert_eq!(genesis.policy(), &policy);
        assert!(Genesis::decode(&genesis.encode()).is_ok());
        Some(genesis)
    };
    let long = "d".repeat(bounds::MAX_DESCRIPTION_BYTES);
    let most = u16::try_from(bounds::MAX_MEMBERS).unwrap();
    assert!(found(&long, most).is_some() && found("a", 1).is_some());
    assert!(found(&format!("{long}d"), 1).is_none() && found(&format!("{long}dd"), 1).is_none());
    assert!(found("", most + 1).is_none() && found("", most + 2).is_none() && found("", 0).is_none());
    for (max_participants, valid) in [
        (0, false),
        (1, true),
        (most, true),
        (most + 1, false),
        (most + 2, false),
    ] {
        let policy = Operation::Policy(Policy {
            max_participants,
            ..Policy::default()
        });
        let signed = SignedOperation::create(Author::Admin(&room.admin), vec![], policy, &room.hash()).unwrap();
        assert_eq!(
            UnverifiedOperation::decode(&signed.encode()).is_ok(),
            valid,
            "{max_participants}"
        );
    }
    // White space is not part of an id, but there is an end to what is looked at.
    assert!(RoomId::parse(&format!("{:<4096}", "den")).is_ok());
    assert!(RoomId::parse(&format!("{:<4097}", "den")).is_err());
    assert!(RoomId::parse(&format!("{:<4098}", "den")).is_err());
    let longest = "字".repeat(bounds::MAX_ROOM_ID_CHARS);
    assert!(RoomId::parse(&longest).is_ok() && RoomId::parse(&format!("{longest}a")).is_err());

    let invite = |id: &str, server: usize, addresses: &[usize]| Invite {
        server: Some("s".repeat(server)),
        room_id: RoomId::parse(id).unwrap(),
        room_key: RoomKey::parse(&"k".repeat(bounds::MAX_SECRET_BYTES)).unwrap(),
        genesis_hash: room.hash(),
        serverless: None,
        genesis: Some(Box::new(found(&long, most).unwrap())),
        addresses: addresses.iter().map(|len| "a".repeat(*len)).collect(),
    };
    let (url, address) = (bounds::MAX_URL_BYTES, bounds::MAX_ADDRESS_BYTES);
    let most = [address; bounds::MAX_ADDRESSES];
    let mut whole = invite("den", url, &most);
    whole.genesis_hash = whole.genesis.as_ref().unwrap().hash();
    let line = whole.to_text().unwrap();
    let padded = format!("{:<max$}", *line, max = bounds::MAX_INVITE_CHARS);
    assert_eq!(Invite::parse(&padded).unwrap().addresses, whole.addresses);
    assert!(Invite::parse(&format!("{padded} ")).is_err() && Invite::parse(&format!("{padded}  ")).is_err());
    let mut wide = invite("den", 1, &[]);
    (wide.room_id, wide.genesis) = (RoomId::parse(&longest).unwrap(), None);
    assert_eq!(Invite::parse(&wide.to_text().unwrap()).unwrap().room_id, wide.room_id);
    for refused in [
        invite("den", url + 1, &[]),
        invite("den", url + 2, &[]),
        invite("den", 1, &[address + 1]),
        invite("den", 1, &[1, address + 2]),
        invite("den", 1, &[1; bounds::MAX_ADDRESSES + 1]),
    ] {
        assert!(refused.to_text().is_err());
    }
}

#[test]
fn a_presence_record_is_filled_to_its_last_byte() {
    let mut room = Room::new(46, 0);
    let key = IntroKey::from_bytes([7; 32]);
    let mut kept = |lens: &[usize]| {
        let record = PresenceRecord {
            peer: PeerKey::from_bytes([1; 32]),
            addresses: lens.iter().map(|len| "a".repeat(*len)).collect(),
            at_ms: 5,
        };
        let sealed = record.seal(&key, &mut room.rng);
        let opened = PresenceRecord::open(&key, &sealed).unwrap();
        assert!(record.addresses.starts_with(&opened.addresses) || lens[0] > bounds::MAX_ADDRESS_BYTES);
        (opened.addresses.len(), sealed.len())
    };
    // 1,024 without 41 of the seal, 44 of peer, time and count, and 4 before each address.
    assert_eq!(kept(&[256, 256, 256, 155]), (4, bounds::MAX_PRESENCE_BYTES));
    assert_eq!(kept(&[256, 256, 256, 156]).0, 3);
    assert_eq!(kept(&[257, 256]).0, 1);
    assert_eq!(kept(&[258, 1]).0, 1);
    assert_eq!(kept(&[1; 20]).0, bounds::MAX_ADDRESSES);
}

#[test]
fn what_rests_has_one_order_and_is_written_without_growing() {
    let mut room = Room::new(47, 2);
    let (_, mut epochs) = room.live();
    let (sender, signing) = (room.members[0].leaf.id(), room.members[0].secrets.signing.clone());
    for number in 0..3 {
        let sealed = epochs[0]
            .seal(&mut room.rng, sender, &signing, &[], &[text("hi")])
            .unwrap();
        if number == 2 {
            epochs[1].open(&sealed.bytes).unwrap();
        }
    }
    // A buffer that grows leaves what it held before, secrets too, where nobody overwrites it.
    let epoch = epochs[1].at_rest().encode();
    let chain = epochs[1].chain_at_rest(&sender).unwrap().encode();
    assert_eq!((epoch.capacity(), chain.capacity()), (epoch.len(), chain.len()));

    // Two members, and two skipped keys, behind everything else.
    let twice = |bytes: &[u8], size: usize| {
        let (head, first) = (bytes.len() - 2 * size, bytes.len() - size);
        [&bytes[..head], &bytes[head..first], &bytes[head..first]].concat()
    };
    assert!(EpochAtRest::decode(&twice(&epoch, 48)).is_err());
    assert!(ChainAtRest::decode(&twice(&chain, 40)).is_err());
    for (last, valid) in [(0u64, false), (1, true), (2, true), (3, false), (4, false)] {
        let mut changed = chain.to_vec();
        changed[85..93].copy_from_slice(&last.to_be_bytes());
        assert_eq!(ChainAtRest::decode(&changed).is_ok(), valid, "{last}");
    }

    let longest = "é".repeat(bounds::MAX_SECRET_BYTES / 2);
    assert!(!Passphrase::parse(&longest).unwrap().is_none() && Passphrase::none().is_none());
    assert!(Passphrase::parse(&format!("{longest}a")).is_err() && Passphrase::parse(&format!("{longest}é")).is_err());
}
