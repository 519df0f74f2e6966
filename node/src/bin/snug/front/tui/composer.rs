//! The line being written: text, a cursor between graphemes, and what was said before.

use std::collections::VecDeque;

use snug::text::{compose, width};
use snug_crypto::bounds::MAX_TEXT_BYTES;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};

/// Messages of one's own that the arrow keys bring back.
const HISTORY: usize = 50;
/// Characters of one grapheme that can be typed: the longest emoji have ten.
const MAX_CLUSTER: usize = 16;

/// What is being written.
#[derive(Default)]
pub struct Composer {
    text: String,
    /// Byte offset of a grapheme's beginning, or the end.
    cursor: usize,
    history: VecDeque<String>,
    /// Which of the history is shown, counted from the newest, and the draft that it hides.
    recalled: Option<(usize, String)>,
}

/// The text in rows of a width, and where the cursor is among them.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    pub rows: Vec<String>,
    pub row: usize,
    /// In cells.
    pub column: usize,
}

impl Composer {
    /// What is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Inserts typed or pasted text, cleaned; what would make the message too long to send is left out.
    /// Returns whether all of it went in.
    pub fn insert(&mut self, text: &str) -> bool {
        let clean = compose(text);
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len());
        let fits = clean
            .grapheme_indices(true)
            .map(|(at, g)| at + g.len())
            .take_while(|end| *end <= room)
            .last();
        let part = &clean[..fits.unwrap_or(0)];
        self.text.insert_str(self.cursor, part);
        self.cursor += part.len();
        // What was inserted may have joined the grapheme after it.
        self.snap();
        part.len() == clean.len()
    }

    /// Inserts what a key brought. An accent or a joiner comes as a key of its own, so this is cleaned as a whole only when it is sent;
    /// until then no more of them stand on a character than a cleaned text could have.
    pub fn insert_key(&mut self, c: char) {
        let Some(c) = snug::text::key(c) else { return };
        let crowded = width(c.encode_utf8(&mut [0; 4])) == 0
            && c != '\n'
            && self.text[self.before()..self.cursor].chars().count() >= MAX_CLUSTER;
        if !crowded && self.text.len() + c.len_utf8() <= MAX_TEXT_BYTES {
            self.text.insert(self.cursor, c);
            self.cursor += c.len_utf8();
            self.snap();
        }
    }

    /// Takes the text to send it.
    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        (self.cursor, self.recalled) = (0, None);
        if !text.trim().is_empty() && self.history.back() != Some(&text) {
            self.history.push_back(text.clone());
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
        text
    }

    /// Puts a text back that couldn't be sent, unless something else is being written by now.
    pub fn put_back(&mut self, text: String) {
        if self.text.is_empty() {
            self.cursor = text.len();
            self.text = text;
        }
    }

    pub fn left(&mut self) {
        self.cursor = self.before();
    }

    pub fn right(&mut self) {
        self.cursor = self.after();
    }

    pub fn word_left(&mut self) {
        self.cursor = self.word_before();
    }

    pub fn word_right(&mut self) {
        let words = self.text[self.cursor..].split_word_bound_indices();
        let word = words
            .filter(|(_, word)| !word.trim().is_empty())
            .map(|(at, word)| at + word.len())
            .next();
        self.cursor = word.map_or(self.text.len(), |end| self.cursor + end);
    }

    /// To the beginning of the line.
    pub fn home(&mut self) {
        self.cursor = self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1);
    }

    /// To the end of the line.
    pub fn end(&mut self) {
        self.cursor = self.text[self.cursor..]
            .find('\n')
            .map_or(self.text.len(), |at| self.cursor + at);
    }

    pub fn backspace(&mut self) {
        self.remove(self.before(), self.cursor);
    }

    pub fn delete(&mut self) {
        self.remove(self.cursor, self.after());
    }

    /// Deletes the word before the cursor.
    pub fn delete_word(&mut self) {
        self.remove(self.word_before(), self.cursor);
    }

    /// Deletes all before the cursor.
    pub fn delete_to_start(&mut self) {
        self.remove(0, self.cursor);
    }

    /// Deletes the rest of the line.
    pub fn delete_to_end(&mut self) {
        let start = self.cursor;
        self.end();
        self.remove(start, self.cursor);
    }

    /// A line up; on the first one, what was said before.
    pub fn up(&mut self) {
        if self.text[..self.cursor].contains('\n') {
            self.vertically(|line| line.checked_sub(1));
        } else {
            let next = self.recalled.as_ref().map_or(0, |(index, _)| index + 1);
            self.recall(Some(next));
        }
    }

    /// A line down; on the last one, what was said later.
    pub fn down(&mut self) {
        if self.text[self.cursor..].contains('\n') {
            self.vertically(|line| Some(line + 1));
        } else if let Some((index, _)) = self.recalled {
            self.recall(index.checked_sub(1));
        }
    }

    /// In rows of `cells` cells.
    pub fn layout(&self, cells: usize) -> Layout {
        let cells = cells.max(1);
        let mut layout = Layout {
            rows: vec![String::new()],
            row: 0,
            column: 0,
        };
        let mut used = 0;
        for (at, grapheme) in self.text.grapheme_indices(true) {
            let size = if grapheme == "\n" { 0 } else { width(grapheme) };
            if used > 0 && used + size > cells {
                layout.rows.push(String::new());
                used = 0;
            }
            if at == self.cursor {
                (layout.row, layout.column) = (layout.rows.len() - 1, used);
            }
            if grapheme == "\n" {
                layout.rows.push(String::new());
                used = 0;
            } else if let Some(row) = layout.rows.last_mut() {
                row.push_str(grapheme);
                used += size;
            }
        }
        if self.cursor == self.text.len() {
            if used >= cells {
                layout.rows.push(String::new());
                used = 0;
            }
            (layout.row, layout.column) = (layout.rows.len() - 1, used);
        }
        layout
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.text.replace_range(start..end, "");
        self.cursor = start;
        self.snap();
    }

    /// Moves the cursor out of a grapheme that an edit closed around it.
    fn snap(&mut self) {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        if cursor.is_boundary(&self.text, 0) != Ok(true) {
            self.cursor = self.after();
        }
    }

    fn before(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn after(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor
            .next_boundary(&self.text, 0)
            .ok()
            .flatten()
            .unwrap_or(self.text.len())
    }

    fn word_before(&self) -> usize {
        let mut words = self.text[..self.cursor].split_word_bound_indices();
        words.rfind(|(_, word)| !word.trim().is_empty()).map_or(0, |(at, _)| at)
    }

    /// To the same column of another line, as far as it goes.
    fn vertically(&mut self, which: impl Fn(usize) -> Option<usize>) {
        let line = self.text[..self.cursor].matches('\n').count();
        let start = self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1);
        let column = self.text[start..self.cursor].graphemes(true).count();
        let Some(target) = which(line) else { return };
        let begin = match target.checked_sub(1) {
            None => 0,
            Some(breaks) => self
                .text
                .match_indices('\n')
                .nth(breaks)
                .map_or(self.text.len(), |(at, _)| at + 1),
        };
        let rest = &self.text[begin..];
        let rest = &rest[..rest.find('\n').unwrap_or(rest.len())];
        self.cursor = begin + rest.graphemes(true).take(column).map(str::len).sum::<usize>();
    }

    fn recall(&mut self, index: Option<usize>) {
        let Some(index) = index else {
            if let Some((_, draft)) = self.recalled.take() {
                self.cursor = draft.len();
                self.text = draft;
            }
            return;
        };
        let Some(text) = self.history.iter().rev().nth(index).cloned() else {
            return;
        };
        let shown = std::mem::replace(&mut self.text, text);
        let draft = self.recalled.take().map_or(shown, |(_, draft)| draft);
        self.recalled = Some((index, draft));
        self.cursor = self.text.len();
    }
}

#[cfg(test)]
mod tests;
