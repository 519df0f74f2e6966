//! The canonical encoding: docs/PROTOCOL.md, "Encoding".
//!
//! Integers are big-endian and of fixed size. A byte string of variable length stands behind its length as a `u32`
//! (`lp`), a list behind its count as a `u32`, an option behind 00 or 01. There is one encoding of each value: a decoder
//! refuses every other one, and bytes after the end. Decoders never panic, and allocate no more than the bytes at hand
//! justify.

use thiserror::Error;

/// Why bytes are not the value they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the bytes end too early")]
    Truncated,
    /// Something follows after the end.
    #[error("bytes follow after the end")]
    Trailing,
    /// A length or a count is above its bound.
    #[error("{what} is longer than {max}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its bound.
        max: usize,
    },
    /// A value that the field can't have.
    #[error("{what} has a value that isn't allowed")]
    Invalid {
        /// The field.
        what: &'static str,
    },
    /// Something of a later version of the protocol: not the sender's fault.
    #[error("{what} of a later version")]
    Unsupported {
        /// What isn't understood.
        what: &'static str,
    },
}

/// Writes values one after the other.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for `capacity` bytes: where secrets are written, so that no copy is left behind by growth.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// The bytes as they are: for fields of fixed size, and for what is encoded already.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes behind their length.
    pub fn lp(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// A count of things that follow. What doesn't fit is written as `u32::MAX`, which no decoder accepts.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// A counted list, each item written by `write`.
    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.count(items.len());
        for item in items {
            write(self, item);
        }
        self
    }

    /// 00, or 01 and the value.
    pub fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
                self
            }
        }
    }

    /// 00 or 01.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// What was written so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads values one after the other.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From the beginning of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], as all readers below.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// 00 or 01.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for any other byte.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid { what }),
        }
    }

    /// A byte string behind its length, of at most `max` bytes.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] above the bound.
    pub fn lp(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.count(what, max)?;
        self.raw(len)
    }

    /// UTF-8 behind its length in bytes.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] if it isn't UTF-8, and as [`Self::lp`].
    pub fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.lp(what, max)?).map_err(|_| DecodeError::Invalid { what })
    }

    /// A count of at most `max`.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] above the bound.
    pub fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        match usize::try_from(self.u32()?) {
            Ok(count) if count <= max => Ok(count),
            _ => Err(DecodeError::TooLong { what, max }),
        }
    }

    /// A counted list of at most `max` items.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] above the bound, or what `read` returns.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(what, max)?;
        // Every item takes a byte at least: a count that can't be true must not reserve memory.
        let mut items = Vec::with_capacity(count.min(self.remaining()).min(64));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// 00, or 01 and a value.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] for another first byte, or what `read` returns.
    pub fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool(what)? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub const fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let mut writer = Writer::new();
        writer
            .u8(1)
            .u16(2)
            .u32(3)
            .u64(4)
            .lp(b"five")
            .bool(true)
            .option(None::<&u8>, |_, _| ());
        writer.list(&[7u16, 8], |w, item| {
            w.u16(*item);
        });
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(
            (reader.u8(), reader.u16(), reader.u32(), reader.u64()),
            (Ok(1), Ok(2), Ok(3), Ok(4))
        );
        assert_eq!(reader.text("text", 4), Ok("five"));
        assert_eq!(reader.bool("flag"), Ok(true));
        assert_eq!(reader.option("option", Reader::u8), Ok(None));
        assert_eq!(reader.list("list", 2, Reader::u16), Ok(vec![7, 8]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        assert_eq!(
            Reader::new(&[2]).bool("flag"),
            Err(DecodeError::Invalid { what: "flag" })
        );
        assert_eq!(Reader::new(&[0, 0, 0, 2, 1]).lp("x", 9), Err(DecodeError::Truncated));
        assert_eq!(
            Reader::new(&[0, 0, 0, 2, 1, 1]).lp("x", 1),
            Err(DecodeError::TooLong { what: "x", max: 1 })
        );
        assert_eq!(Reader::new(&[0]).finish(), Err(DecodeError::Trailing));
        let bomb = [0xFF; 8];
        assert!(matches!(
            Reader::new(&bomb).list("x", usize::MAX, Reader::u64),
            Err(DecodeError::Truncated)
        ));
    }
}
