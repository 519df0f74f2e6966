//! The rendezvous program: `snug-rendezvous serve` and its company.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(settings) => cli::serve::run(&settings),
        Command::Config(command) => cli::check::config(command),
        Command::Doctor { json, settings } => cli::check::doctor(&settings.0, json),
        Command::Backup {
            file,
            without_key,
            settings,
        } => cli::hosting::backup(&settings.0, &file, !without_key),
        Command::Restore { file, settings } => cli::hosting::restore(&settings.0, &file),
        Command::Room(command) => cli::hosting::room(command),
        Command::Key(command) => cli::hosting::key(command),
        Command::Completions { shell } => cli::completions(shell),
        Command::Man => cli::man(),
    }
}
