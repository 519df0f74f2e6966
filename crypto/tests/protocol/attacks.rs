//! A million forgeries, none of which opens or changes anything. Takes a minute in a release build, so it is asked for:
//! `cargo test --release -p snug-crypto --test protocol attacks -- --ignored --nocapture`.

use rand_chacha::rand_core::Rng;
use snug_crypto::{
    bounds,
    frame::{Epoch, FrameError},
};

use crate::fixture::{Room, text};

/// How many of each kind.
const FLIPS: u32 = 700_000;
const STRANGERS: u32 = 200_000;
const SPOOFS: u32 = 100_000;

#[test]
#[ignore = "takes a minute in a release build"]
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
