//! Epochs: one membership and its keys. docs/PROTOCOL.md, "Epochs".
//!
//! ```text
//! entry        = leaf_id(16) ‖ incarnation(4) ‖ H("kem", xwing_ek)(32)
//! members_hash = H("members", entries sorted by leaf_id)
//! head         = kind(1) ‖ generation(40) ‖ day(4) ‖ counter(4) ‖ issuer(16) ‖ custodians (sorted list of 16)
//!                   ‖ members_hash(32) ‖ member_count(4) ‖ extensions
//! ctx          = H("context", genesis_hash, head)
//! E            = Extract(psk, es);  env, tag[..8], commit, export, snd = X(E, label, ctx)
//! epoch_id     = H("epoch", ctx, commit)
//! announcement = head ‖ commit(32) ‖ box_root(32) ‖ signature(64) ‖ option (list of entries)
//! signature    = S(issuer's leaf key, "sign announcement", genesis_hash, H("announcement", epoch_id, box_root))
//! ```

mod announcement;
mod issue;
mod sealed_box;
mod secrets;

pub use announcement::{Announcement, AnnouncementError, MembersError, UnverifiedAnnouncement};
pub use issue::{IssueError, IssueParams, Issued, NewKey, issue, issue_generation};
pub use sealed_box::{BoxError, OpenedKey, SealedBox, open_box, open_key_box};
pub(crate) use sealed_box::{read_key, write_key};
pub(crate) use secrets::{EnvelopeKey, FrameKeys};
pub use secrets::{EpochSecrets, ExportSecret};

use crate::{
    EpochId, Generation, GenesisHash, IdentityKey, LeafId, bounds,
    extensions::Extensions,
    kdf, label,
    leaf::Leaf,
    wire::{DecodeError, Reader, Writer},
};

/// How an epoch's secret reaches its members. 03 (a secret ratcheted from a parent) is reserved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum EpochKind {
    /// Boxed to every member under this generation's psk.
    Full = 1,
    /// A generation's first: boxed with the salt zero, and each box carries the new Room Key and r beside the secret.
    KeyGen = 2,
}

/// When an epoch was made: a later round replaces an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Round {
    /// Days since 1970-01-01 UTC.
    pub day: u32,
    /// Rises within the day when a new epoch is demanded.
    pub counter: u32,
}

impl Round {
    /// The first round of the day that a time in Unix milliseconds falls into.
    #[must_use]
    pub fn of_day(unix_ms: u64) -> Self {
        Self {
            day: u32::try_from(unix_ms / 86_400_000).unwrap_or(u32::MAX),
            counter: 0,
        }
    }

    /// Whether a clock at `unix_ms` takes this round for one of today, of the past, or of a day ahead at most.
    #[must_use]
    pub fn is_plausible(&self, unix_ms: u64) -> bool {
        self.day <= Self::of_day(unix_ms).day.saturating_add(bounds::MAX_ROUND_AHEAD_DAYS)
    }
}

/// A member of an epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberEntry {
    /// Its leaf.
    pub leaf: LeafId,
    /// Its incarnation, which the leaf id covers too: here so that entries can be compared without the leaf.
    pub incarnation: u32,
    /// The hash of the KEM key that its box is sealed to.
    pub kem_hash: [u8; 32],
}

impl MemberEntry {
    /// The entry for a leaf as it is now.
    #[must_use]
    pub fn of(leaf: &Leaf) -> Self {
        Self {
            leaf: leaf.id(),
            incarnation: leaf.incarnation(),
            kem_hash: leaf.kem().hash(),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer
            .raw(self.leaf.as_bytes())
            .u32(self.incarnation)
            .raw(&self.kem_hash);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            leaf: LeafId::from_bytes(reader.array()?),
            incarnation: reader.u32()?,
            kem_hash: reader.array()?,
        })
    }
}

/// What an epoch is, but for its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochHeader {
    /// How its boxes are sealed, and what they hold.
    pub kind: EpochKind,
    /// The generation whose psk it is under.
    pub generation: Generation,
    /// When it was made.
    pub round: Round,
    /// Who made it: a member of it.
    pub issuer: LeafId,
    /// Who keeps its announcement and boxes: up to 8 members of it, sorted.
    pub custodians: Vec<LeafId>,
    /// The hash of its members.
    pub members_hash: [u8; 32],
    /// How many they are.
    pub member_count: u32,
    /// What a later version adds.
    pub extensions: Extensions,
    /// Commits to the secret: two members can't hold different ones under one epoch id.
    pub commit: [u8; 32],
    /// The Merkle root of the boxes.
    pub box_root: [u8; 32],
}

impl EpochHeader {
    fn write_head(&self, writer: &mut Writer) {
        writer.u8(self.kind as u8);
        self.generation.write(writer);
        writer
            .u32(self.round.day)
            .u32(self.round.counter)
            .raw(self.issuer.as_bytes());
        writer.list(&self.custodians, |w, leaf| {
            w.raw(leaf.as_bytes());
        });
        writer.raw(&self.members_hash).u32(self.member_count);
        self.extensions.write(writer);
    }

    /// What its keys and boxes are bound to.
    pub(crate) fn context(&self, genesis: &GenesisHash) -> [u8; 32] {
        let mut writer = Writer::new();
        self.write_head(&mut writer);
        kdf::hash(label::CONTEXT, &[genesis.as_bytes(), writer.as_slice()])
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = match reader.u8()? {
            1 => EpochKind::Full,
            2 => EpochKind::KeyGen,
            _ => return Err(DecodeError::Unsupported { what: "epoch" }),
        };
        let generation = Generation::read(reader)?;
        let round = Round {
            day: reader.u32()?,
            counter: reader.u32()?,
        };
        let issuer = LeafId::from_bytes(reader.array()?);
        let custodians = reader.list("custodians", bounds::MAX_CUSTODIANS, |r| {
            r.array().map(LeafId::from_bytes)
        })?;
        if !custodians.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid {
                what: "order of custodians",
            });
        }
        let members_hash = reader.array()?;
        let member_count = reader.count("members", bounds::MAX_MEMBERS)?;
        if member_count == 0 {
            return Err(DecodeError::Invalid {
                what: "number of members",
            });
        }
        Ok(Self {
            kind,
            generation,
            round,
            issuer,
            custodians,
            members_hash,
            member_count: u32::try_from(member_count).unwrap_or(u32::MAX),
            extensions: Extensions::read(reader, &[])?,
            commit: reader.array()?,
            box_root: reader.array()?,
        })
    }
}

/// A member's place in the order of issuing, lowest first: `H("rank", identity_vk, best epoch)`, so that the burden moves on
/// with each epoch. docs/PROTOCOL.md, "Epochs".
#[must_use]
pub fn issue_rank(identity: &IdentityKey, best: Option<&EpochId>) -> [u8; 32] {
    let best = best.map_or(&[0; 32], EpochId::as_bytes);
    kdf::hash(label::RANK, &[identity.as_bytes(), best])
}

/// The hash of an epoch's members, in any order: what the operation that makes a generation says of those it carries over.
#[must_use]
pub fn roster_hash(members: &[MemberEntry]) -> [u8; 32] {
    let mut sorted = members.to_vec();
    sorted.sort_unstable_by_key(|member| member.leaf);
    members_hash(&sorted)
}

/// The hash of members that are sorted by leaf id.
pub(crate) fn members_hash(members: &[MemberEntry]) -> [u8; 32] {
    let mut writer = Writer::with_capacity(members.len() * 52);
    members.iter().for_each(|member| member.write(&mut writer));
    kdf::hash(label::MEMBERS, &[writer.as_slice()])
}
