//! One pass over untrusted text that lets the allow-list through.

use super::allow::{Class, ZWJ, class, is_joining_script, is_mongolian, is_picture, is_skin_tone, takes_presentation};

/// Marks that may follow one base character. Living scripts stay below (Tibetan and pointed Hebrew reach five);
/// text that defaces the lines around it needs dozens.
pub(super) const MAX_MARKS: usize = 6;
/// Joiners in one picture: a family of four with skin tones has three, and each may carry a presentation selector.
pub(super) const MAX_JOINERS: usize = 8;
/// Shown for what was refused; a run of it is shown once.
const REFUSED: char = '\u{fffd}';
/// What a mark with nothing to sit on is given (as Unicode's charts do), so that it doesn't land on our own text.
const CARRIER: char = '\u{25cc}';

/// What becomes of line breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaks {
    /// Each is one space.
    ToSpace,
    /// Each is one line feed (CR LF counts as one).
    Keep,
}

/// The part of `text` that is safe on a terminal: no control character but the line feed (if kept), no format character but
/// joiners inside emoji and in scripts that need them, at most six marks on a character.
pub(super) fn clean(text: &str, breaks: Breaks) -> String {
    let mut out = String::with_capacity(text.len());
    // The last character let through, unless it ended a line.
    let mut last: Option<char> = None;
    let (mut marks, mut joiners) = (0, 0);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let push = match class(c) {
            Class::Visible => Some(c),
            Class::Space => Some(' '),
            Class::Break => {
                if c == '\r' && chars.peek() == Some(&'\n') {
                    chars.next();
                }
                match breaks {
                    Breaks::ToSpace => Some(' '),
                    Breaks::Keep => {
                        out.push('\n');
                        (last, marks, joiners) = (None, 0, 0);
                        continue;
                    }
                }
            }
            Class::Refused => (last != Some(REFUSED)).then_some(REFUSED),
            Class::Invisible => None,
            Class::Mark => {
                marks += 1;
                if marks > MAX_MARKS {
                    continue;
                }
                if last.is_none_or(|l| l == ' ') {
                    out.push(CARRIER);
                }
                out.push(c);
                last = Some(c);
                continue;
            }
            Class::Joiner => {
                joiners += 1;
                let fits = last.is_some_and(|before| fits(before, c, chars.peek().copied()));
                (fits && joiners <= MAX_JOINERS).then_some(c)
            }
        };
        let Some(c) = push else { continue };
        out.push(c);
        if class(c) != Class::Joiner {
            marks = 0;
            // A picture joined to the one before, or its skin tone, is still the same cluster.
            if last != Some(ZWJ) && !is_skin_tone(c) {
                joiners = 0;
            }
        }
        last = Some(c);
    }
    out
}

/// Whether joiner `c` has a meaning between these two.
fn fits(before: char, c: char, after: Option<char>) -> bool {
    match c {
        '\u{fe0e}' | '\u{fe0f}' => takes_presentation(before),
        '\u{180b}'..='\u{180f}' => is_mongolian(before),
        // The picture before may end in a presentation selector or a skin tone (a picture by Unicode's table).
        ZWJ if is_picture(before) || before == '\u{fe0f}' => after.is_some_and(is_picture),
        // ZWJ and ZWNJ in scripts that are spelt with them.
        _ => is_joining_script(before) && after.is_some_and(is_joining_script),
    }
}
