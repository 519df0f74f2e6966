//! What a rendezvous keeps, behind one trait that both stores implement and one story test that both pass.
//!
//! Nothing here names a room, a member or an address in the clear: rooms go by their keyed handle, tokens by their hash,
//! and everything else is OPAQUE records, sealed bytes, numbers and times. Times are milliseconds since 1970 and come from
//! the caller.

mod change;
mod host;
mod mongo;
mod redb;
mod starts;
mod timed;

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use snug_crypto::credential::Kind;
use snug_crypto::credential::STORED_TOMBSTONE_LEN;
use snug_crypto::credential::server::{KeyedHandle, Record, RecordId, TokenHash};
use snug_rendezvous_api::{Generation, Policy};

pub use self::change::{Change, Changed, FIRST_GENERATION, Former, PasswordChange, RoomKeyChange};
pub(crate) use self::starts::STARTS_TTL_MS;
pub use self::starts::{Portion, PortionId, Settlement};
pub(crate) use self::timed::{Observer, Timed};

pub use self::host::{HostStore, Piece, RoomDetails, RoomSummary, check_redb, restorer};
use crate::config::StoreSpec;

/// The version of what is stored. A newer one is refused untouched.
pub const STORE_VERSION: u32 = 2;
/// A deleted room keeps its id, its records and its tombstone this long.
pub(crate) const TOMBSTONE_TTL_MS: u64 = snug_rendezvous_api::TOMBSTONE_DAYS as u64 * 24 * 3600 * 1000;

/// A room as registered.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// OPAQUE record of the Room Key.
    pub room_record: Record,
    /// OPAQUE record of the Password.
    pub admin_record: Record,
    /// What a tombstone must verify under.
    pub admin_key: [u8; 32],
    /// Sealed capsule of each credential.
    pub capsule: Capsule,
    /// Policy numbers.
    pub policy: Policy,
    /// Its entry in the public directory, if it wants to be found.
    pub listing: Option<Entry>,
}

/// A room's entry in the public directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The Room ID: rooms are listed in the order of its bytes.
    pub room_id: String,
    /// What a search looks through, in lower case.
    pub text: String,
    /// The listing as signed.
    pub listing: Vec<u8>,
}

/// A page of the public directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Signed listings.
    pub listings: Vec<Vec<u8>>,
    /// The Room ID that the next page goes on after, if there may be one.
    pub next: Option<String>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rooms, deleted ones too as long as they are remembered.
    pub rooms: u64,
    /// Tokens that have not expired, or not been swept yet.
    pub sessions: u64,
    /// The same for presence records.
    pub presence: u64,
}

/// A room's two sealed capsules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capsule {
    /// For holders of the Room Key.
    pub room: Vec<u8>,
    /// For holders of the Password.
    pub admin: Vec<u8>,
}

/// A room as it stands, without its capsules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// OPAQUE record of the Room Key.
    pub room_record: Record,
    /// OPAQUE record of the Password.
    pub admin_record: Record,
    /// What a tombstone must verify under.
    pub admin_key: [u8; 32],
    /// When it was registered.
    pub created_at_ms: u64,
    /// The generation of the Room Key that is registered.
    pub generation: Generation,
    /// Certificates with a lower serial are void.
    pub least_serial: u32,
    /// Policy numbers.
    pub policy: Policy,
    /// Set once the room is deleted.
    pub tombstone: Option<Tombstone>,
}

impl Room {
    /// The record of one credential.
    #[must_use]
    pub fn record(&self, kind: Kind) -> &Record {
        match kind {
            Kind::Room => &self.room_record,
            Kind::Admin => &self.admin_record,
        }
    }
}

/// That a room is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// On whose word.
    pub word: Word,
    /// When.
    pub at_ms: u64,
}

/// On whose word a room is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// What its admin signed, without the handle: that is put back for whoever names it.
    Admin([u8; STORED_TOMBSTONE_LEN]),
    /// The host's, who signs nothing: members are told that it was removed here, not that it is deleted.
    Host,
}

impl Tombstone {
    /// Whether the id is free again.
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) >= TOMBSTONE_TTL_MS
    }
}

/// A live token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The room it is good for.
    pub room: KeyedHandle,
    /// The credential that was proven for it.
    pub kind: Kind,
    /// The record that was proven: with another one in its place the token is void.
    pub record: RecordId,
    /// When it expires unless renewed.
    pub expires_at_ms: u64,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It is stored, durably.
    Created,
    /// The id is taken, or was deleted less than 30 days ago.
    Taken,
}

/// A login that has proven its secret and now wants its token.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The room.
    pub room: KeyedHandle,
    /// The credential.
    pub kind: Kind,
    /// The record that was proven: it must still be the room's.
    pub record: RecordId,
    /// The token to be. Each attempt has one, so that a login finishes once.
    pub token: TokenHash,
    /// When the token expires unless renewed.
    pub expires_at_ms: u64,
}

/// What became of a finished login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The token is good.
    Session {
        /// The capsule of the credential.
        capsule: Vec<u8>,
        /// Policy numbers.
        policy: Policy,
    },
    /// The Room Key was another one's predecessor; no token.
    Superseded {
        /// The generation that was registered in its place.
        generation: Generation,
        /// What there is for its holders.
        key_gen: Option<Vec<u8>>,
    },
    /// The room is deleted; no token.
    Gone(Tombstone),
    /// The attempt was finished before, or the record is none of the room's.
    Refused,
}

/// Why the store could not do it. Never quotes what is stored, nor where.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Can't be reached, is full, or takes too long. Trying again later may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is stored can't be read back.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
}

/// What every store does for requests. Each operation is atomic on its own, and durable where it says so.
pub trait Store: HostStore + Send + Sync + 'static {
    /// Stores a new room, durably, unless the id is taken.
    fn create_room(
        &self,
        room: KeyedHandle,
        new: NewRoom,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Registered, StoreError>>;

    /// A room, unless it is unknown or its tombstone is over.
    fn room(&self, room: KeyedHandle, now_ms: u64) -> BoxFuture<'_, Result<Option<Room>, StoreError>>;

    /// Takes up to `portion.count` of the starts that a room has left, of `limit` in 24 hours; how many were taken. It is the
    /// same for rooms that don't exist.
    fn take_starts(&self, room: KeyedHandle, portion: Portion, limit: u32) -> BoxFuture<'_, Result<u32, StoreError>>;

    /// Puts what is left of portions in their place.
    fn settle_starts(&self, settlement: Settlement, now_ms: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The former Room Key of a generation, or the last one there was.
    fn former(
        &self,
        room: KeyedHandle,
        generation: Option<Generation>,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Option<Record>, StoreError>>;

    /// Opens a session, unless its token is known already.
    fn open_session(&self, finish: Finish, now_ms: u64) -> BoxFuture<'_, Result<Opened, StoreError>>;

    /// Changes a room, durably. With a new Room Key its presence goes.
    fn change_room(&self, room: KeyedHandle, change: Change, now_ms: u64)
    -> BoxFuture<'_, Result<Changed, StoreError>>;

    /// Replaces the capsule of the Room Key, durably, and raises the least serial.
    fn put_capsule(
        &self,
        room: KeyedHandle,
        record: RecordId,
        capsule: Vec<u8>,
        least_serial: Option<u32>,
    ) -> BoxFuture<'_, Result<Changed, StoreError>>;

    /// Which of the tokens have sessions, expired or not.
    fn known_sessions(&self, tokens: Vec<TokenHash>) -> BoxFuture<'_, Result<Vec<TokenHash>, StoreError>>;

    /// A session that has not expired.
    fn session(&self, token: TokenHash, now_ms: u64) -> BoxFuture<'_, Result<Option<Session>, StoreError>>;

    /// Lets a session live longer. One that is gone stays gone.
    fn renew_session(&self, token: TokenHash, expires_at_ms: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Stores the token's one presence record in place of its former one.
    fn put_presence(
        &self,
        room: KeyedHandle,
        token: TokenHash,
        record: Vec<u8>,
        expires_at_ms: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Withdraws the token's presence record.
    fn remove_presence(&self, room: KeyedHandle, token: TokenHash) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Up to `limit` live presence records of the room, not the token's own, from a place that `start` picks.
    fn introductions(
        &self,
        room: KeyedHandle,
        except: TokenHash,
        start: [u8; 32],
        limit: usize,
        now_ms: u64,
    ) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>>;

    /// Deletes a room, durably: capsules and presence go, tombstone and records stay 30 days, so that a login can be told.
    /// `None` if there is no such room; else its tombstone, which is the first one that came.
    fn delete_room(
        &self,
        room: KeyedHandle,
        tombstone: Tombstone,
    ) -> BoxFuture<'_, Result<Option<Tombstone>, StoreError>>;

    /// The public directory after a Room ID: up to `limit` rooms whose text holds `search`.
    fn listed(
        &self,
        search: Option<String>,
        after: Option<String>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Listed, StoreError>>;

    /// How much there is, about.
    fn counts(&self) -> BoxFuture<'_, Result<Counts, StoreError>>;

    /// Removes what has expired. MongoDB does that itself.
    fn sweep(&self, now_ms: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether the store answers.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Writes everything down and lets go.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store {} is in use by another process", path.display())]
    InUse {
        /// The redb file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error(
        "the store has version {found}, this program knows {STORE_VERSION}: use a newer snug-rendezvous; nothing was changed"
    )]
    Newer {
        /// The version found.
        found: u32,
    },
    /// It was written by an older version, and only a server that starts makes it this version's.
    #[error(
        "the store has version {found}, and this program's is {STORE_VERSION}: the server brings it there when it starts, and there is no \
         way back; back it up with the snug-rendezvous that wrote it first. Nothing was changed"
    )]
    Older {
        /// The version found.
        found: u32,
    },
    /// Its file has lost its contents.
    #[error(
        "the store {} is empty, which no store is: `restore` a backup; or remove the file, and a new store is made without any rooms",
        path.display()
    )]
    Empty {
        /// The redb file.
        path: PathBuf,
    },
    /// It was made with another server key.
    #[error(
        "the store was made with another server key: without the right key file its rooms can't be reached; \
         restore the key file, or name another store"
    )]
    OtherKey,
    /// The redb file can't be opened or created.
    #[error("can't open the store {}: {reason}", path.display())]
    File {
        /// The redb file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// MongoDB can't be reached or refuses.
    #[error("can't use MongoDB: {reason}; check that it runs and that the address and credentials are right")]
    Mongo {
        /// What the driver says, without the connection string.
        reason: String,
    },
}

/// Opens a store to look at it, or to do a thing or two in it: as [`open`], but it is neither made nor upgraded nor brought under another
/// key: that is for a server to do. `None` if there is none.
///
/// # Errors
/// [`OpenError`].
pub async fn visit(spec: &StoreSpec, key_checks: &[[u8; 32]]) -> Result<Option<Box<dyn Store>>, OpenError> {
    Ok(match spec {
        StoreSpec::Redb(path) if !path.exists() => None,
        StoreSpec::Redb(path) => Some(open_redb(path, key_checks, Purpose::Look).await?),
        StoreSpec::Mongo(uri) => match mongo::MongoStore::visit(uri, key_checks).await? {
            Some(store) => Some(Box::new(store)),
            None => None,
        },
    })
}

/// Opens the store. `key_checks` tie it to a server key: 32 bytes that say nothing about the key, for the one in force and for those
/// before it. A store of one of those is of the one in force from now on.
///
/// # Errors
/// [`OpenError`].
pub async fn open(spec: &StoreSpec, key_checks: &[[u8; 32]]) -> Result<Box<dyn Store>, OpenError> {
    match spec {
        StoreSpec::Redb(path) => open_redb(path, key_checks, Purpose::Serve).await,
        StoreSpec::Mongo(uri) => Ok(Box::new(mongo::MongoStore::open(uri, key_checks).await?)),
    }
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It is made, upgraded, and brought under the key in force.
    Serve,
    /// Only what is asked for changes.
    Look,
}

async fn open_redb(path: &Path, key_checks: &[[u8; 32]], purpose: Purpose) -> Result<Box<dyn Store>, OpenError> {
    let (file, key_checks) = (path.to_owned(), key_checks.to_vec());
    let opened = tokio::task::spawn_blocking(move || redb::RedbStore::open(&file, &key_checks, purpose)).await;
    match opened {
        Ok(store) => Ok(Box::new(store?)),
        Err(_) => Err(OpenError::File {
            path: path.to_owned(),
            reason: "opening it failed inside".to_owned(),
        }),
    }
}
