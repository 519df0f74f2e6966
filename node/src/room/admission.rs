//! Whose leaf counts: the generation it is in, whom that one carried over, who was removed, who needs a moderator's word
//! (docs/PROTOCOL.md, "Members").

use std::collections::BTreeSet;

use snug_crypto::generation::Generation;
use snug_crypto::genesis::Genesis;
use snug_crypto::ids::IdentityKey;
use snug_crypto::leaf::Leaf;
use snug_crypto::operation::Role;

use super::authority::{Authority, Evaluation};
use super::generations::{Carried, Generations};
use super::members::Members;

/// What decides, as of one moment.
pub(super) struct Admission<'a> {
    generation: Generation,
    carried: Option<&'a Carried>,
    /// Whose leaves those were: a member that lost its state comes back with another leaf.
    carried_identities: BTreeSet<IdentityKey>,
    evaluation: &'a Evaluation,
    /// Removed by operations that this generation's maker had not seen.
    outside: BTreeSet<IdentityKey>,
    approval: bool,
    admin_key: IdentityKey,
}

impl<'a> Admission<'a> {
    pub(super) fn new(
        generation: Generation,
        generations: &'a Generations,
        authority: &'a Authority,
        genesis: &Genesis,
        members: &Members,
    ) -> Self {
        let carried = generations.carried(&generation.hash);
        let entries = carried.into_iter().flat_map(|carried| &carried.members);
        Self {
            generation,
            carried,
            carried_identities: entries
                .filter_map(|entry| Some(members.leaf(&entry.leaf)?.identity()))
                .collect(),
            evaluation: authority.evaluation(),
            outside: authority.evaluation().removed_outside(&generation),
            approval: authority.asks_for_approval(&generation, genesis),
            admin_key: IdentityKey::from_bytes(*genesis.admin().as_bytes()),
        }
    }

    /// Whether a leaf is on the roster, but for its expiry.
    pub(super) fn counts(&self, leaf: &Leaf) -> bool {
        let identity = leaf.identity();
        let removal = self.evaluation.removal(&identity);
        if self.outside.contains(&identity) || removal.is_some_and(|removal| removal.banned) {
            return false;
        }
        if self.carried.is_some_and(|carried| carried.holds(&leaf.id())) {
            return leaf.generation() == self.generation || !self.evaluation.voids(&identity, leaf.generation().count);
        }
        leaf.generation() == self.generation
            && (self.carried_identities.contains(&identity) || (self.outside.is_empty() && self.is_approved(leaf)))
    }

    /// Whether the policy lets a newcomer in by itself, or somebody who may has let it in. The signature was verified with the leaf's.
    fn is_approved(&self, leaf: &Leaf) -> bool {
        let may =
            |identity: &IdentityKey| *identity == self.admin_key || self.evaluation.role(identity) >= Role::Moderator;
        !self.approval
            || may(&leaf.identity())
            || leaf
                .unverified_approval()
                .is_some_and(|approval| may(&approval.approver))
    }
}
