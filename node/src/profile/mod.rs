//! A profile: who the user is on this machine, and which rooms they have seen.
//!
//! The data folder holds `profiles/NAME/`, each a unit of its own with
//!
//! | file | what it is |
//! |---|---|
//! | `version` | the format of this folder, read before anything else is touched |
//! | `lock` | held exclusively while a process uses the profile |
//! | `identity` | the identity's seed, mode 0600 |
//! | `rooms` | the genesis hash that each room had when it was first entered (PROTOCOL: trust on first use), mode 0600 |
//!
//! Every write goes to a temporary file that is synced and renamed, so a full disk or a crash leaves the old content whole.
//! An *ephemeral* profile has a new identity and touches no disk at all.

mod error;
mod folder;
mod identity;
mod pins;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::AdminPublicKey;
use snug_crypto::identity::Identity;
use snug_crypto::ids::GenesisHash;
use snug_crypto::names::RoomId;

pub use error::{PinError, ProfileError};
pub use pins::{Pinned, Place};

use folder::Folder;
use pins::Pins;

/// The profile used where none is named.
pub const DEFAULT_PROFILE: &str = "default";

/// Where a profile is, and whether it may rest on disk.
#[derive(Clone, Debug)]
pub struct ProfileOptions {
    /// The data folder. The binary knows the platform's conventions; the library is only told.
    pub data_dir: PathBuf,
    /// The profile's name: 1 to 32 of `a-z A-Z 0-9 - _`.
    pub name: String,
    /// In memory only: nothing of the data folder is read or written.
    pub ephemeral: bool,
}

/// An open profile. While it lives, no other process can open it.
#[derive(Debug)]
pub struct Profile {
    folder: Option<Folder>,
    identity: Identity,
    pins: Pins,
}

impl Profile {
    /// Opens a profile, and makes it where there is none yet. Blocks on the disk for a few milliseconds.
    ///
    /// # Errors
    /// [`ProfileError`]; whatever it is, nothing that was there before has been changed.
    pub fn open(options: ProfileOptions) -> Result<Self, ProfileError> {
        if options.ephemeral {
            return Ok(Self::ephemeral());
        }
        let folder = Folder::open(&options.data_dir, &options.name)?;
        let pins = Pins::load(&folder)?;
        let identity = match identity::load(&folder)? {
            Some(identity) => identity,
            None => {
                let identity = Identity::generate(&mut UnwrapErr(SysRng));
                identity::store(&folder, &identity)?;
                identity
            }
        };
        Ok(Self {
            folder: Some(folder),
            identity,
            pins,
        })
    }

    /// A profile in memory, with an identity that nobody has seen before.
    pub fn ephemeral() -> Self {
        Self {
            folder: None,
            identity: Identity::generate(&mut UnwrapErr(SysRng)),
            pins: Pins::default(),
        }
    }

    /// The user's identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// True if nothing of this profile rests on disk.
    pub fn is_ephemeral(&self) -> bool {
        self.folder.is_none()
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
        if let Some(folder) = &self.folder {
            pins.store(folder)?;
        }
        self.pins = pins;
        Ok(())
    }
}
