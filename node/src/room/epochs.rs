//! Epochs: which are announced, which we hold the keys of, which one counts (docs/PROTOCOL.md, "Epochs").
//!
//! There is no server that orders them. Members that know the same announcements and the same roster pick the same best epoch,
//! because the order is total: coverage of the roster, then round, then the lowest id.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use snug_crypto::bounds::MAX_ROUND_AHEAD_DAYS;
use snug_crypto::epoch::{Announcement, Round, SealedBox};
use snug_crypto::frame::Epoch;
use snug_crypto::generation::Generation;
use snug_crypto::ids::{EpochId, FrameTag, IdentityKey, LeafId, PeerKey};

use super::members::{Members, Roster};
use super::timing::{MAX_ANNOUNCEMENTS, MAX_ANNOUNCEMENTS_PER_ISSUER, MAX_GRAVES, MAX_HELD_EPOCHS};

/// An announced epoch, its issuer's signature verified.
pub(super) struct Known {
    pub(super) announcement: Announcement,
    /// Boxes we keep for others: all of them where we are custodian or issuer.
    pub(super) boxes: BTreeMap<LeafId, SealedBox>,
    /// Since when we know it.
    pub(super) since: Duration,
    /// The link that told us of it first. From link to link that leads to its issuer, never in a circle: each heard of it before the next.
    pub(super) from: Option<PeerKey>,
}

impl Known {
    pub(super) fn lists(&self, leaf: &LeafId) -> bool {
        self.announcement.member(leaf).is_some()
    }
}

/// An epoch whose keys we have.
pub(super) struct Held {
    pub(super) epoch: Epoch,
    pub(super) since: Duration,
    /// When it was the best one last, or the one that we sent under: an old one is that again when the roster is what it was.
    used: Duration,
    /// When it was of use last in any way.
    heard: Duration,
}

/// How a candidate ranks: greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    coverage: usize,
    round: Round,
    id: Reverse<EpochId>,
}

/// All epochs of a room that this member knows.
#[derive(Default)]
pub(super) struct Epochs {
    known: BTreeMap<EpochId, Known>,
    held: BTreeMap<EpochId, Held>,
    tags: HashMap<FrameTag, EpochId>,
    /// Disqualified by a proven fault, or erased for good.
    dead: BTreeSet<EpochId>,
    /// The order in which they died, to bound the set.
    graves: VecDeque<EpochId>,
    /// Rises with every change, so that judgements can be kept until then.
    version: u64,
    /// Rises when an epoch is held from now on, or is no longer known.
    held_version: u64,
}

impl Standing {
    pub(super) fn epoch(&self) -> EpochId {
        self.id.0
    }
}

impl Epochs {
    /// Adds a verified announcement, unless it is known, or dead.
    pub(super) fn add(&mut self, announcement: Announcement, elapsed: Duration) {
        let id = announcement.epoch_id();
        if !self.is_known(&id) {
            self.known.insert(
                id,
                Known {
                    announcement,
                    boxes: BTreeMap::new(),
                    since: elapsed,
                    from: None,
                },
            );
            self.version += 1;
        }
    }

    /// Whether an announcement was seen before: it may be dead by now, and is never taken up again then.
    pub(super) fn is_known(&self, id: &EpochId) -> bool {
        self.known.contains_key(id) || self.dead.contains(id)
    }

    /// Notes who told us of an announcement, if nobody is noted yet.
    pub(super) fn heard_from(&mut self, id: &EpochId, from: PeerKey) {
        if let Some(known) = self.known.get_mut(id) {
            known.from.get_or_insert(from);
        }
    }

    pub(super) fn hold(&mut self, epoch: Epoch, elapsed: Duration) {
        let id = epoch.id();
        self.tags.insert(epoch.tag(), id);
        self.held.insert(
            id,
            Held {
                epoch,
                since: elapsed,
                used: elapsed,
                heard: elapsed,
            },
        );
        self.version += 1;
        self.held_version += 1;
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn held_version(&self) -> u64 {
        self.held_version
    }

    /// A proven fault of the issuer: the epoch is no candidate for us, ever.
    pub(super) fn disqualify(&mut self, id: EpochId) {
        self.forget(id);
    }

    fn forget(&mut self, id: EpochId) {
        self.known.remove(&id);
        if let Some(held) = self.held.remove(&id) {
            self.tags.remove(&held.epoch.tag());
        }
        self.version += 1;
        self.held_version += 1;
        if self.dead.insert(id) {
            self.graves.push_back(id);
        }
        while self.graves.len() > MAX_GRAVES {
            if let Some(oldest) = self.graves.pop_front() {
                self.dead.remove(&oldest);
            }
        }
    }

    pub(super) fn known(&self, id: &EpochId) -> Option<&Known> {
        self.known.get(id)
    }

    /// Whether an epoch that we are in holds nobody else.
    pub(super) fn is_ours_alone(&self, id: &EpochId) -> bool {
        self.known(id)
            .is_some_and(|known| known.announcement.members().len() == 1)
    }

    pub(super) fn known_mut(&mut self, id: &EpochId) -> Option<&mut Known> {
        self.known.get_mut(id)
    }

    pub(super) fn announcements(&self) -> impl Iterator<Item = (&EpochId, &Known)> {
        self.known.iter()
    }

    pub(super) fn holds(&self, id: &EpochId) -> bool {
        self.held.contains_key(id)
    }

    pub(super) fn held_mut(&mut self, id: &EpochId) -> Option<&mut Epoch> {
        self.held.get_mut(id).map(|held| &mut held.epoch)
    }

    pub(super) fn held_epoch(&self, id: &EpochId) -> Option<&Epoch> {
        self.held.get(id).map(|held| &held.epoch)
    }

    pub(super) fn all_held(&self) -> impl Iterator<Item = (&EpochId, &Held)> {
        self.held.iter()
    }

    /// Ids of epochs that are dead, oldest first.
    pub(super) fn graves(&self) -> impl Iterator<Item = &EpochId> {
        self.graves.iter()
    }

    /// Takes up the id of an epoch that is dead.
    pub(super) fn restore_grave(&mut self, id: EpochId) {
        if self.dead.insert(id) {
            self.graves.push_back(id);
        }
    }

    pub(super) fn by_tag(&self, tag: &FrameTag) -> Option<EpochId> {
        self.tags.get(tag).copied()
    }

    /// It is the best one, or the one to send under.
    pub(super) fn is_used(&mut self, id: &EpochId, elapsed: Duration) {
        if let Some(held) = self.held.get_mut(id) {
            held.used = elapsed;
            held.heard = elapsed;
        }
    }

    /// A frame of it came, or is named as something that others saw.
    pub(super) fn is_heard_of(&mut self, id: &EpochId, elapsed: Duration) {
        if let Some(held) = self.held.get_mut(id) {
            held.heard = elapsed;
        }
    }

    /// The epochs held that were of use last, at most `count`, the latest first: not those that we have for the shortest time, as members may
    /// go back to one that they had long before.
    pub(super) fn latest_held(&self, count: usize) -> Vec<EpochId> {
        let held = self.held.iter().map(|(id, held)| (held.heard, held.since, *id));
        let mut held: Vec<(Duration, Duration, EpochId)> = held.collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.into_iter().take(count).map(|(.., id)| id).collect()
    }

    /// Leaves that the epochs we keep name.
    pub(super) fn named_leaves(&self) -> BTreeSet<LeafId> {
        self.known
            .values()
            .flat_map(|known| {
                let issuer = std::iter::once(known.announcement.header().issuer);
                issuer.chain(known.announcement.members().iter().map(|member| member.leaf))
            })
            .collect()
    }

    /// The KEM keys, by hash, that boxes we may still ask for are sealed to.
    pub(super) fn wanted_kem_hashes(&self, leaf: &LeafId) -> BTreeSet<[u8; 32]> {
        self.known
            .iter()
            .filter(|(id, _)| !self.held.contains_key(*id))
            .filter_map(|(_, known)| known.announcement.member(leaf))
            .map(|(_, member)| member.kem_hash)
            .collect()
    }

    /// Whether we hold an epoch whose box for `leaf` was sealed to this KEM key.
    pub(super) fn holds_boxed_to(&self, leaf: &LeafId, kem_hash: &[u8; 32]) -> bool {
        self.held
            .keys()
            .filter_map(|id| self.known.get(id)?.announcement.member(leaf))
            .any(|(_, member)| member.kem_hash == *kem_hash)
    }

    /// A candidate's standing: `None` when it is none (another generation, a member who is not on the roster, a far future).
    pub(super) fn standing(&self, id: &EpochId, view: &View<'_>) -> Option<Standing> {
        let announcement = &self.known.get(id)?.announcement;
        let header = announcement.header();
        if header.generation != view.generation || header.round.day > view.today.saturating_add(MAX_ROUND_AHEAD_DAYS) {
            return None;
        }
        let mut coverage = 0;
        for member in announcement.members() {
            if view.current.contains(&member.leaf) {
                coverage += 1;
                continue;
            }
            // Superseded, which costs it nothing but rank, or not on the roster.
            let identity = view.members.leaf(&member.leaf)?.identity();
            view.roster.get(&identity)?;
            coverage += usize::from(view.by_identity);
        }
        Some(Standing {
            coverage,
            round: header.round,
            id: Reverse(*id),
        })
    }

    /// The greatest announced candidate, and the greatest that we hold and that contains `leaf`: the one to send under.
    pub(super) fn rank(&self, view: &View<'_>, leaf: Option<&LeafId>) -> (Option<Standing>, Option<Standing>) {
        let (mut best, mut send): (Option<Standing>, Option<Standing>) = (None, None);
        // The largest first. One of fewer members than are covered already can't rank above: in a room that fills, most needn't be looked at.
        let mut largest: Vec<(&EpochId, &Known)> = self.known.iter().collect();
        largest.sort_by_key(|(_, known)| Reverse(known.announcement.members().len()));
        for (id, known) in largest {
            let members = known.announcement.members().len();
            let may_rank = |above: &Option<Standing>| above.is_none_or(|above| members >= above.coverage);
            let may_send = self.held.contains_key(id) && leaf.is_some_and(|leaf| known.lists(leaf));
            if !(may_rank(&best) || may_send && may_rank(&send)) {
                continue;
            }
            let Some(standing) = self.standing(id, view) else {
                continue;
            };
            best = best.max(Some(standing));
            if may_send {
                send = send.max(Some(standing));
            }
        }
        (best, send)
    }

    /// Whether an epoch holds exactly the roster, every incarnation current, in today's round or a later one.
    pub(super) fn exact(&self, standing: &Standing, view: &View<'_>) -> bool {
        let members = self
            .known
            .get(&standing.id.0)
            .map_or(0, |known| known.announcement.members().len());
        standing.coverage == view.roster.len() && members == standing.coverage && standing.round.day >= view.today
    }

    /// Whether more is kept than should be.
    pub(super) fn is_crowded(&self) -> bool {
        self.known.len() > MAX_ANNOUNCEMENTS || self.held.len() > MAX_HELD_EPOCHS
    }

    /// Whether more of one issuer may be kept than should be: what ranks them is asked only then.
    fn is_crowded_by_one(&self, members: &Members) -> bool {
        let mut by_issuer: BTreeMap<IdentityKey, usize> = BTreeMap::new();
        let issuers = self
            .known
            .values()
            .filter_map(|known| members.leaf(&known.announcement.header().issuer));
        issuers.into_iter().any(|leaf| {
            let count = by_issuer.entry(leaf.identity()).or_default();
            *count += 1;
            *count > MAX_ANNOUNCEMENTS_PER_ISSUER
        })
    }

    /// Keeps the store bounded: drops the worst-standing announcements, and epochs held beyond the retention.
    pub(super) fn prune(&mut self, view: &View<'_>, elapsed: Duration, retention: Duration, keep: &[Option<EpochId>]) {
        let kept = |id: &EpochId| keep.contains(&Some(*id));
        let aged: Vec<EpochId> = self
            .known
            .iter()
            .filter(|(id, known)| {
                let since = self
                    .held
                    .get(*id)
                    .map_or(known.since, |held| held.used.max(known.since));
                !kept(id) && elapsed.saturating_sub(since) > retention
            })
            .map(|(id, _)| *id)
            .collect();
        for id in aged {
            self.forget(id);
        }
        if !self.is_crowded() && !self.is_crowded_by_one(view.members) {
            return;
        }
        let mut by_issuer: BTreeMap<IdentityKey, usize> = BTreeMap::new();
        let mut order: Vec<(bool, Option<Standing>, Duration, EpochId)> = self
            .known
            .iter()
            .map(|(id, known)| (kept(id), self.standing(id, view), known.since, *id))
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let mut total = 0;
        let mut held = 0;
        for (keep, _, _, id) in order {
            let issuer = self
                .known
                .get(&id)
                .and_then(|known| view.members.leaf(&known.announcement.header().issuer))
                .map(|leaf| leaf.identity());
            let of_issuer = issuer.map(|identity| {
                let count = by_issuer.entry(identity).or_default();
                *count += 1;
                *count
            });
            total += 1;
            let is_held = self.held.contains_key(&id);
            held += usize::from(is_held);
            let too_many = total > MAX_ANNOUNCEMENTS
                || held > MAX_HELD_EPOCHS
                || (!is_held && of_issuer.is_some_and(|count| count > MAX_ANNOUNCEMENTS_PER_ISSUER));
            if too_many && !keep {
                self.forget(id);
            }
        }
    }
}

impl<'a> View<'a> {
    pub(super) fn new(members: &'a Members, roster: &'a Roster<'a>, generation: Generation, today: u32) -> Self {
        Self {
            members,
            roster,
            current: roster.values().map(|leaf| leaf.id()).collect(),
            generation,
            today,
            by_identity: false,
        }
    }
}

/// What a judgement of epochs depends on.
pub(super) struct View<'a> {
    pub(super) members: &'a Members,
    pub(super) roster: &'a Roster<'a>,
    /// The leaves on it: asked for each member of each epoch.
    pub(super) current: HashSet<LeafId>,
    pub(super) generation: Generation,
    /// Days since 1970.
    pub(super) today: u32,
    /// Whether any leaf of an identity will do: never, but where a test breaks that rule.
    pub(super) by_identity: bool,
}
