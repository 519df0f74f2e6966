//! Frames: what members send each other. docs/PROTOCOL.md, "Frames".
//!
//! ```text
//! frame      = 01 ‖ tag(8) ‖ nonce(24) ‖ XChaCha20-Poly1305(env, nonce, AD = 01 ‖ tag, hdr ‖ inner)
//! hdr        = leaf_id(16) ‖ counter(8) ‖ list of (tag(8) ‖ frame_hash(32))
//! inner      = ChaCha20-Poly1305(mk, nonce[..12], AD = hdr, padded contents ‖ signature(64))
//! frame_hash = H("frame", epoch_id, hdr, H("contents", padded contents))
//! signature  = S(leaf key, "sign frame", genesis_hash, frame_hash)
//! ```
//!
//! At most 32 KiB. Every frame is signed: all members know every chain, so an unsigned one could be forged, and burn the
//! victim's counter. The random nonce keeps a restored snapshot from using a key and nonce twice.

pub(crate) mod chain;
mod error;
mod open;
mod seal;
mod statement;

use core::fmt;
use std::collections::HashMap;

pub use error::{Blame, EpochError, FrameError, SealError};
pub use statement::{MAX_STATEMENT, Statement, UnverifiedStatement};

use self::chain::Chain;
use crate::{
    EpochId, FrameHash, FrameTag, GenesisHash, LeafId,
    aead::{self, Kind},
    content::Content,
    epoch::{Announcement, EpochSecrets, FrameKeys},
    kdf, label,
    leaf::LeafPublicKey,
    rest::{ChainAtRest, EpochAtRest, RestError},
    wire::{DecodeError, Reader, Writer},
};

/// What stands before the envelope's ciphertext: kind, tag, nonce.
const HEAD: usize = 1 + FrameTag::LEN + aead::NONCE;
/// What the envelope authenticates besides: kind and tag.
const AD: usize = 1 + FrameTag::LEN;
/// A header without parents.
const MIN_HEADER: usize = LeafId::LEN + 8 + 4;
/// Size of a signature.
const SIGNATURE: usize = 64;

/// A live epoch: seals our frames and opens others'.
///
/// One process holds it, and nobody clones it: two copies would use one counter twice.
pub struct Epoch {
    id: EpochId,
    genesis: GenesisHash,
    keys: FrameKeys,
    /// Ascending by leaf: in a room of a thousand a table of its own would take twice the room.
    members: Vec<Member>,
}

struct Member {
    leaf: LeafId,
    key: LeafPublicKey,
    chain: Chain,
}

/// A frame that a frame's sender had seen last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ParentRef {
    /// The tag of its epoch: a receiver that isn't in that one counts it as met.
    pub tag: FrameTag,
    /// Its hash.
    pub hash: FrameHash,
}

/// A frame to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedFrame {
    /// Its bytes, at most 32 KiB.
    pub bytes: Vec<u8>,
    /// Its name.
    pub hash: FrameHash,
    /// Its place in our chain.
    pub counter: u64,
    /// What we signed, without what it says.
    pub statement: Statement,
}

/// A frame that has proven genuine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedFrame {
    /// Who sent it.
    pub sender: LeafId,
    /// Its place in the sender's chain.
    pub counter: u64,
    /// What its sender had seen last.
    pub parents: Vec<ParentRef>,
    /// Its name.
    pub hash: FrameHash,
    /// What it says: one content at least.
    pub contents: Vec<Content>,
}

/// What came of a member's frames in an epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// One above the highest counter seen.
    pub next: u64,
    /// Counters below it that are still missing and could be opened, ascending.
    pub missing: Vec<u64>,
}

/// The epoch's tag of a frame; `None` if the bytes can't be one.
#[must_use]
pub fn tag_of(bytes: &[u8]) -> Option<FrameTag> {
    let (kind, rest) = bytes.split_first()?;
    let tag = rest.get(..FrameTag::LEN).and_then(FrameTag::from_slice)?;
    (*kind == Kind::Frame as u8).then_some(tag)
}

impl Epoch {
    /// Begins an epoch. `members` are the keys of the announcement's members, in any order; others are ignored.
    ///
    /// # Errors
    /// [`EpochError`].
    pub fn new(
        secrets: EpochSecrets,
        announcement: &Announcement,
        members: &[(LeafId, LeafPublicKey)],
    ) -> Result<Self, EpochError> {
        if secrets.epoch_id() != announcement.epoch_id() {
            return Err(EpochError::WrongSecrets);
        }
        let keys: HashMap<LeafId, LeafPublicKey> = members.iter().copied().collect();
        // Ascending, as the announcement's are.
        let mut live = Vec::with_capacity(announcement.members().len());
        for entry in announcement.members() {
            let key = *keys
                .get(&entry.leaf)
                .ok_or(EpochError::MissingKey { leaf: entry.leaf })?;
            live.push(Member {
                leaf: entry.leaf,
                key,
                chain: Chain::new(secrets.chain_key(&entry.leaf)),
            });
        }
        Ok(Self {
            id: secrets.epoch_id(),
            genesis: announcement.genesis(),
            keys: secrets.into_frame_keys(),
            members: live,
        })
    }

    /// What of it rests on a disk, but for its chains.
    #[must_use]
    pub fn at_rest(&self) -> EpochAtRest {
        EpochAtRest {
            id: self.id,
            genesis: self.genesis,
            keys: FrameKeys {
                tag: self.keys.tag,
                envelope: self.keys.envelope.clone(),
                export: self.keys.export.clone(),
            },
            members: self.members.iter().map(|member| (member.leaf, member.key)).collect(),
        }
    }

    fn member(&self, leaf: &LeafId) -> Option<&Member> {
        let at = self.members.binary_search_by_key(leaf, |member| member.leaf).ok()?;
        self.members.get(at)
    }

    fn member_mut(&mut self, leaf: &LeafId) -> Option<&mut Member> {
        let at = self.members.binary_search_by_key(leaf, |member| member.leaf).ok()?;
        self.members.get_mut(at)
    }

    /// What of a member's chain rests on a disk; `None` for a leaf that is no member.
    #[must_use]
    pub fn chain_at_rest(&self, leaf: &LeafId) -> Option<ChainAtRest> {
        self.member(leaf).map(|member| member.chain.at_rest())
    }

    /// Takes an epoch up again where its chains stood. A snapshot that is older than what was sent since must not go unnoticed: its
    /// counters were used, so its owner needs a new incarnation (docs/PROTOCOL.md, "Coming back").
    ///
    /// # Errors
    /// [`RestError::Missing`] if a member's chain isn't there.
    pub fn restore(
        stored: EpochAtRest,
        mut chain: impl FnMut(&LeafId) -> Option<ChainAtRest>,
    ) -> Result<Self, RestError> {
        // Ascending, or they would not have decoded.
        let mut members = Vec::with_capacity(stored.members.len());
        for (leaf, key) in stored.members {
            let chain = chain(&leaf).ok_or(RestError::Missing { what: "a sender chain" })?;
            members.push(Member {
                leaf,
                key,
                chain: Chain::restore(chain),
            });
        }
        Ok(Self {
            id: stored.id,
            genesis: stored.genesis,
            keys: stored.keys,
            members,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> EpochId {
        self.id
    }

    /// What its frames begin with.
    #[must_use]
    pub const fn tag(&self) -> FrameTag {
        self.keys.tag
    }

    /// A secret that all members share and nobody else has, for other uses than frames.
    #[must_use]
    pub const fn export(&self) -> &crate::epoch::ExportSecret {
        &self.keys.export
    }

    /// What came of a member's frames; `None` for a leaf that is no member.
    #[must_use]
    pub fn progress(&self, leaf: &LeafId) -> Option<Progress> {
        let chain = &self.member(leaf)?.chain;
        Some(Progress {
            next: chain.next(),
            missing: chain.missing().collect(),
        })
    }
}

fn contents_digest(padded: &[u8]) -> [u8; 32] {
    kdf::hash(label::CONTENTS, &[padded])
}

fn frame_hash(epoch: &EpochId, header: &[u8], contents: &[u8; 32]) -> FrameHash {
    FrameHash::from_bytes(kdf::hash(label::FRAME, &[epoch.as_bytes(), header, contents]))
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            genesis: _,
            keys: _,
            members,
        } = self;
        write!(f, "Epoch({id}, {} members, redacted)", members.len())
    }
}

impl ParentRef {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.raw(self.tag.as_bytes()).raw(self.hash.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tag: FrameTag::from_bytes(reader.array()?),
            hash: FrameHash::from_bytes(reader.array()?),
        })
    }
}
