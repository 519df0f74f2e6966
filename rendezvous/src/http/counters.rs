//! What happens to connections, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start. They name nobody.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    evicted: AtomicU64,
    handshakes_failed: AtomicU64,
    open: AtomicU64,
}

/// One kind of event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A connection got a place.
    Accepted,
    /// It got none.
    Refused,
    /// It had to make room.
    Evicted,
    /// Its TLS handshake failed or took too long.
    HandshakeFailed,
}

impl Counters {
    pub(super) fn count(&self, event: Event) {
        let counter = match event {
            Event::Accepted => &self.accepted,
            Event::Refused => &self.refused,
            Event::Evicted => &self.evicted,
            Event::HandshakeFailed => &self.handshakes_failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_open(&self, open: usize) {
        self.open.store(open as u64, Ordering::Relaxed);
    }

    /// Connections that got a place.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that were closed at once: their address had too many, or all places were taken.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Silent or idle connections that had to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// TLS handshakes that failed or took too long.
    pub fn handshakes_failed(&self) -> u64 {
        self.handshakes_failed.load(Ordering::Relaxed)
    }

    /// Connections at this moment.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }
}
