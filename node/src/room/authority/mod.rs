//! The authority log: signed operations of the admin and its moderators, and what follows from them (docs/PROTOCOL.md, "Authority").
//!
//! The set is closed under parents. Members that hold the same set agree on everything in [`Evaluation`], in whatever order the operations
//! came; an operation that makes a generation enters it only when the generation is whole here (`generations`).

mod evaluate;

#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use snug_crypto::bounds::{
    MAX_LOG_BYTES, MAX_LOG_BYTES_OF_MODERATORS, MAX_LOG_OPERATIONS, MAX_OPERATION_PARENTS, MAX_OPERATIONS_OF_MODERATOR,
};
use snug_crypto::generation::Generation;
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::ids::{IdentityKey, OperationHash};
use snug_crypto::operation::{Operation, OperationError, Role, SignedOperation, UnverifiedOperation};

pub(super) use evaluate::{Evaluation, Log, Removal};

/// Operations and bytes of the log that stay free for the admin, whatever generations moderators make: a quarter.
const ADMINS_OPERATIONS: usize = MAX_LOG_OPERATIONS / 4;
/// See [`ADMINS_OPERATIONS`].
const ADMINS_BYTES: usize = MAX_LOG_BYTES / 4;

/// The operations we know, verified.
pub(super) struct Authority {
    operations: BTreeMap<OperationHash, SignedOperation>,
    evaluation: Evaluation,
    /// Rises with every operation, so that judgements can be kept until then.
    version: u64,
    /// See [`Self::serial`].
    serial: u32,
}

/// What became of an operation.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is in the log now.
    New(SignedOperation),
    /// It makes a generation, and counts only with its boxes: the object has to be fetched.
    Generation(SignedOperation),
    /// It was in the log.
    Known,
    /// Its past is not all here: our own lag, perhaps.
    MissingPast,
    /// Its author never had a say, or used up its share of the log.
    Refused,
}

/// Why an operation would not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uncounted {
    /// Its author may not do that, by what else is in the log.
    Void,
    /// There is no room for it.
    LogFull,
    /// There is none that a moderator may use.
    ShareFull,
}

impl Authority {
    pub(super) fn new(operations: Vec<SignedOperation>, genesis: &Genesis) -> Self {
        let mut authority = Self {
            operations: operations.into_iter().map(|signed| (signed.hash(), signed)).collect(),
            evaluation: Evaluation::default(),
            version: 0,
            serial: 0,
        };
        authority.evaluate(genesis);
        authority
    }

    /// Checks an operation and adds it, cheapest first.
    pub(super) fn take(&mut self, operation: UnverifiedOperation, genesis: &Genesis) -> Result<Taken, OperationError> {
        let hash = operation.hash(&genesis.hash());
        if self.operations.contains_key(&hash) {
            return Ok(Taken::Known);
        }
        let is_tombstone = matches!(operation.unverified_operation(), Operation::Tombstone(_));
        if !is_tombstone {
            if !self.may_speak(&operation.unverified_author(), genesis) {
                return Ok(Taken::Refused);
            }
            if !operation
                .unverified_parents()
                .iter()
                .all(|parent| self.operations.contains_key(parent))
            {
                return Ok(Taken::MissingPast);
            }
            if !self.has_room_for(&operation, genesis) {
                return Ok(Taken::Refused);
            }
        }
        let operation = operation.verify(genesis)?;
        // One that is void has no effect: it needs no boxes to be known to all.
        if operation.operation().rekey().is_some() && self.would_count(&operation, genesis) {
            return Ok(Taken::Generation(operation));
        }
        self.insert_verified(operation.clone(), genesis);
        Ok(Taken::New(operation))
    }

    /// Whether an author has, or ever had, a say: the admin key, or an identity with a role. Anything else would only fill the log.
    fn may_speak(&self, author: &IdentityKey, genesis: &Genesis) -> bool {
        author.as_bytes() == genesis.admin().as_bytes() || self.evaluation.had_role(author)
    }

    /// Whether an author has a say, or may be given one by these operations, which stand parents before children. None of them is verified here:
    /// it tells what can't count, at no cost.
    pub(super) fn may_come_to_speak(
        &self,
        author: &IdentityKey,
        log: &[UnverifiedOperation],
        genesis: &Genesis,
    ) -> bool {
        let mut given = BTreeSet::new();
        for operation in log {
            let by = operation.unverified_author();
            if let Operation::Role { identity, role } = operation.unverified_operation()
                && *role > Role::Member
                && (given.contains(&by) || self.may_speak(&by, genesis))
            {
                given.insert(*identity);
            }
        }
        given.contains(author) || self.may_speak(author, genesis)
    }

    /// Moderators have a share of the log, so that a hostile one can't keep the admin from being heard.
    fn has_room_for(&self, operation: &UnverifiedOperation, genesis: &Genesis) -> bool {
        let size = operation.encode().len() + 4;
        let author = operation.unverified_author();
        let is_admin = |identity: &IdentityKey| is_admin(identity, &self.evaluation, genesis);
        let sum = |of: &dyn Fn(&SignedOperation) -> bool| -> usize {
            let chosen = self.operations.values().filter(|signed| of(signed));
            chosen.map(|signed| signed.encode().len() + 4).sum()
        };
        if self.operations.len() >= MAX_LOG_OPERATIONS || sum(&|_| true) + size > MAX_LOG_BYTES {
            return false;
        }
        let by_author = self
            .operations
            .values()
            .filter(|signed| signed.author() == author)
            .count();
        is_admin(&author)
            || (by_author < MAX_OPERATIONS_OF_MODERATOR
                && sum(&|signed| !is_admin(&signed.author())) + size <= MAX_LOG_BYTES_OF_MODERATORS)
    }

    /// Adds an operation that was verified, or made here; `false` when we had it.
    pub(super) fn insert_verified(&mut self, operation: SignedOperation, genesis: &Genesis) -> bool {
        if self.operations.insert(operation.hash(), operation).is_some() {
            return false;
        }
        self.evaluate(genesis);
        true
    }

    /// Adds an operation that makes a generation, with those of its past that we lack; `None` if it doesn't count in that company.
    /// The operations are verified here; others in `log` are left out.
    pub(super) fn insert_with_past(
        &mut self,
        log: Vec<UnverifiedOperation>,
        target: OperationHash,
        genesis: &Genesis,
    ) -> Result<bool, OperationError> {
        let mut union = self.operations.clone();
        for operation in log {
            if let Entry::Vacant(place) = union.entry(operation.hash(&genesis.hash())) {
                place.insert(operation.verify(genesis)?);
            }
        }
        let past = Log::new(&union, genesis).with_past(&BTreeSet::from([target]));
        union.retain(|hash, _| past.contains(hash) || self.operations.contains_key(hash));
        let evaluation = Log::new(&union, genesis).evaluate();
        if judge(&union, &evaluation, &target, genesis).is_err() {
            return Ok(false);
        }
        self.operations = union;
        self.concluded(evaluation);
        Ok(true)
    }

    /// Whether an operation would count if it were in the log.
    pub(super) fn would_count(&self, operation: &SignedOperation, genesis: &Genesis) -> bool {
        self.judge(operation, genesis).is_ok()
    }

    /// The same; and if not, why.
    pub(super) fn judge(&self, operation: &SignedOperation, genesis: &Genesis) -> Result<(), Uncounted> {
        let mut union = self.operations.clone();
        union.insert(operation.hash(), operation.clone());
        let evaluation = Log::new(&union, genesis).evaluate();
        judge(&union, &evaluation, &operation.hash(), genesis)
    }

    /// An operation and all that it builds on.
    pub(super) fn past_of(&self, hash: OperationHash, genesis: &Genesis) -> BTreeSet<OperationHash> {
        Log::new(&self.operations, genesis).with_past(&BTreeSet::from([hash]))
    }

    /// Drops an operation and all that builds on it, as if they had never come: what the admin signs next has not seen them. Others tell
    /// of them again, and then they are judged with that.
    pub(super) fn forget(&mut self, hash: &OperationHash, genesis: &Genesis) {
        let log = Log::new(&self.operations, genesis);
        let builds_on_it = |other: &OperationHash| log.with_past(&BTreeSet::from([*other])).contains(hash);
        let gone: Vec<OperationHash> = self.operations.keys().copied().filter(builds_on_it).collect();
        for hash in &gone {
            self.operations.remove(hash);
        }
        if !gone.is_empty() {
            self.evaluate(genesis);
        }
    }

    pub(super) fn contains(&self, hash: &OperationHash) -> bool {
        self.operations.contains_key(hash)
    }

    pub(super) fn get(&self, hash: &OperationHash) -> Option<&SignedOperation> {
        self.operations.get(hash)
    }

    pub(super) fn role(&self, identity: &IdentityKey) -> Role {
        self.evaluation.role(identity)
    }

    pub(super) fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// What certificates carry that are signed now: it rises with every operation that takes the right to have one from somebody, and those
    /// with a lower one are to be void (docs/PROTOCOL.md, "Certificates").
    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    /// The policy as it is now.
    pub(super) fn policy(&self, genesis: &Genesis) -> Policy {
        self.evaluation.policy.unwrap_or(*genesis.policy())
    }

    /// Whether newcomers to a generation need somebody's approval: the rules ask for it now, and asked for it in what the generation's
    /// maker knew. So rules that begin to ask for it turn nobody out who is in.
    pub(super) fn asks_for_approval(&self, generation: &Generation, genesis: &Genesis) -> bool {
        let then = match self.evaluation.approvals.get(&generation.hash) {
            Some(asked) => *asked,
            None => generation.hash == Generation::first(&genesis.hash()).hash && genesis.policy().approval,
        };
        then && self.policy(genesis).approval
    }

    /// The count of a generation that is made on top of these; `None` if there are no more.
    pub(super) fn next_count(&self, parents: &[OperationHash], genesis: &Genesis) -> Option<u64> {
        Log::new(&self.operations, genesis).next_count(&parents.iter().copied().collect())
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

    /// All of them, parents before children.
    pub(super) fn ordered(&self, genesis: &Genesis) -> Vec<SignedOperation> {
        Log::new(&self.operations, genesis).order().cloned().collect()
    }

    fn evaluate(&mut self, genesis: &Genesis) {
        let evaluation = Log::new(&self.operations, genesis).evaluate();
        self.concluded(evaluation);
    }

    fn concluded(&mut self, evaluation: Evaluation) {
        self.version += 1;
        self.evaluation = evaluation;
        // What was forgotten comes back: certificates don't go back meanwhile.
        self.serial = self.serial.max(rights_taken(&self.operations));
    }
}

/// How many operations take the right to speak for the room at its rendezvous from somebody that ever got it. Those that don't count are
/// counted here too: so it never falls as the log grows, whatever becomes void by what comes late.
fn rights_taken(log: &BTreeMap<OperationHash, SignedOperation>) -> u32 {
    let given = |signed: &SignedOperation| match signed.operation() {
        Operation::Role { identity, role } if *role > Role::Member => Some(*identity),
        _ => None,
    };
    let given: BTreeSet<IdentityKey> = log.values().filter_map(given).collect();
    let taken = |signed: &&SignedOperation| {
        let from = match signed.operation() {
            Operation::Role {
                identity,
                role: Role::Member,
            } => Some(*identity),
            operation => operation.removes(),
        };
        from.is_some_and(|identity| given.contains(&identity))
    };
    u32::try_from(log.values().filter(taken).count()).unwrap_or(u32::MAX)
}

fn is_admin(identity: &IdentityKey, evaluation: &Evaluation, genesis: &Genesis) -> bool {
    identity.as_bytes() == genesis.admin().as_bytes() || evaluation.role(identity) == Role::Admin
}

/// Whether an operation counts in a log, and that keeps its bounds with it, and what it builds on. An operation that makes a generation brings its past
/// along, which nobody has looked at one by one: where a moderator made it, its own operations, and those of people who never had a say,
/// have a share, and some of the log is left for the admin in any case. What other moderators said is not held against the one who builds on
/// it: a hostile one could give each member other operations, and so keep them from following the kick that removes it.
fn judge(
    log: &BTreeMap<OperationHash, SignedOperation>,
    evaluation: &Evaluation,
    target: &OperationHash,
    genesis: &Genesis,
) -> Result<(), Uncounted> {
    if !evaluation.valid.contains(target) {
        return Err(Uncounted::Void);
    }
    let weigh = |of: &dyn Fn(&IdentityKey) -> bool| {
        let chosen = log.values().filter(|signed| of(&signed.author()));
        chosen.fold((0, 0), |(count, bytes), signed| {
            (count + 1, bytes + signed.encode().len() + 4)
        })
    };
    let (count, bytes): (usize, usize) = weigh(&|_| true);
    if count > MAX_LOG_OPERATIONS || bytes > MAX_LOG_BYTES {
        return Err(Uncounted::LogFull);
    }
    let Some(author) = log.get(target).map(SignedOperation::author) else {
        return Err(Uncounted::Void);
    };
    if is_admin(&author, evaluation, genesis) {
        return Ok(());
    }
    let (count, bytes) = weigh(&|of| !is_admin(of, evaluation, genesis));
    let (_, own) = weigh(&|of| *of == author || (!evaluation.had_role(of) && !is_admin(of, evaluation, genesis)));
    let fits = count <= MAX_LOG_OPERATIONS - ADMINS_OPERATIONS
        && bytes <= MAX_LOG_BYTES - ADMINS_BYTES
        && own <= MAX_LOG_BYTES_OF_MODERATORS;
    if fits { Ok(()) } else { Err(Uncounted::ShareFull) }
}
