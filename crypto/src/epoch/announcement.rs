//! An epoch's public half, signed by its issuer.

use thiserror::Error;

use super::{EpochHeader, MemberEntry, members_hash};
use crate::{
    EpochId, GenesisHash, LeafId, bounds, kdf, label,
    leaf::LeafPublicKey,
    sign::{BadSignature, Signature},
    wire::{DecodeError, Reader, Writer},
};

/// An announcement whose issuer's signature and whose members were checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    pub(super) header: EpochHeader,
    pub(super) signature: Signature,
    pub(super) members: Vec<MemberEntry>,
    pub(super) genesis: GenesisHash,
    pub(super) context: [u8; 32],
    pub(super) epoch_id: EpochId,
}

/// An announcement as it came. Above [`bounds::MAX_INLINE_MEMBERS`] its members travel apart, and are added by
/// [`Self::with_members`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnverifiedAnnouncement {
    header: EpochHeader,
    signature: Signature,
    members: Option<Vec<MemberEntry>>,
}

/// Why an announcement is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnnouncementError {
    /// The issuer's leaf is not at hand: it may be our own lag.
    #[error("the epoch's issuer is unknown here")]
    UnknownIssuer,
    /// Its members have not been fetched yet.
    #[error("the epoch's members are not at hand")]
    MembersMissing,
    /// The issuer didn't sign it.
    #[error("the announcement's signature doesn't verify")]
    BadSignature,
}

/// These are not the announcement's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the members don't match the announcement")]
pub struct MembersError;

impl UnverifiedAnnouncement {
    /// Decodes; members that are inline are checked against the header.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = EpochHeader::read(&mut reader)?;
        let signature = reader.array()?;
        let members = reader.option("members", |r| {
            r.list("members", bounds::MAX_INLINE_MEMBERS, MemberEntry::read)
        })?;
        reader.finish()?;
        let inline = header.member_count as usize <= bounds::MAX_INLINE_MEMBERS;
        if inline != members.is_some() || members.as_ref().is_some_and(|members| !fits(&header, members)) {
            return Err(DecodeError::Invalid { what: "members" });
        }
        Ok(Self {
            header,
            signature,
            members,
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let inline = self
            .members
            .as_ref()
            .filter(|members| members.len() <= bounds::MAX_INLINE_MEMBERS);
        encode(&self.header, &self.signature, inline)
    }

    /// What it says, unverified.
    #[must_use]
    pub const fn unverified_header(&self) -> &EpochHeader {
        &self.header
    }

    /// The epoch that it announces in a room, if it is genuine: one that is known needn't be verified again.
    #[must_use]
    pub fn epoch_id(&self, genesis: &GenesisHash) -> EpochId {
        epoch_id(&self.header.context(genesis), &self.header.commit)
    }

    /// The members that came with it, or were added: those of its header, which nobody has vouched for yet.
    #[must_use]
    pub fn unverified_members(&self) -> Option<&[MemberEntry]> {
        self.members.as_deref()
    }

    /// Whether its members must be fetched before it can be verified.
    #[must_use]
    pub const fn needs_members(&self) -> bool {
        self.members.is_none()
    }

    /// Adds members that travelled apart.
    ///
    /// # Errors
    /// [`MembersError`] if they are others.
    pub fn with_members(mut self, members: Vec<MemberEntry>) -> Result<Self, MembersError> {
        if !fits(&self.header, &members) {
            return Err(MembersError);
        }
        self.members = Some(members);
        Ok(self)
    }

    /// Verifies the issuer's signature alone, which covers the hash of the members and not their list: so the announcement of a large epoch can
    /// be handed on before its list is here.
    ///
    /// # Errors
    /// [`AnnouncementError`], but never [`AnnouncementError::MembersMissing`].
    pub fn verify_signature(
        &self,
        genesis: &GenesisHash,
        issuer: impl FnOnce(LeafId) -> Option<LeafPublicKey>,
    ) -> Result<(), AnnouncementError> {
        let key = issuer(self.header.issuer).ok_or(AnnouncementError::UnknownIssuer)?;
        let digest = digest(&self.epoch_id(genesis), &self.header.box_root);
        key.verify(label::SIGN_ANNOUNCEMENT, genesis, &digest, &self.signature)
            .map_err(|BadSignature| AnnouncementError::BadSignature)
    }

    /// Verifies the issuer's signature; `issuer` gives the key of a leaf that is known.
    ///
    /// # Errors
    /// [`AnnouncementError`].
    pub fn verify(
        self,
        genesis: &GenesisHash,
        issuer: impl FnOnce(LeafId) -> Option<LeafPublicKey>,
    ) -> Result<Announcement, AnnouncementError> {
        if self.needs_members() {
            return Err(AnnouncementError::MembersMissing);
        }
        self.verify_signature(genesis, issuer)?;
        let Self {
            header,
            signature,
            members,
        } = self;
        let members = members.ok_or(AnnouncementError::MembersMissing)?;
        let context = header.context(genesis);
        let epoch_id = epoch_id(&context, &header.commit);
        Ok(Announcement {
            header,
            signature,
            members,
            genesis: *genesis,
            context,
            epoch_id,
        })
    }
}

impl Announcement {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let inline = Some(&self.members).filter(|members| members.len() <= bounds::MAX_INLINE_MEMBERS);
        encode(&self.header, &self.signature, inline)
    }

    /// The announcement in the form in which it travels.
    #[must_use]
    pub fn to_unverified(&self) -> UnverifiedAnnouncement {
        let inline = self.members.len() <= bounds::MAX_INLINE_MEMBERS;
        UnverifiedAnnouncement {
            header: self.header.clone(),
            signature: self.signature,
            members: inline.then(|| self.members.clone()),
        }
    }

    /// The same with its members, however many: for an object, which carries them apart.
    #[must_use]
    pub fn to_unverified_with_members(&self) -> UnverifiedAnnouncement {
        UnverifiedAnnouncement {
            header: self.header.clone(),
            signature: self.signature,
            members: Some(self.members.clone()),
        }
    }

    /// What it says.
    #[must_use]
    pub const fn header(&self) -> &EpochHeader {
        &self.header
    }

    /// The epoch's id.
    #[must_use]
    pub const fn epoch_id(&self) -> EpochId {
        self.epoch_id
    }

    /// The room that it was verified for.
    #[must_use]
    pub const fn genesis(&self) -> GenesisHash {
        self.genesis
    }

    /// The epoch's members, sorted by leaf id.
    #[must_use]
    pub fn members(&self) -> &[MemberEntry] {
        &self.members
    }

    /// The member with this leaf, and its place among them.
    #[must_use]
    pub fn member(&self, leaf: &LeafId) -> Option<(usize, &MemberEntry)> {
        let index = self.members.binary_search_by(|member| member.leaf.cmp(leaf)).ok()?;
        self.members.get(index).map(|member| (index, member))
    }
}

pub(super) fn epoch_id(context: &[u8; 32], commit: &[u8; 32]) -> EpochId {
    EpochId::from_bytes(kdf::hash(label::EPOCH, &[context, commit]))
}

pub(super) fn digest(epoch_id: &EpochId, box_root: &[u8; 32]) -> [u8; 32] {
    kdf::hash(label::ANNOUNCEMENT, &[epoch_id.as_bytes(), box_root])
}

fn encode(header: &EpochHeader, signature: &Signature, members: Option<&Vec<MemberEntry>>) -> Vec<u8> {
    let mut writer = Writer::new();
    header.write_head(&mut writer);
    writer.raw(&header.commit).raw(&header.box_root).raw(signature);
    writer.option(members, |w, members| {
        w.list(members, |w, member| member.write(w));
    });
    writer.finish()
}

/// Whether these are the header's members, in order, with issuer and custodians among them.
fn fits(header: &EpochHeader, members: &[MemberEntry]) -> bool {
    let holds = |leaf: &LeafId| members.binary_search_by(|member| member.leaf.cmp(leaf)).is_ok();
    members.len() == header.member_count as usize
        && members.is_sorted_by(|a, b| a.leaf < b.leaf)
        && members_hash(members) == header.members_hash
        && holds(&header.issuer)
        && header.custodians.iter().all(holds)
}
