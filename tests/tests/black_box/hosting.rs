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
