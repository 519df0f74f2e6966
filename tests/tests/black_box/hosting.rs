//! What a host decides, as members meet it: who may make rooms, and a room that the host removes.

use std::time::Duration;

use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::process;
use snug_tests::rendezvous::Rendezvous;

/// Within this members hear of it: their next heartbeat, and slack for a busy machine.
const NOTICED: Duration = Duration::from_secs(60);

#[test]
fn a_room_that_the_host_removes_goes_on_and_nobody_is_told_that_it_was_deleted() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut alice = Member::join(&a, &card, "alice");
    alice.ready();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);

    let listed = server.command(&["room", "list", "--json"]);
    let room: serde_json::Value = serde_json::from_str(listed.lines().next().expect("one room")).expect("a JSON line");
    let name = room["room"].as_str().expect("its name").to_owned();
    assert!(!listed.contains("den"), "{listed}");
    server.command(&["room", "delete", "--yes", &name]);

    for member in [&mut alice, &mut bob] {
        member.wait_within(NOTICED, "warning that the host removed the room", |event| {
            let message = event["message"].as_str()?;
            (event["type"] == "warning" && message.contains("its host removed the room from it")).then_some(())
        });
    }
    // They are still in, and talk.
    alice.send("Out of the pub, into the garden");
    bob.hears("Out of the pub, into the garden");
    bob.send("Fine with me");
    alice.hears("Fine with me");

    let c = Home::new();
    let late = process::run("join", &mut member::join_command(&c, &card, "carol", "--json"), "");
    let said = String::from_utf8_lossy(&late.stderr).into_owned();
    assert_eq!(late.status.code(), Some(5), "{said}");
    assert!(said.contains("the host of this rendezvous removed this room"), "{said}");
    // A removed room does not come back under its name.
    let again = process::run(
        "create",
        &mut a.snug(["create", "--server", &server.url(), "--room", "den", "--json"]),
        "",
    );
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn rooms_are_made_with_the_hosts_token_and_not_without() {
    let tokens = Home::new();
    let file = tokens.secret("tokens", "# for friends\nfriends-make-rooms-here\n");
    let server = Rendezvous::configured(&[
        "--registration",
        "token",
        "--registration-token-file",
        &file.display().to_string(),
    ]);
    let home = Home::new();
    let create = |token: Option<&str>| {
        let mut command = home.snug(["create", "--server", &server.url(), "--json"]);
        if let Some(token) = token {
            let file = home.secret("token", token);
            command.arg("--registration-token-file").arg(file);
        }
        process::run("create", &mut command, "")
    };
    for (token, status, said) in [
        (None, 1, "only from holders of a registration token"),
        (Some("strangers-make-rooms"), 1, "the one given is not good"),
        (Some("two words here in it"), 2, "visible ASCII"),
        (Some("friends-make-rooms-here\n"), 0, ""),
    ] {
        let output = create(token);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{token:?} {error}");
        assert!(error.contains(said), "{token:?} {error}");
        assert!(!error.contains("strangers-make"), "{error}");
        if status == 0 {
            let card = member::RoomCard::from_json(&serde_json::from_slice(&output.stdout).expect("a card"));
            // Entering needs none.
            let (a, mut alice) = (Home::new(), None);
            alice.get_or_insert_with(|| Member::join(&a, &card, "alice")).ready();
        }
    }

    let closed = Rendezvous::configured(&["--registration", "closed"]);
    let output = process::run(
        "create",
        &mut home.snug(["create", "--server", &closed.url(), "--json"]),
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("takes no new rooms"));
}

#[test]
fn people_meet_over_https_by_the_server_itself() {
    let files = Home::new();
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let chain = files.secret("chain.pem", &certificate).display().to_string();
    let key = files.secret("key.pem", &key.serialize_pem()).display().to_string();
    let server = Rendezvous::configured(&["--tls-certificate-file", &chain, "--tls-key-file", &key]);
    let url = format!("https://localhost:{}", server.port());
    let home = Home::new();
    let trusting = |command: &mut std::process::Command| {
        // Where the system's roots come from, for programs that ask the system.
        command.env("SSL_CERT_FILE", &chain);
    };
    let create = |trusts: bool| {
        let mut command = home.snug(["create", "--server", &url, "--room", "den", "--json"]);
        if trusts {
            trusting(&mut command);
        }
        process::run("create", &mut command, "")
    };
    let distrusted = create(false);
    let error = String::from_utf8_lossy(&distrusted.stderr).into_owned();
    assert_eq!(distrusted.status.code(), Some(4), "{error}");
    assert!(
        error.contains("no trusted TLS connection") || error.contains("root certificates"),
        "{error}"
    );
    let created = create(true);
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let card = member::RoomCard::from_json(&serde_json::from_slice(&created.stdout).expect("a card"));
    let (a, b) = (Home::new(), Home::new());
    let join = |home: &Home, name: &str| {
        let mut command = member::join_command(home, &card, name, "--json");
        trusting(&mut command);
        Member::start(name, &mut command)
    };
    let mut alice = join(&a, "alice");
    alice.ready();
    let mut bob = join(&b, "bob");
    bob.ready();
    alice.sees(&["bob"]);
    bob.sees(&["alice"]);
    alice.send("Sealed twice on the way in");
    bob.hears("Sealed twice on the way in");
}
