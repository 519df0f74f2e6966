//! The program as a process, for the tests of its commands.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::Client;

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with nothing of this machine's environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snug-rendezvous"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `serve` on free ports.
pub fn serve(data_dir: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data_dir)
        .args(more);
    command
}

/// Another command on the same data folder.
pub fn on(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).arg("--data-dir").arg(data_dir);
    command
}

/// Runs to its end: status, standard output, standard error.
pub fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// Runs to a good end.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    stdout
}

/// Runs to a bad end of this status, and says why.
#[track_caller]
pub fn fails_with(command: &mut Command, status: i32, why: &str) {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, Some(status), "{stdout}{stderr}");
    assert!(stderr.contains(why), "{why}\n{stderr}");
}

/// A server process whose log is read as it comes; killed by its drop.
pub struct Serving {
    child: Child,
    log: Arc<Mutex<String>>,
    pub address: String,
    pub scheme: String,
}

impl Serving {
    pub fn start(data: &Path, more: &[&str]) -> Self {
        Self::spawn(&mut serve(data, more))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                sink.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let Some((scheme, address)) = line
            .trim_end()
            .strip_prefix("listening on ")
            .and_then(|url| url.split_once("://"))
        else {
            child.wait().unwrap();
            panic!("it does not serve: {line} {}", log.lock().unwrap());
        };
        Self {
            address: address.to_owned(),
            scheme: scheme.to_owned(),
            child,
            log,
        }
    }

    pub fn client(&self) -> Client {
        Client {
            address: self.address.parse().unwrap(),
        }
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until the log holds the words; gives the log.
    #[track_caller]
    pub fn wait_for_log(&self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.contains(words) {
                return log;
            }
            assert!(Instant::now() < end, "no {words:?} in the log:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends it in order.
    pub fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log());
        self.log()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request by hand.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
