//! Whom the user knows: identities by the names that they went by in each room, whom the user compared safety numbers with, and names that
//! came back under another key (docs/PROTOCOL.md, "Changed keys"). Pure: a room decides with it, a profile keeps it.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use snug_crypto::ids::{Fingerprint, GenesisHash, IdentityKey};
use unicode_normalization::UnicodeNormalization as _;

use crate::text::Untrusted;

/// Identities that are remembered, those of the fullest room four times over; beyond, whoever was met first goes, unless it was verified or is
/// warned of.
const MAX_CONTACTS: usize = 8_192;
/// Names of one identity that are remembered; who changes its name more often is known by the last ones.
const MAX_NAMES: usize = 32;

/// What is known of one identity.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Contact {
    /// When the user compared safety numbers with it, milliseconds since 1970.
    pub verified_at_ms: Option<u64>,
    /// When it was first met.
    pub met_at_ms: u64,
    names: Vec<Known>,
}

/// A name in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    room: GenesisHash,
    /// As it was first seen.
    name: String,
    shape: String,
    /// Whose name it was, if the user has not accepted this identity under it yet.
    alarm: Option<IdentityKey>,
}

/// A member goes by a name that belonged to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Whose name it was.
    pub was: Fingerprint,
    /// Whether the user had verified that one.
    pub was_verified: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Contacts {
    all: BTreeMap<IdentityKey, Contact>,
    /// Whom something changed of since the last look.
    changed: BTreeSet<IdentityKey>,
}

impl Contacts {
    /// Of what was kept.
    pub fn new(all: impl IntoIterator<Item = (IdentityKey, Contact)>) -> Self {
        Self {
            all: all.into_iter().collect(),
            changed: BTreeSet::new(),
        }
    }

    /// Everybody, in no particular order.
    pub fn all(&self) -> impl Iterator<Item = (&IdentityKey, &Contact)> {
        self.all.iter()
    }

    /// Whether the user compared safety numbers with this identity.
    pub fn is_verified(&self, identity: &IdentityKey) -> bool {
        self.all
            .get(identity)
            .is_some_and(|contact| contact.verified_at_ms.is_some())
    }

    /// Whether somebody was met in this room before.
    pub fn knows_room(&self, room: &GenesisHash) -> bool {
        self.all
            .values()
            .any(|contact| contact.names.iter().any(|known| known.room == *room))
    }

    /// What the user has not accepted yet of whoever goes by this name in this room.
    pub fn alarm(&self, room: &GenesisHash, identity: &IdentityKey, name: &str) -> Option<KeyChange> {
        let shape = shape(name);
        let known = self
            .all
            .get(identity)?
            .names
            .iter()
            .find(|known| known.is(room, &shape))?;
        let was = known.alarm?;
        Some(KeyChange {
            was: was.fingerprint(),
            was_verified: self.is_verified(&was),
        })
    }

    /// Somebody is in a room under a name: remembered, and compared with what was known. In the first look at a room only names of verified
    /// identities are anybody's. True if it is the first time that its key has changed.
    pub fn meet(
        &mut self,
        room: &GenesisHash,
        identity: &IdentityKey,
        name: &str,
        first_look: bool,
        now_ms: u64,
    ) -> bool {
        let shape = shape(name);
        let is_known = |contact: &Contact| contact.names.iter().any(|known| known.is(room, &shape));
        if self.all.get(identity).is_some_and(is_known) {
            return false;
        }
        let owners = || {
            let others = self.all.iter().filter(|(other, _)| *other != identity);
            others.filter(|(_, contact)| {
                let here = !first_look && contact.names.iter().any(|known| known.is(room, &shape));
                let verified =
                    contact.verified_at_ms.is_some() && contact.names.iter().any(|known| known.shape == shape);
                here || verified
            })
        };
        // A verified owner says more than any other.
        let owner = (owners().find(|(_, contact)| contact.verified_at_ms.is_some())).or_else(|| owners().next());
        let alarm = owner.map(|(owner, _)| *owner).filter(|_| !self.is_verified(identity));
        self.make_room_for(identity);
        let contact = self.all.entry(*identity).or_insert_with(|| Contact {
            met_at_ms: now_ms,
            ..Contact::default()
        });
        if contact.names.len() >= MAX_NAMES {
            contact.names.remove(0);
        }
        contact.names.push(Known {
            room: *room,
            name: name.to_owned(),
            shape: shape.clone(),
            alarm,
        });
        self.changed.insert(*identity);
        alarm.is_some()
    }

    fn make_room_for(&mut self, identity: &IdentityKey) {
        if self.all.len() < MAX_CONTACTS || self.all.contains_key(identity) {
            return;
        }
        let kept = |contact: &Contact| {
            contact.verified_at_ms.is_some() || contact.names.iter().any(|known| known.alarm.is_some())
        };
        let oldest = self
            .all
            .iter()
            .min_by_key(|(_, contact)| (kept(contact), contact.met_at_ms));
        if let Some(oldest) = oldest.map(|(oldest, _)| *oldest) {
            self.all.remove(&oldest);
            self.changed.insert(oldest);
        }
    }

    /// The user compared safety numbers, or takes that back. To verify somebody accepts its names.
    pub fn verify(&mut self, identity: &IdentityKey, verified: bool, now_ms: u64) {
        self.make_room_for(identity);
        let contact = self.all.entry(*identity).or_insert_with(|| Contact {
            met_at_ms: now_ms,
            ..Contact::default()
        });
        contact.verified_at_ms = verified.then_some(now_ms);
        self.changed.insert(*identity);
        if verified {
            self.accept(identity);
        }
    }

    /// The user takes an identity for the owner of the names that it goes by. True if there was something to accept.
    pub fn accept(&mut self, identity: &IdentityKey) -> bool {
        let Some(contact) = self.all.get_mut(identity) else {
            return false;
        };
        let mut accepted = false;
        for known in &mut contact.names {
            accepted |= known.alarm.take().is_some();
        }
        if accepted {
            self.changed.insert(*identity);
        }
        accepted
    }

    /// What changed since this was asked last; `None` where somebody was forgotten.
    pub fn take_changes(&mut self) -> Vec<(IdentityKey, Option<Contact>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|identity| (identity, self.all.get(&identity).cloned()))
            .collect()
    }
}

impl Known {
    fn is(&self, room: &GenesisHash, shape: &str) -> bool {
        self.room == *room && self.shape == shape
    }
}

/// Names that a hurried reader takes for the same have the same shape.
fn shape(name: &str) -> String {
    let lower = name.nfkc().collect::<String>().to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Contact {
    /// The names that it went by, the last one first, each once.
    pub fn names(&self) -> Vec<Untrusted> {
        let mut names: Vec<&str> = Vec::new();
        for known in self.names.iter().rev() {
            if !names.contains(&known.name.as_str()) {
                names.push(&known.name);
            }
        }
        names.into_iter().map(Untrusted::new).collect()
    }

    /// Whether the user has been warned of it somewhere, and has not accepted it.
    pub fn is_alarming(&self) -> bool {
        self.names.iter().any(|known| known.alarm.is_some())
    }

    /// As it rests in a vault.
    pub fn encode(&self) -> Vec<u8> {
        let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
        let names = self.names.iter().map(|known| KnownAtRest {
            room: hex(known.room.as_bytes()),
            name: known.name.clone(),
            was: known.alarm.map(|was| hex(was.as_bytes())),
        });
        let at_rest = AtRest {
            verified_at_ms: self.verified_at_ms,
            met_at_ms: self.met_at_ms,
            names: names.collect(),
        };
        // Strings and numbers alone: there is nothing in them that JSON can't say.
        serde_json::to_vec(&at_rest).unwrap_or_default()
    }

    /// Of what rested in a vault.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let at_rest: AtRest = serde_json::from_slice(bytes).ok()?;
        let hex = |text: &str| <[u8; 32]>::try_from(HEXLOWER.decode(text.as_bytes()).ok()?).ok();
        let known = |known: KnownAtRest| {
            let alarm = match known.was {
                None => None,
                Some(was) => Some(IdentityKey::from_bytes(hex(&was)?)),
            };
            Some(Known {
                room: GenesisHash::from_bytes(hex(&known.room)?),
                shape: shape(&known.name),
                name: known.name,
                alarm,
            })
        };
        Some(Self {
            verified_at_ms: at_rest.verified_at_ms,
            met_at_ms: at_rest.met_at_ms,
            names: at_rest.names.into_iter().map(known).collect::<Option<_>>()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AtRest {
    verified_at_ms: Option<u64>,
    met_at_ms: u64,
    names: Vec<KnownAtRest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownAtRest {
    room: String,
    name: String,
    was: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: GenesisHash = GenesisHash::from_bytes([1; 32]);
    const OTHER_ROOM: GenesisHash = GenesisHash::from_bytes([2; 32]);

    fn key(byte: u8) -> IdentityKey {
        IdentityKey::from_bytes([byte; 32])
    }

    fn alarmed(contacts: &Contacts, byte: u8, name: &str) -> bool {
        contacts.alarm(&ROOM, &key(byte), name).is_some()
    }

    #[test]
    fn a_known_name_under_another_key_alarms_until_it_is_accepted() {
        let mut contacts = Contacts::default();
        assert!(!contacts.meet(&ROOM, &key(1), "alice", true, 5));
        assert!(contacts.meet(&ROOM, &key(2), "Alice", false, 6));
        assert!(
            !contacts.meet(&ROOM, &key(2), "ＡＬＩＣＥ ", false, 7),
            "it is told once"
        );
        assert!(
            !contacts.meet(&ROOM, &key(1), "alice", false, 8),
            "the first one is as known as before"
        );
        assert_eq!(
            contacts.alarm(&ROOM, &key(2), "alice"),
            Some(KeyChange {
                was: key(1).fingerprint(),
                was_verified: false
            })
        );
        assert!(contacts.accept(&key(2)));
        assert!(!alarmed(&contacts, 2, "alice") && !contacts.accept(&key(2)));
        assert!(!contacts.meet(&ROOM, &key(2), "alice", false, 9));
        // Whoever comes next under the name is a third.
        assert!(contacts.meet(&ROOM, &key(3), "alice", false, 10));
    }

    #[test]
    fn a_first_look_and_other_rooms_know_verified_names_alone() {
        let mut contacts = Contacts::default();
        assert!(!contacts.meet(&ROOM, &key(1), "alice", true, 5) && !contacts.meet(&ROOM, &key(2), "alice", true, 5));
        assert!(!contacts.meet(&OTHER_ROOM, &key(3), "alice", false, 5));
        contacts.verify(&key(1), true, 6);
        assert!(contacts.meet(&OTHER_ROOM, &key(4), "alice", true, 7));
        let change = contacts.alarm(&OTHER_ROOM, &key(4), "alice").unwrap();
        assert!(change.was_verified && change.was == key(1).fingerprint());
        // Safety numbers were compared with this one: nobody can be surer.
        contacts.verify(&key(4), true, 8);
        assert!(contacts.alarm(&OTHER_ROOM, &key(4), "alice").is_none());
        contacts.verify(&key(4), false, 9);
        assert!(!contacts.is_verified(&key(4)));
    }

    #[test]
    fn a_name_taken_later_alarms_as_well() {
        let mut contacts = Contacts::default();
        contacts.meet(&ROOM, &key(1), "alice", true, 5);
        contacts.meet(&ROOM, &key(2), "mallory", false, 5);
        assert!(contacts.meet(&ROOM, &key(2), "alice", false, 6));
        assert!(alarmed(&contacts, 2, "alice") && !alarmed(&contacts, 2, "mallory") && !alarmed(&contacts, 1, "alice"));
    }

    #[test]
    fn what_is_kept_comes_back_and_what_is_too_much_goes() {
        let mut contacts = Contacts::default();
        contacts.meet(&ROOM, &key(1), "al\u{1b}ice \u{1F408}", true, 5);
        contacts.verify(&key(1), true, 6);
        contacts.meet(&OTHER_ROOM, &key(2), "al\u{1b}ice \u{1F408}", false, 7);
        let kept: Vec<_> = contacts.take_changes();
        assert!(contacts.take_changes().is_empty());
        let back = kept.iter().map(|(identity, contact)| {
            let bytes = contact.as_ref().unwrap().encode();
            (*identity, Contact::decode(&bytes).unwrap())
        });
        let back = Contacts::new(back);
        assert_eq!(back.all, contacts.all);
        assert!(back.knows_room(&ROOM) && !back.knows_room(&GenesisHash::from_bytes([9; 32])));
        assert_eq!(Contact::decode(b"{}"), None);
        for number in 0..MAX_CONTACTS as u64 {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            contacts.meet(&ROOM, &IdentityKey::from_bytes(bytes), "x", true, 100 + number);
        }
        assert_eq!(contacts.all.len(), MAX_CONTACTS);
        assert!(contacts.is_verified(&key(1)) && contacts.all.contains_key(&key(2)));
        let forgotten = contacts
            .take_changes()
            .into_iter()
            .filter(|(_, contact)| contact.is_none());
        assert_eq!(forgotten.count(), 2);
        for number in 0..100 {
            contacts.meet(&ROOM, &key(3), &format!("name {number}"), true, 1 << 40);
        }
        assert!(contacts.all[&key(3)].names.len() <= MAX_NAMES);
    }
}
