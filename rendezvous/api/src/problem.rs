//! Errors: RFC 9457 problem documents (`application/problem+json`) with types that stay the same.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bounds::TOMBSTONE_LEN;
use crate::bytes::{Exact, TextVisitor};
use crate::change::{Generation, Superseded};
use crate::fields::TombstoneBytes;

/// A problem document. `detail` is for people; programs look at `problem_type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// What is wrong.
    #[serde(rename = "type")]
    pub problem_type: ProblemType,
    /// The type's title, in words.
    pub title: String,
    /// The HTTP status, again.
    pub status: u16,
    /// What to do about it, where there is more to say than the title does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Seconds after which trying again makes sense; also in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// For [`ProblemType::RoomGone`]: the admin's signed word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<TombstoneBytes>,
    /// For [`ProblemType::RoomKeyChanged`]: what there is for holders of the former Room Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded: Option<Superseded>,
    /// For [`ProblemType::GenerationStale`]: the generation that is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

impl Problem {
    /// The media type of problem documents.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem of the type, with its title and status.
    #[must_use]
    pub fn new(problem_type: ProblemType) -> Self {
        Self {
            title: problem_type.title().to_owned(),
            status: problem_type.status(),
            problem_type,
            detail: None,
            retry_after_s: None,
            tombstone: None,
            superseded: None,
            generation: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds when to try again, in seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Adds the tombstone of a deleted room.
    #[must_use]
    pub fn with_tombstone(mut self, tombstone: [u8; TOMBSTONE_LEN]) -> Self {
        self.tombstone = Some(Exact::new(tombstone));
        self
    }

    /// Adds what there is for holders of a former Room Key.
    #[must_use]
    pub fn with_superseded(mut self, superseded: Superseded) -> Self {
        self.superseded = Some(superseded);
        self
    }

    /// Adds the generation that is registered.
    #[must_use]
    pub fn with_generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }
}

/// Defines the types once: variant, URN, status, title.
macro_rules! problem_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)*) => {
        /// What is wrong, as a stable URN.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemType {
            $($(#[$doc])* $variant,)*
            /// A type this side does not know; the status says what class it is of.
            Unknown,
        }

        impl ProblemType {
            /// Every type that has a URN of its own.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable URN.
            #[must_use]
            pub fn urn(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("urn:snug:problem:", $name),)*
                    Self::Unknown => "about:blank",
                }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                    Self::Unknown => 500,
                }
            }

            /// In words.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                    Self::Unknown => "Unknown problem",
                }
            }

            /// Reads a URN; one of a newer server is [`ProblemType::Unknown`].
            #[must_use]
            pub fn from_urn(urn: &str) -> Self {
                match urn {
                    $(concat!("urn:snug:problem:", $name) => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}

problem_types! {
    /// The body is not what the path asks for, or the path's handle is none.
    BadRequest = "bad-request", 400, "The request makes no sense";
    /// Wrong credentials, no such room, or a login state that is altered, expired or used: the same to the client.
    LoginRefused = "login-refused", 401, "Wrong credentials or no such room";
    /// No token, or one that is unknown, expired, void or of another room.
    TokenRefused = "token-refused", 401, "A valid token of this room is needed";
    /// This rendezvous takes rooms only from those its host gave a registration token to, and none, or no good one, came along.
    RegistrationToken = "registration-token", 401, "A registration token of this rendezvous is needed";
    /// The token is of the room's other credential.
    WrongCredential = "wrong-credential", 403, "The token's credential does not allow this";
    /// The tombstone is not signed by the room's admin key, or is of another room.
    TombstoneRefused = "tombstone-refused", 403, "The tombstone is not signed by the room's admin key";
    /// The certificate is not signed by the room's admin key, is void, or has too low a rank; or its key did not sign this.
    CertificateRefused = "certificate-refused", 403, "The certificate does not allow this";
    /// The listing is not signed by the room's admin key, or is of another room.
    ListingRefused = "listing-refused", 403, "The listing is not signed by the room's admin key";
    /// This rendezvous takes no new rooms.
    RegistrationClosed = "registration-closed", 403, "This rendezvous takes no new rooms";
    /// A registration over plain http from another machine, which nothing protects.
    PlainHttp = "plain-http", 403, "Rooms are not registered over plain http";
    /// No such path.
    NotFound = "not-found", 404, "No such path";
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "Method not allowed";
    /// Headers or body took too long.
    Timeout = "timeout", 408, "The request took too long";
    /// A room by that handle exists, or was deleted less than 30 days ago.
    RoomExists = "room-exists", 409, "The room id is taken";
    /// A generation that wins over this one is registered, or it is not this one; `generation` says which.
    GenerationStale = "generation-stale", 409, "Another generation of the Room Key is registered";
    /// The login proved a former Room Key; `superseded` is for its holders.
    RoomKeyChanged = "room-key-changed", 409, "The Room Key was changed";
    /// The room was deleted; `tombstone` proves it.
    RoomGone = "room-gone", 410, "The room has been deleted";
    /// The host of this rendezvous removed the room. Its admin did not delete it: there is no tombstone, and its members go
    /// on without this rendezvous.
    RoomRemoved = "room-removed", 410, "The room was removed by the host of this rendezvous";
    /// The body is over its bound.
    TooLarge = "too-large", 413, "The request is too large";
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported-media-type", 415, "The body must be application/json";
    /// Too many requests from one address.
    TooManyRequests = "too-many-requests", 429, "Too many requests";
    /// Too many rooms were made from one address.
    TooManyRooms = "too-many-rooms", 429, "Too many rooms were made from this address";
    /// Too many logins of this room were started and not finished.
    TooManyLogins = "too-many-logins", 429, "Too many unfinished logins of this room";
    /// A defect of the server's.
    Internal = "internal", 500, "Internal error";
    /// The store can't be reached or is full, or the server is at its limit.
    Unavailable = "unavailable", 503, "The rendezvous can't serve this now";
}

impl Serialize for ProblemType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.urn())
    }
}

impl<'de> Deserialize<'de> for ProblemType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor("a problem type", |urn| {
            Ok::<_, std::convert::Infallible>(Self::from_urn(urn))
        }))
    }
}
