//! What members ask of each other over an authenticated link: docs/PROTOCOL.md, "Direct requests".
//!
//! One request, one reply, each `kind(1) ‖ fields` and at most 1 MiB. The link keeps them from others; what is in them is
//! verified as if it had come by gossip.

use thiserror::Error;

use crate::{
    EpochId, FrameHash, Generation, IdentityKey, LeafId, OperationHash,
    approval::Approval,
    bounds,
    epoch::{MemberEntry, SealedBox, UnverifiedAnnouncement},
    frame::{MAX_STATEMENT, UnverifiedStatement},
    hand_over::MAX_HANDED,
    leaf::UnverifiedRecord,
    operation::UnverifiedOperation,
    wire::{DecodeError, Reader, Writer},
};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DirectRequest {
    /// 01: tell me what I lack. Carries what the asker has.
    Sync {
        /// Its newest record of each identity.
        records: Vec<(IdentityKey, u64)>,
        /// Its operations.
        operations: Vec<OperationHash>,
        /// The epochs whose announcements it has.
        epochs: Vec<EpochId>,
    },
    /// 02: is your state mine? A digest of records, operations and epochs, as the room computes it.
    Compare {
        /// The asker's digest.
        digest: [u8; 32],
    },
    /// 03: what you lacked.
    Push(Bundle),
    /// 04: one member's box of an epoch.
    Box {
        /// The epoch.
        epoch: EpochId,
        /// The member.
        leaf: LeafId,
    },
    /// 05: an epoch's boxes, from the `skip`th member on, as many as fit.
    Boxes {
        /// The epoch.
        epoch: EpochId,
        /// How many the asker has already.
        skip: u32,
    },
    /// 06: an epoch's members.
    Members {
        /// The epoch.
        epoch: EpochId,
    },
    /// 07: frames that I lack, of epochs that we are both in.
    Frames {
        /// What the asker has.
        have: Vec<EpochVector>,
    },
    /// 08: the object of a new generation.
    Object {
        /// The operation that makes it.
        operation: OperationHash,
        /// Whose box must be in it, where not all of them fit.
        leaf: LeafId,
    },
    /// 09: which generation counts, and its Room Key for my leaf if I am on your roster. The one thing that is asked at the door
    /// too, over a link that proved the mesh key of an earlier generation.
    Door {
        /// The asker's own newest leaf.
        leaf: UnverifiedRecord,
        /// The generation that it is in.
        generation: Generation,
        /// That generation's object, where the answerer may not know of it.
        object: Option<Vec<u8>>,
    },
    /// 0b: how far I have got with what you said.
    Receipt {
        /// Of each epoch with something new; at most [`bounds::MAX_SYNC_EPOCHS`].
        marks: Vec<ReceiptMark>,
    },
    /// 0A: what the senders of these frames signed, which others name as seen and I can't get.
    Statements {
        /// The frames, at most [`bounds::MAX_STATEMENTS`].
        frames: Vec<FrameHash>,
    },
    /// 0C: has a moderator let this identity in? A newcomer asks it of itself while it waits.
    Approval {
        /// Whom.
        identity: IdentityKey,
        /// Into which generation.
        generation: Generation,
    },
}

/// What is answered, each to the request with the same number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DirectReply {
    /// 01.
    Sync {
        /// What the asker lacks.
        bundle: Bundle,
        /// What the answerer lacks in turn.
        wants: Wants,
        /// There is more than fits: ask again.
        more: bool,
    },
    /// 02.
    Compare {
        /// Whether the digests are equal.
        same: bool,
    },
    /// 03.
    Done,
    /// 04: `None` if the answerer hasn't got it.
    Box(Option<SealedBox>),
    /// 05: in the members' order; empty at the end, or if the answerer has none.
    Boxes(Vec<SealedBox>),
    /// 06: empty if the answerer hasn't got them.
    Members(Vec<MemberEntry>),
    /// 07: sealed frames as they came, earliest first.
    Frames(Vec<Vec<u8>>),
    /// 08: an encoded [`crate::object::UnverifiedObject`]; `None` if the answerer hasn't got it.
    Object(Option<Vec<u8>>),
    /// 09.
    Door {
        /// The current generation's object, if the asker is in another one.
        object: Option<Vec<u8>>,
        /// Its Room Key, handed over as in [`crate::hand_over`], if the asker's leaf is on the roster.
        handed: Option<Vec<u8>>,
    },
    /// 0b.
    Noted,
    /// 0A: of those that the answerer knows.
    Statements(Vec<UnverifiedStatement>),
    /// 0C: `None` if the answerer knows of none.
    Approval(Option<Approval>),
}

/// Records, operations and announcements on their way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bundle {
    /// Leaves and leaves' ends.
    pub records: Vec<UnverifiedRecord>,
    /// Operations.
    pub operations: Vec<UnverifiedOperation>,
    /// Announcements.
    pub announcements: Vec<UnverifiedAnnouncement>,
}

/// What the answerer of a sync lacks itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// Identities whose newer records it wants.
    pub records: Vec<IdentityKey>,
    /// Operations that it wants.
    pub operations: Vec<OperationHash>,
    /// Epochs whose announcements it wants.
    pub epochs: Vec<EpochId>,
}

/// What somebody has of an epoch's frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochVector {
    /// The epoch.
    pub epoch: EpochId,
    /// One for each sender of whom it has any.
    pub senders: Vec<SenderVector>,
}

/// What somebody has of a sender's frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SenderVector {
    /// The sender.
    pub leaf: LeafId,
    /// It has all counters below this one…
    pub next: u64,
    /// …and these above, ascending: at most [`bounds::MAX_EXTRA_COUNTERS`].
    pub extra: Vec<u64>,
}

/// How far somebody has got with the asked member's frames of an epoch. Counters, each above all frames of which it is true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceiptMark {
    /// The epoch.
    pub epoch: EpochId,
    /// Opened, and their ciphertext kept for others.
    pub held: u64,
    /// Shown to the user; at most `held`.
    pub delivered: u64,
    /// The first that `read` speaks of; at most `read`.
    pub read_from: u64,
    /// Read by the user, from `read_from` on; at most `delivered`. Both 0 where the user doesn't tell.
    pub read: u64,
}

/// The message is above [`bounds::MAX_DIRECT_BYTES`], or a list in it above its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a direct message is above {} bytes, or holds too much", bounds::MAX_DIRECT_BYTES)]
pub struct DirectTooLarge;

impl DirectRequest {
    /// Its bytes.
    ///
    /// # Errors
    /// [`DirectTooLarge`], when no receiver would take it.
    pub fn encode(&self) -> Result<Vec<u8>, DirectTooLarge> {
        let mut w = Writer::new();
        match self {
            Self::Sync {
                records,
                operations,
                epochs,
            } => {
                w.u8(1).list(records, |w, (identity, seq)| {
                    w.raw(identity.as_bytes()).u64(*seq);
                });
                ids(&mut w, operations);
                ids(&mut w, epochs);
            }
            Self::Compare { digest } => {
                w.u8(2).raw(digest);
            }
            Self::Push(bundle) => bundle.write(w.u8(3)),
            Self::Box { epoch, leaf } => {
                w.u8(4).raw(epoch.as_bytes()).raw(leaf.as_bytes());
            }
            Self::Boxes { epoch, skip } => {
                w.u8(5).raw(epoch.as_bytes()).u32(*skip);
            }
            Self::Members { epoch } => {
                w.u8(6).raw(epoch.as_bytes());
            }
            Self::Frames { have } => {
                w.u8(7).list(have, |w, vector| vector.write(w));
            }
            Self::Object { operation, leaf } => {
                w.u8(8).raw(operation.as_bytes()).raw(leaf.as_bytes());
            }
            Self::Door {
                leaf,
                generation,
                object,
            } => {
                generation.write(w.u8(9).lp(leaf.encode()));
                option(&mut w, object.as_ref());
            }
            Self::Receipt { marks } => {
                w.u8(11).list(marks, |w, mark| mark.write(w));
            }
            Self::Statements { frames } => {
                w.u8(10).list(frames, |w, frame| {
                    w.raw(frame.as_bytes());
                });
            }
            Self::Approval { identity, generation } => {
                generation.write(w.u8(12).raw(identity.as_bytes()));
            }
        }
        checked(w, self.is_bounded())
    }

    fn is_bounded(&self) -> bool {
        const MAX: usize = bounds::MAX_SYNC_ENTRIES;
        match self {
            Self::Sync {
                records,
                operations,
                epochs,
            } => records.len() <= MAX && operations.len() <= MAX && epochs.len() <= MAX,
            Self::Push(bundle) => bundle.is_bounded(),
            Self::Frames { have } => have.len() <= bounds::MAX_SYNC_EPOCHS && have.iter().all(EpochVector::is_valid),
            Self::Receipt { marks } => {
                marks.len() <= bounds::MAX_SYNC_EPOCHS && marks.iter().all(ReceiptMark::is_valid)
            }
            Self::Statements { frames } => frames.len() <= bounds::MAX_STATEMENTS,
            Self::Compare { .. }
            | Self::Box { .. }
            | Self::Boxes { .. }
            | Self::Members { .. }
            | Self::Object { .. }
            | Self::Approval { .. } => true,
            Self::Door { object, .. } => object
                .as_ref()
                .is_none_or(|bytes| bytes.len() <= bounds::MAX_OBJECT_BYTES),
        }
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::Unsupported`] for a kind of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = sized(bytes)?;
        let request = match r.u8()? {
            1 => Self::Sync {
                records: r.list("records", bounds::MAX_SYNC_ENTRIES, |r| {
                    Ok((IdentityKey::from_bytes(r.array()?), r.u64()?))
                })?,
                operations: read_ids(&mut r, OperationHash::from_bytes)?,
                epochs: read_ids(&mut r, EpochId::from_bytes)?,
            },
            2 => Self::Compare { digest: r.array()? },
            3 => Self::Push(Bundle::read(&mut r)?),
            4 => Self::Box {
                epoch: EpochId::from_bytes(r.array()?),
                leaf: LeafId::from_bytes(r.array()?),
            },
            5 => Self::Boxes {
                epoch: EpochId::from_bytes(r.array()?),
                skip: r.u32()?,
            },
            6 => Self::Members {
                epoch: EpochId::from_bytes(r.array()?),
            },
            7 => Self::Frames {
                have: r.list("epochs", bounds::MAX_SYNC_EPOCHS, EpochVector::read)?,
            },
            8 => Self::Object {
                operation: OperationHash::from_bytes(r.array()?),
                leaf: LeafId::from_bytes(r.array()?),
            },
            9 => Self::Door {
                leaf: UnverifiedRecord::decode(r.lp("record", bounds::MAX_GOSSIP_BYTES)?)?,
                generation: Generation::read(&mut r)?,
                object: read_option(&mut r, "object", bounds::MAX_OBJECT_BYTES)?,
            },
            11 => Self::Receipt {
                marks: r.list("marks", bounds::MAX_SYNC_EPOCHS, ReceiptMark::read)?,
            },
            10 => Self::Statements {
                frames: r.list("frames", bounds::MAX_STATEMENTS, |r| {
                    r.array().map(FrameHash::from_bytes)
                })?,
            },
            12 => Self::Approval {
                identity: IdentityKey::from_bytes(r.array()?),
                generation: Generation::read(&mut r)?,
            },
            _ => return Err(DecodeError::Unsupported { what: "request" }),
        };
        r.finish()?;
        Ok(request)
    }
}

impl DirectReply {
    /// Its bytes.
    ///
    /// # Errors
    /// [`DirectTooLarge`], when no receiver would take it: put less in.
    pub fn encode(&self) -> Result<Vec<u8>, DirectTooLarge> {
        let mut w = Writer::new();
        match self {
            Self::Sync { bundle, wants, more } => {
                bundle.write(w.u8(1));
                ids(&mut w, &wants.records);
                ids(&mut w, &wants.operations);
                ids(&mut w, &wants.epochs);
                w.bool(*more);
            }
            Self::Compare { same } => {
                w.u8(2).bool(*same);
            }
            Self::Done => {
                w.u8(3);
            }
            Self::Box(sealed) => {
                w.u8(4).option(sealed.as_ref(), |w, sealed| sealed.write(w));
            }
            Self::Boxes(boxes) => {
                w.u8(5).list(boxes, |w, sealed| sealed.write(w));
            }
            Self::Members(members) => {
                w.u8(6).list(members, |w, member| member.write(w));
            }
            Self::Frames(frames) => {
                w.u8(7).list(frames, |w, frame| {
                    w.lp(frame);
                });
            }
            Self::Object(object) => option(w.u8(8), object.as_ref()),
            Self::Door { object, handed } => {
                option(w.u8(9), object.as_ref());
                option(&mut w, handed.as_ref());
            }
            Self::Noted => {
                w.u8(11);
            }
            Self::Statements(statements) => {
                w.u8(10).list(statements, |w, statement| {
                    w.lp(&statement.encode());
                });
            }
            Self::Approval(approval) => {
                w.u8(12).option(approval.as_ref(), |w, approval| {
                    w.raw(&approval.encode());
                });
            }
        }
        checked(w, self.is_bounded())
    }

    fn is_bounded(&self) -> bool {
        const MAX: usize = bounds::MAX_SYNC_ENTRIES;
        match self {
            Self::Sync { bundle, wants, more: _ } => {
                bundle.is_bounded()
                    && wants.records.len() <= MAX
                    && wants.operations.len() <= MAX
                    && wants.epochs.len() <= MAX
            }
            Self::Boxes(boxes) => boxes.len() <= bounds::MAX_MEMBERS,
            Self::Members(members) => members.len() <= bounds::MAX_MEMBERS,
            Self::Frames(frames) => {
                frames.len() <= MAX && frames.iter().all(|frame| frame.len() <= bounds::MAX_GOSSIP_BYTES)
            }
            Self::Object(object) => object
                .as_ref()
                .is_none_or(|bytes| bytes.len() <= bounds::MAX_OBJECT_BYTES),
            Self::Door { object, handed } => {
                object
                    .as_ref()
                    .is_none_or(|bytes| bytes.len() <= bounds::MAX_OBJECT_BYTES)
                    && handed.as_ref().is_none_or(|bytes| bytes.len() <= MAX_HANDED)
            }
            Self::Statements(statements) => statements.len() <= bounds::MAX_STATEMENTS,
            Self::Compare { .. } | Self::Done | Self::Box(_) | Self::Noted | Self::Approval(_) => true,
        }
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::Unsupported`] for a kind of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = sized(bytes)?;
        let reply = match r.u8()? {
            1 => Self::Sync {
                bundle: Bundle::read(&mut r)?,
                wants: Wants {
                    records: read_ids(&mut r, IdentityKey::from_bytes)?,
                    operations: read_ids(&mut r, OperationHash::from_bytes)?,
                    epochs: read_ids(&mut r, EpochId::from_bytes)?,
                },
                more: r.bool("more")?,
            },
            2 => Self::Compare { same: r.bool("same")? },
            3 => Self::Done,
            4 => Self::Box(r.option("box", SealedBox::read)?),
            5 => Self::Boxes(r.list("boxes", bounds::MAX_MEMBERS, SealedBox::read)?),
            6 => Self::Members(r.list("members", bounds::MAX_MEMBERS, MemberEntry::read)?),
            7 => Self::Frames(r.list("frames", bounds::MAX_SYNC_ENTRIES, |r| {
                r.lp("frame", bounds::MAX_GOSSIP_BYTES).map(<[u8]>::to_vec)
            })?),
            8 => Self::Object(read_option(&mut r, "object", bounds::MAX_OBJECT_BYTES)?),
            9 => Self::Door {
                object: read_option(&mut r, "object", bounds::MAX_OBJECT_BYTES)?,
                handed: read_option(&mut r, "Room Key", MAX_HANDED)?,
            },
            11 => Self::Noted,
            10 => Self::Statements(r.list("statements", bounds::MAX_STATEMENTS, |r| {
                UnverifiedStatement::decode(r.lp("statement", MAX_STATEMENT)?)
            })?),
            12 => Self::Approval(r.option("approval", Approval::read)?),
            _ => return Err(DecodeError::Unsupported { what: "reply" }),
        };
        r.finish()?;
        Ok(reply)
    }
}

impl Bundle {
    /// How many bytes it takes: for filling a reply up to its bound.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.as_slice().len()
    }

    fn is_bounded(&self) -> bool {
        const MAX: usize = bounds::MAX_SYNC_ENTRIES;
        self.records.len() <= MAX && self.operations.len() <= MAX && self.announcements.len() <= MAX
    }

    fn write(&self, w: &mut Writer) {
        w.list(&self.records, |w, record| {
            w.lp(record.encode());
        });
        w.list(&self.operations, |w, operation| {
            w.lp(&operation.encode());
        });
        w.list(&self.announcements, |w, announcement| {
            w.lp(&announcement.encode());
        });
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const ITEM: usize = bounds::MAX_GOSSIP_BYTES;
        Ok(Self {
            records: r.list("records", bounds::MAX_SYNC_ENTRIES, |r| {
                UnverifiedRecord::decode(r.lp("record", ITEM)?)
            })?,
            operations: r.list("operations", bounds::MAX_SYNC_ENTRIES, |r| {
                UnverifiedOperation::decode(r.lp("operation", ITEM)?)
            })?,
            announcements: r.list("announcements", bounds::MAX_SYNC_ENTRIES, |r| {
                UnverifiedAnnouncement::decode(r.lp("announcement", ITEM)?)
            })?,
        })
    }
}

impl EpochVector {
    fn is_valid(&self) -> bool {
        self.senders.len() <= bounds::MAX_MEMBERS && self.senders.iter().all(SenderVector::is_valid)
    }

    fn write(&self, w: &mut Writer) {
        w.raw(self.epoch.as_bytes()).list(&self.senders, |w, sender| {
            w.raw(sender.leaf.as_bytes())
                .u64(sender.next)
                .list(&sender.extra, |w, counter| {
                    w.u64(*counter);
                });
        });
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = EpochId::from_bytes(r.array()?);
        let senders = r.list("senders", bounds::MAX_MEMBERS, |r| {
            let leaf = LeafId::from_bytes(r.array()?);
            let next = r.u64()?;
            let extra = r.list("counters", bounds::MAX_EXTRA_COUNTERS, Reader::u64)?;
            let sender = SenderVector { leaf, next, extra };
            sender
                .is_valid()
                .then_some(sender)
                .ok_or(DecodeError::Invalid { what: "counters" })
        })?;
        Ok(Self { epoch, senders })
    }
}

impl SenderVector {
    fn is_valid(&self) -> bool {
        self.extra.len() <= bounds::MAX_EXTRA_COUNTERS
            && self.extra.is_sorted_by(|a, b| a < b)
            && self.extra.first().is_none_or(|first| *first > self.next)
    }
}

impl ReceiptMark {
    fn is_valid(&self) -> bool {
        self.read_from <= self.read && self.read <= self.delivered && self.delivered <= self.held
    }

    fn write(&self, w: &mut Writer) {
        w.raw(self.epoch.as_bytes())
            .u64(self.held)
            .u64(self.delivered)
            .u64(self.read_from)
            .u64(self.read);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mark = Self {
            epoch: EpochId::from_bytes(r.array()?),
            held: r.u64()?,
            delivered: r.u64()?,
            read_from: r.u64()?,
            read: r.u64()?,
        };
        mark.is_valid()
            .then_some(mark)
            .ok_or(DecodeError::Invalid { what: "marks" })
    }
}

fn option(w: &mut Writer, bytes: Option<&Vec<u8>>) {
    w.option(bytes, |w, bytes| {
        w.lp(bytes);
    });
}

fn read_option(r: &mut Reader<'_>, what: &'static str, max: usize) -> Result<Option<Vec<u8>>, DecodeError> {
    r.option(what, |r| r.lp(what, max).map(<[u8]>::to_vec))
}

fn ids<T: AsRef<[u8]>>(w: &mut Writer, items: &[T]) {
    w.list(items, |w, item| {
        w.raw(item.as_ref());
    });
}

fn read_ids<T>(r: &mut Reader<'_>, from: impl Fn([u8; 32]) -> T) -> Result<Vec<T>, DecodeError> {
    r.list("ids", bounds::MAX_SYNC_ENTRIES, |r| r.array().map(&from))
}

fn sized(bytes: &[u8]) -> Result<Reader<'_>, DecodeError> {
    if bytes.len() > bounds::MAX_DIRECT_BYTES {
        return Err(DecodeError::TooLong {
            what: "direct message",
            max: bounds::MAX_DIRECT_BYTES,
        });
    }
    Ok(Reader::new(bytes))
}

/// A limit that receivers check, senders check too.
fn checked(writer: Writer, bounded: bool) -> Result<Vec<u8>, DirectTooLarge> {
    let bytes = writer.finish();
    if bounded && bytes.len() <= bounds::MAX_DIRECT_BYTES {
        Ok(bytes)
    } else {
        Err(DirectTooLarge)
    }
}
