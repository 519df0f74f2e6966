//! What a host does with the real program: backup, restore, rooms, doctor.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use snug_crypto::RoomHandle;
use snug_rendezvous::testing::STORE_VERSION;
use snug_rendezvous_api::{Credential, ProblemType};

use crate::process::{Serving, fails_with, on, program, run, serve, succeeds};
use crate::support::{KEY, PASSWORD, handle, tombstone};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn hex(room: &RoomHandle) -> String {
    HEXLOWER.encode(room.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_server_that_runs_is_restored_elsewhere_without_sessions() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rooms.backup");
    let serving = Serving::start(data.path(), &[]);
    let client = serving.client();
    let (den, gone) = (handle("den"), handle("gone"));
    client.register(&den).await;
    let admin = client.register(&gone).await;
    let token = client.log_in(&gone, Credential::Admin, PASSWORD).await.token;
    client.delete(&gone, &token, tombstone(&gone, &admin)).await;
    let member = client.member(&den).await;
    assert_eq!(client.put(&den, &member, b"here").await.status, 200);

    let said = succeeds(&mut on(data.path(), &["backup", file.to_str().unwrap()]));
    assert!(said.starts_with("2 rooms, with the server key"), "{said}");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
    // What came after it is not in it.
    client.register(&handle("later")).await;
    fails_with(
        &mut on(data.path(), &["backup", file.to_str().unwrap()]),
        1,
        "nothing is overwritten",
    );
    fails_with(
        &mut on(data.path(), &["restore", file.to_str().unwrap()]),
        1,
        "nothing is overwritten",
    );

    let target = elsewhere.path().join("new");
    let said = succeeds(&mut on(&target, &["restore", file.to_str().unwrap()]));
    assert!(said.starts_with("2 rooms and the server key restored"), "{said}");
    for name in ["rooms.redb", "server.key"] {
        assert_eq!(mode(&target.join(name)), 0o600, "{name}");
    }
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 2);
    assert_eq!(
        std::fs::read(target.join("server.key")).unwrap(),
        std::fs::read(data.path().join("server.key")).unwrap()
    );
    serving.stop();

    let restored = Serving::start(&target, &[]);
    let client = restored.client();
    client
        .put(&den, &member, b"here")
        .await
        .refused(ProblemType::TokenRefused);
    let again = client.log_in(&den, Credential::Room, KEY).await;
    assert!(again.introductions.introductions.is_empty(), "presence is not restored");
    let proof = client.proof(&gone, Credential::Room, KEY).await;
    client.finish(&gone, &proof).await.refused(ProblemType::RoomGone);
    let (taken, _) = client.try_register(&den, KEY, PASSWORD).await;
    taken.refused(ProblemType::RoomExists);
    let refused = client
        .start(&handle("later"), Credential::Room, KEY, None)
        .await
        .unwrap();
    assert!(
        refused
            .login
            .finish(&mut crate::support::rng(), refused.started.ke2.as_bytes())
            .is_err()
    );
    restored.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_the_key_needs_it_and_a_damaged_one_makes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let serving = Serving::start(data.path(), &[]);
    serving.client().register(&handle("den")).await;
    serving.stop();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b");
    let shown = file.to_str().unwrap();
    // Without a server that runs.
    let said = succeeds(&mut on(data.path(), &["backup", "--without-key", shown]));
    assert!(said.starts_with("1 room, without the server key"), "{said}");
    let bytes = std::fs::read(&file).unwrap();
    let key = std::fs::read(data.path().join("server.key")).unwrap();
    assert!(!bytes.windows(32).any(|window| window == key));

    let target = folder.path().join("target");
    fails_with(&mut on(&target, &["restore", shown]), 1, "server.key is missing");
    let other = target.join("server.key");
    std::fs::write(&other, [9; 32]).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    fails_with(&mut on(&target, &["restore", shown]), 1, "another server key");
    assert_eq!(
        std::fs::read_dir(&target).unwrap().count(),
        1,
        "only the key that was there"
    );
    std::fs::write(&other, &key).unwrap();
    for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).unwrap();
        fails_with(&mut on(&target, &["restore", shown]), 1, "can't use the backup");
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    fails_with(&mut on(&target, &["restore", shown]), 1, "checksum");
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1, "nothing was made");
    std::fs::write(&file, &bytes).unwrap();
    succeeds(&mut on(&target, &["restore", shown]));
    let restored = Serving::start(&target, &[]);
    restored.client().log_in(&handle("den"), Credential::Room, KEY).await;
    restored.stop();

    let shown_x = folder.path().join("x").display().to_string();
    fails_with(
        &mut on(data.path(), &["backup", "--store", "mongodb://x", shown_x.as_str()]),
        1,
        "mongodump",
    );
    let nowhere = folder.path().join("nowhere");
    fails_with(&mut on(&nowhere, &["backup", shown_x.as_str()]), 1, "there is no store");
    assert!(!nowhere.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_lists_shows_and_removes_rooms_and_members_are_told_who_did_it() {
    let data = tempfile::tempdir().unwrap();
    let serving = Serving::start(data.path(), &[]);
    let client = serving.client();
    let (den, other) = (handle("den"), handle("other"));
    client.register(&den).await;
    client.register(&other).await;
    let member = client.member(&den).await;
    assert_eq!(client.put(&den, &member, b"here").await.status, 200);

    let socket = data.path().join("control.sock");
    assert_eq!(mode(&socket), 0o600);
    let listed = succeeds(&mut on(data.path(), &["room", "list"]));
    assert!(
        listed.ends_with("2 rooms\n") && listed.matches("standing").count() == 2,
        "{listed}"
    );
    assert!(!listed.contains(&hex(&den)), "keyed handles only");
    // By the handle that a complaint carries, and by what the list calls it.
    let shown = succeeds(&mut on(data.path(), &["room", "show", "--json", &hex(&den)]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["state"], &shown["present"], &shown["sessions"]),
        (&"standing".into(), &1.into(), &1.into())
    );
    let name = shown["room"].as_str().unwrap().to_owned();
    assert!(listed.contains(&name) && name != hex(&den));
    let text = succeeds(&mut on(data.path(), &["room", "show", &name.to_uppercase()]));
    assert!(text.contains("present        1"), "{text}");

    fails_with(&mut on(data.path(), &["room", "delete", &name]), 2, "--yes");
    fails_with(
        &mut on(data.path(), &["room", "delete", "--yes", &"0".repeat(64)]),
        1,
        "no such room",
    );
    fails_with(&mut on(data.path(), &["room", "show", "den"]), 1, "no such room");
    succeeds(&mut on(data.path(), &["room", "delete", "--yes", &hex(&den)]));

    // At the next heartbeat, and after a login: removed, and nobody's word but the host's.
    let told = client.put(&den, &member, b"here").await;
    told.refused(ProblemType::RoomRemoved);
    assert_eq!((told.status, told.problem().tombstone), (410, None));
    let proof = client.proof(&den, Credential::Room, KEY).await;
    client.finish(&den, &proof).await.refused(ProblemType::RoomRemoved);
    // Who does not hold its key learns nothing.
    let wrong = client
        .start(&den, Credential::Room, b"another key", None)
        .await
        .unwrap();
    assert!(
        wrong
            .login
            .finish(&mut crate::support::rng(), wrong.started.ke2.as_bytes())
            .is_err()
    );
    let (taken, _) = client.try_register(&den, KEY, PASSWORD).await;
    taken.refused(ProblemType::RoomExists);
    client.member(&other).await;
    serving.stop();
    assert!(!socket.exists());

    // And without a server that runs.
    let listed = succeeds(&mut on(data.path(), &["room", "list", "--json"]));
    let states: Vec<_> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["state"].clone())
        .collect();
    assert!(states.contains(&"removed".into()) && states.contains(&"standing".into()) && states.len() == 2);
    succeeds(&mut on(data.path(), &["room", "delete", "--yes", &hex(&other)]));
    let serving = Serving::start(data.path(), &[]);
    let proof = serving.client().proof(&other, Credential::Room, KEY).await;
    serving
        .client()
        .finish(&other, &proof)
        .await
        .refused(ProblemType::RoomRemoved);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_socket_outlives_a_crash_and_answers_garbage() {
    use std::io::{Read, Write};

    let data = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(data.path(), &[]);
    serving.kill();
    let socket = data.path().join("control.sock");
    assert!(socket.exists(), "a crash leaves it");
    succeeds(&mut on(data.path(), &["room", "list"]));
    let serving = Serving::start(data.path(), &[]);
    for garbage in ["\n", "{}\n", "{\"ask\":\"everything\"}\n", "GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(garbage.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("error"), "{garbage}: {answer}");
    }
    // More who ask nothing than are answered at once keep nobody out for good.
    let silent: Vec<_> = (0..8)
        .map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap())
        .collect();
    drop(silent);
    succeeds(&mut on(data.path(), &["room", "list"]));
    serving.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let free = ["doctor", "--listen", "127.0.0.1:0", "--admin-listen", "none"];
    let before = succeeds(&mut on(data.path(), &free));
    assert!(
        !before.contains("FAIL") && before.contains("made at the first start"),
        "{before}"
    );
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "it makes nothing");

    let serving = Serving::start(data.path(), &[]);
    serving.client().register(&handle("den")).await;
    let listen = ["doctor", "--listen", &serving.address, "--admin-listen", "none"];
    let healthy = succeeds(&mut on(data.path(), &listen));
    assert!(
        healthy.contains("is the running server's") && healthy.contains("answers the server"),
        "{healthy}"
    );
    // The same port with another data folder is somebody else's.
    let other = tempfile::tempdir().unwrap();
    let (code, taken, _) = run(&mut on(other.path(), &listen));
    assert!(
        code == Some(1) && taken.contains("FAIL  port") && taken.contains("ss -ltnp"),
        "{taken}"
    );
    serving.stop();

    let whole = succeeds(&mut on(data.path(), &free));
    assert!(whole.contains("is whole, of this version"), "{whole}");
    let key = data.path().join("server.key");
    let bytes = std::fs::read(&key).unwrap();
    for (spoil, expected) in [
        (
            Box::new(|| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap())
                as Box<dyn Fn()>,
            "can be read by others",
        ),
        (
            Box::new(|| std::fs::remove_file(&key).unwrap()),
            "is missing, and there is a store",
        ),
        (
            Box::new(|| std::fs::write(&key, [7; 32]).unwrap()),
            "another server key",
        ),
    ] {
        spoil();
        if key.exists() && expected != "can be read by others" {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let (code, found, _) = run(&mut on(data.path(), &free));
        assert!(
            code == Some(1) && found.contains(expected) && found.contains("-> "),
            "{expected}\n{found}"
        );
    }
    std::fs::write(&key, &bytes).unwrap();
    // Another version's store is told apart from a damaged one, and left alone: whoever restored a backup over it would lose rooms.
    let store = data.path().join("rooms.redb");
    let kept = std::fs::read(&store).unwrap();
    for (version, expected) in [(STORE_VERSION + 1, "use a newer"), (STORE_VERSION - 1, "no way back")] {
        let database = redb::Database::open(&store).unwrap();
        let write = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
        let mut table = write.open_table(meta).unwrap();
        table.insert("version", version.to_be_bytes().as_slice()).unwrap();
        drop(table);
        write.commit().unwrap();
        drop(database);
        let before = std::fs::read(&store).unwrap();
        let (_, found, _) = run(&mut on(data.path(), &free));
        assert!(found.contains(expected) && !found.contains("move it away"), "{found}");
        fails_with(&mut on(data.path(), &["room", "list"]), 1, expected);
        assert!(std::fs::read(&store).unwrap() == before, "looking changed it");
    }
    // A file that lost its contents is no new store, and neither is none beside a key.
    std::fs::write(&store, []).unwrap();
    let (code, found, _) = run(&mut on(data.path(), &free));
    assert!(code == Some(1) && found.contains("is empty"), "{found}");
    fails_with(&mut serve(data.path(), &[]), 1, "is empty");
    std::fs::remove_file(&store).unwrap();
    let missing = succeeds(&mut on(data.path(), &free));
    assert!(
        missing.contains("warn  store") && missing.contains("there is a server key"),
        "{missing}"
    );
    std::fs::write(&store, kept).unwrap();

    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let open = succeeds(&mut on(data.path(), &free));
    assert!(
        open.contains("others can look into") && open.contains("chmod 700"),
        "{open}"
    );
    // A damaged store.
    let mut damaged = std::fs::read(&store).unwrap();
    damaged.iter_mut().skip(4096).for_each(|byte| *byte = 0x55);
    std::fs::write(&store, damaged).unwrap();
    let (code, found, _) = run(&mut on(data.path(), &free));
    assert!(code == Some(1) && found.contains("FAIL  store"), "{found}");
    let json = run(&mut on(data.path(), &[&free[..], &["--json"]].concat())).1;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(
        json.as_array()
            .unwrap()
            .iter()
            .any(|finding| finding["state"] == "failed" && finding["todo"].is_string())
    );
}

#[test]
fn settings_are_checked_and_shown_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snug.toml");
    std::fs::write(
        &file,
        "store = \"mongodb://u:hunter2@db/x\"\n[limits]\nconnections = 99\n",
    )
    .unwrap();
    let with_file = |arguments: &[&str]| {
        let mut command = program();
        command
            .args(arguments)
            .arg("--config")
            .arg(&file)
            .env("HOME", folder.path());
        command
    };
    let shown = succeeds(with_file(&["config", "show"]).env("SNUG_RENDEZVOUS_LISTEN", "127.0.0.1:9"));
    for expected in [
        "u:(redacted)@db",
        "connections = 99",
        "snug.toml:3",
        "# SNUG_RENDEZVOUS_LISTEN",
        "# default",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    assert!(!shown.contains("hunter2"));
    let checked = run(with_file(&["config", "check"]).env("SNUG_RENDEZVOUS_LISTN", "127.0.0.1:9"));
    assert!(
        checked.0 == Some(0) && checked.2.contains("SNUG_RENDEZVOUS_LISTN is no setting"),
        "{checked:?}"
    );
    std::fs::write(&file, "lisen = 1\n[limits]\nconnections = \"99\"\n").unwrap();
    for command in [
        &["config", "check"][..],
        &["config", "show"],
        &["serve"],
        &["doctor"],
        &["room", "list"],
    ] {
        fails_with(
            &mut with_file(command),
            2,
            "snug.toml:1: lisen: there is no such setting; is listen meant?",
        );
        fails_with(
            &mut with_file(command),
            2,
            "snug.toml:3: limits.connections: a whole number",
        );
    }
    std::fs::write(&file, "registration = \"token\"\nregistration_token_file = \"none\"\n").unwrap();
    fails_with(&mut with_file(&["config", "check"]), 2, "registration");
    let example = succeeds(program().args(["config", "example"]));
    std::fs::write(&file, &example).unwrap();
    succeeds(&mut with_file(&["config", "check"]));
    fails_with(
        serve(folder.path(), &[]).args(["--limits-login-burst", "0"]),
        2,
        "--limits-login-burst: ",
    );
    fails_with(
        serve(folder.path(), &[]).env("SNUG_RENDEZVOUS_LOG_FORMAT", "xml"),
        2,
        "SNUG_RENDEZVOUS_LOG_FORMAT: ",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_reads_the_settings_again() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("snug.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("registration = \"closed\"\n");
    let serving = Serving::start(data.path(), &["--config", file.to_str().unwrap()]);
    let client = serving.client();
    let path = snug_rendezvous_api::register_finish(&crate::support::path_handle(&handle("den")));
    let start = async |headers: &str| {
        let headers = format!("content-type: application/json\r\n{headers}");
        client.send("POST", &path, &headers, b"{}").await
    };
    start("").await.refused(ProblemType::RegistrationClosed);

    // A file that is wrong changes nothing.
    write("registration = \"opne\"\n");
    serving.signal(rustix::process::Signal::HUP);
    serving.wait_for_log("the settings stay as they were");
    write("registration = \"token\"\nregistration_token_file = \"tokens\"\n");
    serving.signal(rustix::process::Signal::HUP);
    serving.wait_for_log("what was right before stays");
    start("").await.refused(ProblemType::RegistrationClosed);

    let tokens = data.path().join("tokens");
    std::fs::write(&tokens, "# ours\n0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    serving.signal(rustix::process::Signal::HUP);
    serving.wait_for_log("the settings were read again");
    start("").await.refused(ProblemType::RegistrationToken);
    start("snug-registration-token: 0123456789abcdeF\r\n")
        .await
        .refused(ProblemType::RegistrationToken);
    // Let in, and refused for its body.
    start("snug-registration-token: 0123456789abcdef\r\n")
        .await
        .refused(ProblemType::BadRequest);
    let log = serving.log();
    assert!(!log.contains("0123456789"), "{log}");

    write("registration = \"open\"\nlog.requests = true\nlog.format = \"json\"\n");
    serving.signal(rustix::process::Signal::HUP);
    serving.wait_for_log("this setting takes effect at the next start");
    client.register(&handle("den")).await;
    serving.wait_for_log("/register/finish");
    serving.stop();
}

#[test]
fn logs_are_text_or_json_and_name_clients_only_when_told_to() {
    let data = tempfile::tempdir().unwrap();
    let room = "c0ffee".repeat(10) + "cafe";
    let ask = |more: &[&str]| {
        let serving = Serving::start(data.path(), more);
        crate::process::get(&serving.address, &format!("/v1/rooms/{room}/presence"));
        let log = if more.is_empty() {
            String::new()
        } else {
            serving.wait_for_log("/v1/rooms/{handle}/presence")
        };
        log + &serving.stop()
    };
    assert!(!ask(&[]).contains("request"));
    for format in ["text", "json"] {
        let log = ask(&["--verbose", "--log-format", format]);
        assert!(
            !log.contains("c0ffee") && !log.contains("client") && !log.contains("room="),
            "{log}"
        );
        if format == "json" {
            let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(
                lines
                    .iter()
                    .any(|line| line["status"] == 401 && line["method"] == "GET"),
                "{log}"
            );
        }
    }
    // With the flag: the address, and what the store calls the room; its handle even then not.
    let log = ask(&["--verbose", "--log-danger-clients"]);
    assert!(
        log.contains("client=\"loopback\"") && log.contains("room=\"") && !log.contains("c0ffee"),
        "{log}"
    );
}
