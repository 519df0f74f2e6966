//! What can go wrong with a profile. Each message says what to do; none loses data.

use std::io;
use std::path::{Path, PathBuf};

use snug_crypto::ids::GenesisHash;

/// Why a profile can't be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The profile's name could be mistaken for a path, or is empty or too long.
    #[error("a profile's name is 1 to 32 letters, digits, '-' or '_'")]
    BadName,
    /// Another process holds the profile.
    #[error(
        "the profile {name} is in use by another snug ({path}); close that one, or use another --profile, or --ephemeral",
        path = path.display()
    )]
    InUse {
        /// The profile.
        name: String,
        /// Its folder.
        path: PathBuf,
    },
    /// A newer snug wrote this folder.
    #[error(
        "{path} was written by a newer snug (format {found}, this one knows {supported}); update snug, or use another --profile; nothing was changed",
        path = path.display()
    )]
    Newer {
        /// The profile's folder.
        path: PathBuf,
        /// The format found there.
        found: u32,
        /// The newest format that this build reads.
        supported: u32,
    },
    /// A file doesn't hold what it should.
    #[error(
        "{path} is damaged ({what}); nothing was changed: restore it from a backup, or move its folder away to start anew",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A newer snug wrote the vault.
    #[error(
        "{path} was written by a newer snug; update snug, or use another --profile; nothing was changed",
        path = path.display()
    )]
    NewerVault {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase doesn't open the vault.
    #[error(
        "the passphrase doesn't open {path}; try again, it has no other way in (without it: restore a backup, or start anew with another --profile)",
        path = path.display()
    )]
    WrongPassphrase {
        /// The vault.
        path: PathBuf,
    },
    /// The vault has a passphrase, and none was given.
    #[error("the profile {name} is locked with a passphrase")]
    Locked {
        /// The profile.
        name: String,
    },
    /// There is an identity already.
    #[error(
        "the profile {name} has an identity already; import into another one with --profile, so that neither is lost"
    )]
    HasIdentity {
        /// The profile.
        name: String,
    },
    /// Other accounts can read the identity.
    #[error(
        "{path} can be read by other accounts; run: chmod 600 {path:?}  (and if someone may have read it, start anew with another --profile)",
        path = path.display()
    )]
    Exposed {
        /// The identity file.
        path: PathBuf,
    },
    /// The folder or a file in it can't be written.
    #[error("{path} can't be written ({source}); check its owner and mode, or choose another --data-dir", path = path.display())]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// The system's word on it.
        source: io::Error,
    },
    /// No space left, or over quota.
    #[error("no space left for {path}; nothing was lost: free some space and try again", path = path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// Anything else that the system refused.
    #[error("can't {action} {path} ({source})", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's word on it.
        source: io::Error,
    },
}

impl ProfileError {
    /// Sorts a system error by what the user can do about it.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
                Self::NotWritable { path, source }
            }
            // A limit on the size of files is as good as a full disk.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { path }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// Why a room's genesis isn't accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The rendezvous hands out another room than the one that was first entered under this name.
    #[error(
        "this is not the room you entered before: its founding record has changed (known {pinned}, now {found}). \
         Someone made another room under the same Room ID, or the rendezvous is lying to you; you were not let in. \
         If you know that the room was deleted and made anew, come in with --accept-new-room"
    )]
    Changed {
        /// The genesis hash kept from the first time.
        pinned: GenesisHash,
        /// The genesis hash offered now.
        found: GenesisHash,
    },
    /// The pin can't be kept.
    #[error(transparent)]
    Profile(ProfileError),
}
