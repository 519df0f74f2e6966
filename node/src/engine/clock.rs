//! The only place that reads a clock for the room.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::room::Now;

/// Where the monotonic clock begins: what an earlier run did so long ago, and later, has a place on it.
const BEFORE: Duration = Duration::from_secs(8 * 24 * 3_600);

/// Both clocks, the monotonic one counted from [`BEFORE`] at the node's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub fn now(&self) -> Now {
        Now {
            elapsed: BEFORE + self.start.elapsed(),
            unix_ms: unix_ms(),
        }
    }

    /// The moment that the room calls `elapsed`.
    pub fn instant(&self, elapsed: Duration) -> Instant {
        self.start + elapsed.saturating_sub(BEFORE)
    }
}

/// Milliseconds since 1970; 0 on a machine whose clock stands before.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
