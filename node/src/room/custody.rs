//! Boxes of others: who keeps them, and how they get to those who aren't linked with anybody that does (docs/PROTOCOL.md, "Epochs").
//!
//! An issuer's boxes lie with it and with the custodians it names. In a small room everybody is linked with one of them. In a larger one
//! members have links to a few others only, so those who are linked with few custodians become one, and whoever is asked for a box that
//! it lacks goes and looks for it: without that, members a few links away from all custodians would never get into an epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::seq::SliceRandom;
use snug_crypto::bounds::MAX_INLINE_MEMBERS;
use snug_crypto::direct::DirectRequest;
use snug_crypto::epoch::SealedBox;
use snug_crypto::ids::{EpochId, LeafId, PeerKey};

use super::exchange::Question;
use super::timing::{
    BOX_RETRY, CUSTODIANS_WANTED, CUSTODY_RETRY, CUSTODY_RETRY_MAX, MAX_SEARCHES, SEARCH_REST, SEARCH_TRIES, WAY_TRIES,
    way_retry,
};
use super::{Now, Phase, Room};

/// Our copying of an epoch's boxes for others, and the boxes that we look for because we were asked.
#[derive(Default)]
pub(super) struct Custody {
    epoch: Option<EpochId>,
    next: Duration,
    wait: Duration,
    /// Boxes that the source of this turn has given.
    skip: u32,
    /// Which of the sources is asked.
    turn: usize,
    searches: BTreeMap<(EpochId, LeafId), Search>,
}

/// A box that somebody asked us for, and that we lack.
struct Search {
    /// Who has it, or looks for it nearer to its issuer: asked in turn, again and again, [`WAY_TRIES`] times.
    ways: Vec<PeerKey>,
    /// How often one of them was asked.
    tries: u32,
    /// Whom to ask then, the last one first.
    sources: Vec<PeerKey>,
    /// When the next one is asked; when there is none any more, until when it isn't looked for again.
    next: Duration,
}

impl Search {
    /// Who is asked now, and when the next one is; `None` once all were.
    fn turn(&mut self, elapsed: Duration) -> Option<PeerKey> {
        let way = self.ways.get(self.tries as usize % self.ways.len().max(1)).copied();
        if let Some(way) = way.filter(|_| self.tries < WAY_TRIES) {
            self.next = elapsed + way_retry(self.tries);
            self.tries += 1;
            return Some(way);
        }
        let next = self.sources.pop();
        self.next = elapsed + BOX_RETRY;
        next
    }

    fn rests(&self) -> bool {
        self.sources.is_empty() && (self.ways.is_empty() || self.tries >= WAY_TRIES)
    }
}

impl Custody {
    pub(super) fn next_wake(&self, elapsed: Duration) -> Option<Duration> {
        let copying = self
            .epoch
            .map(|_| self.next)
            .filter(|next| *next > elapsed && *next < Duration::MAX);
        let searching = self.searches.values().map(|search| search.next).min();
        copying.into_iter().chain(searching).min()
    }
}

impl Room {
    /// Copies all boxes of the best epoch where we are a custodian, or where too few custodians are near.
    pub(super) fn take_custody(&mut self, best: Option<EpochId>, now: Now) {
        self.search_on(now);
        let (Some(id), Some(mine)) = (best, self.own.leaf_id()) else {
            return;
        };
        if self.custody.epoch != Some(id) {
            self.custody = Custody {
                epoch: Some(id),
                next: now.elapsed,
                wait: CUSTODY_RETRY,
                searches: std::mem::take(&mut self.custody.searches),
                ..Custody::default()
            };
            // What wasn't found of an epoch before isn't looked for any more; in a room that fills it would leave no place for what is.
            self.custody
                .searches
                .retain(|(epoch, _), search| *epoch == id || !search.rests());
        }
        if now.elapsed < self.custody.next || !self.epochs.holds(&id) || self.questions.asking_boxes(&id) {
            return;
        }
        let Some(known) = self.epochs.known(&id) else { return };
        let header = known.announcement.header();
        if known.boxes.len() >= known.announcement.members().len() {
            self.custody.next = Duration::MAX;
            return;
        }
        let others = header.custodians.iter().filter(|leaf| **leaf != mine);
        let others = others.filter_map(|leaf| self.members.leaf(leaf));
        let (mut here, mut linked) = (0, 0);
        for leaf in others {
            here += usize::from(self.members.present(leaf, now.elapsed));
            linked += usize::from(self.members.linked(&leaf.peer()));
        }
        // Of a large epoch all boxes are more than everybody should copy: those who lack theirs are searched for one by one.
        let is_small = known.announcement.members().len() <= MAX_INLINE_MEMBERS;
        let near = if is_small { linked } else { here };
        let needed = header.custodians.contains(&mine) || near < CUSTODIANS_WANTED;
        let sources = self.custodians_linked(&id);
        self.custody.next = now.elapsed + self.custody.wait;
        self.custody.wait = (self.custody.wait * 2).min(CUSTODY_RETRY_MAX);
        if let (true, Some(to)) = (needed, sources.get(self.custody.turn % sources.len().max(1))) {
            let request = DirectRequest::Boxes {
                epoch: id,
                skip: self.custody.skip,
            };
            self.ask(*to, request, Question::Boxes { epoch: id });
        }
    }

    /// An epoch's issuer and custodians, as far as we are linked with them; the issuer first.
    fn custodians_linked(&self, id: &EpochId) -> Vec<PeerKey> {
        let Some(known) = self.epochs.known(id) else {
            return Vec::new();
        };
        let header = known.announcement.header();
        std::iter::once(&header.issuer)
            .chain(header.custodians.iter().filter(|leaf| **leaf != header.issuer))
            .filter_map(|leaf| Some(self.members.leaf(leaf)?.peer()))
            .filter(|peer| self.members.linked(peer))
            .collect()
    }

    /// Boxes for our custody; each is checked against the root that the issuer signed. As long as new ones come we go on at once; else
    /// the next source is asked, from the beginning, after a growing wait.
    pub(super) fn on_boxes(&mut self, id: EpochId, boxes: Vec<SealedBox>, now: Now) {
        let count = boxes.len();
        let mut progress = false;
        for sealed in &boxes {
            progress |= self.keep_box(id, sealed);
        }
        if self.custody.epoch == Some(id) {
            if progress {
                self.custody.skip = self
                    .custody
                    .skip
                    .saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
                self.custody.wait = CUSTODY_RETRY;
                self.custody.next = now.elapsed;
            } else {
                self.custody.skip = 0;
                self.custody.turn += 1;
            }
        }
    }

    /// Keeps a box for others if it is what the issuer signed; says whether it was new.
    pub(super) fn keep_box(&mut self, id: EpochId, sealed: &SealedBox) -> bool {
        self.custody.searches.remove(&(id, sealed.leaf));
        let Some(known) = self.epochs.known_mut(&id) else {
            return false;
        };
        let is_new = !known.boxes.contains_key(&sealed.leaf) && sealed.is_of(&known.announcement);
        if is_new {
            known.boxes.insert(sealed.leaf, sealed.clone());
        }
        is_new
    }

    /// The box that a peer asks for. One that we lack we look for, and the peer asks again.
    pub(super) fn answer_box(&mut self, epoch: EpochId, leaf: LeafId, from: PeerKey, now: Now) -> Option<SealedBox> {
        let known = self.epochs.known(&epoch)?;
        let found = known.boxes.get(&leaf).cloned();
        let is_ours = self.own.leaf_id() == Some(leaf);
        let wanted = (epoch, leaf);
        let is_sought = !is_ours && known.lists(&leaf) && !self.custody.searches.contains_key(&wanted);
        // Before we are in, nothing tends to it.
        if found.is_none() && is_sought && self.phase == Phase::In && self.custody.searches.len() < MAX_SEARCHES {
            let search = self.search_for(&wanted, from, now);
            self.custody.searches.insert(wanted, search);
        }
        found
    }

    /// How to look for another's box: with the custodians, and with the link that told us of the epoch, which is nearer to its issuer; then, on its
    /// owner's behalf, with any link. Who is asked on somebody's behalf only looks where it should be, or all members would ask each other
    /// for a box that nobody has.
    fn search_for(&mut self, (epoch, leaf): &(EpochId, LeafId), from: PeerKey, now: Now) -> Search {
        let owner = self.members.leaf(leaf).map(|leaf| leaf.peer());
        let mut ways = self.custodians_linked(epoch);
        if let Some(nearer) = self.way_to(epoch).filter(|peer| !ways.contains(peer)) {
            // After the issuer, if that is linked, there's none better.
            ways.insert(ways.len().min(1), nearer);
        }
        ways.retain(|peer| *peer != from && Some(*peer) != owner);
        let mut sources: Vec<PeerKey> = Vec::new();
        if owner == Some(from) {
            let others = |peer: &&PeerKey| **peer != from && !ways.contains(peer);
            sources.extend(self.members.links().filter(others));
            sources.shuffle(&mut self.rng);
            sources.truncate(SEARCH_TRIES);
        }
        Search {
            ways,
            tries: 0,
            sources,
            next: now.elapsed,
        }
    }

    /// The link that told us of an epoch first, while it stands.
    pub(super) fn way_to(&self, id: &EpochId) -> Option<PeerKey> {
        self.epochs.known(id)?.from.filter(|peer| self.members.linked(peer))
    }

    /// Asks for the boxes that others asked us for, one link after the other.
    fn search_on(&mut self, now: Now) {
        let mut due = Vec::new();
        self.custody.searches.retain(|wanted, search| {
            if search.next > now.elapsed {
                return true;
            }
            if search.rests() {
                return false;
            }
            due.extend(search.turn(now.elapsed).map(|to| (*wanted, to)));
            if search.rests() {
                search.next = now.elapsed + SEARCH_REST;
            }
            true
        });
        for ((epoch, leaf), to) in due {
            self.ask(to, DirectRequest::Box { epoch, leaf }, Question::BoxForOther { epoch });
        }
    }
}
