//! Whom the user knows among the members: safety numbers, verified identities, names under another key (docs/PROTOCOL.md, "Safety numbers").

use snug_crypto::ids::{Fingerprint, IdentityKey};
use snug_crypto::leaf::Leaf;
use snug_crypto::safety::SafetyNumber;

use super::command::CommandRefused;
use super::notices::Seen;
use super::{Notice, Now, Output, Room, RoomEvent};
use crate::contacts::{Contacts, KeyChange};
use crate::text::Untrusted;

/// What the user says of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Safety numbers were compared, and are the same.
    Verified,
    /// That is taken back.
    Unverified,
    /// The name is this identity's, too, although it was somebody else's.
    Accepted,
}

/// What there is to compare with somebody.
#[derive(Clone, Debug)]
pub struct Acquaintance {
    /// The name it goes by, or last went by.
    pub name: Untrusted,
    /// Told apart by.
    pub fingerprint: Fingerprint,
    /// What both see.
    pub number: SafetyNumber,
    /// Whether the user compared it.
    pub verified: bool,
    /// Whether its name was somebody else's.
    pub key_change: Option<KeyChange>,
}

impl Room {
    /// Takes up whom the user knows.
    pub fn set_contacts(&mut self, contacts: Contacts) {
        self.contacts = contacts;
    }

    /// What to compare with a member, or with somebody who was one; `None` of ourselves and of whom nothing is known.
    pub fn acquaintance(&self, who: Fingerprint) -> Option<Acquaintance> {
        let identity = self.acquainted(who)?;
        let leaf = self.known_leaf(&identity);
        let contact = self.contacts.all().find(|(known, _)| **known == identity);
        let name = match leaf {
            Some(leaf) => Untrusted::new(leaf.name()),
            None => contact.and_then(|(_, contact)| contact.names().into_iter().next())?,
        };
        Some(Acquaintance {
            name,
            fingerprint: who,
            number: SafetyNumber::of(&self.me, &identity),
            verified: self.contacts.is_verified(&identity),
            key_change: leaf.and_then(|leaf| self.key_change(leaf)),
        })
    }

    fn acquainted(&self, who: Fingerprint) -> Option<IdentityKey> {
        let contacts = || self.contacts.all().map(|(identity, _)| *identity);
        let known = self.identity_of(who).ok();
        let known = known.or_else(|| contacts().find(|identity| identity.fingerprint() == who));
        known.filter(|identity| *identity != self.me)
    }

    pub(super) fn key_change(&self, leaf: &Leaf) -> Option<KeyChange> {
        self.contacts.alarm(&self.genesis_hash, &leaf.identity(), leaf.name())
    }

    pub(super) fn trust(&mut self, who: Fingerprint, trust: Trust, now: Now) -> Result<(), CommandRefused> {
        let found = self.acquainted(who).zip(self.acquaintance(who));
        let (identity, acquaintance) = found.ok_or(CommandRefused::NoSuchMember)?;
        match trust {
            Trust::Verified => self.contacts.verify(&identity, true, now.unix_ms),
            Trust::Unverified => self.contacts.verify(&identity, false, now.unix_ms),
            Trust::Accepted if !self.contacts.accept(&identity) => return Err(CommandRefused::NothingToAccept),
            Trust::Accepted => {}
        }
        self.event(RoomEvent::System(Notice::Trusted {
            name: acquaintance.name,
            fingerprint: who,
            trust,
        }));
        Ok(())
    }

    /// Meets who is new on the roster, or has another name; gives the warnings of those whose key the user has not accepted.
    pub(super) fn meet(&mut self, seen: &Seen, first_look: bool, now: Now) -> Vec<Notice> {
        let room = self.genesis_hash;
        self.shown.met.retain(|identity, _| seen.contains_key(identity));
        let mut new = Vec::new();
        for (identity, leaf) in seen.iter().filter(|(identity, _)| **identity != self.me) {
            if self.shown.met.get(identity).is_none_or(|name| name != leaf.name()) {
                self.shown.met.insert(*identity, leaf.name().to_owned());
                self.contacts
                    .meet(&room, identity, leaf.name(), first_look, now.unix_ms);
                new.push(leaf);
            }
        }
        // When all are met: of two newcomers with one name, each is the other's alarm.
        let changed = new.into_iter().filter_map(|leaf| Some((leaf, self.key_change(leaf)?)));
        changed.map(|(leaf, change)| key_changed(leaf, change)).collect()
    }

    /// Whether nobody of this room was ever met.
    pub(super) fn is_new_room(&self) -> bool {
        !self.contacts.knows_room(&self.genesis_hash)
    }

    /// Hands on what is to be kept of people.
    pub(super) fn remember(&mut self) {
        let changes = self.contacts.take_changes();
        if !changes.is_empty() {
            self.out.push_back(Output::Remember(changes));
        }
    }
}

fn key_changed(leaf: &Leaf, change: KeyChange) -> Notice {
    Notice::KeyChanged {
        name: Untrusted::new(leaf.name()),
        fingerprint: leaf.identity().fingerprint(),
        change,
    }
}
