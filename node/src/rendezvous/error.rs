//! What a rendezvous and its clients can fail at, by blame. What the server wrote is [`Untrusted`] and in no message.

use std::time::Duration;

use snug_crypto::Generation;
use snug_crypto::credential::SignedTombstone;
use snug_crypto::genesis::GenesisError;

use super::{ServerUrl, Superseded};
use crate::text::Untrusted;

/// The exchange failed, whatever was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// No connection, or no answer in time.
    #[error("can't reach the rendezvous {server} ({why}); check the address and your network, and that it is running")]
    Unreachable {
        /// Who was called.
        server: ServerUrl,
        /// What happened, in our own words.
        why: &'static str,
    },
    /// Something answers there, but not as a rendezvous does.
    #[error(
        "{server} doesn't answer like a Snug rendezvous ({what}); check the address, and for a proxy or a login page in between"
    )]
    NotARendezvous {
        /// Who was called.
        server: ServerUrl,
        /// What was odd, in our own words.
        what: &'static str,
    },
    /// Too many requests.
    #[error("the rendezvous {server} asks to be left alone for {}", wait(retry_after))]
    RateLimited {
        /// Who was called.
        server: ServerUrl,
        /// How long, if it said so; at most a day.
        retry_after: Option<Duration>,
    },
    /// The rendezvous is a rendezvous, and failed or refused for a reason of its own.
    #[error("the rendezvous {server} can't serve this (status {status}); try again later, or ask who runs it")]
    Fault {
        /// Who was called.
        server: ServerUrl,
        /// The HTTP status.
        status: u16,
        /// What it said about it.
        detail: Option<Untrusted>,
    },
}

fn wait(retry_after: &Option<Duration>) -> String {
    match retry_after.map(|time| time.as_secs()) {
        None => "a while: too many requests".to_owned(),
        Some(seconds @ 0..120) => format!("{seconds} s: too many requests"),
        Some(seconds) => format!("{} min: too many requests", seconds.div_ceil(60)),
    }
}

/// Why a room can't be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The Room ID is taken.
    #[error(
        "a room of this Room ID exists already (or was deleted in the last 30 days); choose another Room ID, or join it"
    )]
    RoomExists,
    /// Plain http to another host, which a registration isn't protected on.
    #[error(
        "{server} is plain http on another host: whoever listens on the way could take the room over. \
         Use https, or a server on this machine, or say --insecure-registration if you know the network"
    )]
    PlainHttp {
        /// Who would have been called.
        server: ServerUrl,
    },
    /// The server takes rooms only over https, and sees plain http: perhaps behind a proxy that doesn't tell it.
    #[error(
        "{server} takes new rooms only over https, and was reached without; use its https address, or ask who runs it"
    )]
    NotSecure {
        /// Who was called.
        server: ServerUrl,
    },
    /// The server takes no new rooms.
    #[error("{server} takes no new rooms; make it at another rendezvous, or run your own: snug host")]
    Closed {
        /// Who was called.
        server: ServerUrl,
    },
    /// The server takes new rooms only with a token of its host's, and got none or a wrong one.
    #[error(
        "{server} takes new rooms only from holders of a registration token{}",
        if *gave_one { ", and the one given is not good: ask who runs it" }
        else { ": ask who runs it for one, and give it with --registration-token-file" }
    )]
    TokenNeeded {
        /// Who was called.
        server: ServerUrl,
        /// Whether a token was given.
        gave_one: bool,
    },
    /// Too many rooms were made from this address.
    #[error(
        "too many rooms were made from your address at this rendezvous; {}",
        retry(retry_after)
    )]
    TooManyRooms {
        /// When it may be tried again, if known.
        retry_after: Option<Duration>,
    },
    /// The description or the policy can't be.
    #[error("no room can be made like this: {0}")]
    Invalid(#[from] GenesisError),
    /// The capsules are over the API's bound.
    #[error("no room can be made like this: its description is too long")]
    TooLarge,
    /// The exchange failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Why a login is refused. That there is no such room and that its key is wrong can't be told apart, by anybody.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Wrong Room Key or Password, or no such room.
    #[error("wrong credentials or no such room; check the Room ID and the secret you gave, and the server's address")]
    WrongCredentials,
    /// The room was deleted, says the server; [`SignedTombstone::verify`] tells whether its admin said so.
    #[error("this room has been deleted")]
    Gone {
        /// The proof, if there was one.
        tombstone: Option<Box<SignedTombstone>>,
    },
    /// The Room Key was right once: another took its place.
    #[error("this room's Room Key was changed; ask a member for the new one")]
    Superseded(Box<Superseded>),
    /// The host of the rendezvous removed the room from it. Its admin did not delete it.
    #[error(
        "the host of this rendezvous removed this room from it (its admin did not delete it); ask its members where it goes on"
    )]
    Removed,
    /// The credential is right, yet what the server keeps for its holders can't be opened.
    #[error("the rendezvous handed out a damaged room ({what}); ask the room's admin, and don't trust this server")]
    BadCapsule {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Too many logins to this room were begun and not finished: somebody may be guessing its key.
    #[error("too many failed logins to this room today, by anybody; {}", retry(retry_after))]
    TooManyLogins {
        /// When it may be tried again, if known.
        retry_after: Option<Duration>,
    },
    /// The exchange failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn retry(retry_after: &Option<Duration>) -> String {
    match retry_after {
        None => "try again later".to_owned(),
        Some(time) => format!("try again in {} min", time.as_secs().div_ceil(60).max(1)),
    }
}

/// Why a presence request failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// The token isn't taken any more: log in again.
    #[error("the rendezvous no longer takes the session's token")]
    TokenRefused,
    /// The room was deleted, says the server.
    #[error("this room has been deleted")]
    Gone {
        /// The proof, if there was one.
        tombstone: Option<Box<SignedTombstone>>,
    },
    /// The host of the rendezvous removed the room from it.
    #[error("the host of this rendezvous removed this room from it")]
    Removed,
    /// The record is empty or over its bound: the caller's fault.
    #[error("a presence record is 1 to 1,024 bytes long")]
    RecordLength,
    /// The exchange failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Why a change of a room is not made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Another generation is registered, which wins over this one, or which the capsule is not of.
    #[error("another Room Key was registered before; the rendezvous has generation {}", registered.count)]
    Stale {
        /// The generation that is registered. Of the first one the server knows no hash: it is all zeros here.
        registered: Generation,
    },
    /// The session's token is void, or this takes a certificate or the Password: log in again.
    #[error("the rendezvous does not take this from us any more; log in again, or ask the admin for a certificate")]
    Refused,
    /// The certificate has expired, was made void, or does not allow it.
    #[error("the rendezvous does not take the admin's word for us any more; meet the admin in the room for a new one")]
    CertificateRefused,
    /// The room was deleted, says the server.
    #[error("this room has been deleted")]
    Gone {
        /// The proof, if there was one.
        tombstone: Option<Box<SignedTombstone>>,
    },
    /// Plain http to another host, which a registration isn't protected on.
    #[error(
        "{server} is plain http on another host: whoever listens on the way could take the room over. \
         Use https, or say --insecure-registration if you know the network"
    )]
    PlainHttp {
        /// Who would have been called.
        server: ServerUrl,
    },
    /// The capsule or the object is over its bound: the room's log is too long.
    #[error("the room's records have grown too long for the rendezvous")]
    TooLarge,
    /// The exchange failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Why a room can't be deleted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The login with the Password failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The server takes neither the token nor the tombstone that it was given.
    #[error("the rendezvous refused the deletion although the admin signed it; ask who runs it")]
    Refused,
    /// The exchange failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Exit statuses (PRODUCT): 2 usage, 3 wrong credentials or no such room, 4 the rendezvous can't be reached, 5 the room is deleted, else 1.
impl ServerError {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::NotARendezvous { .. } => 4,
            // A proxy's word for a rendezvous that is down.
            Self::Fault { status: 502..=504, .. } => 4,
            Self::RateLimited { .. } | Self::Fault { .. } => 1,
        }
    }
}

impl CreateError {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::PlainHttp { .. } => 2,
            Self::NotSecure { .. } | Self::Closed { .. } | Self::TokenNeeded { .. } | Self::TooManyRooms { .. } => 1,
            Self::Invalid(_) => 2,
            Self::RoomExists | Self::TooLarge => 1,
            Self::Server(error) => error.exit_status(),
        }
    }
}

impl LoginError {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::WrongCredentials | Self::Superseded(_) => 3,
            Self::Gone { .. } | Self::Removed => 5,
            Self::BadCapsule { .. } | Self::TooManyLogins { .. } => 1,
            Self::Server(error) => error.exit_status(),
        }
    }
}

impl ChangeError {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::PlainHttp { .. } => 2,
            Self::Gone { .. } => 5,
            Self::Stale { .. } | Self::Refused | Self::CertificateRefused | Self::TooLarge => 1,
            Self::Server(error) => error.exit_status(),
        }
    }
}

impl DeleteError {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Login(error) => error.exit_status(),
            Self::Refused => 1,
            Self::Server(error) => error.exit_status(),
        }
    }
}
