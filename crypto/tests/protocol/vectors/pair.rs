//! Direct messages: a first word, the answer to it, and what each says.

use serde_json::{Value, json};
use snug_crypto::{
    EpochId, MessageId, PairHash,
    content::Content,
    kdf,
    kem::KemSecret,
    label,
    pair::{Begun, Body, Form, Line, PairPsk, Speaking, begin_first, begin_turn},
};

use super::{Fixed, Recorded, epochs::describe, epochs::text, fixed::NOW, flipped, hex, longer, reject};

/// An epoch of one of the two, and all that it is made of.
struct Spoken {
    line: Line,
    form: Form,
    /// What it is sealed to.
    kem: KemSecret,
    psk: PairPsk,
    answer: KemSecret,
    seq: u64,
    rng: Recorded,
    speaking: Speaking,
}

impl Spoken {
    fn new(
        form: Form,
        line: Line,
        kem: KemSecret,
        psk: PairPsk,
        answer: KemSecret,
        seq: u64,
        mut rng: Recorded,
    ) -> Self {
        let speaking = Speaking::begin(&mut rng, form, &line, &kem.public(), &psk, seq, &answer.public()).unwrap();
        Self {
            line,
            form,
            kem,
            psk,
            answer,
            seq,
            rng,
            speaking,
        }
    }

    /// As its reader, who sees it for the first time.
    fn read(&self, line: &Line, parent: &EpochId, bytes: &[u8]) -> Result<Content, String> {
        let body = Body::decode(bytes).map_err(|error| error.to_string())?;
        let begun = match self.form {
            Form::First => begin_first(&body, line, &self.kem),
            Form::Turn if !body.is_under(&self.psk) => return Err("not under the psk".to_owned()),
            Form::Turn => begin_turn(&body, line, &self.kem, &self.psk),
        };
        let Begun { mut epoch, .. } = begun.map_err(|error| error.to_string())?;
        epoch.open(parent, &body).map_err(|error| error.to_string())
    }

    fn describe(mut self, parent: EpochId, said: &[Content], other: &Line) -> Value {
        let parent_of = |index: usize| {
            if index == 0 {
                parent
            } else {
                EpochId::from_bytes([index as u8; 32])
            }
        };
        let mut bodies = Vec::new();
        let mut messages = Vec::new();
        for (index, content) in said.iter().enumerate() {
            let body = self.speaking.seal(&mut self.rng, &parent_of(index), content).unwrap();
            assert_eq!(self.read(&self.line, &parent_of(index), &body).as_ref(), Ok(content));
            messages.push(json!({
                "parent": hex(parent_of(index)), "counter": index, "nonce": hex(self.rng.drawn.last().unwrap()),
                "says": describe(content), "body": hex(&body),
            }));
            bodies.push(body);
        }
        let first = &bodies[0];
        let sealed_box = &first[9..first.len() - 2 - 12 - 256 - 16];
        let head = [
            &[self.form as u8][..],
            self.line.speaker.as_bytes(),
            self.line.reader.as_bytes(),
            &self.kem.public().hash(),
        ]
        .concat();
        let ctx = kdf::hash(label::PAIR_CONTEXT, &[self.line.pair.as_bytes(), &head]);
        let root = kdf::extract(self.psk.expose(), &self.rng.drawn[0]);
        let snd = kdf::expand(&*root, label::SENDERS, &[&ctx]);
        let chain = kdf::expand(&*snd, label::SENDER, &[self.line.speaker.as_bytes()]);
        let taken = |what: &str, bytes: &[u8]| {
            let mut case = reject(what, bytes, self.read(&self.line, &parent, bytes));
            case["parent"] = hex(parent);
            case["speaker"] = hex(self.line.speaker);
            case
        };
        let elsewhere = |what: &str, line: &Line, parent: &EpochId| {
            let mut case = reject(what, first, self.read(line, parent, first));
            case["parent"] = hex(parent);
            case["speaker"] = hex(line.speaker);
            case
        };
        let copied = Line {
            speaker: other.speaker,
            ..self.line
        };
        let end = first.len();
        let other_form = if self.form == Form::First { 2 } else { 1 };
        let mut replayed = {
            let body = Body::decode(first).unwrap();
            let begun = match self.form {
                Form::First => begin_first(&body, &self.line, &self.kem),
                Form::Turn => begin_turn(&body, &self.line, &self.kem, &self.psk),
            };
            begun.unwrap().epoch
        };
        replayed.open(&parent, &Body::decode(first).unwrap()).unwrap();
        let mut again = reject(
            "read before",
            first,
            replayed.open(&parent, &Body::decode(first).unwrap()),
        );
        again["parent"] = hex(parent);
        again["speaker"] = hex(self.line.speaker);
        json!({
            "form": self.form as u8,
            "speaker": hex(self.line.speaker), "reader": hex(self.line.reader),
            "kem_seed": hex(*self.kem.to_seed()), "kem_hash": hex(self.kem.public().hash()),
            "psk": hex(self.psk.expose()), "seq": self.seq, "es": hex(&self.rng.drawn[0]),
            "answer_seed": hex(*self.answer.to_seed()), "encapsulation_randomness": hex(&self.rng.drawn[1]),
            "ctx": hex(ctx), "extracted": hex(*root), "snd": hex(*snd), "ck_0": hex(*chain),
            "box": hex(sealed_box), "tag": hex(self.speaking.tag()),
            "messages": messages,
            "reject": [
                taken("of a later form", &[&[3], &first[1..]].concat()),
                taken("of the other form", &[&[other_form], &first[1..]].concat()),
                taken("with another tag", &flipped(first, 4)),
                taken("with another ciphertext of the KEM", &flipped(first, 9 + 700)),
                taken("with another box", &flipped(first, 9 + 1120 + 40)),
                taken("with another counter", &flipped(first, end - 256 - 16 - 12 - 1)),
                taken("with a counter above what an epoch has", &flipped(first, end - 256 - 16 - 12 - 2)),
                taken("with another nonce", &flipped(first, end - 256 - 16 - 3)),
                taken("with other contents", &flipped(first, end - 256)),
                taken("with another seal", &flipped(first, end - 1)),
                taken("cut short", &first[..end - 1]),
                taken("cut in its box", &first[..1_000]),
                taken("a byte too many", &longer(first)),
                elsewhere("copied by another member", &copied, &parent),
                elsewhere("copied into another epoch's frame", &self.line, &EpochId::from_bytes([0xEE; 32])),
                again,
            ],
        })
    }
}

impl Fixed {
    pub fn pair(&self) -> Value {
        let [alice, bob, carol] = [0, 1, 2].map(|at| &self.members[at]);
        let pair = PairHash::of(&self.hash(), &alice.identity.key(), &bob.identity.key());
        let line = |from: &super::fixed::FixedMember, to: &super::fixed::FixedMember| Line {
            pair,
            speaker: from.leaf.id(),
            reader: to.leaf.id(),
        };
        let parent = self.issued().1.announcement.epoch_id();
        let psk = || PairPsk::from_bytes(self.b(0x70));
        let answer = || KemSecret::from_seed(&self.b(0x71));
        let reply = MessageId::of(&snug_crypto::FrameHash::from_bytes(self.b(0x0C)), 2);
        let first = Spoken::new(
            Form::First,
            line(alice, bob),
            bob.secrets.kem.clone(),
            psk(),
            answer(),
            NOW,
            self.rng(12),
        );
        // Sealed to the key that the first word gave.
        let turn = Spoken::new(
            Form::Turn,
            line(bob, alice),
            answer(),
            psk(),
            KemSecret::from_seed(&self.b(0x72)),
            NOW + 5,
            self.rng(13),
        );
        let other = line(carol, bob);
        json!({
            "genesis_hash": hex(self.hash()),
            "identities": [hex(alice.identity.key()), hex(bob.identity.key())],
            "pair_hash": hex(pair),
            "epochs": [
                first.describe(parent, &[text("psst", None), text(&"y".repeat(300), None)], &other),
                turn.describe(parent, &[text("h\u{E9}", Some(reply)), text("again", None), text("and", None)], &other),
            ],
        })
    }
}
