//! What members say: docs/PROTOCOL.md, "Contents".
//!
//! `contents = list of (kind(2) ‖ lp(body))`, then zeros up to the padded size. Sizes are padded to 256, 512, 1,024, 2,048
//! or 4,096 bytes, and above that by Padmé (Nikitin et al., 2019, 4): at most 12 % more, and few different lengths.

use crate::{
    IdentityKey, MessageId, bounds,
    wire::{DecodeError, Reader, Writer},
};

/// A content's kind on the wire. Kinds without a body type in [`Content`] are reserved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ContentKind(pub u16);

impl ContentKind {
    /// A message.
    pub const TEXT: Self = Self(1);
    /// A message said anew (reserved).
    pub const EDIT: Self = Self(2);
    /// A message taken back (reserved).
    pub const DELETE: Self = Self(3);
    /// A reaction to a message (reserved).
    pub const REACTION: Self = Self(4);
    /// What a member says to one other: sealed once more, see [`crate::pair`].
    pub const DIRECT: Self = Self(5);
    /// A file offered, accepted or refused (reserved).
    pub const FILE: Self = Self(6);
    /// Somebody is typing (reserved).
    pub const TYPING: Self = Self(7);
    /// What was delivered and read (reserved).
    pub const RECEIPT: Self = Self(8);
    /// Online, away, busy (reserved).
    pub const PRESENCE: Self = Self(9);
    /// What was said before, for newcomers, with its first signatures (reserved).
    pub const HISTORY: Self = Self(10);
    /// At rest only: see [`Content::Private`].
    const PRIVATE: Self = Self(0xFFFF);
}

/// One thing that a member says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Kind 1, with at most [`bounds::MAX_TEXT_BYTES`] of text: `lp(text) ‖ option reply_to(32) ‖ sent_at_ms(8)`.
    Text {
        /// UTF-8; not fit for a terminal as it is.
        text: String,
        /// The message that it answers.
        reply_to: Option<MessageId>,
        /// When, by the sender's clock: to be shown, never to order by.
        sent_at_ms: u64,
    },
    /// What a member says to one other, opened, or not sealed yet. Never on the wire, where it is a sealed [`ContentKind::DIRECT`]; at rest
    /// kind 65535: `identity_vk(32) ‖ kind(2) ‖ lp(body)`.
    Private {
        /// The other one: the reader of what is ours, the author of what isn't.
        with: IdentityKey,
        /// What is said: no other one of these.
        said: Box<Self>,
    },
    /// A kind whose body isn't read here: [`ContentKind::DIRECT`], which is sealed once more, or one of a later version, to be ignored.
    Unknown {
        /// Its number.
        kind: ContentKind,
        /// Its body.
        bytes: Vec<u8>,
    },
}

impl Content {
    /// The kind's number.
    #[must_use]
    pub const fn kind(&self) -> ContentKind {
        match self {
            Self::Text { .. } => ContentKind::TEXT,
            Self::Private { .. } => ContentKind::PRIVATE,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// A sealed body of [`crate::pair`], to be sent.
    #[must_use]
    pub const fn direct(body: Vec<u8>) -> Self {
        Self::Unknown {
            kind: ContentKind::DIRECT,
            bytes: body,
        }
    }

    /// The sealed body of what a member says to one other.
    #[must_use]
    pub fn as_direct(&self) -> Option<&[u8]> {
        match self {
            Self::Unknown { kind, bytes } if *kind == ContentKind::DIRECT => Some(bytes),
            _ => None,
        }
    }

    /// How many bytes of a frame's [`bounds::MAX_PADDED_BYTES`] it takes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        6 + match self {
            Self::Text { text, reply_to, .. } => 4 + text.len() + 1 + reply_to.map_or(0, |_| 32) + 8,
            Self::Private { said, .. } => IdentityKey::LEN + said.encoded_len(),
            Self::Unknown { bytes, .. } => bytes.len(),
        }
    }

    /// Whether a receiver would take it, as far as its own bounds go.
    pub(crate) fn is_bounded(&self) -> bool {
        match self {
            Self::Text { text, .. } => text.len() <= bounds::MAX_TEXT_BYTES,
            Self::Private { said, .. } => said.is_bounded(),
            Self::Unknown { .. } => true,
        }
    }

    /// Whether it must not leave as it is.
    pub(crate) const fn is_private(&self) -> bool {
        matches!(self, Self::Private { .. })
    }

    fn write(&self, writer: &mut Writer) {
        writer.u16(self.kind().0).count(self.encoded_len() - 6);
        match self {
            Self::Text {
                text,
                reply_to,
                sent_at_ms,
            } => {
                writer.lp(text.as_bytes());
                writer
                    .option(reply_to.as_ref(), |w, id| {
                        w.raw(id.as_bytes());
                    })
                    .u64(*sent_at_ms);
            }
            Self::Private { with, said } => {
                writer.raw(with.as_bytes());
                said.write(writer);
            }
            Self::Unknown { bytes, .. } => {
                writer.raw(bytes);
            }
        }
    }

    /// As [`Self::write`]; but what a member sent under the number of [`Self::Private`] doesn't come back as one.
    fn write_at_rest(&self, writer: &mut Writer) {
        match self {
            Self::Unknown { kind, .. } if *kind == ContentKind::PRIVATE => {
                writer.u16(kind.0).count(0);
            }
            _ => self.write(writer),
        }
    }

    fn read_at_rest(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match Self::read(reader)? {
            Self::Unknown { kind, bytes } if kind == ContentKind::PRIVATE && !bytes.is_empty() => {
                let mut reader = Reader::new(&bytes);
                let with = IdentityKey::from_bytes(reader.array()?);
                let said = Box::new(Self::read(&mut reader)?);
                reader.finish()?;
                Ok(Self::Private { with, said })
            }
            content => Ok(content),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = ContentKind(reader.u16()?);
        let body = reader.lp("content", bounds::MAX_PADDED_BYTES)?;
        if kind != ContentKind::TEXT {
            return Ok(Self::Unknown {
                kind,
                bytes: body.to_vec(),
            });
        }
        let mut reader = Reader::new(body);
        let content = Self::Text {
            text: reader.text("text", bounds::MAX_TEXT_BYTES)?.to_owned(),
            reply_to: reader.option("reply", |r| r.array().map(MessageId::from_bytes))?,
            sent_at_ms: reader.u64()?,
        };
        reader.finish()?;
        Ok(content)
    }
}

/// The size of all contents of a frame before padding.
#[must_use]
pub fn contents_len(contents: &[Content]) -> usize {
    4 + contents.iter().map(Content::encoded_len).sum::<usize>()
}

/// The size that `len` bytes of contents are padded to; `None` above [`bounds::MAX_PADDED_BYTES`].
#[must_use]
pub fn padded_len(len: usize) -> Option<usize> {
    let padded = match len {
        0..=256 => 256,
        257..=4096 => len.next_power_of_two(),
        _ => {
            // Padmé: keep as many leading bits as the length's own length has bits.
            let exponent = len.ilog2();
            let mask = (1usize << (exponent - (exponent.ilog2() + 1))) - 1;
            len.checked_add(mask)? & !mask
        }
    };
    (padded <= bounds::MAX_PADDED_BYTES).then_some(padded)
}

/// Appends the contents without their padding.
pub(crate) fn write(contents: &[Content], writer: &mut Writer) {
    writer.list(contents, |w, content| content.write(w));
}

/// Appends contents as they rest on a disk.
pub(crate) fn write_at_rest(contents: &[Content], writer: &mut Writer) {
    writer.list(contents, |w, content| content.write_at_rest(w));
}

/// Reads contents, of which there is at least one.
pub(crate) fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Content>, DecodeError> {
    read_each(reader, Content::read)
}

/// Reads what [`write_at_rest`] wrote.
pub(crate) fn read_at_rest(reader: &mut Reader<'_>) -> Result<Vec<Content>, DecodeError> {
    read_each(reader, Content::read_at_rest)
}

fn read_each(
    reader: &mut Reader<'_>,
    read: impl FnMut(&mut Reader<'_>) -> Result<Content, DecodeError>,
) -> Result<Vec<Content>, DecodeError> {
    let contents = reader.list("contents", bounds::MAX_CONTENTS, read)?;
    if contents.is_empty() {
        return Err(DecodeError::Invalid {
            what: "number of contents",
        });
    }
    Ok(contents)
}

/// Decodes padded contents, of which there is at least one.
pub(crate) fn read_padded(padded: &[u8]) -> Result<Vec<Content>, DecodeError> {
    let mut reader = Reader::new(padded);
    let contents = read_list(&mut reader)?;
    let used = padded.len() - reader.remaining();
    if padded_len(used) != Some(padded.len()) || reader.rest().iter().any(|byte| *byte != 0) {
        return Err(DecodeError::Invalid { what: "padding" });
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_few_and_never_below_the_contents() {
        let mut sizes = std::collections::BTreeSet::new();
        for len in 0..=bounds::MAX_PADDED_BYTES {
            let padded = padded_len(len).unwrap();
            assert!(
                padded >= len && (len <= 4096 || padded * 100 <= len * 112),
                "{len} -> {padded}"
            );
            assert_eq!(padded_len(padded), Some(padded), "padding twice changes nothing");
            sizes.insert(padded);
        }
        assert!(sizes.len() <= 64, "{sizes:?}");
        assert_eq!(padded_len(bounds::MAX_PADDED_BYTES + 1), None);
        assert_eq!(padded_len(usize::MAX), None);
        assert_eq!(
            (padded_len(256), padded_len(257), padded_len(4097)),
            (Some(256), Some(512), Some(4352))
        );
    }

    #[test]
    fn encoded_len_is_what_is_written() {
        let contents = [
            Content::Text {
                text: "hi".to_owned(),
                reply_to: None,
                sent_at_ms: 1,
            },
            Content::Text {
                text: "ü".to_owned(),
                reply_to: Some(MessageId::from_bytes([1; 32])),
                sent_at_ms: 2,
            },
            Content::Unknown {
                kind: ContentKind(999),
                bytes: vec![1, 2, 3],
            },
        ];
        let mut writer = Writer::new();
        write(&contents, &mut writer);
        assert_eq!(writer.as_slice().len(), contents_len(&contents));
        let mut padded = writer.finish();
        padded.resize(256, 0);
        assert_eq!(read_padded(&padded).unwrap(), contents);
    }

    #[test]
    fn what_is_private_comes_back_from_rest_and_never_from_the_wire() {
        let said = Content::Text {
            text: "psst".to_owned(),
            reply_to: None,
            sent_at_ms: 1,
        };
        let private = Content::Private {
            with: IdentityKey::from_bytes([7; 32]),
            said: Box::new(said.clone()),
        };
        let rested = |contents: &[Content]| {
            let mut writer = Writer::new();
            write_at_rest(contents, &mut writer);
            let bytes = writer.finish();
            read_at_rest(&mut Reader::new(&bytes)).unwrap()
        };
        assert_eq!(rested(&[private.clone(), said.clone()]), [private.clone(), said]);
        // Its bytes on the wire are a later version's kind, here and after a rest.
        let mut writer = Writer::new();
        write(std::slice::from_ref(&private), &mut writer);
        let mut padded = writer.finish();
        padded.resize(256, 0);
        let read = read_padded(&padded).unwrap();
        assert!(matches!(&read[..], [Content::Unknown { kind, .. }] if *kind == ContentKind::PRIVATE));
        assert!(matches!(&rested(&read)[..], [Content::Unknown { .. }]));
    }

    #[test]
    fn padding_hides_nothing() {
        let mut writer = Writer::new();
        write(
            &[Content::Text {
                text: "hi".to_owned(),
                reply_to: None,
                sent_at_ms: 1,
            }],
            &mut writer,
        );
        let mut padded = writer.finish();
        padded.resize(256, 0);
        padded[255] = 1;
        assert!(read_padded(&padded).is_err(), "bytes in the padding");
        padded[255] = 0;
        padded.resize(512, 0);
        assert!(read_padded(&padded).is_err(), "more padding than due");
        assert!(read_padded(&[0; 256]).is_err(), "no content");
    }

    #[test]
    fn a_text_above_its_bound_is_refused() {
        let read = |len| {
            let text = "x".repeat(len);
            let mut writer = Writer::new();
            let content = Content::Text {
                text,
                reply_to: None,
                sent_at_ms: 1,
            };
            write(&[content], &mut writer);
            let mut padded = writer.finish();
            padded.resize(padded_len(padded.len()).unwrap(), 0);
            read_padded(&padded).map(|_| ())
        };
        assert_eq!(read(bounds::MAX_TEXT_BYTES), Ok(()));
        let max = bounds::MAX_TEXT_BYTES;
        assert_eq!(read(max + 1), Err(DecodeError::TooLong { what: "text", max }));
    }

    proptest::proptest! {
        /// A member may sign anything: its contents decode to what encodes to the same bytes, or not at all.
        #[test]
        fn any_signed_bytes_have_one_meaning(
            count in 0u8..4, kind in 0u8..3, len in 0u8..60, bytes in proptest::collection::vec(0u8..40, 0..250),
        ) {
            let mut padded = [&[0, 0, 0, count, 0, kind, 0, 0, 0, len][..], &bytes].concat();
            padded.resize(padded_len(padded.len()).unwrap(), 0);
            if let Ok(contents) = read_padded(&padded) {
                let mut writer = Writer::new();
                write(&contents, &mut writer);
                let mut again = writer.finish();
                again.resize(padded.len(), 0);
                proptest::prop_assert_eq!(again, padded);
            }
        }
    }
}
