//! The server key's file: 32 random bytes, 0600, outside the store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use rand::Rng;
use snug_crypto::credential::server::ServerKey;
use zeroize::Zeroizing;

use crate::error::StartError;
use crate::random::rng;

const KEY_LEN: usize = 32;

/// Reads the key, or makes one if the file is missing and `may_create`.
pub(crate) fn load_or_create(path: &Path, may_create: bool) -> Result<ServerKey, StartError> {
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

fn read(path: &Path, file: File) -> Result<ServerKey, StartError> {
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
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_LEN + 1));
    file.take(KEY_LEN as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let key = <[u8; KEY_LEN]>::try_from(bytes.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| StartError::KeyLength {
            path: path.to_owned(),
            found: metadata.len(),
        })?;
    Ok(ServerKey::from_bytes(*key))
}

/// Makes the file so that it is never seen half written and never overwrites another: written aside, then linked.
fn create(path: &Path) -> io::Result<()> {
    let mut rng = rng();
    let suffix = rng.next_u64();
    let aside = path.with_extension(format!("{suffix:016x}.new"));
    let key = ServerKey::generate(&mut rng);
    let written = write_new(&aside, key.expose()).and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    // The key is under its own name by now, or not at all.
    let _ = fs::remove_file(&aside);
    written?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
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
