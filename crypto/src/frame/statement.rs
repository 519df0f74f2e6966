//! What a frame's sender signed, without what it says: docs/PROTOCOL.md, "Statements".
//!
//! ```text
//! statement = epoch_id(32) ‖ hdr ‖ H("contents", padded contents)(32) ‖ signature(64)
//! ```
//!
//! It proves to any member that its sender gave this frame this place in its chain, and which frames it named as seen. Two with one epoch, one
//! sender and one counter, and different hashes, prove that the sender told members different things.

use super::{MIN_HEADER, ParentRef, SIGNATURE};
use crate::{
    EpochId, FrameHash, FrameTag, GenesisHash, LeafId, bounds, label,
    leaf::LeafPublicKey,
    sign::{BadSignature, Signature},
    wire::{DecodeError, Reader, Writer},
};

/// Largest encoding, in bytes.
pub const MAX_STATEMENT: usize =
    EpochId::LEN + MIN_HEADER + bounds::MAX_PARENTS * (FrameTag::LEN + FrameHash::LEN) + 32 + SIGNATURE;

/// A statement whose signature is its sender's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    pub(super) epoch: EpochId,
    pub(super) sender: LeafId,
    pub(super) counter: u64,
    pub(super) parents: Vec<ParentRef>,
    pub(super) contents: [u8; 32],
    pub(super) signature: Signature,
    pub(super) hash: FrameHash,
}

/// A statement as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnverifiedStatement(Statement);

impl Statement {
    /// Of a frame whose signature was verified.
    pub(super) fn new(
        epoch: EpochId,
        header: &[u8],
        contents: [u8; 32],
        signature: Signature,
        hash: FrameHash,
    ) -> Result<Self, DecodeError> {
        let (sender, counter, parents) = read_header(&mut Reader::new(header))?;
        Ok(Self {
            epoch,
            sender,
            counter,
            parents,
            contents,
            signature,
            hash,
        })
    }

    /// The frame's epoch.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// Who signed it.
    #[must_use]
    pub const fn sender(&self) -> LeafId {
        self.sender
    }

    /// The frame's place in its sender's chain.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// What its sender had seen last.
    #[must_use]
    pub fn parents(&self) -> &[ParentRef] {
        &self.parents
    }

    /// The frame's name.
    #[must_use]
    pub const fn hash(&self) -> FrameHash {
        self.hash
    }

    /// Whether the two prove that their sender told members different things.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        (self.epoch, self.sender, self.counter) == (other.epoch, other.sender, other.counter) && self.hash != other.hash
    }

    /// For others.
    #[must_use]
    pub fn to_unverified(&self) -> UnverifiedStatement {
        UnverifiedStatement(self.clone())
    }
}

impl UnverifiedStatement {
    /// Its bytes, at most [`MAX_STATEMENT`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self(statement) = self;
        let mut writer = Writer::with_capacity(MAX_STATEMENT);
        writer.raw(statement.epoch.as_bytes());
        write_header(statement, &mut writer);
        writer.raw(&statement.contents).raw(&statement.signature);
        writer.finish()
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let epoch = EpochId::from_bytes(reader.array()?);
        let (sender, counter, parents) = read_header(&mut reader)?;
        let mut statement = Statement {
            epoch,
            sender,
            counter,
            parents,
            contents: reader.array()?,
            signature: reader.array()?,
            hash: FrameHash::from_bytes([0; 32]),
        };
        reader.finish()?;
        let mut header = Writer::with_capacity(MAX_STATEMENT);
        write_header(&statement, &mut header);
        statement.hash = super::frame_hash(&epoch, header.as_slice(), &statement.contents);
        Ok(Self(statement))
    }

    /// The epoch and the sender that it names, whose key it has to be verified under.
    #[must_use]
    pub const fn unverified_sender(&self) -> (EpochId, LeafId) {
        (self.0.epoch, self.0.sender)
    }

    /// The frame that it is of; its name follows from all it says but the signature.
    #[must_use]
    pub const fn hash(&self) -> FrameHash {
        self.0.hash
    }

    /// Verifies the signature under the sender's key.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(self, genesis: &GenesisHash, key: &LeafPublicKey) -> Result<Statement, BadSignature> {
        let Self(statement) = self;
        key.verify(
            label::SIGN_FRAME,
            genesis,
            statement.hash.as_bytes(),
            &statement.signature,
        )?;
        Ok(statement)
    }
}

fn write_header(statement: &Statement, writer: &mut Writer) {
    writer.raw(statement.sender.as_bytes()).u64(statement.counter);
    writer.list(&statement.parents, |w, parent| parent.write(w));
}

fn read_header(reader: &mut Reader<'_>) -> Result<(LeafId, u64, Vec<ParentRef>), DecodeError> {
    let (sender, counter) = (LeafId::from_bytes(reader.array()?), reader.u64()?);
    let parents = reader.list("parents", bounds::MAX_PARENTS, ParentRef::read)?;
    Ok((sender, counter, parents))
}
