//! What the log says: one pure pass over the set of operations (docs/PROTOCOL.md, "Authority").
//!
//! Authors are gone through from the most senior one down: the admin key, admins, moderators, each by (depth, hash) of the Role that
//! made it one. Only a senior can take an author's word away, so when an author's turn comes, all that could void its operations
//! is decided; two moderators who kick each other don't void everything. Rank goes with the role: who lost one and got another has a turn
//! for each, in which what it signed in that role is looked at.

use std::collections::{BTreeMap, BTreeSet};

use snug_crypto::generation::Generation;
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::ids::{IdentityKey, OperationHash};
use snug_crypto::operation::{Keeper, Operation, Role, SignedOperation};

/// What follows from a set of operations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Evaluation {
    /// Operations that count, in the order (depth, hash).
    pub(crate) valid: BTreeSet<OperationHash>,
    roles: BTreeMap<IdentityKey, Role>,
    /// Of those who have a role.
    ranks: BTreeMap<IdentityKey, Rank>,
    /// Who has a role, or ever had one.
    heard: BTreeSet<IdentityKey>,
    removals: BTreeMap<IdentityKey, Removal>,
    /// The valid generations, the most current first, each with whom valid removals outside its past remove: these may hold its
    /// Room Key, so until a later one joins all removals, only those that it carried over count.
    pub(crate) generations: Vec<(Generation, BTreeSet<IdentityKey>)>,
    /// The policy, if an operation changed it.
    pub(crate) policy: Option<Policy>,
    /// Of each valid generation, whether the policy in its past asks for approvals.
    pub(crate) approvals: BTreeMap<OperationHash, bool>,
    /// Who keeps mail.
    pub(crate) keepers: BTreeMap<IdentityKey, Keeper>,
}

/// Who was removed, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    /// Leaves of generations with a lower count are void.
    pub(crate) before: u64,
    /// All leaves are, for good.
    pub(crate) banned: bool,
    /// The operation that says so: the latest one.
    pub(crate) operation: OperationHash,
}

/// Seniority: the lower, the more senior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    class: Class,
    depth: usize,
    hash: OperationHash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    AdminKey,
    Admin,
    Moderator,
}

impl Class {
    fn role(self) -> Role {
        match self {
            Self::AdminKey | Self::Admin => Role::Admin,
            Self::Moderator => Role::Moderator,
        }
    }
}

impl Evaluation {
    pub(crate) fn role(&self, identity: &IdentityKey) -> Role {
        self.roles.get(identity).copied().unwrap_or(Role::Member)
    }

    /// Whether somebody has a role, or ever had one.
    pub(crate) fn had_role(&self, identity: &IdentityKey) -> bool {
        self.heard.contains(identity)
    }

    /// Seniority of somebody who has a role.
    pub(crate) fn rank(&self, identity: &IdentityKey) -> Option<Rank> {
        self.ranks.get(identity).copied()
    }

    /// Whom valid removals outside a generation's past remove; of a generation that no operation here makes, all removals are.
    pub(crate) fn removed_outside(&self, generation: &Generation) -> BTreeSet<IdentityKey> {
        let known = self.generations.iter().find(|(known, _)| known == generation);
        known.map_or_else(
            || self.removals.keys().copied().collect(),
            |(_, outside)| outside.clone(),
        )
    }

    pub(crate) fn removal(&self, identity: &IdentityKey) -> Option<&Removal> {
        self.removals.get(identity)
    }

    /// Identities that are removed for good.
    pub(crate) fn banned(&self) -> impl Iterator<Item = &IdentityKey> {
        let banned = self.removals.iter().filter(|(_, removal)| removal.banned);
        banned.map(|(identity, _)| identity)
    }

    /// Whether a leaf of this identity, admitted in a generation of this count, is void.
    pub(crate) fn voids(&self, identity: &IdentityKey, count: u64) -> bool {
        self.removals
            .get(identity)
            .is_some_and(|removal| removal.banned || count < removal.before)
    }
}

/// The operations, indexed: parents before children.
pub(crate) struct Log<'a> {
    genesis: &'a Genesis,
    operations: Vec<Entry<'a>>,
}

struct Entry<'a> {
    signed: &'a SignedOperation,
    depth: usize,
    /// Everything in its past, by index.
    past: Bits,
    /// Of an operation that makes a generation: whether its count is one more than the highest in its past.
    counts_right: bool,
}

impl<'a> Log<'a> {
    /// Orders a set that is closed under parents; what is not, is left out.
    pub(crate) fn new(operations: &'a BTreeMap<OperationHash, SignedOperation>, genesis: &'a Genesis) -> Self {
        let mut order: Vec<(usize, OperationHash)> = depths(operations)
            .into_iter()
            .map(|(hash, depth)| (depth, hash))
            .collect();
        order.sort_unstable();
        let index: BTreeMap<OperationHash, usize> = order
            .iter()
            .enumerate()
            .map(|(index, (_, hash))| (*hash, index))
            .collect();
        let mut log: Vec<Entry<'_>> = Vec::with_capacity(order.len());
        for (depth, hash) in &order {
            let Some(signed) = operations.get(hash) else { continue };
            let mut past = Bits::new(order.len());
            for parent in signed.parents().iter().filter_map(|parent| index.get(parent)) {
                past.set(*parent);
                past.add(&log[*parent].past);
            }
            let highest = log
                .iter()
                .enumerate()
                .filter(|(index, entry)| past.has(*index) && entry.counts_right)
                .filter_map(|(_, entry)| entry.signed.operation().rekey())
                .map(|rekey| rekey.count)
                .max()
                .unwrap_or(0);
            let rekey = signed.operation().rekey();
            log.push(Entry {
                signed,
                depth: *depth,
                past,
                counts_right: rekey.is_some_and(|rekey| Some(rekey.count) == highest.checked_add(1)),
            });
        }
        Self {
            genesis,
            operations: log,
        }
    }

    /// Hashes in the order (depth, hash).
    pub(crate) fn order(&self) -> impl Iterator<Item = &'a SignedOperation> + '_ {
        self.operations.iter().map(|entry| entry.signed)
    }

    /// Operations in the past of one of these, and these themselves.
    pub(crate) fn with_past(&self, of: &BTreeSet<OperationHash>) -> BTreeSet<OperationHash> {
        let mut past = Bits::new(self.operations.len());
        for (index, entry) in self.operations.iter().enumerate() {
            if of.contains(&entry.signed.hash()) {
                past.set(index);
                past.add(&entry.past);
            }
        }
        (self.operations.iter().enumerate())
            .filter(|(index, _)| past.has(*index))
            .map(|(_, entry)| entry.signed.hash())
            .collect()
    }

    /// The count of a generation made on top of these: what is right for an operation with them as its parents, whatever counts void
    /// operations claim.
    pub(crate) fn next_count(&self, parents: &BTreeSet<OperationHash>) -> Option<u64> {
        let past = self.with_past(parents);
        let right = (self.operations.iter()).filter(|entry| entry.counts_right && past.contains(&entry.signed.hash()));
        let counts = right
            .filter_map(|entry| entry.signed.operation().rekey())
            .map(|rekey| rekey.count);
        counts.max().unwrap_or(0).checked_add(1)
    }

    /// The rank that operations about one identity lead to: that of the first Role that made it what it is, since it last wasn't.
    fn rank_after(&self, about: impl Iterator<Item = usize>) -> Option<Rank> {
        about.fold(None, |rank: Option<Rank>, index| {
            let given = self.operations[index].given()?;
            Some(rank.filter(|rank| rank.class == given.class).unwrap_or(given))
        })
    }

    /// The pass.
    pub(crate) fn evaluate(&self) -> Evaluation {
        let mut pass = Pass {
            log: self,
            valid: Bits::new(self.operations.len()),
            decided: Bits::new(self.operations.len()),
            about: self.about(),
            waiting: BTreeSet::new(),
        };
        pass.run();
        self.conclude(&pass)
    }

    /// The operations that give somebody a role, or take it, in the order (depth, hash).
    fn about(&self) -> BTreeMap<IdentityKey, Vec<usize>> {
        let mut about: BTreeMap<IdentityKey, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.operations.iter().enumerate() {
            let whom = match entry.signed.operation() {
                Operation::Role { identity, .. } => Some(*identity),
                operation => operation.removes(),
            };
            if let Some(whom) = whom {
                about.entry(whom).or_default().push(index);
            }
        }
        about
    }

    fn conclude(&self, pass: &Pass<'_, '_>) -> Evaluation {
        let mut result = Evaluation::default();
        for (identity, about) in &pass.about {
            let valid = || about.iter().copied().filter(|index| pass.valid.has(*index));
            if let Some(rank) = self.rank_after(valid()) {
                result.ranks.insert(*identity, rank);
            }
            if valid().any(|index| self.operations[index].given().is_some()) {
                result.heard.insert(*identity);
            }
        }
        let valid = || (self.operations.iter().enumerate()).filter(|(index, _)| pass.valid.has(*index));
        for (_, entry) in valid() {
            let hash = entry.signed.hash();
            result.valid.insert(hash);
            match entry.signed.operation() {
                Operation::Role { identity, role } => {
                    result.roles.insert(*identity, *role);
                }
                Operation::Policy(policy) => result.policy = Some(*policy),
                Operation::Keeper(keeper) => {
                    result.keepers.insert(keeper.key, (**keeper).clone());
                }
                operation => {
                    let (Some(identity), Some(rekey)) = (operation.removes(), operation.rekey()) else {
                        continue;
                    };
                    result.roles.remove(&identity);
                    result.keepers.remove(&identity);
                    let banned = matches!(operation, Operation::Ban { .. });
                    let old = result.removals.get(&identity);
                    let removal = Removal {
                        before: rekey.count.max(old.map_or(0, |old| old.before)),
                        banned: banned || old.is_some_and(|old| old.banned),
                        operation: hash,
                    };
                    result.removals.insert(identity, removal);
                }
            }
        }
        let removals: Vec<usize> = valid()
            .filter(|(_, entry)| entry.signed.operation().removes().is_some())
            .map(|(index, _)| index)
            .collect();
        result.generations = valid()
            .filter_map(|(index, entry)| {
                let outside = removals
                    .iter()
                    .filter(|removal| **removal != index && !entry.past.has(**removal))
                    .filter_map(|removal| self.operations[*removal].signed.operation().removes())
                    .collect();
                Some((entry.signed.generation()?, outside))
            })
            .collect();
        result.approvals = valid()
            .filter_map(|(_, entry)| {
                let asked = |index: &usize| match self.operations[*index].signed.operation() {
                    Operation::Policy(policy) if pass.valid.has(*index) && entry.past.has(*index) => {
                        Some(policy.approval)
                    }
                    _ => None,
                };
                let last = (0..self.operations.len()).rev().find_map(|index| asked(&index));
                let generation = entry.signed.generation()?;
                Some((generation.hash, last.unwrap_or(self.genesis.policy().approval)))
            })
            .collect();
        result.generations.sort_by(|(a, _), (b, _)| b.cmp_currency(a));
        result
    }
}

impl Entry<'_> {
    /// The rank that this gives to somebody who hasn't the role yet, if it is a Role.
    fn given(&self) -> Option<Rank> {
        let Operation::Role { role, .. } = self.signed.operation() else {
            return None;
        };
        let class = match role {
            Role::Member => return None,
            Role::Moderator => Class::Moderator,
            Role::Admin => Class::Admin,
        };
        let (depth, hash) = (self.depth, self.signed.hash());
        Some(Rank { class, depth, hash })
    }
}

struct Pass<'p, 'a> {
    log: &'p Log<'a>,
    valid: Bits,
    /// Operations whose author had its turn with them.
    decided: Bits,
    /// See [`Log::about`].
    about: BTreeMap<IdentityKey, Vec<usize>>,
    /// Turns to come: one for each role that somebody was given.
    waiting: BTreeSet<(Rank, IdentityKey)>,
}

impl Pass<'_, '_> {
    fn run(&mut self) {
        let admin_key = IdentityKey::from_bytes(*self.log.genesis.admin().as_bytes());
        let top = Rank {
            class: Class::AdminKey,
            depth: 0,
            hash: OperationHash::from_bytes([0; 32]),
        };
        self.waiting.insert((top, admin_key));
        // A Role has its author's own in its past, so whoever it appoints is junior to that: turns only come from below.
        while let Some((rank, author)) = self.waiting.pop_first() {
            for index in 0..self.log.operations.len() {
                let signed = self.log.operations[index].signed;
                let is_due =
                    signed.author() == author && !self.decided.has(index) && self.signed_as(index, &author, rank);
                if !is_due {
                    continue;
                }
                self.decided.set(index);
                if !self.counts(index, &author, rank) {
                    continue;
                }
                self.valid.set(index);
                if let (Operation::Role { identity, .. }, Some(given)) =
                    (signed.operation(), self.log.operations[index].given())
                {
                    self.waiting.insert((given, *identity));
                }
            }
        }
        // A deletion is the admin's own word, whoever carried it.
        for (index, entry) in self.log.operations.iter().enumerate() {
            if matches!(entry.signed.operation(), Operation::Tombstone(_)) {
                self.valid.set(index);
            }
        }
    }

    /// Whether an author had this rank when it signed an operation.
    fn signed_as(&self, index: usize, author: &IdentityKey, rank: Rank) -> bool {
        rank.class == Class::AdminKey || self.rank_at(index, author) == Some(rank)
    }

    fn counts(&self, index: usize, author: &IdentityKey, rank: Rank) -> bool {
        if rank.class != Class::AdminKey && self.is_voided(index, author, rank.class.role()) {
            return false;
        }
        let role = rank.class.role();
        let entry = &self.log.operations[index];
        let may_touch = |identity: &IdentityKey| {
            identity.as_bytes() != self.log.genesis.admin().as_bytes() && !self.is_senior(index, identity, rank)
        };
        match entry.signed.operation() {
            Operation::Role { identity, .. } => role == Role::Admin && (identity == author || may_touch(identity)),
            Operation::Kick { identity, .. } | Operation::Ban { identity, .. } => {
                entry.counts_right && identity != author && may_touch(identity)
            }
            Operation::KeyGen(_) => entry.counts_right && (role == Role::Admin || self.joins_removals(index)),
            Operation::Policy(_) | Operation::Keeper(_) | Operation::Unknown { .. } => role == Role::Admin,
            Operation::Tombstone(_) => true,
        }
    }

    /// What somebody's rank was at this point of the log.
    fn rank_at(&self, index: usize, identity: &IdentityKey) -> Option<Rank> {
        let past = &self.log.operations[index].past;
        let about = self.about.get(identity).into_iter().flatten().copied();
        self.log
            .rank_after(about.filter(|other| past.has(*other) && self.valid.has(*other)))
    }

    /// Whether an operation takes somebody who is senior to its author: as far as the author could see, by what the other was given meanwhile,
    /// or since something counts that the other signed meanwhile, which is decided already.
    fn is_senior(&self, index: usize, identity: &IdentityKey, rank: Rank) -> bool {
        if self.rank_at(index, identity).is_some_and(|theirs| theirs < rank) {
            return true;
        }
        let past = &self.log.operations[index].past;
        (self.log.operations.iter().enumerate()).any(|(other, entry)| {
            let is_meanwhile = || other != index && self.valid.has(other) && !past.has(other) && !entry.past.has(index);
            let gives = || {
                let to = matches!(entry.signed.operation(), Operation::Role { identity: to, .. } if to == identity);
                to && entry.given().is_some_and(|theirs| theirs < rank)
            };
            (gives() || entry.signed.author() == *identity) && is_meanwhile()
        })
    }

    /// Whether somebody senior took the author's word, the role in which it signed this, away without having seen it.
    fn is_voided(&self, index: usize, author: &IdentityKey, had: Role) -> bool {
        let past = &self.log.operations[index].past;
        let lowers = |operation: &Operation| match operation {
            Operation::Role { role, .. } => *role < had,
            _ => true,
        };
        self.about.get(author).into_iter().flatten().any(|other| {
            let entry = &self.log.operations[*other];
            self.valid.has(*other)
                && *other != index
                && !past.has(*other)
                && !entry.past.has(index)
                && lowers(entry.signed.operation())
        })
    }

    /// Whether two removals in its past overlap, and nothing there joins them: the one case in which a moderator makes a generation
    /// that removes nobody.
    fn joins_removals(&self, index: usize) -> bool {
        let past = &self.log.operations[index].past;
        let generations: Vec<usize> = (self.log.operations.iter().enumerate())
            .filter(|(other, entry)| past.has(*other) && entry.signed.operation().rekey().is_some())
            .map(|(other, _)| other)
            .collect();
        let covers = |later: usize, earlier: usize| later == earlier || self.log.operations[later].past.has(earlier);
        generations.len() > 1
            && !generations
                .iter()
                .any(|last| generations.iter().all(|other| covers(*last, *other)))
    }
}

/// The longest way back to the genesis of each operation whose past is complete.
fn depths(operations: &BTreeMap<OperationHash, SignedOperation>) -> BTreeMap<OperationHash, usize> {
    let mut depths = BTreeMap::new();
    let mut left: Vec<&SignedOperation> = operations.values().collect();
    // Hashes form no cycle; a round that finds nothing leaves only operations whose past is missing.
    loop {
        let before = left.len();
        left.retain(|signed| {
            let parents: Option<Vec<usize>> = signed.parents().iter().map(|p| depths.get(p).copied()).collect();
            match parents {
                Some(parents) => {
                    depths.insert(
                        signed.hash(),
                        parents.into_iter().max().map_or(1, |deepest| deepest + 1),
                    );
                    false
                }
                None => true,
            }
        });
        if left.is_empty() || left.len() == before {
            return depths;
        }
    }
}

/// A set of indices.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn add(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }
}
