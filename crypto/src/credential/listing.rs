//! A room's entry in the public directory: docs/PROTOCOL.md, "Listings".
//!
//! ```text
//! body    = 01 ‖ genesis_hash(32) ‖ admin_vk(32) ‖ lp(room_id) ‖ lp(description)
//! listing = body ‖ S(admin, "sign listing", genesis_hash, H("listing", body)), at most 937 bytes
//! ```
//!
//! The rendezvous checks it under the admin key that was registered, and that the Room ID gives the handle. Who reads it in
//! a directory checks that it is whole; that it is the room's own shows at the login, whose capsule must hold the genesis
//! that the listing names. Until then a rendezvous may have made the room up, as it may any.

use crate::sign::Signature;
use crate::wire::{Reader, Writer};
use crate::{AdminKey, AdminPublicKey, GenesisHash, RoomHandle, bounds, kdf, label};

/// The longest listing: a Room ID of 64 characters with four bytes each, and a full description.
pub const MAX_LISTING_LEN: usize = 1 + 32 + 32 + 4 + MAX_ROOM_ID_BYTES + 4 + bounds::MAX_DESCRIPTION_BYTES + 64;

const VERSION: u8 = 1;
const MAX_ROOM_ID_BYTES: usize = 4 * bounds::MAX_ROOM_ID_CHARS;

/// What a room publishes of itself. The texts are as they came: not in normal form, not safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The room.
    pub genesis_hash: GenesisHash,
    /// Its admin's key.
    pub admin: AdminPublicKey,
    /// What it goes by.
    pub room_id: String,
    /// What it is for.
    pub description: String,
}

/// The bytes are no listing, or not signed by the key that they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the listing is not signed by its room's admin key")]
pub struct ListingError;

impl Listing {
    /// Signs it; `admin` is the key whose public half it names.
    #[must_use]
    pub fn sign(&self, admin: &AdminKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(MAX_LISTING_LEN);
        writer
            .u8(VERSION)
            .raw(self.genesis_hash.as_bytes())
            .raw(self.admin.as_bytes())
            .lp(self.room_id.as_bytes())
            .lp(self.description.as_bytes());
        let digest = kdf::hash(label::LISTING, &[writer.as_slice()]);
        let signature = admin.sign(label::SIGN_LISTING, &self.genesis_hash, &digest);
        writer.raw(&signature);
        writer.finish()
    }

    /// Reads one and verifies it under the key that it names.
    ///
    /// # Errors
    /// [`ListingError`].
    pub fn open(bytes: &[u8]) -> Result<Self, ListingError> {
        let body_len = bytes.len().checked_sub(64).ok_or(ListingError)?;
        let (body, signature) = bytes.split_at(body_len);
        let signature: &Signature = signature.try_into().map_err(|_| ListingError)?;
        let listing = Self::read(body).ok_or(ListingError)?;
        let digest = kdf::hash(label::LISTING, &[body]);
        listing
            .admin
            .verify(label::SIGN_LISTING, &listing.genesis_hash, &digest, signature)
            .map_err(|_| ListingError)?;
        Ok(listing)
    }

    /// The handle of the room that it names.
    #[must_use]
    pub fn handle(&self) -> RoomHandle {
        RoomHandle::from_bytes(kdf::hash(label::HANDLE, &[self.room_id.as_bytes()]))
    }

    fn read(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        if reader.u8().ok()? != VERSION {
            return None;
        }
        let genesis_hash = GenesisHash::from_bytes(reader.array().ok()?);
        let admin = AdminPublicKey::from_bytes(reader.array().ok()?);
        let room_id = text(reader.lp("room id", MAX_ROOM_ID_BYTES).ok()?)?;
        let description = text(reader.lp("description", bounds::MAX_DESCRIPTION_BYTES).ok()?)?;
        reader.finish().ok()?;
        let characters = room_id.chars().count();
        (1..=bounds::MAX_ROOM_ID_CHARS).contains(&characters).then_some(Self {
            genesis_hash,
            admin,
            room_id,
            description,
        })
    }
}

/// UTF-8 without control characters.
fn text(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}
