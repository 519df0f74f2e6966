//! What rests on disk comes back as it was, and nothing else is taken for it.

use std::sync::LazyLock;

use proptest::prelude::*;
use snug_crypto::{
    IdentityKey, RoomKey,
    content::Content,
    frame::{Epoch, FrameError, ParentRef},
    rest::{self, ChainAtRest, EpochAtRest, GenerationAtRest, MembershipAtRest, OwnAtRest},
};

use crate::fixture::{Room, text};

/// Decodes and encodes again; `None` if the bytes are refused.
type Codec = fn(&[u8]) -> Option<Vec<u8>>;

const CODECS: &[(&str, Codec)] = &[
    ("epoch", |b| EpochAtRest::decode(b).ok().map(|v| v.encode().to_vec())),
    ("chain", |b| ChainAtRest::decode(b).ok().map(|v| v.encode().to_vec())),
    ("own", |b| OwnAtRest::decode(b).ok().map(|v| v.encode().to_vec())),
    ("membership", |b| {
        MembershipAtRest::decode(b).ok().map(|v| v.encode().to_vec())
    }),
    ("contents", |b| {
        rest::decode_contents(b)
            .ok()
            .map(|v| rest::encode_contents(&v).to_vec())
    }),
    ("opened", |b| {
        let (epoch, frame) = rest::decode_opened(b).ok()?;
        Some(rest::encode_opened(&epoch, &frame).to_vec())
    }),
    ("parents", |b| {
        rest::decode_parents(b).ok().map(|v| rest::encode_parents(&v).to_vec())
    }),
];

/// Honest forms, in the order of [`CODECS`].
static HONEST: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut room = Room::new(5, 3);
    let (_, mut epochs) = room.live();
    let (sender, secrets) = (room.members[0].leaf.id(), room.members[0].secrets.clone());
    let mut frames = Vec::new();
    for n in 0..4 {
        let contents = [text(&format!("message {n}"))];
        let sealed = epochs[0].seal(&mut room.rng, sender, &secrets.signing, &[], &contents);
        frames.push(sealed.unwrap());
    }
    // With two keys of frames that are still missing.
    let opened = epochs[1].open(&frames[3].bytes).unwrap();
    epochs[1].open(&frames[1].bytes).unwrap();
    let tip = ParentRef {
        tag: epochs[1].tag(),
        hash: opened.hash,
    };
    let own = OwnAtRest::new(3, &secrets, [&room.members[1].secrets.kem].into_iter());
    let membership = MembershipAtRest {
        server: None,
        room_id: room.genesis.room_id().clone(),
        genesis: room.genesis.clone(),
        name: "alice".to_owned(),
        generations: vec![GenerationAtRest {
            generation: room.keys.generation(),
            random: snug_crypto::RoomRandom::from_bytes([4; 32]),
            room_key: RoomKey::parse("correct horse battery").unwrap(),
        }],
    };
    vec![
        epochs[1].at_rest().encode().to_vec(),
        epochs[1].chain_at_rest(&sender).unwrap().encode().to_vec(),
        own.encode().to_vec(),
        membership.encode().to_vec(),
        rest::encode_contents(&[text("hello"), text("")]).to_vec(),
        rest::encode_opened(&epochs[1].id(), &opened).to_vec(),
        rest::encode_parents(&[tip, tip]).to_vec(),
    ]
});

#[test]
fn honest_forms_come_back_and_nothing_follows_them() {
    for ((name, codec), bytes) in CODECS.iter().zip(&*HONEST) {
        assert_eq!(codec(bytes).as_ref(), Some(bytes), "{name}");
        for at in 0..bytes.len() {
            assert_eq!(codec(&bytes[..at]), None, "{name} cut at {at}");
        }
        assert_eq!(codec(&[&bytes[..], &[0]].concat()), None, "{name} and more");
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(codec(&newer), None, "{name} of a newer version");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_are_the_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for (name, codec) in CODECS {
            if let Some(again) = codec(&bytes) {
                prop_assert_eq!(&again, &bytes, "{}", name);
            }
        }
    }

    #[test]
    fn damaged_forms_are_refused_or_are_the_one_encoding(form in 0..CODECS.len(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = HONEST[form].clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(again) = CODECS[form].1(&bytes) {
            prop_assert_eq!(again, bytes);
        }
    }
}

/// An epoch that was stored goes on: what was read stays read, what was missing can still be read, and our own counter goes on.
#[test]
fn a_stored_epoch_goes_on_where_it_was() {
    let mut room = Room::new(6, 2);
    let (_, mut epochs) = room.live();
    let ids = [room.members[0].leaf.id(), room.members[1].leaf.id()];
    let secrets = [room.members[0].secrets.clone(), room.members[1].secrets.clone()];
    let store = |epoch: &Epoch| {
        let stored = epoch.at_rest().encode();
        let chains: Vec<_> = ids
            .iter()
            .map(|id| (*id, epoch.chain_at_rest(id).unwrap().encode()))
            .collect();
        (stored, chains)
    };
    let restore = |(stored, chains): &(rest::RestBytes, Vec<(_, rest::RestBytes)>)| {
        let chain = |leaf: &_| {
            let (_, bytes) = chains.iter().find(|(id, _)| id == leaf)?;
            ChainAtRest::decode(bytes).ok()
        };
        Epoch::restore(EpochAtRest::decode(stored).unwrap(), chain).unwrap()
    };
    let mut seal = |epoch: &mut Epoch, from: usize, words: &str| {
        epoch
            .seal(&mut room.rng, ids[from], &secrets[from].signing, &[], &[text(words)])
            .unwrap()
    };
    let frames: Vec<_> = (0..5).map(|n| seal(&mut epochs[0], 0, &format!("{n}"))).collect();
    epochs[1].open(&frames[0].bytes).unwrap();
    epochs[1].open(&frames[3].bytes).unwrap();
    let own = seal(&mut epochs[1], 1, "mine");
    assert_eq!(own.counter, 0);

    let mut back = restore(&store(&epochs[1]));
    assert_eq!((back.id(), back.tag()), (epochs[1].id(), epochs[1].tag()));
    assert_eq!(back.progress(&ids[0]), epochs[1].progress(&ids[0]));
    for seen in [0, 3] {
        assert_eq!(back.open(&frames[seen].bytes), Err(FrameError::Duplicate));
    }
    for missed in [2, 4, 1] {
        assert_eq!(
            back.open(&frames[missed].bytes).unwrap().contents,
            [text(&format!("{missed}"))]
        );
    }
    assert_eq!(seal(&mut back, 1, "mine, too").counter, 1);

    // An old copy uses a counter again, and never a nonce: the frames have two.
    let old = store(&epochs[1]);
    let (one, two) = (
        seal(&mut restore(&old), 1, "one run"),
        seal(&mut restore(&old), 1, "another run"),
    );
    assert_eq!((one.counter, two.counter), (1, 1));
    assert_ne!(one.bytes[9..33], two.bytes[9..33]);

    let (stored, mut chains) = store(&epochs[1]);
    chains.pop();
    let chain = |leaf: &_| {
        let (_, bytes) = chains.iter().find(|(id, _)| id == leaf)?;
        ChainAtRest::decode(bytes).ok()
    };
    assert!(Epoch::restore(EpochAtRest::decode(&stored).unwrap(), chain).is_err());
}

/// No vector holds these forms, since no other implementation reads them: but who comes back with a newer program does.
#[test]
fn each_form_is_laid_out_as_documented() {
    let mut room = Room::new(7, 2);
    let (_, mut epochs) = room.live();
    let (sender, secrets) = (room.members[0].leaf.id(), room.members[0].secrets.clone());
    let said = text("hi");
    let mut frames = Vec::new();
    for _ in 0..3 {
        let sealed = epochs[0].seal(
            &mut room.rng,
            sender,
            &secrets.signing,
            &[],
            std::slice::from_ref(&said),
        );
        frames.push(sealed.unwrap());
    }
    let mut opened = epochs[1].open(&frames[2].bytes).unwrap();
    let (id, tag) = (epochs[1].id(), epochs[1].tag());
    opened.parents.push(ParentRef { tag, hash: opened.hash });

    let content = [
        &[0, 1],
        &lp(&[&lp(b"hi")[..], &[0], &1_700_000_000_000u64.to_be_bytes()].concat())[..],
    ]
    .concat();
    let contents = [&[0, 0, 0, 1], &content[..]].concat();
    assert_eq!(
        *rest::encode_contents(std::slice::from_ref(&said)),
        [&[1], &contents[..]].concat()
    );
    let parents = [&[0, 0, 0, 1], &tag.as_bytes()[..], opened.hash.as_bytes()].concat();
    assert_eq!(*rest::encode_parents(&opened.parents), [&[1], &parents[..]].concat());
    let head = [
        &[1],
        &id.as_bytes()[..],
        sender.as_bytes(),
        &2u64.to_be_bytes(),
        opened.hash.as_bytes(),
    ]
    .concat();
    assert_eq!(
        *rest::encode_opened(&id, &opened),
        [&head[..], &parents, &contents].concat()
    );

    // A direct message: its reader or author before it, under a number that nothing on the wire has.
    let with = IdentityKey::from_bytes([9; 32]);
    let private = Content::Private {
        with,
        said: Box::new(said),
    };
    let expected = [
        &[1, 0, 0, 0, 1, 0xFF, 0xFF],
        &lp(&[&[9; 32], &content[..]].concat())[..],
    ]
    .concat();
    assert_eq!(*rest::encode_contents(&[private]), expected);

    let mut members: Vec<_> = room.leaf_keys();
    members.sort_unstable_by_key(|(leaf, _)| *leaf);
    let members: Vec<u8> = members
        .iter()
        .flat_map(|(leaf, key)| [leaf.as_bytes(), &key.as_bytes()[..]].concat())
        .collect();
    let epoch = epochs[1].at_rest().encode();
    let head = [&[1], &id.as_bytes()[..], room.hash().as_bytes(), tag.as_bytes()].concat();
    assert!(epoch.starts_with(&head));
    // Behind the key of the envelope.
    let export = [&epochs[1].export().expose()[..], &[0, 0, 0, 2], &members].concat();
    assert_eq!(epoch[head.len() + 32..], export);

    let chain = epochs[1].chain_at_rest(&sender).unwrap().encode();
    assert_eq!(chain[..9], [&[1], &3u64.to_be_bytes()[..]].concat());
    assert_eq!(chain[41..45], [0, 0, 0, 2]);
    assert_eq!((&chain[45..53], &chain[85..93]), (&[0; 8][..], &1u64.to_be_bytes()[..]));
    assert_eq!(chain.len(), 45 + 2 * 40);
}

fn lp(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}
