//! A profile: who the user is on this machine, which rooms they have seen, and what those rooms are in the middle of.
//!
//! The data folder holds `profiles/NAME/`, each a unit of its own with
//!
//! | file | what it is |
//! |---|---|
//! | `version` | the format of this folder, read before anything else is touched |
//! | `lock` | held exclusively while a process uses the profile |
//! | `vault`, `profile.N`, `state.N` | everything else, sealed under the passphrase: see [`vault`] |
//!
//! An *ephemeral* profile has a new identity and touches no disk at all. A folder of format 1, which held the identity in a file of mode
//! 0600 and the rooms in another, is taken over into a vault; the old files go once that is on disk.

mod error;
mod folder;
mod identity;
mod pins;
mod reach;
pub mod vault;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::identity::Identity;
use snug_crypto::ids::{GenesisHash, IdentityKey};
use snug_crypto::names::RoomId;
use snug_crypto::rest::log::Entry;
use snug_crypto::rest::vault::Passphrase;
use snug_crypto::rest::{MembershipAtRest, RestBytes};
use snug_crypto::{AdminKey, AdminPublicKey};
use zeroize::Zeroizing;

pub use error::{PinError, ProfileError};
pub use pins::{Pinned, Place};
pub use reach::Reach;
pub use vault::{Purpose, Unreadable, Vault};

use crate::contacts::{Contact, Contacts};

use folder::Folder;
use pins::Pins;

/// The profile used where none is named.
pub const DEFAULT_PROFILE: &str = "default";

// Keys of the profile's log.
const IDENTITY: &[u8] = b"identity";
const PINS: &[u8] = b"pins";
/// Followed by an identity.
const CONTACT: &[u8] = b"contact ";
/// Followed by the room's genesis hash.
const MEMBERSHIP: &[u8] = b"room ";
/// Followed by the room's genesis hash: the seed of its admin key, where no rendezvous keeps that.
const ADMIN: &[u8] = b"admin ";

/// Where a profile is, and whether it may rest on disk.
#[derive(Clone, Debug)]
pub struct ProfileOptions {
    /// The data folder. The binary knows the platform's conventions; the library is only told.
    pub data_dir: PathBuf,
    /// The profile's name: 1 to 32 of `a-z A-Z 0-9 - _`.
    pub name: String,
    /// In memory only: nothing of the data folder is read or written.
    pub ephemeral: bool,
    /// Opens the vault; a new one is made under it. `None` is as good as the empty one where that suffices.
    pub passphrase: Option<Passphrase>,
}

/// An open profile. While it lives, no other process can open it.
#[derive(Debug)]
pub struct Profile {
    vault: Option<Vault>,
    identity: Identity,
    pins: Pins,
    made_open: bool,
}

impl Profile {
    /// Opens a profile, and makes it where there is none yet. Blocks on the disk for a few milliseconds, and with a passphrase on 0.1 s
    /// of stretching.
    ///
    /// # Errors
    /// [`ProfileError`]; whatever it is, nothing that was there before has been lost.
    pub fn open(options: ProfileOptions) -> Result<Self, ProfileError> {
        if options.ephemeral {
            return Ok(Self::ephemeral());
        }
        let folder = Arc::new(Folder::open(&options.data_dir, &options.name)?);
        if !Vault::exists(&folder) {
            let identity = match identity::load(&folder)? {
                // Of format 1; logs can only hold what was copied from it.
                Some(identity) => identity,
                None => {
                    Vault::refuse_lost_head(&folder)?;
                    Identity::generate(&mut UnwrapErr(SysRng))
                }
            };
            let pins = Pins::load(&folder)?;
            return Self::make(&folder, identity, pins, options.passphrase);
        }
        if options.passphrase.is_none() && Vault::needs_passphrase(&folder)? {
            return Err(ProfileError::Locked { name: options.name });
        }
        let passphrase = options.passphrase.unwrap_or_else(Passphrase::none);
        let vault = Vault::open(Arc::clone(&folder), &passphrase)?;
        let damaged = |what| ProfileError::Damaged {
            path: vault.path(Purpose::Profile),
            what,
        };
        let identity = vault
            .get(Purpose::Profile, IDENTITY)?
            .and_then(|bytes| identity::decode(&bytes))
            .ok_or_else(|| damaged("it holds no identity"))?;
        let pins = match vault.get(Purpose::Profile, PINS)? {
            Some(bytes) => Pins::decode(&bytes).ok_or_else(|| damaged("it holds no list of rooms"))?,
            None => Pins::default(),
        };
        take_over(&folder)?;
        Ok(Self {
            vault: Some(vault),
            identity,
            pins,
            made_open: false,
        })
    }

    /// Whether there is a profile to open.
    pub fn exists(options: &ProfileOptions) -> bool {
        let folder = options.data_dir.join("profiles").join(&options.name);
        folder.join("vault").exists() || folder.join("identity").exists()
    }

    /// Makes a profile with an identity from elsewhere.
    ///
    /// # Errors
    /// [`ProfileError::HasIdentity`] where there is one already, which is never replaced.
    pub fn import(options: ProfileOptions, identity: Identity) -> Result<Self, ProfileError> {
        let folder = Arc::new(Folder::open(&options.data_dir, &options.name)?);
        if Vault::exists(&folder) || identity::load(&folder)?.is_some() {
            return Err(ProfileError::HasIdentity { name: options.name });
        }
        Vault::refuse_lost_head(&folder)?;
        Self::make(&folder, identity, Pins::default(), options.passphrase)
    }

    fn make(
        folder: &Arc<Folder>,
        identity: Identity,
        pins: Pins,
        passphrase: Option<Passphrase>,
    ) -> Result<Self, ProfileError> {
        let passphrase = passphrase.unwrap_or_else(Passphrase::none);
        let first = vec![entry(IDENTITY, identity::encode(&identity)), entry(PINS, pins.encode())];
        let vault = Vault::create(Arc::clone(folder), &passphrase, first)?;
        take_over(folder)?;
        Ok(Self {
            vault: Some(vault),
            identity,
            pins,
            made_open: passphrase.is_none(),
        })
    }

    /// A profile in memory, with an identity that nobody has seen before.
    pub fn ephemeral() -> Self {
        Self {
            vault: None,
            identity: Identity::generate(&mut UnwrapErr(SysRng)),
            pins: Pins::default(),
            made_open: false,
        }
    }

    /// The user's identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// True if nothing of this profile rests on disk.
    pub fn is_ephemeral(&self) -> bool {
        self.vault.is_none()
    }

    /// True if the vault was made just now, without a passphrase: whoever uses this account can read it, which its user should know.
    pub fn was_made_without_passphrase(&self) -> bool {
        self.made_open
    }

    /// What is on disk, unless the profile is ephemeral.
    pub fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// The rooms that we are a member of, and can enter again.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn memberships(&self) -> Result<Vec<MembershipAtRest>, ProfileError> {
        let Some(vault) = &self.vault else {
            return Ok(Vec::new());
        };
        let stored = vault.scan(Purpose::Profile, MEMBERSHIP)?;
        let rooms = stored.iter().filter_map(|(_, bytes)| {
            let decoded = MembershipAtRest::decode(bytes);
            decoded
                .inspect_err(|error| tracing::warn!(%error, "a stored room is passed over"))
                .ok()
        });
        Ok(rooms.collect())
    }

    /// Remembers a room, or that something about it changed: its Room Key rests in the vault from here on.
    ///
    /// # Errors
    /// [`ProfileError`] if it can't be kept.
    pub fn keep_membership(&self, room: &MembershipAtRest) -> Result<(), ProfileError> {
        self.write(vec![entry(&membership_key(&room.genesis.hash()), room.encode())])
    }

    /// Forgets a room that was left or deleted, and all that was stored of it.
    ///
    /// # Errors
    /// [`ProfileError`] if that can't be kept.
    pub fn forget_membership(&self, genesis: &GenesisHash) -> Result<(), ProfileError> {
        if let Some(vault) = &self.vault {
            vault.commit(Purpose::State, vec![forget(room_prefix(genesis))])?;
        }
        self.write(vec![
            forget(membership_key(genesis)),
            forget(admin_key(genesis)),
            forget(reach::reach_key(genesis)),
        ])
    }

    /// Keeps the admin key of a room that no rendezvous keeps it for.
    ///
    /// # Errors
    /// [`ProfileError`] if it can't be kept.
    pub fn keep_admin(&self, genesis: &GenesisHash, admin: &AdminKey) -> Result<(), ProfileError> {
        self.write(vec![entry(
            &admin_key(genesis),
            RestBytes::new(admin.to_seed().to_vec()),
        )])
    }

    /// The admin key of a room that was made here without a rendezvous.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn admin(&self, genesis: &GenesisHash) -> Result<Option<AdminKey>, ProfileError> {
        let Some(vault) = &self.vault else {
            return Ok(None);
        };
        let stored = vault.get(Purpose::Profile, &admin_key(genesis))?;
        let seed = stored.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new));
        Ok(seed.map(|seed| AdminKey::from_seed(&seed)))
    }

    /// Whom the user knows.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn contacts(&self) -> Result<Contacts, ProfileError> {
        let Some(vault) = &self.vault else {
            return Ok(Contacts::default());
        };
        let stored = vault.scan(Purpose::Profile, CONTACT)?;
        let contacts = stored.iter().filter_map(|(key, bytes)| {
            let identity = IdentityKey::from_slice(key.get(CONTACT.len()..)?);
            let contact = identity.zip(Contact::decode(bytes));
            if contact.is_none() {
                tracing::warn!("somebody whom the user knew is passed over: what is stored of them can't be read");
            }
            contact
        });
        Ok(Contacts::new(contacts))
    }

    /// Remembers people, or forgets them.
    ///
    /// # Errors
    /// [`ProfileError`] if it can't be kept.
    pub fn keep_contacts(&self, changes: &[(IdentityKey, Option<Contact>)]) -> Result<(), ProfileError> {
        let changes = changes.iter().map(|(identity, contact)| {
            let key = [CONTACT, identity.as_bytes()].concat();
            match contact {
                Some(contact) => entry(&key, RestBytes::new(contact.encode())),
                None => forget(key),
            }
        });
        self.write(changes.collect())
    }

    /// What a room was in the middle of, as it stored it.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn room_state(&self, genesis: &GenesisHash) -> Result<Vec<(Vec<u8>, RestBytes)>, ProfileError> {
        let Some(vault) = &self.vault else {
            return Ok(Vec::new());
        };
        let prefix = room_prefix(genesis);
        let mut stored = vault.scan(Purpose::State, &prefix)?;
        for (key, _) in &mut stored {
            key.drain(..prefix.len());
        }
        Ok(stored)
    }

    fn write(&self, changes: Vec<Entry>) -> Result<(), ProfileError> {
        match &self.vault {
            Some(vault) => vault.commit(Purpose::Profile, changes),
            None => Ok(()),
        }
    }

    /// The room that was entered first under this name at this place, if any.
    pub fn pinned(&self, place: &Place, room: &RoomId) -> Option<Pinned> {
        self.pins.get(place, room)
    }

    /// Pins a room's genesis on first use, or compares it with the pin (PROTOCOL: "genesis is trusted on first use and pinned").
    ///
    /// # Errors
    /// [`PinError::Changed`] if another room was first entered under this name here; [`PinError::Profile`] if the pin can't be kept.
    pub fn pin(
        &mut self,
        place: &Place,
        room: &RoomId,
        genesis: GenesisHash,
        admin: AdminPublicKey,
    ) -> Result<(), PinError> {
        match self.pins.get(place, room) {
            Some(known) if known.genesis == genesis => return Ok(()),
            Some(known) => {
                return Err(PinError::Changed {
                    pinned: known.genesis,
                    found: genesis,
                });
            }
            None => {}
        }
        let mut pins = self.pins.clone();
        pins.insert(place, room, Pinned { genesis, admin });
        self.keep(pins).map_err(PinError::Profile)
    }

    /// Forgets a room's pin: its deletion was proven, or the user knows that the room was made anew.
    ///
    /// # Errors
    /// [`ProfileError`] if the change can't be kept; then the pin stays.
    pub fn forget(&mut self, place: &Place, room: &RoomId) -> Result<(), ProfileError> {
        let mut pins = self.pins.clone();
        if pins.remove(place, room) {
            self.keep(pins)?;
        }
        Ok(())
    }

    /// Writes first: what memory says is never ahead of the disk.
    fn keep(&mut self, pins: Pins) -> Result<(), ProfileError> {
        self.write(vec![entry(PINS, pins.encode())])?;
        self.pins = pins;
        Ok(())
    }
}

/// What a room's own keys are preceded by in the state's log.
pub(crate) fn room_prefix(genesis: &GenesisHash) -> Vec<u8> {
    genesis.as_bytes()[..16].to_vec()
}

fn membership_key(genesis: &GenesisHash) -> Vec<u8> {
    [MEMBERSHIP, genesis.as_bytes()].concat()
}

fn admin_key(genesis: &GenesisHash) -> Vec<u8> {
    [ADMIN, genesis.as_bytes()].concat()
}

fn entry(key: &[u8], value: RestBytes) -> Entry {
    Entry {
        key: key.to_vec(),
        value: Some(value),
    }
}

fn forget(key: Vec<u8>) -> Entry {
    Entry { key, value: None }
}

/// The files of format 1 go once all that they held is in the vault, which by now is on disk.
fn take_over(folder: &Folder) -> Result<(), ProfileError> {
    if folder.is_old() {
        folder.upgraded()?;
    }
    folder.remove_and_wipe(identity::FILE)?;
    folder.remove_and_wipe(pins::FILE)
}
