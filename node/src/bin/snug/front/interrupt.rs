//! Ctrl-C and its kin: the first asks for an orderly end, the second ends the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Listens for SIGINT, SIGTERM and SIGHUP.
pub struct Interrupts {
    signals: [Signal; 3],
}

impl Interrupts {
    /// From here on these signals no longer end the process by themselves.
    pub fn listen() -> Result<Self, Failure> {
        let open = |kind| {
            signal(kind).map_err(|error| Failure::failed(format_args!("signals can't be listened for: {error}")))
        };
        let signals = [
            open(SignalKind::interrupt())?,
            open(SignalKind::terminate())?,
            open(SignalKind::hangup())?,
        ];
        Ok(Self { signals })
    }

    /// The next one; cancel-safe.
    pub async fn next(&mut self) {
        let [a, b, c] = &mut self.signals;
        tokio::select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = c.recv() => {}
        }
    }
}
