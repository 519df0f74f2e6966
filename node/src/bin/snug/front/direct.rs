//! What is said to one member alone: who is meant, and how it is shown.

use snug::engine::{Handle, SendError};
use snug::room::{MemberView, SendRefused};
use snug_crypto::ids::{Fingerprint, MessageId};

use super::acts;
use super::people::People;
use super::turns::Turn;

/// What stands behind the name of who said something to us alone. No name can hold it: names with brackets are shown in quotes.
pub const MARK: &str = " [to you alone]";

/// Whom it is for, and what it says, as whoever asks knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A member by name or fingerprint, and the text.
    Named {
        /// Who.
        to: String,
        /// What.
        text: String,
    },
    /// `NAME text`, as people type it.
    Typed(String),
}

/// What was said, and to whom.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its id.
    pub id: MessageId,
    /// The reader, as members are named on this screen.
    pub to: String,
    /// The text.
    pub text: String,
}

/// Why it wasn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// It can't be said like this.
    Wrong(String),
    /// It could not be said now.
    Failed(String),
}

impl Unsaid {
    /// The sentence for whoever asked.
    pub fn why(self) -> String {
        match self {
            Self::Wrong(why) | Self::Failed(why) => why,
        }
    }
}

/// Finds out, when it is its turn, who is meant, and says it; returns once it is out.
pub async fn say(
    handle: &Handle,
    wanted: &Wanted,
    reply_to: Option<MessageId>,
    mut turn: Turn,
) -> Result<Said, Unsaid> {
    turn.comes().await;
    let members = handle
        .members()
        .await
        .map_err(|error| Unsaid::Failed(error.to_string()))?;
    let (to, text) = match wanted {
        Wanted::Named { to, text } => (acts::find(&members, to), text.as_str()),
        Wanted::Typed(typed) => match addressed(&members, typed) {
            Ok((to, text)) => (Ok(to), text),
            Err(error) => (Err(error), ""),
        },
    };
    let to = to.map_err(Unsaid::Wrong)?;
    let sending = handle.send_direct(to, text, reply_to);
    drop(turn);
    match sending.await {
        Ok(id) => Ok(Said {
            id,
            to: label(&members, to),
            text: text.to_owned(),
        }),
        Err(SendError::Refused(refused @ (SendRefused::Gone | SendRefused::QueueFull { .. }))) => {
            Err(Unsaid::Failed(refused.to_string()))
        }
        Err(SendError::Refused(refused)) => Err(Unsaid::Wrong(refused.to_string())),
        Err(error) => Err(Unsaid::Failed(error.to_string())),
    }
}

/// The reader and the text of `NAME text`. Names may have several words: the longest beginning that names somebody counts, and where a
/// shorter one names somebody else, nobody is guessed at.
pub fn addressed<'a>(members: &[MemberView], typed: &'a str) -> Result<(Fingerprint, &'a str), String> {
    let spaces = typed.match_indices(char::is_whitespace).map(|(at, _)| at);
    let beginnings = spaces.map(|at| (&typed[..at], typed[at..].trim()));
    let mut found: Option<(Fingerprint, &str)> = None;
    let mut refusal = None;
    for (name, text) in beginnings.filter(|(name, text)| !name.trim().is_empty() && !text.is_empty()) {
        match acts::find(members, name) {
            Ok(to) => match found {
                Some((other, _)) if other != to => {
                    return Err(format!(
                        "that may be for {} or for {}; name one by its fingerprint, see /members",
                        label(members, other),
                        label(members, to)
                    ));
                }
                _ => found = Some((to, text)),
            },
            Err(error) => {
                // Several of one name say more than nobody of a longer one.
                if refusal.is_none() || acts::is_ambiguous(&error) {
                    refusal = Some(error);
                }
            }
        }
    }
    let refusal = refusal.unwrap_or_else(|| "say to whom, and what: /dm NAME text".to_owned());
    match found {
        Some(found) if !acts::is_ambiguous(&refusal) => Ok(found),
        _ => Err(refusal),
    }
}

/// A member's name, told apart from others' of the same name.
pub fn label(members: &[MemberView], who: Fingerprint) -> String {
    let mut people = People::default();
    members.iter().for_each(|member| people.note(member));
    let member = members.iter().find(|member| member.fingerprint == who);
    member.map_or_else(|| who.to_string(), |member| people.label(member))
}

#[cfg(test)]
mod tests {
    use super::super::people::tests::member;
    use super::*;

    #[test]
    fn the_reader_is_found_and_never_guessed() {
        let members = [
            member("alice", 1),
            member("carol b", 2),
            member("bob", 3),
            member("bob", 4),
        ];
        let [alice, carol, bob] = [1, 2, 4].map(|byte| Fingerprint::from_bytes([byte; 16]));
        assert_eq!(addressed(&members, "alice hello there"), Ok((alice, "hello there")));
        assert_eq!(
            addressed(&members, "carol b  hello\nthere"),
            Ok((carol, "hello\nthere"))
        );
        assert_eq!(addressed(&members, "04040404 psst"), Ok((bob, "psst")));
        assert_eq!(addressed(&members, "bob#04040404 psst"), Ok((bob, "psst")));
        assert!(addressed(&members, "bob psst").unwrap_err().contains("several"));
        assert!(addressed(&members, "dave psst").unwrap_err().contains("nobody"));
        assert!(addressed(&members, "alice").is_err() && addressed(&members, "").is_err());
        // "carol" and "carol b": whose is "carol b hello"?
        let both = [member("carol", 5), member("carol b", 2)];
        let refusal = addressed(&both, "carol b hello").unwrap_err();
        assert!(refusal.contains("carol or for carol b"), "{refusal}");
        assert_eq!(
            addressed(&both, "carol hello"),
            Ok((Fingerprint::from_bytes([5; 16]), "hello"))
        );
    }
}
