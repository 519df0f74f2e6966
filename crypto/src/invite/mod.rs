//! Everything that a newcomer needs, in one line: docs/PROTOCOL.md, "Invites".
//!
//! Bech32m with the prefix `snug`, without a length limit, of
//! `01 ‖ option lp(server) ‖ lp(room_id) ‖ lp(room_key) ‖ genesis_hash(32) ‖ option (generation(40) ‖ r(32)) ‖ addresses ‖
//! extensions`. An invite holds the Room Key: treat it as one. Extension 1 is the room's genesis, for rooms without a rendezvous that would
//! hand it out.

pub(crate) mod bech32m;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    Generation, GenesisHash, RoomId, RoomKey, RoomRandom, bounds,
    extensions::Extensions,
    genesis::Genesis,
    wire::{DecodeError, Reader, Writer},
};

const PREFIX: &str = "snug";
const VERSION: u8 = 1;
/// The extension that holds the genesis.
const GENESIS: u16 = 1;

/// An invite to a room.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The rendezvous, if the room has one.
    pub server: Option<String>,
    /// The room's id.
    pub room_id: RoomId,
    /// What lets one in.
    pub room_key: RoomKey,
    /// Which room it must be: another genesis under this id is refused.
    pub genesis_hash: GenesisHash,
    /// What the rendezvous' capsule would tell; for rooms without one.
    pub serverless: Option<Serverless>,
    /// The founding record itself, verified; for rooms without a rendezvous.
    pub genesis: Option<Box<Genesis>>,
    /// Where members may be reached.
    pub addresses: Vec<String>,
}

/// A generation and its random half, carried by hand.
#[derive(Clone, Debug)]
pub struct Serverless {
    /// The generation.
    pub generation: Generation,
    /// Its random half.
    pub random: RoomRandom,
}

/// Why a text is no invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InviteError {
    /// A character is missing, wrong or too many.
    #[error("the invite is damaged: copy it again, from `snug1` to its end")]
    Damaged,
    /// Made by a later version.
    #[error("the invite was made by a later version of Snug")]
    LaterVersion,
    /// The characters are right, their meaning isn't.
    #[error("malformed invite: {0}")]
    Malformed(#[from] DecodeError),
}

/// A field of the invite is above its bound, so that nobody could read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} is too long for an invite")]
pub struct InviteTooLarge {
    /// Which one.
    pub what: &'static str,
}

impl Invite {
    /// The invite as a line of text, `snug1…`.
    ///
    /// # Errors
    /// [`InviteTooLarge`] for a server, a genesis, an address or a number of addresses above the bounds.
    pub fn to_text(&self) -> Result<Zeroizing<String>, InviteTooLarge> {
        if self
            .server
            .as_ref()
            .is_some_and(|server| server.len() > bounds::MAX_URL_BYTES)
        {
            return Err(InviteTooLarge {
                what: "the server's URL",
            });
        }
        if self
            .addresses
            .iter()
            .any(|address| address.len() > bounds::MAX_ADDRESS_BYTES)
        {
            return Err(InviteTooLarge { what: "an address" });
        }
        if self.addresses.len() > bounds::MAX_ADDRESSES {
            return Err(InviteTooLarge {
                what: "the list of addresses",
            });
        }
        let extensions = match &self.genesis {
            Some(genesis) => Extensions::one(GENESIS, genesis.encode()),
            None => Extensions::none(),
        };
        if (extensions.get(GENESIS)).is_some_and(|genesis| genesis.len() > bounds::MAX_EXTENSION_BYTES) {
            return Err(InviteTooLarge {
                what: "the room's founding record",
            });
        }
        let mut writer = Writer::with_capacity(bounds::MAX_INVITE_CHARS);
        writer.u8(VERSION).option(self.server.as_ref(), |w, server| {
            w.lp(server.as_bytes());
        });
        writer
            .lp(self.room_id.as_str().as_bytes())
            .lp(self.room_key.reveal().as_bytes());
        writer.raw(self.genesis_hash.as_bytes());
        writer.option(self.serverless.as_ref(), |w, serverless| {
            serverless.generation.write(w);
            w.raw(serverless.random.expose());
        });
        writer.list(&self.addresses, |w, address| {
            w.lp(address.as_bytes());
        });
        extensions.write(&mut writer);
        let bytes = Zeroizing::new(writer.finish());
        let mut text = Zeroizing::new(String::with_capacity(bech32m::encoded_len(PREFIX, bytes.len())));
        bech32m::encode_to(PREFIX, &bytes, &mut text);
        Ok(text)
    }

    /// Reads an invite; white space around it and inside it (a line that was wrapped) doesn't matter.
    ///
    /// # Errors
    /// [`InviteError`].
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        if text.len() > bounds::MAX_INVITE_CHARS {
            return Err(InviteError::Damaged);
        }
        let mut line = Zeroizing::new(String::with_capacity(text.len()));
        line.extend(text.chars().filter(|character| !character.is_whitespace()));
        let mut bytes = Zeroizing::new(Vec::with_capacity(line.len()));
        if !bech32m::decode_to(PREFIX, &line, &mut bytes) {
            return Err(InviteError::Damaged);
        }
        let mut reader = Reader::new(&bytes);
        if reader.u8()? != VERSION {
            return Err(InviteError::LaterVersion);
        }
        let server = reader.option("server", |r| r.text("server", bounds::MAX_URL_BYTES).map(str::to_owned))?;
        let room_id = reader.text("room id", bounds::MAX_ROOM_ID_CHARS * 4)?;
        let room_id = RoomId::from_wire(room_id).ok_or(DecodeError::Invalid { what: "room id" })?;
        let room_key = reader.text("room key", bounds::MAX_SECRET_BYTES)?;
        let room_key = RoomKey::from_wire(room_key).ok_or(DecodeError::Invalid { what: "room key" })?;
        let genesis_hash = GenesisHash::from_bytes(reader.array()?);
        let serverless = reader.option("generation", |r| {
            let generation = Generation::read(r)?;
            Ok(Serverless {
                generation,
                random: RoomRandom::from_bytes(r.array()?),
            })
        })?;
        let addresses = reader.list("addresses", bounds::MAX_ADDRESSES, |r| {
            r.text("address", bounds::MAX_ADDRESS_BYTES).map(str::to_owned)
        })?;
        let extensions = Extensions::read(&mut reader, &[])?;
        reader.finish()?;
        let genesis = match extensions.get(GENESIS) {
            // Signed, and the one that the invite names: whoever enters relies on it without asking anybody.
            Some(bytes) => Some(Box::new(
                Genesis::decode(bytes)
                    .ok()
                    .filter(|genesis| genesis.hash() == genesis_hash && *genesis.room_id() == room_id)
                    .ok_or(DecodeError::Invalid { what: "genesis" })?,
            )),
            None => None,
        };
        Ok(Self {
            server,
            room_id,
            room_key,
            genesis_hash,
            serverless,
            genesis,
            addresses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdminKey, OperationHash, genesis::Policy};

    fn invite() -> Invite {
        Invite {
            server: Some("https://rendezvous.example".to_owned()),
            room_id: RoomId::parse("den").unwrap(),
            room_key: RoomKey::parse("correct horse battery").unwrap(),
            genesis_hash: GenesisHash::from_bytes([7; 32]),
            serverless: None,
            genesis: None,
            addresses: vec!["/ip4/192.0.2.1/tcp/4001".to_owned()],
        }
    }

    #[test]
    fn an_invite_survives_a_paste() {
        let text = invite().to_text().unwrap();
        assert!(text.starts_with("snug1"));
        let (head, tail) = text.split_at(40);
        let back = Invite::parse(&format!("  {head}\n  {tail}\r\n")).unwrap();
        assert_eq!(
            (back.server, back.room_id, back.addresses),
            (invite().server, invite().room_id, invite().addresses)
        );
        assert_eq!(back.room_key.reveal(), invite().room_key.reveal());
        assert_eq!(back.genesis_hash, invite().genesis_hash);
    }

    #[test]
    fn a_room_without_a_server_travels_whole() {
        let generation = Generation {
            count: 3,
            hash: OperationHash::from_bytes([8; 32]),
        };
        let serverless = Some(Serverless {
            generation,
            random: RoomRandom::from_bytes([9; 32]),
        });
        let text = Invite {
            server: None,
            serverless,
            ..invite()
        }
        .to_text()
        .unwrap();
        let serverless = Invite::parse(&text).unwrap().serverless.unwrap();
        assert_eq!(
            (serverless.generation, *serverless.random.expose()),
            (generation, [9; 32])
        );
    }

    #[test]
    fn a_founding_record_must_be_the_one_that_the_invite_names() {
        let admin = AdminKey::from_seed(&[5; 32]);
        let genesis = |id: &str| {
            let id = RoomId::parse(id).unwrap();
            Box::new(Genesis::create(&admin, &id, "a place", 1_700_000_000_000, Policy::default()).unwrap())
        };
        let (den, other) = (genesis("den"), genesis("attic"));
        let text = |named: &Genesis, held: &Genesis| {
            let held = Some(Box::new(held.clone()));
            let invite = Invite {
                genesis_hash: named.hash(),
                genesis: held,
                ..invite()
            };
            invite.to_text().unwrap()
        };
        assert_eq!(Invite::parse(&text(&den, &den)).unwrap().genesis, Some(den.clone()));
        for (named, held) in [(&den, &other), (&other, &den), (&other, &other)] {
            let error = Invite::parse(&text(named, held)).unwrap_err();
            assert_eq!(error, DecodeError::Invalid { what: "genesis" }.into());
        }
    }

    #[test]
    fn damage_is_told_from_a_later_version() {
        let text = invite().to_text().unwrap();
        assert_eq!(
            Invite::parse(&text[..text.len() - 1]).unwrap_err(),
            InviteError::Damaged
        );
        assert_eq!(Invite::parse("hello").unwrap_err(), InviteError::Damaged);
        let mut later = String::new();
        bech32m::encode_to(PREFIX, &[2, 0], &mut later);
        assert_eq!(Invite::parse(&later).unwrap_err(), InviteError::LaterVersion);
    }

    #[test]
    fn what_nobody_could_read_is_not_written() {
        let long = Invite {
            addresses: vec![String::new(); 17],
            ..invite()
        };
        assert_eq!(long.to_text().unwrap_err().what, "the list of addresses");
    }

    #[test]
    fn debug_shows_no_key() {
        assert!(!format!("{:?}", invite()).contains("horse"));
    }
}
