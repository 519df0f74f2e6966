//! Direct messages: who reads them, and who doesn't.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    EpochId, GenesisHash, IdentityKey, LeafId, MessageId, PairHash, bounds,
    content::Content,
    kem::KemSecret,
    pair::{
        Begun, Body, Form, Line, Listening, PairError, PairPsk, SpeakError, Speaking, begin_first, begin_turn, body_len,
    },
    rest::{FormerKemAtRest, HeardAtRest, ListeningAtRest, PairAtRest, SpokenAtRest},
};

const PARENT: EpochId = EpochId::from_bytes([1; 32]);

struct Two {
    rng: ChaCha20Rng,
    line: Line,
    psk: PairPsk,
    leaf: KemSecret,
    answer: KemSecret,
}

impl Two {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let [alice, bob] = [1, 2].map(|byte| IdentityKey::from_bytes([byte; 32]));
        Self {
            line: Line {
                pair: PairHash::of(&GenesisHash::from_bytes([9; 32]), &alice, &bob),
                speaker: LeafId::from_bytes([1; 16]),
                reader: LeafId::from_bytes([2; 16]),
            },
            psk: PairPsk::from_bytes([7; 32]),
            leaf: KemSecret::generate(&mut rng),
            answer: KemSecret::generate(&mut rng),
            rng,
        }
    }

    fn first(&mut self) -> Speaking {
        let (to, answer) = (self.leaf.public(), self.answer.public());
        Speaking::begin(&mut self.rng, Form::First, &self.line, &to, &self.psk, 1, &answer).unwrap()
    }

    fn back(&self) -> Line {
        Line {
            pair: self.line.pair,
            speaker: self.line.reader,
            reader: self.line.speaker,
        }
    }

    fn say(&mut self, speaking: &mut Speaking, said: &str) -> Vec<u8> {
        speaking.seal(&mut self.rng, &PARENT, &text(said)).unwrap()
    }

    fn begin(&self, bytes: &[u8]) -> Result<Begun, PairError> {
        begin_first(&Body::decode(bytes)?, &self.line, &self.leaf)
    }
}

fn text(said: &str) -> Content {
    Content::Text {
        text: said.to_owned(),
        reply_to: None,
        sent_at_ms: 1,
    }
}

fn open(epoch: &mut Listening, bytes: &[u8]) -> Result<Content, PairError> {
    epoch.open(&PARENT, &Body::decode(bytes)?)
}

#[test]
fn a_word_and_its_answer_are_read_in_any_order_and_once() {
    let mut two = Two::new(1);
    let mut speaking = two.first();
    let bodies: Vec<_> = (0..5).map(|n| two.say(&mut speaking, &n.to_string())).collect();
    // Each carries its box, so that the last one may come first.
    let Begun { psk, answer, mut epoch } = two.begin(&bodies[4]).unwrap();
    for at in [4, 0, 3, 1, 2] {
        assert_eq!(open(&mut epoch, &bodies[at]), Ok(text(&at.to_string())));
        assert_eq!(open(&mut epoch, &bodies[at]), Err(PairError::Used));
    }
    assert_eq!((speaking.form(), speaking.said(), epoch.seq()), (Form::First, 5, 1));

    let back = two.back();
    let next = KemSecret::generate(&mut two.rng).public();
    let mut answering = Speaking::begin(&mut two.rng, Form::Turn, &back, &answer, &psk, 1, &next).unwrap();
    let bytes = answering.seal(&mut two.rng, &PARENT, &text("yes")).unwrap();
    let body = Body::decode(&bytes).unwrap();
    assert!(body.is_under(&two.psk) && !body.is_under(&PairPsk::from_bytes([8; 32])));
    assert!(begin_first(&body, &back, &two.answer).is_err());
    let begun = begin_turn(&body, &back, &two.answer, &two.psk);
    let mut begun = begun.unwrap();
    assert_eq!(begun.epoch.open(&PARENT, &body), Ok(text("yes")));
    assert_eq!(begun.answer, next);
}

#[test]
fn nobody_else_reads_it_and_nobody_can_pass_it_off_as_their_own() {
    let mut two = Two::new(2);
    let mut speaking = two.first();
    let bytes = two.say(&mut speaking, "psst");
    let body = Body::decode(&bytes).unwrap();
    let stranger = KemSecret::generate(&mut two.rng);
    assert_eq!(
        begin_first(&body, &two.line, &stranger).unwrap_err(),
        PairError::NotForUs
    );
    // The right key, and another speaker, another reader, another pair.
    let mut lines = [two.line; 3];
    lines[0].speaker = LeafId::from_bytes([3; 16]);
    lines[1].reader = LeafId::from_bytes([3; 16]);
    lines[2].pair = PairHash::of(
        &GenesisHash::from_bytes([8; 32]),
        &IdentityKey::from_bytes([1; 32]),
        &IdentityKey::from_bytes([2; 32]),
    );
    for line in lines {
        assert_eq!(
            begin_first(&body, &line, &two.leaf).unwrap_err(),
            PairError::NotForUs,
            "{line:?}"
        );
    }
    // In a frame of another epoch of the room.
    let mut begun = two.begin(&bytes).unwrap();
    let other = EpochId::from_bytes([2; 32]);
    assert_eq!(begun.epoch.open(&other, &body), Err(PairError::Forged));
    assert_eq!(
        begun.epoch.open(&PARENT, &body),
        Ok(text("psst")),
        "a failure moves nothing"
    );
}

#[test]
fn no_change_of_any_byte_is_read() {
    let mut two = Two::new(3);
    let mut speaking = two.first();
    let bytes = two.say(&mut speaking, "psst");
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let read = two.begin(&bad).and_then(|mut begun| open(&mut begun.epoch, &bad));
        assert!(read.is_err(), "byte {at}");
        assert!(
            two.begin(&bytes[..at])
                .and_then(|mut begun| open(&mut begun.epoch, &bytes[..at]))
                .is_err()
        );
    }
}

#[test]
fn lengths_and_counts_are_bounded() {
    let mut two = Two::new(4);
    let mut speaking = two.first();
    let (one, other) = (two.say(&mut speaking, "y"), two.say(&mut speaking, &"y".repeat(200)));
    assert_eq!(one.len(), other.len(), "the padding hides the length");
    assert_eq!(one.len(), body_len(&text("y")));
    let longest = "y".repeat(bounds::MAX_TEXT_BYTES);
    assert!(two.say(&mut speaking, &longest).len() < bounds::MAX_PADDED_BYTES);
    let parent = PARENT;
    let mut refused = |said: &Content| speaking.seal(&mut two.rng, &parent, said).unwrap_err();
    assert_eq!(refused(&text(&(longest + "y"))), SpeakError::TooLong);
    assert_eq!(refused(&Content::direct(one)), SpeakError::NotPlain);
    while speaking.said() < bounds::MAX_PAIR_MESSAGES {
        two.say(&mut speaking, "on");
    }
    let parent = PARENT;
    assert_eq!(
        speaking.seal(&mut two.rng, &parent, &text("")),
        Err(SpeakError::Exhausted)
    );
}

#[test]
fn a_pair_at_rest_goes_on_where_it_was() {
    let mut two = Two::new(5);
    let mut speaking = two.first();
    let early = two.say(&mut speaking, "early");
    let first = two.say(&mut speaking, "one");
    let mut begun = two.begin(&first).unwrap();
    open(&mut begun.epoch, &first).unwrap();

    let stored = PairAtRest {
        used_ms: 5,
        seq: 6,
        floor: 7,
        psks: vec![two.psk.clone()],
        answers: vec![(8, two.answer.clone())],
        heard: Some(HeardAtRest {
            seq: 9,
            psk: begun.psk.clone(),
            answer: begun.answer.clone(),
        }),
        speaking: Some(SpokenAtRest {
            begun_ms: 10,
            turned: true,
            epoch: speaking.at_rest(),
        }),
    };
    let bytes = stored.encode();
    let again = PairAtRest::decode(&bytes).unwrap();
    assert_eq!(again.encode(), bytes);
    assert_eq!((again.used_ms, again.seq, again.floor), (5, 6, 7));
    let heard = again.heard.unwrap();
    assert_eq!((heard.seq, heard.answer), (9, two.answer.public()));
    let spoken = again.speaking.unwrap();
    assert!(spoken.turned && spoken.begun_ms == 10);
    let mut speaking = Speaking::restore(spoken.epoch);
    let next = two.say(&mut speaking, "two");

    let listening = begun.epoch.at_rest().encode();
    let mut epoch = Listening::restore(ListeningAtRest::decode(&listening).unwrap());
    assert_eq!(open(&mut epoch, &next), Ok(text("two")));
    assert_eq!(open(&mut epoch, &first), Err(PairError::Used));
    assert_eq!(open(&mut epoch, &early), Ok(text("early")));

    // As documented: no vector holds it, but who comes back with a newer program reads it.
    let number = |number: u64| number.to_be_bytes();
    let (seed, answer) = (two.answer.to_seed(), two.answer.public());
    let pair = [
        &[1],
        &number(5)[..],
        &number(6),
        &number(7),
        &[0, 0, 0, 1],
        &[7; 32],
        &[0, 0, 0, 1],
        &number(8),
        &seed[..],
        &[1],
        &number(9),
        &[7; 32],
        answer.as_bytes(),
        &[1],
        &number(10),
        &[1],
        &first[..9 + 2_425],
        &[0, 0, 0, 45],
        &[1],
        &number(2),
    ];
    let pair = pair.concat();
    assert_eq!(bytes[..pair.len()], pair);
    assert_eq!(bytes[pair.len() + 32..], [0; 4]);
    let tag = speaking.tag();
    assert_eq!(
        listening[..26],
        [&[1], &tag.as_bytes()[..], &number(1), &[1], &number(2)].concat()
    );
    assert_eq!(
        listening[58..],
        [&[0, 0, 0, 1], &number(0)[..], &listening[70..]].concat()
    );
    assert_eq!(listening.len(), 62 + 40);

    let former = FormerKemAtRest {
        retired_ms: 3,
        leaf: two.line.reader,
        kem: two.leaf.clone(),
    };
    let laid_out = [
        &[1],
        &number(3)[..],
        two.line.reader.as_bytes(),
        &two.leaf.to_seed()[..],
    ]
    .concat();
    assert_eq!(*former.encode(), laid_out);
    let rested = FormerKemAtRest::decode(&former.encode()).unwrap();
    assert_eq!(rested.encode(), former.encode());
    assert_eq!(rested.kem.public(), two.leaf.public());
    for len in 0..bytes.len() {
        assert!(PairAtRest::decode(&bytes[..len]).is_err(), "{len}");
    }
    for len in 0..listening.len() {
        assert!(ListeningAtRest::decode(&listening[..len]).is_err(), "{len}");
    }
    for len in 0..former.encode().len() {
        assert!(FormerKemAtRest::decode(&former.encode()[..len]).is_err(), "{len}");
    }
    let shown = format!("{stored:?} {former:?} {speaking:?} {epoch:?}");
    assert!(!shown.contains("[7, 7") && !shown.contains("0707"), "{shown}");
}

#[test]
fn contents_that_say_more_than_one_thing_are_no_message() {
    // Only a speaker who doesn't keep to the protocol makes one; ours seals one content, so that each has an id of its own.
    let mut two = Two::new(6);
    let mut speaking = two.first();
    let private = Content::Private {
        with: IdentityKey::from_bytes([1; 32]),
        said: Box::new(text("x")),
    };
    let sealed = speaking.seal(&mut two.rng, &PARENT, &private);
    assert_eq!(sealed, Err(SpeakError::NotPlain));
    let reply = Content::Text {
        text: "with a reply".to_owned(),
        reply_to: Some(MessageId::from_bytes([4; 32])),
        sent_at_ms: 2,
    };
    let body = speaking.seal(&mut two.rng, &PARENT, &reply).unwrap();
    let mut begun = two.begin(&body).unwrap();
    assert_eq!(open(&mut begun.epoch, &body), Ok(reply));
}
