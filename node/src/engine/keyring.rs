//! Which Room Keys are tried at the rendezvous, and in which order: it may not have heard of the newest yet, it may never have heard of one
//! that another followed at once, and it may have gone on without us.

use std::collections::VecDeque;

use snug_crypto::generation::Generation;
use snug_crypto::names::RoomKey;
use snug_crypto::rest::GenerationAtRest;

/// Keys that are tried one after the other without any of them getting us further. Each costs the room two of the logins that it may leave
/// unfinished in a day, as a guess at its Room Key does.
pub(super) const MAX_TRIED: usize = 4;
/// Changes that are followed, at most: as many as a rendezvous remembers.
const MAX_PASSED: usize = snug_rendezvous_api::MAX_SUPERSEDED;

/// A Room Key to log in with.
#[derive(Clone)]
pub(super) struct Key {
    pub room_key: RoomKey,
    /// Which generation it is of, if we know: then the rendezvous finds it among all former ones, and otherwise only if it was the last.
    pub generation: Option<Generation>,
}

/// One search for the key that lets us in.
pub(super) struct Keyring {
    untried: VecDeque<Key>,
    tried: Vec<Generation>,
    /// How many more are tried before something gets us further.
    left: usize,
    passed: usize,
}

impl From<&GenerationAtRest> for Key {
    fn from(held: &GenerationAtRest) -> Self {
        Self {
            room_key: held.room_key.clone(),
            generation: Some(held.generation),
        }
    }
}

impl Keyring {
    /// `first`, then the others in their order, none twice.
    pub fn new(first: Key, others: impl IntoIterator<Item = Key>) -> Self {
        let mut untried = VecDeque::from([first]);
        for key in others {
            let is_known = |known: &Key| known.room_key.reveal() == key.room_key.reveal();
            if !untried.iter().any(is_known) {
                untried.push_back(key);
            }
        }
        Self {
            untried,
            tried: Vec::new(),
            left: MAX_TRIED,
            passed: 0,
        }
    }

    /// The one to try next, if it is worth while to try on.
    pub fn next(&mut self) -> Option<Key> {
        self.left = self.left.checked_sub(1)?;
        let key = self.untried.pop_front()?;
        self.tried.extend(key.generation);
        Some(key)
    }

    /// The one tried last gave way to this generation: `true` if we have that one's key, which is tried next unless it was already.
    pub fn gave_way_to(&mut self, generation: &Generation) -> bool {
        let at = (self.untried.iter()).position(|key| key.generation.as_ref() == Some(generation));
        if let Some(key) = at.and_then(|at| self.untried.remove(at)) {
            self.untried.push_front(key);
            return true;
        }
        self.tried.contains(generation)
    }

    /// This key was left for us by those who made its generation: it is tried next. `false` if that went on for too long.
    pub fn followed(&mut self, key: Key) -> bool {
        self.passed += 1;
        self.left = MAX_TRIED;
        self.untried.push_front(key);
        self.passed <= MAX_PASSED
    }
}

#[cfg(test)]
mod tests {
    use rand::rand_core::UnwrapErr;
    use rand::rngs::SysRng;
    use snug_crypto::ids::OperationHash;

    use super::*;

    fn generation(count: u64) -> Generation {
        Generation {
            count,
            hash: OperationHash::from_bytes([u8::try_from(count).unwrap(); 32]),
        }
    }

    fn key(count: u64) -> Key {
        Key {
            room_key: RoomKey::generate(&mut UnwrapErr(SysRng)),
            generation: Some(generation(count)),
        }
    }

    fn next(keyring: &mut Keyring) -> Option<u64> {
        let key = keyring.next()?;
        Some(key.generation.unwrap().count)
    }

    #[test]
    fn a_handful_of_keys_is_tried_and_no_more() {
        let keys: Vec<Key> = (0..8).rev().map(key).collect();
        let mut keyring = Keyring::new(keys[0].clone(), keys);
        let tried: Vec<u64> = std::iter::from_fn(|| next(&mut keyring)).collect();
        assert_eq!(tried, [7, 6, 5, 4]);
    }

    #[test]
    fn what_was_left_for_us_leads_on_for_as_long_as_the_rendezvous_remembers_and_no_longer() {
        let mut keyring = Keyring::new(key(0), [key(9)]);
        assert_eq!(next(&mut keyring), Some(0));
        for count in 1..=32 {
            assert!(keyring.followed(key(100 + count)));
            assert_eq!(next(&mut keyring), Some(100 + count));
        }
        assert!(!keyring.followed(key(200)), "it leads nowhere");
    }

    #[test]
    fn a_generation_that_we_hold_is_not_followed_but_tried() {
        let keys: Vec<Key> = (0..5).rev().map(key).collect();
        let mut keyring = Keyring::new(keys[0].clone(), keys);
        assert_eq!(next(&mut keyring), Some(4));
        assert!(keyring.gave_way_to(&generation(1)));
        assert_eq!(next(&mut keyring), Some(1));
        assert!(keyring.gave_way_to(&generation(4)), "tried already");
        assert_eq!(next(&mut keyring), Some(3));
        assert!(!keyring.gave_way_to(&generation(7)), "not ours yet");
    }
}
