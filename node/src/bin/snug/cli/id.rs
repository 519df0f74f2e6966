//! `snug id`: identities and safety numbers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{EXIT_STATUS, ProfileArgs};

/// `snug id`.
#[derive(Debug, Subcommand)]
pub enum IdCommand {
    /// Show your fingerprint, by which others can tell you from somebody of the same name
    Show(IdShowArgs),
    /// Show the safety number with somebody, and compare it with theirs
    Verify(IdVerifyArgs),
    /// Change the passphrase that identity, rooms and undelivered messages are sealed under
    Passphrase(IdPassphraseArgs),
    /// Write your identity to a file, sealed under a passphrase, to take it to another machine
    Export(IdExportArgs),
    /// Make a profile with an identity that was exported elsewhere
    Import(IdImportArgs),
}

/// `snug id verify`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_STATUS)]
pub struct IdVerifyArgs {
    /// Whom: the fingerprint or its first 8 digits, or a name that only one goes by; nobody: list whom you know
    pub who: Option<String>,

    #[command(flatten)]
    pub profile: ProfileArgs,

    /// The number that they see, or what their QR code holds: if it is the same, they are verified, else nothing changes
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["undo", "accept"], requires = "who")]
    pub number: Option<String>,

    /// They count as not verified any more
    #[arg(long, requires = "who")]
    pub undo: bool,

    /// Take a key that has changed for theirs
    #[arg(long, conflicts_with = "undo", requires = "who")]
    pub accept: bool,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `snug id passphrase`.
#[derive(Debug, Args)]
pub struct IdPassphraseArgs {
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// The new passphrase is in this file; an empty line takes the passphrase away
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,
}

/// `snug id export`.
#[derive(Debug, Args)]
pub struct IdExportArgs {
    /// The file to write, which must not exist yet; - is standard output
    pub file: PathBuf,

    #[command(flatten)]
    pub profile: ProfileArgs,

    /// The passphrase to seal the file under is in this file
    #[arg(long, value_name = "FILE")]
    pub export_passphrase_file: Option<PathBuf>,
}

/// `snug id import`.
#[derive(Debug, Args)]
pub struct IdImportArgs {
    /// The file that export wrote
    pub file: PathBuf,

    #[command(flatten)]
    pub profile: ProfileArgs,

    /// The passphrase that the file is sealed under is in this file
    #[arg(long, value_name = "FILE")]
    pub export_passphrase_file: Option<PathBuf>,
}

/// `snug id show`.
#[derive(Debug, Args)]
pub struct IdShowArgs {
    #[command(flatten)]
    pub profile: ProfileArgs,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
