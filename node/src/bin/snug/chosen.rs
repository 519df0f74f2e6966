//! Secrets that somebody chose instead of having them generated: what a Room Key must not be.

use std::sync::Arc;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::names::{Password, RoomKey, SameSecret};
use snug_crypto::rest::vault::{Passphrase, Slot, Stretching, VaultKey};

/// A Room Key that can be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Room Key is weak: whoever runs the rendezvous could find it by guessing")]
pub struct Weak;

/// Refuses a Room Key that can be guessed, unless whoever chose it insists.
pub fn check_strength(room_key: &RoomKey, allow_weak: bool) -> Result<(), Weak> {
    match room_key.is_weak() && !allow_weak {
        true => Err(Weak),
        false => Ok(()),
    }
}

/// Whether a Password can be guessed, as a Room Key can. What is too short or too long to be one is none.
pub fn is_weak(password: &Password) -> bool {
    RoomKey::parse(password.reveal()).is_ok_and(|same| same.is_weak())
}

/// What tells a room's Password from other texts, while a room is open, without holding it: it is stretched with Argon2id and a salt.
#[derive(Clone)]
pub struct KnownPassword(Arc<Slot>);

impl KnownPassword {
    /// Takes 0.1 s. Nothing if there is no memory to stretch with.
    pub fn new(password: &Password) -> Option<Self> {
        let rng = &mut UnwrapErr(SysRng);
        // The key that this wraps is thrown away: only whether it opens matters.
        let text = Passphrase::parse(password.reveal()).ok()?;
        let slot = Slot::wrap(&VaultKey::generate(rng), &text, Stretching::DEFAULT, rng).ok()?;
        Some(Self(Arc::new(slot)))
    }

    /// Refuses a Room Key that is the Password: every member would be an admin. Takes 0.1 s; what can't be told apart is refused.
    pub fn check_distinct(&self, room_key: &RoomKey) -> Result<(), SameSecret> {
        use snug_crypto::rest::vault::UnlockError;
        let text = Passphrase::parse(room_key.reveal()).map_err(|_| SameSecret)?;
        match self.0.unwrap(&text) {
            Err(UnlockError::WrongPassphrase) => Ok(()),
            _ => Err(SameSecret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_key_that_is_the_password_is_found_without_the_password() {
        let known = KnownPassword::new(&Password::parse("gr\u{FC}nes haus am see").unwrap()).unwrap();
        let key = |text: &str| RoomKey::parse(text).unwrap();
        assert!(known.check_distinct(&key("gru\u{308}nes haus am see")).is_err());
        assert!(known.check_distinct(&key("gr\u{FC}nes haus am meer")).is_ok());
    }

    #[test]
    fn what_can_be_guessed_is_weak() {
        let key = RoomKey::parse("hello12345").unwrap();
        assert_eq!(check_strength(&key, false), Err(Weak));
        assert_eq!(check_strength(&key, true), Ok(()));
        assert!(is_weak(&Password::parse("hello12345").unwrap()));
        assert!(!is_weak(&Password::generate(&mut UnwrapErr(SysRng))));
    }
}
