//! Two members with one epoch of each form between them, the same for every input; and the hand of the speaker who seals what it likes.

use std::sync::LazyLock;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use snug_crypto::{
    EpochId, GenesisHash, IdentityKey, LeafId, PairHash,
    content::Content,
    kdf,
    kem::KemSecret,
    label,
    pair::{Body, Form, Line, Listening, PairPsk, Speaking, begin_first, begin_turn},
    rest::ListeningAtRest,
};
use x_wing::Encapsulate;

use crate::{step, text};

/// The epoch of the room whose frames carry all of it.
pub const PARENT: EpochId = EpochId::from_bytes([1; 32]);
/// Where an epoch's secret stands inside of a box.
pub const SECRET: std::ops::Range<usize> = 9..41;

/// Speaker and reader.
pub struct Two {
    /// Who speaks to whom.
    pub line: Line,
    /// What boxes are sealed to.
    pub kem: KemSecret,
    /// What they share.
    pub psk: PairPsk,
    answer: KemSecret,
    /// A box's KEM ciphertext and shared secret. An honest speaker has new ones for each box.
    encapsulated: (Vec<u8>, [u8; 32]),
    genuine: [Vec<u8>; 2],
    listening: [Vec<u8>; 2],
}

/// A box that somebody sealed, and the tag that says so.
pub struct SealedBox {
    form: Form,
    context: [u8; 32],
    /// Its epoch's.
    pub tag: [u8; 8],
    bytes: Vec<u8>,
}

static TWO: LazyLock<Two> = LazyLock::new(Two::make);

impl Two {
    /// The same two each time.
    #[expect(clippy::new_ret_no_self, reason = "made once, and changed by nobody")]
    pub fn new() -> &'static Self {
        &TWO
    }

    fn make() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let [alice, bob] = [1, 2].map(|byte| IdentityKey::from_bytes([byte; 32]));
        let (kem, answer) = (KemSecret::generate(&mut rng), KemSecret::generate(&mut rng));
        let public = kem.public();
        let key = x_wing::EncapsulationKey::try_from(&public.as_bytes()[..]).unwrap();
        let (ciphertext, shared) = key.encapsulate_with_rng(&mut rng);
        let mut two = Self {
            line: Line {
                pair: PairHash::of(&GenesisHash::from_bytes([9; 32]), &alice, &bob),
                speaker: LeafId::from_bytes([1; 16]),
                reader: LeafId::from_bytes([2; 16]),
            },
            psk: PairPsk::from_bytes([7; 32]),
            kem,
            answer,
            encapsulated: (ciphertext.to_vec(), shared.into()),
            genuine: Default::default(),
            listening: Default::default(),
        };
        for form in [Form::First, Form::Turn] {
            let mut speaking =
                Speaking::begin(&mut rng, form, &two.line, &public, &two.psk, 1, &two.answer.public()).unwrap();
            let bytes = speaking.seal(&mut rng, &PARENT, &text("hello")).unwrap();
            let body = Body::decode(&bytes).unwrap();
            let begun = match form {
                Form::First => begin_first(&body, &two.line, &two.kem),
                Form::Turn => begin_turn(&body, &two.line, &two.kem, &two.psk),
            };
            two.listening[form as usize - 1] = begun.unwrap().epoch.at_rest().encode().to_vec();
            two.genuine[form as usize - 1] = bytes;
        }
        two
    }

    /// A message that an honest speaker sealed: "hello".
    pub fn genuine(&self, form: Form) -> &[u8] {
        &self.genuine[form as usize - 1]
    }

    /// Its epoch, begun by the reader, who has opened nothing in it yet.
    pub fn listening(&self, form: Form) -> Listening {
        Listening::restore(ListeningAtRest::decode(&self.listening[form as usize - 1]).unwrap())
    }

    /// What an honest speaker puts into a box.
    pub fn honest(&self, form: Form) -> Vec<u8> {
        let psk: &[u8] = if form == Form::First { self.psk.expose() } else { &[] };
        let answer = self.answer.public();
        [&[1], &1u64.to_be_bytes()[..], &[6; 32], psk, answer.as_bytes()].concat()
    }

    /// Seals any inside of a box.
    pub fn seal_box(&self, form: Form, inside: &[u8]) -> SealedBox {
        let (line, kem) = (&self.line, self.kem.public().hash());
        let head = [&[form as u8][..], line.speaker.as_bytes(), line.reader.as_bytes(), &kem].concat();
        let context = kdf::hash(label::PAIR_CONTEXT, &[line.pair.as_bytes(), &head]);
        let salt = if form == Form::First {
            &[0; 32]
        } else {
            self.psk.expose()
        };
        let (ciphertext, shared) = &self.encapsulated;
        let key = kdf::expand(
            &*kdf::extract(salt, shared),
            label::BOX,
            &[&context, line.reader.as_bytes()],
        );
        let bytes = [ciphertext, &seal(&key, &[0; 12], &[], inside)[..]].concat();
        let psk = match form {
            Form::First => inside[41..73].try_into().unwrap(),
            Form::Turn => *self.psk.expose(),
        };
        let mut tag = [0; 8];
        tag.copy_from_slice(&kdf::mac(&psk, label::PAIR_TAG, &[&bytes])[..8]);
        SealedBox {
            form,
            context,
            tag,
            bytes,
        }
    }

    /// One thing, as it stands in a message.
    pub fn padded(&self, said: &Content) -> Vec<u8> {
        let Content::Text {
            text,
            reply_to: None,
            sent_at_ms,
        } = said
        else {
            panic!("a text that answers nothing");
        };
        let text = [
            &(text.len() as u32).to_be_bytes(),
            text.as_bytes(),
            &[0],
            &sent_at_ms.to_be_bytes()[..],
        ]
        .concat();
        let mut padded = [&[0, 0, 0, 1, 0, 1], &(text.len() as u32).to_be_bytes()[..], &text].concat();
        padded.resize(snug_crypto::content::padded_len(padded.len()).unwrap(), 0);
        padded
    }
}

impl SealedBox {
    /// The message with any counter and any contents in the epoch of this box.
    pub fn message(&self, line: &Line, psk: &[u8; 32], secret: &[u8], counter: u16, padded: &[u8]) -> Vec<u8> {
        let root = kdf::extract(psk, secret);
        let senders = kdf::expand(&*root, label::SENDERS, &[&self.context]);
        let mut chain = *kdf::expand(&*senders, label::SENDER, &[line.speaker.as_bytes()]);
        for _ in 0..counter {
            chain = step(&chain, 2);
        }
        let head = [&[self.form as u8], &self.tag[..], &self.bytes, &counter.to_be_bytes()].concat();
        let associated = [&PARENT.as_bytes()[..], &head].concat();
        let nonce = [3; 12];
        [&head, &nonce[..], &seal(&step(&chain, 1), &nonce, &associated, padded)].concat()
    }
}

fn seal(key: &[u8; 32], nonce: &[u8; 12], associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut text = plaintext.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    let tag = cipher
        .encrypt_inout_detached(nonce.into(), associated, text.as_mut_slice().into())
        .unwrap();
    [&text[..], &tag[..]].concat()
}
