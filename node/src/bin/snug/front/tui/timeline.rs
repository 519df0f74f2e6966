//! What was said and what happened, as rows of the terminal: bounded, wrapped once for a width, scrolled by rows.

use std::collections::VecDeque;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use snug::room::Receipt;
use snug::text::{clip, width, wrap, wrap_beside};
use snug_crypto::ids::MessageId;

use crate::front::receipts;

/// Entries kept; older ones are gone from the screen for good, as nothing here is history.
const MAX_ENTRIES: usize = 2_000;
/// Bytes of text kept.
const MAX_BYTES: usize = 4 << 20;
/// What rows after an entry's first begin with: nothing that somebody says stands where names stand.
const INDENT: &str = "        ";
/// Colours of names; which one is the fingerprint's.
const NAME_COLORS: [Color; 6] = [
    Color::Cyan,
    Color::Green,
    Color::Yellow,
    Color::Magenta,
    Color::Blue,
    Color::LightRed,
];

/// Where one's own message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Sending,
    Sent,
    Failed,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A member's message: the name to show, and a number that its colour comes from.
    Message { name: String, hue: u8 },
    /// A message of one's own: the name, the number it is sent under, and how that went.
    Mine {
        name: String,
        ticket: u64,
        delivery: Delivery,
        /// Its id, once it is out, and how far it has got.
        receipt: Option<Receipt>,
    },
    /// Somebody came or went, and the like.
    Notice,
    /// An answer to a command typed here.
    Note,
    /// Something is not as it should be.
    Warning,
}

/// One entry; `lines` are clean.
#[derive(Clone, Debug)]
pub struct Entry {
    pub time: String,
    pub kind: Kind,
    pub lines: Vec<String>,
}

/// An entry's rows, for a width.
type Rendered = (usize, Vec<Line<'static>>);

/// All entries, and which part of them is seen.
pub struct Timeline {
    entries: VecDeque<(Entry, Option<Rendered>)>,
    bytes: usize,
    /// Number of the first entry kept, since the beginning.
    first: u64,
    /// Rows between the last one seen and the newest.
    scroll: usize,
    /// The first entry that came while nobody looked.
    unread: Option<u64>,
    /// Whether somebody has looked at the newest since: then the mark may move.
    looked: bool,
    columns: usize,
    color: bool,
}

impl Timeline {
    pub fn new(color: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            first: 0,
            scroll: 0,
            unread: None,
            looked: false,
            columns: 80,
            color,
        }
    }

    /// Adds an entry; `seen` says whether somebody is looking at the screen.
    pub fn push(&mut self, entry: Entry, seen: bool) {
        let unseen = matches!(entry.kind, Kind::Message { .. }) && (!seen || self.scroll > 0);
        if unseen && (self.unread.is_none() || self.looked) {
            // The mark is a row too.
            self.scroll = self
                .scroll
                .saturating_add(usize::from(self.scroll > 0 && self.unread.is_none()));
            self.unread = Some(self.first + self.entries.len() as u64);
            self.looked = false;
        }
        self.bytes += size(&entry);
        let rows = render(&entry, self.columns, self.color);
        if self.scroll > 0 {
            // What is being read stays where it is.
            self.scroll = self.scroll.saturating_add(rows.len());
        }
        self.entries.push_back((entry, Some((self.columns, rows))));
        while self.entries.len() > MAX_ENTRIES || (self.bytes > MAX_BYTES && self.entries.len() > 1) {
            if let Some((gone, _)) = self.entries.pop_front() {
                self.bytes -= size(&gone);
                self.first += 1;
            }
        }
    }

    /// Notes how the sending of one's own message went.
    pub fn delivered(&mut self, ticket: u64, outcome: Delivery) {
        for (entry, rows) in self.entries.iter_mut().rev() {
            if let Kind::Mine {
                ticket: own, delivery, ..
            } = &mut entry.kind
                && *own == ticket
            {
                *delivery = outcome;
                *rows = None;
                return;
            }
        }
    }

    /// Notes the id under which one's own message is out.
    pub fn out(&mut self, ticket: u64, id: MessageId) {
        let receipt = Receipt {
            id,
            held_by: 0,
            keepers: 0,
            delivered: 0,
            read: 0,
            of: 0,
        };
        self.mine(|own, known| {
            let is_it = own == ticket;
            if is_it {
                *known = Some(receipt);
            }
            is_it
        });
    }

    /// One's own message has got further.
    pub fn receipt(&mut self, receipt: Receipt) {
        self.mine(|_, known| {
            let is_it = known.is_some_and(|known| known.id == receipt.id);
            if is_it {
                *known = Some(receipt);
            }
            is_it
        });
    }

    /// One's own message goes by another id now.
    pub fn resent(&mut self, was: MessageId, id: MessageId) {
        self.mine(|_, known| match known {
            Some(known) if known.id == was => {
                known.id = id;
                true
            }
            _ => false,
        });
    }

    /// Changes the newest of one's own messages that the change accepts.
    fn mine(&mut self, mut change: impl FnMut(u64, &mut Option<Receipt>) -> bool) {
        for (entry, rows) in self.entries.iter_mut().rev() {
            if let Kind::Mine { ticket, receipt, .. } = &mut entry.kind
                && change(*ticket, receipt)
            {
                *rows = None;
                return;
            }
        }
    }

    /// Messages since the unread mark.
    pub fn unread(&self) -> usize {
        let Some(from) = self.unread else { return 0 };
        let skip = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.entries
            .iter()
            .skip(skip)
            .filter(|(entry, _)| matches!(entry.kind, Kind::Message { .. }))
            .count()
    }

    /// Takes the unread mark away.
    pub fn mark_read(&mut self) {
        self.unread = None;
    }

    /// Somebody is at the keyboard: what is on the screen has been looked at.
    pub fn look(&mut self) {
        self.looked |= self.scroll == 0;
    }

    /// Whether the newest row is seen.
    pub fn is_at_bottom(&self) -> bool {
        self.scroll == 0
    }

    /// Scrolls towards the past (positive) or the present, by rows; [`Timeline::rows`] keeps it in bounds.
    pub fn scroll(&mut self, rows: isize) {
        self.scroll = self.scroll.saturating_add_signed(rows);
    }

    /// To the newest row.
    pub fn go_to_bottom(&mut self) {
        self.scroll = 0;
    }

    /// To the oldest row.
    pub fn go_to_top(&mut self) {
        self.scroll = usize::MAX;
    }

    /// The rows to show in a space of this size, the newest last.
    pub fn rows(&mut self, columns: usize, height: usize) -> Vec<Line<'static>> {
        self.columns = columns.max(1);
        let (columns, color) = (self.columns, self.color);
        let unread = self.unread.map(|from| from.saturating_sub(self.first));
        let wanted = self.scroll.saturating_add(height);
        let mut rows: Vec<Line<'static>> = Vec::new();
        for (index, (entry, cached)) in self.entries.iter_mut().enumerate().rev() {
            if rows.len() >= wanted {
                break;
            }
            if cached.as_ref().is_none_or(|(at, _)| *at != columns) {
                *cached = Some((columns, render(entry, columns, color)));
            }
            let Some((_, lines)) = cached else { continue };
            rows.extend(lines.iter().rev().cloned());
            if unread == Some(index as u64) {
                rows.push(mark(columns));
            }
        }
        self.scroll = self.scroll.min(rows.len().saturating_sub(height));
        rows.drain(..self.scroll);
        rows.truncate(height);
        rows.reverse();
        rows
    }
}

fn size(entry: &Entry) -> usize {
    entry.lines.iter().map(String::len).sum()
}

fn mark(columns: usize) -> Line<'static> {
    let text = " new ";
    let rule = columns.saturating_sub(width(text)) / 2;
    let text = format!(
        "{}{text}{}",
        "─".repeat(rule),
        "─".repeat(columns.saturating_sub(rule + width(text)))
    );
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

fn render(entry: &Entry, columns: usize, color: bool) -> Vec<Line<'static>> {
    let tint = |style: Style, ink: Color| if color { style.fg(ink) } else { style };
    let (lead, lead_style, style) = match &entry.kind {
        Kind::Message { name, hue } => {
            let ink = NAME_COLORS[usize::from(*hue) % NAME_COLORS.len()];
            (format!("{name}: "), tint(Style::new().bold(), ink), Style::new())
        }
        Kind::Mine { name, delivery, .. } => {
            let style = match delivery {
                Delivery::Sent => Style::new(),
                Delivery::Sending => Style::new().dim(),
                Delivery::Failed => tint(Style::new().crossed_out(), Color::Red),
            };
            (format!("{name}: "), Style::new().bold(), style)
        }
        Kind::Notice => ("* ".to_owned(), Style::new().dim(), Style::new().dim()),
        Kind::Note => ("  ".to_owned(), Style::new(), Style::new()),
        Kind::Warning => (
            "! ".to_owned(),
            tint(Style::new().bold(), Color::Red),
            tint(Style::new(), Color::Red),
        ),
    };
    let narrow = columns < 30;
    let (time, indent) = if narrow {
        (String::new(), "  ")
    } else {
        (format!("{} ", entry.time), INDENT)
    };
    let room = columns.saturating_sub(indent.len()).max(1);
    let lead = clip(&lead, columns.saturating_sub(width(&time) + 2));
    // The first row holds time and name, and as much text as fits beside them.
    let head = width(&time) + width(&lead);
    let mut rows = Vec::new();
    let mut lines = entry.lines.iter();
    let first = lines.next().map(String::as_str).unwrap_or_default();
    let (beside, below) = split_first(first, columns, head, room);
    let mut spans = vec![Span::styled(time, Style::new().dim()), Span::styled(lead, lead_style)];
    spans.push(Span::styled(beside, style));
    rows.push(Line::from(spans));
    let rest = below.into_iter().chain(lines.flat_map(|line| wrap(line, room)));
    rows.extend(rest.map(|row| Line::from(vec![Span::raw(indent), Span::styled(row, style)])));
    if let Kind::Mine {
        receipt: Some(receipt), ..
    } = &entry.kind
        && let Some(far) = receipts::in_words(receipt)
    {
        mark_delivery(&mut rows, &far, columns, indent);
    }
    rows
}

/// Says how far a message has got, at the end of its last row if there is room, else below it. Dim and in brackets, and behind what was said:
/// it is nobody's words.
fn mark_delivery(rows: &mut Vec<Line<'static>>, far: &str, columns: usize, indent: &'static str) {
    let mark = format!("({far})");
    let dim = Style::new().dim();
    match rows.last_mut() {
        Some(last) if last.width() + 2 + width(&mark) <= columns => {
            last.push_span(Span::raw("  "));
            last.push_span(Span::styled(mark, dim));
        }
        _ => {
            let mark = clip(&mark, columns.saturating_sub(indent.len()));
            rows.push(Line::from(vec![Span::raw(indent), Span::styled(mark, dim)]));
        }
    }
}

/// What of `text` stands beside a head of that many cells, and the rows of `room` cells below it.
fn split_first(text: &str, columns: usize, head: usize, room: usize) -> (String, Vec<String>) {
    let beside = columns.saturating_sub(head);
    if beside < 4 {
        return (
            String::new(),
            if text.is_empty() { Vec::new() } else { wrap(text, room) },
        );
    }
    let mut rows = wrap_beside(text, beside, room);
    (rows.remove(0), rows)
}

#[cfg(test)]
mod tests;
