//! A million forged frames and a million forged objects of every other kind, none of which is taken or changes anything. It takes
//! minutes, so it is asked for: `tests/audit.sh attacks`.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use snug_crypto::{
    AdminKey, ExportKey, Generation, Identity, JoinKey, PeerKey, RoomRandom, TransportKey, bounds,
    capsule::{AdminCapsule, Capsule},
    control::{self, ControlMessage},
    credential::Tombstone,
    epoch::{self, SealedBox, UnverifiedAnnouncement},
    frame::{Epoch, FrameError},
    leaf::{Leaf, LeafParams, LeafSecrets, UnverifiedRecord},
    link::{self, Link, LinkRole},
    operation::{Author, Operation, Role, SignedOperation, UnverifiedOperation},
    presence::PresenceRecord,
};

use crate::fixture::{Room, text};

/// How many of each kind.
const FLIPS: u32 = 700_000;
const STRANGERS: u32 = 200_000;
const SPOOFS: u32 = 100_000;

#[test]
#[ignore = "takes a minute: tests/audit.sh attacks"]
fn none_of_a_million_forgeries_is_accepted() {
    let mut room = Room::new(1, 3);
    let mut stranger = Room::new(2, 2);
    let issued = room.issue();
    let (alice, mallory) = (room.members[0].leaf.id(), room.members[1].secrets.signing.clone());
    let secrets = |room: &Room, index: usize| {
        let member = &room.members[index];
        let sealed = issued
            .boxes
            .iter()
            .find(|sealed| sealed.leaf == member.leaf.id())
            .unwrap();
        snug_crypto::epoch::open_box(&issued.announcement, sealed, &member.secrets.kem, room.keys.psk()).unwrap()
    };
    let mut sender = Epoch::new(secrets(&room, 0), &issued.announcement, &room.leaf_keys()).unwrap();
    let mut victim = Epoch::new(secrets(&room, 2), &issued.announcement, &room.leaf_keys()).unwrap();
    let key = room.members[0].secrets.signing.clone();
    let frame = sender
        .seal(&mut room.rng, alice, &key, &[], &[text("hello")])
        .unwrap()
        .bytes;
    let untouched = |victim: &Epoch| {
        let progress = victim.progress(&alice).unwrap();
        assert_eq!((progress.next, progress.missing.len()), (0, 0), "something moved");
    };

    for _ in 0..FLIPS {
        let mut bad = frame.clone();
        for _ in 0..=room.rng.next_u32() % 3 {
            let at = room.rng.next_u32() as usize % bad.len();
            bad[at] ^= 1 << (room.rng.next_u32() % 8);
        }
        assert!(bad == frame || victim.open(&bad).is_err());
    }
    untouched(&victim);

    // Another room's frames, under this epoch's tag: what somebody with the wrong Room Key can make.
    let (_, mut elsewhere) = stranger.live();
    let member = &stranger.members[0];
    for _ in 0..STRANGERS {
        let sealed = elsewhere[0].seal(
            &mut stranger.rng,
            member.leaf.id(),
            &member.secrets.signing,
            &[],
            &[text("hello")],
        );
        let mut bad = sealed.unwrap().bytes;
        bad[1..9].copy_from_slice(victim.tag().as_bytes());
        assert_eq!(victim.open(&bad), Err(FrameError::Forged));
    }
    untouched(&victim);

    // A member who knows every chain, and signs in alice's name with its own key.
    let swap = |(id, key)| (id, if id == alice { mallory.public() } else { key });
    let keys: Vec<_> = room.leaf_keys().into_iter().map(swap).collect();
    for number in 0..SPOOFS {
        if u64::from(number) % bounds::MAX_SKIP == 0 {
            sender = Epoch::new(secrets(&room, 1), &issued.announcement, &keys).unwrap();
        }
        let bad = sender
            .seal(&mut room.rng, alice, &mallory, &[], &[text("I am alice")])
            .unwrap()
            .bytes;
        assert_eq!(victim.open(&bad), Err(FrameError::BadSignature));
    }
    untouched(&victim);
    assert!(victim.open(&frame).is_ok(), "the genuine one still opens");
    println!(
        "0 of {} forgeries accepted, state unchanged",
        FLIPS + STRANGERS + SPOOFS
    );
}

/// How many of each kind: ten kinds.
const OF_EACH: u32 = 100_000;

/// What a malicious rendezvous, a stranger on the mesh or another room's member can put before a member: damaged, forged
/// with keys of their own, or true elsewhere.
#[test]
#[ignore = "takes minutes: tests/audit.sh attacks"]
fn none_of_a_million_forged_objects_is_accepted() {
    let mut room = Room::new(3, 3);
    let (hash, genesis, join) = (room.hash(), room.genesis.clone(), room.keys.join().clone());
    let issued = room.issue();
    let (issuer, export) = (*room.members[0].leaf.key(), ExportKey::from_bytes([4; 64]));
    let mut rng = ChaCha20Rng::seed_from_u64(4);

    let record = room.members[0].leaf.encode();
    let record_is_taken = |bytes: &[u8]| {
        let record = UnverifiedRecord::decode(bytes).ok();
        record.is_some_and(|record| record.verify(&hash, |_| Some(&join)).is_ok())
    };
    assert!(record_is_taken(&record));
    count("damaged leaves", |_| record_is_taken(&damaged(&mut rng, &record)));

    // Everything is right about it, but whoever made it had another Room Key, or none.
    let mut ghosts: Vec<(UnverifiedRecord, JoinKey)> = Vec::new();
    for _ in 0..64 {
        let other = JoinKey::from_bytes(random(&mut rng));
        let params = LeafParams {
            name: "ghost".into(),
            seq: 1,
            incarnation: 0,
            expires_at_ms: u64::MAX,
            generation: room.keys.generation(),
            approval: None,
        };
        let (identity, transport) = (Identity::generate(&mut rng), TransportKey::generate(&mut rng));
        let secrets = LeafSecrets::generate(&mut rng);
        let leaf = Leaf::create(params, &identity, &transport, &secrets, &other, &hash).unwrap();
        ghosts.push((UnverifiedRecord::decode(&leaf.encode()).unwrap(), other));
    }
    let mut ghost = ghosts.iter().cycle();
    count("ghost members", |_| {
        let (record, own) = ghost.next().unwrap();
        assert!(own.expose() != join.expose());
        record.clone().verify(&hash, |_| Some(&join)).is_ok()
    });

    let identity = room.members[1].identity.key();
    let role = Operation::Role {
        identity,
        role: Role::Admin,
    };
    let role = SignedOperation::create(Author::Admin(&room.admin), vec![], role, &hash).unwrap();
    let bytes = role.encode();
    count("damaged operations", |_| {
        let operation = UnverifiedOperation::decode(&damaged(&mut rng, &bytes)).ok();
        operation.is_some_and(|operation| operation.verify(&genesis).is_ok())
    });

    let tombstone = Tombstone {
        handle: genesis.handle(),
        genesis_hash: hash,
    };
    count("forged deletions", |number| {
        let signed = tombstone.sign(&AdminKey::generate(&mut rng));
        let carried = Author::Member(&room.members[number as usize % 3].identity);
        let operation = SignedOperation::create(carried, vec![], Operation::Tombstone(signed), &hash).unwrap();
        operation.to_unverified().verify(&genesis).is_ok()
    });

    // A capsule of the same shape, sealed by somebody who hasn't the export key, and an honest one that was changed.
    let (generation, random_half) = (Generation::first(&hash), RoomRandom::from_bytes(random(&mut rng)));
    let capsule = Capsule {
        genesis: genesis.clone(),
        generation,
        random: random_half,
        log: vec![role],
    };
    let good = capsule.seal(&export, &mut rng).unwrap();
    count("swapped and damaged capsules", |number| {
        let bytes = match number % 2 {
            0 => {
                let mut other = [0; 64];
                rng.fill_bytes(&mut other);
                capsule.seal(&ExportKey::from_bytes(other), &mut rng).unwrap()
            }
            _ => damaged(&mut rng, &good),
        };
        Capsule::open(&export, &bytes).is_ok()
    });
    let genesis_of_another = room.genesis.clone();
    count("admin capsules with another key", |_| {
        let admin_key = AdminKey::generate(&mut rng);
        let sealed = AdminCapsule {
            admin_key,
            genesis: genesis_of_another.clone(),
        }
        .seal(&export, &mut rng);
        AdminCapsule::open(&export, &sealed).is_ok()
    });

    let presence = PresenceRecord {
        peer: room.members[0].leaf.peer(),
        addresses: vec!["/ip4/192.0.2.1/udp/1".into()],
        at_ms: 1,
    };
    let good = presence.seal(room.keys.intro(), &mut rng);
    let stranger = Room::new(5, 0);
    count("forged and damaged presence", |number| {
        let bytes = match number % 2 {
            0 => presence.seal(stranger.keys.intro(), &mut rng),
            _ => damaged(&mut rng, &good),
        };
        PresenceRecord::open(room.keys.intro(), &bytes).is_ok()
    });

    let message = ControlMessage::Record(UnverifiedRecord::decode(&record).unwrap());
    let good = control::seal(room.keys.control(), &message).unwrap();
    let foreign = control::seal(stranger.keys.control(), &message).unwrap();
    count("foreign and damaged control messages", |number| {
        let bytes = if number % 2 == 0 {
            damaged(&mut rng, &foreign)
        } else {
            damaged(&mut rng, &good)
        };
        control::open(room.keys.control(), &bytes).is_ok()
    });

    let announced = issued.announcement.encode();
    let (kem, sealed) = (&room.members[2].secrets.kem, room.members[2].leaf.id());
    let sealed = issued.boxes.iter().find(|each| each.leaf == sealed).unwrap().encode();
    count("damaged announcements and boxes", |number| {
        if number % 2 == 0 {
            let announcement = UnverifiedAnnouncement::decode(&damaged(&mut rng, &announced)).ok();
            return announcement.is_some_and(|each| each.verify(&hash, |_| Some(issuer)).is_ok());
        }
        let sealed = SealedBox::decode(&damaged(&mut rng, &sealed)).ok();
        sealed.is_some_and(|sealed| epoch::open_box(&issued.announcement, &sealed, kem, room.keys.psk()).is_ok())
    });

    let (dialer, listener) = (
        PeerKey::from_bytes(random(&mut rng)),
        PeerKey::from_bytes(random(&mut rng)),
    );
    let (ours, theirs) = (random(&mut rng), random(&mut rng));
    let link = Link {
        dialer: &dialer,
        listener: &listener,
        dialer_nonce: &ours,
        listener_nonce: &theirs,
    };
    let proof = link::prove(room.keys.mesh(), LinkRole::Dialer, &link);
    count("link proofs", |number| {
        let other: [u8; 32] = match number % 3 {
            0 => damaged(&mut rng, &proof).try_into().unwrap(),
            1 => link::prove(
                stranger.keys.mesh(),
                LinkRole::Listener,
                &Link {
                    listener_nonce: &random(&mut rng),
                    ..link
                },
            ),
            _ => proof,
        };
        link::verify(room.keys.mesh(), LinkRole::Listener, &link, &other)
    });
}

/// Tries so many, of which none may be taken.
fn count(what: &str, mut taken: impl FnMut(u32) -> bool) {
    let accepted = (0..OF_EACH).filter(|number| taken(*number)).count();
    println!("{what}: {accepted} of {OF_EACH} accepted");
    assert_eq!(accepted, 0, "{what}");
}

/// With one to three bits changed.
fn damaged(rng: &mut ChaCha20Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bad = bytes.to_vec();
    while bad == bytes {
        for _ in 0..=rng.next_u32() % 3 {
            let at = rng.next_u32() as usize % bad.len();
            bad[at] ^= 1 << (rng.next_u32() % 8);
        }
    }
    bad
}

fn random(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}
