//! What the program is told on its command line.

pub mod serve;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// Introduces the members of Snug rooms to each other, without being able to read a word.
#[derive(Debug, Parser)]
#[command(name = "snug-rendezvous", version, arg_required_else_help = true, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve rooms until told to stop (SIGINT, SIGTERM).
    #[command(after_help = AFTER_SERVE)]
    Serve(serve::Serve),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man,
}

const EXIT_STATUS: &str = "Exit status: 0 fine; 1 failed; 2 usage.";

const AFTER_SERVE: &str = "\
Once it serves it prints one line on standard output: listening on http://HOST:PORT. The log goes to standard error \
and holds no room, address or token.

The first start makes the data folder and a server key in it (server.key, 32 bytes, mode 0600). Keep a copy of the key: \
without it no room in the store can be reached again.

Exit status: 0 fine; 1 failed; 2 usage.";

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
    let pages = std::iter::once(command.clone()).chain(command.get_subcommands().cloned());
    for page in pages.filter(|page| page.get_name() != "help") {
        if let Err(error) = clap_mangen::Man::new(page).render(&mut text) {
            return fail(&error);
        }
    }
    print(&text)
}

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
