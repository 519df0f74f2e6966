//! Bearer tokens.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bounds::TOKEN_LEN;
use crate::bytes::TextVisitor;

/// What a finished login earns: 32 random bytes, sent as `Authorization: Bearer <base64url>`. It lives
/// [`TOKEN_TTL_S`](crate::TOKEN_TTL_S) after its last use and holds one presence record. A secret: wiped on drop, never
/// shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; TOKEN_LEN]);

/// The text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a bearer token of this API")]
pub struct TokenError;

impl Token {
    /// Wraps the bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; TOKEN_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; TOKEN_LEN] {
        &self.0
    }

    /// The value of an `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", BASE64URL_NOPAD.encode(&self.0))
    }

    /// Reads the value of an `Authorization` header. The scheme's case does not matter (RFC 9110, section 11.1).
    ///
    /// # Errors
    /// [`TokenError`] for another scheme or anything but 43 characters of canonical base64url.
    pub fn from_authorization(value: &str) -> Result<Self, TokenError> {
        let (scheme, text) = value.split_once(' ').ok_or(TokenError)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenError);
        }
        Self::parse(text.trim_matches(' '))
    }

    fn parse(text: &str) -> Result<Self, TokenError> {
        if text.len() != BASE64URL_NOPAD.encode_len(TOKEN_LEN) {
            return Err(TokenError);
        }
        let mut token = Self([0; TOKEN_LEN]);
        BASE64URL_NOPAD
            .decode_mut(text.as_bytes(), &mut token.0)
            .map_err(|_| TokenError)?;
        Ok(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Token(..)")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor("a bearer token", Self::parse))
    }
}
