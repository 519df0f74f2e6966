//! What we say to one other: an epoch of ours, and its messages.

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Form, Line, NO_PSK, NONCE, PairPsk, VERSION, associated};
use crate::{
    EpochId, PairTag, aead, bounds,
    content::{self, Content},
    frame::chain::Chain,
    kem::KemKey,
    rest::SpeakingAtRest,
    wire::Writer,
};

/// An epoch of ours in a room of two.
///
/// One process holds it, and nobody clones it: two copies would use one counter twice.
pub struct Speaking {
    pub(super) form: Form,
    pub(super) tag: PairTag,
    pub(super) sealed_box: Vec<u8>,
    pub(super) chain: Chain,
}

/// Why something can't be said in this epoch: the caller's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpeakError {
    /// The epoch has had its [`bounds::MAX_PAIR_MESSAGES`]: another one is due.
    #[error("an epoch of two has at most {} messages", bounds::MAX_PAIR_MESSAGES)]
    Exhausted,
    /// A text of more than [`bounds::MAX_TEXT_BYTES`], or another content that fits in no frame.
    #[error("a message has at most {} bytes", bounds::MAX_TEXT_BYTES)]
    TooLong,
    /// It is sealed already, or not to be sent.
    #[error("a direct message says one thing that isn't sealed")]
    NotPlain,
}

/// The size of the body that says this, in an epoch of the larger form.
#[must_use]
pub fn body_len(said: &Content) -> usize {
    let padded = content::padded_len(content::contents_len(std::slice::from_ref(said)));
    Form::First.head_len() + NONCE + padded.unwrap_or(bounds::MAX_PADDED_BYTES) + aead::TAG
}

impl Speaking {
    /// An epoch of ours. That of a first word ([`Form::First`]) is sealed to the KEM key of the reader's leaf, `to`, and gives it `psk`; a
    /// turn to the key that the reader gave last, under a psk that it has. `answer` is the key that the reader seals to when it speaks;
    /// `seq` rises with each epoch of ours in this pair. `None` if `to` is no key.
    #[must_use]
    pub fn begin(
        rng: &mut impl CryptoRng,
        form: Form,
        line: &Line,
        to: &KemKey,
        psk: &PairPsk,
        seq: u64,
        answer: &KemKey,
    ) -> Option<Self> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        let (encapsulated, shared) = to.encapsulate(rng)?;
        let context = line.context(form, to);
        let salt = match form {
            Form::First => &NO_PSK,
            Form::Turn => psk.expose(),
        };
        let mut inside = Writer::with_capacity(form.inside_len());
        inside.u8(VERSION).u64(seq).raw(&*secret);
        if form == Form::First {
            inside.raw(psk.expose());
        }
        inside.raw(answer.as_bytes());
        let mut inside = Zeroizing::new(inside.finish());
        let seal = aead::cseal(&line.box_key(salt, &shared, &context), &[0; 12], &[], &mut inside);
        let sealed_box = [&encapsulated[..], &inside, &seal].concat();
        Some(Self {
            form,
            tag: psk.tag(&sealed_box),
            chain: Chain::new(line.chain_key(psk, &secret, &context)),
            sealed_box,
        })
    }

    /// How its reader knows it.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// What its messages begin with.
    #[must_use]
    pub const fn tag(&self) -> PairTag {
        self.tag
    }

    /// How many messages it has had.
    #[must_use]
    pub const fn said(&self) -> u64 {
        self.chain.next()
    }

    /// Seals what is said, as the body of a [`content::ContentKind::DIRECT`] in a frame of the parent's epoch `parent`, and moves the
    /// chain on.
    ///
    /// # Errors
    /// [`SpeakError`]; no counter is used up then.
    pub fn seal(&mut self, rng: &mut impl CryptoRng, parent: &EpochId, said: &Content) -> Result<Vec<u8>, SpeakError> {
        if said.is_private() || said.as_direct().is_some() {
            return Err(SpeakError::NotPlain);
        }
        let contents = std::slice::from_ref(said);
        let padded = content::padded_len(content::contents_len(contents)).filter(|_| said.is_bounded());
        let padded = padded.ok_or(SpeakError::TooLong)?;
        let next = self.chain.next();
        if next >= bounds::MAX_PAIR_MESSAGES {
            return Err(SpeakError::Exhausted);
        }
        let counter = u16::try_from(next).map_err(|_| SpeakError::Exhausted)?;
        let step = self.chain.prepare(next).map_err(|_| SpeakError::Exhausted)?;
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let head = self.form.head_len();
        let mut body = Writer::with_capacity(head + NONCE + padded + aead::TAG);
        body.u8(self.form as u8)
            .raw(self.tag.as_bytes())
            .raw(&self.sealed_box)
            .u16(counter)
            .raw(&nonce);
        content::write(contents, &mut body);
        let mut body = body.finish();
        body.resize(head + NONCE + padded, 0);
        let associated = associated(parent, &body[..head]);
        let seal = aead::cseal(step.message_key(), &nonce, &associated, &mut body[head + NONCE..]);
        body.extend_from_slice(&seal);
        self.chain.commit(step);
        Ok(body)
    }

    /// What of it rests on a disk.
    #[must_use]
    pub fn at_rest(&self) -> SpeakingAtRest {
        SpeakingAtRest {
            form: self.form,
            tag: self.tag,
            sealed_box: self.sealed_box.clone(),
            chain: self.chain.at_rest(),
        }
    }

    /// Takes it up again where it stood. A snapshot that is older than what was said since must not go unnoticed: see
    /// [`crate::frame::Epoch::restore`].
    #[must_use]
    pub fn restore(stored: SpeakingAtRest) -> Self {
        Self {
            form: stored.form,
            tag: stored.tag,
            sealed_box: stored.sealed_box,
            chain: Chain::restore(stored.chain),
        }
    }
}

impl core::fmt::Debug for Speaking {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            form,
            tag,
            sealed_box: _,
            chain: _,
        } = self;
        write!(f, "Speaking({form:?}, {tag}, redacted)")
    }
}
