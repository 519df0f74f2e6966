//! `snug`: rooms from the command line. The engine is the library; here are the flags, the prompts and the front ends.

mod chosen;
mod cli;
mod commands;
mod config;
mod failure;
mod front;
mod handout;
mod logging;
mod rules;
mod secrets;

use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};

use crate::cli::Cli;
use crate::failure::Failure;

fn main() -> ExitCode {
    keep_secrets_out_of_core_dumps();
    let matches = Cli::command().color(help_color()).get_matches();
    let outcome = match Cli::from_arg_matches(&matches) {
        Ok(cli) => run(cli),
        Err(error) => error.exit(),
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprint!("{}", failure.report());
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// One thread runs everything that doesn't block; a node in a room is mostly idle.
fn run(cli: Cli) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format_args!("the runtime can't be started: {error}")))?;
    let outcome = runtime.block_on(commands::run(cli));
    // A thread may still be waiting for standard input; it ends with the process.
    runtime.shutdown_background();
    outcome
}

/// A crash must not write keys to a disk. Where the limit can't be set, nothing else depends on it.
fn keep_secrets_out_of_core_dumps() {
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

/// The help is printed before flags are understood, so `--color` is looked for here.
fn help_color() -> ColorChoice {
    let args: Vec<_> = std::env::args().collect();
    let spaced = args
        .windows(2)
        .find(|pair| pair[0] == "--color")
        .map(|pair| pair[1].as_str());
    let joined = args.iter().find_map(|arg| arg.strip_prefix("--color="));
    match spaced.or(joined) {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}
