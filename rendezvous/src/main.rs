//! The rendezvous program: `snug-rendezvous serve` and its company.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => cli::serve::run(serve),
        Command::Completions { shell } => cli::completions(shell),
        Command::Man => cli::man(),
    }
}
