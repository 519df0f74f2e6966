//! Keepers: docs/PROTOCOL.md, "Keepers". They hold ciphertext for a room's absent members, and can't read it.
//!
//! ```text
//! offer  = Bech32m("snugoffer", 01 ‖ vk(32) ‖ xwing_ek(1216) ‖ list of lp(address))
//! invite = Bech32m("snugkeep", 01 ‖ admin_vk(32) ‖ lp(grant))
//! name   = H("kept item", item)[..16]
//! ```
//!
//! `vk` is the keeper's transport key, the same in each run: the transport proves it, so whoever is linked with that peer is linked
//! with the keeper that the admin named. Neither text is a secret.

mod ask;
mod grant;

use rand_core::CryptoRng;
use thiserror::Error;

use crate::{
    AdminPublicKey, ControlKey, PeerKey, TransportKey, aead, bounds,
    invite::bech32m,
    kdf,
    kem::KemSecret,
    label,
    operation::Keeper,
    wire::{DecodeError, Reader, Writer},
};

pub use ask::{Item, KeeperReply, KeeperRequest, KeeperTooLarge, KeptItem};
pub use grant::{Grant, GrantError, Granted, Granter, UnverifiedGrant};

/// An object at rest with a keeper is this much larger than the object.
pub const MAX_SEALED_OBJECT: usize = bounds::MAX_OBJECT_BYTES + aead::OVERHEAD;

const OFFER: &str = "snugoffer";
const INVITE: &str = "snugkeep";
const VERSION: u8 = 1;

/// Why a text is no offer, or no keeper's invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeeperTextError {
    /// A character is missing, wrong or too many, or it is something else altogether.
    #[error("it is damaged, or something else: copy it again, from `{prefix}1` to its end")]
    Damaged {
        /// What it begins with.
        prefix: &'static str,
    },
    /// Made by a later version.
    #[error("it was made by a later version of Snug")]
    LaterVersion,
    /// The characters are right, their meaning isn't.
    #[error("malformed: {0}")]
    Malformed(#[from] DecodeError),
}

/// A keeper's own keys: its peer on the mesh, and what its grants are sealed to.
#[derive(Clone, Debug)]
pub struct KeeperSecrets {
    /// Its transport key, the same in each run and room.
    pub transport: TransportKey,
    /// What grants are sealed to.
    pub kem: KemSecret,
}

impl KeeperSecrets {
    /// New ones.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            transport: TransportKey::generate(rng),
            kem: KemSecret::generate(rng),
        }
    }

    /// Its peer, which is its name in the room.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        self.transport.peer_key()
    }

    /// What it says of itself, to be called at these addresses.
    #[must_use]
    pub fn offer(&self, addresses: Vec<String>) -> Keeper {
        Keeper {
            key: crate::IdentityKey::from_bytes(*self.peer().as_bytes()),
            kem: self.kem.public(),
            addresses,
        }
    }
}

impl Keeper {
    /// Its peer: who proves this key to the transport is the keeper.
    #[must_use]
    pub fn peer(&self) -> PeerKey {
        PeerKey::from_bytes(*self.key.as_bytes())
    }

    /// The offer as a line of text, `snugoffer1…`; `None` if there are too many addresses, or one is too long.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        let fits = |address: &String| address.len() <= bounds::MAX_ADDRESS_BYTES;
        if self.addresses.len() > bounds::MAX_ADDRESSES || !self.addresses.iter().all(fits) {
            return None;
        }
        let mut writer = Writer::new();
        self.write(writer.u8(VERSION));
        Some(encode(OFFER, &writer.finish()))
    }

    /// Reads an offer; white space doesn't matter.
    ///
    /// # Errors
    /// [`KeeperTextError`].
    pub fn parse(text: &str) -> Result<Self, KeeperTextError> {
        let bytes = decode(OFFER, text)?;
        let mut reader = Reader::new(&bytes);
        if reader.u8()? != VERSION {
            return Err(KeeperTextError::LaterVersion);
        }
        let keeper = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(keeper)
    }
}

/// What a keeper begins with: whose word counts in the room, and its first grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperInvite {
    /// The room's admin key.
    pub admin: AdminPublicKey,
    /// The first grant, not yet verified.
    pub grant: UnverifiedGrant,
}

impl KeeperInvite {
    /// The invite as a line of text, `snugkeep1…`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut writer = Writer::new();
        writer.u8(VERSION).raw(self.admin.as_bytes()).lp(&self.grant.encode());
        encode(INVITE, &writer.finish())
    }

    /// Reads an invite; white space doesn't matter.
    ///
    /// # Errors
    /// [`KeeperTextError`].
    pub fn parse(text: &str) -> Result<Self, KeeperTextError> {
        let bytes = decode(INVITE, text)?;
        let mut reader = Reader::new(&bytes);
        if reader.u8()? != VERSION {
            return Err(KeeperTextError::LaterVersion);
        }
        let admin = AdminPublicKey::from_bytes(reader.array()?);
        let grant = UnverifiedGrant::decode(reader.lp("grant", grant::MAX_GRANT)?)?;
        reader.finish()?;
        Ok(Self { admin, grant })
    }
}

/// Seals a generation's object for those who come back with the Room Key before it.
#[must_use]
pub fn seal_object(before: &ControlKey, rng: &mut impl CryptoRng, object: &[u8]) -> Vec<u8> {
    aead::seal(before.expose(), aead::Kind::KeptObject, rng, object)
}

/// Opens what a keeper held; `None` if it was not sealed under this generation.
#[must_use]
pub fn open_object(control: &ControlKey, bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > MAX_SEALED_OBJECT {
        return None;
    }
    let object = aead::open(control.expose(), aead::Kind::KeptObject, bytes).ok()?;
    Some(object.to_vec())
}

/// By what an item is asked for.
#[must_use]
pub fn item_name(item: &[u8]) -> [u8; 16] {
    let mut name = [0; 16];
    name.copy_from_slice(&kdf::hash(label::KEPT_ITEM, &[item])[..16]);
    name
}

fn encode(prefix: &'static str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bech32m::encoded_len(prefix, bytes.len()));
    bech32m::encode_to(prefix, bytes, &mut text);
    text
}

fn decode(prefix: &'static str, text: &str) -> Result<Vec<u8>, KeeperTextError> {
    let damaged = KeeperTextError::Damaged { prefix };
    if text.len() > bounds::MAX_INVITE_CHARS {
        return Err(damaged);
    }
    let line: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    let mut bytes = Vec::with_capacity(line.len());
    if bech32m::decode_to(prefix, &line, &mut bytes) {
        Ok(bytes)
    } else {
        Err(damaged)
    }
}
