//! One person's machine: a data folder of their own, and files for secrets.

use crate::binaries;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A data folder and a home folder that nobody else uses, removed on drop.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

impl Home {
    /// A new, empty one.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("snug-test-")
            .tempdir()
            .expect("a folder for temporary files");
        Self { folder }
    }

    /// The folder that holds everything of this home.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What `--data-dir` gets.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes a file that only this account can read, and gives its path: for `--room-key-file` and its like.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .expect("a new file in a home");
        file.write_all(text.as_bytes()).expect("room for a small file");
        path
    }

    /// `snug` with these arguments and this home's data folder, which the environment names.
    pub fn snug<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.bare(&binaries::snug());
        command.args(args).env("SNUG_DATA_DIR", self.data());
        command
    }

    /// A program in this home with a clean environment, so that the settings of whoever runs the tests can't leak in.
    pub fn bare(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.path())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            // Nobody's router is asked for a port because tests run behind it.
            .env("SNUG_NO_UPNP", "1")
            .env("RUST_BACKTRACE", "1");
        command.current_dir(self.path());
        command
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}
