//! Which names are shown as they are, and which in quotation marks. An allow-list as well: a name stands in the middle of our own
//! sentences and lists, so it may hold nothing that could end or continue one of them.

use super::allow::{Class, class};

/// Words that our sentences about members turn on: "bob is offline", "bob has left the room den."
const VERBS: [&str; 2] = ["is", "has"];

/// Alphabets whose letters pass for each other's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Latin,
    Greek,
    Cyrillic,
    Other,
}

/// Whether `name` (cleaned, white space folded) can't be taken for anything but a name: letters of one alphabet (Chinese, Japanese and
/// Korean go with any), digits, emoji, and a few signs between letters.
pub(super) fn is_plain(name: &str) -> bool {
    let mut alphabets = name.chars().filter_map(alphabet);
    let first = alphabets.next();
    name.split(' ').all(is_plain_word) && alphabets.all(|other| Some(other) == first)
}

fn is_plain_word(word: &str) -> bool {
    // A full stop inside a word is part of it; at its end it would end a sentence.
    !word.ends_with('.') && !VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb)) && word.chars().all(is_plain_char)
}

fn is_plain_char(c: char) -> bool {
    match c {
        '-' | '_' | '\'' | '’' | '.' => true,
        // Letters by category that are drawn like others, or like punctuation: modifiers, letterlike and enclosed ones, styled
        // Latin and Greek, full width.
        '\u{2b0}'..='\u{2ff}'
        | '\u{1d00}'..='\u{1dbf}'
        | '\u{2070}'..='\u{218f}'
        | '\u{2460}'..='\u{24ff}'
        | '\u{a4d0}'..='\u{a4ff}'
        | '\u{ff00}'..='\u{ff65}'
        | '\u{1d400}'..='\u{1d7ff}'
        | '\u{1f100}'..='\u{1f1e5}' => false,
        '\u{1f1e6}'..='\u{1faff}' => true,
        _ => c.is_alphanumeric() || matches!(class(c), Class::Mark | Class::Joiner),
    }
}

/// The alphabet of a letter; none for what goes with any.
fn alphabet(c: char) -> Option<Alphabet> {
    match c {
        _ if !c.is_alphabetic() => None,
        // Hangul, kana, bopomofo, ideographs.
        '\u{1100}'..='\u{11ff}'
        | '\u{3005}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => None,
        '\0'..='\u{2af}' | '\u{1e00}'..='\u{1eff}' | '\u{2c60}'..='\u{2c7f}' | '\u{a720}'..='\u{a7ff}' => {
            Some(Alphabet::Latin)
        }
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Some(Alphabet::Greek),
        '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{2de0}'..='\u{2dff}' | '\u{a640}'..='\u{a69f}' => {
            Some(Alphabet::Cyrillic)
        }
        _ => Some(Alphabet::Other),
    }
}
