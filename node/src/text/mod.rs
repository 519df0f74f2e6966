//! Text that somebody else wrote, made safe for each place it can end up in.
//!
//! Names, messages and server replies may hold anything: escape sequences that rewrite a terminal, characters that reverse the
//! reading direction, letters buried under ten thousand accents. [`Untrusted`] therefore has no `Display`; each sink asks for its
//! own form, and every form is built from one allow-list ([`allow`](self)): what isn't known to be harmless doesn't pass.
//!
//! | sink | form | holds |
//! |---|---|---|
//! | terminal, one line | [`Untrusted::line`], [`Untrusted::name`] | no control character at all, not even a line feed |
//! | terminal, several lines | [`Untrusted::lines`] | a bounded list of such lines |
//! | log | [`Untrusted::log`] | printable ASCII in quotes, bounded |
//! | window title | [`Untrusted::title`] | one short line |
//! | JSON | [`Untrusted::exact`] written by [`json::line`] | the exact text; what a terminal could act on is `\u` escaped |
//!
//! [`compose`] is the same list at ingest: what a person types or pastes here is cleaned before it is sent to others.

mod allow;
mod cells;
mod clean;
pub mod json;
mod plain_name;
#[cfg(test)]
mod tests;

use allow::Class;
pub use cells::{clip, width, wrap, wrap_beside};
use clean::{Breaks, clean};

/// Longest form for a log, in characters of the original text.
const LOG_CHARS: usize = 200;
/// Longest window title, in terminal cells.
const TITLE_CELLS: usize = 60;
/// Longest name that is shown, in terminal cells (a name may have 64 characters, of two cells each at most).
const NAME_CELLS: usize = 40;
/// What is shown for a name that has nothing visible in it.
const NAMELESS: &str = "(no name)";

/// Text from outside (names, messages, server replies). It has no `Display`: each sink asks for the form that is safe there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Untrusted(String);

impl Untrusted {
    /// Wraps text as it came.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The exact text, for sinks that escape by themselves ([`json::line`]) and for comparison; never for a terminal.
    pub fn exact(&self) -> &str {
        &self.0
    }

    /// Length of the exact text in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the exact text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One line for a terminal: line breaks become spaces, nothing in it can move the cursor or reorder what surrounds it.
    pub fn line(&self) -> String {
        clean(&self.0, Breaks::ToSpace)
    }

    /// One line for a terminal of at most `cells` cells, shortened with an ellipsis.
    pub fn line_within(&self, cells: usize) -> String {
        clip(&self.line(), cells)
    }

    /// Several lines for a terminal, at most `max` of them (at least one): what is beyond is counted in the last.
    /// The lines aren't wrapped: [`wrap`] does that for a width.
    pub fn lines(&self, max: usize) -> Vec<String> {
        let cleaned = clean(&self.0, Breaks::Keep);
        let mut rest = cleaned.split('\n');
        let mut lines: Vec<String> = rest.by_ref().take(max.max(1)).map(str::to_owned).collect();
        let missing = rest.count();
        if missing > 0
            && let Some(last) = lines.last_mut()
        {
            *last = format!("… ({} more lines)", missing + 1);
        }
        lines
    }

    /// A person's name in our own sentences: one short line, white space folded, and in quotes if it holds something that
    /// could pass for our own words or for another name (`bob: yes! alice` would otherwise put words into two mouths).
    pub fn name(&self) -> String {
        let folded = self.line().split_whitespace().collect::<Vec<_>>().join(" ");
        let name = clip(&folded, NAME_CELLS);
        if name.is_empty() {
            NAMELESS.to_owned()
        } else if plain_name::is_plain(&folded) {
            name
        } else {
            format!("“{}”", name.replace(['“', '”'], "\""))
        }
    }

    /// For a log: printable ASCII in quotes, everything else escaped, at most 200 characters of the original.
    pub fn log(&self) -> String {
        let mut out = String::from("\"");
        let mut chars = self.0.chars();
        out.extend(chars.by_ref().take(LOG_CHARS).flat_map(char::escape_default));
        out.push('"');
        if chars.next().is_some() {
            out.push_str("...");
        }
        out
    }

    /// For a window title: one line of at most 60 cells, without what shells and terminals treat specially in titles.
    pub fn title(&self) -> String {
        // Taken out before the text is cleaned: marks of characters that are gone would pile up on the one before.
        let plain: String = self
            .0
            .chars()
            .filter(|c| !matches!(c, '\\' | '`' | '$' | ';' | '|'))
            .collect();
        clip(clean(&plain, Breaks::ToSpace).trim(), TITLE_CELLS)
    }
}

impl std::fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Untrusted({} bytes)", self.0.len())
    }
}

/// JSON keeps the text exact; whoever writes it to a terminal uses [`json::line`], which escapes.
impl serde::Serialize for Untrusted {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A character as a key brings it, or nothing for one that can't be sent. Joiners and marks pass even alone, because what they belong
/// to comes with other keys: [`compose`] still has to see the whole text before it is sent.
pub fn key(c: char) -> Option<char> {
    match allow::class(c) {
        Class::Visible | Class::Mark | Class::Joiner => Some(c),
        Class::Space => Some(' '),
        Class::Break => Some('\n'),
        Class::Invisible | Class::Refused => None,
    }
}

/// Cleans what a person typed or pasted before it is sent: line feeds stay, tabs become spaces, all else as for a terminal.
pub fn compose(text: &str) -> String {
    clean(text, Breaks::Keep)
}
