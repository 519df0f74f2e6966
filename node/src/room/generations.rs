//! Generations of the Room Key: those we hold, whom each carried over, and their objects for members who are late
//! (docs/PROTOCOL.md, "A new generation").

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use snug_crypto::epoch::MemberEntry;
use snug_crypto::generation::{Generation, GenerationKeys, RoomRandom};
use snug_crypto::ids::{IdentityKey, LeafId, OperationHash, PeerKey};
use snug_crypto::names::RoomKey;
use snug_crypto::object::UnverifiedObject;

use super::timing::{MAX_CARRIED, MAX_HELD_GENERATIONS, MAX_OBJECTS, MAX_WANTED_OBJECTS};

/// Issuers that cheated, of all generations, who are remembered: one that is forgotten is found out again.
const MAX_CHEATS: usize = 64;

/// A generation's secrets.
#[derive(Clone, Debug)]
pub struct HeldKey {
    /// Its Room Key.
    pub room_key: RoomKey,
    /// Its random half.
    pub random: RoomRandom,
    /// What follows from the two.
    pub keys: GenerationKeys,
}

/// Whom a generation carried over, and who made it.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    /// Ascending by leaf.
    pub(super) members: Vec<MemberEntry>,
    /// The member that issued it, once its leaf was seen.
    pub(super) by: Option<IdentityKey>,
}

impl Carried {
    pub(super) fn holds(&self, leaf: &LeafId) -> bool {
        self.members.binary_search_by(|member| member.leaf.cmp(leaf)).is_ok()
    }
}

/// An operation whose object we look for.
pub(super) struct Wanted {
    pub(super) next_ask: Duration,
    /// Peers that had none.
    pub(super) refused: BTreeSet<PeerKey>,
    /// Peers that have one of an issuer who cheated: they are not asked again.
    pub(super) misled: BTreeSet<PeerKey>,
    /// When it was heard of: a while later nobody is asked any more.
    pub(super) since: Duration,
}

/// All that this member has of the room's generations.
pub(super) struct Generations {
    held: BTreeMap<OperationHash, HeldKey>,
    carried: BTreeMap<OperationHash, Carried>,
    objects: BTreeMap<OperationHash, Arc<UnverifiedObject>>,
    pub(super) wanted: BTreeMap<OperationHash, Wanted>,
    /// Who issued an object of an operation with a box for us that is bad: none of theirs is looked at again.
    cheats: VecDeque<(OperationHash, IdentityKey)>,
    /// Rises with every change, so that judgements can be kept until then.
    version: u64,
}

impl Generations {
    pub(super) fn new(first: HeldKey) -> Self {
        Self {
            held: BTreeMap::from([(first.keys.generation().hash, first)]),
            carried: BTreeMap::new(),
            objects: BTreeMap::new(),
            wanted: BTreeMap::new(),
            cheats: VecDeque::new(),
            version: 0,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn hold(&mut self, key: HeldKey) {
        self.version += 1;
        self.held.insert(key.keys.generation().hash, key);
        while self.held.len() > MAX_HELD_GENERATIONS {
            let oldest = self.held.values().map(|held| held.keys.generation());
            let Some(oldest) = oldest.min_by(|a, b| a.cmp_currency(b)) else {
                return;
            };
            self.held.remove(&oldest.hash);
        }
    }

    pub(super) fn held(&self, generation: &Generation) -> Option<&HeldKey> {
        self.held
            .get(&generation.hash)
            .filter(|held| held.keys.generation() == *generation)
    }

    /// All that are held, the most current first.
    pub(super) fn all_held(&self) -> Vec<&HeldKey> {
        let mut held: Vec<&HeldKey> = self.held.values().collect();
        held.sort_by(|a, b| b.keys.generation().cmp_currency(&a.keys.generation()));
        held
    }

    /// Notes whom an operation carried over, if it isn't known; the caller has checked them against the operation, and prunes.
    pub(super) fn carry(&mut self, operation: OperationHash, carried: Carried) {
        let known = self.carried.entry(operation).or_insert_with(|| {
            self.version += 1;
            carried.clone()
        });
        if known.by.is_none() && carried.by.is_some() {
            known.by = carried.by;
            self.version += 1;
        }
    }

    /// Forgets the least current of what is kept of generations, so that it stays bounded; never of one that is held, nor of the one that
    /// was just `added`: it is about to be. `generation` says which one an operation makes.
    pub(super) fn prune(
        &mut self,
        added: Option<&OperationHash>,
        generation: impl Fn(&OperationHash) -> Option<Generation>,
    ) {
        let current = self.all_held().first().map(|held| held.keys.generation().hash);
        let least = |among: Vec<OperationHash>| {
            // An operation that isn't known any more goes first.
            let ranked = among.into_iter().map(|hash| (generation(&hash), hash));
            ranked.min_by(|(a, _), (b, _)| match (a, b) {
                (Some(a), Some(b)) => a.cmp_currency(b),
                _ => a.is_some().cmp(&b.is_some()),
            })
        };
        let others = |hash: &&OperationHash| Some(*hash) != added && Some(**hash) != current;
        while self.carried.len() > MAX_CARRIED {
            let unheld = self.carried.keys().filter(others);
            let unheld = unheld.filter(|hash| !self.held.contains_key(*hash)).copied().collect();
            let Some((_, gone)) = least(unheld) else { break };
            self.carried.remove(&gone);
            self.version += 1;
        }
        while self.objects.len() > MAX_OBJECTS {
            let Some((_, gone)) = least(self.objects.keys().filter(others).copied().collect()) else {
                break;
            };
            self.objects.remove(&gone);
            self.version += 1;
        }
    }

    pub(super) fn all_carried(&self) -> impl Iterator<Item = (&OperationHash, &Carried)> {
        self.carried.iter()
    }

    pub(super) fn carried(&self, operation: &OperationHash) -> Option<&Carried> {
        self.carried.get(operation)
    }

    pub(super) fn keep_object(&mut self, operation: OperationHash, object: Arc<UnverifiedObject>) {
        self.version += 1;
        self.wanted.remove(&operation);
        self.objects.insert(operation, object);
    }

    /// Somebody issued an object of this operation with a box for us that is bad.
    pub(super) fn note_cheat(&mut self, operation: OperationHash, issuer: IdentityKey) {
        self.cheats.push_back((operation, issuer));
        if self.cheats.len() > MAX_CHEATS {
            self.cheats.pop_front();
        }
    }

    /// Whether an issuer did that.
    pub(super) fn cheated(&self, operation: &OperationHash, issuer: &IdentityKey) -> bool {
        self.cheats.iter().any(|(of, by)| of == operation && by == issuer)
    }

    pub(super) fn object(&self, operation: &OperationHash) -> Option<&Arc<UnverifiedObject>> {
        self.objects.get(operation)
    }

    /// When the next object is asked for.
    pub(super) fn next_ask(&self) -> Option<Duration> {
        self.wanted.values().map(|wanted| wanted.next_ask).min()
    }

    /// An object is to be looked for, unless too many are.
    pub(super) fn want(&mut self, operation: OperationHash, elapsed: Duration) {
        if self.wanted.len() < MAX_WANTED_OBJECTS || self.wanted.contains_key(&operation) {
            self.wanted.entry(operation).or_insert(Wanted {
                next_ask: elapsed,
                refused: BTreeSet::new(),
                misled: BTreeSet::new(),
                since: elapsed,
            });
        }
    }
}
