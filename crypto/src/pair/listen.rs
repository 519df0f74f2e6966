//! What one other says to us: its epochs, and their messages.

use zeroize::Zeroizing;

use super::{Body, Form, Line, NO_PSK, PairError, PairPsk, VERSION, associated};
use crate::{
    EpochId, PairTag, aead, bounds,
    content::{self, Content},
    frame::chain::{Chain, ChainError},
    kem::{KEM_CIPHERTEXT, KemKey, KemSecret},
    rest::ListeningAtRest,
    wire::{DecodeError, Reader},
};

/// An epoch of the other one's in a room of two.
pub struct Listening {
    tag: PairTag,
    seq: u64,
    chain: Chain,
}

/// What a box held.
#[derive(Debug)]
pub struct Begun {
    /// What they share from now on, if they didn't before.
    pub psk: PairPsk,
    /// The key that we seal to when we speak.
    pub answer: KemKey,
    /// The epoch. Nothing of this is to be kept before a message of it has opened.
    pub epoch: Listening,
}

/// Opens the box of a first word with one of our KEM keys. Costs a decapsulation, whoever it is for.
///
/// # Errors
/// [`PairError`]
pub fn begin_first(body: &Body<'_>, line: &Line, kem: &KemSecret) -> Result<Begun, PairError> {
    if body.form != Form::First {
        return Err(PairError::OtherEpoch);
    }
    let (inside, context) = open(body, line, kem, &NO_PSK)?;
    read(body, line, &inside, &context, None)
}

/// Opens the box of an epoch under a psk that we have, with a key that we gave the other one. Ask [`Body::is_under`] first.
///
/// # Errors
/// [`PairError`]
pub fn begin_turn(body: &Body<'_>, line: &Line, kem: &KemSecret, psk: &PairPsk) -> Result<Begun, PairError> {
    if body.form != Form::Turn {
        return Err(PairError::OtherEpoch);
    }
    let (inside, context) = open(body, line, kem, psk.expose())?;
    read(body, line, &inside, &context, Some(psk))
}

type Inside = Zeroizing<Vec<u8>>;

fn open(body: &Body<'_>, line: &Line, kem: &KemSecret, salt: &[u8; 32]) -> Result<(Inside, [u8; 32]), PairError> {
    let (encapsulated, sealed) =
        (body.sealed_box().split_first_chunk::<KEM_CIPHERTEXT>()).ok_or(PairError::NotForUs)?;
    let context = line.context(body.form, &kem.public());
    let key = line.box_key(salt, &kem.decapsulate(encapsulated), &context);
    let mut inside = Zeroizing::new(sealed.to_vec());
    aead::copen(&key, &[0; 12], &[], &mut inside).map_err(|aead::Forged| PairError::NotForUs)?;
    inside.truncate(body.form.inside_len());
    Ok((inside, context))
}

fn read(
    body: &Body<'_>,
    line: &Line,
    inside: &[u8],
    context: &[u8; 32],
    shared: Option<&PairPsk>,
) -> Result<Begun, PairError> {
    let mut reader = Reader::new(inside);
    if reader.u8()? != VERSION {
        return Err(PairError::BadBox);
    }
    let seq = reader.u64()?;
    let secret = Zeroizing::new(reader.array()?);
    let psk = match shared {
        Some(psk) => psk.clone(),
        None => PairPsk::from_secret(&Zeroizing::new(reader.array()?)),
    };
    let answer = KemKey::from_bytes(&reader.array()?).ok_or(PairError::BadBox)?;
    reader.finish()?;
    if !body.is_under(&psk) {
        return Err(PairError::BadBox);
    }
    Ok(Begun {
        epoch: Listening {
            tag: body.tag,
            seq,
            chain: Chain::new(line.chain_key(&psk, &secret, context)),
        },
        psk,
        answer,
    })
}

impl Listening {
    /// What its messages begin with.
    #[must_use]
    pub const fn tag(&self) -> PairTag {
        self.tag
    }

    /// Its number among the speaker's epochs in this pair.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Opens a message that came in a frame of the parent's epoch `parent`; only then does the chain move.
    ///
    /// # Errors
    /// [`PairError`]
    pub fn open(&mut self, parent: &EpochId, body: &Body<'_>) -> Result<Content, PairError> {
        if body.tag != self.tag {
            return Err(PairError::OtherEpoch);
        }
        let counter = u64::from(body.counter);
        if counter >= bounds::MAX_PAIR_MESSAGES {
            return Err(PairError::Used);
        }
        let step = self.chain.prepare(counter).map_err(|error| match error {
            ChainError::Used | ChainError::TooFar { .. } => PairError::Used,
        })?;
        let mut text = Zeroizing::new(body.ciphertext.to_vec());
        let associated = associated(parent, body.head);
        aead::copen(step.message_key(), &body.nonce, &associated, &mut text)
            .map_err(|aead::Forged| PairError::Forged)?;
        text.truncate(body.ciphertext.len() - aead::TAG);
        let mut contents = content::read_padded(&text)?;
        match (contents.pop(), contents.is_empty()) {
            (Some(said), true) if said.as_direct().is_none() => {
                self.chain.commit(step);
                Ok(said)
            }
            _ => Err(PairError::Malformed(DecodeError::Invalid {
                what: "number of contents",
            })),
        }
    }

    /// What of it rests on a disk.
    #[must_use]
    pub fn at_rest(&self) -> ListeningAtRest {
        ListeningAtRest {
            tag: self.tag,
            seq: self.seq,
            chain: self.chain.at_rest(),
        }
    }

    /// Takes it up again where it stood.
    #[must_use]
    pub fn restore(stored: ListeningAtRest) -> Self {
        Self {
            tag: stored.tag,
            seq: stored.seq,
            chain: Chain::restore(stored.chain),
        }
    }
}

impl core::fmt::Debug for Listening {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { tag, seq, chain: _ } = self;
        write!(f, "Listening({tag}, {seq}, redacted)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::{LeafId, PairHash, content::ContentKind, pair::Speaking, wire::Writer};

    const PARENT: EpochId = EpochId::from_bytes([1; 32]);

    /// By a speaker who doesn't keep to the protocol: any contents, sealed as a message should be.
    fn sealed(speaking: &Speaking, contents: &[Content]) -> Vec<u8> {
        let mut head = Writer::new();
        head.u8(speaking.form as u8).raw(speaking.tag.as_bytes());
        head.raw(&speaking.sealed_box).u16(0);
        let mut said = Writer::new();
        content::write(contents, &mut said);
        let mut said = said.finish();
        said.resize(content::padded_len(said.len()).unwrap(), 0);
        let (head, nonce) = (head.finish(), [3; 12]);
        let step = speaking.chain.prepare(0).unwrap();
        let seal = aead::cseal(step.message_key(), &nonce, &associated(&PARENT, &head), &mut said);
        [&head[..], &nonce, &said, &seal].concat()
    }

    #[test]
    fn a_message_says_one_thing_that_is_not_sealed_again() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (kem, answer) = (KemSecret::generate(&mut rng), KemSecret::generate(&mut rng).public());
        let line = Line {
            pair: PairHash::from_bytes([4; 32]),
            speaker: LeafId::from_bytes([5; 16]),
            reader: LeafId::from_bytes([6; 16]),
        };
        let psk = PairPsk::from_bytes([7; 32]);
        let speaking = Speaking::begin(&mut rng, Form::First, &line, &kem.public(), &psk, 1, &answer).unwrap();
        let other = |kind| Content::Unknown { kind, bytes: vec![1] };
        let (plain, direct) = (other(ContentKind(900)), other(ContentKind::DIRECT));
        for (contents, read) in [
            (vec![plain.clone()], true),
            (vec![direct.clone()], false),
            (vec![plain.clone(), plain.clone()], false),
            (vec![direct, plain.clone()], false),
            (vec![], false),
        ] {
            let bytes = sealed(&speaking, &contents);
            let body = Body::decode(&bytes).unwrap();
            let mut epoch = begin_first(&body, &line, &kem).unwrap().epoch;
            let before = epoch.at_rest().encode();
            let opened = epoch.open(&PARENT, &body);
            assert_eq!(opened.as_ref().ok(), read.then_some(&plain), "{contents:?}");
            if !read {
                assert!(matches!(opened, Err(PairError::Malformed(_))), "{opened:?}");
                assert_eq!(epoch.at_rest().encode(), before, "nothing moves");
            }
        }
    }

    #[test]
    fn what_has_no_room_for_a_seal_is_no_body() {
        let head = |form: Form| form.head_len() + super::super::NONCE;
        for form in [Form::First, Form::Turn] {
            let mut bytes = vec![0; head(form) + aead::TAG];
            bytes[0] = form as u8;
            assert!(Body::decode(&bytes).is_ok());
            for len in [0, 1, head(form), bytes.len() - 1] {
                assert_eq!(Body::decode(&bytes[..len]), Err(DecodeError::Truncated), "{len} bytes");
            }
        }
    }
}
