//! The one writer of a redb file: a thread that takes what has queued up into one transaction, so that many small writes
//! share a commit and all durable ones of a moment share one sync of the disk.
//!
//! After an I/O error redb refuses everything until the file is opened again. The writer does that at once, while reads wait;
//! then it refuses writes for a moment, so that reads are served between the tries of a full disk, and until the trouble has
//! been over for a while each write is acknowledged only when the disk has it.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use redb::backends::FileBackend;
use redb::{Durability, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{Fault, describe, unavailable};
use crate::store::StoreError;

/// Writes that may wait for the writer.
const QUEUE: usize = 1024;
/// Writes that share a commit at most.
const BATCH: usize = 256;
/// How long a commit that nobody waits for may stay in memory.
pub(super) const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How long the writer sleeps when nothing is to be done.
const IDLE: Duration = Duration::from_secs(3600);
/// Pause after an I/O error: before the next write is tried, and between attempts to open the file again.
const REST: Duration = Duration::from_secs(1);
/// How long after an I/O error every write waits for the disk. A disk that is full takes some writes and not others, and what
/// only memory has goes with the next one that fails.
const CAREFUL: Duration = Duration::from_secs(60);
/// How long a read waits for the file to be opened again: less than a request may take.
const READERS_PATIENCE: Duration = Duration::from_secs(3);
/// How long readers may take to let go of a database that is to be opened again.
const READERS_GRACE: Duration = Duration::from_secs(5);
/// What redb may cache. The working set of a busy server fits; an idle one stays small.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Where the bytes are.
pub(super) trait Backend: Send + Sync + 'static {
    /// Opens them; `DatabaseAlreadyOpen` if somebody else has.
    fn open(&self, builder: &redb::Builder) -> Result<redb::Database, Fault>;
}

/// A file, made with mode 0600 if it is missing.
pub(super) struct FileOf(pub PathBuf);

impl Backend for FileOf {
    fn open(&self, builder: &redb::Builder) -> Result<redb::Database, Fault> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file: File = options.open(&self.0).map_err(Fault::Io)?;
        Ok(builder.create_with_backend(FileBackend::new(file)?)?)
    }
}

/// What a job leaves to be told once its transaction is committed or lost.
type Tell = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Run = Box<dyn FnOnce(&WriteTransaction) -> Result<Tell, (Tell, Fault)> + Send>;

struct Job {
    run: Run,
    durable: bool,
    _permit: OwnedSemaphorePermit,
}

/// The database, and the way to its writer.
pub(super) struct Database {
    shared: Arc<Shared>,
    jobs: RwLock<Option<SyncSender<Job>>>,
    permits: Arc<Semaphore>,
    ended: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    state: watch::Sender<State>,
    /// Whether a write failed, and none that is as large as a room has succeeded since.
    failing: AtomicBool,
}

#[derive(Clone)]
enum State {
    /// Open, for the so many-th time.
    Open(u64, Arc<redb::Database>),
    /// It is being opened again.
    Opening,
    /// That failed; it will be tried again.
    Away,
    Closed,
}

impl Database {
    /// Opens it and starts the writer. Blocks.
    pub fn open(backend: Arc<dyn Backend>) -> Result<Self, Fault> {
        let database = open_backend(&*backend)?;
        let shared = Arc::new(Shared {
            backend,
            state: watch::Sender::new(State::Open(1, Arc::new(database))),
            failing: AtomicBool::new(false),
        });
        let (sender, receiver) = sync_channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            jobs: receiver,
            unflushed_since: None,
            failed_at: None,
            opened: 1,
        };
        std::thread::Builder::new()
            .name("redb-writer".to_owned())
            .spawn(move || {
                writer.run();
                // Nobody may be waiting for the end.
                let _ = end.send(());
            })
            .map_err(Fault::Io)?;
        Ok(Self {
            shared,
            jobs: RwLock::new(Some(sender)),
            permits: Arc::new(Semaphore::new(QUEUE)),
            ended: tokio::sync::Mutex::new(Some(ended)),
        })
    }

    /// The database for a read, opened more often than `than`; waits if it is being opened again.
    pub async fn opened_after(&self, than: u64) -> Result<(u64, Arc<redb::Database>), StoreError> {
        let mut states = self.shared.state.subscribe();
        let settled = states.wait_for(|state| match state {
            State::Open(opened, _) => *opened > than,
            State::Opening => false,
            State::Away | State::Closed => true,
        });
        let state = match tokio::time::timeout(READERS_PATIENCE, settled).await {
            Ok(Ok(state)) => state.clone(),
            // The sender lives as long as this; so it took too long.
            Ok(Err(_)) | Err(_) => State::Away,
        };
        match state {
            State::Open(opened, database) => Ok((opened, database)),
            State::Opening | State::Away => Err(StoreError::Unavailable(
                "it is being opened again after an error".to_owned(),
            )),
            State::Closed => Err(StoreError::Unavailable("it is closed".to_owned())),
        }
    }

    /// The database as it is now.
    pub fn current(&self) -> Option<Arc<redb::Database>> {
        self.shared.current()
    }

    /// Whether a write failed, and it isn't known that the trouble is over.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// The trouble is over.
    pub fn is_well(&self) {
        self.shared.failing.store(false, Ordering::Relaxed);
    }

    /// One durable write before anything else runs. Blocks.
    pub fn write_now<T>(&self, op: impl FnOnce(&WriteTransaction) -> Result<T, Fault>) -> Result<T, Fault> {
        let Some(database) = self.current() else {
            return Err(Fault::DatabaseClosed);
        };
        let transaction = database.begin_write()?;
        let value = op(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// A write that the disk gets soon. An operation that returns `Err(fault)` takes back all that shares its commit, so
    /// it must return its own refusals inside `Ok`, and before it has written anything.
    pub fn write<T: Send + 'static>(
        &self,
        op: impl FnOnce(&WriteTransaction) -> Result<Result<T, StoreError>, Fault> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        self.submit(false, op)
    }

    /// A write that the disk has when this returns.
    pub fn write_durably<T: Send + 'static>(
        &self,
        op: impl FnOnce(&WriteTransaction) -> Result<Result<T, StoreError>, Fault> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        self.submit(true, op)
    }

    fn submit<T: Send + 'static>(
        &self,
        durable: bool,
        op: impl FnOnce(&WriteTransaction) -> Result<Result<T, StoreError>, Fault> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let closed = || StoreError::Unavailable("it is closed".to_owned());
            let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
            let (sender, receiver) = oneshot::channel();
            let run: Run = Box::new(move |transaction| match op(transaction) {
                // A receiver that is gone has stopped caring.
                Ok(outcome) => Ok(Box::new(move |commit| drop(sender.send(commit.and(outcome))))),
                Err(fault) => Err((
                    Box::new(move |commit| drop(sender.send(commit.and(Err(closed_inside()))))),
                    fault,
                )),
            });
            {
                let jobs = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
                let sender = jobs.as_ref().ok_or_else(closed)?;
                // There is a permit for each place in the queue, so this never finds it full.
                sender
                    .try_send(Job {
                        run,
                        durable,
                        _permit: permit,
                    })
                    .map_err(|_| closed())?;
            }
            receiver.await.map_err(|_| {
                StoreError::Unavailable("a write failed a moment ago, and this one is not tried".to_owned())
            })?
        })
    }

    /// Lets the writer finish what has queued up, syncs and closes the file.
    pub async fn close(&self) -> Result<(), StoreError> {
        drop(self.jobs.write().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(ended) = self.ended.lock().await.take() {
            // The writer always sends, unless it panicked.
            ended
                .await
                .map_err(|_| StoreError::Damaged("the writer failed inside"))?;
        }
        Ok(())
    }
}

/// Never told: a job that fails is told of its commit's failure, which comes first.
fn closed_inside() -> StoreError {
    StoreError::Unavailable("the write failed".to_owned())
}

fn open_backend(backend: &dyn Backend) -> Result<redb::Database, Fault> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    backend.open(&builder)
}

struct Writer {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    unflushed_since: Option<Instant>,
    /// The last I/O error, or the last time it was tried in vain to open the file again after one.
    failed_at: Option<Instant>,
    /// How often the file was opened.
    opened: u64,
}

impl Shared {
    fn current(&self) -> Option<Arc<redb::Database>> {
        match &*self.state.borrow() {
            State::Open(_, database) => Some(Arc::clone(database)),
            State::Opening | State::Away | State::Closed => None,
        }
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            let wait = match (self.failed_at, self.unflushed_since) {
                (Some(at), _) if self.is_away() => REST.saturating_sub(at.elapsed()),
                (_, Some(since)) => FLUSH_AFTER.saturating_sub(since.elapsed()),
                (_, None) => IDLE,
            };
            match self.jobs.recv_timeout(wait) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(self.jobs.try_iter().take(BATCH - 1));
                    self.commit(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.is_away() {
                if !self.rests() {
                    self.reopen();
                }
            } else if self.unflushed_since.is_some_and(|since| since.elapsed() >= FLUSH_AFTER) {
                self.commit(Vec::new());
            }
        }
        if self.unflushed_since.is_some() {
            self.commit(Vec::new());
        }
        self.take_database(State::Closed);
    }

    fn is_away(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Away)
    }

    /// Whether the last error is too recent for another try.
    fn rests(&self) -> bool {
        self.failed_at.is_some_and(|at| at.elapsed() < REST)
    }

    /// Commits a batch; an empty one only syncs.
    fn commit(&mut self, batch: Vec<Job>) {
        if self.is_away() || self.rests() {
            // Dropped untold: their callers learn that they were not tried.
            return;
        }
        let overdue = self.unflushed_since.is_some_and(|since| since.elapsed() >= FLUSH_AFTER);
        let durable = batch.is_empty() || overdue || self.failed_at.is_some() || batch.iter().any(|job| job.durable);
        let mut tell = Vec::with_capacity(batch.len());
        let outcome = self.apply(batch, durable, &mut tell);
        if let Err(fault) = &outcome {
            tracing::error!(reason = describe(fault), "the store can't write");
            self.shared.failing.store(true, Ordering::Relaxed);
        }
        for tell in tell {
            tell(outcome.as_ref().copied().map_err(unavailable));
        }
        match outcome {
            Ok(()) if durable => {
                self.unflushed_since = None;
                self.failed_at = self.failed_at.filter(|at| at.elapsed() < CAREFUL);
            }
            Ok(()) => {
                self.unflushed_since.get_or_insert_with(Instant::now);
            }
            Err(_) => {
                // What was in memory only is lost with the old database: sessions, presence, attempts.
                self.unflushed_since = None;
                self.take_database(State::Opening);
                self.reopen();
            }
        }
    }

    fn apply(&self, batch: Vec<Job>, durable: bool, tell: &mut Vec<Tell>) -> Result<(), Fault> {
        let database = self.shared.current();
        let mut outcome = Ok(());
        let mut transaction = None;
        match database
            .ok_or(Fault::DatabaseClosed)
            .and_then(|database| Ok(database.begin_write()?))
        {
            Ok(mut begun) => match begun.set_durability(if durable {
                Durability::Immediate
            } else {
                Durability::None
            }) {
                Ok(()) => transaction = Some(begun),
                Err(error) => outcome = Err(error.into()),
            },
            Err(fault) => outcome = Err(fault),
        }
        for job in batch {
            let Some(transaction) = &transaction else { break };
            if outcome.is_err() {
                // Dropped untold: its caller learns that the write was lost.
                continue;
            }
            match (job.run)(transaction) {
                Ok(told) => tell.push(told),
                Err((told, fault)) => {
                    tell.push(told);
                    outcome = Err(fault);
                }
            }
        }
        outcome.and_then(|()| match transaction {
            Some(transaction) => Ok(transaction.commit()?),
            None => Ok(()),
        })
    }

    /// Opens the file again; if that fails, in a while once more.
    fn reopen(&mut self) {
        match open_backend(&*self.shared.backend) {
            Ok(database) => {
                self.opened += 1;
                let state = State::Open(self.opened, Arc::new(database));
                self.shared.state.send_replace(state);
                tracing::warn!("the store was opened again after an error");
            }
            Err(fault) => {
                self.shared.state.send_replace(State::Away);
                tracing::error!(reason = describe(&fault), "the store can't be opened again");
            }
        }
        // Only now: opening a large file takes a while, and reads come first then.
        self.failed_at = Some(Instant::now());
    }

    /// Closes the database when its last reader is done, which is soon.
    fn take_database(&self, instead: State) {
        let taken = self.shared.state.send_replace(instead);
        let State::Open(_, mut database) = taken else { return };
        let since = Instant::now();
        loop {
            match Arc::try_unwrap(database) {
                Ok(alone) => return drop(alone),
                Err(shared) if since.elapsed() < READERS_GRACE => database = shared,
                Err(_) => return tracing::warn!("a reader holds on to the store"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
