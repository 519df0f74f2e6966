//! Which room was first entered under a name: genesis hash and admin key, by place and Room ID.
//!
//! Room names rest in the vault only, as one JSON object.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use snug_crypto::AdminPublicKey;
use snug_crypto::ids::GenesisHash;
use snug_crypto::names::RoomId;
use snug_crypto::rest::RestBytes;

use super::ProfileError;
use super::folder::Folder;

/// Where a folder of format 1 had them.
pub(super) const FILE: &str = "rooms";
/// Some 20,000 rooms.
const MAX_BYTES: u64 = 8 << 20;

/// Where a Room ID means something: at a rendezvous (its base URL). The same id at another place is another room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(String);

impl Place {
    /// The rendezvous with this base URL.
    pub fn server(url: &crate::rendezvous::ServerUrl) -> Self {
        Self(url.as_str().to_owned())
    }

    /// No rendezvous: the room lives among its members only.
    pub fn serverless() -> Self {
        Self(String::new())
    }
}

/// What is known of a room from the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The genesis hash.
    pub genesis: GenesisHash,
    /// The admin key: a deletion of this room is signed by it.
    pub admin: AdminPublicKey,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Pins(BTreeMap<(Place, String), Pinned>);

impl Pins {
    pub fn get(&self, place: &Place, room: &RoomId) -> Option<Pinned> {
        self.0.get(&(place.clone(), room.as_str().to_owned())).copied()
    }

    pub fn insert(&mut self, place: &Place, room: &RoomId, pinned: Pinned) {
        self.0.insert((place.clone(), room.as_str().to_owned()), pinned);
    }

    /// True if there was one.
    pub fn remove(&mut self, place: &Place, room: &RoomId) -> bool {
        self.0.remove(&(place.clone(), room.as_str().to_owned())).is_some()
    }

    pub fn load(folder: &Folder) -> Result<Self, ProfileError> {
        let Some(bytes) = folder.read(FILE, MAX_BYTES)? else {
            return Ok(Self::default());
        };
        let damaged = || ProfileError::Damaged {
            path: folder.file(FILE),
            what: "it is no list of rooms",
        };
        Self::decode(&bytes).ok_or_else(damaged)
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let lines: Vec<AtRest> = serde_json::from_slice(bytes).ok()?;
        let pins: Option<_> = lines.into_iter().map(AtRest::into_entry).collect();
        pins.map(Self)
    }

    pub fn encode(&self) -> RestBytes {
        let lines: Vec<AtRest> = self.0.iter().map(|(key, pinned)| AtRest::new(key, pinned)).collect();
        // Strings alone: there is nothing in them that JSON can't say.
        RestBytes::new(serde_json::to_vec(&lines).unwrap_or_default())
    }
}

/// One pin as it rests on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AtRest {
    server: Place,
    room: String,
    genesis: String,
    admin: String,
}

impl AtRest {
    fn new((place, room): &(Place, String), pinned: &Pinned) -> Self {
        Self {
            server: place.clone(),
            room: room.clone(),
            genesis: HEXLOWER.encode(pinned.genesis.as_bytes()),
            admin: HEXLOWER.encode(pinned.admin.as_bytes()),
        }
    }

    fn into_entry(self) -> Option<((Place, String), Pinned)> {
        let hex32 = |text: &str| -> Option<[u8; 32]> { HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok() };
        let pinned = Pinned {
            genesis: GenesisHash::from_bytes(hex32(&self.genesis)?),
            admin: AdminPublicKey::from_bytes(hex32(&self.admin)?),
        };
        Some(((self.server, self.room), pinned))
    }
}
