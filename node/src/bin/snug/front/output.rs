//! Standard output as lines, written on a thread of its own: a reader that stalls holds up neither the room nor Ctrl-C.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

/// Batches of lines handed to the writing thread ahead of what is written.
const AHEAD: usize = 1;
/// Lines queued here before events are left to wait (the engine then drops the oldest, and says how many). All of them are written at once.
const QUEUE: usize = 64;
/// How long the end of the program waits for a reader that stalls.
const FLUSH: Duration = Duration::from_secs(2);

/// Whoever read our output is gone.
#[derive(Debug)]
pub struct ReaderGone;

/// The queue to standard output.
pub struct Output {
    queue: Vec<String>,
    sender: mpsc::Sender<Vec<String>>,
    written: oneshot::Receiver<()>,
    /// Lines that were pushed so far.
    pushed: u64,
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
        let (sender, mut receiver) = mpsc::channel::<Vec<String>>(AHEAD);
        let (done, written) = oneshot::channel();
        let progress = Arc::new(Progress::default());
        let told = Arc::clone(&progress);
        std::thread::spawn(move || {
            let mut stdout = std::io::stdout().lock();
            while let Some(lines) = receiver.blocking_recv() {
                let count = lines.len() as u64;
                let mut text = lines.join("\n");
                text.push('\n');
                if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                    return;
                }
                told.lines.fetch_add(count, Ordering::Release);
                told.more.notify_one();
            }
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        Self {
            queue: Vec::new(),
            sender,
            written,
            pushed: 0,
            progress,
        }
    }

    /// Queues lines.
    pub fn push(&mut self, lines: impl IntoIterator<Item = String>) {
        let before = self.queue.len();
        self.queue.extend(lines);
        self.pushed += (self.queue.len() - before) as u64;
    }

    /// Lines that were pushed so far.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Lines that were written so far, in the order in which they were pushed.
    pub fn written(&self) -> u64 {
        self.progress.lines.load(Ordering::Acquire)
    }

    /// Whether more should be pushed.
    pub fn has_room(&self) -> bool {
        self.queue.len() < QUEUE
    }

    /// Whether all that was pushed has been written.
    pub fn is_written(&self) -> bool {
        self.written() == self.pushed
    }

    /// Hands on what is queued; without anything it waits until some that was handed on is written. Cancel-safe.
    pub async fn pump(&mut self) -> Result<(), ReaderGone> {
        if self.queue.is_empty() {
            return tokio::select! {
                // The thread ends early only if it couldn't write.
                () = self.sender.closed() => Err(ReaderGone),
                () = self.progress.more.notified() => Ok(()),
            };
        }
        let permit = self.sender.reserve().await.map_err(|_| ReaderGone)?;
        permit.send(std::mem::take(&mut self.queue));
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
