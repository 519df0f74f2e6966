//! Room Key and Password: secrets that people can read out.

use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::words;
use crate::bounds;

/// What lets somebody into the room. NFC, at least 5 characters, at most 1,024 bytes, no control characters.
#[derive(Clone)]
pub struct RoomKey(Zeroizing<String>);

/// What makes somebody the room's admin. NFC, at least 8 characters, at most 1,024 bytes, no control characters.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a text is no Room Key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RoomKeyError {
    /// Fewer than 5 characters.
    #[error("a Room Key has at least {} characters", bounds::MIN_ROOM_KEY_CHARS)]
    TooShort,
    /// More than 1,024 bytes.
    #[error("a Room Key has at most {} bytes", bounds::MAX_SECRET_BYTES)]
    TooLong,
    /// A control character, such as a line break.
    #[error("a Room Key has no line breaks or other control characters")]
    Control,
}

/// Why a text is no Password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Fewer than 8 characters.
    #[error("a Password has at least {} characters", bounds::MIN_PASSWORD_CHARS)]
    TooShort,
    /// More than 1,024 bytes.
    #[error("a Password has at most {} bytes", bounds::MAX_SECRET_BYTES)]
    TooLong,
    /// A control character, such as a line break.
    #[error("a Password has no line breaks or other control characters")]
    Control,
}

/// Room Key and Password are the same: every member could delete the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the Password must differ from the Room Key: every member knows that one")]
pub struct SameSecret;

impl RoomKey {
    /// Ten words of the EFF list: 129 bits.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(words::phrase(rng))
    }

    /// Takes what a person chose, normalised to NFC.
    ///
    /// # Errors
    /// [`RoomKeyError`].
    pub fn parse(text: &str) -> Result<Self, RoomKeyError> {
        match normalise(text, bounds::MIN_ROOM_KEY_CHARS) {
            Ok(text) => Ok(Self(text)),
            Err(Refused::TooShort) => Err(RoomKeyError::TooShort),
            Err(Refused::TooLong) => Err(RoomKeyError::TooLong),
            Err(Refused::Control) => Err(RoomKeyError::Control),
        }
    }

    /// Takes a key as it came over the wire, where only the one normal form is allowed.
    pub(crate) fn from_wire(text: &str) -> Option<Self> {
        Self::parse(text).ok().filter(|key| *key.0 == text)
    }

    /// Whether a rendezvous that turned on its room could guess it offline: zxcvbn scores it below 3.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        u8::from(zxcvbn::zxcvbn(&self.0, &["snug", "room"]).score()) < bounds::MIN_ROOM_KEY_SCORE
    }

    /// The key itself: for OPAQUE, an invite, and the person's own eyes.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Password {
    /// Ten words of the EFF list: 129 bits.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(words::phrase(rng))
    }

    /// Takes what a person chose, normalised to NFC.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        match normalise(text, bounds::MIN_PASSWORD_CHARS) {
            Ok(text) => Ok(Self(text)),
            Err(Refused::TooShort) => Err(PasswordError::TooShort),
            Err(Refused::TooLong) => Err(PasswordError::TooLong),
            Err(Refused::Control) => Err(PasswordError::Control),
        }
    }

    /// The password itself: for OPAQUE, and the person's own eyes.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Refuses a Password that equals the Room Key.
///
/// # Errors
/// [`SameSecret`].
pub fn check_distinct(key: &RoomKey, password: &Password) -> Result<(), SameSecret> {
    if bool::from(key.0.as_bytes().ct_eq(password.0.as_bytes())) {
        Err(SameSecret)
    } else {
        Ok(())
    }
}

enum Refused {
    TooShort,
    TooLong,
    Control,
}

fn normalise(text: &str, min_chars: usize) -> Result<Zeroizing<String>, Refused> {
    if text.len() > bounds::MAX_SECRET_BYTES {
        return Err(Refused::TooLong);
    }
    // NFC makes a text at most three times as long: the string never grows, and leaves no copy behind.
    let mut normal = Zeroizing::new(String::with_capacity(text.len() * 3));
    normal.extend(text.nfc());
    if normal.len() > bounds::MAX_SECRET_BYTES {
        Err(Refused::TooLong)
    } else if normal.chars().any(char::is_control) {
        Err(Refused::Control)
    } else if normal.chars().count() < min_chars {
        Err(Refused::TooShort)
    } else {
        Ok(normal)
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("RoomKey(redacted)")
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Password(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn secrets_are_bounded() {
        assert_eq!(RoomKey::parse("1234").unwrap_err(), RoomKeyError::TooShort);
        assert!(RoomKey::parse("12345").is_ok());
        assert_eq!(RoomKey::parse("12345\n").unwrap_err(), RoomKeyError::Control);
        assert_eq!(RoomKey::parse(&"x".repeat(1025)).unwrap_err(), RoomKeyError::TooLong);
        assert_eq!(Password::parse("1234567").unwrap_err(), PasswordError::TooShort);
        assert!(Password::parse("12345678").is_ok());
    }

    #[test]
    fn the_same_key_typed_two_ways_is_the_same() {
        let composed = RoomKey::parse("gr\u{FC}nes haus").unwrap();
        let decomposed = RoomKey::parse("gru\u{308}nes haus").unwrap();
        assert_eq!(composed.reveal(), decomposed.reveal());
    }

    #[test]
    fn weak_keys_are_told_from_generated_ones() {
        assert!(RoomKey::parse("password").unwrap().is_weak());
        assert!(RoomKey::parse("snug room").unwrap().is_weak());
        let generated = RoomKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
        assert!(!generated.is_weak());
        // The more of it there is the better it scores.
        let of_score = |score: u8| {
            let beginnings = (5..generated.reveal().len()).map(|len| &generated.reveal()[..len]);
            let mut scored =
                beginnings.filter(|text| u8::from(zxcvbn::zxcvbn(text, &["snug", "room"]).score()) == score);
            RoomKey::parse(scored.next().unwrap()).unwrap()
        };
        assert!(of_score(bounds::MIN_ROOM_KEY_SCORE - 1).is_weak());
        assert!(!of_score(bounds::MIN_ROOM_KEY_SCORE).is_weak());
    }

    #[test]
    fn a_password_that_is_the_room_key_is_refused() {
        let key = RoomKey::parse("correct horse").unwrap();
        assert_eq!(
            check_distinct(&key, &Password::parse("correct horse").unwrap()),
            Err(SameSecret)
        );
        assert_eq!(
            check_distinct(&key, &Password::parse("battery staple").unwrap()),
            Ok(())
        );
    }

    #[test]
    fn debug_shows_nothing() {
        let key = RoomKey::parse("correct horse").unwrap();
        assert!(!format!("{key:?}").contains("horse"));
    }
}
