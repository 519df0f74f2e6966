//! A real mongod for a test or a benchmark, on loopback, stopped by its drop.

#![allow(dead_code)] // Neither of the two needs all of it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A mongod with an empty database folder.
pub struct Mongod {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Mongod {
    /// Starts one. Without a program it fails if `SNUG_REQUIRE_MONGOD` is 1, and else says that the test is left out.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[])
    }

    /// The same with more arguments.
    pub fn start_with(test: &str, arguments: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            assert!(
                std::env::var("SNUG_REQUIRE_MONGOD").as_deref() != Ok("1"),
                "{test}: SNUG_REQUIRE_MONGOD=1, but there is no mongod: set MONGOD to one, or put it on the PATH"
            );
            eprintln!("{test}: SKIPPED, no mongod in MONGOD or on the PATH (tests/run.sh fetches one)");
            return None;
        };
        // mongod can't pick a port itself, and somebody may take the one that was free a moment ago.
        let started = (0..5).find_map(|_| Self::try_start(&program, arguments));
        Some(started.expect("mongod did not start in five tries"))
    }

    fn try_start(program: &Path, arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Uncompressed, so that a search of its files finds what is in them.
        let mut child = Command::new(program)
            .arg("--dbpath")
            .arg(folder.path())
            .args([
                "--bind_ip",
                "127.0.0.1",
                "--nounixsocket",
                "--wiredTigerCacheSizeGB",
                "0.25",
                "--port",
            ])
            .arg(port.to_string())
            .args([
                "--wiredTigerCollectionBlockCompressor",
                "none",
                "--wiredTigerJournalCompressor",
                "none",
            ])
            .args(["--wiredTigerIndexPrefixCompression", "false"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mongod can be run");
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = log
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("Waiting for connections"));
        // Read on, so that it never waits for us.
        std::thread::spawn(move || log.for_each(drop));
        let mut mongod = Self { child, folder, port };
        (ready && mongod.child.try_wait().unwrap().is_none()).then_some(mongod)
    }

    /// The connection string of one of its databases.
    pub fn uri(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it, so that everything is in its files.
    pub fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("MONGOD").map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("mongod"))
            .find(|program| program.is_file())
    })
}
