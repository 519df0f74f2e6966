//! The one writer of a redb file: a thread that takes what has queued up into one transaction, so that many small writes
//! share a commit and all durable ones of a moment share one sync of the disk.
//!
//! After an I/O error redb refuses everything until the file is opened again. The writer does that, so that a full disk
//! is over when there is room again.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use redb::backends::FileBackend;
use redb::{Durability, WriteTransaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

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
/// Pause between attempts to open the file again after an I/O error.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
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
    current: RwLock<Option<Arc<redb::Database>>>,
}

impl Database {
    /// Opens it and starts the writer. Blocks.
    pub fn open(backend: Arc<dyn Backend>) -> Result<Self, Fault> {
        let database = open_backend(&*backend)?;
        let shared = Arc::new(Shared {
            backend,
            current: RwLock::new(Some(Arc::new(database))),
        });
        let (sender, receiver) = sync_channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            jobs: receiver,
            unflushed_since: None,
            closed_since: None,
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

    /// The database for a read.
    pub fn current(&self) -> Result<Arc<redb::Database>, StoreError> {
        let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
        current
            .clone()
            .ok_or_else(|| StoreError::Unavailable("it is being opened again after an error".to_owned()))
    }

    /// One durable write before anything else runs. Blocks.
    pub fn write_now<T>(&self, op: impl FnOnce(&WriteTransaction) -> Result<T, Fault>) -> Result<T, Fault> {
        let Ok(database) = self.current() else {
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
            receiver
                .await
                .map_err(|_| StoreError::Unavailable("the write was lost".to_owned()))?
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
    closed_since: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let wait = match (self.closed_since, self.unflushed_since) {
                (Some(since), _) => REOPEN_AFTER.saturating_sub(since.elapsed()),
                (None, Some(since)) => FLUSH_AFTER.saturating_sub(since.elapsed()),
                (None, None) => IDLE,
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
            if self.closed_since.is_some_and(|since| since.elapsed() >= REOPEN_AFTER) {
                self.reopen();
            } else if self.unflushed_since.is_some_and(|since| since.elapsed() >= FLUSH_AFTER) {
                self.commit(Vec::new());
            }
        }
        if self.unflushed_since.is_some() {
            self.commit(Vec::new());
        }
        self.take_database();
    }

    /// Commits a batch; an empty one only syncs.
    fn commit(&mut self, batch: Vec<Job>) {
        let overdue = self.unflushed_since.is_some_and(|since| since.elapsed() >= FLUSH_AFTER);
        let durable = batch.is_empty() || overdue || batch.iter().any(|job| job.durable);
        let mut tell = Vec::with_capacity(batch.len());
        let outcome = self.apply(batch, durable, &mut tell);
        if let Err(fault) = &outcome {
            tracing::error!(reason = describe(fault), "the store can't write");
        }
        for tell in tell {
            tell(outcome.as_ref().copied().map_err(unavailable));
        }
        match outcome {
            Ok(()) if durable => self.unflushed_since = None,
            Ok(()) => {
                self.unflushed_since.get_or_insert_with(Instant::now);
            }
            Err(_) => {
                // What was in memory only is lost with the old database: sessions, presence, attempts.
                self.unflushed_since = None;
                self.take_database();
                self.closed_since.get_or_insert_with(Instant::now);
            }
        }
    }

    fn apply(&self, batch: Vec<Job>, durable: bool, tell: &mut Vec<Tell>) -> Result<(), Fault> {
        let database = self
            .shared
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
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
                *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(database));
                self.closed_since = None;
                tracing::warn!("the store was opened again after an error");
            }
            Err(fault) => {
                self.closed_since = Some(Instant::now());
                tracing::error!(reason = describe(&fault), "the store can't be opened again");
            }
        }
    }

    /// Closes the database when its last reader is done, which is soon.
    fn take_database(&self) {
        let taken = self
            .shared
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut database) = taken else { return };
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
