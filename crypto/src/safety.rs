//! Safety numbers: what two people compare to know that nobody speaks for the other: docs/PROTOCOL.md, "Safety numbers".
//!
//! `number = H("safety number", the lower identity_vk, the higher identity_vk)` as a big-endian integer, modulo 10^60: 60 decimal digits,
//! the same for both. It is no secret. Whoever wants another pair of keys with the same number has to try some 2^99 of them.

use core::fmt;

use subtle::ConstantTimeEq;

use crate::{IdentityKey, kdf, label};

/// Digits of a safety number.
pub const DIGITS: usize = 60;
/// Digits that stand together when people read it.
const GROUP: usize = 5;
/// What the number in a QR code begins with.
const SCANNED: &str = "SNUG-SAFETY:";

/// The number of two identities, in either order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SafetyNumber([u8; DIGITS]);

impl SafetyNumber {
    /// What the owners of these two identities compare.
    #[must_use]
    pub fn of(one: &IdentityKey, other: &IdentityKey) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        let mut rest = kdf::hash(label::SAFETY_NUMBER, &[low.as_bytes(), high.as_bytes()]);
        let mut digits = [0; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + divide_by_ten(&mut rest);
        }
        Self(digits)
    }

    /// What a QR code holds: `SNUG-SAFETY:` and the digits.
    #[must_use]
    pub fn scanned(&self) -> String {
        let mut text = SCANNED.to_owned();
        text.extend(self.0.iter().copied().map(char::from));
        text
    }

    /// Whether somebody read out, typed or scanned this number: its digits, with white space or hyphens between them, and perhaps what a
    /// QR code begins with.
    #[must_use]
    pub fn matches(&self, typed: &str) -> bool {
        let typed = typed.trim_ascii();
        let digits = match typed.get(..SCANNED.len()) {
            Some(start) if start.eq_ignore_ascii_case(SCANNED) => &typed[SCANNED.len()..],
            _ => typed,
        };
        let digits: Vec<u8> = digits
            .bytes()
            .filter(|byte| !matches!(byte, b' ' | b'-' | b'\t' | b'\n' | b'\r'))
            .collect();
        digits.len() == DIGITS && bool::from(digits.ct_eq(&self.0))
    }
}

/// For people: twelve groups of five digits.
impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, digit) in self.0.iter().enumerate() {
            if index > 0 && index % GROUP == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}", char::from(*digit))?;
        }
        Ok(())
    }
}

/// Divides a big-endian number in its place, and gives what remains.
fn divide_by_ten(number: &mut [u8; 32]) -> u8 {
    let mut remains = 0u16;
    for byte in number {
        let dividend = remains << 8 | u16::from(*byte);
        // Below 256: the remainder is below ten.
        *byte = (dividend / 10).to_le_bytes()[0];
        remains = dividend % 10;
    }
    remains.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> IdentityKey {
        IdentityKey::from_bytes([byte; 32])
    }

    #[test]
    fn both_see_one_number_and_nobody_else_does() {
        let number = SafetyNumber::of(&key(1), &key(2));
        assert_eq!(number, SafetyNumber::of(&key(2), &key(1)));
        assert_ne!(number, SafetyNumber::of(&key(1), &key(3)));
        let shown = number.to_string();
        assert_eq!(shown.len(), DIGITS + DIGITS / GROUP - 1);
        assert!(
            number.matches(&shown) && number.matches(&number.scanned()) && number.matches(&shown.replace(' ', "-"))
        );
        assert!(number.matches(&format!(" {}\n", number.scanned().to_lowercase())));
        assert!(!SafetyNumber::of(&key(1), &key(3)).matches(&shown));
        for wrong in [
            "",
            &shown[1..],
            &format!("{shown}0"),
            &format!("x{shown}"),
            &shown.replace(' ', "."),
        ] {
            assert!(!number.matches(wrong), "{wrong}");
        }
    }

    #[test]
    fn division_is_division() {
        let mut number = [0; 32];
        number[30..].copy_from_slice(&12_345u16.to_be_bytes());
        let digits: Vec<u8> = (0..6).map(|_| divide_by_ten(&mut number)).collect();
        assert_eq!(digits, [5, 4, 3, 2, 1, 0]);
    }
}
