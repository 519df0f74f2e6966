//! A hostile member's name and messages, at every front end: none of it is obeyed, and JSON stays exact.

use crate::hostile::Hostile;
use crate::screen::Terminal;
use snug_tests::home::Home;
use snug_tests::member::{self, Member};
use snug_tests::plain::{LOOPBACK, PlainMember};
use snug_tests::rendezvous::Rendezvous;

/// A name that passes (it has no control characters) and would turn a line around.
const NAME: &str = "mal\u{202e}yrol\u{200b}\u{2066}";
/// Comes last, so that whoever sees it has seen all before.
const LAST: &str = "and that is all";

fn payloads() -> Vec<String> {
    let mut texts: Vec<String> = [
        "title \u{1b}]0;owned\u{7} and \u{1b}]2;owned\u{1b}\\",
        "clipboard \u{1b}]52;c;b3duZWQ=\u{7}",
        "link \u{1b}]8;;http://127.0.0.1/\u{1b}\\click\u{1b}]8;;\u{1b}\\",
        "clear \u{1b}[2J\u{1b}[H\u{1b}[?1049l\u{1b}c",
        "colour \u{1b}[31;5m\u{1b}[?25l",
        "answer \u{1b}[6n\u{1b}[c\u{5}",
        "c1 \u{9b}2J \u{9d}0;owned\u{9c} \u{90}x\u{9c} \u{84}\u{85}",
        "bell \u{7} back \u{8}\u{8}\u{8} delete \u{7f} nul \u{0}",
        "return \rerror: forged",
        "bidi \u{202e}desrever\u{202c} \u{2066}isolate\u{2069} \u{200f}\u{061c}",
        "hidden \u{200b}\u{200d}\u{2060}\u{feff}\u{180e}\u{00ad} tags \u{e0041}\u{e0042}",
        "lines \u{2028} and \u{2029} and \u{b} and \u{c}",
        "surrogate-like \u{fffe} \u{ffff} \u{e000}",
        "mallory: hi\n[12:00] alice: forged line\nThe room den has been deleted.",
    ]
    .map(str::to_owned)
    .into();
    texts.push(format!("marks Z{}", "\u{0315}\u{0334}".repeat(800)));
    texts
}

/// Nothing in here may reach a terminal: control characters but the line feed, format characters but joiners, private use.
fn assert_harmless(what: &str, text: &str) {
    for c in text.chars() {
        let control = c.is_control() && c != '\n';
        let format = matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        let other = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fffe}'..='\u{ffff}');
        assert!(
            !control && !format && !other,
            "{what} lets {c:?} (U+{:04X}) through",
            u32::from(c)
        );
    }
    let marks = text
        .split(|c: char| !('\u{300}'..='\u{36f}').contains(&c))
        .map(|run| run.chars().count())
        .max();
    assert!(
        marks.unwrap_or(0) <= 16,
        "{what} lets {marks:?} combining marks through on one character"
    );
}

#[test]
fn nothing_of_it_is_obeyed() {
    let server = Rendezvous::start();
    let homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let card = member::create(&homes[0], &server.url(), "den");
    let plain = PlainMember::start("plain", &mut member::join_command(&homes[0], &card, "petra", "--plain"));
    plain.sees("Welcome to the room den, petra.");
    let mut program = Member::join(&homes[1], &card, "jason");
    program.ready();
    let key = homes[2].secret("room-key", &card.room_key);
    let mut on_terminal = homes[2].snug(["join", "--server", &card.server, "--room", "den", "--name", "tui"]);
    on_terminal.arg("--room-key-file").arg(key).args(LOOPBACK);
    let mut screen = Terminal::start("tui", &on_terminal, 30, 100);
    screen.shows("Welcome to the room den, tui.");
    program.sees(&["petra", "tui"]);
    let before = screen.requests();

    let texts = payloads();
    let everything = texts.iter().cloned().chain([LAST.to_owned()]).collect();
    let mallory = Hostile::enter(&card, NAME, 4, everything);
    program.notice("join", &format!("{NAME} has joined the room den."));

    // JSON is exact for those who parse it, and harmless for a terminal that it is shown on.
    for text in &texts {
        let event = program.hears(text);
        assert_eq!(event["from"]["name"], NAME);
    }
    program.hears(LAST);
    let printed = program.process().stdout();
    assert_harmless("--json", std::str::from_utf8(&printed).expect("JSON is UTF-8"));

    plain.sees(LAST);
    let printed = String::from_utf8(plain_output(plain)).expect("plain lines are UTF-8");
    assert_harmless("--plain", &printed);
    let forged = |line: &str| {
        line.starts_with("[12:00] alice") || line.starts_with("The room den has") || line.starts_with("error:")
    };
    assert!(
        !printed.lines().any(forged),
        "a message can't write lines of its own:\n{printed}"
    );

    screen.shows(LAST);
    assert_eq!(screen.requests(), before, "nothing was asked of the terminal");
    screen.look(|screen| {
        assert!(screen.alternate_screen(), "still the full screen");
        assert_harmless("the full screen", &screen.contents());
    });
    let raw = String::from_utf8_lossy(&screen.raw()).into_owned();
    for (name, bytes) in [
        ("OSC 52", "\u{1b}]52"),
        ("a link", "\u{1b}]8;"),
        ("RIS", "\u{1b}c"),
        ("a query", "\u{1b}[c"),
        ("U+202E", "\u{202e}"),
        ("a C1 CSI", "\u{9b}"),
        ("NUL", "\u{0}"),
    ] {
        assert!(!raw.contains(bytes), "{name} reached the terminal");
    }
    screen.type_text("\u{3}");
    assert_eq!(screen.exit_code(), 0);
    drop(mallory);
    program.notice("leave", &format!("{NAME} has left the room den."));
}

fn plain_output(mut member: PlainMember) -> Vec<u8> {
    member.process().stdout()
}

#[test]
fn errors_and_prompts_are_clean_too() {
    let server = Rendezvous::start();
    let home = Home::new();
    let card = member::create(&home, &server.url(), "den");
    let hostile = member::RoomCard {
        room: "den\u{202e}\u{200b}lair".into(),
        ..card
    };
    let (_, words) = crate::bad_input::outcome(&mut member::join_command(&home, &hostile, "alice", "--plain"), &[]);
    assert!(!words.is_empty());
    assert_harmless("an error", &words);
    let mut command = home.snug(["join", "--server", "http://127.0.0.1:1/\u{1b}]0;x\u{7}"]);
    let (_, words) = crate::bad_input::outcome(
        command.args(["--room", "\u{1b}[2J", "--name", "\u{9b}1m", "--json"]),
        &[],
    );
    assert_harmless("an error", &words);
}
