//! What operations do, and its bytes: docs/PROTOCOL.md, "Operations".

use crate::{
    Generation, IdentityKey, OperationHash, Policy, bounds,
    credential::SignedTombstone,
    kem::KemKey,
    wire::{DecodeError, Reader, Writer},
};

use super::OperationKind;

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Role {
    /// Talk.
    Member = 0,
    /// Also kick and ban its juniors, and approve newcomers.
    Moderator = 1,
    /// Everything.
    Admin = 2,
}

/// An operation's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// `identity_vk(32) ‖ role(1)`.
    Role {
        /// Who gets it.
        identity: IdentityKey,
        /// What it gets.
        role: Role,
    },
    /// `identity_vk(32) ‖ rekey(76)`: voids the identity's leaves of earlier generations, and makes a new one.
    Kick {
        /// Who is removed.
        identity: IdentityKey,
        /// The generation that it makes.
        rekey: Rekey,
    },
    /// `identity_vk(32) ‖ rekey(76)`: voids the identity for good, and makes a new generation.
    Ban {
        /// Who is removed.
        identity: IdentityKey,
        /// The generation that it makes.
        rekey: Rekey,
    },
    /// `policy(13)`: takes the place of the one in the genesis.
    Policy(Policy),
    /// `rekey(76)`: a new generation, and nobody is removed.
    KeyGen(Rekey),
    /// `vk(32) ‖ xwing_ek(1216) ‖ addresses (list of lp)`.
    Keeper(Box<Keeper>),
    /// The room is deleted. The admin's tombstone as the rendezvous has it (128 bytes): anybody may carry the admin's
    /// word into the log.
    Tombstone(SignedTombstone),
    /// A kind that this version doesn't understand: kept and passed on.
    Unknown {
        /// Its number.
        kind: OperationKind,
        /// Its body.
        body: Vec<u8>,
    },
}

/// The generation that an operation makes: `count(8) ‖ key_commit(32) ‖ members_hash(32) ‖ member_count(4)`. Its other half,
/// the operation's own hash, comes with the signature. The boxes are in an epoch of kind 02, which names that hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rekey {
    /// One more than the highest count in the operation's past; 0 belongs to the genesis.
    pub count: u64,
    /// Commits to the generation's psk: two members can't be given different keys under one operation.
    pub key_commit: [u8; 32],
    /// The hash of the entries that are carried over: [`crate::epoch::roster_hash`].
    pub members_hash: [u8; 32],
    /// How many they are.
    pub member_count: u32,
}

/// Somebody who keeps ciphertext for the room's absent members, and can't read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keeper {
    /// Its transport key, the same in each run.
    pub key: IdentityKey,
    /// The key that its grants are sealed to.
    pub kem: KemKey,
    /// Where it is dialed: up to [`bounds::MAX_ADDRESSES`] multiaddresses as text.
    pub addresses: Vec<String>,
}

impl Operation {
    /// The kind's number.
    #[must_use]
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::Role { .. } => OperationKind::ROLE,
            Self::Kick { .. } => OperationKind::KICK,
            Self::Ban { .. } => OperationKind::BAN,
            Self::Policy(_) => OperationKind::POLICY,
            Self::KeyGen(_) => OperationKind::KEY_GEN,
            Self::Keeper(_) => OperationKind::KEEPER,
            Self::Tombstone(_) => OperationKind::TOMBSTONE,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// The generation that it makes, if it makes one.
    #[must_use]
    pub const fn rekey(&self) -> Option<&Rekey> {
        match self {
            Self::Kick { rekey, .. } | Self::Ban { rekey, .. } | Self::KeyGen(rekey) => Some(rekey),
            _ => None,
        }
    }

    /// Whom it removes.
    #[must_use]
    pub const fn removes(&self) -> Option<IdentityKey> {
        match self {
            Self::Kick { identity, .. } | Self::Ban { identity, .. } => Some(*identity),
            _ => None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Role { identity, role } => {
                writer.raw(identity.as_bytes()).u8(*role as u8);
            }
            Self::Kick { identity, rekey } | Self::Ban { identity, rekey } => {
                writer.raw(identity.as_bytes());
                rekey.write(&mut writer);
            }
            Self::Policy(policy) => policy.write(&mut writer),
            Self::KeyGen(rekey) => rekey.write(&mut writer),
            Self::Keeper(keeper) => keeper.write(&mut writer),
            Self::Tombstone(tombstone) => {
                writer.raw(&tombstone.to_bytes());
            }
            Self::Unknown { body, .. } => {
                writer.raw(body);
            }
        }
        writer.finish()
    }

    pub(super) fn decode(kind: OperationKind, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let operation = match kind {
            OperationKind::ROLE => Self::Role {
                identity: IdentityKey::from_bytes(reader.array()?),
                role: match reader.u8()? {
                    0 => Role::Member,
                    1 => Role::Moderator,
                    2 => Role::Admin,
                    _ => return Err(DecodeError::Invalid { what: "role" }),
                },
            },
            OperationKind::KICK => Self::Kick {
                identity: IdentityKey::from_bytes(reader.array()?),
                rekey: Rekey::read(&mut reader)?,
            },
            OperationKind::BAN => Self::Ban {
                identity: IdentityKey::from_bytes(reader.array()?),
                rekey: Rekey::read(&mut reader)?,
            },
            OperationKind::POLICY => Self::Policy(Policy::read_valid(&mut reader)?),
            OperationKind::KEY_GEN => Self::KeyGen(Rekey::read(&mut reader)?),
            OperationKind::KEEPER => Self::Keeper(Box::new(Keeper::read(&mut reader)?)),
            OperationKind::TOMBSTONE => Self::Tombstone(SignedTombstone::from_bytes(&reader.array()?)),
            _ => {
                return Ok(Self::Unknown {
                    kind,
                    body: body.to_vec(),
                });
            }
        };
        reader.finish()?;
        Ok(operation)
    }
}

impl Rekey {
    /// The generation, by the hash of the operation that says this.
    #[must_use]
    pub const fn generation(&self, operation: OperationHash) -> Generation {
        Generation {
            count: self.count,
            hash: operation,
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .u64(self.count)
            .raw(&self.key_commit)
            .raw(&self.members_hash)
            .u32(self.member_count);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let rekey = Self {
            count: reader.u64()?,
            key_commit: reader.array()?,
            members_hash: reader.array()?,
            member_count: reader.u32()?,
        };
        if rekey.count == 0 || rekey.member_count == 0 || rekey.member_count as usize > bounds::MAX_MEMBERS {
            return Err(DecodeError::Invalid { what: "generation" });
        }
        Ok(rekey)
    }
}

impl Keeper {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.raw(self.key.as_bytes()).raw(self.kem.as_bytes());
        writer.list(&self.addresses, |w, address| {
            w.lp(address.as_bytes());
        });
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: IdentityKey::from_bytes(reader.array()?),
            kem: KemKey::from_bytes(&reader.array()?).ok_or(DecodeError::Invalid { what: "KEM key" })?,
            addresses: reader.list("addresses", bounds::MAX_ADDRESSES, |r| {
                r.text("address", bounds::MAX_ADDRESS_BYTES).map(str::to_owned)
            })?,
        })
    }
}
