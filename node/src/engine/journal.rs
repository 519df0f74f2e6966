//! Commits what the room keeps, before anything that rests on it leaves.
//!
//! The disk is waited for on a thread of its own. While one commit is on its way the room goes on, and what it wants kept meanwhile makes
//! the next one: under load one sync serves many messages. What the room wants done waits here until the commit before it is through. A
//! commit that fails (a full disk) is tried again, and until it succeeds nothing that rests on it is handed on.

use std::collections::VecDeque;
use std::time::Duration;

use snug_crypto::rest::log::Entry;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::profile::{ProfileError, Purpose, Vault};
use crate::room::{Change, Output};

/// Outputs that wait for the disk before nothing new is taken in.
const MAX_WAITING: usize = 4_096;
/// Between two tries of a commit that failed.
const RETRY: Duration = Duration::from_secs(1);

/// What came of a commit.
pub(super) enum Committed {
    /// It is on disk; these can be carried out now. `after_failures` if it took more than one try.
    Done { after_failures: bool },
    /// It isn't, and is tried again. `first` if it is the first time.
    Failed { error: ProfileError, first: bool },
}

/// The queue to the disk.
pub(super) struct Journal {
    prefix: Vec<u8>,
    /// One commit at a time.
    to_disk: Option<mpsc::Sender<Vec<Entry>>>,
    from_disk: mpsc::Receiver<Result<(), (ProfileError, Vec<Entry>)>>,
    gathering: Vec<Entry>,
    in_flight: bool,
    failed: Option<(Vec<Entry>, Instant)>,
    /// Whether the last try failed.
    failing: bool,
    /// Which commit each output waits for.
    waiting: VecDeque<(u64, Output)>,
    /// The commit that is being gathered.
    next: u64,
    done: u64,
}

impl Journal {
    /// Starts the thread. `prefix` goes before every key.
    pub fn start(vault: Vault, prefix: Vec<u8>) -> Self {
        let (to_disk, mut commits) = mpsc::channel::<Vec<Entry>>(1);
        let (done, from_disk) = mpsc::channel(1);
        std::thread::spawn(move || {
            while let Some(changes) = commits.blocking_recv() {
                // What isn't committed has to be there for the next try.
                let copy = changes.clone();
                let result = vault.commit(Purpose::State, changes).map_err(|error| (error, copy));
                if done.blocking_send(result).is_err() {
                    break;
                }
            }
            // The vault first: when the channel closes, the profile is free.
            drop(vault);
            drop(done);
        });
        Self {
            prefix,
            to_disk: Some(to_disk),
            from_disk,
            gathering: Vec::new(),
            in_flight: false,
            failed: None,
            failing: false,
            waiting: VecDeque::new(),
            next: 1,
            done: 0,
        }
    }

    /// Takes what is to be kept into the next commit.
    pub fn gather(&mut self, changes: Vec<Change>) {
        for Change { key, value } in changes {
            let key = [&self.prefix[..], &key].concat();
            self.gathering.push(Entry { key, value });
        }
    }

    /// Gives an output back if nothing has to be waited for; else keeps it.
    pub fn pass(&mut self, output: Output) -> Option<Output> {
        // A verdict only forwards what others said, and a disconnection helps nobody by waiting.
        if matches!(output, Output::Verdict { .. } | Output::Disconnect { .. }) {
            return Some(output);
        }
        let last = if self.gathering.is_empty() {
            self.next - 1
        } else {
            self.next
        };
        if self.waiting.is_empty() && last <= self.done {
            return Some(output);
        }
        self.waiting.push_back((last, output));
        None
    }

    /// Sends what was gathered to the disk, if it is free.
    pub fn kick(&mut self) {
        if self.in_flight {
            return;
        }
        let batch = match self.failed.take() {
            Some((batch, at)) if at <= Instant::now() => batch,
            Some(later) => return self.failed = Some(later),
            None if self.gathering.is_empty() => return,
            None => {
                self.next += 1;
                std::mem::take(&mut self.gathering)
            }
        };
        if let Some(to_disk) = &self.to_disk {
            // There is room: one is sent at a time. A thread that is gone commits nothing, and nothing is handed on.
            self.in_flight = to_disk.try_send(batch).is_ok();
        }
    }

    /// What came of the commit under way; pending for ever without one. Cancel-safe.
    pub async fn committed(&mut self) -> Committed {
        match self.from_disk.recv().await {
            Some(Ok(())) => {
                self.in_flight = false;
                self.done = self.next - 1;
                let after_failures = std::mem::take(&mut self.failing);
                Committed::Done { after_failures }
            }
            Some(Err((error, batch))) => {
                self.in_flight = false;
                self.failed = Some((batch, Instant::now() + RETRY));
                let first = !std::mem::replace(&mut self.failing, true);
                Committed::Failed { error, first }
            }
            None => std::future::pending().await,
        }
    }

    /// The next output whose commit is through.
    pub fn released(&mut self) -> Option<Output> {
        let (commit, _) = self.waiting.front()?;
        if *commit > self.done {
            return None;
        }
        self.waiting.pop_front().map(|(_, output)| output)
    }

    /// Whether so much waits for the disk that nothing new should be taken in.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    /// Whether all is on disk, and nothing waits.
    pub fn is_idle(&self) -> bool {
        !self.in_flight && self.failed.is_none() && self.gathering.is_empty() && self.waiting.is_empty()
    }

    /// When a commit that failed is to be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.failed.as_ref().map(|(_, at)| *at)
    }

    /// Waits for the thread: then the vault is free. `false` if something could not be written.
    pub async fn end(mut self) -> bool {
        let is_whole = self.is_idle();
        self.to_disk = None;
        while self.from_disk.recv().await.is_some() {}
        is_whole
    }
}
