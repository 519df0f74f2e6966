//! The authority log: docs/PROTOCOL.md, "Operations".
//!
//! ```text
//! body      = 01 ‖ author(32) ‖ parents (list of 32) ‖ kind(2) ‖ lp(what)
//! hash      = H("operation", genesis_hash, body)
//! signature = S(author, "sign operation", genesis_hash, hash)
//! ```
//!
//! Here an operation is only what its author signed. Whether the author may is decided over the whole log, by the room.

mod body;

pub use body::{Keeper, Operation, Rekey, Role};

use thiserror::Error;

use crate::{
    AdminKey, Generation, Genesis, GenesisHash, Identity, IdentityKey, OperationHash, bounds,
    credential::Tombstone,
    kdf,
    label::{self, Label},
    sign::{self, BadSignature, Signature},
    wire::{DecodeError, Reader, Writer},
};

const VERSION: u8 = 1;
/// In the place of an operation's hash until it is verified: the hash depends on the room.
const NOT_YET: OperationHash = OperationHash::from_bytes([0; 32]);

/// What an operation does, as a number on the wire. Kinds without a body type here are reserved, their bodies opaque.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OperationKind(pub u16);

impl OperationKind {
    /// Gives an identity a role.
    pub const ROLE: Self = Self(1);
    /// Removes an identity's leaves and makes a new generation.
    pub const KICK: Self = Self(2);
    /// Removes an identity for good, and makes a new generation.
    pub const BAN: Self = Self(3);
    /// Changes the policy.
    pub const POLICY: Self = Self(4);
    /// Makes a new generation.
    pub const KEY_GEN: Self = Self(5);
    /// Names a keeper.
    pub const KEEPER: Self = Self(6);
    /// Ends the room.
    pub const TOMBSTONE: Self = Self(7);
}

/// An operation as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnverifiedOperation(SignedOperation);

/// An operation whose author's signature verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedOperation {
    author: IdentityKey,
    parents: Vec<OperationHash>,
    operation: Operation,
    signature: Signature,
    hash: OperationHash,
}

/// Why an operation is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OperationError {
    /// Its author didn't sign it.
    #[error("the operation's signature doesn't verify")]
    BadSignature,
    /// It carries a tombstone that the admin didn't sign.
    #[error("the tombstone isn't signed by the room's admin")]
    BadTombstone,
}

/// Why an operation can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OperationTooLarge {
    /// More than [`bounds::MAX_OPERATION_PARENTS`] parents.
    #[error("an operation has at most {} parents", bounds::MAX_OPERATION_PARENTS)]
    Parents,
    /// A body of more than [`bounds::MAX_OPERATION_BODY`] bytes.
    #[error("an operation has at most {} bytes", bounds::MAX_OPERATION_BODY)]
    Body,
}

/// Who signs an operation: a member, or the holder of the admin key itself.
#[derive(Clone, Copy, Debug)]
pub enum Author<'a> {
    /// By an identity.
    Member(&'a Identity),
    /// By the room's admin key, whose public half stands in the author's place.
    Admin(&'a AdminKey),
}

impl Author<'_> {
    /// What stands in the author's place.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        match self {
            Self::Member(identity) => identity.key(),
            Self::Admin(admin) => IdentityKey::from_bytes(*admin.public().as_bytes()),
        }
    }

    pub(crate) fn sign(&self, label: Label, genesis: &GenesisHash, digest: &[u8; 32]) -> Signature {
        match self {
            Self::Member(identity) => identity.sign(label, genesis, digest),
            Self::Admin(admin) => admin.sign(label, genesis, digest),
        }
    }
}

impl SignedOperation {
    /// Makes and signs an operation. Its parents are the log's heads, as its author knows them; they are sorted here.
    ///
    /// # Errors
    /// [`OperationTooLarge`].
    pub fn create(
        author: Author<'_>,
        mut parents: Vec<OperationHash>,
        operation: Operation,
        genesis: &GenesisHash,
    ) -> Result<Self, OperationTooLarge> {
        parents.sort_unstable();
        parents.dedup();
        if parents.len() > bounds::MAX_OPERATION_PARENTS {
            return Err(OperationTooLarge::Parents);
        }
        if operation.encode().len() > bounds::MAX_OPERATION_BODY {
            return Err(OperationTooLarge::Body);
        }
        let mut signed = Self {
            author: author.key(),
            parents,
            operation,
            signature: [0; 64],
            hash: NOT_YET,
        };
        signed.hash = operation_hash(genesis, &signed.body());
        signed.signature = author.sign(label::SIGN_OPERATION, genesis, signed.hash.as_bytes());
        Ok(signed)
    }

    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(VERSION).raw(self.author.as_bytes());
        writer.list(&self.parents, |w, parent| {
            w.raw(parent.as_bytes());
        });
        writer.u16(self.operation.kind().0).lp(&self.operation.encode());
        writer.finish()
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Its name.
    #[must_use]
    pub const fn hash(&self) -> OperationHash {
        self.hash
    }

    /// Who signed it: an identity, or the admin key's public half.
    #[must_use]
    pub const fn author(&self) -> IdentityKey {
        self.author
    }

    /// Whether the admin key itself signed it.
    #[must_use]
    pub fn is_by_admin_key(&self, genesis: &Genesis) -> bool {
        self.author.as_bytes() == genesis.admin().as_bytes()
    }

    /// The operations that its author knew last, sorted. None: only the genesis.
    #[must_use]
    pub fn parents(&self) -> &[OperationHash] {
        &self.parents
    }

    /// What it does.
    #[must_use]
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The generation that it makes, if it makes one.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.operation.rekey().map(|rekey| rekey.generation(self.hash))
    }

    /// The operation in the form in which it travels.
    #[must_use]
    pub fn to_unverified(&self) -> UnverifiedOperation {
        UnverifiedOperation(Self {
            hash: NOT_YET,
            ..self.clone()
        })
    }
}

impl UnverifiedOperation {
    /// Decodes. The hash depends on the room, so it comes with [`Self::verify`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Unsupported { what: "operation" });
        }
        let author = IdentityKey::from_bytes(reader.array()?);
        let parents = reader.list("parents", bounds::MAX_OPERATION_PARENTS, |r| {
            r.array().map(OperationHash::from_bytes)
        })?;
        if !parents.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid {
                what: "order of parents",
            });
        }
        let kind = OperationKind(reader.u16()?);
        let operation = Operation::decode(kind, reader.lp("operation", bounds::MAX_OPERATION_BODY)?)?;
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self(SignedOperation {
            author,
            parents,
            operation,
            signature,
            hash: NOT_YET,
        }))
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// Who claims to have signed it: to be asked before work is spent on it.
    #[must_use]
    pub const fn unverified_author(&self) -> IdentityKey {
        self.0.author
    }

    /// The operations that it claims to build on.
    #[must_use]
    pub fn unverified_parents(&self) -> &[OperationHash] {
        &self.0.parents
    }

    /// What it claims to do.
    #[must_use]
    pub const fn unverified_operation(&self) -> &Operation {
        &self.0.operation
    }

    /// Its name in a room: one that is known needn't be verified again.
    #[must_use]
    pub fn hash(&self, genesis: &GenesisHash) -> OperationHash {
        operation_hash(genesis, &self.0.body())
    }

    /// Verifies the author's signature, and the admin's in a tombstone. Not whether the author may.
    ///
    /// # Errors
    /// [`OperationError`].
    pub fn verify(self, genesis: &Genesis) -> Result<SignedOperation, OperationError> {
        let Self(mut signed) = self;
        let room = genesis.hash();
        signed.hash = operation_hash(&room, &signed.body());
        let author = signed.author.as_bytes();
        sign::verify(
            author,
            label::SIGN_OPERATION,
            &room,
            signed.hash.as_bytes(),
            &signed.signature,
        )
        .map_err(|BadSignature| OperationError::BadSignature)?;
        if let Operation::Tombstone(tombstone) = &signed.operation {
            match tombstone.verify(genesis.admin()) {
                Ok(Tombstone { handle, genesis_hash }) if genesis_hash == room && handle == genesis.handle() => (),
                _ => return Err(OperationError::BadTombstone),
            }
        }
        Ok(signed)
    }
}

fn operation_hash(genesis: &GenesisHash, body: &[u8]) -> OperationHash {
    OperationHash::from_bytes(kdf::hash(label::OPERATION, &[genesis.as_bytes(), body]))
}
