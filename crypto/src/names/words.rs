//! Words to say aloud: the EFF Long Wordlist (see NOTICE.md beside it).

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::bounds;

const EFF_LARGE: &str = include_str!("eff_large.txt");

/// The list's length: five dice.
#[cfg(test)]
const LIST: usize = 7_776;

/// [`bounds::GENERATED_WORDS`] words, drawn uniformly and joined by `-`: 129 bits. The list's four words that have a
/// hyphen themselves are left out, so that a phrase has as many words as it seems to have.
pub(super) fn phrase(rng: &mut impl CryptoRng) -> Zeroizing<String> {
    let words: Vec<&str> = EFF_LARGE.lines().filter(|word| !word.contains('-')).collect();
    let mut phrase = Zeroizing::new(String::with_capacity(bounds::GENERATED_WORDS * 12));
    for index in 0..bounds::GENERATED_WORDS {
        if index > 0 {
            phrase.push('-');
        }
        phrase.push_str(words[below(rng, words.len())]);
    }
    phrase
}

/// A uniform number below `end`, by rejection: a remainder alone would favour the words at the list's beginning.
fn below(rng: &mut impl CryptoRng, end: usize) -> usize {
    let end = end as u64;
    let limit = (1 << 32) / end * end;
    loop {
        let drawn = u64::from(rng.next_u32());
        if drawn < limit {
            return (drawn % end) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;

    #[test]
    fn the_list_is_whole() {
        let words: BTreeSet<&str> = EFF_LARGE.lines().collect();
        assert_eq!(words.len(), LIST);
        assert!(
            words
                .iter()
                .all(|word| word.len() <= 9 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        );
    }

    #[test]
    fn phrases_have_ten_words_of_the_list() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let words: BTreeSet<&str> = EFF_LARGE.lines().collect();
        let phrases: BTreeSet<String> = (0..100).map(|_| phrase(&mut rng).to_string()).collect();
        assert_eq!(phrases.len(), 100);
        for phrase in phrases {
            assert_eq!(
                phrase.split('-').filter(|word| words.contains(word)).count(),
                bounds::GENERATED_WORDS
            );
        }
    }

    #[test]
    fn draws_reach_both_ends() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let seen: BTreeSet<usize> = (0..200).map(|_| below(&mut rng, 5)).collect();
        assert_eq!(seen, (0..5).collect());
    }
}
