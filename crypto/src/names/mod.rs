//! What people type: Room ID, Room Key, Password (docs/PROTOCOL.md, "Names and secrets").

mod secrets;
mod words;

use core::fmt;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

pub use secrets::{Password, PasswordError, RoomKey, RoomKeyError, SameSecret, check_distinct};

use crate::{RoomHandle, bounds, kdf, label};

/// A room's id as people say it: NFKC, 1 to 64 characters, no control characters, no white space at its ends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(String);

/// Why a text is no Room ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RoomIdError {
    /// Nothing is left of it.
    #[error("a Room ID has at least one character")]
    Empty,
    /// More than 64 characters.
    #[error("a Room ID has at most {} characters", bounds::MAX_ROOM_ID_CHARS)]
    TooLong,
    /// A control character: a line break, a tab, an escape.
    #[error("a Room ID has no control characters")]
    Control,
}

impl RoomId {
    /// Normalises to NFKC, so that the same id typed on two keyboards is the same room, and trims white space.
    ///
    /// # Errors
    /// [`RoomIdError`].
    pub fn parse(text: &str) -> Result<Self, RoomIdError> {
        // A character can grow to 18 under NFKC (U+FDFA); far longer texts aren't worth normalising.
        if text.len() > bounds::MAX_ROOM_ID_CHARS * 64 {
            return Err(RoomIdError::TooLong);
        }
        let normal: String = text.trim().nfkc().collect();
        let id = normal.trim();
        if id.is_empty() {
            Err(RoomIdError::Empty)
        } else if id.chars().any(char::is_control) {
            Err(RoomIdError::Control)
        } else if id.chars().count() > bounds::MAX_ROOM_ID_CHARS {
            Err(RoomIdError::TooLong)
        } else {
            Ok(Self(id.to_owned()))
        }
    }

    /// Takes an id as it came over the wire, where only the one normal form is allowed.
    pub(crate) fn from_wire(text: &str) -> Option<Self> {
        Self::parse(text).ok().filter(|id| id.0 == text)
    }

    /// The room's name at the rendezvous: `H("handle", room_id)`.
    #[must_use]
    pub fn handle(&self) -> RoomHandle {
        RoomHandle::from_bytes(kdf::hash(label::HANDLE, &[self.0.as_bytes()]))
    }

    /// The id as text, from somebody else perhaps: not fit for a terminal as it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomId({:?})", self.0)
    }
}

/// Why a text is no display name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing in it but white space.
    #[error("a name has at least one character")]
    Empty,
    /// More than 64 characters or 256 bytes.
    #[error(
        "a name has at most {} characters and {} bytes",
        bounds::MAX_NAME_CHARS,
        bounds::MAX_NAME_BYTES
    )]
    TooLong,
    /// A control character.
    #[error("a name has no control characters")]
    Control,
}

/// Whether a text can be a member's display name: 1 to 64 characters, at most 256 bytes, no control characters. Names may
/// repeat in a room; fingerprints tell members apart.
///
/// # Errors
/// [`NameError`].
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.trim().is_empty() {
        Err(NameError::Empty)
    } else if name.len() > bounds::MAX_NAME_BYTES || name.chars().count() > bounds::MAX_NAME_CHARS {
        Err(NameError::TooLong)
    } else if name.chars().any(char::is_control) {
        Err(NameError::Control)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_id_is_the_same_however_it_was_typed() {
        let composed = RoomId::parse("caf\u{E9}").unwrap();
        let decomposed = RoomId::parse(" cafe\u{301}\n").unwrap();
        assert_eq!(composed, decomposed);
        assert_eq!(composed.handle(), decomposed.handle());
        assert_eq!(RoomId::parse("\u{FF44}\u{FF45}\u{FF4E}").unwrap().as_str(), "den");
    }

    #[test]
    fn bad_room_ids_are_refused() {
        assert_eq!(RoomId::parse(" \u{3000} "), Err(RoomIdError::Empty));
        assert_eq!(RoomId::parse("a\u{1b}[2J"), Err(RoomIdError::Control));
        assert!(RoomId::parse(&"x".repeat(64)).is_ok());
        assert_eq!(RoomId::parse(&"x".repeat(65)), Err(RoomIdError::TooLong));
        assert_eq!(
            RoomId::parse(&"\u{FDFA}".repeat(4)),
            Err(RoomIdError::TooLong),
            "64 is counted after NFKC"
        );
        assert_eq!(RoomId::from_wire("cafe\u{301}"), None, "only the normal form travels");
    }

    #[test]
    fn names_are_bounded_in_characters_and_bytes() {
        assert_eq!(check_name("alice"), Ok(()));
        assert_eq!(check_name("\u{200}".repeat(64).as_str()), Ok(()));
        assert_eq!(check_name(&"x".repeat(65)), Err(NameError::TooLong));
        assert_eq!(check_name("  "), Err(NameError::Empty));
        assert_eq!(check_name("a\nb"), Err(NameError::Control));
        assert_eq!(check_name("a\u{9b}31m"), Err(NameError::Control), "C1 counts");
    }
}
