//! Standard output as lines, written on a thread of its own: a reader that stalls holds up neither the room nor Ctrl-C.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

/// Lines handed to the writing thread ahead of what is written.
const AHEAD: usize = 16;
/// Lines queued here before events are left to wait (the engine then drops the oldest, and says how many).
const QUEUE: usize = 64;
/// How long the end of the program waits for a reader that stalls.
const FLUSH: Duration = Duration::from_secs(2);

/// Whoever read our output is gone.
#[derive(Debug)]
pub struct ReaderGone;

/// The queue to standard output.
pub struct Output {
    queue: VecDeque<String>,
    sender: mpsc::Sender<String>,
    written: oneshot::Receiver<()>,
    /// Lines handed to the thread.
    handed: u64,
    progress: Arc<Progress>,
}

/// How far the writing thread is.
#[derive(Default)]
struct Progress {
    lines: AtomicU64,
    more: Notify,
}

impl Output {
    /// Starts the writing thread.
    pub fn start() -> Self {
        let (sender, mut receiver) = mpsc::channel::<String>(AHEAD);
        let (done, written) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let told = Arc::clone(&progress);
        std::thread::spawn(move || {
            let mut stdout = std::io::stdout().lock();
            while let Some(line) = receiver.blocking_recv() {
                if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
                    return;
                }
                told.lines.fetch_add(1, Ordering::Release);
                told.more.notify_one();
            }
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        Self {
            queue: VecDeque::new(),
            sender,
            written,
            handed: 0,
            progress,
        }
    }

    /// Queues lines.
    pub fn push(&mut self, lines: impl IntoIterator<Item = String>) {
        self.queue.extend(lines);
    }

    /// Whether more should be pushed.
    pub fn has_room(&self) -> bool {
        self.queue.len() < QUEUE
    }

    /// Whether all that was pushed has been written.
    pub fn is_written(&self) -> bool {
        self.queue.is_empty() && self.progress.lines.load(Ordering::Acquire) == self.handed
    }

    /// Hands on the next line; without one it waits until one that was handed on is written. Cancel-safe.
    pub async fn pump(&mut self) -> Result<(), ReaderGone> {
        if self.queue.is_empty() {
            return tokio::select! {
                // The thread ends early only if it couldn't write.
                () = self.sender.closed() => Err(ReaderGone),
                () = self.progress.more.notified() => Ok(()),
            };
        }
        let permit = self.sender.reserve().await.map_err(|_| ReaderGone)?;
        if let Some(line) = self.queue.pop_front() {
            permit.send(line);
            self.handed += 1;
        }
        Ok(())
    }

    /// Waits until all that was pushed is written, for two seconds at most; says whether it is.
    pub async fn flush(&mut self) -> bool {
        let written = async {
            while !self.is_written() {
                if self.pump().await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(FLUSH, written).await.unwrap_or(false)
    }

    /// Writes what is queued, within two seconds.
    pub async fn finish(mut self) {
        let flush = async move {
            while !self.queue.is_empty() && self.pump().await.is_ok() {}
            drop(self.sender);
            // An error means that the reader is gone: nothing left to do.
            let _ = self.written.await;
        };
        // Out of time, what is queued is lost to a reader that doesn't read.
        let _ = tokio::time::timeout(FLUSH, flush).await;
    }
}
