//! Who is in the room: registers (each identity's newest self-signed record), the roster that follows from them, and who is here now.
//!
//! Two registers merge by sequence number, so members that merged the same records agree, in whatever order these came
//! (docs/PROTOCOL.md, "Members").

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use snug_crypto::ids::{IdentityKey, LeafId, PeerKey};
use snug_crypto::leaf::{Leaf, Record, UnverifiedRecord};

use snug_crypto::{kdf, label};

use super::admission::Admission;
use super::timing::{CLOCK_SKEW_MS, HEARD_HORIZON, MAX_LEAVES, MAX_REGISTERS, MAX_SUPERSEDED, PRESENCE_STICKY};

/// What merging a record did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It is the identity's newest.
    New,
    /// We had it, or a newer one.
    Known,
    /// The identity signed two different records under one sequence number; the one that all settle on is kept.
    Equivocation {
        /// Whether this is the first we hear of it.
        first: bool,
    },
    /// No room for another identity, or the record is older than any that is kept.
    Refused,
}

/// The registers, and every leaf that an epoch we keep may name.
pub(super) struct Members {
    /// The longest life a leaf may claim, in milliseconds, from its sequence number on.
    grace_ms: u64,
    registers: BTreeMap<IdentityKey, Register>,
    /// Leaves by id, superseded ones included: epochs name them, frames are checked with their keys.
    leaves: BTreeMap<LeafId, Arc<Leaf>>,
    links: BTreeSet<PeerKey>,
    /// What is taken in comes from where it was left, and not from its author.
    hearsay: bool,
    /// Rises with every change of the registers, so that judgements can be kept until then.
    version: u64,
    /// Rises with every change of the links.
    link_version: u64,
    /// Rises when somebody may be here who wasn't.
    presence_version: u64,
    /// The next expiry, as it was found in which version at which time.
    expiry_found: Cell<Option<(u64, u64, Option<u64>)>>,
    /// When presence changes next by the mere passing of time, as it was found; never too late.
    presence_found: Cell<Option<Option<Duration>>>,
}

struct Register {
    record: Record,
    /// What tells it from another of the same number.
    digest: [u8; 32],
    equivocated: bool,
    /// When something signed by this identity last arrived.
    heard: Option<Duration>,
    /// When its last link went down.
    unlinked: Option<Duration>,
}

impl Register {
    /// Whether something of this identity was heard not long ago, and since its link went down.
    fn is_heard(&self, elapsed: Duration) -> bool {
        self.heard.is_some_and(|heard| {
            elapsed.saturating_sub(heard) < HEARD_HORIZON && self.unlinked.is_none_or(|unlinked| heard > unlinked)
        })
    }
}

/// The members as of one moment: by identity, each one's current leaf.
pub(super) type Roster<'a> = BTreeMap<IdentityKey, &'a Arc<Leaf>>;

impl Members {
    pub(super) fn new(grace_ms: u64) -> Self {
        Self {
            grace_ms,
            registers: BTreeMap::new(),
            leaves: BTreeMap::new(),
            links: BTreeSet::new(),
            hearsay: false,
            version: 0,
            link_version: 0,
            presence_version: 0,
            expiry_found: Cell::new(None),
            presence_found: Cell::new(None),
        }
    }

    /// The room's grace as it is now.
    pub(super) fn set_grace(&mut self, grace_s: u32) {
        let grace_ms = u64::from(grace_s) * 1_000;
        if self.grace_ms != grace_ms {
            self.grace_ms = grace_ms;
            self.version += 1;
        }
    }

    /// Merges a verified record: the higher sequence number wins, and of two with the same one the greater encoding, so that members
    /// who were told different things agree as soon as they talk.
    pub(super) fn merge(&mut self, record: Record, unix_ms: u64) -> Merged {
        let identity = record.identity();
        // A record from the future could never be superseded by its owner's honest clock, nor forgotten.
        if record.seq() > unix_ms.saturating_add(CLOCK_SKEW_MS) {
            return Merged::Refused;
        }
        if matches!(record, Record::Leaf(_)) && record.seq() < self.horizon(unix_ms) {
            return Merged::Refused;
        }
        let digest = kdf::hash(label::RECORD, &[&record.encode()]);
        let (mut equivocated, mut first) = (false, false);
        if let Some(register) = self.registers.get_mut(&identity) {
            let (known, new) = (register.record.seq(), record.seq());
            if new < known {
                self.keep_superseded(record);
                return Merged::Known;
            }
            if new == known && register.digest == digest {
                return Merged::Known;
            }
            if new == known {
                first = !std::mem::replace(&mut register.equivocated, true);
                if digest < register.digest {
                    return Merged::Equivocation { first };
                }
                equivocated = true;
            }
        } else if !self.make_room_for(&record) {
            return Merged::Refused;
        }
        // A leaf that has expired is off the roster. It still supersedes what came before it, or who never heard of it while it was good
        // would hold its owner for a member by an older one.
        if let Record::Leaf(leaf) = &record {
            self.leaves.insert(leaf.id(), Arc::clone(leaf));
        }
        let old = self.registers.get(&identity);
        let register = Register {
            record,
            digest,
            equivocated,
            heard: old.and_then(|old| old.heard),
            unlinked: old.and_then(|old| old.unlinked),
        };
        let expiry = match &register.record {
            Record::Leaf(leaf) => Some(self.expiry(leaf)),
            Record::Leave(_) => None,
        };
        // In a room that fills it would be found anew for each newcomer. Rather too early than too late: then it is found anew.
        if let Some((version, then, at)) = self.expiry_found.get()
            && version == self.version
        {
            let at = at.into_iter().chain(expiry).min();
            self.expiry_found.set(Some((version + 1, then, at)));
        }
        self.registers.insert(identity, register);
        self.version += 1;
        if equivocated {
            Merged::Equivocation { first }
        } else {
            Merged::New
        }
    }

    /// Whether this very record is here already, to the byte: then nothing in it need be verified again.
    pub(super) fn has(&self, record: &UnverifiedRecord) -> bool {
        self.registers.get(&record.identity()).is_some_and(|register| {
            register.record.seq() == record.seq() && register.digest == kdf::hash(label::RECORD, &[record.encode()])
        })
    }

    /// A leaf that is no longer its identity's newest record: who was away needs it to read what its owner said before.
    fn keep_superseded(&mut self, record: Record) {
        if let Record::Leaf(leaf) = record
            && self.leaves.len() < MAX_SUPERSEDED
        {
            self.leaves.entry(leaf.id()).or_insert(leaf);
        }
    }

    /// Records from before it are forgotten, whatever they say.
    fn horizon(&self, unix_ms: u64) -> u64 {
        unix_ms.saturating_sub(self.grace_ms.saturating_add(2 * CLOCK_SKEW_MS))
    }

    /// Whether another identity fits. Leaves have a share of their own, and the oldest gives way: they need no Room Key, so they must
    /// never crowd out the living.
    fn make_room_for(&mut self, record: &Record) -> bool {
        let is_leave = |register: &Register| matches!(register.record, Record::Leave(_));
        let leaves = self.registers.values().filter(|register| is_leave(register)).count();
        if matches!(record, Record::Leaf(_)) {
            return self.registers.len() - leaves < MAX_REGISTERS;
        }
        if leaves < MAX_LEAVES {
            return true;
        }
        let oldest = self
            .registers
            .iter()
            .filter(|(_, register)| is_leave(register))
            .min_by_key(|(_, r)| r.record.seq());
        let Some((identity, seq)) = oldest.map(|(identity, register)| (*identity, register.record.seq())) else {
            return false;
        };
        if seq >= record.seq() {
            return false;
        }
        self.registers.remove(&identity);
        true
    }

    /// Everybody whose newest record is an unexpired leaf that counts.
    pub(super) fn roster(&self, admission: &Admission<'_>, unix_ms: u64) -> Roster<'_> {
        self.registers
            .iter()
            .filter_map(|(identity, register)| match &register.record {
                Record::Leaf(leaf) if admission.counts(leaf) && !self.expired(leaf, unix_ms) => Some((*identity, leaf)),
                _ => None,
            })
            .collect()
    }

    /// When the next leaf on the roster expires, in wall-clock milliseconds.
    pub(super) fn next_expiry(&self, unix_ms: u64) -> Option<u64> {
        if let Some((version, then, at)) = self.expiry_found.get()
            && version == self.version
            && then <= unix_ms
            && at.is_none_or(|at| at > unix_ms)
        {
            return at;
        }
        let leaves = self.current_leaves().map(|leaf| self.expiry(leaf));
        let next = leaves.filter(|at| *at > unix_ms).min();
        self.expiry_found.set(Some((self.version, unix_ms, next)));
        next
    }

    /// A leaf lives as long as it says, but never longer than the room's grace after it was made; and an hour more, so that a member
    /// whose clock is that much behind ours is not refused.
    fn expiry(&self, leaf: &Leaf) -> u64 {
        leaf.expires_at_ms()
            .min(leaf.seq().saturating_add(self.grace_ms))
            .saturating_add(CLOCK_SKEW_MS)
    }

    fn expired(&self, leaf: &Leaf, unix_ms: u64) -> bool {
        self.expiry(leaf) <= unix_ms
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn link_version(&self) -> u64 {
        self.link_version
    }

    /// Changes whenever presence does, but by the mere passing of time: see [`Self::next_presence_change`].
    pub(super) fn presence_version(&self) -> u64 {
        self.presence_version + self.link_version
    }

    pub(super) fn leaf(&self, id: &LeafId) -> Option<&Arc<Leaf>> {
        self.leaves.get(id)
    }

    /// Each identity's newest leaf, whether or not it counts.
    pub(super) fn current_leaves(&self) -> impl Iterator<Item = &Arc<Leaf>> {
        self.registers.values().filter_map(|register| match &register.record {
            Record::Leaf(leaf) => Some(leaf),
            Record::Leave(_) => None,
        })
    }

    /// An identity's newest leaf.
    pub(super) fn current_leaf(&self, identity: &IdentityKey) -> Option<&Arc<Leaf>> {
        match self.record(identity)? {
            Record::Leaf(leaf) => Some(leaf),
            Record::Leave(_) => None,
        }
    }

    pub(super) fn record(&self, identity: &IdentityKey) -> Option<&Record> {
        self.registers.get(identity).map(|register| &register.record)
    }

    /// What members compare: each identity's newest record, by number and digest.
    pub(super) fn digests(&self) -> impl Iterator<Item = (&IdentityKey, u64, &[u8; 32])> {
        self.registers
            .iter()
            .map(|(identity, register)| (identity, register.record.seq(), &register.digest))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.registers.values().map(|register| &register.record)
    }

    /// Each identity's newest record, its digest, and whether it contradicted itself.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&Record, &[u8; 32], bool)> {
        self.registers
            .values()
            .map(|register| (&register.record, &register.digest, register.equivocated))
    }

    /// Leaves that are no longer their identity's newest record.
    pub(super) fn superseded(&self) -> impl Iterator<Item = &Arc<Leaf>> {
        self.leaves.values().filter(
            |leaf| !matches!(self.record(&leaf.identity()), Some(Record::Leaf(newest)) if newest.id() == leaf.id()),
        )
    }

    /// How many leaves are known, superseded ones included.
    pub(super) fn leaves_known(&self) -> usize {
        self.leaves.len()
    }

    /// Takes up a record that was merged before; gives whose it is, and its digest.
    pub(super) fn restore(&mut self, record: Record, equivocated: bool) -> (IdentityKey, [u8; 32]) {
        let identity = record.identity();
        let digest = kdf::hash(label::RECORD, &[&record.encode()]);
        if let Record::Leaf(leaf) = &record {
            self.leaves.insert(leaf.id(), Arc::clone(leaf));
        }
        let register = Register {
            record,
            digest,
            equivocated,
            heard: None,
            unlinked: None,
        };
        self.registers.insert(identity, register);
        self.version += 1;
        (identity, digest)
    }

    /// Takes up a leaf that was superseded.
    pub(super) fn restore_leaf(&mut self, leaf: Arc<Leaf>) {
        self.leaves.insert(leaf.id(), leaf);
    }

    pub(super) fn is_expired(&self, leaf: &Leaf, unix_ms: u64) -> bool {
        self.expired(leaf, unix_ms)
    }

    /// Forgets superseded leaves that no epoch we keep names.
    pub(super) fn prune_leaves(&mut self, named: &BTreeSet<LeafId>) {
        let current: BTreeSet<LeafId> = self
            .registers
            .values()
            .filter_map(|register| match &register.record {
                Record::Leaf(leaf) => Some(leaf.id()),
                Record::Leave(_) => None,
            })
            .collect();
        self.leaves.retain(|id, _| named.contains(id) || current.contains(id));
    }

    /// Forgets leaves that expired, and leaves that everybody must have heard of: those older than the grace.
    pub(super) fn prune_registers(&mut self, unix_ms: u64) {
        let horizon = self.horizon(unix_ms);
        let before = self.registers.len();
        self.registers.retain(|_, register| register.record.seq() >= horizon);
        self.version += u64::from(self.registers.len() != before);
    }

    pub(super) fn link_up(&mut self, peer: PeerKey) {
        self.links.insert(peer);
        self.link_version += 1;
    }

    pub(super) fn link_down(&mut self, peer: &PeerKey, elapsed: Duration) {
        self.links.remove(peer);
        self.link_version += 1;
        for register in self.registers.values_mut() {
            if matches!(&register.record, Record::Leaf(leaf) if leaf.peer() == *peer) {
                register.unlinked = Some(elapsed);
            }
        }
        self.presence_found.set(None);
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &PeerKey> {
        self.links.iter()
    }

    pub(super) fn linked(&self, peer: &PeerKey) -> bool {
        self.links.contains(peer)
    }

    /// From here on, what is taken in says nothing of who is here; or does again.
    pub(super) fn hearsay(&mut self, hearsay: bool) {
        self.hearsay = hearsay;
    }

    pub(super) fn heard(&mut self, identity: &IdentityKey, elapsed: Duration) {
        if self.hearsay {
            return;
        }
        if let Some(register) = self.registers.get_mut(identity) {
            self.presence_version += u64::from(!register.is_heard(elapsed));
            register.heard = Some(elapsed);
            if let Some(found) = self.presence_found.get() {
                let ends = elapsed + HEARD_HORIZON;
                self.presence_found
                    .set(Some(Some(found.map_or(ends, |at| at.min(ends)))));
            }
        }
    }

    /// Whether a member can be reached: linked, or heard since its link went down, or down so briefly that it does not count.
    pub(super) fn present(&self, leaf: &Leaf, elapsed: Duration) -> bool {
        if self.links.contains(&leaf.peer()) {
            return true;
        }
        let Some(register) = self.registers.get(&leaf.identity()) else {
            return false;
        };
        if register
            .unlinked
            .is_some_and(|at| elapsed.saturating_sub(at) < PRESENCE_STICKY)
        {
            return true;
        }
        register.is_heard(elapsed)
    }

    /// When somebody's presence may end by the mere passing of time.
    pub(super) fn next_presence_change(&self, elapsed: Duration) -> Option<Duration> {
        if let Some(found) = self.presence_found.get()
            && found.is_none_or(|at| at > elapsed)
        {
            return found;
        }
        let next = self
            .registers
            .values()
            .flat_map(|register| {
                [
                    register.unlinked.map(|at| at + PRESENCE_STICKY),
                    register.heard.map(|at| at + HEARD_HORIZON),
                ]
            })
            .flatten()
            .filter(|at| *at > elapsed)
            .min();
        self.presence_found.set(Some(next));
        next
    }
}
