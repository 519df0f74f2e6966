//! Reading what was sent while we were away: boxes of every epoch that lists us, then the frames of each (docs/PROTOCOL.md, "Coming back").
//!
//! The best epoch has its own search, which may end in a new incarnation. This is for the others: what can't be had is let go.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use snug_crypto::direct::DirectRequest;
use snug_crypto::ids::{EpochId, LeafId, PeerKey};

use crate::room::exchange::Question;
use crate::room::timing::SYNC_EPOCHS;
use crate::room::{Now, Phase, Room};

/// Questions under way at once.
const AT_ONCE: usize = 4;
/// A new epoch is left to the search for the best one for so long.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two questions for one box; doubled each time.
const RETRY: Duration = Duration::from_millis(500);
/// Then nobody has it.
const TRIES: u32 = 8;
/// Who comes back waits so long at most for the first link's word before it shows what names parents it can't place.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// So long it takes at most to hear of the epochs of a generation whose keys are new to us.
const EPOCHS_FOLLOW: Duration = Duration::from_secs(3);

/// The search for boxes of epochs that aren't the best.
#[derive(Default)]
pub(in crate::room) struct CatchUp {
    asked: BTreeMap<EpochId, Asked>,
    /// Since when we are back.
    back: Option<Duration>,
    /// Whether a link has told us what it has of our own frames: only then it is sure that what we took up is not an old copy.
    confirmed: bool,
    next: Option<Duration>,
    /// When we got the keys of a generation that had passed us by.
    learnt: Option<Duration>,
    /// What is missing, as it was found in which state: of a large room's epochs that is not asked with each message.
    found: Option<(FoundIn, Vec<(EpochId, Duration)>)>,
}

/// What the missing epochs depend on: the versions of epochs known and held, the best one, our leaf, generations and the log.
type FoundIn = (u64, u64, Option<EpochId>, LeafId, u64, u64);

struct Asked {
    tries: u32,
    next: Duration,
}

impl CatchUp {
    /// We are back, and don't know yet what happened.
    pub(in crate::room) fn begin(&mut self, elapsed: Duration) {
        self.back = Some(elapsed);
    }

    /// Whether we were away before this run.
    pub(in crate::room) fn is_back(&self) -> bool {
        self.back.is_some()
    }

    /// Somebody told us what we lack.
    pub(in crate::room) fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// Whether our state may be an old copy: then its counters were used, and nothing is sealed under them.
    pub(in crate::room) fn is_in_doubt(&self) -> bool {
        self.back.is_some() && !self.confirmed
    }

    /// We have the keys of a generation that had passed us by, and don't know its epochs yet.
    pub(in crate::room) fn learnt(&mut self, elapsed: Duration) {
        self.learnt = Some(elapsed);
    }

    pub(in crate::room) fn next_wake(&self) -> Option<Duration> {
        self.next
    }

    /// How many epochs list us that nobody gives us the keys of: all who were asked had their time.
    pub(in crate::room) fn given_up(&self, now: Now) -> usize {
        let is_over = |asked: &&Asked| asked.tries >= TRIES && asked.next <= now.elapsed;
        self.asked.values().filter(is_over).count()
    }
}

impl Room {
    /// Asks for boxes that we lack of epochs that list us.
    pub(in crate::room) fn catch_up(&mut self, best: Option<EpochId>, now: Now) {
        self.catching_up.next = None;
        if self.phase != Phase::In || self.members.links().next().is_none() {
            return;
        }
        let missing = self.missing_epochs(best, now);
        self.catching_up
            .asked
            .retain(|id, _| missing.iter().any(|(missing, _)| missing == id));
        let mut under_way = 0;
        for (id, since) in missing {
            if under_way >= AT_ONCE {
                break;
            }
            let asked = self.catching_up.asked.entry(id).or_insert(Asked {
                tries: 0,
                next: since + PATIENCE,
            });
            if asked.tries >= TRIES {
                continue;
            }
            under_way += 1;
            if asked.next > now.elapsed {
                let next = asked.next;
                self.catching_up.next = Some(self.catching_up.next.map_or(next, |other| other.min(next)));
                continue;
            }
            let turn = asked.tries;
            asked.tries += 1;
            asked.next = now.elapsed + RETRY * (1 << turn.min(6));
            let next = asked.next;
            self.catching_up.next = Some(self.catching_up.next.map_or(next, |other| other.min(next)));
            if let (Some(to), Some(leaf)) = (self.source_of(&id, turn), self.own.leaf_id()) {
                self.ask(
                    to,
                    DirectRequest::Box { epoch: id, leaf },
                    Question::Box { epoch: id, to },
                );
            }
        }
    }

    /// Whether epochs may be missing whose frames others name as parents.
    pub(in crate::room) fn is_catching_up(&self, now: Now) -> bool {
        let waits = |back: Duration| !self.own.is_synced() && now.elapsed.saturating_sub(back) < FIRST_WORD;
        let follow = |learnt: Duration| now.elapsed.saturating_sub(learnt) < EPOCHS_FOLLOW;
        self.catching_up.back.is_some_and(waits)
            || self.catching_up.learnt.is_some_and(follow)
            || self.catching_up.asked.values().any(|asked| asked.tries < TRIES)
    }

    /// Epochs that list us and that we don't hold, oldest first.
    fn missing_epochs(&mut self, best: Option<EpochId>, now: Now) -> Vec<(EpochId, Duration)> {
        let Some(mine) = self.own.leaf_id() else {
            return Vec::new();
        };
        let (known, held) = (self.epochs.version(), self.epochs.held_version());
        let (generations, log) = (self.generations.version(), self.authority.version());
        let state: FoundIn = (known, held, best, mine, generations, log);
        let mut missing = match &self.catching_up.found {
            Some((found_in, missing)) if *found_in == state => missing.clone(),
            _ => {
                let missing = self.find_missing(best, mine);
                self.catching_up.found = Some((state, missing.clone()));
                missing
            }
        };
        let tried = |id: &EpochId| self.catching_up.asked.get(id).is_some_and(|asked| asked.tries >= TRIES);
        missing.sort_by_key(|(id, since)| (tried(id), *since > now.elapsed));
        missing
    }

    fn find_missing(&self, best: Option<EpochId>, mine: LeafId) -> Vec<(EpochId, Duration)> {
        let mut missing: Vec<(EpochId, Duration)> = self
            .epochs
            .announcements()
            .filter(|(id, _)| Some(**id) != best && !self.epochs.holds(id))
            // Somebody who was away may have boxed it to a KEM key that we have no more: asking doesn't help.
            .filter(|(_, known)| {
                let entry = known.announcement.member(&mine);
                entry.is_some_and(|(_, entry)| self.own.kem(&entry.kem_hash).is_some())
            })
            // Of whichever generation: its boxes open under its own keys, or bring them.
            .filter(|(_, known)| {
                let header = known.announcement.header();
                self.generations.held(&header.generation).is_some() || self.brings_keys(header)
            })
            .map(|(id, known)| (*id, known.since))
            .collect();
        missing.sort_unstable_by_key(|(id, since)| (*since, *id));
        missing
    }

    /// The issuer and the custodians in turn, as far as they are here; then anybody.
    fn source_of(&mut self, id: &EpochId, turn: u32) -> Option<PeerKey> {
        let header = self.epochs.known(id)?.announcement.header();
        let likely: Vec<PeerKey> = std::iter::once(&header.issuer)
            .chain(header.custodians.iter().filter(|leaf| **leaf != header.issuer))
            .filter_map(|leaf| Some(self.members.leaf(leaf)?.peer()))
            .filter(|peer| self.members.linked(peer))
            .collect();
        if let Some(peer) = likely.get(turn as usize) {
            return Some(*peer);
        }
        let links: Vec<PeerKey> = self.members.links().copied().collect();
        (!links.is_empty()).then(|| links[self.rng.random_range(0..links.len())])
    }

    /// Asks a link for what it has of certain epochs beyond what we have, a few at a time.
    pub(in crate::room) fn ask_frames_of(&mut self, epochs: &[EpochId], to: PeerKey) {
        for some in epochs.chunks(SYNC_EPOCHS) {
            let have = some.iter().map(|id| self.delivery.vector(*id)).collect();
            self.ask(to, DirectRequest::Frames { have }, Question::Frames { to });
        }
    }

    /// What a link has that we lack, of all epochs that are held: while we were out of touch others may have used any of them.
    pub(in crate::room) fn ask_all_frames(&mut self, to: PeerKey) {
        self.ask_frames(to);
        let mut older = self.epochs.latest_held(usize::MAX);
        older.drain(..older.len().min(SYNC_EPOCHS));
        older.reverse();
        self.ask_frames_of(&older, to);
    }
}
