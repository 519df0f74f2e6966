//! `snug id`: the identity of a profile.

use std::io::{Read as _, Write as _};
use std::path::Path;

use data_encoding::BASE64;
use serde_json::json;
use snug::profile::Profile;
use snug_crypto::rest;
use snug_crypto::rest::vault::{Passphrase, Stretching};

use super::{App, given, print, print_json, profile};
use crate::cli::{IdExportArgs, IdImportArgs, IdPassphraseArgs, IdShowArgs};
use crate::failure::Failure;
use crate::secrets::{self, Prompter};

/// What an exported identity begins with: one line of text.
const EXPORTED: &str = "snug-identity:";
/// Longest exported identity, in bytes.
const MAX_EXPORT: u64 = 4 * 1024;

/// Shows the fingerprint; makes the identity where there is none yet.
pub fn show(app: &App, args: &IdShowArgs) -> Result<u8, Failure> {
    app.log(None)?;
    let (data_dir, profile) = profile::open(app, &args.profile, false, &Prompter::new(args.json))?;
    let fingerprint = profile.identity().fingerprint();
    let name = app.config.profile(&args.profile);
    if args.json {
        print_json(&json!({"profile": name, "fingerprint": fingerprint.to_string()}))?;
    } else {
        print([
            format!("Fingerprint: {fingerprint}"),
            format!("Profile: {name} in {}", data_dir.display()),
        ])?;
    }
    Ok(0)
}

/// Puts the vault under another passphrase.
pub fn passphrase(app: &App, args: &IdPassphraseArgs) -> Result<u8, Failure> {
    app.log(None)?;
    secrets::check_one_stdin(&[&args.profile.passphrase_file, &args.new_passphrase_file])?;
    let prompter = Prompter::new(false);
    let (_, profile) = profile::open(app, &args.profile, false, &prompter)?;
    let new = profile::new_passphrase(
        args.new_passphrase_file.as_deref(),
        "New passphrase",
        "the new passphrase (--new-passphrase-file)",
        &prompter,
    )?;
    if let Some(vault) = profile.vault() {
        vault.change_passphrase(&new)?;
    }
    let name = app.config.profile(&args.profile);
    print([if new.is_none() {
        format!("The profile {name} has no passphrase any more: whoever uses this account can read it.")
    } else {
        format!("The profile {name} is sealed under the new passphrase. Without it there is no way in.")
    }])?;
    Ok(0)
}

/// Writes the identity to a file.
pub fn export(app: &App, args: &IdExportArgs) -> Result<u8, Failure> {
    app.log(None)?;
    secrets::check_one_stdin(&[&args.profile.passphrase_file, &args.export_passphrase_file])?;
    let prompter = Prompter::new(false);
    let (_, profile) = profile::open(app, &args.profile, false, &prompter)?;
    let passphrase = profile::new_passphrase(
        args.export_passphrase_file.as_deref(),
        "Passphrase for the file",
        "a passphrase for the file (--export-passphrase-file)",
        &prompter,
    )?;
    let sealed = rest::export_identity(profile.identity(), &passphrase, Stretching::DEFAULT, &mut given::rng())
        .map_err(Failure::failed)?;
    let line = format!("{EXPORTED}{}", BASE64.encode(&sealed));
    if args.file == Path::new("-") {
        return print([line]).map(|()| 0);
    }
    let shown = args.file.display();
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .write(true)
        .create_new(true)
        .open(&args.file)
        .and_then(|mut file| writeln!(file, "{line}").and_then(|()| file.sync_all()))
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::usage(format_args!("{shown} exists already; name a file that doesn't"))
            }
            _ => Failure::failed(format_args!("{shown} can't be written: {error}")),
        })?;
    let mut lines = vec![format!(
        "Your identity {} is in {shown}.",
        profile.identity().fingerprint()
    )];
    if passphrase.is_none() {
        lines.push(
            "It has no passphrase: whoever reads the file is you. Delete it once it is where it should be.".to_owned(),
        );
    }
    print(lines)?;
    Ok(0)
}

/// Makes a profile with an identity from elsewhere.
pub fn import(app: &App, args: &IdImportArgs) -> Result<u8, Failure> {
    app.log(None)?;
    secrets::check_one_stdin(&[&args.profile.passphrase_file, &args.export_passphrase_file])?;
    let prompter = Prompter::new(false);
    let shown = args.file.display();
    let mut text = String::new();
    std::fs::File::open(&args.file)
        .and_then(|file| file.take(MAX_EXPORT).read_to_string(&mut text))
        .map_err(|error| Failure::usage(format_args!("{shown} can't be read: {error}")))?;
    let sealed = text
        .trim()
        .strip_prefix(EXPORTED)
        .and_then(|text| BASE64.decode(text.as_bytes()).ok())
        .ok_or_else(|| Failure::usage(format_args!("{shown} holds no exported identity")))?;
    let passphrase = match &args.export_passphrase_file {
        Some(file) => profile::from_file(file)?,
        None if rest::import_identity(&sealed, &Passphrase::none()).is_ok() => Passphrase::none(),
        None => profile::passphrase(&prompter.hidden(
            "Passphrase of the file (not shown)",
            "the file's passphrase (--export-passphrase-file)",
        )?)?,
    };
    let identity = rest::import_identity(&sealed, &passphrase)
        .map_err(|error| Failure::usage(format_args!("{shown}: {error}")))?;
    let profile = Profile::import(profile::options(app, &args.profile)?, identity)?;
    print([
        format!("Fingerprint: {}", profile.identity().fingerprint()),
        format!("Profile: {}", app.config.profile(&args.profile)),
        "Use an identity on one machine at a time: two that are in a room together disturb each other.".to_owned(),
    ])?;
    Ok(0)
}
