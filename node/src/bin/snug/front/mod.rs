//! The front ends: what is between a room and a person, or a program.

mod acts;
mod audit;
mod direct;
mod input;
mod interrupt;
pub mod json;
mod output;
mod parked;
mod people;
pub mod plain;
mod receipts;
mod rpc;
mod session;
pub mod tui;
mod turns;
mod typed;
mod verify;

use std::io::IsTerminal as _;

use snug::engine::{CloseReason, Events, Handle};

pub use self::interrupt::Interrupts;
use crate::chosen::KnownPassword;
use crate::cli::EnterArgs;
use crate::failure::{Exit, Failure};
use crate::handout::Handout;

/// Which front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// The full screen.
    Tui,
    /// Lines for people.
    Plain,
    /// JSON-RPC for programs.
    Json,
}

impl Front {
    /// As asked for; else the full screen, where there is one.
    pub fn choose(args: &EnterArgs) -> Self {
        if args.json {
            Self::Json
        } else if args.plain || !has_screen() {
            Self::Plain
        } else {
            Self::Tui
        }
    }
}

/// Whether a person sits before a terminal that can be drawn on.
fn has_screen() -> bool {
    let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb") || cfg!(windows);
    able && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// What every front end is given.
pub struct Room {
    /// The running node.
    pub handle: Handle,
    /// What it tells.
    pub events: Events,
    /// What to hand on, for `/invite`.
    pub handout: Handout,
    /// Tells the Password from other texts, if it was known when the room was entered.
    pub password: Option<KnownPassword>,
    /// Whether nothing of this run is kept.
    pub ephemeral: bool,
    /// Whether it was made by this very command: what is to be handed on was just printed.
    pub made_here: bool,
    /// Whether colour may be used.
    pub color: bool,
}

/// How a front end ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The room closed, for this reason.
    Closed(CloseReason),
    /// A second Ctrl-C.
    Stopped,
    /// Input ended, and something of it could not be sent in time.
    Unsent,
}

impl End {
    /// The process's exit status.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Closed(reason) => reason.exit_status(),
            // What a shell says of a process that SIGINT ended.
            Self::Stopped => 130,
            Self::Unsent => Exit::Failed as u8,
        }
    }
}

/// Runs a front end until the room is left or closes.
pub async fn run(front: Front, room: Room) -> Result<End, Failure> {
    match front {
        Front::Tui => tui::run(room).await,
        Front::Plain => plain::run(room).await,
        Front::Json => json::run(room).await,
    }
}
