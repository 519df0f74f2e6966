//! Secrets stay out of what every account of a machine can see: arguments, environments, files without protection.

use snug_tests::canary;
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::rendezvous::Rendezvous;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn assert_clean(pid: u32, secrets: &[&str]) {
    for file in ["cmdline", "environ", "comm"] {
        let path = format!("/proc/{pid}/{file}");
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!bytes.is_empty(), "{path} is empty: the process is gone");
        for secret in secrets {
            assert_eq!(canary::find(&bytes, secret), None, "{secret:?} stands in {path}");
        }
    }
}

#[test]
fn none_in_arguments_or_environment() {
    let (a, b) = (Home::new(), Home::new());
    let key = a.secret("key", "canary-key-otter-7731");
    let password = a.secret("password", "canary-password-vole-7731");
    let mut command = member::host_command(&a, "den", "alice", "--json");
    command
        .arg("--room-key-file")
        .arg(key)
        .arg("--password-file")
        .arg(password);
    let mut alice = Member::start("alice", &mut command);
    let card = alice.wait("`created` event", |event| {
        (event["type"] == "created").then(|| member::RoomCard::from_json(event))
    });
    alice.ready();
    assert_eq!(
        (card.room_key.as_str(), card.password.as_str()),
        ("canary-key-otter-7731", "canary-password-vole-7731")
    );
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    alice.send("canary message: the badger sleeps");
    bob.hears("canary message: the badger sleeps");
    let secrets = [
        card.room_key.as_str(),
        card.password.as_str(),
        card.invite.as_str(),
        "canary message: the badger sleeps",
    ];
    for member in [&mut alice, &mut bob] {
        assert_clean(member.process().pid(), &secrets);
        // Nor where a service's logs would be.
        let stderr = member.process().stderr();
        for secret in secrets {
            assert_eq!(
                canary::find(stderr.as_bytes(), secret),
                None,
                "{secret:?} stands in the errors: {stderr}"
            );
        }
    }
    // Nor at rest: what was said is kept by nobody, and the keys rest in no file.
    alice.leave();
    bob.leave();
    for home in [&a, &b] {
        for_each_file(&home.data(), &mut |path, bytes| {
            for secret in secrets {
                assert_eq!(
                    canary::find(bytes, secret),
                    None,
                    "{secret:?} stands in {}",
                    path.display()
                );
            }
        });
    }
}

#[test]
fn none_in_verbose_logs() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "canary-room-lynx");
    let mut verbose = member::join_command(&a, &card, "canary-name-hare", "--json");
    verbose.arg("--verbose");
    let mut alice = Member::start("alice", &mut verbose);
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.send("canary message: the marten hunts");
    alice.hears("canary message: the marten hunts");
    alice.send("canary message: the stoat too");
    bob.hears("canary message: the stoat too");
    let log = alice.process().stderr();
    assert!(!log.is_empty(), "--verbose logs");
    for secret in [
        card.room_key.as_str(),
        card.invite.as_str(),
        "canary message: the marten hunts",
        "canary message: the stoat too",
    ] {
        assert_eq!(
            canary::find(log.as_bytes(), secret),
            None,
            "{secret:?} stands in the log:\n{log}"
        );
    }
}

#[test]
fn files_are_for_their_owner_only() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let mut alice = Member::join(&home, &card, "alice");
    alice.ready();
    alice.leave();
    let mut files = 0;
    for folder in [home.data(), server.home().data()] {
        for_each_file(&folder, &mut |path, _| {
            files += 1;
            let mode = fs::metadata(path).expect("a file of ours").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} can be read by others: {mode:o}", path.display());
        });
    }
    assert!(files >= 3, "an identity, a server key and a store at least: {files}");
}

fn for_each_file(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            for_each_file(&path, look);
        } else {
            // A running server's control socket has no contents, and permissions all the same.
            let is_file = path.is_file();
            let bytes = is_file.then(|| fs::read(&path).expect("a file of ours"));
            look(&path, &bytes.unwrap_or_default());
        }
    }
}
