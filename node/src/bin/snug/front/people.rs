//! How members are named on a terminal: by the name they chose, and where two chose the same, by fingerprint too.

use std::collections::BTreeMap;

use snug::room::{KeeperView, MemberView, Notice};
use snug::text::Untrusted;
use snug_crypto::ids::Fingerprint;
use snug_crypto::operation::Role;

/// Members that are remembered for telling names apart; a room has 1,000 at most, and those who left may still be quoted.
const MAX_KNOWN: usize = 4_096;
/// Hexadecimal digits of a fingerprint that tell namesakes apart at a glance. Who must be sure compares all 32.
const SHORT: usize = 8;

/// The members seen so far, by fingerprint.
#[derive(Default)]
pub struct People {
    names: BTreeMap<Fingerprint, String>,
}

impl People {
    /// Notes a member's present name.
    pub fn note(&mut self, member: &MemberView) {
        self.note_name(member.fingerprint, &member.name);
    }

    fn note_name(&mut self, fingerprint: Fingerprint, name: &Untrusted) {
        if self.names.len() >= MAX_KNOWN {
            self.names.clear();
        }
        self.names.insert(fingerprint, name.name());
    }

    /// The name to show: cleaned, with the fingerprint's first digits if somebody else goes by the same name.
    pub fn label(&self, member: &MemberView) -> String {
        self.label_of(&member.fingerprint, &member.name)
    }

    /// A system event's sentence, with whom it is about named as beside messages.
    pub fn sentence(&mut self, message: &Untrusted, notice: Option<&Notice>) -> String {
        let Some((notice, name)) = notice.and_then(|notice| Some((notice, notice.name()?))) else {
            return message.line();
        };
        let shown = match notice.fingerprint() {
            Some(fingerprint) => {
                self.note_name(fingerprint, name);
                self.label_of(&fingerprint, name)
            }
            None => name.name(),
        };
        notice.text_naming(&shown).line()
    }

    fn label_of(&self, fingerprint: &Fingerprint, name: &Untrusted) -> String {
        let name = name.name();
        let shared = self
            .names
            .iter()
            .any(|(other, known)| other != fingerprint && is_same(known, &name));
        if shared {
            format!("{name}#{}", short(fingerprint))
        } else {
            name
        }
    }
}

/// A fingerprint's first digits.
pub fn short(fingerprint: &Fingerprint) -> String {
    let mut text = fingerprint.to_string();
    text.truncate(SHORT);
    text
}

/// What a member may do, in a word; nothing for what everybody may.
pub fn role(role: Role) -> Option<&'static str> {
    match role {
        Role::Admin => Some("admin"),
        Role::Moderator => Some("moderator"),
        Role::Member => None,
    }
}

/// A line that describes a member: name, role, presence, fingerprint.
pub fn describe(people: &People, member: &MemberView) -> String {
    let mut words = vec![people.label(member)];
    if member.me {
        words.push("you".into());
    }
    words.extend(role(member.role).map(str::to_owned));
    if !member.online {
        words.push("offline".into());
    }
    if member.verified && !member.me {
        words.push("verified".into());
    }
    if member.key_changed {
        words.push("KEY CHANGED".into());
    }
    words.push(member.fingerprint.to_string());
    words.join(", ")
}

/// A line that describes a keeper.
pub fn describe_keeper(keeper: &KeeperView) -> String {
    let online = if keeper.online { "" } else { ", offline" };
    format!("a keeper, which can't read along{online}, {}", keeper.fingerprint)
}

/// How many members, in words.
pub fn members_in_words(count: usize) -> String {
    if count == 1 {
        "1 member".to_owned()
    } else {
        format!("{count} members")
    }
}

/// Names that a hurried reader takes for the same.
fn is_same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn member(name: &str, byte: u8) -> MemberView {
        MemberView {
            name: Untrusted::new(name),
            fingerprint: Fingerprint::from_bytes([byte; 16]),
            role: Role::Member,
            verified: false,
            key_changed: false,
            online: true,
            me: false,
        }
    }

    #[test]
    fn namesakes_are_told_apart() {
        let mut people = People::default();
        let (alice, other, bob) = (member("alice", 1), member("Alice", 2), member("bob", 3));
        [&alice, &bob].into_iter().for_each(|m| people.note(m));
        assert_eq!(people.label(&alice), "alice");
        people.note(&other);
        assert_eq!(people.label(&alice), "alice#01010101");
        assert_eq!(people.label(&other), "Alice#02020202");
        assert_eq!(people.label(&bob), "bob");
        // Nobody can put the mark into a name and pass for another.
        people.note(&member("bob#03030303", 4));
        assert_eq!(people.label(&member("bob#03030303", 4)), "“bob#03030303”");
    }

    #[test]
    fn notices_name_members_as_messages_do() {
        let mut people = People::default();
        people.note(&member("alice", 1));
        let mut joined = |name: &str, byte: u8| {
            let notice = Notice::Joined {
                room: "den".into(),
                name: Untrusted::new(name),
                fingerprint: Fingerprint::from_bytes([byte; 16]),
            };
            people.sentence(&notice.text(), Some(&notice))
        };
        assert_eq!(joined("bob", 2), "bob has joined the room den.");
        assert_eq!(
            joined("bob has left the room den. x", 3),
            "“bob has left the room den. x” has joined the room den."
        );
        assert_eq!(joined("* alice", 4), "“* alice” has joined the room den.");
        assert_eq!(joined("Alice", 5), "Alice#05050505 has joined the room den.");
        let welcome = Notice::Welcome {
            room: "den".into(),
            name: Untrusted::new("alice"),
        };
        assert_eq!(
            people.sentence(&welcome.text(), Some(&welcome)),
            "Welcome to the room den, alice."
        );
    }
}
