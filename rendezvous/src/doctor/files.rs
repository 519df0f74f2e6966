//! Folders, keys, tokens, room on the disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Finding, days_since};
use crate::config::{Config, Registration, StoreSpec};
use crate::error::StartError;
use crate::key_file;
use crate::registration::Tokens;

/// Less than this is too little for a database that copies on write, and for the log beside it.
const SPACE_FAILS: u64 = 64 * 1024 * 1024;
const SPACE_WARNS: u64 = 512 * 1024 * 1024;

pub(super) fn data_dir(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "data folder";
    let path = &config.data_dir;
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![Finding::ok(CHECK, format!("{shown} is made at the first start"))];
        }
        Err(error) => {
            return vec![Finding::failed(
                CHECK,
                format!("{shown}: {error}"),
                "run doctor as the server's account",
            )];
        }
    };
    if !metadata.is_dir() {
        return vec![Finding::failed(
            CHECK,
            format!("{shown} is no folder"),
            "name another with --data-dir",
        )];
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let mut findings = Vec::new();
    if mode & 0o077 != 0 {
        findings.push(Finding::warning(
            CHECK,
            format!("others can look into {shown} (mode {mode:04o})"),
            format!("chmod 700 {shown}"),
        ));
    }
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        findings.push(Finding::failed(
            CHECK,
            format!("this account can't write to {shown}"),
            "run doctor as the server's account, or chown the folder to it",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, shown.to_string()));
    }
    findings
}

pub(super) fn server_key(config: &Config) -> Finding {
    const CHECK: &str = "server key";
    let path = config.key_file();
    let shown = path.display();
    let former = match key_file::load_or_create(&path, false) {
        Ok(keys) => keys.len() - 1,
        Err(StartError::KeyMissing { .. }) => {
            let orphans = matches!(config.store_spec(), StoreSpec::Redb(store) if !is_empty(&store));
            return if orphans {
                Finding::failed(
                    CHECK,
                    format!("{shown} is missing, and there is a store"),
                    "restore it from a backup; without it the rooms can't be reached",
                )
            } else {
                Finding::ok(CHECK, format!("{shown} is made at the first start"))
            };
        }
        Err(error) => {
            return Finding::failed(
                CHECK,
                error.to_string(),
                "put it right; if others could read it, think of it as stolen",
            );
        }
    };
    let owners = fs::metadata(&path).and_then(|key| Ok((key.uid(), fs::metadata(&config.data_dir)?.uid())));
    match owners {
        Ok((key, folder)) if key != folder => Finding::warning(
            CHECK,
            format!("{shown} belongs to user {key}, the data folder to user {folder}"),
            format!("chown {folder} {shown}"),
        ),
        _ if former > 0 => Finding::ok(
            CHECK,
            format!("{shown}, readable for its owner alone, with {former} before the one in force"),
        ),
        _ => Finding::ok(CHECK, format!("{shown}, readable for its owner alone")),
    }
}

fn is_empty(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.len() == 0)
}

pub(super) fn tokens(config: &Config) -> Option<Finding> {
    const CHECK: &str = "registration";
    Some(match &config.registration {
        Registration::Open => Finding::ok(CHECK, "anybody may make rooms"),
        Registration::Closed => Finding::ok(CHECK, "nobody may make rooms"),
        Registration::Token { file } => match Tokens::read(file) {
            Ok(tokens) => Finding::ok(CHECK, format!("for holders of a token: {tokens:?}")),
            Err(reason) => Finding::failed(
                CHECK,
                format!("{}: {reason}", file.display()),
                "put the file right: one token a line, made with `openssl rand -hex 16`, mode 0600",
            ),
        },
    })
}

fn written(days: u64) -> String {
    match days {
        0 => ", last written today".to_owned(),
        days => format!(", last written {days} days ago"),
    }
}

/// Room where the store grows.
pub(super) fn space(config: &Config) -> Option<Finding> {
    const CHECK: &str = "disk space";
    let StoreSpec::Redb(store) = config.store_spec() else {
        return None;
    };
    let place = existing(store.parent().unwrap_or(&config.data_dir));
    let free = match rustix::fs::statvfs(&place) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => return Some(Finding::warning(CHECK, error.to_string(), "look with df")),
    };
    let size = fs::metadata(&store).map_or(0, |metadata| metadata.len());
    let age = fs::metadata(&store).and_then(|metadata| metadata.modified());
    let age = age.map_or_else(|_| String::new(), |at| written(days_since(at)));
    let shown = |bytes: u64| match bytes {
        0..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / (1024 * 1024)),
    };
    let found = format!(
        "{} free in {}; the store has {}{age}",
        shown(free),
        place.display(),
        shown(size)
    );
    let todo = "make room: when the disk is full nothing is acknowledged any more";
    Some(if free < SPACE_FAILS.max(size / 4) {
        Finding::failed(CHECK, found, todo)
    } else if free < SPACE_WARNS.max(size) {
        Finding::warning(CHECK, found, todo)
    } else {
        Finding::ok(CHECK, found)
    })
}

/// The nearest folder above that there is.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|path| path.is_dir());
    found.unwrap_or(Path::new(".")).to_owned()
}
