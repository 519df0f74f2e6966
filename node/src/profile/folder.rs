//! One profile's folder: its format version, its lock, and files that are replaced whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ProfileError;

/// The newest format this build reads, and the one it writes.
const FORMAT: u32 = 2;
const VERSION_FILE: &str = "version";
const LOCK_FILE: &str = "lock";
const MAKING_FILE: &str = ".making";
const MAX_NAME: usize = 32;
/// A version file is a number and a line end.
const MAX_VERSION_BYTES: u64 = 16;

/// An open, locked folder. The lock ends with the process or with this value, whichever is first.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    format: u32,
    _lock: File,
}

impl Folder {
    /// Version first, so that a folder of another format isn't touched at all; then the lock; then, in a new folder, the version.
    pub fn open(data_dir: &Path, name: &str) -> Result<Self, ProfileError> {
        check_name(name)?;
        let path = data_dir.join("profiles").join(name);
        let version = path.join(VERSION_FILE);
        check_version(&path, &version)?;
        make_private_dir(data_dir)?;
        make_private_dir(&path)?;
        let lock = lock(&path, name)?;
        let mut folder = Self {
            path,
            format: FORMAT,
            _lock: lock,
        };
        // Under the lock the answer is final.
        match check_version(&folder.path, &version)? {
            Some(format) => folder.format = format,
            None => {
                folder.refuse_unversioned_content()?;
                folder.upgraded()?;
            }
        }
        Ok(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a whole file of at most `limit` bytes; `None` if it isn't there.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, ProfileError> {
        let path = self.file(name);
        match read_limited(&path, limit) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(ProfileError::Damaged {
                path,
                what: "it is far too large",
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(ProfileError::io("read", &path, e)),
        }
    }

    /// Replaces a file: temporary file of mode 0600, sync, rename, sync of the folder. On any error the old file stands.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ProfileError> {
        let path = self.file(name);
        // The profile is locked, so a fixed name can't clash; a crash leaves at most this one file behind.
        let temporary = self.file(&format!(".{name}.new"));
        let written = write_synced(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| sync_dir(&self.path));
        written.map_err(|e| {
            // Best effort: on a full or read-only disk the leftover is overwritten by the next attempt.
            let _ = fs::remove_file(&temporary);
            ProfileError::io("write", &path, e)
        })
    }

    /// [`Self::replace`], and then best effort to make the old bytes unreadable: they hold a key that is to be forgotten. A file system
    /// or a disk that writes elsewhere keeps them all the same.
    pub fn replace_and_wipe(&self, name: &str, bytes: &[u8]) -> Result<(), ProfileError> {
        let old = OpenOptions::new().write(true).open(self.file(name)).ok();
        self.replace(name, bytes)?;
        if let Some(mut old) = old {
            let length = old.metadata().map_or(0, |metadata| metadata.len());
            let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
            let _ = old.write_all(&zeros).and_then(|()| old.sync_data());
        }
        Ok(())
    }

    /// Removes a file, after best effort to make its bytes unreadable.
    pub fn remove_and_wipe(&self, name: &str) -> Result<(), ProfileError> {
        let path = self.file(name);
        if let Ok(mut old) = OpenOptions::new().write(true).open(&path) {
            let length = old.metadata().map_or(0, |metadata| metadata.len());
            let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
            let _ = old.write_all(&zeros).and_then(|()| old.sync_data());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ProfileError::io("remove", &path, error)),
            _ => Ok(()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder's list of files durable.
    pub fn sync(&self) -> io::Result<()> {
        sync_dir(&self.path)
    }

    /// Whether the folder was written in an older format.
    pub fn is_old(&self) -> bool {
        self.format < FORMAT
    }

    /// From here on the folder is of today's format.
    pub fn upgraded(&self) -> Result<(), ProfileError> {
        self.replace(VERSION_FILE, format!("{FORMAT}\n").as_bytes())
    }

    /// Says on disk that a vault is being made: until [`Self::made`] its logs hold nothing that isn't elsewhere.
    pub fn making(&self) -> Result<(), ProfileError> {
        self.replace(MAKING_FILE, b"")
    }

    /// The vault is on disk, whole.
    pub fn made(&self) {
        // Where it stays, it is taken away when the vault is opened next.
        let _ = fs::remove_file(self.file(MAKING_FILE));
    }

    /// Whether making a vault was interrupted, if there is none.
    pub fn is_in_making(&self) -> bool {
        self.file(MAKING_FILE).exists()
    }

    /// Whether there are logs of a vault.
    pub fn has_logs(&self) -> Result<bool, ProfileError> {
        let failed = |e| ProfileError::io("read", &self.path, e);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().unwrap_or_default();
            let number = name.strip_prefix("profile.").or_else(|| name.strip_prefix("state."));
            if number.is_some_and(|number| number.parse::<u64>().is_ok()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An identity without a version file is a folder that something else tampered with: taking it over could lose it.
    fn refuse_unversioned_content(&self) -> Result<(), ProfileError> {
        if self.file("identity").exists() || self.file("vault").exists() || (self.has_logs()? && !self.is_in_making()) {
            return Err(ProfileError::Damaged {
                path: self.file(VERSION_FILE),
                what: "it is missing, while the folder is in use",
            });
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), ProfileError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        return Err(ProfileError::BadName);
    }
    Ok(())
}

/// The folder's format, if it has one yet.
fn check_version(folder: &Path, version: &Path) -> Result<Option<u32>, ProfileError> {
    let damaged = || ProfileError::Damaged {
        path: version.to_owned(),
        what: "it holds no format number",
    };
    let bytes = match read_limited(version, MAX_VERSION_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(damaged()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ProfileError::io("read", version, e)),
    };
    let found = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n').unwrap_or(text).parse::<u32>().ok())
        .filter(|found| *found > 0)
        .ok_or_else(damaged)?;
    if found > FORMAT {
        return Err(ProfileError::Newer {
            path: folder.to_owned(),
            found,
            supported: FORMAT,
        });
    }
    Ok(Some(found))
}

/// Makes a folder, and its parents, that only this account can enter; one that exists keeps its mode.
fn make_private_dir(path: &Path) -> Result<(), ProfileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|e| ProfileError::io("make the folder", path, e))
}

fn lock(folder: &Path, name: &str) -> Result<File, ProfileError> {
    let path = folder.join(LOCK_FILE);
    let file = private()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| ProfileError::io("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ProfileError::InUse {
            name: name.to_owned(),
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(e)) => Err(ProfileError::io("lock", &path, e)),
    }
}

/// The content, or `None` if there are more than `limit` bytes of it.
fn read_limited(path: &Path, limit: u64) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // Sized up front: a buffer that grows would leave copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(limit).unwrap_or(0).saturating_add(1),
    ));
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = private().create_new(true).write(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A rename is durable only once the folder is synced. Where folders can't be opened (Windows) the system does it.
fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
