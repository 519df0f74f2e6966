use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use snug::engine::EventKind;
use snug::room::Message;
use snug::text::Untrusted;
use snug_crypto::ids::{EpochId, Fingerprint, MessageId};
use snug_crypto::operation::Role;

use super::state::{Action, State};
use super::view;
use crate::front::people::tests::member;

/// 2023-11-14 22:13 UTC.
const AT: u64 = 1_700_000_000_000;

fn entered(names: &[&str]) -> State {
    let mut state = State::new("den".into(), false, TimeZone::UTC);
    let mut members: Vec<_> = names.iter().zip(1..).map(|(name, byte)| member(name, byte)).collect();
    members[0].me = true;
    let ready = EventKind::Ready {
        member: members[0].fingerprint,
        members,
        epoch: EpochId::from_bytes([0; 32]),
    };
    state.event(AT, &ready);
    state
}

fn say(state: &mut State, name: &str, byte: u8, text: &str) {
    tell(state, name, byte, text, false);
}

fn tell(state: &mut State, name: &str, byte: u8, text: &str, direct: bool) {
    let message = Message {
        direct,
        id: MessageId::from_bytes([byte; 32]),
        from: member(name, byte),
        text: Untrusted::new(text),
        reply_to: None,
        parents: Vec::new(),
        sent_at_ms: AT,
        serial: 1,
        again: false,
    };
    state.event(AT, &EventKind::Message(message));
}

fn press(state: &mut State, code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
    state.key(KeyEvent::new(code, modifiers))
}

fn write(state: &mut State, text: &str) {
    for c in text.chars() {
        press(state, KeyCode::Char(c), KeyModifiers::NONE);
    }
}

/// The screen's rows, without white space at their ends.
fn screen(state: &mut State, columns: u16, rows: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| view::draw(frame, state)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y: u16| {
        let mut text = String::new();
        let mut x = 0;
        while x < columns {
            let symbol = buffer[(x, y)].symbol();
            text.push_str(symbol);
            x += u16::try_from(snug::text::width(symbol)).unwrap().max(1);
        }
        text.trim_end().to_owned()
    };
    (0..rows).map(row).collect()
}

#[test]
fn a_room_with_wide_names_and_words_stands_in_its_columns() {
    let mut state = entered(&["alice", "日本太郎", "bob"]);
    say(&mut state, "日本太郎", 2, "こんにちは 👩\u{200d}👩\u{200d}👧 hello");
    say(&mut state, "bob", 3, "two\nlines");
    let rows = screen(&mut state, 70, 10);
    assert_eq!(rows[0], format!(" den · 3 members{}snug", " ".repeat(49)));
    assert_eq!(rows[1].find('│'), rows[7].find('│').filter(|at| *at == 47));
    assert!(rows[1].ends_with("│ ● alice you"), "{rows:#?}");
    assert!(rows[3].ends_with("│ ● 日本太郎"), "{rows:#?}");
    assert!(
        rows[5].starts_with("22:13 日本太郎: こんにちは 👩\u{200d}👩\u{200d}👧 hello"),
        "{rows:#?}"
    );
    assert!(rows[6].starts_with("22:13 bob: two "), "{rows:#?}");
    assert!(rows[7].starts_with("        lines "), "{rows:#?}");
    assert_eq!(rows[9], ">");
}

#[test]
fn hostile_text_moves_nothing() {
    let mut state = entered(&["alice", "\u{1b}[2Jeve\u{202e}"]);
    say(
        &mut state,
        "\u{1b}[2Jeve\u{202e}",
        2,
        "a\u{1b}]0;x\u{7}\rb\u{9b}1;1H\u{202e}c",
    );
    let rows = screen(&mut state, 80, 8);
    let all = rows.concat();
    assert!(!all.contains(|c: char| c.is_control() || c == '\u{202e}'), "{rows:#?}");
    assert!(
        rows[4].starts_with("22:13 “\u{fffd}[2Jeve”: a\u{fffd}]0;x\u{fffd}"),
        "{rows:#?}"
    );
}

#[test]
fn a_message_is_written_sent_and_marked() {
    let mut state = entered(&["alice", "bob"]);
    write(&mut state, "hi bob");
    assert_eq!(screen(&mut state, 40, 8)[7], "> hi bob");
    let action = press(&mut state, KeyCode::Enter, KeyModifiers::NONE);
    assert_eq!(
        action,
        Some(Action::Send {
            ticket: 1,
            text: "hi bob".into(),
            to: None,
        })
    );
    assert!(screen(&mut state, 40, 8)[5].contains("alice: hi bob"));
    state.sent(1, "hi bob".into(), None, Err("the message is too long".into()));
    let rows = screen(&mut state, 60, 8);
    assert!(rows[5].contains("! Not sent: the message is too long"), "{rows:#?}");
    assert_eq!(rows[7], "> hi bob");
}

#[test]
fn what_is_said_to_one_alone_is_marked_on_both_screens_and_goes_to_nobody_by_mistake() {
    let mut state = entered(&["alice", "bob"]);
    write(&mut state, "/dm bob psst");
    let bob = Fingerprint::from_bytes([2; 16]);
    assert_eq!(
        press(&mut state, KeyCode::Enter, KeyModifiers::NONE),
        Some(Action::Send {
            ticket: 1,
            text: "psst".into(),
            to: Some(bob),
        })
    );
    tell(&mut state, "bob", 2, "what?", true);
    let rows = screen(&mut state, 60, 10).concat();
    assert!(rows.contains("alice [to bob alone]: psst"), "{rows}");
    assert!(rows.contains("bob [to you alone]: what?"), "{rows}");
    write(&mut state, "/dm rob psst");
    assert_eq!(press(&mut state, KeyCode::Enter, KeyModifiers::NONE), None);
    assert_eq!(state.composer.text(), "/dm rob psst", "it can be mended");
    state.composer.take();
    state.sent(
        1,
        "psst".into(),
        Some(bob),
        Err("that member is no longer in the room".into()),
    );
    assert_eq!(
        state.composer.text(),
        format!("/dm {bob} psst"),
        "it isn't said to all by the next Enter"
    );
}

#[test]
fn a_paste_of_several_lines_waits_in_the_composer() {
    let mut state = entered(&["alice", "bob"]);
    state.paste("one\r\ntwo\nthree\n");
    let rows = screen(&mut state, 40, 12);
    assert_eq!(rows[8..], ["> one", "  two", "  three", ""]);
    assert_eq!(state.composer.text(), "one\ntwo\nthree\n");
    let action = press(&mut state, KeyCode::Enter, KeyModifiers::NONE);
    assert_eq!(
        action,
        Some(Action::Send {
            ticket: 1,
            text: "one\ntwo\nthree".into(),
            to: None,
        })
    );
    press(&mut state, KeyCode::Char('x'), KeyModifiers::NONE);
    press(&mut state, KeyCode::Enter, KeyModifiers::ALT);
    assert_eq!(state.composer.text(), "x\n");
}

#[test]
fn commands_become_actions_and_unknown_ones_can_be_mended() {
    let mut state = entered(&["alice"]);
    for (typed, expected) in [
        ("/members", Some(Action::ListMembers)),
        ("/info", Some(Action::Info)),
        ("/invite", Some(Action::Invite)),
        ("/leave", Some(Action::Leave)),
        ("  ", None),
        (
            "//x",
            Some(Action::Send {
                ticket: 1,
                text: "/x".into(),
                to: None,
            }),
        ),
    ] {
        write(&mut state, typed);
        assert_eq!(
            press(&mut state, KeyCode::Enter, KeyModifiers::NONE),
            expected,
            "{typed}"
        );
    }
    write(&mut state, "/memebrs");
    assert_eq!(press(&mut state, KeyCode::Enter, KeyModifiers::NONE), None);
    assert_eq!(state.composer.text(), "/memebrs");
    assert!(
        screen(&mut state, 80, 8)
            .concat()
            .contains("There is no command /memebrs")
    );
    assert_eq!(
        press(&mut state, KeyCode::Char('c'), KeyModifiers::CONTROL),
        Some(Action::Quit)
    );
}

#[test]
fn members_go_by_their_roles() {
    let mut state = entered(&["alice", "bob", "carol", "dave"]);
    let mut members: Vec<_> = ["alice", "bob", "carol", "dave"]
        .iter()
        .zip(1..)
        .map(|(n, b)| member(n, b))
        .collect();
    members[0].me = true;
    members[1].role = Role::Moderator;
    members[2].role = Role::Admin;
    state.set_members(members);
    let rows = screen(&mut state, 80, 10).join("\n");
    assert!(rows.contains("bob moderator"), "{rows}");
    assert!(rows.contains("carol admin"), "{rows}");
    assert!(rows.contains("● dave\n"), "{rows}");
}

#[test]
fn what_came_while_scrolled_back_is_counted_and_marked() {
    let mut state = entered(&["alice", "bob"]);
    for number in 0..30 {
        say(&mut state, "bob", 2, &format!("line {number}"));
    }
    screen(&mut state, 50, 10);
    press(&mut state, KeyCode::PageUp, KeyModifiers::NONE);
    let before = screen(&mut state, 50, 10);
    say(&mut state, "bob", 2, "news");
    let rows = screen(&mut state, 50, 10);
    assert_eq!(rows[1..8], before[1..8], "what is read stays");
    assert!(rows[8].contains("1 new below"), "{rows:#?}");
    press(&mut state, KeyCode::Esc, KeyModifiers::NONE);
    let rows = screen(&mut state, 50, 10);
    assert!(rows[6].contains(" new ") && rows[7].ends_with("news"), "{rows:#?}");
    press(&mut state, KeyCode::Char('x'), KeyModifiers::NONE);
    state.focus(false);
    say(&mut state, "bob", 2, "while away");
    let rows = screen(&mut state, 50, 10);
    assert!(
        rows[6].contains(" new ") && rows[7].ends_with("while away"),
        "{rows:#?}"
    );
}

#[test]
fn help_lies_over_everything_until_a_key() {
    let mut state = entered(&["alice"]);
    press(&mut state, KeyCode::F(1), KeyModifiers::NONE);
    assert!(screen(&mut state, 80, 24).concat().contains("Any key closes this"));
    write(&mut state, "x");
    assert!(!screen(&mut state, 80, 24).concat().contains("Any key closes this"));
    assert!(state.composer.is_empty());
}

#[test]
fn a_changed_key_is_shown_until_it_is_accepted() {
    let mut state = entered(&["alice", "bob"]);
    let mut bob = member("bob", 2);
    bob.key_changed = true;
    state.set_members(vec![member("alice", 1), bob.clone()]);
    let rows = screen(&mut state, 80, 10);
    assert!(rows[1].starts_with(" ! Another key than before: bob"), "{rows:#?}");
    assert!(rows[3].ends_with("│ ! bob"), "{rows:#?}");
    say(&mut state, "carol", 3, "a message does not push it away");
    assert!(screen(&mut state, 80, 10)[1].contains("Another key"));
    (bob.key_changed, bob.verified) = (false, true);
    state.set_members(vec![member("alice", 1), bob]);
    let rows = screen(&mut state, 80, 10);
    assert!(
        !rows.concat().contains("Another key") && rows.concat().contains("✓ bob"),
        "{rows:#?}"
    );
}

#[test]
fn namesakes_are_told_apart() {
    let mut state = entered(&["alice", "bob", "bob"]);
    say(&mut state, "bob", 2, "hi");
    let rows = screen(&mut state, 80, 8).concat();
    assert!(
        rows.contains("bob#02020202: hi") && rows.contains("bob#03030303"),
        "{rows}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_size_any_keys_any_text(
        sizes in proptest::collection::vec((0u16..90, 0u16..30), 1..6),
        texts in proptest::collection::vec("\\PC{0,80}|[日👩\u{200d}\u{301}a \n]{0,120}", 0..12),
        keys in proptest::collection::vec(0u8..12, 0..8),
    ) {
        let mut state = entered(&["alice", "日本太郎日本太郎日本太郎日本太郎", "eve"]);
        for text in &texts {
            say(&mut state, "eve", 3, text);
            state.paste(text);
        }
        for (columns, rows) in sizes {
            screen(&mut state, columns.max(1), rows.max(1));
            for key in &keys {
                let code = [
                    KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End, KeyCode::Up, KeyCode::Down,
                    KeyCode::Backspace, KeyCode::Delete, KeyCode::Left, KeyCode::Right, KeyCode::F(1), KeyCode::F(2),
                ][usize::from(*key)];
                press(&mut state, code, KeyModifiers::NONE);
                screen(&mut state, columns.max(1), rows.max(1));
            }
        }
    }
}
