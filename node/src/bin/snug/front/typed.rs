//! What a person types into the plain and the full-screen front end: a message, or a command that starts with a slash.

use snug::room::Trust;
use snug_crypto::operation::Role;

use super::acts::{self, Act};
use super::verify::{self, Verify};
use crate::rules;

/// A line of input, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing but white space.
    Nothing,
    /// A message to the room.
    Say(String),
    /// A message to one member alone: who, and what.
    Direct(String),
    /// Who is here.
    Members,
    /// How far one's newest messages have got.
    Sent,
    /// What this room is.
    Info,
    /// What to hand on so that others can join.
    Invite,
    /// What can be typed.
    Help,
    /// The room's rules.
    Policy,
    /// Who waits to be let in.
    Applicants,
    /// Whether a message is missing, withheld or contradictory.
    Audit,
    /// The safety number with somebody, or whether it is this.
    Verify(Verify),
    /// An act of the admin or of a moderator, or what one knows of somebody.
    Act(Act),
    /// Delete the room, whose id was typed for confirmation.
    DeleteRoom(String),
    /// A command that lacks something, or says something wrong: how it is written.
    Usage(&'static str),
    /// Go offline and end: membership stays.
    Quit,
    /// Leave the room for good and end.
    Leave,
    /// No such command.
    Unknown(String),
}

/// The commands, with what they do.
pub const COMMANDS: [(&str, &str); 20] = [
    ("/members", "who is in the room"),
    ("/dm NAME text", "say something to one member alone"),
    ("/sent", "how far your newest messages have got"),
    ("/info", "what the room is, and how you are connected"),
    ("/invite", "what to hand on so that others can join"),
    (
        "/verify NAME",
        "your safety number with somebody, to compare with theirs",
    ),
    ("/verified NAME", "it is the same; or: /unverified NAME"),
    ("/accept NAME", "take a member with another key for who it says it is"),
    (
        "/audit",
        "whether messages are missing, withheld or contradictory, and whose",
    ),
    ("/kick NAME", "remove a member; everybody else gets a new Room Key"),
    ("/ban NAME", "the same, and for good"),
    ("/role NAME moderator", "let a member kick and ban; or: admin, member"),
    ("/rekey", "give everybody a new Room Key"),
    (
        "/keeper OFFER",
        "name a helper that holds messages for the absent, and can't read them",
    ),
    (
        "/approve NAME",
        "let somebody in who waits for a moderator; alone: who waits",
    ),
    (
        "/policy",
        "the room's rules; the admin changes them: /policy approval on",
    ),
    ("/delete-room ROOM", "delete the room for everybody"),
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
    let rest = command[word.len()..].trim();
    match word.to_lowercase().as_str() {
        "dm" if rest.contains(char::is_whitespace) => Typed::Direct(rest.to_owned()),
        "dm" => Typed::Usage("/dm NAME text"),
        "members" | "who" => Typed::Members,
        "info" => Typed::Info,
        "sent" => Typed::Sent,
        "audit" => Typed::Audit,
        "invite" => Typed::Invite,
        "help" => Typed::Help,
        "quit" => Typed::Quit,
        "leave" => Typed::Leave,
        "verify" => verify::parse(rest).map_or(
            Typed::Usage("/verify NAME, or /verify NAME and the number that they see"),
            Typed::Verify,
        ),
        "verified" if !rest.is_empty() => Typed::Act(Act::Trust(rest.to_owned(), Trust::Verified)),
        "verified" => Typed::Usage("/verified NAME"),
        "unverified" if !rest.is_empty() => Typed::Act(Act::Trust(rest.to_owned(), Trust::Unverified)),
        "unverified" => Typed::Usage("/unverified NAME"),
        "accept" if !rest.is_empty() => Typed::Act(Act::Trust(rest.to_owned(), Trust::Accepted)),
        "accept" => Typed::Usage("/accept NAME"),
        "kick" if !rest.is_empty() => Typed::Act(Act::Kick(rest.to_owned())),
        "kick" => Typed::Usage("/kick NAME"),
        "ban" if !rest.is_empty() => Typed::Act(Act::Ban(rest.to_owned())),
        "ban" => Typed::Usage("/ban NAME"),
        "role" => match rest.rsplit_once(char::is_whitespace) {
            Some((who, role)) if acts::role(role).is_some() => Typed::Act(Act::Role(
                who.trim().to_owned(),
                acts::role(role).unwrap_or(Role::Member),
            )),
            _ => Typed::Usage("/role NAME moderator, or admin, or member"),
        },
        "rekey" if rest.is_empty() => Typed::Act(Act::Rekey(None)),
        "rekey" => Typed::Usage("/rekey; the new Room Key is generated"),
        "keeper" => acts::keeper(rest).map_or(
            Typed::Usage("/keeper OFFER, with the line that begins with snugoffer1 and that snug keep prints on the keeper's machine"),
            Typed::Act,
        ),
        "approve" if !rest.is_empty() => Typed::Act(Act::Approve(rest.to_owned())),
        "approve" => Typed::Applicants,
        "policy" if rest.is_empty() => Typed::Policy,
        "policy" => rules::parse(rest).map_or(Typed::Usage(rules::USAGE), |change| Typed::Act(Act::Policy(change))),
        "delete-room" if !rest.is_empty() => Typed::DeleteRoom(rest.to_owned()),
        "delete-room" => Typed::Usage("/delete-room ROOM, with the Room ID, so that it does not happen by accident"),
        _ => Typed::Unknown(word.chars().take(MAX_REPEATED).collect()),
    }
}

/// What is said when the room's id wasn't repeated right.
pub const OTHER_ROOM: &str = "That is not this room's id; nothing was deleted.";

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
        assert_eq!(parse("/kick  carol b "), Typed::Act(Act::Kick("carol b".into())));
        assert_eq!(
            parse("/role carol b mod"),
            Typed::Act(Act::Role("carol b".into(), Role::Moderator))
        );
        assert_eq!(parse("/dm bob  psst "), Typed::Direct("bob  psst".into()));
        assert_eq!(parse("/delete-room den"), Typed::DeleteRoom("den".into()));
        assert_eq!(parse("/approve"), Typed::Applicants);
        assert_eq!(parse("/policy"), Typed::Policy);
        assert!(matches!(parse("/policy grace 1d"), Typed::Act(Act::Policy(_))));
        for incomplete in [
            "/verify",
            "/verified ",
            "/dm",
            "/dm bob",
            "/accept",
            "/kick",
            "/ban ",
            "/role carol",
            "/role carol king",
            "/rekey x",
            "/policy approval",
            "/policy history on",
            "/keeper",
            "/keeper snugoffer1qqqq",
            "/delete-room",
        ] {
            assert!(matches!(parse(incomplete), Typed::Usage(_)), "{incomplete}");
        }
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
