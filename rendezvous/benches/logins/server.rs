//! The real program as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::procfs;

/// A server process, killed by its drop.
pub struct Server {
    child: Child,
    address: SocketAddr,
    folder: Option<tempfile::TempDir>,
}

impl Server {
    /// On redb, or on the MongoDB database; waits a moment, so that it is idle.
    pub fn start(mongodb: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let mut server = Self::spawn(folder.path(), &key, mongodb);
        server.folder = Some(folder);
        std::thread::sleep(Duration::from_secs(2));
        server
    }

    /// One more beside this one, on the same database and with the same server key.
    pub fn beside(&self, mongodb: &str) -> Self {
        let first = self.folder.as_ref().expect("it has a folder of its own");
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self::spawn(folder.path(), &first.path().join("key"), Some(mongodb));
        server.folder = Some(folder);
        server
    }

    /// On redb in the folder.
    pub fn start_in(folder: &Path) -> Self {
        Self::spawn(folder, &folder.join("key"), None)
    }

    fn spawn(folder: &Path, key: &Path, mongodb: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snug-rendezvous"));
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(folder)
            .arg("--server-key-file")
            .arg(key);
        if let Some(uri) = mongodb {
            command.args(["--store", uri]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on http://")
            .expect("it serves")
            .parse()
            .unwrap();
        Self {
            child,
            address,
            folder: None,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn rss_mib(&self) -> f64 {
        procfs::rss_mib(self.pid())
    }

    /// Ends it in order.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
