//! What the admin and moderators tell the room to do (docs/PROTOCOL.md, "Authority").

use snug_crypto::genesis::Policy;
use snug_crypto::ids::Fingerprint;
use snug_crypto::names::RoomKey;
use snug_crypto::operation::{Keeper, Role};

use super::Trust;

/// An act of authority.
#[derive(Debug)]
pub enum Command {
    /// Removes a member: everybody else gets a new Room Key.
    Kick {
        /// Whom.
        who: Fingerprint,
    },
    /// Removes an identity for good: everybody else gets a new Room Key.
    Ban {
        /// Whom.
        who: Fingerprint,
    },
    /// Gives a member a role.
    Role {
        /// Whom.
        who: Fingerprint,
        /// Which.
        role: Role,
    },
    /// Gives everybody a new Room Key.
    Rekey {
        /// Which; generated if there is none.
        room_key: Option<RoomKey>,
    },
    /// Names a keeper, by its offer; what it begins with comes as a notice. One that is named already is given that again.
    Keeper(Box<Keeper>),
    /// Changes the room's rules.
    Policy(Policy),
    /// Lets somebody in who asked to be.
    Approve {
        /// Whom.
        who: Fingerprint,
    },
    /// Says what the user knows of somebody: needs no authority, and stays with us.
    Trust {
        /// Of whom.
        who: Fingerprint,
        /// What.
        trust: Trust,
    },
    /// Deletes the room for everybody.
    Delete,
}

/// Why it is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandRefused {
    /// Our role doesn't allow it.
    #[error(
        "only an admin of the room may do that, and you are none; ask one, or enter with the room's Password: snug join --password-file FILE"
    )]
    NotAdmin,
    /// Only the admin's own key may do it, which a role doesn't bring.
    #[error(
        "that needs the room's Password in this run; leave with /quit, and enter with: snug join --password-file FILE"
    )]
    NeedsPassword,
    /// Our role doesn't allow it.
    #[error("only the room's admin and its moderators may do that")]
    NotModerator,
    /// There is nobody of that fingerprint.
    #[error("there is no such member; /members lists them with their fingerprints")]
    NoSuchMember,
    /// The member ranks above us.
    #[error("you may not do that to somebody who ranks above you: who has had your role for longer, or is an admin")]
    Senior,
    /// We can't remove ourselves.
    #[error("you can't remove yourself; leave the room instead")]
    Yourself,
    /// Nothing was wrong with that member's key.
    #[error("that member's key has not changed")]
    NothingToAccept,
    /// We have no keys yet.
    #[error("the room is not ready yet; try again in a moment")]
    NotReady,
    /// The new Room Key is the one in use.
    #[error("that is the Room Key already")]
    SameKey,
    /// The rules are those in force.
    #[error("these are the room's rules already")]
    SamePolicy,
    /// No room can have such rules.
    #[error("a room takes 1 to 4096 members, and keeps whoever is away for at least 15 minutes")]
    BadPolicy,
    /// Nobody of that fingerprint waits to be let in.
    #[error("nobody of that name waits to be let in; /approve lists who does")]
    NotWaiting,
    /// Each keeper costs every member a link.
    #[error("a room has {max} keepers at most; remove one first: /kick FINGERPRINT, see /members", max = super::MAX_KEEPERS)]
    EnoughKeepers,
    /// The log is full.
    #[error("the room's log of such acts is full; make a new room and invite everybody there")]
    LogFull,
    /// What moderators may add to the log is used up; the rest is the admin's.
    #[error("moderators' part of the room's log of such acts is full; ask an admin to do it")]
    ShareFull,
    /// By what else is in the log, it would have no effect: somebody senior took it back, or acted at the same time.
    #[error(
        "that would have no effect: somebody senior to you has just acted; look at /members, and try again in a moment"
    )]
    WouldNotCount,
    /// The room is closed for us.
    #[error("you are no longer in this room")]
    Closed,
}
