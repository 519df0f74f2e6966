//! The relay's key: 32 random bytes, the seed of an Ed25519 key (RFC 8032), 0600, in the data folder. Whoever loses it has a relay of another
//! peer id, which members learn with their next heartbeat; so no backup holds it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use libp2p::identity::Keypair;
use rand::Rng;
use zeroize::Zeroizing;

use super::RelayError;
use crate::key_file;
use crate::random::rng;

/// Its file's name.
pub(crate) const FILE: &str = "relay.key";

const SEED_LEN: usize = 32;

/// Reads the key, or makes one if the file is missing.
pub(super) fn load_or_create(path: &Path) -> Result<Keypair, RelayError> {
    let failed = |reason| RelayError::Key {
        path: path.to_owned(),
        reason,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; SEED_LEN]);
            rng().fill_bytes(&mut *seed);
            key_file::write_new(path, &*seed).map_err(failed)?;
            File::open(path)
        }
        other => other,
    };
    read(file.map_err(failed)?).map_err(failed)
}

fn read(file: File) -> io::Result<Keypair> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let metadata = file.metadata()?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(wrong("others can read it: make it yours alone with `chmod 600`"));
    }
    if metadata.len() != SEED_LEN as u64 {
        return Err(wrong("it is no key of 32 bytes: remove it, and another one is made"));
    }
    let mut seed = Zeroizing::new([0; SEED_LEN]);
    (&file).read_exact(&mut *seed)?;
    Keypair::ed25519_from_bytes(&mut *seed).map_err(|_| wrong("it is no key: remove it, and another one is made"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_stays_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let made = load_or_create(&path).unwrap().public();
        assert_eq!(load_or_create(&path).unwrap().public(), made);
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        mode(0o640);
        assert!(load_or_create(&path).unwrap_err().to_string().contains("chmod 600"));
        mode(0o600);
        std::fs::write(&path, [0; 31]).unwrap();
        assert!(load_or_create(&path).unwrap_err().to_string().contains("remove it"));
    }
}
