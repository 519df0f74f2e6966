//! Why a room can't be entered, and why a message can't be sent.

use snug_crypto::ids::GenesisHash;

use crate::net::NetError;
use crate::profile::{PinError, ProfileError};
use crate::rendezvous::LoginError;
use crate::room::{CommandRefused, Notice, SendRefused};
use crate::text::Untrusted;

/// Why [`super::enter`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// The rendezvous didn't let us in.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The room's log, which its admin's signatures lead through, says that we were removed.
    #[error("{}", removed(.0))]
    Removed(Box<Notice>),
    /// The room handed out isn't the one that the invite names.
    #[error(
        "this is not the room of your invite: its founding record is {found}, the invite names {expected}. \
         Someone made another room under the same Room ID, or the rendezvous is lying to you; you were not let in"
    )]
    OtherThanInvited {
        /// The invite's genesis hash.
        expected: GenesisHash,
        /// The one that the rendezvous handed out.
        found: GenesisHash,
    },
    /// The admin key given isn't this room's.
    #[error("the admin key is not this room's; check the Room ID and the server's address")]
    NotItsAdmin,
    /// The room isn't the one that was entered before, or that can't be remembered.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// What is stored of the room can't be read, or the membership can't be kept.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The mesh can't be started.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// The sentence that people hear in the room, for a terminal.
fn removed(notice: &Notice) -> String {
    let shown = notice.name().map(Untrusted::name).unwrap_or_default();
    notice.text_naming(&shown).line()
}

impl EnterError {
    /// The process's exit status (PRODUCT).
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Login(error) => error.exit_status(),
            Self::Removed(_) => 5,
            Self::OtherThanInvited { .. } | Self::NotItsAdmin | Self::Pin(_) | Self::Profile(_) | Self::Net(_) => 1,
        }
    }
}

/// The node has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("you are no longer in this room")]
pub struct Closed;

/// Why an act of authority wasn't done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActError {
    /// It can't be done.
    #[error(transparent)]
    Refused(#[from] CommandRefused),
    /// The node ended before it was done.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why a message wasn't sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It can't be sent as it is.
    #[error(transparent)]
    Refused(#[from] SendRefused),
    /// We went offline before it could be sent. It is kept, and is sent in the next run: who sends it again doubles it.
    #[error("you went offline before it could be sent; it is kept, and is sent in your next run: don't send it again")]
    Kept,
    /// The node ended before it was sent.
    #[error(transparent)]
    Closed(#[from] Closed),
}
