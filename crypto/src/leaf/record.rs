//! Records from others: what an identity says of itself, before and after it is verified.

use core::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{LEAF, Leaf, LeafPublicKey, admission, leaf_id, peer_digest, record_digest};
use crate::{
    Generation, GenesisHash, Identity, IdentityKey, JoinKey, LeafId, PeerKey, bounds,
    extensions::Extensions,
    kem::KemKey,
    label,
    names::check_name,
    sign::{self, Signature},
    wire::{DecodeError, Reader, Writer},
};

/// The first byte of an encoded leave.
const LEAVE: u8 = 2;
/// In the place of a leaf's id until it is verified: the id depends on the room.
const NOT_YET: LeafId = LeafId::from_bytes([0; 16]);

/// An identity is no longer in the room; made by us or verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leave {
    identity: IdentityKey,
    seq: u64,
    incarnation: u32,
    signature: Signature,
}

/// What an identity last said of itself: of two, the one with the higher [`Record::seq`] counts. Two that differ with one
/// `seq` prove misbehaviour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// It is in the room, so. Shared, because it stands in several lists, and a room of a thousand has megabytes of them.
    Leaf(Arc<Leaf>),
    /// It isn't any more.
    Leave(Leave),
}

/// A record as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct UnverifiedRecord {
    bytes: Vec<u8>,
    parsed: Parsed,
}

#[derive(Clone, PartialEq, Eq)]
enum Parsed {
    Leaf(Box<Leaf>),
    Leave(Leave),
}

/// What lets a leaf in.
#[derive(Clone, Copy, Debug)]
pub enum Admit<'k> {
    /// Its admission must verify under this key, its generation's.
    With(&'k JoinKey),
    /// A valid operation carried it over into a generation that we hold: that operation's author vouches for it.
    Carried,
    /// Its generation is unknown here.
    Unknown,
}

/// Why a record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Its generation's `join` key is not at hand: it may be our own lag.
    #[error("the record's generation is unknown here")]
    UnknownGeneration,
    /// Its owner didn't hold that generation's Room Key.
    #[error("the record's admission doesn't verify")]
    NotAdmitted,
    /// Its identity, or its peer, didn't sign it.
    #[error("the record's signature doesn't verify")]
    BadSignature,
}

impl Leave {
    /// Says that the identity leaves. `seq` and `incarnation` as in a leaf.
    #[must_use]
    pub fn create(identity: &Identity, seq: u64, incarnation: u32, genesis: &GenesisHash) -> Self {
        let mut leave = Self {
            identity: identity.key(),
            seq,
            incarnation,
            signature: [0; 64],
        };
        leave.signature = identity.sign(label::SIGN_RECORD, genesis, &record_digest(genesis, &leave.body()));
        leave
    }

    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .u8(LEAVE)
            .raw(self.identity.as_bytes())
            .u64(self.seq)
            .u32(self.incarnation);
        writer.finish()
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Who leaves.
    #[must_use]
    pub const fn identity(&self) -> IdentityKey {
        self.identity
    }

    /// Orders the identity's records.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The incarnation that ends: a later one is higher.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.incarnation
    }
}

impl Record {
    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> IdentityKey {
        match self {
            Self::Leaf(leaf) => leaf.identity(),
            Self::Leave(leave) => leave.identity(),
        }
    }

    /// Orders the identity's records.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.seq(),
            Self::Leave(leave) => leave.seq(),
        }
    }

    /// The incarnation it speaks of.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        match self {
            Self::Leaf(leaf) => leaf.incarnation(),
            Self::Leave(leave) => leave.incarnation(),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(leaf) => leaf.encode(),
            Self::Leave(leave) => leave.encode(),
        }
    }

    /// The record in the form in which it travels.
    #[must_use]
    pub fn to_unverified(&self) -> UnverifiedRecord {
        let parsed = match self {
            Self::Leaf(leaf) => Parsed::Leaf(Box::new(Leaf {
                id: NOT_YET,
                ..(**leaf).clone()
            })),
            Self::Leave(leave) => Parsed::Leave(leave.clone()),
        };
        UnverifiedRecord {
            bytes: self.encode(),
            parsed,
        }
    }
}

impl UnverifiedRecord {
    /// Decodes, and checks what needs no key: sizes, the name, that keys are keys.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let parsed = match reader.u8()? {
            LEAF => Parsed::Leaf(Box::new(read_leaf(&mut reader)?)),
            LEAVE => Parsed::Leave(Leave {
                identity: IdentityKey::from_bytes(reader.array()?),
                seq: reader.u64()?,
                incarnation: reader.u32()?,
                signature: reader.array()?,
            }),
            _ => return Err(DecodeError::Unsupported { what: "record" }),
        };
        reader.finish()?;
        Ok(Self {
            bytes: bytes.to_vec(),
            parsed,
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> &[u8] {
        &self.bytes
    }

    /// Whose it claims to be.
    #[must_use]
    pub const fn identity(&self) -> IdentityKey {
        match &self.parsed {
            Parsed::Leaf(leaf) => leaf.identity(),
            Parsed::Leave(leave) => leave.identity(),
        }
    }

    /// The order that it claims: one that isn't newer than what is known needn't be verified.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        match &self.parsed {
            Parsed::Leaf(leaf) => leaf.seq(),
            Parsed::Leave(leave) => leave.seq(),
        }
    }

    /// Takes a record for genuine without a look: for one that was verified before it was sealed into our own vault, since the keys
    /// that admitted it may be gone by now.
    #[must_use]
    pub fn danger_trust(self, genesis: &GenesisHash) -> Record {
        match self.parsed {
            Parsed::Leaf(mut leaf) => {
                leaf.id = leaf_id(genesis, &leaf.identity, &leaf.key, leaf.incarnation);
                Record::Leaf(leaf.into())
            }
            Parsed::Leave(leave) => Record::Leave(leave),
        }
    }

    /// Verifies admission and signatures; `join` gives the admission key of a generation that is known.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn verify<'k>(
        self,
        genesis: &GenesisHash,
        join: impl FnOnce(Generation) -> Option<&'k JoinKey>,
    ) -> Result<Record, RecordError> {
        self.verify_with(genesis, |generation, _| {
            join(generation).map_or(Admit::Unknown, Admit::With)
        })
    }

    /// Verifies signatures, and the admission as `admit` says, which is told a leaf's generation and id.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn verify_with<'k>(
        self,
        genesis: &GenesisHash,
        admit: impl FnOnce(Generation, LeafId) -> Admit<'k>,
    ) -> Result<Record, RecordError> {
        let body = &self.bytes[..self.bytes.len() - 64];
        match self.parsed {
            Parsed::Leaf(mut leaf) => {
                leaf.id = leaf_id(genesis, &leaf.identity, &leaf.key, leaf.incarnation);
                match admit(leaf.generation, leaf.id) {
                    Admit::With(join) => {
                        let admitted = admission(join, genesis, &body[..body.len() - 32]);
                        if !bool::from(admitted.ct_eq(&leaf.admission)) {
                            return Err(RecordError::NotAdmitted);
                        }
                    }
                    Admit::Carried => {}
                    Admit::Unknown => return Err(RecordError::UnknownGeneration),
                }
                verify_record(genesis, &leaf.identity, body, &leaf.signature)?;
                let digest = peer_digest(genesis, &leaf.identity, &leaf.peer);
                sign::verify(
                    leaf.peer.as_bytes(),
                    label::SIGN_PEER,
                    genesis,
                    &digest,
                    &leaf.peer_signature,
                )
                .map_err(|_| RecordError::BadSignature)?;
                Ok(Record::Leaf(leaf.into()))
            }
            Parsed::Leave(leave) => {
                verify_record(genesis, &leave.identity, body, &leave.signature)?;
                Ok(Record::Leave(leave))
            }
        }
    }
}

impl fmt::Debug for UnverifiedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.parsed {
            Parsed::Leaf(_) => "leaf",
            Parsed::Leave(_) => "leave",
        };
        write!(
            f,
            "UnverifiedRecord({kind} of {}, seq {})",
            self.identity().fingerprint(),
            self.seq()
        )
    }
}

fn verify_record(
    genesis: &GenesisHash,
    identity: &IdentityKey,
    body: &[u8],
    signature: &Signature,
) -> Result<(), RecordError> {
    let digest = record_digest(genesis, body);
    sign::verify(identity.as_bytes(), label::SIGN_RECORD, genesis, &digest, signature)
        .map_err(|_| RecordError::BadSignature)
}

/// Reads all but the first byte. The id is filled in by `verify`, which knows the room.
fn read_leaf(reader: &mut Reader<'_>) -> Result<Leaf, DecodeError> {
    let identity = IdentityKey::from_bytes(reader.array()?);
    let key = LeafPublicKey::from_bytes(&reader.array()?).ok_or(DecodeError::Invalid { what: "leaf key" })?;
    let kem = KemKey::from_bytes(&reader.array()?).ok_or(DecodeError::Invalid { what: "KEM key" })?;
    let peer = PeerKey::from_bytes(reader.array()?);
    let peer_signature = reader.array()?;
    let name = reader.text("name", bounds::MAX_NAME_BYTES)?;
    check_name(name).map_err(|_| DecodeError::Invalid { what: "name" })?;
    Ok(Leaf {
        identity,
        key,
        kem,
        peer,
        peer_signature,
        name: name.to_owned(),
        seq: reader.u64()?,
        incarnation: reader.u32()?,
        expires_at_ms: reader.u64()?,
        generation: Generation::read(reader)?,
        extensions: Extensions::read(reader, &[])?,
        admission: reader.array()?,
        signature: reader.array()?,
        id: NOT_YET,
    })
}
