//! The host's own commands: rooms, backup, restore. They reach a server that runs over its control socket, and its store
//! directly if none runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng;
use snug_crypto::credential::server::ServerKey;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

pub use crate::backup::ReadError;
use crate::backup::{self, Entry};
use crate::clock::Clock;
use crate::config::{Config, StoreSpec};
pub use crate::control::Room;
use crate::control::{Answer, Request, Status, on_store};
use crate::error::StartError;
use crate::key_file;
use crate::keys::ServerKeys;
use crate::random::rng;
use crate::server::make_data_dir;
use crate::store::{self, OpenError, Piece, Store};

/// Pieces on their way from a store.
const PIECES: usize = 64;

/// Why a command of the host's fails. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Neither a server nor its store.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is nothing that could be opened.
    #[error("there is no store {}, and no server runs with the data folder {}; name them as for `serve`", store, data_dir.display())]
    NoStore {
        /// The store.
        store: String,
        /// The folder.
        data_dir: PathBuf,
    },
    /// The server that runs broke off.
    #[error("the server that runs does not answer: {0}")]
    NoAnswer(io::Error),
    /// It refuses, or its store does.
    #[error("{0}")]
    Refused(String),
    /// No such room.
    #[error(
        "there is no such room: give what `room list` shows, or the handle that its members know (64 hexadecimal digits)"
    )]
    NoSuchRoom,
    /// Something is there already.
    #[error("{} exists already, and nothing is overwritten: move it away first", _0.display())]
    Exists(PathBuf),
    /// A file can't be written.
    #[error("can't write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The file is no backup.
    #[error("can't use the backup {}: {reason}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: ReadError,
    },
    /// The backup is without a key, and there is none.
    #[error("the backup holds no server key, and {} is missing: put the key file there first (mode 0600)", _0.display())]
    NoKey(PathBuf),
    /// For MongoDB there are better tools.
    #[error(
        "rooms in MongoDB are backed up with `mongodump` and restored with `mongorestore`; copy the server key file, too"
    )]
    Mongo,
}

impl From<OpenError> for HostError {
    fn from(error: OpenError) -> Self {
        Self::Start(error.into())
    }
}

/// A way to the rooms.
pub struct Host(Way);

enum Way {
    Running(PathBuf),
    Offline {
        store: Box<dyn Store>,
        keys: Box<ServerKeys>,
    },
}

impl Host {
    /// Reaches the server that runs on this data folder, or opens its store.
    ///
    /// # Errors
    /// [`HostError`]
    pub async fn reach(config: &Config) -> Result<Self, HostError> {
        let socket = config.control_socket();
        if running(config).await.map_err(HostError::NoAnswer)?.is_some() {
            return Ok(Self(Way::Running(socket)));
        }
        let spec = config.store_spec();
        let no_store = || HostError::NoStore {
            store: spec.redacted(),
            data_dir: config.data_dir.clone(),
        };
        if matches!(&spec, StoreSpec::Redb(path) if !path.exists()) || !config.key_file().exists() {
            return Err(no_store());
        }
        let keys = ServerKeys::new(key_file::load_or_create(&config.key_file(), false)?)?;
        let store = store::visit(&spec, &keys.checks()).await?.ok_or_else(no_store)?;
        Ok(Self(Way::Offline {
            store,
            keys: Box::new(keys),
        }))
    }

    /// Whether a server runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.0, Way::Running(_))
    }

    /// A page of rooms after the one named, in the order of what the store calls them; an empty one is the end.
    ///
    /// # Errors
    /// [`HostError`]
    pub async fn list(&self, after: Option<String>) -> Result<Vec<Room>, HostError> {
        match self.ask(Request::List { after }).await? {
            Answer::Rooms(rooms) => Ok(rooms),
            _ => Err(odd()),
        }
    }

    /// One room, by what the store calls it or by the handle that its members know.
    ///
    /// # Errors
    /// [`HostError`]
    pub async fn show(&self, room: &str) -> Result<Room, HostError> {
        match self.ask(Request::Show { room: room.to_owned() }).await? {
            Answer::Room(room) => Ok(*room),
            Answer::NoSuchRoom => Err(HostError::NoSuchRoom),
            _ => Err(odd()),
        }
    }

    /// Removes a room, durably. Its members are told that the host did it.
    ///
    /// # Errors
    /// [`HostError`]
    pub async fn delete(&self, room: &str) -> Result<(), HostError> {
        match self.ask(Request::Delete { room: room.to_owned() }).await? {
            Answer::Done => Ok(()),
            Answer::NoSuchRoom => Err(HostError::NoSuchRoom),
            _ => Err(odd()),
        }
    }

    /// Writes down what is left and lets go of the store.
    ///
    /// # Errors
    /// [`HostError`]
    pub async fn close(self) -> Result<(), HostError> {
        match self.0 {
            Way::Running(_) => Ok(()),
            Way::Offline { store, .. } => store
                .close()
                .await
                .map_err(|error| HostError::Refused(error.to_string())),
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer, HostError> {
        let answer = match &self.0 {
            Way::Running(socket) => {
                let stream = ask(socket, &request).await.map_err(HostError::NoAnswer)?;
                answer(&mut tokio::io::BufReader::new(stream))
                    .await
                    .map_err(HostError::NoAnswer)?
            }
            Way::Offline { store, keys } => {
                let now_ms = Clock::system().now_ms();
                on_store(store.as_ref(), &|handle| keys.handles(handle), now_ms, request).await
            }
        };
        match answer {
            Answer::Error(reason) => Err(HostError::Refused(reason)),
            answer => Ok(answer),
        }
    }

    /// Sends the pieces of a snapshot.
    async fn snapshot(&self, pieces: mpsc::Sender<Piece>) -> Result<(), HostError> {
        let socket = match &self.0 {
            Way::Offline { store, .. } => {
                let sent = store.snapshot(pieces).await;
                return sent.map_err(|error| HostError::Refused(error.to_string()));
            }
            Way::Running(socket) => socket,
        };
        let stream = ask(socket, &Request::Snapshot).await.map_err(HostError::NoAnswer)?;
        let mut stream = tokio::io::BufReader::new(stream);
        match answer(&mut stream).await.map_err(HostError::NoAnswer)? {
            Answer::Done => {}
            Answer::Error(reason) => return Err(HostError::Refused(reason)),
            _ => return Err(odd()),
        }
        while let Some(piece) = read_piece(&mut stream).await.map_err(HostError::NoAnswer)? {
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn odd() -> HostError {
    HostError::Refused("the server that runs is of another version: use its own snug-rendezvous".to_owned())
}

/// What a server that runs on this data folder says of itself; `None` if none does.
///
/// # Errors
/// One hangs, or this account may not reach it.
pub(crate) async fn running(config: &Config) -> io::Result<Option<Status>> {
    let asked = async {
        let stream = ask(&config.control_socket(), &Request::Status).await?;
        answer(&mut tokio::io::BufReader::new(stream)).await
    };
    match asked.await {
        Ok(Answer::Status(status)) => Ok(Some(status)),
        Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::PermissionDenied) => Err(error),
        _ => Ok(None),
    }
}

/// How long a server that runs may take for the next thing it says.
const PATIENCE: Duration = Duration::from_secs(15);

/// A server that hangs must not make hang who asks what is wrong with it.
async fn patiently<T>(waiting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let hangs = |_| io::Error::new(io::ErrorKind::TimedOut, "the server that runs does not answer");
    tokio::time::timeout(PATIENCE, waiting).await.map_err(hangs)?
}

async fn ask(socket: &Path, request: &Request) -> io::Result<UnixStream> {
    let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
    line.push(b'\n');
    patiently(async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&line).await?;
        Ok(stream)
    })
    .await
}

async fn answer(stream: &mut tokio::io::BufReader<UnixStream>) -> io::Result<Answer> {
    let mut line = String::new();
    patiently(stream.take(crate::control::MAX_LINE).read_line(&mut line)).await?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

async fn read_piece(stream: &mut tokio::io::BufReader<UnixStream>) -> io::Result<Option<Piece>> {
    patiently(read_next(stream)).await
}

async fn read_next(stream: &mut tokio::io::BufReader<UnixStream>) -> io::Result<Option<Piece>> {
    async fn field(stream: &mut tokio::io::BufReader<UnixStream>) -> io::Result<Vec<u8>> {
        let length = stream.read_u32().await?;
        let mut bytes = Vec::new();
        let read = stream.take(length.into()).read_to_end(&mut bytes).await?;
        if read == length as usize {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    Ok(match stream.read_u8().await? {
        0 => None,
        1 => {
            let name = String::from_utf8(field(stream).await?).map_err(io::Error::other)?;
            Some(Piece::Table(name))
        }
        2 => Some(Piece::Row(field(stream).await?, field(stream).await?)),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}

/// Puts a new server key into force, from the server's next start on; those that were stay, for the rooms made under them. Says how
/// many those are.
///
/// # Errors
/// [`HostError`]; then nothing changed.
pub fn rotate_key(config: &Config) -> Result<usize, HostError> {
    Ok(key_file::rotate(&config.key_file())?)
}

/// What a backup or a restore did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Rooms, with those that are no more and not yet forgotten.
    pub rooms: u64,
    /// Whether the server key is part of it.
    pub with_key: bool,
    /// When the backup was made, milliseconds since 1970.
    pub at_ms: u64,
}

/// Backs the store up into a new file (0600), whether the server runs or not.
///
/// # Errors
/// [`HostError`]; then there is no such file.
pub async fn backup(config: &Config, file: &Path, with_key: bool) -> Result<Done, HostError> {
    if let StoreSpec::Mongo(_) = config.store_spec() {
        return Err(HostError::Mongo);
    }
    if file.exists() {
        return Err(HostError::Exists(file.to_owned()));
    }
    let host = Host::reach(config).await?;
    // The server's own keys, and no others: they are what the store was made with.
    let keys = key_file::load_or_create(&config.key_file(), false)?;
    let failed = |reason| HostError::Write {
        path: file.to_owned(),
        reason,
    };
    let aside = beside(file);
    let out = create_private(&aside).map_err(failed)?;
    let at_ms = Clock::system().now_ms();
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let writing = async {
        let mut writer = backup::Writer::begin(BufWriter::new(out), at_ms)?;
        let (mut rooms, mut in_rooms) = (0, false);
        while let Some(piece) = pieces.recv().await {
            match &piece {
                Piece::Table(name) => in_rooms = name == "rooms",
                Piece::Row(..) => rooms += u64::from(in_rooms),
            }
            writer.piece(&piece)?;
        }
        // Nobody reads the end of a snapshot that broke off.
        pieces.close();
        if with_key {
            for key in &keys {
                writer.key(key.expose())?;
            }
        }
        let out = writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        out.sync_all()?;
        Ok::<_, io::Error>(rooms)
    };
    let (sent, written) = tokio::join!(host.snapshot(sender), writing);
    let published = match (sent, written) {
        (_, Err(reason)) => Err(failed(reason)),
        (Err(error), Ok(_)) => Err(error),
        (Ok(()), Ok(rooms)) => publish(&aside, file).map(|()| rooms),
    };
    // Under its own name by now, or of no use.
    let _ = fs::remove_file(&aside);
    let rooms = published?;
    host.close().await?;
    Ok(Done { rooms, with_key, at_ms })
}

/// Restores a backup into a store and a server key file that must not exist (the key file may, if it is the same key). Sessions
/// and presence are not in a backup: everybody logs in again.
///
/// # Errors
/// [`HostError`]; then nothing was made.
pub async fn restore(config: &Config, file: &Path) -> Result<Done, HostError> {
    let StoreSpec::Redb(store) = config.store_spec() else {
        return Err(HostError::Mongo);
    };
    if fs::metadata(&store).is_ok() {
        return Err(HostError::Exists(store));
    }
    make_data_dir(&config.data_dir)?;
    let aside = beside(&store);
    let restored = into(config, file, &store, &aside);
    let _ = fs::remove_file(&aside);
    restored
}

fn into(config: &Config, file: &Path, store: &Path, aside: &Path) -> Result<Done, HostError> {
    let unusable = |reason| HostError::Backup {
        path: file.to_owned(),
        reason,
    };
    let open = || {
        File::open(file)
            .map_err(|error| unusable(error.into()))
            .map(BufReader::new)
    };
    // Once to its checksum before anything is made of it, and for the key.
    let (mut done, mut keys, mut in_rooms) = (
        Done {
            rooms: 0,
            with_key: false,
            at_ms: 0,
        },
        Vec::new(),
        false,
    );
    backup::read::<ReadError>(open()?, |entry| {
        match entry {
            Entry::Piece(Piece::Table(name)) => in_rooms = name == "rooms",
            Entry::Piece(Piece::Row(..)) => done.rooms += u64::from(in_rooms),
            Entry::Key(found) => keys.push(ServerKey::from_bytes(*found)),
            Entry::Time(found) => done.at_ms = found,
        }
        Ok(())
    })
    .map_err(unusable)?;
    done.with_key = !keys.is_empty();
    let key_file = config.key_file();
    let present = match key_file.exists() {
        true => Some(key_file::load_or_create(&key_file, false)?),
        false => None,
    };
    let same = |one: &[ServerKey], other: &[ServerKey]| {
        one.iter()
            .map(ServerKey::expose)
            .eq(other.iter().map(ServerKey::expose))
    };
    let (keys, must_write) = match present {
        Some(present) if done.with_key && !same(&present, &keys) => return Err(HostError::Exists(key_file)),
        Some(present) => (present, false),
        None if done.with_key => (keys, true),
        None => return Err(HostError::NoKey(key_file)),
    };
    let bytes = key_file::to_bytes(&keys);
    let keys = ServerKeys::new(keys)?;
    let mut restorer = store::restorer(aside)?;
    backup::read::<HostError>(open()?, |entry| match entry {
        Entry::Piece(piece) => Ok(restorer.take(piece)?),
        _ => Ok(()),
    })?;
    restorer.finish(&keys.checks())?;
    if must_write {
        let failed = |reason| HostError::Write {
            path: key_file.clone(),
            reason,
        };
        key_file::write_new(&key_file, &bytes).map_err(failed)?;
    }
    if let Err(error) = publish(aside, store) {
        if must_write {
            // What was made goes again, as nothing was restored.
            let _ = fs::remove_file(&key_file);
        }
        return Err(error);
    }
    for made in std::iter::once(store).chain(must_write.then_some(key_file.as_path())) {
        give_to_owner_of(&config.data_dir, made).map_err(|reason| HostError::Write {
            path: made.to_owned(),
            reason,
        })?;
    }
    Ok(done)
}

/// What root restores into the data folder of the server's account has to be that account's.
fn give_to_owner_of(folder: &Path, made: &Path) -> io::Result<()> {
    let (theirs, ours) = (fs::metadata(folder)?, fs::metadata(made)?);
    if rustix::process::geteuid().is_root() && theirs.uid() != ours.uid() {
        std::os::unix::fs::chown(made, Some(theirs.uid()), Some(theirs.gid()))?;
    }
    Ok(())
}

impl From<ReadError> for HostError {
    fn from(reason: ReadError) -> Self {
        Self::Backup {
            path: PathBuf::new(),
            reason,
        }
    }
}

/// A name next to a file's, for what is not yet whole.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:08x}.new", rng().next_u32()));
    file.with_file_name(name)
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Gives what is whole its name, unless somebody else has it by now.
fn publish(aside: &Path, file: &Path) -> Result<(), HostError> {
    let failed = |reason: io::Error| match reason.kind() {
        io::ErrorKind::AlreadyExists => HostError::Exists(file.to_owned()),
        _ => HostError::Write {
            path: file.to_owned(),
            reason,
        },
    };
    match fs::hard_link(aside, file) {
        // A file system without links, such as a memory stick's.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
            ) =>
        {
            if file.exists() {
                return Err(HostError::Exists(file.to_owned()));
            }
            fs::rename(aside, file)
        }
        linked => linked,
    }
    .map_err(failed)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}
