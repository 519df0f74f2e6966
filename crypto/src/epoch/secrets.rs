//! An epoch's secret half: `E = Extract(psk, es)`, then one key for each purpose, then `es` and `E` are gone.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::announcement::epoch_id;
use crate::{
    EpochId, FrameTag, LeafId, Psk,
    kdf::{self, Secret32},
    label,
    secret::secret,
};

secret! {
    /// Seals the envelopes of an epoch's frames.
    pub(crate) EnvelopeKey
}
secret! {
    /// A secret of the epoch for other uses than frames, 32 bytes.
    pub ExportSecret
}
secret! {
    /// Root of the epoch's sender chains.
    pub(crate) SendersKey
}

/// The keys of one epoch, before its chains begin.
pub struct EpochSecrets {
    epoch_id: EpochId,
    frame: FrameKeys,
    senders: SendersKey,
}

/// What of them a live epoch keeps.
pub(crate) struct FrameKeys {
    pub(crate) tag: FrameTag,
    pub(crate) envelope: EnvelopeKey,
    pub(crate) export: ExportSecret,
}

impl EpochSecrets {
    /// Derives them, and the commitment to them.
    pub(super) fn derive(psk: &Psk, secret: &[u8; 32], context: &[u8; 32]) -> (Self, [u8; 32]) {
        let root = kdf::extract(psk.expose(), secret);
        let derive = |label| kdf::expand(&*root, label, &[context]);
        let commit = *derive(label::COMMIT);
        let mut tag = [0; 8];
        tag.copy_from_slice(&derive(label::TAG)[..8]);
        let secrets = Self {
            epoch_id: epoch_id(context, &commit),
            frame: FrameKeys {
                tag: FrameTag::from_bytes(tag),
                envelope: EnvelopeKey::from_secret(&derive(label::ENVELOPE)),
                export: ExportSecret::from_secret(&derive(label::EXPORT)),
            },
            senders: SendersKey::from_secret(&derive(label::SENDERS)),
        };
        (secrets, commit)
    }

    /// Derives them, if they are what the issuer committed to.
    pub(super) fn derive_committed(
        psk: &Psk,
        secret: &Zeroizing<[u8; 32]>,
        context: &[u8; 32],
        commit: &[u8; 32],
    ) -> Option<Self> {
        let (secrets, derived) = Self::derive(psk, secret, context);
        bool::from(derived.ct_eq(commit)).then_some(secrets)
    }

    /// The epoch that they belong to.
    #[must_use]
    pub const fn epoch_id(&self) -> EpochId {
        self.epoch_id
    }

    /// A secret that all members share and nobody else has, for other uses than frames.
    #[must_use]
    pub const fn export(&self) -> &ExportSecret {
        &self.frame.export
    }

    /// What is left when all chains have begun: the root of the chains is wiped.
    pub(crate) fn into_frame_keys(self) -> FrameKeys {
        self.frame
    }

    /// The first key of a member's chain.
    pub(crate) fn chain_key(&self, leaf: &LeafId) -> Secret32 {
        kdf::expand(self.senders.expose(), label::SENDER, &[leaf.as_bytes()])
    }
}

impl fmt::Debug for EpochSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            epoch_id,
            frame: _,
            senders: _,
        } = self;
        write!(f, "EpochSecrets({epoch_id}, redacted)")
    }
}
