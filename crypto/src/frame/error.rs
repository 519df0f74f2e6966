//! What can be wrong with a frame, and whose fault it is.

use thiserror::Error;

use crate::{LeafId, bounds, wire::DecodeError};

/// Whose fault a frame that didn't open is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// Whoever sent it on: an honest peer passes on only what it opened itself.
    Sender,
    /// Perhaps our own lag: hold it or ignore it, punish nobody.
    Ourselves,
    /// Nobody's: it was opened before.
    Duplicate,
}

/// Why a frame didn't open. The epoch is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Too short, too long, or not a frame at all.
    #[error("not a frame")]
    NotAFrame,
    /// Of another epoch.
    #[error("a frame of another epoch")]
    OtherEpoch,
    /// Not sealed by a member of this epoch, or changed on its way.
    #[error("the frame's envelope doesn't open")]
    Forged,
    /// Its fields are malformed.
    #[error("malformed frame: {0}")]
    Malformed(#[from] DecodeError),
    /// It claims to come from somebody who is not in the epoch.
    #[error("the frame's sender is no member of its epoch")]
    NotAMember,
    /// It was opened before, or is so late that its key is gone.
    #[error("the frame was opened before")]
    Duplicate,
    /// More than [`bounds::MAX_SKIP`] frames of its sender are missing before it.
    #[error(
        "{ahead} frames are missing before this one, and at most {} may be",
        bounds::MAX_SKIP
    )]
    TooFarAhead {
        /// How many are missing.
        ahead: u64,
    },
    /// Its sender says more than the caller takes: see [`super::Epoch::open_if`].
    #[error("the frame's sender says too much at once")]
    Shed,
    /// A member sealed it, but not with the sender's chain.
    #[error("the frame isn't sealed with its sender's chain")]
    WrongChain,
    /// A member sealed it, but not the one it claims to come from.
    #[error("the frame's signature doesn't verify")]
    BadSignature,
}

impl FrameError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Malformed(DecodeError::Unsupported { .. })
            | Self::OtherEpoch
            | Self::TooFarAhead { .. }
            | Self::Shed => Blame::Ourselves,
            Self::Duplicate => Blame::Duplicate,
            Self::NotAFrame
            | Self::Forged
            | Self::Malformed(_)
            | Self::NotAMember
            | Self::WrongChain
            | Self::BadSignature => Blame::Sender,
        }
    }
}

/// Why contents can't be sealed: the caller's mistake. No counter is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// The leaf is no member of the epoch, or the key is not that leaf's.
    #[error("the sender is no member of the epoch")]
    NotAMember,
    /// No contents, or more than [`bounds::MAX_CONTENTS`].
    #[error("a frame has 1 to {} contents", bounds::MAX_CONTENTS)]
    ContentCount,
    /// More than [`bounds::MAX_PARENTS`] parents.
    #[error("a frame has at most {} parents", bounds::MAX_PARENTS)]
    TooManyParents,
    /// More than [`bounds::MAX_PADDED_BYTES`] of contents.
    #[error(
        "{bytes} bytes of contents, of which a frame takes at most {}",
        bounds::MAX_PADDED_BYTES
    )]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// A text of more than [`bounds::MAX_TEXT_BYTES`].
    #[error("a message has at most {} bytes", bounds::MAX_TEXT_BYTES)]
    TextTooLong,
    /// Something that only one member may read: to be sealed to it first, see [`crate::pair`].
    #[error("a private message has to be sealed to its reader first")]
    Private,
    /// The chain is at its end: 2^64 frames were sent.
    #[error("the sender's chain is at its end")]
    Exhausted,
}

/// Why an epoch can't begin: the caller's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EpochError {
    /// The secrets are another epoch's.
    #[error("the secrets are those of another epoch")]
    WrongSecrets,
    /// A member's key is not among those given.
    #[error("the key of member {leaf} is missing")]
    MissingKey {
        /// Whose.
        leaf: LeafId,
    },
}
