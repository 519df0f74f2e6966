//! What of a member's secrets rests on a disk, and how: docs/PROTOCOL.md, "At rest".
//!
//! Live secrets are never serialised. Each of them has a form of its own here, with a version byte, a bounded decoder and a `Debug`
//! that shows nothing; it wipes itself. Who holds bytes of these forms seals them: the [`vault`] wraps its key under a passphrase, the
//! [`log`] is what it writes.

mod epoch;
mod export;
mod frame;
pub mod log;
mod membership;
mod own;
mod pair;
pub mod vault;

use thiserror::Error;
use zeroize::Zeroizing;

pub use epoch::{ChainAtRest, EpochAtRest};
pub use export::{ExportError, export_identity, import_identity};
pub use frame::{decode_contents, decode_opened, decode_parents, encode_contents, encode_opened, encode_parents};
pub use membership::{GenerationAtRest, MembershipAtRest};
pub use own::OwnAtRest;
pub use pair::{FormerKemAtRest, HeardAtRest, ListeningAtRest, PairAtRest, SpeakingAtRest, SpokenAtRest};

use crate::wire::{DecodeError, Reader, Writer};

/// Bytes of an at-rest form, wiped when they go.
pub type RestBytes = Zeroizing<Vec<u8>>;

/// The version of every form in this module.
const VERSION: u8 = 1;

/// Why a stored form can't be taken up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestError {
    /// It isn't what it should be; a newer version's is [`DecodeError::Unsupported`].
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// Its parts don't belong together.
    #[error("{what} is missing from what was stored")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
}

/// A writer that never grows beyond `capacity`, so that no copy of a secret is left behind, with the version in front.
fn begin(capacity: usize) -> Writer {
    let mut writer = Writer::with_capacity(capacity + 1);
    writer.u8(VERSION);
    writer
}

fn finish(writer: Writer) -> RestBytes {
    Zeroizing::new(writer.finish())
}

/// A reader behind the version.
fn open<'a>(what: &'static str, bytes: &'a [u8]) -> Result<Reader<'a>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(DecodeError::Unsupported { what });
    }
    Ok(reader)
}

fn secret(reader: &mut Reader<'_>) -> Result<Zeroizing<[u8; 32]>, DecodeError> {
    reader.array().map(Zeroizing::new)
}
