//! Requests that wait for others to be answered, so that what waits for nothing can be read behind them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::input::Line;

/// So many may wait to be handed over.
const LINES: usize = 4_096;
/// Bytes of them; the last may go beyond.
const BYTES: usize = 4 << 20;
/// Where even these are full, and the room answers nothing for so long, more is refused: longer than it keeps anything waiting while
/// somebody is there.
const STALLED: Duration = Duration::from_secs(10);

/// The requests, in their order.
#[derive(Default)]
pub struct Parked {
    lines: VecDeque<Line>,
    bytes: usize,
    /// When the room will have stopped answering, unless it answers before.
    stalls_at: Option<Instant>,
    has_stalled: bool,
}

impl Parked {
    /// Whether another one can wait.
    pub fn has_room(&self) -> bool {
        self.lines.len() < LINES && self.bytes < BYTES
    }

    /// Whether no more can wait, and it has been in vain to let whoever writes to us wait instead.
    pub fn refuses(&self) -> bool {
        self.has_stalled
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Lets one wait.
    pub fn push(&mut self, line: Line, now: Instant) {
        self.bytes += size(&line);
        self.lines.push_back(line);
        if !self.has_room() {
            self.stalls_at = Some(now + STALLED);
        }
    }

    /// The one whose turn it is.
    pub fn pop(&mut self) -> Option<Line> {
        let line = self.lines.pop_front()?;
        self.bytes -= size(&line);
        if self.has_room() {
            (self.stalls_at, self.has_stalled) = (None, false);
        }
        Some(line)
    }

    /// The room answered something.
    pub fn answered(&mut self, now: Instant) {
        if let Some(at) = &mut self.stalls_at {
            *at = now + STALLED;
        }
    }

    /// Returns once more has to be refused. Cancel-safe.
    pub async fn stalls(&mut self) {
        match self.stalls_at {
            Some(at) if !self.has_stalled => tokio::time::sleep_until(at).await,
            _ => std::future::pending().await,
        }
        self.has_stalled = true;
    }
}

fn size(line: &Line) -> usize {
    match line {
        Line::Whole(bytes) => bytes.len(),
        Line::TooLong => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_too_much_is_refused_only_where_the_room_has_stopped_answering() {
        let mut parked = Parked::default();
        let line = |n: usize| Line::Whole(n.to_string().into_bytes());
        let long_ago = Instant::now();
        let in_an_hour = long_ago + Duration::from_secs(3_600);
        for n in 0..LINES {
            assert!(parked.has_room() && !parked.refuses(), "{n}");
            parked.push(line(n), long_ago);
        }
        assert!(!parked.has_room());
        // As long as it answers now and then, whoever writes to us waits.
        parked.answered(in_an_hour);
        assert_eq!(parked.stalls_at, Some(in_an_hour + STALLED));
        parked.stalls_at = Some(long_ago);
        parked.stalls().await;
        assert!(parked.refuses());
        assert_eq!(parked.pop(), Some(line(0)));
        assert!(parked.has_room() && !parked.refuses() && parked.stalls_at.is_none());
        // Few, and large.
        while parked.pop().is_some() {}
        parked.push(Line::Whole(vec![b'x'; BYTES]), long_ago);
        assert!(!parked.has_room() && !parked.is_empty());
        parked.pop();
        assert!(parked.has_room() && parked.is_empty());
    }
}
