//! The server key's file: 32 random bytes, 0600, outside the store; and after a change of key, the former ones behind the one in force.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rand::Rng;
use snug_crypto::credential::server::ServerKey;
use zeroize::Zeroizing;

use crate::error::StartError;
use crate::random::rng;

const KEY_LEN: usize = 32;
/// Keys that a file may hold: every room is looked for under each of them.
pub(crate) const MAX_KEYS: usize = 8;

/// Reads the keys, the one in force first, or makes one if the file is missing and `may_create`.
pub(crate) fn load_or_create(path: &Path, may_create: bool) -> Result<Vec<ServerKey>, StartError> {
    let failed = |reason| StartError::KeyFile {
        path: path.to_owned(),
        reason,
    };
    match File::open(path) {
        Ok(file) => read(path, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !may_create {
                return Err(StartError::KeyMissing { path: path.to_owned() });
            }
            create(path).map_err(failed)?;
            // What is there now may be another instance's, which was faster.
            read(path, File::open(path).map_err(failed)?)
        }
        Err(error) => Err(failed(error)),
    }
}

fn read(path: &Path, file: File) -> Result<Vec<ServerKey>, StartError> {
    let failed = |reason| StartError::KeyFile {
        path: path.to_owned(),
        reason,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        )));
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StartError::KeyPermissions {
                path: path.to_owned(),
                mode,
            });
        }
    }
    const MOST: usize = KEY_LEN * MAX_KEYS;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST + 1));
    file.take(MOST as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let (keys, rest) = bytes.as_chunks::<KEY_LEN>();
    if keys.is_empty() || keys.len() > MAX_KEYS || !rest.is_empty() {
        return Err(StartError::KeyLength {
            path: path.to_owned(),
            found: metadata.len(),
        });
    }
    Ok(keys.iter().map(|key| ServerKey::from_bytes(*key)).collect())
}

/// The file that holds these keys.
pub(crate) fn to_bytes(keys: &[ServerKey]) -> Zeroizing<Vec<u8>> {
    // At its size from the beginning, so that nothing of it is left where it grew out of.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_LEN * keys.len()));
    for key in keys {
        bytes.extend_from_slice(key.expose());
    }
    bytes
}

/// Puts a new key before those that are there. The file is whole at any moment: it is written aside, and takes the other's place.
pub(crate) fn rotate(path: &Path) -> Result<usize, StartError> {
    let failed = |reason| StartError::KeyFile {
        path: path.to_owned(),
        reason,
    };
    let mut keys = load_or_create(path, false)?;
    if keys.len() >= MAX_KEYS {
        return Err(StartError::TooManyKeys { path: path.to_owned() });
    }
    let mut rng = rng();
    keys.insert(0, ServerKey::generate(&mut rng));
    let aside = aside(path, &mut rng);
    let replaced = write_new(&aside, &to_bytes(&keys))
        .and_then(|()| same_owner(path, &aside))
        .and_then(|()| fs::rename(&aside, path))
        .and_then(|()| sync_folder_of(path));
    if replaced.is_err() {
        let _ = fs::remove_file(&aside);
    }
    replaced.map_err(failed)?;
    Ok(keys.len() - 1)
}

/// The server goes on under its own account, whoever changes its key.
fn same_owner(as_of: &Path, made: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        let (theirs, ours) = (fs::metadata(as_of)?, fs::metadata(made)?);
        if (theirs.uid(), theirs.gid()) != (ours.uid(), ours.gid()) {
            chown(made, Some(theirs.uid()), Some(theirs.gid()))?;
        }
    }
    Ok(())
}

fn aside(path: &Path, rng: &mut impl Rng) -> PathBuf {
    path.with_extension(format!("{:016x}.new", rng.next_u64()))
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Makes the file so that it is never seen half written and never overwrites another: written aside, then linked.
fn create(path: &Path) -> io::Result<()> {
    let mut rng = rng();
    let aside = aside(path, &mut rng);
    let key = ServerKey::generate(&mut rng);
    let written = write_new(&aside, key.expose()).and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // The key is under its own name by now, or not at all.
    let _ = fs::remove_file(&aside);
    written?;
    sync_folder_of(path)
}

pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
