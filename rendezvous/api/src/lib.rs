//! Requests and responses of the rendezvous, HTTP API v1 (docs/PROTOCOL.md, "Rendezvous").
//!
//! Server and node share these types, so a body that one writes the other reads. Everything is JSON; byte strings are
//! base64url without padding, with their length bounds in their type: a value that exists is a value within its bounds.
//! Unknown members of an object are ignored, so that an older side can talk to a newer one.

mod bounds;
mod bytes;
mod change;
mod directory;
mod fields;
mod login;
#[cfg(feature = "openapi")]
mod openapi;
mod paths;
mod presence;
mod problem;
mod register;
mod relay;
mod room;
mod token;

pub use bounds::*;
pub use bytes::{ByteString, BytesError, Exact};
pub use change::{Certified, ChangeRoom, Generation, NewPassword, NewRoomKey, PutCapsule, Superseded};
pub use directory::{Listings, Search, SignedListing};
pub use fields::*;
pub use login::{Former, LoginFinish, LoginStart, LoginStarted, Session};
#[cfg(feature = "openapi")]
pub use openapi::{Component, components};
pub use paths::{
    Handle, HandleError, capsule, change, login_finish, login_start, presence, register_finish, register_start, room,
    rooms,
};
pub use presence::{Introductions, PresenceRecord, PutPresence};
pub use problem::{Problem, ProblemType};
pub use register::{CredentialUpload, RegisterFinish, RegisterStart, RegisterStarted, Registered, RegistrationAnswer};
pub use relay::{RelayAddress, RelayAddressError};
pub use room::{Credential, DeleteRoom, Policy};
pub use token::{Token, TokenError};
