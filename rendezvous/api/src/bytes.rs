//! Byte strings whose length bounds are part of their type.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Between `MIN` and `MAX` bytes, base64url without padding in JSON. Decoding is strict: one text for one value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ByteString<const MIN: usize, const MAX: usize>(Vec<u8>);

/// Exactly `N` bytes, base64url without padding in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exact<const N: usize>([u8; N]);

/// Why bytes or text are not a value of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// Outside the length bounds.
    #[error("must be {min} to {max} bytes long")]
    Length {
        /// Shortest length allowed.
        min: usize,
        /// Longest length allowed.
        max: usize,
    },
    /// Not canonical base64url without padding.
    #[error("must be base64url without padding")]
    Encoding,
}

impl<const MIN: usize, const MAX: usize> ByteString<MIN, MAX> {
    /// Takes the bytes if their number is within the bounds.
    ///
    /// # Errors
    /// [`BytesError::Length`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, BytesError> {
        let bytes = bytes.into();
        if (MIN..=MAX).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(Self::length_error())
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    fn length_error() -> BytesError {
        BytesError::Length { min: MIN, max: MAX }
    }

    fn parse(text: &str) -> Result<Self, BytesError> {
        // Before decoding, so that a long text costs no allocation.
        if text.len() > MAX.div_ceil(3) * 4 {
            return Err(Self::length_error());
        }
        Self::new(
            BASE64URL_NOPAD
                .decode(text.as_bytes())
                .map_err(|_| BytesError::Encoding)?,
        )
    }
}

impl<const N: usize> Exact<N> {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, BytesError> {
        let length = BytesError::Length { min: N, max: N };
        if text.len() != BASE64URL_NOPAD.encode_len(N) {
            return Err(length);
        }
        let mut bytes = [0; N];
        BASE64URL_NOPAD
            .decode_mut(text.as_bytes(), &mut bytes)
            .map_err(|_| BytesError::Encoding)?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> From<[u8; N]> for Exact<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

/// Lengths only: much of what passes here is secret or sealed, and none of it is readable.
impl<const MIN: usize, const MAX: usize> fmt::Debug for ByteString<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteString({} bytes)", self.0.len())
    }
}

impl<const N: usize> fmt::Debug for Exact<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exact({N} bytes)")
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for ByteString<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<const N: usize> Serialize for Exact<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for ByteString<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor("base64url text", Self::parse))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Exact<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor("base64url text", Self::parse))
    }
}

/// Reads any string with a parser, without a copy of it. Its errors never quote the text.
pub(crate) struct TextVisitor<T, E>(pub &'static str, pub fn(&str) -> Result<T, E>);

impl<T, E: fmt::Display> de::Visitor<'_> for TextVisitor<T, E> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<D: de::Error>(self, text: &str) -> Result<T, D> {
        (self.1)(text).map_err(D::custom)
    }
}
