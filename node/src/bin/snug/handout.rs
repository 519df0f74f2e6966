//! What is handed on so that others can join: the room's credentials, the invite, and a QR code of it.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::{Value, json};
use snug::rendezvous::ServerUrl;
use snug::text::{Untrusted, width};
use snug_crypto::ids::GenesisHash;
use snug_crypto::invite::Invite;
use snug_crypto::names::{Password, RoomId, RoomKey};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Black on white, and back.
const PAINT: &str = "\u{1b}[30;107m";
const UNPAINT: &str = "\u{1b}[0m";

/// A room's credentials as their holder knows them. It has no `Debug`: all of it is secret but the id and the server.
pub struct Handout {
    /// The room.
    pub room: RoomId,
    /// Lets in.
    pub room_key: RoomKey,
    /// Deletes; known to whoever made the room.
    pub password: Option<Password>,
    /// Where the room is found.
    pub server: ServerUrl,
    /// The founding record that it must be.
    pub genesis: GenesisHash,
    /// All of it but the Password in one line.
    pub invite: Zeroizing<String>,
}

impl Handout {
    /// The same room as others reach it, at another address of the same server.
    pub fn at(self, server: ServerUrl) -> Result<Self, Failure> {
        Self::new(self.room, self.room_key, self.password, server, self.genesis)
    }

    /// The room has another Room Key: that is what to hand on from now on.
    pub fn rekey(&mut self, room_key: &RoomKey) {
        let made = Self::new(
            self.room.clone(),
            room_key.clone(),
            self.password.clone(),
            self.server.clone(),
            self.genesis,
        );
        match made {
            Ok(handout) => *self = handout,
            // The same invite was made before, with another key.
            Err(_) => tracing::error!("no invite can be made for the new Room Key"),
        }
    }

    /// Makes the invite for these.
    pub fn new(
        room: RoomId,
        room_key: RoomKey,
        password: Option<Password>,
        server: ServerUrl,
        genesis: GenesisHash,
    ) -> Result<Self, Failure> {
        let invite = Invite {
            server: Some(server.as_str().to_owned()),
            room_id: room.clone(),
            room_key: room_key.clone(),
            genesis_hash: genesis,
            serverless: None,
            addresses: Vec::new(),
        };
        let invite = invite.to_text().map_err(|error| {
            Failure::failed(format_args!("no invite can be made: {error}")).help("give the server a shorter address")
        })?;
        Ok(Self {
            room,
            room_key,
            password,
            server,
            genesis,
            invite,
        })
    }

    /// One JSON object, as `create --json` prints it.
    pub fn card(&self) -> Value {
        json!({
            "room": self.room.as_str(),
            "room_key": self.room_key.reveal(),
            "password": self.password.as_ref().map(Password::reveal),
            "invite": self.invite.as_str(),
            "server": self.server.as_str(),
        })
    }

    /// For whoever made the room: all of it, a value a line.
    pub fn for_its_maker(&self) -> Vec<String> {
        let mut lines = vec![format!("Room ID: {}", self.shown_room())];
        lines.push(format!("Room Key: {}", shown(self.room_key.reveal())));
        if let Some(password) = &self.password {
            lines.push(format!("Password: {}", shown(password.reveal())));
        }
        lines.push(format!("Server: {}", self.server));
        lines.push(format!("Invite: {}", self.invite.as_str()));
        lines.push(String::new());
        lines.push(
            "Hand on the invite to those who may enter; keep the Password to yourself: it deletes the room.".into(),
        );
        lines.extend(self.how_to_join());
        lines
    }

    /// For `/invite`: what others need to enter.
    pub fn to_hand_on(&self) -> Vec<String> {
        let mut lines = vec![format!("Invite: {}", self.invite.as_str())];
        lines.extend(self.how_to_join());
        lines
    }

    fn how_to_join(&self) -> [String; 2] {
        let room = quoted(&self.shown_room());
        [
            "To enter with the invite: snug join".to_owned(),
            format!(
                "To enter with the Room Key: snug join --server {} --room {room}",
                self.server
            ),
        ]
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
