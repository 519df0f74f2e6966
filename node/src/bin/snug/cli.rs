//! The command line. Every value can come from a flag, the environment (`SNUG_…`) or the configuration file, in this order;
//! secrets can't come from any of them, only from a prompt or a file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use snug_crypto::genesis::Policy;

use crate::rules::{self, Change};

mod id;

pub use id::{IdCommand, IdExportArgs, IdImportArgs, IdPassphraseArgs, IdShowArgs, IdVerifyArgs};

/// What the man page and the long help say about how the program ends.
pub const EXIT_STATUS: &str = "\
Exit status:
  0  fine
  1  failed
  2  usage: a flag is wrong, or something is missing and there is no terminal to ask on
  3  wrong credentials, or no such room
  4  the rendezvous (or any peer) can't be reached
  5  the room was deleted, or you were removed from it
A second Ctrl-C stops at once, with status 130.

Secrets never stand on the command line: they are asked for, or read from files.
A file named - is standard input, of which the first line is taken; only one can be.";

/// A small private room: end-to-end encrypted, without a server that can read along.
#[derive(Debug, Parser)]
#[command(name = "snug", version, after_long_help = EXIT_STATUS, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub global: Global,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file (default: snug/config.toml in the user's configuration folder)
    #[arg(
        long,
        global = true,
        env = "SNUG_CONFIG",
        value_name = "FILE",
        help_heading = "Common options"
    )]
    pub config: Option<PathBuf>,

    /// Log what happens, without secrets: to standard error, or while the full screen is used to snug.log in the data folder
    #[arg(long, short, global = true, help_heading = "Common options")]
    pub verbose: bool,

    /// When to use colour; NO_COLOR turns it off too
    #[arg(
        long,
        global = true,
        env = "SNUG_COLOR",
        value_name = "WHEN",
        help_heading = "Common options"
    )]
    pub color: Option<Color>,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a rendezvous here, make a room, and enter it: the whole thing in one command
    Host(HostArgs),
    /// Make a room, at a rendezvous or with none, and print what to hand on
    Create(CreateArgs),
    /// Enter a room, with an invite, or with its Room ID and Room Key
    Join(JoinArgs),
    /// Delete a room for everybody, with its Room ID and Password
    Delete(DeleteArgs),
    /// What a room is, and a new Room Key for it
    #[command(subcommand)]
    Room(RoomCommand),
    /// List a rendezvous' public rooms
    Rooms(RoomsArgs),
    /// Hold a room's messages for its absent members, without being able to read them
    Keep(KeepArgs),
    /// Your identity
    #[command(subcommand)]
    Id(IdCommand),
    /// For auditors
    #[command(subcommand, hide = true)]
    Debug(DebugCommand),
    /// Print a script that completes this program's commands and flags in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, in roff
    Man,
}

/// Where state is kept.
#[derive(Clone, Debug, Args)]
pub struct ProfileArgs {
    /// Which of your identities to use [default: default]
    #[arg(long, env = "SNUG_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,

    /// Folder for identities and rooms (default: snug in the user's data folder)
    #[arg(long, env = "SNUG_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The passphrase of the profile is in this file; a new profile is sealed under it
    #[arg(long, env = "SNUG_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// What a keeper is told.
#[derive(Debug, Args)]
pub struct KeepArgs {
    /// The invite that the room's admin made from this keeper's offer is in this file; needed once
    #[arg(long, value_name = "FILE")]
    pub invite_file: Option<PathBuf>,

    /// Folder for the keeper's keys, and for what it holds (default: snug in the user's data folder)
    #[arg(long, env = "SNUG_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Where to listen for members; may be given more than once [default: a port of its own, TCP and QUIC]
    #[arg(long, value_name = "MULTIADDR")]
    pub listen: Vec<String>,

    /// Where members reach this machine, if not at its own addresses; may be given more than once
    #[arg(long, value_name = "MULTIADDR")]
    pub address: Vec<String>,

    /// For how many hours a message is kept
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub hours: u32,

    /// How many megabytes of messages are kept at most
    #[arg(long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub megabytes: u32,
}

/// Who we are in a room, and how we listen.
#[derive(Debug, Args)]
pub struct EnterArgs {
    /// Your name in the room: up to 64 characters; others may have the same
    #[arg(long, env = "SNUG_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// Keep nothing on disk: a new identity for this run
    #[arg(long)]
    pub ephemeral: bool,

    /// Where to listen for other members; may be given more than once [default: any free port, TCP and QUIC]
    #[arg(long, env = "SNUG_LISTEN", value_name = "MULTIADDR", value_delimiter = ',')]
    pub listen: Vec<String>,

    /// Don't let others know what you have read
    #[arg(long)]
    pub no_read_receipts: bool,

    /// Don't look for members on the local network, and don't be found there
    #[arg(long)]
    pub no_mdns: bool,

    /// Use no relay: only members who can reach each other directly meet
    #[arg(long)]
    pub no_relay: bool,

    /// Don't relay for members who can't reach each other, though they could reach you
    #[arg(long)]
    pub no_relay_for_members: bool,

    /// Don't ask the router to open a port for members elsewhere
    #[arg(long, env = "SNUG_NO_UPNP", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_upnp: bool,

    /// Lines in and out, for pipes and screen readers, instead of the full screen
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,

    /// JSON-RPC 2.0, one object a line in and out, for programs
    #[arg(long)]
    pub json: bool,
}

/// Whether there is a rendezvous at all.
#[derive(Debug, Args)]
pub struct NoServerArgs {
    /// Without any rendezvous: members find each other at the addresses in the invite, and where they met before
    #[arg(long, conflicts_with = "server")]
    pub no_server: bool,
}

/// Which rendezvous.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The rendezvous, as http:// or https:// URL [env: SNUG_SERVER, which an invite overrides]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

/// The room to make.
#[derive(Debug, Args)]
pub struct NewRoomArgs {
    /// The room's ID, which its members type: 1 to 64 characters (generated if not given)
    #[arg(long, env = "SNUG_ROOM", value_name = "ID")]
    pub room: Option<String>,

    /// Take the Room Key from this file instead of generating it
    #[arg(long, env = "SNUG_ROOM_KEY_FILE", value_name = "FILE")]
    pub room_key_file: Option<PathBuf>,

    /// Take the Password, which gives power over the room, from this file instead of generating it
    #[arg(long, env = "SNUG_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Accept a Room Key that can be guessed
    #[arg(long)]
    pub allow_weak_key: bool,
}

/// The new room's rules; its admin can change them later with /policy.
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// Let newcomers in only once the admin or a moderator has approved of each
    #[arg(long)]
    pub approval: bool,

    /// Most members, 1 to 4096 [default: 100]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub max_participants: Option<u16>,

    /// How long members keep what is said, as ciphertext, for those who are away: like 12h, at most 24h, or 0 [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = rules::retention)]
    pub retention: Option<u32>,

    /// How long whoever is away stays a member: from 15m to 90d [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = rules::grace)]
    pub grace: Option<u32>,
}

impl RulesArgs {
    /// The policy that they make.
    pub fn policy(&self) -> Policy {
        let change = Change {
            approval: Some(self.approval),
            max_participants: self.max_participants,
            retention_s: self.retention,
            grace_s: self.grace,
        };
        change.applied_to(Policy::default())
    }
}

/// `snug host`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct HostArgs {
    #[command(flatten)]
    pub room: NewRoomArgs,

    #[command(flatten)]
    pub rules: RulesArgs,

    /// Where the rendezvous listens; port 0 takes a free one
    #[arg(
        long,
        env = "SNUG_LISTEN_HTTP",
        value_name = "HOST:PORT",
        default_value = "[::]:7070"
    )]
    pub listen_http: String,

    #[command(flatten)]
    pub enter: EnterArgs,

    #[command(flatten)]
    pub profile: ProfileArgs,
}

/// `snug create`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct CreateArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    #[command(flatten)]
    pub no_server: NoServerArgs,

    #[command(flatten)]
    pub room: NewRoomArgs,

    #[command(flatten)]
    pub rules: RulesArgs,

    /// What the room is for, in a line; its members see it, and with --listed everybody
    #[arg(long, value_name = "TEXT", conflicts_with = "description_file")]
    pub description: Option<String>,

    /// Take the description from this file's first line
    #[arg(long, value_name = "FILE")]
    pub description_file: Option<PathBuf>,

    /// Publish Room ID and description in the rendezvous' directory; the Room Key is still needed to enter
    #[arg(long, conflicts_with = "no_server")]
    pub listed: bool,

    /// Enter the room after making it
    #[arg(long)]
    pub join: bool,

    /// A token that the rendezvous' host gave you to make rooms with is in this file
    #[arg(long, env = "SNUG_REGISTRATION_TOKEN_FILE", value_name = "FILE")]
    pub registration_token_file: Option<PathBuf>,

    /// Make the room over plain http to another host, although whoever listens on the way could take it over
    #[arg(long)]
    pub insecure_registration: bool,

    #[command(flatten)]
    pub enter: EnterArgs,

    #[command(flatten)]
    pub profile: ProfileArgs,
}

/// `snug join`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct JoinArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    #[command(flatten)]
    pub no_server: NoServerArgs,

    /// The room's ID
    #[arg(long, env = "SNUG_ROOM", value_name = "ID")]
    pub room: Option<String>,

    /// The Room Key is in this file
    #[arg(long, env = "SNUG_ROOM_KEY_FILE", value_name = "FILE")]
    pub room_key_file: Option<PathBuf>,

    /// The invite is in this file; it holds Room ID, Room Key, and the server or where members are
    #[arg(
        long,
        env = "SNUG_INVITE_FILE",
        value_name = "FILE",
        conflicts_with = "room_key_file"
    )]
    pub invite_file: Option<PathBuf>,

    /// The room's Password is in this file: enter as its admin
    #[arg(long, env = "SNUG_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// The room was deleted and made anew under the same Room ID, as its members told you: trust the new one
    #[arg(long)]
    pub accept_new_room: bool,
    /// Register a new Room Key over plain http to another host, although whoever listens on the way could take the room over
    #[arg(long)]
    pub insecure_registration: bool,

    #[command(flatten)]
    pub enter: EnterArgs,

    #[command(flatten)]
    pub profile: ProfileArgs,
}

/// `snug room`.
#[derive(Debug, Subcommand)]
pub enum RoomCommand {
    /// Give everybody in the room a new Room Key, with the Password; the old one lets nobody in any more
    RotateKey(RotateKeyArgs),
    /// Print what the room is; its members don't notice
    Info(RoomInfoArgs),
}

/// `snug room info`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct RoomInfoArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// The room's ID
    #[arg(long, env = "SNUG_ROOM", value_name = "ID")]
    pub room: Option<String>,

    /// The Room Key is in this file
    #[arg(long, env = "SNUG_ROOM_KEY_FILE", value_name = "FILE")]
    pub room_key_file: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `snug room rotate-key`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct RotateKeyArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// The room's ID
    #[arg(long, env = "SNUG_ROOM", value_name = "ID")]
    pub room: Option<String>,

    /// The present Room Key is in this file
    #[arg(long, env = "SNUG_ROOM_KEY_FILE", value_name = "FILE")]
    pub room_key_file: Option<PathBuf>,

    /// The room's Password is in this file
    #[arg(long, env = "SNUG_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Take the new Room Key from this file instead of generating it
    #[arg(long, value_name = "FILE")]
    pub new_room_key_file: Option<PathBuf>,

    /// Accept a new Room Key that can be guessed
    #[arg(long)]
    pub allow_weak_key: bool,

    /// Register over plain http to another host, although whoever listens on the way could take the room over
    #[arg(long)]
    pub insecure_registration: bool,

    /// Do it although nobody is there: members who are away are shut out, and need the new Room Key from you
    #[arg(long)]
    pub alone: bool,

    /// The name under which the members see it done
    #[arg(long, env = "SNUG_NAME", value_name = "NAME", default_value = "admin")]
    pub name: String,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `snug rooms`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct RoomsArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// Only rooms whose Room ID or description holds this, in either case
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,

    /// One JSON object instead of lines for people
    #[arg(long)]
    pub json: bool,
}

/// `snug delete`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub server: ServerArgs,

    /// The room's ID
    #[arg(long, env = "SNUG_ROOM", value_name = "ID")]
    pub room: Option<String>,

    /// The room's Password is in this file
    #[arg(long, env = "SNUG_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `snug debug`.
#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Print how each key and hash of a room comes about, with label and inputs: of the test vectors' room, never of a real one
    Schedule(ScheduleArgs),
}

/// `snug debug schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
