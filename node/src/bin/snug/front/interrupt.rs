//! Ctrl-C and its kin: the first asks for an orderly end, the second ends the process.

use crate::failure::Failure;

/// Listens for SIGINT, SIGTERM and SIGHUP.
#[cfg(unix)]
pub struct Interrupts {
    signals: [tokio::signal::unix::Signal; 3],
}

#[cfg(unix)]
impl Interrupts {
    /// From here on these signals no longer end the process by themselves.
    pub fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let open = |kind| {
            signal(kind).map_err(|error| Failure::failed(format_args!("signals can't be listened for: {error}")))
        };
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(open);
        Ok(Self {
            signals: [interrupt?, terminate?, hangup?],
        })
    }

    /// The next one; cancel-safe.
    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Listens for Ctrl-C.
#[cfg(not(unix))]
pub struct Interrupts;

#[cfg(not(unix))]
impl Interrupts {
    /// From here on Ctrl-C no longer ends the process by itself.
    pub fn listen() -> Result<Self, Failure> {
        Ok(Self)
    }

    /// The next one; cancel-safe.
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
