//! What the program is told on its command line.

pub mod check;
pub mod hosting;
mod logging;
pub mod serve;
pub mod settings;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use snug_rendezvous::settings::{Mistake, Resolved};

use self::settings::{Place, Settings};

/// Introduces the members of Snug rooms to each other, without being able to read a word.
#[derive(Debug, Parser)]
#[command(name = "snug-rendezvous", version, arg_required_else_help = true, after_help = EXIT_STATUS, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve rooms until told to stop (SIGINT, SIGTERM); SIGHUP reads the settings again
    #[command(after_help = AFTER_SERVE)]
    Serve(Settings),
    /// Look at the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what works, what doesn't, and what to do about it
    #[command(after_help = EXIT_STATUS)]
    Doctor {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Place,
    },
    /// Back up the rooms and the server key into one file, while the server runs or not
    #[command(after_help = AFTER_BACKUP)]
    Backup {
        /// The file to make (mode 0600); it must not exist
        file: PathBuf,
        /// Leave the server key out, to keep it in another place than the rooms
        #[arg(long)]
        without_key: bool,
        #[command(flatten)]
        settings: Place,
    },
    /// Restore a backup where there is no store yet; everybody logs in again
    #[command(after_help = AFTER_RESTORE)]
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        settings: Place,
    },
    /// Look at rooms and remove them, by names that say nothing of what they are called
    #[command(subcommand)]
    Room(RoomCommand),
    /// Change the server key
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// `snug-rendezvous config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with the settings, and what of their files can't be used
    #[command(after_help = EXIT_STATUS)]
    Check(Place),
    /// Print all settings in force and where each comes from; passwords are left out
    #[command(after_help = EXIT_STATUS)]
    Show(Place),
    /// Print a commented file with every setting and its default
    Example,
}

/// `snug-rendezvous key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Put a new key into force, from the next start on; rooms that exist stay under the former one
    #[command(after_help = AFTER_ROTATE)]
    Rotate(Place),
}

/// `snug-rendezvous room`.
#[derive(Debug, Subcommand)]
pub enum RoomCommand {
    /// List all rooms, also those that ended in the last 30 days
    #[command(after_help = EXIT_STATUS)]
    List {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Place,
    },
    /// Show one room
    #[command(after_help = EXIT_STATUS)]
    Show {
        /// What `room list` calls it, or the handle that its members know: 64 hexadecimal digits
        room: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Place,
    },
    /// Remove a room from this rendezvous; its members are told that its host did so
    #[command(after_help = AFTER_DELETE)]
    Delete {
        /// What `room list` calls it, or the handle that its members know: 64 hexadecimal digits
        room: String,
        /// Don't ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        settings: Place,
    },
}

const EXIT_STATUS: &str = "Exit status: 0 fine; 1 failed; 2 usage, or settings that can't be.";

const AFTER_SERVE: &str = "\
Once it serves it prints one line on standard output: listening on http://HOST:PORT (https with certificates). The log goes \
to standard error and holds no room, address or token. A flag wins over its environment variable, that over the file.

The first start makes the data folder and a server key in it (server.key, 32 bytes, mode 0600). Keep a copy of the key: \
without it no room in the store can be reached again.

Exit status: 0 fine; 1 failed; 2 usage, or settings that can't be.";

const AFTER_BACKUP: &str = "\
Sessions, presence and login attempts are not part of it. Whoever has both the rooms and the key can try Room Keys against \
them: keep the file as safe as the server. For MongoDB use mongodump, and copy the server key file.

Exit status: 0 fine; 1 failed, and no file was made; 2 usage, or settings that can't be.";

const AFTER_RESTORE: &str = "\
It refuses to overwrite a store, or another server key. Stop the server first, and move away what is there.

Exit status: 0 fine; 1 failed, and nothing was made; 2 usage, or settings that can't be.";

const AFTER_ROTATE: &str = "\
The former keys stay in the file, behind the new one: rooms that were made under them need them for as long as there are such \
rooms. A Room Key or Password that is changed moves to the new key. Whoever stole the former key and the rooms can go on \
trying Room Keys against what was registered under it; nothing at the server changes that. Restart the server (all instances, \
with the same file), and make a backup; everybody logs in again, by themselves.

Exit status: 0 fine; 1 failed, and nothing changed; 2 usage, or settings that can't be.";

const AFTER_DELETE: &str = "\
The room's capsules and presence go at once; its Room ID stays taken for 30 days. Its members can still talk to each other, \
as messages don't pass this server; nobody new finds them. What they are told is that the host removed it, as only its \
admin can delete it.

Exit status: 0 fine; 1 failed; 2 usage, or settings that can't be.";

/// Prints completions.
pub fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "snug-rendezvous", &mut text);
    print(&text)
}

/// Prints the manual: the program's page, then one for each command.
pub fn man() -> ExitCode {
    let mut text = Vec::new();
    let mut command = Cli::command();
    command.build();
    let groups = command
        .get_subcommands()
        .flat_map(|group| std::iter::once(group).chain(group.get_subcommands()));
    let pages = std::iter::once(&command).chain(groups).cloned();
    for page in pages.filter(|page| page.get_name() != "help") {
        if let Err(error) = clap_mangen::Man::new(page).render(&mut text) {
            return fail(&error);
        }
    }
    print(&text)
}

/// Prints to standard output.
fn print(text: &[u8]) -> ExitCode {
    match io::stdout().write_all(text).and_then(|()| io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Says what went wrong.
pub fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    // Nowhere left to say that standard error is gone.
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

/// Usage and settings that can't be.
const USAGE: u8 = 2;

/// The settings, or all that is wrong with them.
fn resolve(settings: &Settings) -> Result<Resolved, ExitCode> {
    settings.resolve().map_err(|mistakes| refuse(&mistakes))
}

fn refuse(mistakes: &[Mistake]) -> ExitCode {
    for mistake in mistakes {
        let _ = writeln!(io::stderr(), "error: {mistake}");
    }
    ExitCode::from(USAGE)
}
