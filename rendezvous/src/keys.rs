//! The server key in force, and those before it.
//!
//! A room stays under the key that it was made with: the store knows it by a name that takes that key to compute. Each registration
//! shows which key it was made with, so what is registered anew, a room's new Room Key or Password, is under the key in force.
//! Sessions belong to the key in force alone: after a change of key everybody logs in again.

use snug_crypto::RoomHandle;
use snug_crypto::credential::server::{KeyedHandle, Record, ServerKey, ServerSetup};

use crate::error::StartError;
use crate::store::{Room, Store, StoreError};

/// The keys of a server, the newest first; never none.
pub(crate) struct ServerKeys {
    current: ServerSetup,
    former: Vec<ServerSetup>,
}

/// A room and where it is.
pub(crate) struct Found<'a> {
    /// What the store calls it, or would.
    pub keyed: KeyedHandle,
    pub room: Option<Room>,
    /// The key it was made with; if it isn't there, the one in force.
    key: &'a ServerSetup,
}

impl ServerKeys {
    /// Derives what the keys are good for. There must be one at least.
    pub fn new(keys: Vec<ServerKey>) -> Result<Self, StartError> {
        let unusable = || StartError::Internal("the server key is unusable");
        let mut setups = Vec::with_capacity(keys.len());
        for key in keys {
            setups.push(ServerSetup::new(key).map_err(|_| unusable())?);
        }
        let mut setups = setups.into_iter();
        Ok(Self {
            current: setups.next().ok_or_else(unusable)?,
            former: setups.collect(),
        })
    }

    /// The key in force.
    pub fn current(&self) -> &ServerSetup {
        &self.current
    }

    /// All of them, the one in force first.
    pub fn all(&self) -> impl Iterator<Item = &ServerSetup> {
        std::iter::once(&self.current).chain(&self.former)
    }

    /// What ties a store to its key, for each of them, the one in force first.
    pub fn checks(&self) -> Vec<[u8; 32]> {
        self.all().map(ServerSetup::key_check).collect()
    }

    /// What the store may call the room.
    pub fn handles(&self, handle: &RoomHandle) -> Vec<KeyedHandle> {
        self.all().map(|key| key.keyed_handle(handle)).collect()
    }

    /// Looks for the room under every key: for a room that isn't there as long as for one that is.
    pub async fn find(&self, store: &dyn Store, handle: &RoomHandle, now_ms: u64) -> Result<Found<'_>, StoreError> {
        let reads = self.all().map(|key| async move {
            let keyed = key.keyed_handle(handle);
            let room = store.room(keyed, now_ms).await?;
            Ok(Found { keyed, room, key })
        });
        let mut found = futures::future::try_join_all(reads).await?;
        let at = found.iter().position(|found| found.room.is_some()).unwrap_or(0);
        Ok(found.swap_remove(at))
    }

    /// What the store calls the room, where that can be said without its help; else as [`Self::find`].
    pub async fn keyed(&self, store: &dyn Store, handle: &RoomHandle, now_ms: u64) -> Result<KeyedHandle, StoreError> {
        if self.former.is_empty() {
            return Ok(self.current.keyed_handle(handle));
        }
        Ok(self.find(store, handle, now_ms).await?.keyed)
    }

    /// The key that a login with this record of the room goes by, or one that there is no record for.
    pub fn of<'a>(&'a self, found: &Found<'a>, record: Option<&Record>) -> &'a ServerSetup {
        let Some(record) = record else { return &self.current };
        let mut keys = self.all();
        // Registrations of earlier versions don't show their key; then it is the room's.
        keys.find(|key| key.made(record.registration())).unwrap_or(found.key)
    }
}
