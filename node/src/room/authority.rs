//! The authority log: signed operations of the admin, and the roles that follow from them (docs/PROTOCOL.md, "Authority").
//!
//! Today it understands Role and Tombstone. Evaluation is one fold over the set, by depth and then hash, so members that hold the same
//! operations agree on every role, in whatever order these came.

use std::collections::{BTreeMap, BTreeSet};

use snug_crypto::bounds::MAX_OPERATION_PARENTS;
use snug_crypto::genesis::Genesis;
use snug_crypto::ids::{IdentityKey, OperationHash};
use snug_crypto::operation::{Operation, OperationError, Role, SignedOperation, UnverifiedOperation};

use super::timing::MAX_OPERATIONS;

/// The operations we know, verified.
pub(super) struct Authority {
    operations: BTreeMap<OperationHash, SignedOperation>,
    roles: BTreeMap<IdentityKey, Role>,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self {
            operations: BTreeMap::new(),
            roles: BTreeMap::new(),
        }
    }

    /// Checks an operation and adds it; `None` when we had it or may not hold more.
    pub(super) fn insert(
        &mut self,
        operation: UnverifiedOperation,
        genesis: &Genesis,
    ) -> Result<Option<SignedOperation>, OperationError> {
        let hash = operation.hash(&genesis.hash());
        if self.operations.contains_key(&hash) || !self.may_matter(&operation, genesis) {
            return Ok(None);
        }
        let operation = operation.verify(genesis)?;
        self.insert_verified(operation.clone(), genesis);
        Ok(Some(operation))
    }

    /// Whether an operation could count, judged before its signature is checked: the admin's own, or of an identity that the admin made
    /// one, or the admin's tombstone in whosever hand. Anything else would only fill the log.
    fn may_matter(&self, operation: &UnverifiedOperation, genesis: &Genesis) -> bool {
        let author = operation.unverified_author();
        if matches!(operation.unverified_operation(), Operation::Tombstone(_)) {
            return true;
        }
        self.operations.len() < MAX_OPERATIONS
            && (author.as_bytes() == genesis.admin().as_bytes() || self.roles.get(&author) == Some(&Role::Admin))
    }

    /// Adds an operation that was verified, or made here; `false` when we had it.
    pub(super) fn insert_verified(&mut self, operation: SignedOperation, genesis: &Genesis) -> bool {
        let hash = operation.hash();
        if self.operations.contains_key(&hash) {
            return false;
        }
        self.operations.insert(hash, operation);
        self.evaluate(genesis);
        true
    }

    pub(super) fn role(&self, identity: &IdentityKey) -> Role {
        self.roles.get(identity).copied().unwrap_or(Role::Member)
    }

    /// Operations that no other names as its past: the parents of the next one, as many as one may name.
    pub(super) fn heads(&self) -> Vec<OperationHash> {
        let named: BTreeSet<&OperationHash> = self.operations.values().flat_map(|op| op.parents()).collect();
        self.operations
            .keys()
            .filter(|hash| !named.contains(hash))
            .take(MAX_OPERATION_PARENTS)
            .copied()
            .collect()
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = &OperationHash> {
        self.operations.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OperationHash, &SignedOperation)> {
        self.operations.iter()
    }

    /// One pass over the set. Only the admin gives roles: its key, or an identity that has the role at that point.
    fn evaluate(&mut self, genesis: &Genesis) {
        let mut depths = BTreeMap::new();
        let mut order: Vec<(usize, OperationHash)> = self
            .operations
            .keys()
            .map(|hash| (self.depth(hash, &mut depths), *hash))
            .collect();
        order.sort_unstable();
        self.roles.clear();
        for (_, hash) in order {
            let Some(signed) = self.operations.get(&hash) else {
                continue;
            };
            let Operation::Role { identity, role } = signed.operation() else {
                continue;
            };
            if signed.is_by_admin_key(genesis) || self.roles.get(&signed.author()) == Some(&Role::Admin) {
                self.roles.insert(*identity, *role);
            }
        }
    }

    /// The longest way back to the genesis, counted in operations we have; parents we lack count as the genesis.
    fn depth(&self, hash: &OperationHash, known: &mut BTreeMap<OperationHash, usize>) -> usize {
        // Iterative: a hostile log may be thousands deep. Hashes can't form a cycle.
        let mut stack = vec![*hash];
        while let Some(top) = stack.last().copied() {
            let Some(operation) = self.operations.get(&top) else {
                known.insert(top, 0);
                stack.pop();
                continue;
            };
            let missing: Vec<OperationHash> = operation
                .parents()
                .iter()
                .filter(|parent| !known.contains_key(*parent))
                .copied()
                .collect();
            if missing.is_empty() {
                let depth = operation
                    .parents()
                    .iter()
                    .filter_map(|parent| known.get(parent))
                    .max()
                    .map_or(1, |d| d + 1);
                known.insert(top, depth);
                stack.pop();
            } else {
                stack.extend(missing);
            }
        }
        known.get(hash).copied().unwrap_or(0)
    }
}
