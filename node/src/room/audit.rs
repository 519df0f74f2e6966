//! The transcript check: which messages are missing, which are named by others and given by nobody, and who told members different things
//! (docs/PROTOCOL.md, "Transcript check").
//!
//! Counters show what is missing of a sender's own chain, parents what others saw of it. A frame that is named and not here is asked for by
//! name: its *statement*, which whoever opened it keeps, says whose it is and proves it. A statement at a place where we opened another frame
//! proves that its sender told members different things.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IteratorRandom as _;
use snug_crypto::bounds::MAX_STATEMENTS;
use snug_crypto::direct::{DirectReply, DirectRequest};
use snug_crypto::frame::{Statement, UnverifiedStatement};
use snug_crypto::ids::{EpochId, FrameHash, IdentityKey, LeafId, PeerKey};

use super::delivery::FrameKey;
use super::exchange::Question;
use super::timing::{AUDIT_ASK, AUDIT_ASK_MAX, AUDIT_PATIENCE, CAUSAL_HOLD, GAP_TOLD};
use super::{MemberView, Now, Output, Phase, Room, RoomEvent, Ticket, Warning};
use crate::text::Untrusted;

/// Statements kept for others: those of the newest frames. Each has at most 484 bytes.
const MAX_STATED: usize = 2_048;
/// Frames remembered that are named and not here; beyond, the oldest of whoever named most are taken for lost, and counted.
const MAX_UNMET: usize = 256;
/// Forks remembered of one member: each proves all that there is to know of its author.
const MAX_FORKS_OF_ONE: usize = 4;
/// Forks remembered of a room, of some hundred bytes each.
const MAX_FORKS: usize = 4_096;
/// Links asked for what they saw last, when the user asks for a report.
const MAX_ASKED: usize = 8;

/// What is known of the transcript beyond what was shown.
#[derive(Default)]
pub(super) struct Audit {
    stated: BTreeMap<FrameHash, Statement>,
    order: VecDeque<FrameHash>,
    unmet: BTreeMap<FrameHash, Unmet>,
    /// Named frames that were forgotten because there were too many.
    overflown: u64,
    forks: BTreeMap<(IdentityKey, EpochId, u64), Fork>,
    /// Forks that are not written yet.
    fresh: Vec<(IdentityKey, EpochId, u64)>,
    /// Gaps that were seen, since when, and how many missing frames the user was told of.
    gaps: BTreeMap<LeafId, (Duration, u64)>,
    next_look: Option<Duration>,
    next_ask: Duration,
    ask_wait: Duration,
    /// The links that were asked already, until all were.
    asked: BTreeSet<PeerKey>,
    running: Option<Running>,
}

/// A frame that others name as seen.
struct Unmet {
    named_by: LeafId,
    /// Who that is, in whatever incarnation.
    namer: Option<IdentityKey>,
    since: Duration,
    since_ms: u64,
    /// Whose it is, and where in their chain, if somebody stated that.
    author: Option<(EpochId, LeafId, u64)>,
}

/// A sender gave two frames one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The epoch.
    pub epoch: EpochId,
    /// The place in the sender's chain.
    pub counter: u64,
    /// The frame that we were given, and the one that others were.
    pub frames: [FrameHash; 2],
    /// When we found it, milliseconds since 1970.
    pub at_ms: u64,
}

/// A report that the user waits for.
struct Running {
    ticket: Ticket,
    until: Duration,
    asked: usize,
    answered: usize,
    waiting: BTreeSet<PeerKey>,
}

/// A report.
#[derive(Clone, Debug)]
pub struct AuditReport {
    /// Epochs that were looked at: those whose keys are held.
    pub epochs: usize,
    /// Links that were asked what they saw last, and how many of them answered.
    pub asked: usize,
    /// See [`Self::asked`].
    pub answered: usize,
    /// Messages missing between others of the same sender: whose, and how many.
    pub gaps: Vec<(MemberView, u64)>,
    /// Messages that somebody has seen, and that nobody gave us.
    pub withheld: Vec<Withheld>,
    /// Such messages beyond what is remembered.
    pub overflown: u64,
    /// Epochs that list us, and whose keys nobody gave us: what was said in them can't be read here.
    pub unread: usize,
    /// Who told members different things, with the proof.
    pub forks: Vec<(MemberView, Fork)>,
    /// Whose records contradict themselves.
    pub contradictory: Vec<MemberView>,
}

/// A message that is named and not here.
#[derive(Clone, Debug)]
pub struct Withheld {
    /// The frame's name.
    pub frame: FrameHash,
    /// Who has seen it.
    pub named_by: MemberView,
    /// Who signed it, and its place in their chain, if somebody could show that.
    pub author: Option<(MemberView, u64)>,
    /// Since when it is missed, milliseconds since 1970.
    pub since_ms: u64,
}

impl AuditReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.gaps.is_empty()
            && self.withheld.is_empty()
            && self.overflown == 0
            && self.unread == 0
            && self.forks.is_empty()
            && self.contradictory.is_empty()
    }
}

impl Audit {
    /// A frame was opened, or sealed by us.
    pub(super) fn keep(&mut self, statement: Statement) {
        let hash = statement.hash();
        self.unmet.remove(&hash);
        if self.stated.insert(hash, statement).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > MAX_STATED {
            if let Some(oldest) = self.order.pop_front() {
                self.stated.remove(&oldest);
            }
        }
    }

    /// A frame is named by somebody. Names can be invented: who names many pushes out its own, and nobody else's.
    fn name(&mut self, hash: FrameHash, named_by: LeafId, namer: Option<IdentityKey>, now: Now) {
        if self.stated.contains_key(&hash) {
            return;
        }
        if let Some(known) = self.unmet.get(&hash) {
            let theirs = known.namer;
            // It counts as named by whoever names less, so that a name which one invents many beside stays with it.
            if theirs != namer
                && self.named(namer) < self.named(theirs)
                && let Some(known) = self.unmet.get_mut(&hash)
            {
                (known.named_by, known.namer) = (named_by, namer);
            }
            return;
        }
        let unmet = Unmet {
            named_by,
            namer,
            since: now.elapsed,
            since_ms: now.unix_ms,
            author: None,
        };
        self.unmet.insert(hash, unmet);
        while self.unmet.len() > MAX_UNMET {
            let mut counts: BTreeMap<Option<IdentityKey>, usize> = BTreeMap::new();
            for unmet in self.unmet.values() {
                *counts.entry(unmet.namer).or_default() += 1;
            }
            let most = counts.values().max().copied();
            let of_most = (self.unmet.iter()).filter(|(_, unmet)| counts.get(&unmet.namer).copied() == most);
            let oldest = of_most.min_by_key(|(_, unmet)| unmet.since).map(|(hash, _)| *hash);
            if let Some(oldest) = oldest {
                self.unmet.remove(&oldest);
                self.overflown += 1;
            }
        }
    }

    /// How many that aren't here somebody names.
    fn named(&self, namer: Option<IdentityKey>) -> usize {
        self.unmet.values().filter(|unmet| unmet.namer == namer).count()
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        let running = self.running.as_ref().map(|running| running.until);
        let ask = (!self.unmet.is_empty()).then_some(self.next_ask);
        [self.next_look, ask, running].into_iter().flatten().min()
    }

    /// Forks found since this was asked last, with the keys that they rest under.
    pub(super) fn take_fresh(&mut self) -> Vec<((IdentityKey, EpochId, u64), Fork)> {
        let fresh = std::mem::take(&mut self.fresh).into_iter();
        fresh
            .filter_map(|at| Some((at, self.forks.get(&at)?.clone())))
            .collect()
    }

    /// A fork that an earlier run found.
    pub(super) fn restore(&mut self, who: IdentityKey, fork: Fork) {
        self.forks.insert((who, fork.epoch, fork.counter), fork);
    }

    /// The name of the frame that we have at a place, if it is remembered.
    fn at(&self, epoch: &EpochId, sender: &LeafId, counter: u64) -> Option<FrameHash> {
        let is_there = |statement: &&Statement| {
            (statement.epoch(), statement.sender(), statement.counter()) == (*epoch, *sender, counter)
        };
        self.stated.values().find(is_there).map(Statement::hash)
    }
}

impl Room {
    /// A frame was opened: what it names is here, or missed from now on.
    pub(super) fn note_stated(&mut self, statement: Statement, now: Now) {
        let sender = statement.sender();
        let namer = self.members.leaf(&sender).map(|leaf| leaf.identity());
        for parent in statement.parents() {
            if self.epochs.by_tag(&parent.tag).is_some() && !self.timeline.knows(&parent.hash) {
                if self.audit.unmet.is_empty() {
                    self.audit.next_ask = now.elapsed + CAUSAL_HOLD;
                    self.audit.ask_wait = AUDIT_ASK;
                }
                self.audit.name(parent.hash, sender, namer, now);
            }
        }
        self.audit.keep(statement);
        self.audit.next_look.get_or_insert(now.elapsed + GAP_TOLD);
    }

    /// Asks for what others name, and tells of gaps that stay.
    pub(super) fn tend_audit(&mut self, now: Now) {
        if self.phase != Phase::In {
            return;
        }
        if !self.audit.unmet.is_empty() && now.elapsed >= self.audit.next_ask {
            self.audit.next_ask = now.elapsed + self.audit.ask_wait;
            self.audit.ask_wait = (self.audit.ask_wait * 2).min(AUDIT_ASK_MAX);
            if let Some(to) = self.next_asked() {
                self.ask_statements(to);
            }
        }
        if self.audit.next_look.is_some_and(|at| now.elapsed >= at) {
            self.audit.next_look = None;
            self.tell_gaps(now);
        }
        if self
            .audit
            .running
            .as_ref()
            .is_some_and(|running| running.waiting.is_empty() || now.elapsed >= running.until)
        {
            self.report(now);
        }
    }

    /// Any link, but each once before one is asked twice: one that never answers must not be asked time and again.
    fn next_asked(&mut self) -> Option<PeerKey> {
        let links: BTreeSet<PeerKey> = self.members.links().copied().collect();
        if links.is_subset(&self.audit.asked) {
            self.audit.asked.clear();
        }
        let to = links.difference(&self.audit.asked).copied().choose(&mut self.rng)?;
        self.audit.asked.insert(to);
        self.audit.asked.retain(|link| links.contains(link));
        Some(to)
    }

    /// What is missed, and what the other saw last.
    fn ask_statements(&mut self, to: PeerKey) {
        let unmet = &self.audit.unmet;
        // Beginning anywhere: names are chosen by whoever names them, and must not stand before all others each time.
        let first = self.rng.random_range(0..unmet.len().max(1));
        let frames = unmet
            .keys()
            .cycle()
            .skip(first)
            .take(unmet.len().min(MAX_STATEMENTS))
            .copied()
            .collect();
        self.ask(to, DirectRequest::Statements { frames }, Question::Statements { to });
    }

    /// Those asked for, and what we saw last.
    pub(super) fn answer_statements(&self, frames: &[FrameHash]) -> DirectReply {
        let tips = self.timeline.tips();
        let names = frames.iter().chain(tips.iter().map(|tip| &tip.hash));
        let stated = names.filter_map(|hash| self.audit.stated.get(hash));
        DirectReply::Statements(stated.take(MAX_STATEMENTS).map(Statement::to_unverified).collect())
    }

    pub(super) fn on_statements(&mut self, from: PeerKey, statements: Vec<UnverifiedStatement>, now: Now) {
        for statement in statements {
            self.take_statement(statement, now);
        }
        self.asked_of(&from, true);
    }

    /// A link has answered, or won't.
    pub(super) fn asked_of(&mut self, link: &PeerKey, answered: bool) {
        if let Some(running) = &mut self.audit.running
            && running.waiting.remove(link)
        {
            running.answered += usize::from(answered);
        }
    }

    fn take_statement(&mut self, statement: UnverifiedStatement, now: Now) {
        if self.audit.stated.contains_key(&statement.hash()) {
            return;
        }
        let (epoch, sender) = statement.unverified_sender();
        let is_member = (self.epochs.known(&epoch)).is_some_and(|known| known.announcement.member(&sender).is_some());
        let Some(leaf) = self.members.leaf(&sender).filter(|_| is_member).cloned() else {
            return;
        };
        let Ok(statement) = statement.verify(&self.genesis_hash, leaf.key()) else {
            return tracing::debug!("a statement that its sender didn't sign");
        };
        let (hash, counter) = (statement.hash(), statement.counter());
        let key: FrameKey = (epoch, sender, counter);
        let ours = self.delivery.kept(&key).map(|(_, hash, _)| *hash);
        let ours = ours.or_else(|| self.audit.at(&epoch, &sender, counter));
        match ours {
            Some(ours) if ours == hash => {
                self.audit.unmet.remove(&hash);
            }
            Some(ours) => {
                // Others can be shown it, too.
                self.audit.keep(statement);
                self.note_fork(leaf.identity(), epoch, counter, [ours, hash], now);
            }
            // Opened, and forgotten since: nothing can be said of it.
            None if self.delivery.has_seen(&key) => {
                self.audit.unmet.remove(&hash);
            }
            None => {
                if let Some(unmet) = self.audit.unmet.get_mut(&hash) {
                    unmet.author = Some((epoch, sender, counter));
                }
            }
        }
    }

    fn note_fork(&mut self, who: IdentityKey, epoch: EpochId, counter: u64, frames: [FrameHash; 2], now: Now) {
        let at = (who, epoch, counter);
        let of_one = self.audit.forks.keys().filter(|(known, ..)| *known == who).count();
        if self.audit.forks.contains_key(&at) || of_one >= MAX_FORKS_OF_ONE || self.audit.forks.len() >= MAX_FORKS {
            return;
        }
        let is_first = of_one == 0;
        let fork = Fork {
            epoch,
            counter,
            frames,
            at_ms: now.unix_ms,
        };
        self.audit.forks.insert(at, fork);
        self.audit.fresh.push(at);
        if is_first {
            let view = self.view_of_identity(&who, now);
            self.event(RoomEvent::Warning(Warning::Fork {
                name: view.name,
                fingerprint: view.fingerprint,
            }));
        }
    }

    /// Messages missing between others of one sender, over all epochs that are held.
    fn gaps(&self) -> BTreeMap<LeafId, u64> {
        let mut gaps = BTreeMap::new();
        for epoch in self.epochs.latest_held(usize::MAX) {
            for (leaf, missing) in self.delivery.gaps(&epoch) {
                *gaps.entry(leaf).or_default() += missing;
            }
        }
        gaps
    }

    /// Tells of gaps that have stayed a while, and of those that are filled.
    fn tell_gaps(&mut self, now: Now) {
        let gaps = self.gaps();
        let mut told = Vec::new();
        for (leaf, missing) in &gaps {
            let known = self.audit.gaps.entry(*leaf).or_insert((now.elapsed, 0));
            if now.elapsed.saturating_sub(known.0) >= GAP_TOLD && known.1 != *missing {
                known.1 = *missing;
                told.push((*leaf, *missing));
            }
        }
        self.audit.gaps.retain(|leaf, (_, missing)| {
            let stays = gaps.contains_key(leaf);
            if !stays && *missing > 0 {
                told.push((*leaf, 0));
            }
            stays
        });
        if !gaps.is_empty() {
            self.audit.next_look = Some(now.elapsed + GAP_TOLD);
        }
        for (leaf, missing) in told {
            let from = self.view_of_leaf(&leaf, now);
            self.event(RoomEvent::Gap { from, missing });
        }
    }

    /// Asks the links what they saw last; the report follows when they have answered, or soon after.
    pub(super) fn begin_audit(&mut self, ticket: Ticket, now: Now) {
        if self.audit.running.is_some() {
            self.report(now);
        }
        let links: Vec<PeerKey> = self.members.links().copied().take(MAX_ASKED).collect();
        let waiting: BTreeSet<PeerKey> = links.iter().copied().collect();
        self.audit.running = Some(Running {
            ticket,
            until: now.elapsed + AUDIT_PATIENCE,
            asked: links.len(),
            answered: 0,
            waiting,
        });
        for to in links {
            self.ask_statements(to);
        }
    }

    fn report(&mut self, now: Now) {
        let Some(running) = self.audit.running.take() else {
            return;
        };
        let withheld = self.audit.unmet.iter().map(|(frame, unmet)| Withheld {
            frame: *frame,
            named_by: self.view_of_leaf(&unmet.named_by, now),
            author: unmet
                .author
                .map(|(_, leaf, counter)| (self.view_of_leaf(&leaf, now), counter)),
            since_ms: unmet.since_ms,
        });
        let forks = self.audit.forks.iter();
        let contradictory = self.members.stored().filter(|(_, _, equivocated)| *equivocated);
        let report = AuditReport {
            epochs: self.epochs.latest_held(usize::MAX).len(),
            asked: running.asked,
            answered: running.answered,
            gaps: (self.gaps().iter())
                .map(|(leaf, missing)| (self.view_of_leaf(leaf, now), *missing))
                .collect(),
            withheld: withheld.collect(),
            overflown: self.audit.overflown,
            unread: self.catching_up.given_up(now),
            forks: forks
                .map(|((who, ..), fork)| (self.view_of_identity(who, now), fork.clone()))
                .collect(),
            contradictory: contradictory
                .map(|(record, ..)| self.view_of_identity(&record.identity(), now))
                .collect(),
        };
        let (ticket, report) = (running.ticket, Box::new(report));
        self.out.push_back(Output::Audited { ticket, report });
    }

    fn view_of_leaf(&self, leaf: &LeafId, now: Now) -> MemberView {
        match self.members.leaf(leaf) {
            Some(leaf) => self.view_of(leaf, now),
            None => nobody(),
        }
    }

    fn view_of_identity(&self, who: &IdentityKey, now: Now) -> MemberView {
        match self.known_leaf(who) {
            Some(leaf) => self.view_of(leaf, now),
            None => MemberView {
                fingerprint: who.fingerprint(),
                ..nobody()
            },
        }
    }
}

/// Somebody whose leaf is forgotten.
fn nobody() -> MemberView {
    MemberView {
        name: Untrusted::new("somebody who is away"),
        fingerprint: snug_crypto::ids::Fingerprint::from_bytes([0; 16]),
        role: super::Role::Member,
        verified: false,
        key_changed: false,
        online: false,
        me: false,
    }
}
