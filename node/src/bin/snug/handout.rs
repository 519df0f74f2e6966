//! What is handed on so that others can join: the room's credentials, the invite, and a QR code of it.

use libp2p::Multiaddr;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::{Value, json};
use snug::rendezvous::ServerUrl;
use snug::text::{Untrusted, width};
use snug_crypto::genesis::Genesis;
use snug_crypto::ids::GenesisHash;
use snug_crypto::invite::{Invite, Serverless};
use snug_crypto::names::{Password, RoomId, RoomKey};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Black on white, and back.
const PAINT: &str = "\u{1b}[30;107m";
const UNPAINT: &str = "\u{1b}[0m";

/// Where newcomers find the room.
#[derive(Clone)]
pub enum At {
    /// At its rendezvous.
    Server(ServerUrl),
    /// Where its members are; the invite says all that a rendezvous would.
    Members(Box<Founding>),
}

/// What an invite to a room without a rendezvous holds besides the Room Key; as secret.
#[derive(Clone)]
pub struct Founding {
    /// The founding record.
    pub genesis: Genesis,
    /// What the group's keys come from, with the Room Key.
    pub serverless: Serverless,
    /// Where members may be reached.
    pub addresses: Vec<String>,
}

/// A room's credentials as their holder knows them. It has no `Debug`: all of it is secret but the id and the server.
#[derive(Clone)]
pub struct Handout {
    /// The room.
    pub room: RoomId,
    /// Lets in.
    pub room_key: RoomKey,
    /// Deletes; known to whoever made the room.
    pub password: Option<Password>,
    /// Where the room is found.
    pub at: At,
    /// The founding record that it must be.
    pub genesis: GenesisHash,
    /// All of it but the Password in one line.
    pub invite: Zeroizing<String>,
}

impl Handout {
    /// The same room as others reach it, at another address of the same server.
    pub fn at(self, server: ServerUrl) -> Result<Self, Failure> {
        Self::new(
            self.room,
            self.room_key,
            self.password,
            At::Server(server),
            self.genesis,
        )
    }

    /// The room has another Room Key: that is what to hand on from now on.
    pub fn rekey(&mut self, room_key: &RoomKey, serverless: &Serverless) {
        let mut at = self.at.clone();
        if let At::Members(founding) = &mut at {
            founding.serverless = serverless.clone();
        }
        self.remake(room_key.clone(), at);
    }

    /// Where the members are now, which only a room without a rendezvous has to say.
    pub fn found_at(mut self, addresses: &[Multiaddr]) -> Self {
        if let At::Members(founding) = &self.at
            && !addresses.is_empty()
        {
            let mut founding = founding.clone();
            founding.addresses = addresses.iter().map(Multiaddr::to_string).collect();
            self.remake(self.room_key.clone(), At::Members(founding));
        }
        self
    }

    fn remake(&mut self, room_key: RoomKey, at: At) {
        match Self::new(self.room.clone(), room_key, self.password.clone(), at, self.genesis) {
            Ok(handout) => *self = handout,
            // The same invite was made before, with another key or other addresses.
            Err(_) => tracing::error!("no invite can be made for what the room is now"),
        }
    }

    /// Makes the invite for these.
    pub fn new(
        room: RoomId,
        room_key: RoomKey,
        password: Option<Password>,
        at: At,
        genesis: GenesisHash,
    ) -> Result<Self, Failure> {
        let mut invite = Invite {
            server: None,
            room_id: room.clone(),
            room_key: room_key.clone(),
            genesis_hash: genesis,
            serverless: None,
            genesis: None,
            addresses: Vec::new(),
        };
        match &at {
            At::Server(server) => invite.server = Some(server.as_str().to_owned()),
            At::Members(founding) => {
                invite.genesis = Some(Box::new(founding.genesis.clone()));
                invite.serverless = Some(founding.serverless.clone());
                invite.addresses.clone_from(&founding.addresses);
            }
        }
        let invite = invite.to_text().map_err(|error| {
            Failure::failed(format_args!("no invite can be made: {error}")).help("give the server a shorter address")
        })?;
        Ok(Self {
            room,
            room_key,
            password,
            at,
            genesis,
            invite,
        })
    }

    fn server(&self) -> Option<&ServerUrl> {
        match &self.at {
            At::Server(server) => Some(server),
            At::Members(_) => None,
        }
    }

    /// One JSON object, as `create --json` prints it.
    pub fn card(&self) -> Value {
        json!({
            "room": self.room.as_str(),
            "room_key": self.room_key.reveal(),
            "password": self.password.as_ref().map(Password::reveal),
            "invite": self.invite.as_str(),
            "server": self.server().map(ServerUrl::as_str),
        })
    }

    /// For whoever made the room: all of it, a value a line.
    pub fn for_its_maker(&self) -> Vec<String> {
        let mut lines = vec![format!("Room ID: {}", self.shown_room())];
        lines.push(format!("Room Key: {}", shown(self.room_key.reveal())));
        if let Some(password) = &self.password {
            lines.push(format!("Password: {}", shown(password.reveal())));
        }
        match &self.at {
            At::Server(server) => lines.push(format!("Server: {server}")),
            At::Members(founding) => {
                lines.push("Server: none".to_owned());
                let shown = founding.addresses.iter().map(|address| shown(address));
                lines.push(format!("Reached at: {}", shown.collect::<Vec<_>>().join(" ")));
            }
        }
        lines.push(format!("Invite: {}", self.invite.as_str()));
        lines.push(String::new());
        lines.push(match &self.at {
            At::Server(_) => {
                "Hand on the invite to those who may enter; keep the Password to yourself: it deletes the room.".into()
            }
            At::Members(_) => {
                "Hand on the invite to those who may enter: somebody must be in the room when they do, at one of these \
                               addresses. There is no Password: your profile holds the power over the room."
                    .into()
            }
        });
        lines.extend(self.how_to_join());
        lines
    }

    /// For `/invite`: what others need to enter.
    pub fn to_hand_on(&self) -> Vec<String> {
        let mut lines = vec![format!("Invite: {}", self.invite.as_str())];
        lines.extend(self.how_to_join());
        lines
    }

    fn how_to_join(&self) -> Vec<String> {
        let room = quoted(&self.shown_room());
        let mut lines = vec!["To enter with the invite: snug join".to_owned()];
        lines.extend(
            (self.server())
                .map(|server| format!("To enter with the Room Key: snug join --server {server} --room {room}")),
        );
        lines
    }

    fn shown_room(&self) -> String {
        shown(self.room.as_str())
    }

    /// The invite as a QR code for a terminal of this size (cells) that these lines stay on too, or nothing if it doesn't fit:
    /// what is to be copied must not scroll away.
    /// With colour it is black on white whatever the terminal's own; without, it assumes light text on a dark ground.
    pub fn qr(&self, above: &[String], columns: usize, rows: usize, color: bool) -> Vec<String> {
        // Capitals take a third less room in a code, and the invite is the same in either case.
        let text = Zeroizing::new(self.invite.to_uppercase());
        let image = self::qr(&text, color);
        let taken: usize = above.iter().map(|line| rows_of(line, columns)).sum();
        let cells = |line: &String| width(&plain(line));
        let fits = image.iter().all(|line| cells(line) <= columns) && image.len() + taken <= rows;
        if fits { image } else { Vec::new() }
    }
}

/// A QR code in lines. With colour it is black on white whatever the terminal's own; without, it assumes light text on a dark ground.
pub fn qr(text: &str, color: bool) -> Vec<String> {
    let Ok(code) = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L) else {
        return Vec::new();
    };
    let mut renderer = code.render::<Dense1x2>();
    renderer.quiet_zone(true);
    if !color {
        renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    }
    let paint = |line: &str| match color {
        true => format!("{PAINT}{line}{UNPAINT}"),
        false => line.to_owned(),
    };
    renderer.build().lines().map(paint).collect()
}

/// A line of a code without its colour.
fn plain(line: &str) -> String {
    line.trim_start_matches(PAINT).trim_end_matches(UNPAINT).to_owned()
}

/// Rows that a terminal gives to a printed line.
fn rows_of(line: &str, columns: usize) -> usize {
    width(line).div_ceil(columns.max(1)).max(1)
}

/// Our own secrets may hold any character that isn't a control: even so nothing unclean is printed.
fn shown(text: &str) -> String {
    Untrusted::new(text).line()
}

/// One word of a shell's command line.
fn quoted(word: &str) -> String {
    let plain = word
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ','));
    if plain && !word.starts_with('-') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
