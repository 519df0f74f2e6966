//! The commands, each in a file of its own.

mod create;
mod debug;
mod delete;
mod documents;
mod errors;
mod given;
mod host;
mod id;
mod join;
mod keep;
mod lan;
mod profile;
mod room;
mod rooms;
mod serverless;
mod verify;

use std::io::IsTerminal as _;

use crate::cli::{Cli, Color, Command, DebugCommand, IdCommand, RoomCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::front::Front;
use crate::logging;

/// What every command is given.
pub struct App {
    /// The configuration file's values.
    pub config: Config,
    color: Color,
    verbose: bool,
}

/// Runs the command; its exit status if it didn't fail.
pub async fn run(cli: Cli) -> Result<u8, Failure> {
    let config = Config::load(cli.global.config.as_deref())?;
    let color = config.color(cli.global.color);
    let app = App {
        config,
        color,
        verbose: cli.global.verbose,
    };
    match cli.command {
        Command::Host(args) => host::run(&app, args).await,
        Command::Create(args) => create::run(&app, args).await,
        Command::Join(args) => join::run(&app, args).await,
        Command::Delete(args) => delete::run(&app, args).await,
        Command::Room(RoomCommand::Info(args)) => room::info(&app, args).await,
        Command::Room(RoomCommand::RotateKey(args)) => room::rotate_key(&app, args).await,
        Command::Keep(args) => keep::run(&app, args).await,
        Command::Rooms(args) => rooms::run(&app, args).await,
        Command::Id(IdCommand::Show(args)) => id::show(&app, &args),
        Command::Id(IdCommand::Verify(args)) => verify::run(&app, &args),
        Command::Id(IdCommand::Passphrase(args)) => id::passphrase(&app, &args),
        Command::Id(IdCommand::Export(args)) => id::export(&app, &args),
        Command::Id(IdCommand::Import(args)) => id::import(&app, &args),
        Command::Debug(DebugCommand::Schedule(args)) => debug::schedule(&args),
        Command::Completions { shell } => documents::completions(shell),
        Command::Man => documents::man(),
    }
}

impl App {
    /// Whether colour may go to standard output.
    pub fn color(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }

    /// Starts the log, if it was asked for. A full screen's goes to a file, and an ephemeral one's nowhere:
    /// that promised to leave nothing on disk.
    pub fn log(&self, full_screen_in: Option<(&std::path::Path, bool)>) -> Result<(), Failure> {
        match full_screen_in {
            _ if !self.verbose => Ok(()),
            Some((_, true)) => Ok(()),
            Some((data_dir, false)) => logging::to_file(data_dir),
            None => logging::to_stderr(self.color != Color::Never && std::io::stderr().is_terminal()),
        }
    }
}

/// Prints results on standard output; whoever reads them may have gone.
pub fn print(lines: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let mut written = lines.into_iter().try_for_each(|line| writeln!(stdout, "{line}"));
    written = written.and_then(|()| stdout.flush());
    written.map_err(|error| Failure::failed(format_args!("standard output can't be written: {error}")))
}

/// One JSON object on a line.
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    let line = snug::text::json::line(value).map_err(Failure::failed)?;
    print([line])
}

/// Where the log goes for this front end: see [`App::log`].
pub fn log_place(front: Front, data_dir: &std::path::Path, ephemeral: bool) -> Option<(&std::path::Path, bool)> {
    (front == Front::Tui).then_some((data_dir, ephemeral))
}
