//! A new generation as one object: docs/PROTOCOL.md, "A new generation".
//!
//! ```text
//! object = 01 ‖ list of lp(operation) ‖ lp(issuer's leaf) ‖ lp(announcement) ‖ option (list of entries) ‖ list of box
//! ```
//!
//! The operations are the authority log up to the one that makes the generation, which the announcement names; parents come before
//! children. The entries are there when the announcement is too large to carry them. The boxes are all, or, above
//! [`bounds::MAX_OBJECT_BYTES`], that of the member it is given to. Nothing in it is secret but what the boxes seal.

use thiserror::Error;

use crate::{
    bounds,
    epoch::{MemberEntry, SealedBox, UnverifiedAnnouncement},
    leaf::UnverifiedRecord,
    operation::UnverifiedOperation,
    wire::{DecodeError, Reader, Writer},
};

const VERSION: u8 = 1;

/// The object as it came: nothing in it is verified but its form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnverifiedObject {
    /// The log, the operation that makes the generation in it.
    pub log: Vec<UnverifiedOperation>,
    /// The leaf of the epoch's issuer.
    pub issuer: UnverifiedRecord,
    /// The generation's first epoch, its members at hand.
    pub announcement: UnverifiedAnnouncement,
    /// Its boxes.
    pub boxes: Vec<SealedBox>,
}

/// The object would be above [`bounds::MAX_OBJECT_BYTES`]: put fewer boxes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a new generation's object is above {} bytes", bounds::MAX_OBJECT_BYTES)]
pub struct ObjectTooLarge;

impl UnverifiedObject {
    /// Its bytes.
    ///
    /// # Errors
    /// [`ObjectTooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, ObjectTooLarge> {
        let mut writer = Writer::new();
        writer.u8(VERSION);
        writer.list(&self.log, |w, operation| {
            w.lp(&operation.encode());
        });
        writer.lp(self.issuer.encode()).lp(&self.announcement.encode());
        let members = self.announcement.unverified_members();
        let apart = members.filter(|members| members.len() > bounds::MAX_INLINE_MEMBERS);
        writer.option(apart.as_ref(), |w, members| {
            w.list(members, |w, member: &MemberEntry| member.write(w));
        });
        writer.list(&self.boxes, |w, sealed| sealed.write(w));
        let bytes = writer.finish();
        if bytes.len() > bounds::MAX_OBJECT_BYTES {
            return Err(ObjectTooLarge);
        }
        Ok(bytes)
    }

    /// Decodes; the entries are checked against the announcement's header.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > bounds::MAX_OBJECT_BYTES {
            return Err(DecodeError::TooLong {
                what: "object",
                max: bounds::MAX_OBJECT_BYTES,
            });
        }
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(DecodeError::Unsupported { what: "object" });
        }
        let log = reader.list("log", bounds::MAX_LOG_OPERATIONS, |r| {
            UnverifiedOperation::decode(r.lp("operation", bounds::MAX_LOG_BYTES)?)
        })?;
        let issuer = UnverifiedRecord::decode(reader.lp("leaf", bounds::MAX_GOSSIP_BYTES)?)?;
        let mut announcement = UnverifiedAnnouncement::decode(reader.lp("announcement", bounds::MAX_GOSSIP_BYTES)?)?;
        let apart = reader.option("members", |r| r.list("members", bounds::MAX_MEMBERS, MemberEntry::read))?;
        let boxes = reader.list("boxes", bounds::MAX_MEMBERS, SealedBox::read)?;
        reader.finish()?;
        let malformed = DecodeError::Invalid { what: "members" };
        if announcement.needs_members() != apart.is_some() {
            return Err(malformed);
        }
        if let Some(members) = apart {
            announcement = announcement.with_members(members).map_err(|_| malformed)?;
        }
        Ok(Self {
            log,
            issuer,
            announcement,
            boxes,
        })
    }
}
