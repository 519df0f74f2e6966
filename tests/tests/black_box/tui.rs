//! The full screen, on terminals of two sizes: what people see, type, paste, and are left with.

use crate::screen::Terminal;
use snug_tests::home::Home;
use snug_tests::member::{self, Member, RoomCard};
use snug_tests::plain::LOOPBACK;
use snug_tests::rendezvous::Rendezvous;
use std::process::Command;

/// Rows and columns: the usual terminal, and a narrow one.
const SIZES: [(u16, u16); 2] = [(24, 80), (14, 42)];

fn join(home: &Home, card: &RoomCard, name: &str) -> Command {
    let key = home.secret("room-key", &card.room_key);
    let mut command = home.snug(["join", "--server", &card.server, "--room", &card.room, "--name", name]);
    command.arg("--room-key-file").arg(key).args(LOOPBACK);
    // Into a file: a failure shows it.
    command.arg("--verbose");
    command
}

#[test]
fn a_wrapped_invite_is_taken_whole_and_none_of_the_paste_is_seen_or_said() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let lines: Vec<&str> = card
        .invite
        .as_bytes()
        .chunks(50)
        .map(|line| std::str::from_utf8(line).expect("ASCII"))
        .collect();
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut join = a.snug(["join", "--name", "alice"]);
    join.args(LOOPBACK);
    let mut alice = Terminal::start("alice", &join, 24, 80);
    alice.shows("Invite (not shown), or Room ID");
    alice.hides_what_is_typed();
    alice.type_text(&format!("{}\rwhat else was copied\r", lines.join("\r")));
    alice.shows("Welcome to the room den, alice.");
    let raw = alice.raw();
    let raw = String::from_utf8_lossy(&raw);
    for line in lines.iter().chain(&["what else was copied"]) {
        assert!(!raw.contains(line), "{line:?} was shown");
    }
    alice.enter("Here I am");
    bob.hears("Here I am");
    assert_eq!(bob.heard(), ["Here I am"]);
}

#[test]
fn a_conversation_at_two_sizes() {
    for (rows, cols) in SIZES {
        let server = Rendezvous::start();
        let (a, b) = (Home::new(), Home::new());
        let card = member::create(&a, &server.url(), "den");
        let mut logging = member::join_command(&b, &card, "bob", "--json");
        let mut bob = Member::start("bob", logging.arg("--verbose"));
        bob.ready();

        let mut alice = Terminal::start("alice", &join(&a, &card, "alice"), rows, cols);
        bob.sees(&["alice"]);
        alice.shows("Welcome to the room den, alice.");
        alice.look(|screen| assert!(screen.alternate_screen(), "a full screen leaves the scrollback alone"));

        alice.enter("Good evening, bob");
        bob.hears("Good evening, bob");
        alice.shows("Good evening, bob");
        bob.send("日本語 and ünïcödé");
        alice.shows("日本語 and ünïcödé");
        // A wide character takes two cells, so what follows it is in its place.
        alice.look(|screen| {
            let (row, at) = find(screen, "日").expect("just seen");
            assert!(screen.cell(row, at).is_some_and(vt100::Cell::is_wide));
            assert_eq!(screen.cell(row, at + 2).map(vt100::Cell::contents), Some("本"));
        });
        // More than the screen holds: the newest is what one sees.
        for index in 0..40 {
            bob.send(&format!("line number {index}"));
        }
        alice.shows("line number 39");

        // Pasted lines are one message, to be sent by one Enter, not one for each line.
        alice.paste("first line\nsecond line\n\tthird line");
        alice.shows("third line");
        assert!(
            bob.heard().iter().all(|text| !text.contains("first line")),
            "a paste alone sends nothing"
        );
        alice.enter("");
        let pasted = bob.wait("pasted message", |event| {
            let text = event["text"].as_str().filter(|text| text.starts_with("first line"))?;
            Some(text.to_owned())
        });
        assert_eq!(pasted.lines().count(), 3, "{pasted:?}");
        assert!(
            pasted
                .lines()
                .nth(2)
                .is_some_and(|line| line.trim_start() == "third line"),
            "{pasted:?}"
        );

        // Smaller, larger and back: nothing is lost or left over.
        for (rows, cols) in [(10, 30), (40, 132), (rows, cols)] {
            alice.resize(rows, cols);
            bob.send(&format!("at {cols} columns"));
            alice.shows(&format!("at {cols} columns"));
            alice.look(|screen| assert_eq!(screen.size(), (rows, cols)));
        }
        // Editing: what was deleted is not sent.
        alice.type_text("wrong words");
        alice.shows("wrong words");
        alice.type_text(&"\u{7f}".repeat("wrong words".len()));
        alice.enter("right words");
        bob.hears("right words");
        assert!(
            bob.heard().iter().all(|text| !text.contains("wrong")),
            "{:?}",
            bob.heard()
        );

        bob.leave();
        alice.shows("bob has left the room den.");
        alice.type_text("\u{3}");
        assert_eq!(alice.exit_code(), 0);
        alice.look(|screen| {
            assert!(!screen.alternate_screen(), "the terminal is as it was");
            assert!(!screen.hide_cursor(), "with its cursor");
            assert!(!screen.bracketed_paste(), "and without modes that were asked for");
        });
    }
}

#[test]
fn a_terminal_that_takes_nothing_for_a_while_does_not_stop_the_node() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut alice = Terminal::start("alice", &join(&a, &card, "alice"), 24, 80);
    bob.sees(&["alice"]);
    alice.shows("Welcome to the room den, alice.");
    alice.stall(true);
    // More than waits on the way to a terminal.
    for index in 0..200 {
        bob.send(&format!("{index:03}{}", "x".repeat(40)));
    }
    let id = bob.send("Are you still there?");
    bob.wait("a receipt", |event| {
        let is_it = event["type"] == "receipt" && event["id"] == id.as_str() && event["held_by"] == 1;
        is_it.then_some(())
    });
    alice.stall(false);
    alice.shows("Are you still there?");
    alice.type_text("\u{3}");
    assert_eq!(alice.exit_code(), 0);
}

#[test]
fn a_host_is_shown_what_to_hand_on() {
    let home = Home::new();
    let mut command = home.snug([
        "host",
        "--room",
        "den",
        "--name",
        "alice",
        "--listen-http",
        "127.0.0.1:0",
    ]);
    command.args(LOOPBACK);
    let mut alice = Terminal::start("alice", &command, 50, 120);
    // Before the full screen covers it: all that others need, with a picture for their telephones.
    for label in [
        "Room ID: den",
        "Room Key: ",
        "Password: ",
        "Server: http://127.0.0.1:",
        "Invite: snug1",
        "▀▀▀▀▀▀▀",
        "Press Enter",
    ] {
        alice.shows(label);
    }
    alice.enter("");
    alice.shows("Welcome to the room den, alice.");
    alice.enter("/invite");
    alice.shows("Press Enter to go back");
    alice.shows("snug1");
    alice.enter("");
    alice.shows("Welcome to the room den, alice.");
    alice.enter("/invite");
    // The page of before comes back for a moment, when the full screen is left.
    alice.has_written("Press Enter to go back", 2);
    alice.type_text("\u{3}");
    assert_eq!(alice.exit_code(), 0);
}

#[test]
fn a_prompt_hides_what_is_typed() {
    let server = Rendezvous::start();
    let (a, b) = (Home::new(), Home::new());
    let card = member::create(&a, &server.url(), "den");
    let mut bob = Member::join(&b, &card, "bob");
    bob.ready();
    let mut command = a.snug(["join", "--server", &card.server, "--room", "den", "--name", "alice"]);
    command.args(LOOPBACK);
    let mut alice = Terminal::start("alice", &command, 24, 80);
    alice.shows("Room Key");
    alice.hides_what_is_typed();
    alice.enter(&card.room_key);
    alice.shows("Welcome to the room den, alice.");
    bob.sees(&["alice"]);
    let raw = alice.raw();
    assert_eq!(
        snug_tests::canary::find(&raw, &card.room_key),
        None,
        "the Room Key is not shown"
    );
    alice.type_text("\u{3}");
    assert_eq!(alice.exit_code(), 0);
}

#[test]
fn a_deleted_room_ends_with_its_status() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let mut alice = Terminal::start("alice", &join(&home, &card, "alice"), 24, 80);
    alice.shows("Welcome to the room den, alice.");
    let password = home.secret("password", &card.password);
    let mut delete = home.snug(["delete", "--server", &server.url(), "--room", "den"]);
    let output = snug_tests::process::run("delete", delete.arg("--password-file").arg(password), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(alice.exit_code(), 5);
    let text = String::from_utf8_lossy(&alice.raw()).into_owned();
    assert!(
        text.contains("The room den has been deleted."),
        "the reason stays on the terminal: {}",
        alice.picture()
    );
}

fn find(screen: &vt100::Screen, text: &str) -> Option<(u16, u16)> {
    let (rows, cols) = screen.size();
    let places = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
    places
        .into_iter()
        .find(|&(row, col)| screen.cell(row, col).is_some_and(|cell| cell.contents() == text))
}
