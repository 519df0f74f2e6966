//! Draws the state. Every text that comes here is clean, and every width is counted in cells.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};
use snug::engine::RendezvousState;
use snug::text::{clip, width};

use super::state::State;
use crate::front::people::{members_in_words, role};

/// Rows of the composer at most.
const MAX_COMPOSER: u16 = 6;
/// The members' column, and the width of the terminal from which there is one.
const MEMBERS: u16 = 22;
const MIN_FOR_MEMBERS: u16 = 64;
/// What stands before what is written.
const PROMPT: &str = "> ";

/// The keys, for the overlay.
const KEYS: [(&str, &str); 9] = [
    ("Enter", "send"),
    ("Alt-Enter, Ctrl-J", "new line"),
    ("PgUp, PgDn", "scroll by pages"),
    ("Ctrl-Up, Ctrl-Down", "scroll by lines"),
    ("Ctrl-Home, Esc", "to the oldest, to the newest"),
    ("Up, Down", "what you said before"),
    ("F2", "show or hide the members"),
    ("Ctrl-L", "draw the screen anew"),
    ("Ctrl-C", "go offline; twice: stop at once"),
];

/// Draws everything. A terminal of any size is fine; a tiny one shows what is being written and no more.
pub fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let area = frame.area();
    if area.width < 4 || area.height == 0 {
        return;
    }
    let room = usize::from(area.width).saturating_sub(PROMPT.len());
    let written = state.composer.layout(room);
    let most = MAX_COMPOSER.min((area.height / 2).max(1));
    let height = u16::try_from(written.rows.len()).unwrap_or(u16::MAX).clamp(1, most);
    let bars = match area.height {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    let alarms = state.alarms();
    let [title, alarm, body, status, composer] = Layout::vertical([
        Constraint::Length(u16::from(bars == 2)),
        Constraint::Length(u16::from(!alarms.is_empty() && bars >= 1)),
        Constraint::Min(0),
        Constraint::Length(u16::from(bars >= 1)),
        Constraint::Length(height),
    ])
    .areas(area);
    draw_title(frame, title, state);
    draw_alarms(frame, alarm, &alarms, state.color);
    draw_body(frame, body, state);
    draw_status(frame, status, state);
    draw_composer(frame, composer, &written);
    if state.help {
        draw_help(frame, area);
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let here = match (state.ready, state.members.len()) {
        (false, _) => "entering…".to_owned(),
        (true, 1) => "only you are here".to_owned(),
        (true, count) => members_in_words(count),
    };
    let text = format!(" {} · {here}", state.room);
    bar(frame, area, &text, "snug ");
}

/// A line that stays until the user has accepted each key.
fn draw_alarms(frame: &mut Frame<'_>, area: Rect, alarms: &[String], color: bool) {
    let text = format!(
        " ! Another key than before: {} · /verify, then /accept",
        alarms.join(", ")
    );
    let style = Style::new().bold().add_modifier(Modifier::REVERSED);
    let style = if color { style.fg(Color::Red) } else { style };
    let text = clip(&text, usize::from(area.width));
    frame.render_widget(Paragraph::new(Line::styled(text, style)), area);
}

fn draw_status(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let unread = state.timeline.unread();
    let left = match (state.leaving, unread, state.timeline.is_at_bottom()) {
        (true, ..) => " Leaving the room…".to_owned(),
        (_, 1.., false) => format!(" {unread} new below · Esc goes there"),
        (_, 0, false) => " Scrolled back · Esc goes to the newest".to_owned(),
        _ => {
            let linked = format!(" Linked with {}", members_in_words(state.links));
            match state.rendezvous {
                RendezvousState::Unreachable => format!("{linked} · rendezvous unreachable, nobody new finds you"),
                _ => linked,
            }
        }
    };
    bar(frame, area, &left, "F1 help ");
}

/// A reversed line with something at each end.
fn bar(frame: &mut Frame<'_>, area: Rect, left: &str, right: &str) {
    if area.is_empty() {
        return;
    }
    let columns = usize::from(area.width);
    let left = clip(left, columns);
    let space = columns - width(&left);
    let right = if space > width(right) { right } else { "" };
    let text = format!("{left}{}{right}", " ".repeat(space - width(right)));
    frame.render_widget(Line::styled(text, Style::new().add_modifier(Modifier::REVERSED)), area);
}

fn draw_body(frame: &mut Frame<'_>, area: Rect, state: &mut State) {
    let wanted = state.show_members && area.width >= MIN_FOR_MEMBERS;
    let [timeline, gap, members] = Layout::horizontal([
        Constraint::Min(0),
        Constraint::Length(u16::from(wanted)),
        Constraint::Length(if wanted { MEMBERS } else { 0 }),
    ])
    .areas(area);
    state.page = usize::from(timeline.height);
    let rows = state.timeline.rows(timeline.width.into(), timeline.height.into());
    // The newest stands at the bottom, as in every messenger.
    let top = timeline.height
        - u16::try_from(rows.len())
            .unwrap_or(timeline.height)
            .min(timeline.height);
    let filled = Rect {
        y: timeline.y + top,
        height: timeline.height - top,
        ..timeline
    };
    frame.render_widget(Paragraph::new(rows), filled);
    if wanted {
        let rule = vec![Line::styled("│", Style::new().dim()); usize::from(gap.height)];
        frame.render_widget(Paragraph::new(rule), gap);
        draw_members(frame, members, state);
    }
}

fn draw_members(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let columns = usize::from(area.width).saturating_sub(1);
    let height = usize::from(area.height);
    let mut rows: Vec<Line<'_>> = Vec::new();
    for member in state.members.iter().take(height) {
        let (dot, style) = if member.key_changed {
            ("!", Style::new().bold())
        } else if member.verified && !member.me {
            (
                if member.online { "✓" } else { "·" },
                if member.online {
                    Style::new()
                } else {
                    Style::new().dim()
                },
            )
        } else if member.online {
            ("●", Style::new())
        } else {
            ("○", Style::new().dim())
        };
        let dot_style = if state.color && member.online {
            style.fg(Color::Green)
        } else {
            style
        };
        let note = match (member.me, role(member.role)) {
            (true, _) => " you".to_owned(),
            (false, Some(role)) => format!(" {role}"),
            (false, None) => String::new(),
        };
        let name = clip(&state.people.label(member), columns.saturating_sub(3 + note.len()));
        rows.push(Line::from(vec![
            Span::styled(format!(" {dot} "), dot_style),
            Span::styled(name, style),
            Span::styled(note, Style::new().dim()),
        ]));
    }
    let hidden = state.members.len().saturating_sub(height);
    if hidden > 0
        && let Some(last) = rows.last_mut()
    {
        *last = Line::styled(format!(" … and {} more", hidden + 1), Style::new().dim());
    }
    frame.render_widget(Paragraph::new(rows), area);
}

fn draw_composer(frame: &mut Frame<'_>, area: Rect, written: &super::composer::Layout) {
    let height = usize::from(area.height);
    // The cursor's row is always seen.
    let first = (written.row + 1).saturating_sub(height);
    let rows = written
        .rows
        .iter()
        .enumerate()
        .skip(first)
        .take(height)
        .map(|(index, row)| {
            let lead = if index == 0 { PROMPT } else { "  " };
            Line::from(vec![Span::styled(lead, Style::new().dim()), Span::raw(row.as_str())])
        });
    frame.render_widget(Paragraph::new(rows.collect::<Vec<_>>()), area);
    let x = area.x
        + u16::try_from(PROMPT.len() + written.column)
            .unwrap_or(u16::MAX)
            .min(area.width.saturating_sub(1));
    let y = area.y + u16::try_from(written.row - first).unwrap_or_default();
    frame.set_cursor_position(Position { x, y });
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let column = KEYS.iter().map(|(key, _)| width(key)).max().unwrap_or_default() + 2;
    let rows: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, what)| {
            let gap = " ".repeat(column - width(key));
            Line::from(vec![
                Span::styled(format!(" {key}{gap}"), Style::new().bold()),
                Span::raw(format!("{what} ")),
            ])
        })
        .collect();
    let columns = rows.iter().map(Line::width).max().unwrap_or_default() + 2;
    let size = |wanted: usize, most: u16| u16::try_from(wanted).unwrap_or(u16::MAX).min(most);
    let (columns, height) = (size(columns, area.width), size(rows.len() + 2, area.height));
    let place = Rect {
        x: area.x + (area.width - columns) / 2,
        y: area.y + (area.height - height) / 2,
        width: columns,
        height,
    };
    frame.render_widget(Clear, place);
    frame.render_widget(
        Paragraph::new(rows).block(Block::bordered().title(" Any key closes this ")),
        place,
    );
}
