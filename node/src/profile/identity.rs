//! The identity at rest: a text of three lines, in the vault. In folders of format 1 it was a file of its own, of mode 0600.
//!
//! ```text
//! snug identity 1
//! seed HEX   (32 bytes, the Ed25519 seed)
//! key HEX    (32 bytes, its public key: a damaged seed shows before it is used)
//! ```

use std::path::Path;

use data_encoding::HEXLOWER;
use snug_crypto::identity::Identity;
use zeroize::Zeroizing;

use super::ProfileError;
use super::folder::Folder;

pub(super) const FILE: &str = "identity";
const HEADER: &str = "snug identity 1";
/// The text is 162 bytes long.
const MAX_BYTES: u64 = 256;

/// The identity of a folder of format 1, or `None` if there is none.
pub(super) fn load(folder: &Folder) -> Result<Option<Identity>, ProfileError> {
    let path = folder.file(FILE);
    let Some(bytes) = folder.read(FILE, MAX_BYTES)? else {
        return Ok(None);
    };
    check_mode(&path)?;
    let identity = decode(&bytes).ok_or(ProfileError::Damaged {
        path,
        what: "it holds no identity",
    })?;
    Ok(Some(identity))
}

pub(super) fn encode(identity: &Identity) -> Zeroizing<Vec<u8>> {
    let seed = identity.to_seed();
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize));
    let mut hex = Zeroizing::new([0u8; 64]);
    HEXLOWER.encode_mut(seed.expose(), hex.as_mut());
    text.extend_from_slice(HEADER.as_bytes());
    text.extend_from_slice(b"\nseed ");
    text.extend_from_slice(hex.as_ref());
    text.extend_from_slice(b"\nkey ");
    HEXLOWER.encode_mut(identity.key().as_bytes(), hex.as_mut());
    text.extend_from_slice(hex.as_ref());
    text.push(b'\n');
    text
}

pub(super) fn decode(bytes: &[u8]) -> Option<Identity> {
    let mut lines = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split('\n');
    if lines.next()? != HEADER {
        return None;
    }
    let seed = hex32(lines.next()?.strip_prefix("seed ")?)?;
    let key = hex32(lines.next()?.strip_prefix("key ")?)?;
    let identity = Identity::from_seed(&seed);
    (lines.next().is_none() && identity.key().as_bytes() == &*key).then_some(identity)
}

fn hex32(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    if text.len() != 64 {
        return None;
    }
    HEXLOWER.decode_mut(text.as_bytes(), bytes.as_mut()).ok()?;
    Some(bytes)
}

/// A private key that other accounts can read is refused, as ssh does: silence would hide that it may be known.
#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), ProfileError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|e| ProfileError::io("read", path, e))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(ProfileError::Exposed { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_path: &Path) -> Result<(), ProfileError> {
    Ok(())
}
