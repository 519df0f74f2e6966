//! What a later version adds to an object of today: docs/PROTOCOL.md, "Extensions".
//!
//! A sorted list of `(kind u16, lp bytes)`. A reader keeps the kinds it doesn't know, since they are hashed and signed with
//! the rest, and ignores them; but a kind from 0x8000 up says "refuse me if you don't understand me".

use std::collections::BTreeMap;

use crate::{
    bounds,
    wire::{DecodeError, Reader, Writer},
};

/// From here on a kind must be understood.
const CRITICAL: u16 = 0x8000;

/// The optional parts of an object.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Extensions(BTreeMap<u16, Vec<u8>>);

impl Extensions {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// One alone.
    #[must_use]
    pub(crate) fn one(kind: u16, bytes: Vec<u8>) -> Self {
        Self(BTreeMap::from([(kind, bytes)]))
    }

    /// The one of `kind`.
    #[must_use]
    pub fn get(&self, kind: u16) -> Option<&[u8]> {
        self.0.get(&kind).map(Vec::as_slice)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.count(self.0.len());
        for (kind, bytes) in &self.0 {
            writer.u16(*kind).lp(bytes);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, understood: &[u16]) -> Result<Self, DecodeError> {
        let count = reader.count("extensions", bounds::MAX_EXTENSIONS)?;
        let mut extensions = BTreeMap::new();
        for _ in 0..count {
            let kind = reader.u16()?;
            let bytes = reader.lp("extension", bounds::MAX_EXTENSION_BYTES)?;
            if extensions.last_key_value().is_some_and(|(last, _)| *last >= kind) {
                return Err(DecodeError::Invalid {
                    what: "order of extensions",
                });
            }
            if kind >= CRITICAL && !understood.contains(&kind) {
                return Err(DecodeError::Unsupported { what: "extension" });
            }
            extensions.insert(kind, bytes.to_vec());
        }
        Ok(Self(extensions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[(u16, &[u8])], understood: &[u16]) -> Result<Extensions, DecodeError> {
        let mut writer = Writer::new();
        writer.list(parts, |w, (kind, bytes)| {
            w.u16(*kind).lp(bytes);
        });
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        let extensions = Extensions::read(&mut reader, understood)?;
        reader.finish()?;
        let mut again = Writer::new();
        extensions.write(&mut again);
        assert_eq!(again.finish(), bytes);
        Ok(extensions)
    }

    #[test]
    fn unknown_kinds_are_kept_unless_critical() {
        assert_eq!(read(&[(1, b"a"), (7, b"")], &[]).unwrap().get(7), Some(&b""[..]));
        assert!(read(&[(0x7FFF, b"a")], &[]).is_ok());
        assert!(read(&[(0x8000, b"a")], &[]).is_err());
        assert!(read(&[(0x8001, b"a")], &[]).is_err());
        assert!(read(&[(0x8001, b"a")], &[0x8001]).is_ok());
    }

    #[test]
    fn there_is_one_order() {
        assert!(read(&[(2, b""), (1, b"")], &[]).is_err());
        assert!(read(&[(1, b""), (1, b"")], &[]).is_err());
    }

    #[test]
    fn there_are_so_many_of_such_a_length() {
        let kinds = |count: u16| (0..count).map(|kind| (kind, &b""[..])).collect::<Vec<_>>();
        let most = u16::try_from(bounds::MAX_EXTENSIONS).unwrap();
        assert!(read(&kinds(most), &[]).is_ok());
        assert!(matches!(read(&kinds(most + 1), &[]), Err(DecodeError::TooLong { .. })));
        let longest = vec![9; bounds::MAX_EXTENSION_BYTES];
        assert!(read(&[(1, &longest)], &[]).is_ok());
        let longer = [&longest[..], &[9]].concat();
        assert!(matches!(read(&[(1, &longer)], &[]), Err(DecodeError::TooLong { .. })));
    }
}
