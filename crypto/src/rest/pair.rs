//! What two members share, at rest: docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! pair       = 01 ‖ used_at u64 ‖ seq u64 ‖ floor u64 ‖ list of psk(32) ‖ list of (passed_at u64 ‖ answer seed(32))
//!                 ‖ option (seq u64 ‖ psk(32) ‖ answer_ek(1216)) ‖ option (begun_at u64 ‖ turned bool ‖ speaking)
//! speaking   = form(1) ‖ tag(8) ‖ box ‖ lp(chain)
//! pair epoch = 01 ‖ tag(8) ‖ seq u64 ‖ chain
//! former kem = 01 ‖ retired_at u64 ‖ leaf_id(16) ‖ KEM seed(32)
//! ```
//!
//! An epoch that we read is apart from its pair, because each message moves one chain and nothing else.

use core::fmt;

use super::{ChainAtRest, RestBytes, begin, finish, open, secret};
use crate::{
    LeafId, PairTag, bounds,
    kem::{KEM_KEY, KemKey, KemSecret},
    pair::{Form, PairPsk},
    wire::{DecodeError, Reader},
};

/// Secrets of one pair that are kept, at most: see [`PairAtRest`].
const MAX_PSKS: usize = 8;
/// Keys of one pair that are kept, at most.
const MAX_ANSWERS: usize = 16;
/// Largest encoded chain of a pair's epoch.
const MAX_CHAIN: usize = 45 + 40 * bounds::MAX_PAIR_MESSAGES as usize;

/// What is kept of a pair but for the epochs that we read.
pub struct PairAtRest {
    /// When something was said in it last, Unix milliseconds.
    pub used_ms: u64,
    /// The number of our newest epoch.
    pub seq: u64,
    /// Epochs of the other one up to this number are never begun again.
    pub floor: u64,
    /// What both share, the newest last; at most 8.
    pub psks: Vec<PairPsk>,
    /// The keys that we gave, the newest last, at most 16; and since when the other one used a newer one, 0 if it hasn't.
    pub answers: Vec<(u64, KemSecret)>,
    /// What the other one's newest epoch gave us.
    pub heard: Option<HeardAtRest>,
    /// The epoch that we speak in.
    pub speaking: Option<SpokenAtRest>,
}

/// What the newest epoch of the other one gave us.
pub struct HeardAtRest {
    /// Its number.
    pub seq: u64,
    /// The psk that it is under.
    pub psk: PairPsk,
    /// The key to seal to.
    pub answer: KemKey,
}

/// The epoch that we speak in.
pub struct SpokenAtRest {
    /// When it began, Unix milliseconds.
    pub begun_ms: u64,
    /// Whether the other one has spoken since.
    pub turned: bool,
    /// The epoch.
    pub epoch: SpeakingAtRest,
}

/// An epoch of ours: its box, and the key to come.
pub struct SpeakingAtRest {
    pub(crate) form: Form,
    pub(crate) tag: PairTag,
    pub(crate) sealed_box: Vec<u8>,
    pub(crate) chain: ChainAtRest,
}

/// An epoch of the other one's.
pub struct ListeningAtRest {
    pub(crate) tag: PairTag,
    pub(crate) seq: u64,
    pub(crate) chain: ChainAtRest,
}

/// A KEM key of a leaf of ours that was rotated away: first words may be sealed to it.
pub struct FormerKemAtRest {
    /// When, Unix milliseconds.
    pub retired_ms: u64,
    /// The leaf.
    pub leaf: LeafId,
    /// The key.
    pub kem: KemSecret,
}

impl PairAtRest {
    /// Its bytes: at most 18 KiB.
    #[must_use]
    pub fn encode(&self) -> RestBytes {
        let speaking = self.speaking.as_ref().map(|spoken| {
            let chain = spoken.epoch.chain.encode();
            (spoken, chain)
        });
        let spoken_len = |(spoken, chain): &(&SpokenAtRest, RestBytes)| {
            8 + 1 + 1 + PairTag::LEN + spoken.epoch.sealed_box.len() + 4 + chain.len()
        };
        let fixed = 24 + 4 + 32 * self.psks.len() + 4 + 40 * self.answers.len() + 1 + 8 + 32 + KEM_KEY + 1;
        let mut writer = begin(fixed + speaking.as_ref().map_or(0, spoken_len));
        writer.u64(self.used_ms).u64(self.seq).u64(self.floor);
        writer.list(newest(&self.psks, MAX_PSKS), |w, psk| {
            w.raw(psk.expose());
        });
        writer.list(newest(&self.answers, MAX_ANSWERS), |w, (at_ms, kem)| {
            w.u64(*at_ms).raw(&*kem.to_seed());
        });
        writer.option(self.heard.as_ref(), |w, heard| {
            w.u64(heard.seq).raw(heard.psk.expose()).raw(heard.answer.as_bytes());
        });
        writer.option(speaking.as_ref(), |w, (spoken, chain)| {
            w.u64(spoken.begun_ms).bool(spoken.turned);
            let SpeakingAtRest {
                form, tag, sealed_box, ..
            } = &spoken.epoch;
            w.u8(*form as u8).raw(tag.as_bytes()).raw(sealed_box).lp(chain);
        });
        finish(writer)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored pair", bytes)?;
        let (used_ms, seq, floor) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let psk = |r: &mut Reader<'_>| Ok(PairPsk::from_secret(&secret(r)?));
        let kem_key =
            |r: &mut Reader<'_>| KemKey::from_bytes(&r.array()?).ok_or(DecodeError::Invalid { what: "stored key" });
        let psks = reader.list("stored secrets", MAX_PSKS, psk)?;
        let answers = reader.list("stored keys", MAX_ANSWERS, |r| {
            Ok((r.u64()?, KemSecret::from_seed(&*secret(r)?)))
        })?;
        let heard = reader.option("what was heard", |r| {
            Ok(HeardAtRest {
                seq: r.u64()?,
                psk: psk(r)?,
                answer: kem_key(r)?,
            })
        })?;
        let speaking = reader.option("what was said", |r| {
            Ok(SpokenAtRest {
                begun_ms: r.u64()?,
                turned: r.bool("turn")?,
                epoch: SpeakingAtRest::read(r)?,
            })
        })?;
        reader.finish()?;
        Ok(Self {
            used_ms,
            seq,
            floor,
            psks,
            answers,
            heard,
            speaking,
        })
    }
}

impl SpeakingAtRest {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let form = Form::from_byte(reader.u8()?).ok_or(DecodeError::Unsupported { what: "stored epoch" })?;
        let tag = PairTag::from_bytes(reader.array()?);
        let sealed_box = reader.raw(form.box_len())?.to_vec();
        let chain = ChainAtRest::decode(reader.lp("stored chain", MAX_CHAIN)?)?;
        Ok(Self {
            form,
            tag,
            sealed_box,
            chain,
        })
    }
}

impl ListeningAtRest {
    /// Its bytes: 62, and 40 for each missing message.
    #[must_use]
    pub fn encode(&self) -> RestBytes {
        let chain = self.chain.encode();
        let mut writer = begin(PairTag::LEN + 8 + chain.len());
        writer.raw(self.tag.as_bytes()).u64(self.seq).raw(&chain);
        finish(writer)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored epoch", bytes)?;
        Ok(Self {
            tag: PairTag::from_bytes(reader.array()?),
            seq: reader.u64()?,
            chain: ChainAtRest::decode(reader.rest())?,
        })
    }
}

impl FormerKemAtRest {
    /// Its bytes: 57.
    #[must_use]
    pub fn encode(&self) -> RestBytes {
        let mut writer = begin(8 + LeafId::LEN + 32);
        writer
            .u64(self.retired_ms)
            .raw(self.leaf.as_bytes())
            .raw(&*self.kem.to_seed());
        finish(writer)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored key", bytes)?;
        let former = Self {
            retired_ms: reader.u64()?,
            leaf: LeafId::from_bytes(reader.array()?),
            kem: KemSecret::from_seed(&*secret(&mut reader)?),
        };
        reader.finish()?;
        Ok(former)
    }
}

/// The last of a list, as many as are kept.
fn newest<T>(all: &[T], most: usize) -> &[T] {
    &all[all.len().saturating_sub(most)..]
}

macro_rules! redacted {
    ($($name:ident { $($shown:ident),* $(,)? } hides { $($hidden:ident),* $(,)? })*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { $($shown,)* $($hidden: _,)* } = self;
                f.debug_struct(stringify!($name))$(.field(stringify!($shown), $shown))*.finish_non_exhaustive()
            }
        }
    )*};
}

redacted! {
    PairAtRest { used_ms, seq, floor } hides { psks, answers, heard, speaking }
    HeardAtRest { seq } hides { psk, answer }
    SpokenAtRest { begun_ms, turned } hides { epoch }
    SpeakingAtRest { form, tag } hides { sealed_box, chain }
    ListeningAtRest { tag, seq } hides { chain }
    FormerKemAtRest { retired_ms, leaf } hides { kem }
}
