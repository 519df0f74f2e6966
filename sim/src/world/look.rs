//! What a test looks at.

use std::collections::BTreeSet;

use snug::room::{RoomEvent, Ticket};
use snug_crypto::ids::EpochId;

use super::World;

impl World {
    /// Who runs.
    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].alive).collect()
    }

    /// The epoch that a node sends under.
    pub fn epoch(&self, node: usize) -> Option<EpochId> {
        self.nodes[node].room.facts(self.clock_of(node)).epoch
    }

    /// Whether everybody alive sends under one epoch, and the roster is `members` long at each.
    pub fn settled(&self, members: usize) -> bool {
        let mut epochs = BTreeSet::new();
        for node in self.alive() {
            let facts = self.nodes[node].room.facts(self.clock_of(node));
            if facts.members != members || !facts.exact {
                return false;
            }
            epochs.insert(facts.epoch);
        }
        epochs.len() == 1 && !epochs.contains(&None)
    }

    /// What a node published last.
    pub fn last_published(&self, node: usize) -> Vec<u8> {
        self.nodes[node].published.clone()
    }

    /// The texts that a node showed, in order.
    pub fn texts(&self, node: usize) -> Vec<String> {
        self.shown(node).into_iter().map(|(text, _)| text).collect()
    }

    /// The texts of a node that it was told are out, over all its runs.
    pub fn acknowledged(&self, node: usize) -> BTreeSet<String> {
        let sent = &self.nodes[node].sent;
        let out = sent.iter().filter(|(_, is_out)| *is_out).map(|(ticket, _)| *ticket);
        out.filter_map(|ticket| self.texts.get(&ticket).cloned()).collect()
    }

    /// What somebody meant to say under a ticket.
    pub(crate) fn text_of(&self, ticket: Ticket) -> Option<&str> {
        self.texts.get(&ticket).map(String::as_str)
    }

    /// The texts that a node showed, and whether each may have been shown before.
    pub fn shown(&self, node: usize) -> Vec<(String, bool)> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                RoomEvent::Message(message) => Some((message.text.exact().to_owned(), message.again)),
                _ => None,
            })
            .collect()
    }

    /// What was said to a node alone, and by whom, in order.
    pub fn directs(&self, node: usize) -> Vec<(String, String)> {
        let direct = |event: &RoomEvent| match event {
            RoomEvent::Message(message) if message.direct => {
                Some((message.from.name.exact().to_owned(), message.text.exact().to_owned()))
            }
            _ => None,
        };
        self.nodes[node]
            .events
            .iter()
            .filter_map(|(_, event)| direct(event))
            .collect()
    }

    /// The notices that a node showed, in order.
    pub fn notices(&self, node: usize) -> Vec<String> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                RoomEvent::System(notice) => Some(notice.text().exact().to_owned()),
                _ => None,
            })
            .collect()
    }
}
