//! Text measured in terminal cells: wide characters take two, marks none.
//!
//! Lengths are counted a grapheme at a time, the way the terminal library places them, so no cut falls into an emoji.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Cells that `text` (cleaned, one line) takes.
pub fn width(text: &str) -> usize {
    text.graphemes(true).map(|g| g.width()).sum()
}

/// `text` (cleaned, one line) in at most `cells` cells; what is cut off is marked with an ellipsis.
pub fn clip(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let Some(room) = cells.checked_sub(1) else {
        return String::new();
    };
    let mut used = 0;
    let mut out = String::new();
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used > room {
            break;
        }
        out.push_str(grapheme);
    }
    out.push('…');
    out
}

/// Breaks `text` (cleaned, one line) into lines of at most `cells` cells, at spaces where it can. Always at least one line;
/// where `cells` is 1, a character that needs two has a line of its own.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    wrap_beside(text, cells, cells)
}

/// The same with a first line of another width. One pass: a message may be one word of 32 KiB.
pub fn wrap_beside(text: &str, first: usize, cells: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let (mut used, mut room) = (0, first.max(1));
    let mut next_line = |line: &mut String, used: &mut usize, room: &mut usize| {
        lines.push(std::mem::take(line));
        (*used, *room) = (0, cells.max(1));
    };
    for word in text.split_word_bounds() {
        let size = width(word);
        if used + size <= room {
            line.push_str(word);
            used += size;
            continue;
        }
        if word.trim().is_empty() {
            // The spaces at a break are not seen.
            next_line(&mut line, &mut used, &mut room);
            continue;
        }
        if used > 0 {
            next_line(&mut line, &mut used, &mut room);
        }
        for grapheme in word.graphemes(true) {
            let size = grapheme.width();
            if used > 0 && used + size > room {
                next_line(&mut line, &mut used, &mut room);
            }
            line.push_str(grapheme);
            used += size;
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}
