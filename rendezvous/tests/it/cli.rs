//! The program as a process: what it prints, how it exits, what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snug-rendezvous"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn serve(data_dir: &Path, more: &[&str]) -> Command {
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
        .arg(data_dir);
    command.args(more);
    command
}

/// A server process, killed by its drop.
struct Serving {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Serving {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("listening on http://")
            .map(|address| address.trim_end().to_owned());
        let Some(address) = address else {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("{line} {error}");
        };
        Self { child, stdout, address }
    }

    /// Ends it with the signal: exit code, the rest of its output, its log.
    fn end(mut self, signal: rustix::process::Signal) -> (Option<i32>, String, String) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
        let (mut rest, mut log) = (String::new(), String::new());
        self.stdout.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), rest, log)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A run that must fail with status 1 and say why.
#[track_caller]
fn fails(command: &mut Command, why: &str) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), stdout.len()), (Some(1), 0), "{error}");
    assert!(error.contains(why), "{error}");
    assert!(error.lines().any(|line| line.starts_with("error: ")), "{error}");
}

#[test]
fn without_any_configuration_it_serves_health_and_stops_in_order() {
    let home = tempfile::tempdir().unwrap();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        // The ports of its own choice may be taken on this machine, so only those are named.
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .env("HOME", home.path());
        let mut serving = Serving::start(&mut command);
        assert!(get(&serving.address, "/").starts_with("HTTP/1.1 404"));
        let mut log = BufReader::new(serving.child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let admin = line
            .split("http://")
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        for path in ["/health/live", "/health/ready"] {
            assert!(get(&admin, path).starts_with("HTTP/1.1 200"), "{path}");
        }
        serving.child.stderr = Some(log.into_inner());
        let (code, rest, _) = serving.end(signal);
        assert_eq!((code, &*rest), (Some(0), ""), "one line on standard output");
    }
    let folder = home.path().join(".local/share/snug-rendezvous");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("server.key")), 0o600);
    assert_eq!(mode(&folder.join("rooms.redb")), 0o600);
    assert_eq!(std::fs::metadata(folder.join("server.key")).unwrap().len(), 32);
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        2,
        "nothing else is left behind"
    );
}

#[test]
fn the_log_holds_no_room_token_or_address_even_when_verbose() {
    let data = tempfile::tempdir().unwrap();
    let serving = Serving::start(&mut serve(data.path(), &["--verbose"]));
    let room = "c0ffee".repeat(10) + "cafe";
    get(&serving.address, &format!("/v1/rooms/{room}/presence"));
    let port = TcpStream::connect(&serving.address)
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let (_, _, log) = serving.end(rustix::process::Signal::TERM);
    assert!(
        log.contains("/v1/rooms/{handle}/presence") && log.contains("status=401"),
        "{log}"
    );
    assert!(!log.contains("c0ffee") && !log.contains(&port), "{log}");
}

#[test]
fn usage_errors_exit_2() {
    let data = tempfile::tempdir().unwrap();
    for arguments in [
        &["serve", "--listen", "nowhere"][..],
        &["serve", "--store", "sqlite:x"],
        &["serve", "--frobnicate"],
        &["frobnicate"],
        &[],
        &["completions", "cmd.exe"],
    ] {
        let output = program().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let public = serve(data.path(), &[])
        .args(["--admin-listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    assert_eq!(public.status.code(), Some(2));
    let other = program()
        .args(["serve", "--admin-listen", "192.0.2.1:1", "--data-dir", "/tmp/x"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
    let homeless = program().args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(
        homeless.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&homeless.stderr)
    );
}

#[test]
fn a_key_file_that_others_can_read_or_of_another_length_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let key = data.path().join("server.key");
    for (bytes, mode, why) in [
        (&[1; 32][..], 0o640, "can be read by others (mode 0640)"),
        (&[1; 32], 0o604, "can be read by others"),
        (
            &[1; 31],
            0o600,
            "holds 31 bytes, which is no number of keys of 32 bytes",
        ),
        (
            &[1; 33],
            0o600,
            "holds 33 bytes, which is no number of keys of 32 bytes",
        ),
        (&[], 0o600, "holds 0 bytes, which is no number of keys of 32 bytes"),
    ] {
        std::fs::write(&key, bytes).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        fails(&mut serve(data.path(), &[]), why);
        assert_eq!(std::fs::read(&key).unwrap(), bytes);
    }
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    fails(&mut serve(data.path(), &[]), "no regular file");
}

#[test]
fn a_store_whose_key_is_lost_or_another_is_refused() {
    let data = tempfile::tempdir().unwrap();
    Serving::start(&mut serve(data.path(), &[])).end(rustix::process::Signal::TERM);
    let key = data.path().join("server.key");
    std::fs::remove_file(&key).unwrap();
    fails(&mut serve(data.path(), &[]), "server.key is missing");
    assert!(!key.exists(), "no new key is made over it");
    std::fs::write(&key, [9; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    fails(&mut serve(data.path(), &[]), "made with another server key");
}

#[test]
fn what_is_taken_or_unusable_is_said() {
    let data = tempfile::tempdir().unwrap();
    let serving = Serving::start(&mut serve(data.path(), &[]));
    fails(&mut serve(data.path(), &[]), "is in use by another process");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut same_port = program();
    same_port.args([
        "serve",
        "--listen",
        &serving.address,
        "--admin-listen",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    fails(same_port.arg(elsewhere.path()), "can't listen on");

    let file = elsewhere.path().join("a file");
    std::fs::write(&file, b"").unwrap();
    fails(&mut serve(&file, &[]), "can't use the data folder");
    fails(&mut serve(&file.join("below"), &[]), "can't use the data folder");
    let letter = elsewhere.path().join("letter");
    std::fs::write(&letter, b"Dear Sir or Madam,").unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let key = fresh.path().join("k");
    std::fs::write(&key, [1; 32]).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let store = format!("redb:{}", letter.display());
    fails(
        &mut serve(
            fresh.path(),
            &["--store", &store, "--server-key-file", key.to_str().unwrap()],
        ),
        "can't open the store",
    );
    assert_eq!(std::fs::read(&letter).unwrap(), b"Dear Sir or Madam,");
}

#[test]
fn a_taken_default_admin_port_keeps_nobody_from_serving() {
    let data = tempfile::tempdir().unwrap();
    // Ours, or somebody else's: either way it is taken.
    let _taken = TcpListener::bind("127.0.0.1:7071");
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path());
    let (code, _, log) = Serving::start(&mut command).end(rustix::process::Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(log.contains("health is not served"), "{log}");
}

#[test]
fn completions_and_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = program().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("server-key-file"));
    }
    let manual = program().arg("man").output().unwrap();
    let text = String::from_utf8(manual.stdout).unwrap();
    assert!(
        manual.status.success() && text.contains("Exit status") && text.contains("admin\\-listen"),
        "{text}"
    );
}
