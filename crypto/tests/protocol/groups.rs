//! Groups of 2 to 8 members under any interleaving, loss and repetition; and what the Room Key and a recording are worth
//! without a member's keys.

use proptest::prelude::*;
use rand_chacha::rand_core::Rng;
use snug_crypto::{
    GenerationKeys, Psk,
    content::Content,
    control::{self, ControlMessage},
    epoch::{self, BoxError, Issued},
    frame::Epoch,
    kdf,
    kem::KemSecret,
    label,
};

use crate::{
    fixture::{Room, text},
    group::{Group, Step},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// The model in [`Group`] holds after every step, and after the partition everybody reads everybody.
    #[test]
    fn any_interleaving_heals_to_one_epoch(
        seed in any::<u64>(), members in 2usize..=8, steps in prop::collection::vec(any::<[u8; 4]>(), 0..160),
    ) {
        let mut group = Group::new(seed, members);
        for step in steps {
            group.step(Step::from_bytes(step));
        }
        group.heal();
    }
}

#[test]
fn who_was_removed_reads_nothing_after_the_rekey() {
    let mut group = Group::new(1, 4);
    let say = |group: &mut Group, epoch: u8| {
        for member in 0..4 {
            group.step(Step::Box {
                epoch,
                to: member,
                of: member,
            });
            group.step(Step::Send { from: member, len: 3 });
        }
    };
    group.step(Step::Issue { by: 0 });
    say(&mut group, 0);
    group.step(Step::Remove { member: 2 });
    group.step(Step::Issue { by: 1 });
    say(&mut group, 1);
    group.heal();
}

/// All that somebody has who joined the topic with the Room Key and never published a leaf: every group key, and every byte
/// that was ever sent.
struct Recording {
    keys: GenerationKeys,
    issued: Issued,
    frames: Vec<Vec<u8>>,
    /// Everything in one row.
    bytes: Vec<u8>,
    /// What its issuer drew, which is not part of it: to see that it would be recognised.
    secret: [u8; 32],
}

fn record() -> (Room, Recording) {
    let mut room = Room::new(77, 3);
    let mut secret = [0; 32];
    room.rng.clone().fill_bytes(&mut secret);
    let (issued, mut frames) = (room.issue(), Vec::new());
    for index in 0..3 {
        let mut live = live(&room, &issued, &room.members[index].secrets.kem, index);
        let (leaf, key) = (
            room.members[index].leaf.id(),
            room.members[index].secrets.signing.clone(),
        );
        for said in ["one", "two"] {
            frames.push(live.seal(&mut room.rng, leaf, &key, &[], &[text(said)]).unwrap().bytes);
        }
    }
    let keys = room.keys.clone();
    let control = [&room.members[0], &room.members[1], &room.members[2]].map(|member| {
        let record = snug_crypto::leaf::UnverifiedRecord::decode(&member.leaf.encode()).unwrap();
        control::seal(keys.control(), &ControlMessage::Record(record)).unwrap()
    });
    // What is sealed under control opens with the Room Key: it's as good as plain.
    let opened = room.members.iter().map(|member| member.leaf.encode());
    let boxes = issued.boxes.iter().map(|sealed| sealed.encode());
    let all = control
        .into_iter()
        .chain(opened)
        .chain(boxes)
        .chain(frames.iter().cloned());
    let mut bytes: Vec<u8> = all.flatten().collect();
    bytes.extend(issued.announcement.encode());
    bytes.extend(room.genesis.encode());
    (
        room,
        Recording {
            keys,
            issued,
            frames,
            bytes,
            secret,
        },
    )
}

fn live(room: &Room, issued: &Issued, kem: &KemSecret, index: usize) -> Epoch {
    let leaf = room.members[index].leaf.id();
    let sealed = issued.boxes.iter().find(|sealed| sealed.leaf == leaf).unwrap();
    let secrets = epoch::open_box(&issued.announcement, sealed, kem, room.keys.psk()).unwrap();
    Epoch::new(secrets, &issued.announcement, &room.leaf_keys()).unwrap()
}

/// Whether `es` is the epoch's secret: it gives what the issuer committed to.
fn is_secret(recording: &Recording, psk: &Psk, es: &[u8]) -> bool {
    let header = recording.issued.announcement.encode();
    let commit = recording.issued.announcement.header().commit;
    let inline = 1 + 4 + recording.issued.announcement.members().len() * 52;
    let head = &header[..header.len() - inline - 64 - 32 - 32];
    let ctx = kdf::hash(
        label::CONTEXT,
        &[recording.issued.announcement.genesis().as_bytes(), head],
    );
    *kdf::expand(&*kdf::extract(psk.expose(), es), label::COMMIT, &[&ctx]) == commit
}

#[test]
fn the_room_key_and_a_recording_decrypt_nothing_without_a_members_keys() {
    let (mut room, recording) = record();
    let psk = recording.keys.psk();

    // No box is for a key that isn't a member's.
    let stranger = KemSecret::generate(&mut room.rng);
    for sealed in &recording.issued.boxes {
        let opened = epoch::open_box(&recording.issued.announcement, sealed, &stranger, psk);
        assert_eq!(opened.err(), Some(BoxError::NotForUs));
    }
    // Nothing that was sent, and no group key, is the epoch's secret or a KEM key's seed.
    let keys = [
        psk.expose(),
        recording.keys.mesh().expose(),
        recording.keys.join().expose(),
    ];
    let keys = keys
        .into_iter()
        .chain([recording.keys.control().expose(), recording.keys.intro().expose()]);
    let known: Vec<&[u8]> = keys.map(|key| &key[..]).chain(recording.bytes.windows(32)).collect();
    assert!(known.len() > 8_000, "{}", known.len());
    for candidate in &known {
        assert!(
            !is_secret(&recording, psk, candidate),
            "the epoch's secret stands in what was sent"
        );
    }
    for candidate in known.iter().step_by(16) {
        let kem = KemSecret::from_seed((*candidate).try_into().unwrap());
        assert!(
            room.members
                .iter()
                .all(|member| member.secrets.kem.public() != kem.public())
        );
    }
    // And what was said, long enough to be unmistakable, stands nowhere in the clear.
    for needle in ["member 0", "member 1"] {
        let wire = recording
            .frames
            .iter()
            .chain([&recording.issued.announcement.encode()])
            .any(|bytes| contains(bytes, needle));
        assert!(!wire, "{needle} stands in a frame or an announcement");
    }
}

/// The same attack does succeed with one member's KEM key: so the test above can fail.
#[test]
fn one_members_key_opens_the_recording() {
    let (room, recording) = record();
    let mut live = live(&room, &recording.issued, &room.members[2].secrets.kem, 2);
    let read: Vec<Content> = recording
        .frames
        .iter()
        .filter_map(|frame| live.open(frame).ok())
        .flat_map(|f| f.contents)
        .collect();
    assert_eq!(read.len(), recording.frames.len());
    let sealed = &recording.issued.boxes[0];
    assert!(sealed.is_of(&recording.issued.announcement));
    assert!(is_secret(&recording, room.keys.psk(), &recording.secret));
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}
