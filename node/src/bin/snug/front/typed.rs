//! What a person types into the plain and the full-screen front end: a message, or a command that starts with a slash.

/// A line of input, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing but white space.
    Nothing,
    /// A message to the room.
    Say(String),
    /// Who is here.
    Members,
    /// What this room is.
    Info,
    /// What to hand on so that others can join.
    Invite,
    /// What can be typed.
    Help,
    /// Go offline and end: membership stays.
    Quit,
    /// Leave the room for good and end.
    Leave,
    /// No such command.
    Unknown(String),
}

/// The commands, with what they do.
pub const COMMANDS: [(&str, &str); 6] = [
    ("/members", "who is in the room"),
    ("/info", "what the room is, and how you are connected"),
    ("/invite", "what to hand on so that others can join"),
    ("/quit", "go offline; you stay a member, and messages wait for you"),
    ("/leave", "leave the room for good; the others are told"),
    ("/help", "this list"),
];

/// Longest part of an unknown command that is repeated to the user, in characters.
const MAX_REPEATED: usize = 20;

/// Understands `text`. `//` at the start sends a message that begins with one slash; a message is cleaned as
/// [`snug::text::compose`] does, and blank lines at its ends go.
pub fn parse(text: &str) -> Typed {
    let cleaned = snug::text::compose(text);
    let text = cleaned.trim_matches('\n').trim_end();
    if text.trim().is_empty() {
        return Typed::Nothing;
    }
    let Some(command) = text.strip_prefix('/') else {
        return Typed::Say(text.to_owned());
    };
    if command.starts_with('/') {
        return Typed::Say(command.to_owned());
    }
    let word = command.split_whitespace().next().unwrap_or_default();
    match word.to_lowercase().as_str() {
        "members" | "who" => Typed::Members,
        "info" => Typed::Info,
        "invite" => Typed::Invite,
        "help" => Typed::Help,
        "quit" => Typed::Quit,
        "leave" => Typed::Leave,
        _ => Typed::Unknown(word.chars().take(MAX_REPEATED).collect()),
    }
}

/// What is said about an unknown command.
pub fn unknown(word: &str) -> String {
    format!("There is no command /{word}; /help lists them. To send text that starts with a slash, type two.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_commands_are_told_apart() {
        assert_eq!(parse("hello "), Typed::Say("hello".into()));
        assert_eq!(parse("  indented"), Typed::Say("  indented".into()));
        assert_eq!(parse("//etc/passwd"), Typed::Say("/etc/passwd".into()));
        assert_eq!(parse(" /members"), Typed::Say(" /members".into()));
        assert_eq!(parse("/Members please"), Typed::Members);
        assert_eq!(parse("/quit"), Typed::Quit);
        assert_eq!(parse("/"), Typed::Unknown(String::new()));
        assert_eq!(parse("/dance\nnow"), Typed::Unknown("dance".into()));
        assert_eq!(parse(" \t\n "), Typed::Nothing);
        assert_eq!(parse("\u{200b}\u{202e}"), Typed::Nothing);
    }

    #[test]
    fn what_is_sent_or_repeated_is_clean() {
        assert_eq!(
            parse("a\u{1b}[31m\r\nb\u{7}"),
            Typed::Say("a\u{fffd}[31m\nb\u{fffd}".into())
        );
        let Typed::Unknown(word) = parse(&format!("/{}", "x\u{1b}".repeat(100))) else {
            panic!("a command")
        };
        assert!(word.chars().count() <= MAX_REPEATED && !word.contains('\u{1b}'));
        assert!(
            COMMANDS
                .iter()
                .all(|(command, _)| !matches!(parse(command), Typed::Unknown(_) | Typed::Say(_)))
        );
    }
}
