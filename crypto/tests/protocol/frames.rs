//! Frames between members: what opens, what doesn't, and that what doesn't changes nothing.

use proptest::prelude::*;
use snug_crypto::{
    FrameHash, FrameTag, MessageId, bounds,
    content::{Content, ContentKind},
    frame::{Blame, Epoch, EpochError, FrameError, ParentRef, SealError, SealedFrame, tag_of},
};

use crate::fixture::{Room, text};

struct Pair {
    room: Room,
    alice: Epoch,
    bob: Epoch,
}

fn pair(seed: u64) -> Pair {
    let mut room = Room::new(seed, 2);
    let (_, mut epochs) = room.live();
    let (bob, alice) = (epochs.pop().unwrap(), epochs.pop().unwrap());
    Pair { room, alice, bob }
}

impl Pair {
    fn send(&mut self, contents: &[Content]) -> SealedFrame {
        let alice = &self.room.members[0];
        self.alice
            .seal(
                &mut self.room.rng,
                alice.leaf.id(),
                &alice.secrets.signing,
                &[],
                contents,
            )
            .unwrap()
    }

    fn say(&mut self, what: &str) -> SealedFrame {
        self.send(&[text(what)])
    }

    fn missing(&self) -> (u64, Vec<u64>) {
        let progress = self.bob.progress(&self.room.members[0].leaf.id()).unwrap();
        (progress.next, progress.missing)
    }
}

#[test]
fn what_one_says_the_other_reads() {
    let mut pair = pair(1);
    let parent = ParentRef {
        tag: pair.alice.tag(),
        hash: FrameHash::from_bytes([5; 32]),
    };
    let reply = MessageId::of(&FrameHash::from_bytes([6; 32]), 3);
    let contents = [
        text("hello"),
        Content::Text {
            text: "\u{1F37A}".to_owned(),
            reply_to: Some(reply),
            sent_at_ms: 2,
        },
        Content::Unknown {
            kind: ContentKind::TYPING,
            bytes: vec![1],
        },
    ];
    let alice = &pair.room.members[0];
    let frame = pair
        .alice
        .seal(
            &mut pair.room.rng,
            alice.leaf.id(),
            &alice.secrets.signing,
            &[parent],
            &contents,
        )
        .unwrap();
    assert_eq!(tag_of(&frame.bytes), Some(pair.bob.tag()));
    let opened = pair.bob.open(&frame.bytes).unwrap();
    assert_eq!(
        (opened.sender, opened.counter, opened.hash),
        (alice.leaf.id(), 0, frame.hash)
    );
    assert_eq!((opened.parents, opened.contents), (vec![parent], contents.to_vec()));
}

#[test]
fn order_does_not_matter_and_nothing_is_read_twice() {
    let mut pair = pair(2);
    let frames: Vec<_> = (0..20).map(|i| pair.say(&i.to_string())).collect();
    for index in [3, 0, 19, 7, 1] {
        assert_eq!(
            pair.bob.open(&frames[index].bytes).unwrap().contents,
            [text(&index.to_string())]
        );
        let again = pair.bob.open(&frames[index].bytes).unwrap_err();
        assert_eq!((again, again.blame()), (FrameError::Duplicate, Blame::Duplicate));
    }
    assert_eq!(
        pair.missing(),
        (20, (0..20).filter(|i| ![3, 0, 19, 7, 1].contains(i)).collect())
    );
}

#[test]
fn more_than_a_thousand_skips_are_refused_and_a_thousand_are_not() {
    let mut pair = pair(3);
    for _ in 0..bounds::MAX_SKIP {
        pair.say("lost");
    }
    let reachable = pair.say("reachable");
    let far = pair.say("too far");
    let error = pair.bob.open(&far.bytes).unwrap_err();
    assert_eq!(
        (error, error.blame()),
        (FrameError::TooFarAhead { ahead: 1_001 }, Blame::Ourselves)
    );
    assert_eq!(pair.missing(), (0, vec![]), "nothing moved");
    pair.bob.open(&reachable.bytes).unwrap();
    pair.bob.open(&far.bytes).unwrap();
}

#[test]
fn no_flipped_bit_opens_and_none_moves_the_chain() {
    let mut pair = pair(4);
    let frame = pair.say("hello");
    for bit in 0..frame.bytes.len() * 8 {
        let mut bad = frame.bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        pair.bob.open(&bad).unwrap_err();
    }
    for len in 0..frame.bytes.len() {
        pair.bob.open(&frame.bytes[..len]).unwrap_err();
    }
    let longer = [frame.bytes.as_slice(), &[0]].concat();
    assert_eq!(pair.bob.open(&longer), Err(FrameError::Forged));
    assert_eq!(pair.missing(), (0, vec![]));
    pair.bob.open(&frame.bytes).unwrap();
}

#[test]
fn frames_of_another_room_or_epoch_are_not_tried() {
    let mut pair = pair(5);
    let mut other = self::pair(6);
    let frame = other.say("hello");
    let error = pair.bob.open(&frame.bytes).unwrap_err();
    assert_eq!((error, error.blame()), (FrameError::OtherEpoch, Blame::Ourselves));
    let mut retagged = frame.bytes;
    retagged[1..9].copy_from_slice(pair.bob.tag().as_bytes());
    let error = pair.bob.open(&retagged).unwrap_err();
    assert_eq!((error, error.blame()), (FrameError::Forged, Blame::Sender));
}

#[test]
fn a_member_can_not_speak_for_another() {
    let mut room = Room::new(7, 3);
    let (_, mut epochs) = room.live();
    let (alice, mallory) = (room.members[0].leaf.id(), room.members[1].secrets.signing.clone());
    let sealed = epochs[1].seal(&mut room.rng, alice, &mallory, &[], &[text("I am alice")]);
    assert_eq!(sealed, Err(SealError::NotAMember), "our own code won't");
    // Mallory's own code would: in its books alice's leaf has a key of mallory's.
    let issued = room.issue();
    let mut honest = Epoch::new(issued.secrets, &issued.announcement, &room.leaf_keys()).unwrap();
    let sealed = issued
        .boxes
        .iter()
        .find(|sealed| sealed.leaf == room.members[1].leaf.id())
        .unwrap();
    let kem = &room.members[1].secrets.kem;
    let secrets = snug_crypto::epoch::open_box(&issued.announcement, sealed, kem, room.keys.psk()).unwrap();
    let swap = |(id, key)| (id, if id == alice { mallory.public() } else { key });
    let keys: Vec<_> = room.leaf_keys().into_iter().map(swap).collect();
    let mut evil = Epoch::new(secrets, &issued.announcement, &keys).unwrap();
    let forged = evil
        .seal(&mut room.rng, alice, &mallory, &[], &[text("I am alice")])
        .unwrap();
    let error = honest.open(&forged.bytes).unwrap_err();
    assert_eq!((error, error.blame()), (FrameError::BadSignature, Blame::Sender));
    assert_eq!(
        honest.progress(&alice).unwrap().next,
        0,
        "the victim's counter is not burned"
    );
    let real = honest
        .seal(
            &mut room.rng,
            alice,
            &room.members[0].secrets.signing,
            &[],
            &[text("really")],
        )
        .unwrap();
    assert_eq!(real.counter, 0);
}

#[test]
fn what_can_not_be_sealed_uses_no_counter() {
    let mut pair = pair(8);
    let alice = &pair.room.members[0];
    let (id, key) = (alice.leaf.id(), alice.secrets.signing.clone());
    let parent = ParentRef {
        tag: FrameTag::from_bytes([0; 8]),
        hash: FrameHash::from_bytes([0; 32]),
    };
    let mut seal =
        |parents: &[ParentRef], contents: &[Content]| pair.alice.seal(&mut pair.room.rng, id, &key, parents, contents);
    assert_eq!(seal(&[], &[]), Err(SealError::ContentCount));
    assert_eq!(seal(&[], &vec![text(""); 124]), Err(SealError::ContentCount));
    assert_eq!(seal(&[parent; 9], &[text("")]), Err(SealError::TooManyParents));
    let long = text(&"x".repeat(bounds::MAX_TEXT_BYTES));
    let longer = text(&"x".repeat(bounds::MAX_TEXT_BYTES + 1));
    assert_eq!(seal(&[], &[longer]), Err(SealError::TextTooLong));
    assert!(matches!(
        seal(&[], &[long.clone(), long]),
        Err(SealError::TooLarge { .. })
    ));
    assert_eq!(seal(&[], &[text("fits")]).unwrap().counter, 0);
}

#[test]
fn the_fullest_frame_fits_into_gossip() {
    let mut pair = pair(9);
    let contents: Vec<_> = (0..bounds::MAX_CONTENTS).map(|_| text(&"x".repeat(229))).collect();
    let parents = [ParentRef {
        tag: pair.alice.tag(),
        hash: FrameHash::from_bytes([0; 32]),
    }; 8];
    let alice = &pair.room.members[0];
    let (id, key) = (alice.leaf.id(), alice.secrets.signing.clone());
    let frame = pair
        .alice
        .seal(&mut pair.room.rng, id, &key, &parents, &contents)
        .unwrap();
    assert!(frame.bytes.len() <= bounds::MAX_GOSSIP_BYTES, "{}", frame.bytes.len());
    assert_eq!(pair.bob.open(&frame.bytes).unwrap().contents, contents);
}

#[test]
fn the_length_tells_only_the_bucket() {
    let mut pair = pair(10);
    let short = pair.say("").bytes.len();
    assert_eq!(pair.say(&"x".repeat(200)).bytes.len(), short);
    assert!(pair.say(&"x".repeat(300)).bytes.len() > short);
}

#[test]
fn an_epoch_needs_its_own_secrets_and_every_members_key() {
    let mut room = Room::new(11, 2);
    let (one, other) = (room.issue(), room.issue());
    let error = Epoch::new(one.secrets, &other.announcement, &room.leaf_keys()).unwrap_err();
    assert_eq!(error, EpochError::WrongSecrets);
    let error = Epoch::new(other.secrets, &other.announcement, &room.leaf_keys()[..1]).unwrap_err();
    assert_eq!(
        error,
        EpochError::MissingKey {
            leaf: room.members[1].leaf.id()
        }
    );
}

#[test]
fn debug_shows_no_key() {
    let pair = pair(12);
    let shown = format!("{:?}", pair.alice);
    assert!(shown.ends_with("2 members, redacted)"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Frames shuffled, doubled, lost and damaged: each genuine one is read exactly once, nothing else ever.
    #[test]
    fn any_delivery_is_read_exactly_once(
        deliveries in prop::collection::vec((0usize..12, any::<Option<(prop::sample::Index, u8)>>()), 1..60),
    ) {
        let mut pair = pair(13);
        let frames: Vec<_> = (0..12).map(|i| pair.say(&i.to_string())).collect();
        let mut read = std::collections::BTreeSet::new();
        for (index, damage) in deliveries {
            let mut bytes = frames[index].bytes.clone();
            if let Some((at, flip)) = damage.filter(|(_, flip)| *flip != 0) {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
                prop_assert!(pair.bob.open(&bytes).is_err());
            } else if read.insert(index) {
                let opened = pair.bob.open(&bytes).unwrap();
                prop_assert_eq!(opened.contents, vec![text(&index.to_string())]);
            } else {
                prop_assert_eq!(pair.bob.open(&bytes), Err(FrameError::Duplicate));
            }
            let (next, missing) = pair.missing();
            let expected: Vec<u64> = (0..next).filter(|i| !read.contains(&(*i as usize))).collect();
            prop_assert_eq!(missing, expected);
        }
    }

    #[test]
    fn any_contents_round_trip(
        texts in prop::collection::vec((".{0,300}", any::<Option<[u8; 32]>>(), any::<u64>()), 1..5),
        unknown in prop::collection::vec((2u16.., prop::collection::vec(any::<u8>(), 0..300)), 0..5),
    ) {
        let mut pair = pair(14);
        let mut contents: Vec<Content> = texts
            .into_iter()
            .map(|(text, reply, sent_at_ms)| Content::Text { text, reply_to: reply.map(MessageId::from_bytes), sent_at_ms })
            .collect();
        contents.extend(unknown.into_iter().map(|(kind, bytes)| Content::Unknown { kind: ContentKind(kind), bytes }));
        let frame = pair.send(&contents);
        prop_assert_eq!(pair.bob.open(&frame.bytes).unwrap().contents, contents);
    }
}

#[test]
fn what_is_too_short_or_too_long_is_no_frame_before_any_key_is_used() {
    let mut room = Room::new(14, 2);
    let (_, mut epochs) = room.live();
    let (sender, secrets) = (room.members[0].leaf.id(), room.members[0].secrets.clone());
    let frame = epochs[0].seal(&mut room.rng, sender, &secrets.signing, &[], &[text("hi")]);
    let frame = frame.unwrap().bytes;
    // Kind, tag and nonce; header; the least contents; signature; two tags.
    let least = 33 + 28 + 256 + 64 + 32;
    assert_eq!(frame.len(), least);
    let mut resized = |len: usize| {
        let mut bytes = frame.clone();
        bytes.resize(len, 0);
        epochs[1].open(&bytes).unwrap_err()
    };
    for len in [0, 1, 8, 9, 33, least - 1] {
        assert_eq!(resized(len), FrameError::NotAFrame, "{len} bytes");
    }
    for len in [least + 1, bounds::MAX_GOSSIP_BYTES - 1, bounds::MAX_GOSSIP_BYTES] {
        assert_eq!(resized(len), FrameError::Forged, "{len} bytes");
    }
    for len in [1, 2, 1_000].map(|more| bounds::MAX_GOSSIP_BYTES + more) {
        assert_eq!(resized(len), FrameError::NotAFrame, "{len} bytes");
    }
    assert!(epochs[1].open(&frame).is_ok());
}
