//! A keeper's folder: its keys, where it listens, and what it was granted. All of it is readable by this account alone, and none of it
//! opens a frame.
//!
//! ```text
//! keys  = 01 ‖ transport seed(32) ‖ KEM seed(32) ‖ port u16
//! room  = 01 ‖ admin_vk(32) ‖ list of (lp(grant) ‖ option lp(sealed object)), the latest first
//! items   see `store`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::keeper::{Granted, KeeperInvite, KeeperSecrets, MAX_SEALED_OBJECT, UnverifiedGrant};
use snug_crypto::kem::KemSecret;
use snug_crypto::wire::{DecodeError, Reader, Writer};
use snug_crypto::{AdminPublicKey, TransportKey};
use zeroize::Zeroizing;

use super::KeepError;

/// Generations whose mesh key is known: who comes back with an earlier one is answered at the door.
const MAX_GRANTS: usize = 8;
/// Objects among them, each up to 768 KiB.
const MAX_OBJECTS: usize = 4;
const MAX_GRANT_BYTES: usize = 4_096;
const VERSION: u8 = 1;

/// An open, locked folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// What a keeper knows of its room.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) admin: AdminPublicKey,
    /// The latest first; never empty.
    pub(super) held: Vec<Held>,
}

/// One generation.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) granted: Granted,
    pub(super) grant: Vec<u8>,
    /// What those are given who are in the generation before.
    pub(super) object: Option<Vec<u8>>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, KeepError> {
        let failed = |error| KeepError::Disk {
            path: path.to_owned(),
            error,
        };
        make_private(path).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let lock = options.open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(KeepError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The keeper's keys and its port; made at its first start.
    pub(super) fn secrets(&self) -> Result<(KeeperSecrets, u16), KeepError> {
        if let Some(bytes) = self.read("keys")? {
            return read_keys(&bytes).map_err(|_| self.damaged("keys"));
        }
        let secrets = KeeperSecrets::generate(&mut UnwrapErr(SysRng));
        self.write_keys(&secrets, 0)?;
        Ok((secrets, 0))
    }

    pub(super) fn write_keys(&self, secrets: &KeeperSecrets, port: u16) -> Result<(), KeepError> {
        let mut writer = Writer::with_capacity(67);
        writer
            .u8(VERSION)
            .raw(&*secrets.transport.seed())
            .raw(&*secrets.kem.to_seed())
            .u16(port);
        self.replace("keys", &Zeroizing::new(writer.finish()))
    }

    pub(super) fn room(&self, secrets: &KeeperSecrets) -> Result<Option<Kept>, KeepError> {
        let Some(bytes) = self.read("room")? else {
            return Ok(None);
        };
        read_room(&bytes, secrets).map(Some).ok_or_else(|| self.damaged("room"))
    }

    pub(super) fn write_room(&self, kept: &mut Kept) -> Result<(), KeepError> {
        kept.held.truncate(MAX_GRANTS);
        for old in kept.held.iter_mut().skip(MAX_OBJECTS) {
            old.object = None;
        }
        let mut writer = Writer::new();
        writer
            .u8(VERSION)
            .raw(kept.admin.as_bytes())
            .list(&kept.held, |w, held| {
                w.lp(&held.grant).option(held.object.as_ref(), |w, object| {
                    w.lp(object);
                });
            });
        self.replace("room", &writer.finish())
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeepError> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KeepError::Disk { path, error }),
        }
    }

    /// The old file stands until the new one is whole.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), KeepError> {
        let (path, temporary) = (self.file(name), self.file(&format!(".{name}.new")));
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|error| KeepError::Disk { path, error })
    }

    fn damaged(&self, name: &str) -> KeepError {
        KeepError::Damaged { path: self.file(name) }
    }
}

fn read_keys(bytes: &[u8]) -> Result<(KeeperSecrets, u16), DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(DecodeError::Unsupported { what: "keys" });
    }
    let (transport, kem) = (Zeroizing::new(reader.array()?), Zeroizing::new(reader.array()?));
    let port = reader.u16()?;
    reader.finish()?;
    let secrets = KeeperSecrets {
        transport: TransportKey::from_seed(&transport),
        kem: KemSecret::from_seed(&kem),
    };
    Ok((secrets, port))
}

fn read_room(bytes: &[u8], secrets: &KeeperSecrets) -> Option<Kept> {
    let mut reader = Reader::new(bytes);
    if reader.u8().ok()? != VERSION {
        return None;
    }
    let admin = AdminPublicKey::from_bytes(reader.array().ok()?);
    let read = |r: &mut Reader<'_>| {
        let grant = r.lp("grant", MAX_GRANT_BYTES)?.to_vec();
        let object = r.option("object", |r| r.lp("object", MAX_SEALED_OBJECT).map(<[u8]>::to_vec))?;
        Ok((grant, object))
    };
    let list = reader.list("grants", MAX_GRANTS, read).ok()?;
    reader.finish().ok()?;
    let open = |(grant, object): (Vec<u8>, Option<Vec<u8>>)| {
        let unverified = UnverifiedGrant::decode(&grant).ok()?;
        // When it was taken, its certificate had not expired.
        let granted = unverified
            .open(secrets, &admin, &unverified.unverified_genesis(), 0)
            .ok()?;
        Some(Held { granted, grant, object })
    };
    let held: Vec<Held> = list.into_iter().map(open).collect::<Option<_>>()?;
    (!held.is_empty()).then_some(Kept { admin, held })
}

/// What an invite says, if it is for this keeper.
pub(super) fn accept(invite: &KeeperInvite, secrets: &KeeperSecrets, now_ms: u64) -> Result<Kept, KeepError> {
    let genesis = invite.grant.unverified_genesis();
    let granted = invite.grant.open(secrets, &invite.admin, &genesis, now_ms)?;
    Ok(Kept {
        admin: invite.admin,
        held: vec![Held {
            granted,
            grant: invite.grant.encode(),
            object: None,
        }],
    })
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
