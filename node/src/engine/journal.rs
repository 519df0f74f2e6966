//! Keeps what the room wants kept, before anything that rests on it leaves.
//!
//! Two promises, because they cost differently. What is *written* outlives this process, however it ends: some 20 us. What is *synced*
//! outlives a power cut too: milliseconds, and all members on a machine wait in one queue. Nothing is shown before it is written, so a
//! crash shows nothing twice and loses nothing. Nothing of ours is published, and nobody is told that a message is sent, before it is
//! synced: our counters can't be used twice. What others said is synced within [`LAZY`]; a power cut before that leaves an older copy of
//! the state, which is what the rules of coming back are for, and the messages are fetched again.
//!
//! The disk is waited for on two threads of their own, one writes, one syncs. While one commit is on its way the room goes on, and what it
//! wants kept meanwhile makes the next one. What the room wants done waits here until its commit is through. What fails (a full disk) is
//! tried again, and until it succeeds nothing that rests on it is handed on.

use std::collections::VecDeque;
use std::time::Duration;

use snug_crypto::rest::log::Entry;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::profile::{ProfileError, Purpose, Vault};
use crate::room::{Change, Output, RoomEvent};

/// Outputs that wait for the disk before nothing new is taken in.
const MAX_WAITING: usize = 4_096;
/// Between two tries of a commit that failed.
const RETRY: Duration = Duration::from_secs(1);
/// What nobody waits for is synced this long after it was written.
const LAZY: Duration = Duration::from_secs(1);

/// What came of a commit.
pub(super) enum Committed {
    /// It is on disk; these can be carried out now. `after_failures` if it took more than one try.
    Done { after_failures: bool },
    /// It isn't, and is tried again. `first` if it is the first time.
    Failed { error: ProfileError, first: bool },
}

/// What a thread says.
enum Report {
    Written(Result<(), (ProfileError, Vec<Entry>)>),
    Synced(Result<(), ProfileError>),
    /// The last sync, when everything was written.
    Ended(Result<(), ProfileError>),
}

/// What an output waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Overtakes what waits for a sync: nobody but the user sees it.
    Shown,
    Written,
    Synced,
}

impl Need {
    fn of(output: &Output) -> Self {
        match output {
            // A verdict only forwards what others said, and a disconnection helps nobody by waiting.
            Output::Verdict { .. } | Output::Disconnect { .. } => Self::Nothing,
            Output::Event(
                RoomEvent::Left | RoomEvent::Offline | RoomEvent::Deleted | RoomEvent::Removed | RoomEvent::Full { .. },
            ) => Self::Synced,
            Output::Event(_) => Self::Shown,
            // What others are asked and told of others: it is fetched again if we forget it. Not before what was to be done before.
            Output::Query { .. }
            | Output::Respond { .. }
            | Output::Audited { .. }
            | Output::Knock(_)
            | Output::Keepers { .. }
            | Output::Fetch { .. } => Self::Written,
            Output::Persist(_)
            | Output::Publish { .. }
            | Output::Sent { .. }
            | Output::Commanded { .. }
            | Output::Move(_)
            | Output::DeleteAtRendezvous { .. }
            | Output::Remember(_) => Self::Synced,
        }
    }
}

/// The queue to the disk.
pub(super) struct Journal {
    prefix: Vec<u8>,
    /// One commit at a time.
    to_write: Option<mpsc::Sender<Vec<Entry>>>,
    /// One sync at a time.
    to_sync: Option<mpsc::Sender<()>>,
    from_disk: mpsc::Receiver<Report>,
    gathering: Vec<Entry>,
    is_writing: bool,
    /// A commit that couldn't be written.
    failed: Option<Vec<Entry>>,
    /// The commit that a sync under way covers.
    syncing: Option<u64>,
    /// When the next sync is due for those that nobody waits for.
    lazy: Option<Instant>,
    /// After a failure: not before then.
    retry: Option<Instant>,
    /// In the order of the room, each with its commit.
    waiting: VecDeque<(u64, Need, Output)>,
    to_show: VecDeque<(u64, Output)>,
    /// The commit that is being gathered.
    next: u64,
    written: u64,
    synced: u64,
}

impl Journal {
    /// Starts the threads. `prefix` goes before every key.
    pub fn start(vault: Vault, prefix: Vec<u8>) -> Self {
        let (to_write, mut commits) = mpsc::channel::<Vec<Entry>>(1);
        let (to_sync, mut syncs) = mpsc::channel::<()>(1);
        let (report, from_disk) = mpsc::channel(2);
        let (syncer, synced) = (vault.clone(), report.clone());
        std::thread::spawn(move || {
            while syncs.blocking_recv().is_some() {
                if synced
                    .blocking_send(Report::Synced(syncer.sync(Purpose::State)))
                    .is_err()
                {
                    break;
                }
            }
            // The vault first: when the channel closes, the profile is free.
            drop(syncer);
            drop(synced);
        });
        std::thread::spawn(move || {
            while let Some(changes) = commits.blocking_recv() {
                // What isn't written has to be there for the next try.
                let copy = changes.clone();
                let result = vault.write(Purpose::State, changes).map_err(|error| (error, copy));
                if report.blocking_send(Report::Written(result)).is_err() {
                    break;
                }
            }
            // The last word: what is written is synced too.
            let result = vault.sync(Purpose::State);
            drop(vault);
            let _ = report.blocking_send(Report::Ended(result));
        });
        Self {
            prefix,
            to_write: Some(to_write),
            to_sync: Some(to_sync),
            from_disk,
            gathering: Vec::new(),
            is_writing: false,
            failed: None,
            syncing: None,
            lazy: None,
            retry: None,
            waiting: VecDeque::new(),
            to_show: VecDeque::new(),
            next: 1,
            written: 0,
            synced: 0,
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
        let last = if self.gathering.is_empty() {
            self.next - 1
        } else {
            self.next
        };
        match Need::of(&output) {
            Need::Nothing => return Some(output),
            Need::Shown if self.to_show.is_empty() && last <= self.written => return Some(output),
            Need::Shown => self.to_show.push_back((last, output)),
            need if self.waiting.is_empty() && self.is_met(need, last) => return Some(output),
            need => self.waiting.push_back((last, need, output)),
        }
        None
    }

    fn is_met(&self, need: Need, commit: u64) -> bool {
        commit
            <= if need == Need::Synced {
                self.synced
            } else {
                self.written
            }
    }

    /// Sends what was gathered to the disk, and has it synced if somebody waits for that, as far as the disk is free.
    pub fn kick(&mut self) {
        let now = Instant::now();
        if self.retry.is_some_and(|at| at > now) {
            return;
        }
        self.kick_writer();
        self.kick_syncer(now);
    }

    fn kick_writer(&mut self) {
        if self.is_writing {
            return;
        }
        let batch = match self.failed.take() {
            Some(batch) => batch,
            None if self.gathering.is_empty() => return,
            None => {
                self.next += 1;
                std::mem::take(&mut self.gathering)
            }
        };
        if let Some(to_write) = &self.to_write {
            // There is room: one is sent at a time. A thread that is gone writes nothing, and nothing is handed on.
            self.is_writing = to_write.try_send(batch).is_ok();
        }
    }

    fn kick_syncer(&mut self, now: Instant) {
        if self.syncing.is_some() || self.synced == self.written {
            return;
        }
        let is_wanted = (self.waiting.iter()).any(|(commit, need, _)| *need == Need::Synced && *commit <= self.written);
        let lazy = *self.lazy.get_or_insert(now + LAZY);
        if !is_wanted && lazy > now {
            return;
        }
        if let Some(to_sync) = &self.to_sync
            && to_sync.try_send(()).is_ok()
        {
            self.syncing = Some(self.written);
            self.lazy = None;
        }
    }

    /// What came of what is under way; pending for ever without anything. Cancel-safe.
    pub async fn committed(&mut self) -> Committed {
        match self.from_disk.recv().await {
            Some(Report::Written(Ok(()))) => {
                self.is_writing = false;
                self.written = self.next - 1;
                self.done()
            }
            Some(Report::Synced(Ok(()))) => {
                self.synced = self.syncing.take().unwrap_or(self.synced);
                self.done()
            }
            Some(Report::Written(Err((error, batch)))) => {
                self.is_writing = false;
                self.failed = Some(batch);
                self.failed(error)
            }
            Some(Report::Synced(Err(error))) => {
                self.syncing = None;
                // At once when it may be tried again.
                self.lazy = Some(Instant::now());
                self.failed(error)
            }
            // It comes after the end alone.
            Some(Report::Ended(_)) | None => std::future::pending().await,
        }
    }

    fn done(&mut self) -> Committed {
        // A write that succeeds is no proof that a sync would.
        let is_well =
            self.failed.is_none() && self.syncing.is_none() && (self.lazy.is_none() || self.synced == self.written);
        let after_failures = self.retry.is_some() && is_well;
        if after_failures {
            self.retry = None;
        }
        Committed::Done { after_failures }
    }

    fn failed(&mut self, error: ProfileError) -> Committed {
        let first = self.retry.replace(Instant::now() + RETRY).is_none();
        Committed::Failed { error, first }
    }

    /// The next output whose commit is through.
    pub fn released(&mut self) -> Option<Output> {
        if self.to_show.front().is_some_and(|(commit, _)| *commit <= self.written) {
            return self.to_show.pop_front().map(|(_, output)| output);
        }
        let (commit, need, _) = self.waiting.front()?;
        if !self.is_met(*need, *commit) {
            return None;
        }
        self.waiting.pop_front().map(|(_, _, output)| output)
    }

    /// Whether so much waits for the disk that nothing new should be taken in.
    pub fn is_full(&self) -> bool {
        self.waiting.len() + self.to_show.len() >= MAX_WAITING
    }

    /// Whether all is written, and nothing waits.
    pub fn is_idle(&self) -> bool {
        !self.is_writing
            && self.failed.is_none()
            && self.gathering.is_empty()
            && self.waiting.is_empty()
            && self.to_show.is_empty()
    }

    /// When [`Self::kick`] has something to do by itself.
    pub fn wake_at(&self) -> Option<Instant> {
        let lazy = self.lazy.filter(|_| self.syncing.is_none());
        let retry = self.retry.filter(|_| self.failed.is_some() || lazy.is_some());
        match (retry, lazy) {
            (Some(retry), Some(lazy)) => Some(retry.max(lazy)),
            (retry, lazy) => retry.or(lazy),
        }
    }

    /// Waits for the threads: then all is synced, and the vault is free. `false` if something could not be written.
    pub async fn end(mut self) -> bool {
        let mut is_whole = self.is_idle();
        self.to_write = None;
        self.to_sync = None;
        while let Some(report) = self.from_disk.recv().await {
            match report {
                Report::Written(result) => is_whole &= result.is_ok(),
                // The last one covers all, and writes anew what an earlier one failed with.
                Report::Synced(_) => {}
                Report::Ended(result) => is_whole &= result.is_ok(),
            }
        }
        is_whole
    }
}
