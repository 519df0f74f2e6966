//! The rendezvous program: `snug-rendezvous serve` and its company.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    keep_keys_out_of_core_dumps();
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

/// A crash must not write the server key to a disk. Where the limit can't be set, nothing else depends on it.
fn keep_keys_out_of_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = setrlimit(Resource::Core, none);
    }
}
