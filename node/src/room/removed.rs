//! Who was removed, ourselves and others, where the log alone says so (docs/PROTOCOL.md, "Authority"): whoever sees a generation's object
//! hears it from that; but a banned identity may come with the Room Key of today, which leaves nobody out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use snug_crypto::ids::{OperationHash, PeerKey};
use snug_crypto::operation::Role;

use super::authority::Removal;
use super::timing::{REFUSAL_AGAIN, REFUSAL_PATIENCE};
use super::{Now, Output, Phase, Room, Rule};
use crate::text::Untrusted;

/// The peers as which banned identities are here, and when their links end: at most one for each that the log bans.
#[derive(Default)]
pub(super) struct Refusals(BTreeMap<PeerKey, Duration>);

impl Room {
    /// Ends where the log says that what we are here is void, however it came: with the capsule, from a link. An admin may have an answer
    /// to being left out, and hears of it by the object.
    pub(super) fn tend_own_removal(&mut self, now: Now) {
        let evaluation = self.authority.evaluation();
        let Some(removal) = evaluation.removal(&self.me) else {
            return;
        };
        let is_void = evaluation.voids(&self.me, self.keys.generation().count);
        if is_void && (removal.banned || self.my_role() < Role::Admin) && self.keeps(Rule::TheRemovedGo) {
            self.tell_removed(now);
            self.phase = Phase::Over;
        }
    }

    /// What removes us here and now. Who was let in again after it, and is passed by later, was not removed by that.
    pub(super) fn removal_of_us(&self) -> Option<&Removal> {
        let (evaluation, current) = (self.authority.evaluation(), self.keys.generation());
        let is_new = || evaluation.removed_outside(&current).contains(&self.me);
        let removal = evaluation.removal(&self.me)?;
        (evaluation.voids(&self.me, current.count) || is_new()).then_some(removal)
    }

    /// Ends links of banned identities. Not before they could have heard from us what they are: then they go by themselves.
    pub(super) fn tend_refusals(&mut self, now: Now) {
        let banned = self.authority.evaluation().banned();
        let peers: BTreeSet<PeerKey> = banned
            .filter_map(|identity| Some(self.members.current_leaf(identity)?.peer()))
            .collect();
        self.refusals.0.retain(|peer, _| peers.contains(peer));
        for peer in peers.into_iter().filter(|peer| self.members.linked(peer)) {
            let due = self.refusals.0.entry(peer).or_insert(now.elapsed + REFUSAL_PATIENCE);
            if *due <= now.elapsed {
                *due = now.elapsed + REFUSAL_AGAIN;
                self.out.push_back(Output::Disconnect { peer });
            }
        }
    }

    /// When the next one ends.
    pub(super) fn refusal_due(&self) -> Option<Duration> {
        let linked = self.refusals.0.iter().filter(|(peer, _)| self.members.linked(peer));
        linked.map(|(_, due)| *due).min()
    }

    /// The name of whoever removed somebody; where nobody's leaf is known here, as of who comes back to a room that it forgot, what there is.
    pub(super) fn remover(&self, operation: &OperationHash) -> Option<Untrusted> {
        if let Some(name) = self.maker_of(operation) {
            return Some(name);
        }
        let signed = self.authority.get(operation)?;
        if signed.is_by_admin_key(&self.genesis) {
            return Some(Untrusted::new("its admin"));
        }
        let author = signed.author();
        let met = || (self.contacts.all()).find(|(known, _)| **known == author);
        let name = match self.known_leaf(&author) {
            Some(leaf) => Some(Untrusted::new(leaf.name())),
            None => met().and_then(|(_, contact)| contact.names().into_iter().next()),
        };
        let unknown = || Untrusted::new(format!("whoever has the fingerprint {}", author.fingerprint()));
        Some(name.unwrap_or_else(unknown))
    }
}
