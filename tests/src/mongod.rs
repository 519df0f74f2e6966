//! A real MongoDB server for one test.

use crate::PATIENCE;
use crate::home::Home;
use crate::process::Process;
use std::env;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How often another port is tried when somebody else took the one that was free a moment ago.
const TRIES: usize = 5;

/// A `mongod` with an empty database in a temporary folder; both go on drop.
#[derive(Debug)]
pub struct Mongod {
    // Before the folder, so that it has ended when that is removed.
    process: Process,
    home: Home,
    port: u16,
}

impl Mongod {
    /// Starts the program that `MONGOD` names.
    ///
    /// `None`, with a line that says so, where there is none: then the test is left out, unless `SNUG_REQUIRE_MONGOD` is set, as
    /// tests/run.sh does.
    pub fn start() -> Option<Self> {
        let Some(program) = env::var_os("MONGOD").map(PathBuf::from) else {
            assert!(
                env::var_os("SNUG_REQUIRE_MONGOD").is_none(),
                "SNUG_REQUIRE_MONGOD is set, but MONGOD is not"
            );
            eprintln!("left out: MONGOD names no mongod (tests/run.sh fetches one)");
            return None;
        };
        for _ in 0..TRIES {
            if let Some(started) = Self::try_start(&program) {
                return Some(started);
            }
        }
        panic!("mongod did not start in {TRIES} tries");
    }

    fn try_start(program: &Path) -> Option<Self> {
        let home = Home::new();
        // It can't take port 0 and tell which it got.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let mut command = home.bare(program);
        command
            .arg("--dbpath")
            .arg(home.path())
            .args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--port"]);
        command.arg(port.to_string()).args(["--wiredTigerCacheSizeGB", "0.25"]);
        // Uncompressed, so that a search of its files finds what is in them.
        command.args([
            "--wiredTigerCollectionBlockCompressor",
            "none",
            "--wiredTigerJournalCompressor",
            "none",
        ]);
        command.args(["--wiredTigerIndexPrefixCompression", "false"]);
        command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
        let mut process = Process::start("mongod", &mut command);
        let end = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            let lines = process.lines_since(seen);
            seen += lines.len();
            if lines.iter().any(|line| line.text.contains("Waiting for connections")) {
                return Some(Self { process, home, port });
            }
            if !process.is_running() {
                return None;
            }
            assert!(Instant::now() < end, "mongod is not ready\n{}", process.describe());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// A store's URL, with a database's name.
    pub fn url(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}", self.port)
    }

    /// The process, for its memory and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_and_takes_connections() {
        let Some(mongod) = Mongod::start() else { return };
        assert!(mongod.folder().join("WiredTiger").is_file());
        std::net::TcpStream::connect(("127.0.0.1", mongod.port)).expect("it listens");
    }
}
