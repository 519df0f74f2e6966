//! A member driven by lines: `snug … --plain`, as a pipe or a screen reader sees it.

use crate::member::RoomCard;
use crate::process::Process;
use std::process::Command;

/// Arguments that keep a member's mesh on this machine.
pub const LOOPBACK: [&str; 2] = ["--listen", "/ip4/127.0.0.1/tcp/0"];

/// A member's process, line by line.
#[derive(Debug)]
pub struct PlainMember {
    process: Process,
}

impl PlainMember {
    /// Starts a command that speaks plain lines.
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self {
            process: Process::start(name, command),
        }
    }

    /// The process, for its end and its transcript.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All lines that it has printed.
    pub fn lines(&self) -> Vec<String> {
        self.process.lines_since(0).into_iter().map(|line| line.text).collect()
    }

    /// Waits for a line that holds this text, and gives the whole line.
    pub fn sees(&self, text: &str) -> String {
        self.process.wait_line(&format!("line with {text:?}"), 0, |line| {
            line.text.contains(text).then(|| line.text.clone())
        })
    }

    /// Waits for a message: one line that names its sender and ends with its text.
    pub fn hears(&self, from: &str, text: &str) -> String {
        self.process
            .wait_line(&format!("message {text:?} from {from}"), 0, |line| {
                let head = line.text.strip_suffix(text)?;
                head.contains(from).then(|| line.text.clone())
            })
    }

    /// How many lines hold this text.
    pub fn count(&self, text: &str) -> usize {
        self.process
            .lines_since(0)
            .iter()
            .filter(|line| line.text.contains(text))
            .count()
    }

    /// Says a line in the room.
    pub fn say(&mut self, text: &str) {
        self.process.write_line(text);
    }

    /// Ends standard input and waits for an orderly end.
    pub fn hang_up(mut self) {
        self.process.close_stdin();
        assert_eq!(
            self.process.exit_code(),
            0,
            "the end of standard input is an orderly end"
        );
    }

    /// Reads what `host` and `create --join` print for people to hand on.
    pub fn card(&self) -> RoomCard {
        let value = |label: &str| {
            self.process.wait_line(&format!("line with {label:?}"), 0, |line| {
                let (_, rest) = line.text.split_once(label)?;
                Some(rest.trim().to_owned())
            })
        };
        RoomCard {
            server: value("Server:"),
            room: value("Room ID:"),
            room_key: value("Room Key:"),
            password: value("Password:"),
            invite: value("Invite:"),
        }
    }
}
