//! The backup file: a redb store's rooms and the server key, in one file that says itself whether it is whole.
//!
//! ```text
//! file  = "snug-rendezvous backup 1\n" ‖ entry… ‖ 00 ‖ SHA-256 of everything before it
//! entry = 01 ‖ lp(name of a table) | 02 ‖ lp(key) ‖ lp(value) | 03 ‖ server key(32) | 04 ‖ time of the backup u64
//! ```
//!
//! Sessions, presence and login attempts are not in it: after a restore everybody logs in again.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::store::Piece;

const MAGIC: &[u8] = b"snug-rendezvous backup 1\n";
const END: u8 = 0;
const TABLE: u8 = 1;
const ROW: u8 = 2;
const KEY: u8 = 3;
const TIME: u8 = 4;
/// Longest field: a room's capsules have about 100 KiB, and its stored key changes less than ten times that.
const MAX_FIELD: usize = 16 * 1024 * 1024;

/// One entry of a backup.
pub(crate) enum Entry {
    /// A piece of the store.
    Piece(Piece),
    /// The server key.
    Key(Zeroizing<[u8; 32]>),
    /// When it was made, milliseconds since 1970.
    Time(u64),
}

/// A piece as it stands in the file, and on its way from a server that runs.
pub(crate) fn encode(piece: &Piece) -> Vec<u8> {
    let mut bytes = Vec::new();
    let field = |bytes: &mut Vec<u8>, field: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(field);
    };
    match piece {
        Piece::Table(name) => {
            bytes.push(TABLE);
            field(&mut bytes, name.as_bytes());
        }
        Piece::Row(key, value) => {
            bytes.push(ROW);
            field(&mut bytes, key);
            field(&mut bytes, value);
        }
    }
    bytes
}

/// Writes a backup.
pub(crate) struct Writer<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Writer<W> {
    pub fn begin(out: W, now_ms: u64) -> io::Result<Self> {
        let mut writer = Self {
            out,
            hash: Sha256::new(),
        };
        writer.raw(MAGIC)?;
        writer.raw(&[TIME])?;
        writer.raw(&now_ms.to_be_bytes())?;
        Ok(writer)
    }

    pub fn piece(&mut self, piece: &Piece) -> io::Result<()> {
        self.raw(&encode(piece))
    }

    pub fn key(&mut self, key: &[u8; 32]) -> io::Result<()> {
        self.raw(&[KEY])?;
        self.raw(key)
    }

    /// Ends the file and gives it back.
    pub fn finish(mut self) -> io::Result<W> {
        self.raw(&[END])?;
        let hash = self.hash.finalize();
        self.out.write_all(&hash)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

/// Why a file is no backup.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no backup of snug-rendezvous, or one of a newer version")]
    NoBackup,
    /// It is cut off or was changed.
    #[error("it is damaged or not whole: its checksum does not match")]
    Damaged,
}

/// Reads a backup to its end; what `take` got counts only once this is `Ok`, as the checksum stands last.
pub(crate) fn read<E: From<ReadError>>(file: impl Read, mut take: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E> {
    let mut reader = Reader {
        file,
        hash: Sha256::new(),
    };
    if reader.array::<25>()? != MAGIC {
        return Err(ReadError::NoBackup.into());
    }
    loop {
        let entry = match reader.array::<1>()? {
            [END] => break,
            [TABLE] => {
                let name = String::from_utf8(reader.field()?).map_err(|_| ReadError::Damaged)?;
                Entry::Piece(Piece::Table(name))
            }
            [ROW] => Entry::Piece(Piece::Row(reader.field()?, reader.field()?)),
            [KEY] => Entry::Key(Zeroizing::new(reader.array()?)),
            [TIME] => Entry::Time(u64::from_be_bytes(reader.array()?)),
            _ => return Err(ReadError::Damaged.into()),
        };
        take(entry)?;
    }
    let expected = reader.hash.clone().finalize();
    let found = reader.array::<32>()?;
    let rest = reader.file.read(&mut [0]).map_err(ReadError::Io)?;
    if found[..] != expected[..] || rest != 0 {
        return Err(ReadError::Damaged.into());
    }
    Ok(())
}

struct Reader<R> {
    file: R,
    hash: Sha256,
}

impl<R: Read> Reader<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<Vec<u8>, ReadError> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        if length > MAX_FIELD {
            return Err(ReadError::Damaged);
        }
        let mut bytes = Vec::new();
        // Not in one piece: the length may be made up.
        let read = (&mut self.file).take(length as u64).read_to_end(&mut bytes)?;
        self.hash.update(&bytes);
        if read == length {
            Ok(bytes)
        } else {
            Err(ReadError::Damaged)
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ReadError> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Damaged,
            _ => ReadError::Io(error),
        })?;
        self.hash.update(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), 17).unwrap();
        writer.piece(&Piece::Table("rooms".to_owned())).unwrap();
        writer.piece(&Piece::Row(vec![1; 32], vec![2; 300])).unwrap();
        writer.key(&[3; 32]).unwrap();
        writer.finish().unwrap()
    }

    /// Pieces, key, time.
    type Contents = (Vec<Piece>, Option<[u8; 32]>, u64);

    fn pieces(bytes: &[u8]) -> Result<Contents, ReadError> {
        let (mut pieces, mut key, mut time) = (Vec::new(), None, 0);
        read::<ReadError>(bytes, |entry| {
            match entry {
                Entry::Piece(piece) => pieces.push(piece),
                Entry::Key(found) => key = Some(*found),
                Entry::Time(found) => time = found,
            }
            Ok(())
        })?;
        Ok((pieces, key, time))
    }

    #[test]
    fn what_is_written_is_read() {
        let (read, key, time) = pieces(&sample()).unwrap();
        assert_eq!((key, time), (Some([3; 32]), 17));
        assert_eq!(
            read,
            [Piece::Table("rooms".to_owned()), Piece::Row(vec![1; 32], vec![2; 300])]
        );
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_seen() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(pieces(&whole[..length]).is_err(), "cut to {length}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            assert!(pieces(&flipped).is_err(), "flipped at {at}");
        }
        let longer = [whole.as_slice(), b"x"].concat();
        assert!(matches!(pieces(&longer), Err(ReadError::Damaged)));
        assert!(matches!(
            pieces(b"PK\x03\x04 and many more bytes than that"),
            Err(ReadError::NoBackup)
        ));
    }
}
