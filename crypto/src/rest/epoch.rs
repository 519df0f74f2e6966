//! An epoch and its sender chains at rest: docs/PROTOCOL.md, "At rest".
//!
//! ```text
//! epoch = 01 ‖ epoch_id(32) ‖ genesis_hash(32) ‖ tag(8) ‖ env(32) ‖ export(32) ‖ list of (leaf_id(16) ‖ leaf_vk(32))
//! chain = 01 ‖ next u64 ‖ ck_next(32) ‖ list of (counter u64 ‖ mk(32)), ascending
//! ```
//!
//! A chain is apart from its epoch, because each frame moves one chain and nothing else.

use core::fmt;

use super::{RestBytes, begin, finish, open, secret};
use crate::{
    EpochId, FrameTag, GenesisHash, LeafId, bounds,
    epoch::{ExportSecret, FrameKeys},
    kdf::Secret32,
    leaf::LeafPublicKey,
    wire::DecodeError,
};

/// What an epoch is but for its chains.
pub struct EpochAtRest {
    pub(crate) id: EpochId,
    pub(crate) genesis: GenesisHash,
    pub(crate) keys: FrameKeys,
    pub(crate) members: Vec<(LeafId, LeafPublicKey)>,
}

/// One sender's chain: the key to come, and the keys of frames that are still missing.
pub struct ChainAtRest {
    pub(crate) next: u64,
    pub(crate) key: Secret32,
    pub(crate) skipped: Vec<(u64, Secret32)>,
}

impl EpochAtRest {
    /// Its name.
    #[must_use]
    pub const fn id(&self) -> EpochId {
        self.id
    }

    /// The leaves whose chains belong to it.
    pub fn members(&self) -> impl Iterator<Item = &LeafId> {
        self.members.iter().map(|(leaf, _)| leaf)
    }

    /// Its bytes: 140, and 48 for each member.
    #[must_use]
    pub fn encode(&self) -> RestBytes {
        let mut writer = begin(32 + 32 + 8 + 64 + 4 + self.members.len() * 48);
        writer
            .raw(self.id.as_bytes())
            .raw(self.genesis.as_bytes())
            .raw(self.keys.tag.as_bytes())
            .raw(self.keys.envelope.expose())
            .raw(self.keys.export.expose());
        writer.list(&self.members, |w, (leaf, key)| {
            w.raw(leaf.as_bytes()).raw(key.as_bytes());
        });
        finish(writer)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored epoch", bytes)?;
        let id = EpochId::from_bytes(reader.array()?);
        let genesis = GenesisHash::from_bytes(reader.array()?);
        let tag = FrameTag::from_bytes(reader.array()?);
        let keys = FrameKeys {
            tag,
            envelope: crate::epoch::EnvelopeKey::from_secret(&secret(&mut reader)?),
            export: ExportSecret::from_secret(&secret(&mut reader)?),
        };
        let members = reader.list("members", bounds::MAX_MEMBERS, |r| {
            let leaf = LeafId::from_bytes(r.array()?);
            let key = LeafPublicKey::from_bytes(&r.array()?).ok_or(DecodeError::Invalid { what: "leaf key" })?;
            Ok((leaf, key))
        })?;
        reader.finish()?;
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DecodeError::Invalid {
                what: "order of members",
            });
        }
        Ok(Self {
            id,
            genesis,
            keys,
            members,
        })
    }
}

impl ChainAtRest {
    /// Its bytes: 45, and 40 for each missing frame.
    #[must_use]
    pub fn encode(&self) -> RestBytes {
        let mut writer = begin(8 + 32 + 4 + self.skipped.len() * 40);
        writer.u64(self.next).raw(&*self.key);
        writer.list(&self.skipped, |w, (counter, key)| {
            w.u64(*counter).raw(&**key);
        });
        finish(writer)
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = open("stored chain", bytes)?;
        let next = reader.u64()?;
        let key = secret(&mut reader)?;
        let skipped = reader.list("skipped keys", bounds::MAX_STORED_KEYS, |r| Ok((r.u64()?, secret(r)?)))?;
        reader.finish()?;
        let ordered = skipped.is_sorted_by(|a, b| a.0 < b.0) && skipped.last().is_none_or(|last| last.0 < next);
        if !ordered {
            return Err(DecodeError::Invalid {
                what: "order of skipped keys",
            });
        }
        Ok(Self { next, key, skipped })
    }
}

impl fmt::Debug for EpochAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            genesis: _,
            keys: _,
            members,
        } = self;
        write!(f, "EpochAtRest({id}, {} members, redacted)", members.len())
    }
}

impl fmt::Debug for ChainAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { next, key: _, skipped } = self;
        write!(f, "ChainAtRest({next}, {} skipped, redacted)", skipped.len())
    }
}
