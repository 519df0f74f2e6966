//! Direct messages: a room of two inside the frames of its parent. docs/PROTOCOL.md, "Direct messages".
//!
//! ```text
//! pair_hash = H("pair", genesis_hash, the lower identity_vk, the higher identity_vk)
//! head      = form(1) ‖ issuer's leaf_id(16) ‖ reader's leaf_id(16) ‖ H("kem", the key that it is sealed to)(32)
//! ctx       = H("pair context", pair_hash, head)
//! box       = X-Wing ciphertext(1120) ‖ ChaCha20-Poly1305(K, nonce = 0, AD empty, inside)
//! K         = X(Extract(salt, ss), "box", ctx, reader's leaf_id);  salt = 32 zeros in form 01, psk in form 02
//! inside    = 01 ‖ seq(8) ‖ es(32) ‖ psk(32), in form 01 only ‖ answer_ek(1216)
//! tag       = MAC(psk, "pair tag", box)[..8]
//! snd       = X(Extract(psk, es), "snd", ctx);  ck_0 = X(snd, "sender", issuer's leaf_id)
//! body      = form(1) ‖ tag(8) ‖ box ‖ counter(2) ‖ nonce(12) ‖ ChaCha20-Poly1305(mk, nonce, AD, padded contents)
//! AD        = epoch_id of the parent's frame ‖ body up to the nonce
//! ```
//!
//! An epoch of a pair has one speaker, who issues it, and each of its messages carries its box, so that none waits for another. Who
//! wrote it is proven by the parent's frame, which its leaf key signs.

mod listen;
mod speak;

use core::fmt;

use subtle::ConstantTimeEq;
use thiserror::Error;

pub use listen::{Begun, Listening, begin_first, begin_turn};
pub use speak::{SpeakError, Speaking, body_len};

use crate::{
    EpochId, LeafId, PairHash, PairTag, aead, kdf,
    kdf::Secret32,
    kem::{KEM_CIPHERTEXT, KEM_KEY, KemKey},
    label,
    secret::secret,
    wire::{DecodeError, Reader, Writer},
};

secret! {
    /// What the two of a pair share from their first word on, 32 bytes.
    pub PairPsk
}

/// The version of what is in a box.
const VERSION: u8 = 1;
/// What salts the box of a first word, whose reader has no psk yet.
const NO_PSK: [u8; 32] = [0; 32];
/// The nonce of a message.
const NONCE: usize = 12;

/// How the reader knows that an epoch is for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Form {
    /// Sealed to the KEM key of the reader's leaf, with the psk inside: the reader has to try.
    First = 1,
    /// Sealed under the psk to the key that the reader gave last: the tag tells.
    Turn = 2,
}

impl Form {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::First),
            2 => Some(Self::Turn),
            _ => None,
        }
    }

    const fn inside_len(self) -> usize {
        let psk = match self {
            Self::First => 32,
            Self::Turn => 0,
        };
        1 + 8 + 32 + psk + KEM_KEY
    }

    /// Size of an epoch's box.
    pub(crate) const fn box_len(self) -> usize {
        KEM_CIPHERTEXT + self.inside_len() + aead::TAG
    }

    /// What stands in a body before the nonce.
    const fn head_len(self) -> usize {
        1 + PairTag::LEN + self.box_len() + 2
    }
}

/// Who says something to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Their room of two.
    pub pair: PairHash,
    /// The leaf of the one who issues the epoch and speaks in it.
    pub speaker: LeafId,
    /// The leaf of the other one.
    pub reader: LeafId,
}

impl Line {
    fn context(&self, form: Form, kem: &KemKey) -> [u8; 32] {
        let mut head = Writer::with_capacity(1 + 2 * LeafId::LEN + 32);
        head.u8(form as u8)
            .raw(self.speaker.as_bytes())
            .raw(self.reader.as_bytes())
            .raw(&kem.hash());
        kdf::hash(label::PAIR_CONTEXT, &[self.pair.as_bytes(), head.as_slice()])
    }

    fn box_key(&self, salt: &[u8; 32], shared: &Secret32, context: &[u8; 32]) -> Secret32 {
        let extracted = kdf::extract(salt, &shared[..]);
        kdf::expand(&*extracted, label::BOX, &[context, self.reader.as_bytes()])
    }

    /// The first key of the epoch's one chain.
    fn chain_key(&self, psk: &PairPsk, secret: &[u8; 32], context: &[u8; 32]) -> Secret32 {
        let senders = kdf::expand(&*kdf::extract(psk.expose(), secret), label::SENDERS, &[context]);
        kdf::expand(&*senders, label::SENDER, &[self.speaker.as_bytes()])
    }
}

impl PairPsk {
    /// The tag of an epoch under this psk.
    fn tag(&self, sealed_box: &[u8]) -> PairTag {
        let mut tag = [0; PairTag::LEN];
        tag.copy_from_slice(&kdf::mac(self.expose(), label::PAIR_TAG, &[sealed_box])[..PairTag::LEN]);
        PairTag::from_bytes(tag)
    }
}

/// A direct message as it came: sealed, and perhaps not for us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Body<'a> {
    form: Form,
    tag: PairTag,
    counter: u16,
    nonce: [u8; NONCE],
    /// All that stands before the nonce.
    head: &'a [u8],
    ciphertext: &'a [u8],
}

impl<'a> Body<'a> {
    /// Decodes; a form of a later version is [`DecodeError::Unsupported`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let form = Form::from_byte(reader.u8()?).ok_or(DecodeError::Unsupported { what: "direct message" })?;
        let tag = PairTag::from_bytes(reader.array()?);
        reader.raw(form.box_len())?;
        let counter = reader.u16()?;
        let nonce = reader.array()?;
        let ciphertext = reader.rest();
        if ciphertext.len() < aead::TAG {
            return Err(DecodeError::Truncated);
        }
        Ok(Self {
            form,
            tag,
            counter,
            nonce,
            head: bytes.get(..form.head_len()).ok_or(DecodeError::Truncated)?,
            ciphertext,
        })
    }

    /// Whether it has to be tried, or is told by its tag.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The tag of its epoch, if its sender is honest: alike in all of that epoch's messages.
    #[must_use]
    pub const fn tag(&self) -> PairTag {
        self.tag
    }

    /// Whether it is of an epoch under this psk.
    #[must_use]
    pub fn is_under(&self, psk: &PairPsk) -> bool {
        let tag = psk.tag(self.sealed_box());
        bool::from(tag.as_bytes()[..].ct_eq(&self.tag.as_bytes()[..]))
    }

    fn sealed_box(&self) -> &'a [u8] {
        &self.head[1 + PairTag::LEN..self.head.len() - 2]
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?}, {}, {})", self.form, self.tag, self.counter)
    }
}

/// Why a direct message can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PairError {
    /// Its box doesn't open with this key.
    #[error("the direct message is not for this key")]
    NotForUs,
    /// Its box opens, and holds what no honest speaker puts in.
    #[error("the direct message's box holds something else than an epoch")]
    BadBox,
    /// It is of another epoch.
    #[error("a direct message of another epoch")]
    OtherEpoch,
    /// It was read before, or its counter is above what an epoch has.
    #[error("the direct message was read before, or can't be")]
    Used,
    /// Its seal is wrong: it was changed, or copied out of another frame.
    #[error("the direct message's seal doesn't open")]
    Forged,
    /// It says something else than one thing.
    #[error("malformed direct message: {0}")]
    Malformed(#[from] DecodeError),
}

/// What a message's seal covers beside it: the parent's epoch, and all that stands before the nonce.
fn associated(parent: &EpochId, head: &[u8]) -> Vec<u8> {
    [&parent.as_bytes()[..], head].concat()
}
