//! The allow-list: what each character is to a terminal (Unicode general categories, with the exceptions that matter).

use unicode_properties::{GeneralCategory as G, UnicodeEmoji as _, UnicodeGeneralCategory as _};
use unicode_width::UnicodeWidthChar as _;

/// What a character does to the text around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Takes up room and stands for itself.
    Visible,
    /// Blank, and shown as a space.
    Space,
    /// Ends a line.
    Break,
    /// Draws on the character before it, or takes no room: bounded in number.
    Mark,
    /// Joins or separates its neighbours (ZWJ, ZWNJ, variation selectors): only between what it is meant for.
    Joiner,
    /// Nothing is seen of it, and nothing is lost without it.
    Invisible,
    /// A terminal might obey it, or nobody knows what it is: shown as U+FFFD.
    Refused,
}

/// Zero width joiner.
pub(super) const ZWJ: char = '\u{200d}';
/// Zero width non-joiner.
pub(super) const ZWNJ: char = '\u{200c}';

/// Sorts a character; anything not named here or visible by its category is refused.
pub(super) fn class(c: char) -> Class {
    match c {
        ' '..='~' => return if c == ' ' { Class::Space } else { Class::Visible },
        '\t' => return Class::Space,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => return Class::Break,
        // Wide, and meant to be.
        '\u{3000}' => return Class::Visible,
        // Braille without dots: blank.
        '\u{2800}' => return Class::Space,
        ZWJ | ZWNJ | '\u{fe0e}' | '\u{fe0f}' | '\u{180b}'..='\u{180d}' | '\u{180f}' => return Class::Joiner,
        // Letters and marks by category, but nothing is drawn: Hangul fillers, the grapheme joiner, Khmer inherent vowels,
        // other variation selectors, tags.
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fe00}'..='\u{fe0d}'
        | '\u{e0000}'..='\u{e0fff}' => return Class::Invisible,
        _ => {}
    }
    match c.general_category() {
        G::SpaceSeparator => Class::Space,
        G::NonspacingMark | G::SpacingMark | G::EnclosingMark => Class::Mark,
        G::Format => Class::Invisible,
        G::Control | G::Surrogate | G::PrivateUse | G::Unassigned | G::LineSeparator | G::ParagraphSeparator => {
            Class::Refused
        }
        // A letter without width (conjoining Hangul vowels) piles up as marks do.
        _ if c.width() == Some(0) => Class::Mark,
        _ => Class::Visible,
    }
}

/// A picture: an emoji that others can be joined to (not a digit, not half a flag).
pub(super) fn is_picture(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char() && !('\u{1f1e6}'..='\u{1f1ff}').contains(&c)
}

/// Whether `c` may be followed by a presentation selector (VS15, VS16): pictures, and the keycap characters.
pub(super) fn takes_presentation(c: char) -> bool {
    is_picture(c) || c.is_ascii_digit() || matches!(c, '#' | '*')
}

/// Scripts whose spelling needs ZWJ and ZWNJ between letters: Arabic, Syriac, Mongolian, and those of India and their kin.
pub(super) fn is_joining_script(c: char) -> bool {
    matches!(c,
        '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{e00}'..='\u{fff}' | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}' | '\u{1800}'..='\u{18af}' | '\u{1a20}'..='\u{1aaf}' | '\u{1b00}'..='\u{1bff}'
        | '\u{a8e0}'..='\u{a8ff}' | '\u{a980}'..='\u{a9ff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{11000}'..='\u{11fff}')
}

/// Mongolian letters, which take the selectors U+180B to U+180F.
pub(super) fn is_mongolian(c: char) -> bool {
    ('\u{1820}'..='\u{18aa}').contains(&c)
}

/// Emoji modifiers, which colour the picture before them.
pub(super) fn is_skin_tone(c: char) -> bool {
    ('\u{1f3fb}'..='\u{1f3ff}').contains(&c)
}
