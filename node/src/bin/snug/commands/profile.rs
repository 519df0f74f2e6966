//! Opening a profile: its passphrase comes from a file, or is asked for where it is needed.

use std::path::{Path, PathBuf};

use snug::profile::{Profile, ProfileError, ProfileOptions, Unreadable, Vault};
use snug_crypto::rest::vault::Passphrase;

use super::App;
use crate::cli::ProfileArgs;
use crate::failure::Failure;
use crate::secrets::{self, Prompter};

/// How often a mistyped passphrase can be typed again.
const TRIES: u32 = 3;
/// What is missing where there is nobody to ask.
const MISSING: &str = "the profile's passphrase (--passphrase-file)";

/// The data folder and the profile in it, which is made where there is none.
pub fn open(
    app: &App,
    args: &ProfileArgs,
    ephemeral: bool,
    prompter: &Prompter,
) -> Result<(PathBuf, Profile), Failure> {
    if ephemeral {
        return Ok((PathBuf::new(), Profile::ephemeral()));
    }
    let mut options = options(app, args)?;
    let data_dir = options.data_dir.clone();
    let mut profile = Profile::open(options.clone());
    for turn in 1.. {
        let again = match &profile {
            Err(ProfileError::Locked { .. }) => true,
            Err(ProfileError::WrongPassphrase { .. }) => turn > 1 && turn <= TRIES,
            _ => false,
        };
        if !again {
            break;
        }
        if turn > 1 {
            eprintln!("That is not it.");
        }
        let name = &options.name;
        let typed = prompter.hidden(&format!("Passphrase of the profile {name} (not shown)"), MISSING)?;
        options.passphrase = Some(passphrase(&typed)?);
        profile = Profile::open(options.clone());
    }
    let profile = profile?;
    for unreadable in profile.vault().map(Vault::unreadable).unwrap_or_default() {
        eprintln!("warning: {}", told(&unreadable));
    }
    if profile.was_made_without_passphrase() {
        eprintln!(
            "note: your identity and your rooms rest on this machine without a passphrase: whoever uses this account can read them; \
             to change that, run: snug id passphrase"
        );
    }
    Ok((data_dir, profile))
}

/// What is said about something in a profile that couldn't be read.
fn told(unreadable: &Unreadable) -> String {
    match unreadable {
        Unreadable::State { kept: Some(kept) } => format!(
            "what was stored of your rooms could not be read; it is kept beside as {}, and you come into them anew: messages that waited there are lost",
            kept.display()
        ),
        Unreadable::State { kept: None } => {
            "what was stored of your rooms is missing; you come into them anew: messages that waited there are lost"
                .to_owned()
        }
        Unreadable::End { kept } => format!(
            "what was changed last in your profile could not be read, and is missing; the file as it was is kept beside as {}. \
             Look after the disk, or restore a backup",
            kept.display()
        ),
    }
}

/// Where the profile is, and the passphrase if a file gives it.
pub fn options(app: &App, args: &ProfileArgs) -> Result<ProfileOptions, Failure> {
    Ok(ProfileOptions {
        data_dir: app.config.data_dir(args)?,
        name: app.config.profile(args).to_owned(),
        ephemeral: false,
        passphrase: args.passphrase_file.as_deref().map(from_file).transpose()?,
    })
}

/// A passphrase from the first line of a file; an empty one is none.
pub fn from_file(file: &Path) -> Result<Passphrase, Failure> {
    passphrase(&secrets::line_from_file(file, "the passphrase")?)
}

/// Parses a passphrase.
pub fn passphrase(text: &str) -> Result<Passphrase, Failure> {
    Passphrase::parse(text).map_err(Failure::usage)
}

/// A new passphrase: from a file, or typed twice.
pub fn new_passphrase(
    file: Option<&Path>,
    what: &str,
    missing: &str,
    prompter: &Prompter,
) -> Result<Passphrase, Failure> {
    if let Some(file) = file {
        return from_file(file);
    }
    let typed = prompter.hidden(&format!("{what} (not shown; empty for none)"), missing)?;
    let again = prompter.hidden("The same again", missing)?;
    if typed != again {
        return Err(Failure::usage("the two are not the same; nothing was changed"));
    }
    passphrase(&typed)
}
