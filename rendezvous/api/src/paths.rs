//! Paths of the API. Each is relative to the server's base URL and starts with a slash.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::bounds::HANDLE_LEN;

/// A room's handle as it stands in a path: 64 lower-case hexadecimal digits. Redacted in Debug, since logs must not hold
/// handles.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle([u8; HANDLE_LEN]);

/// The text is not a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a room handle is 64 lower-case hexadecimal digits")]
pub struct HandleError;

impl Handle {
    /// Wraps the bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; HANDLE_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; HANDLE_LEN] {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        if text.len() != 2 * HANDLE_LEN {
            return Err(HandleError);
        }
        let mut bytes = [0; HANDLE_LEN];
        HEXLOWER
            .decode_mut(text.as_bytes(), &mut bytes)
            .map_err(|_| HandleError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(..)")
    }
}

/// `GET`: the public directory, [`Search`](crate::Search) as the query for [`Listings`](crate::Listings).
#[must_use]
pub fn rooms() -> String {
    "/v1/rooms".to_owned()
}

/// `DELETE`: [`DeleteRoom`](crate::DeleteRoom), a token of either credential, no content in the answer.
#[must_use]
pub fn room(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}")
}

/// `POST`: [`RegisterStart`](crate::RegisterStart) for [`RegisterStarted`](crate::RegisterStarted).
#[must_use]
pub fn register_start(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}/register/start")
}

/// `POST`: [`RegisterFinish`](crate::RegisterFinish) for [`Registered`](crate::Registered), 201.
#[must_use]
pub fn register_finish(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}/register/finish")
}

/// `POST`: [`ChangeRoom`](crate::ChangeRoom), no content in the answer. With a token of the Password, or one of the Room Key
/// and a certificate.
#[must_use]
pub fn change(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}/change")
}

/// `PUT`: [`PutCapsule`](crate::PutCapsule), no content in the answer; tokens as for [`change`].
#[must_use]
pub fn capsule(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}/capsule")
}

/// `POST`: [`LoginStart`](crate::LoginStart) for [`LoginStarted`](crate::LoginStarted). A live token of the room in
/// `Authorization` exempts the start from the room's count of unfinished ones.
#[must_use]
pub fn login_start(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}/login/start")
}

/// `POST`: [`LoginFinish`](crate::LoginFinish) for [`Session`](crate::Session).
#[must_use]
pub fn login_finish(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}/login/finish")
}

/// `PUT` [`PutPresence`](crate::PutPresence) for [`Introductions`](crate::Introductions), `GET` for the same without
/// being introduced, `DELETE` to be introduced no more. Each with a `room` token.
#[must_use]
pub fn presence(handle: &Handle) -> String {
    format!("/v1/rooms/{handle}/presence")
}
