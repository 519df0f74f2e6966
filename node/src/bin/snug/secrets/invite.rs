//! An invite that came in several lines, because somebody's screen or mail wrapped it: where it ends is known from what it holds.

use snug_crypto::bounds::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, MAX_EXTENSION_BYTES, MAX_EXTENSIONS, MAX_SECRET_BYTES};
use snug_crypto::bounds::{MAX_INVITE_CHARS, MAX_URL_BYTES};
use snug_crypto::wire::{DecodeError, Reader};
use zeroize::Zeroizing;

/// What an invite begins with, which tells it from a Room ID where either may be typed.
const PREFIX: &str = "snug1";
/// The only version there is.
const VERSION: u8 = 1;
/// Characters of the checksum at its end.
const CHECKSUM: usize = 6;
/// Bits of a character.
const BITS: usize = 5;

/// Whether a text is to be read as an invite.
pub fn is_one(text: &str) -> bool {
    let start = text.trim_start().as_bytes().get(..PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// An invite from its first line, and from the lines that follow while it is cut short; any other text is its first line.
pub fn gather<E>(
    first: &str,
    mut next: impl FnMut() -> Result<Option<Zeroizing<String>>, E>,
) -> Result<Zeroizing<String>, E> {
    // Sized up front: a string that grows would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * MAX_INVITE_CHARS));
    text.push_str(first.trim());
    while is_one(&text) && is_cut_short(&text) {
        match next()? {
            Some(line) if !line.trim().is_empty() && text.len() + line.len() <= MAX_INVITE_CHARS => {
                text.push_str(line.trim());
            }
            _ => break,
        }
    }
    Ok(text)
}

/// Whether all of it is right so far and the end is missing. What is damaged, or too long, is not cut short.
fn is_cut_short(text: &str) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut bits, mut held, mut count) = (0u32, 0, 0usize);
    for character in text.bytes().filter(|c| !c.is_ascii_whitespace()).skip(PREFIX.len()) {
        let Some(value) = ALPHABET.iter().position(|c| *c == character.to_ascii_lowercase()) else {
            return false;
        };
        bits = (bits << BITS | value as u32) & 0xFFF;
        (held, count) = (held + BITS, count + 1);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xFF) as u8);
        }
    }
    let mut reader = Reader::new(&bytes);
    match read(&mut reader) {
        Ok(()) => {
            let read = bytes.len() - reader.remaining();
            count < (read * 8).div_ceil(BITS) + CHECKSUM
        }
        Err(DecodeError::Truncated) => true,
        Err(_) => false,
    }
}

/// Passes over the fields of an invite (docs/PROTOCOL.md, "Invites").
fn read(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    if reader.u8()? != VERSION {
        return Err(DecodeError::Unsupported { what: "invite" });
    }
    reader.option("server", |r| r.lp("server", MAX_URL_BYTES).map(drop))?;
    reader.lp("room id", MAX_SECRET_BYTES)?;
    reader.lp("room key", MAX_SECRET_BYTES)?;
    reader.raw(32)?;
    reader.option("generation", |r| r.raw(40 + 32).map(drop))?;
    reader.list("addresses", MAX_ADDRESSES, |r| {
        r.lp("address", MAX_ADDRESS_BYTES).map(drop)
    })?;
    reader.list("extensions", MAX_EXTENSIONS, |r| {
        r.u16()?;
        r.lp("extension", MAX_EXTENSION_BYTES).map(drop)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use snug_crypto::ids::GenesisHash;
    use snug_crypto::invite::Invite;
    use snug_crypto::names::{RoomId, RoomKey};

    use super::*;

    fn invite() -> String {
        let invite = Invite {
            server: Some("http://192.168.1.20:7070/".to_owned()),
            room_id: RoomId::parse("den").unwrap(),
            room_key: RoomKey::parse("one two three four five six seven").unwrap(),
            genesis_hash: GenesisHash::from_bytes([7; 32]),
            serverless: None,
            genesis: None,
            addresses: vec!["/ip4/192.0.2.1/tcp/4001".to_owned()],
        };
        invite.to_text().unwrap().to_string()
    }

    #[test]
    fn an_invite_is_cut_short_at_each_place_but_its_end() {
        for text in [invite(), invite().to_uppercase()] {
            for len in PREFIX.len()..text.len() {
                assert!(is_cut_short(&text[..len]), "cut at {len}");
            }
            assert!(!is_cut_short(&text));
            assert!(!is_cut_short(&format!("{text}q")));
        }
        assert!(!is_cut_short("snug1 hello, world"));
    }

    #[test]
    fn wrapped_lines_are_joined_and_no_line_more_is_taken() {
        for width in [1, 40, 72, 500] {
            let text = invite();
            let mut lines: Vec<String> = text
                .as_bytes()
                .chunks(width)
                .map(|c| String::from_utf8_lossy(c).into())
                .collect();
            // Only the first line tells what it is.
            if width < PREFIX.len() {
                let first: String = lines.drain(..PREFIX.len()).collect();
                lines.insert(0, first);
            }
            lines.push("hello, den".to_owned());
            let mut lines = lines.into_iter().map(|line| format!("  {line}\r\n"));
            let first = lines.next().unwrap();
            let whole = gather::<Infallible>(&first, || Ok(lines.next().map(Zeroizing::new))).unwrap();
            assert_eq!(*whole, text, "{width}");
            assert_eq!(lines.next().unwrap().trim(), "hello, den");
        }
        let other = gather::<Infallible>("den", || panic!("a Room ID has one line")).unwrap();
        assert_eq!(*other, "den");
    }
}
