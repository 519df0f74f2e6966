//! What follows from registers and announcements: the best epoch, the one to send under, whether it is exact. Kept until one of them changes,
//! because a room of a thousand members can't afford it for every frame.

use std::time::Duration;

use snug_crypto::ids::EpochId;

use super::epochs::{Standing, View};
use super::timing::look_pause;
use super::{Now, Phase, Room, Rule, day};

/// What the room's state is told apart by: versions of registers, epochs, links, log and generations.
pub(super) type Versions = (u64, u64, u64, u64, u64);

/// A verdict on all epochs known, and what it rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judgement {
    members: u64,
    epochs: u64,
    /// Of the epochs that we hold: what may be sent under.
    held: u64,
    authority: u64,
    generations: u64,
    /// Until when it is good enough, whoever comes and whatever is announced: see [`look_pause`].
    until: Duration,
    today: u32,
    /// Wall-clock time at which a leaf expires and this no longer holds.
    until_ms: u64,
    /// The greatest announced candidate.
    pub(super) best: Option<EpochId>,
    /// Whether it holds exactly the roster.
    pub(super) exact: bool,
    /// The greatest candidate that we hold and that contains us.
    pub(super) send: Option<EpochId>,
    /// Whether that one holds exactly the roster.
    pub(super) send_exact: bool,
    /// Members on the roster.
    pub(super) roster: usize,
}

impl Room {
    /// Which state this is.
    pub(super) fn versions(&self) -> Versions {
        (
            self.members.version(),
            self.epochs.version(),
            self.members.link_version(),
            self.authority.version(),
            self.generations.version(),
        )
    }

    /// The judgement as of now.
    pub(super) fn judge(&self, now: Now) -> Judgement {
        match self.judgement {
            Some(judgement) if self.stands(&judgement, now) => judgement,
            _ => self.judge_afresh(now),
        }
    }

    /// The same, kept for later; says whether it is another than before.
    pub(super) fn rejudge(&mut self, now: Now) -> bool {
        if self.judgement.is_some_and(|judgement| self.stands(&judgement, now)) {
            return false;
        }
        self.judgement = Some(self.judge_afresh(now));
        true
    }

    /// When the judgement that is kept has to be made anew; `None` while nothing changed.
    pub(super) fn judge_due(&self) -> Option<Duration> {
        let judgement = self.judgement.filter(|_| self.phase == Phase::In)?;
        let is_latest = judgement.members == self.members.version() && judgement.epochs == self.epochs.version();
        (!is_latest).then_some(judgement.until)
    }

    fn stands(&self, judgement: &Judgement, now: Now) -> bool {
        let is_latest = judgement.members == self.members.version() && judgement.epochs == self.epochs.version();
        (is_latest || now.elapsed < judgement.until)
            && judgement.held == self.epochs.held_version()
            && judgement.authority == self.authority.version()
            && judgement.generations == self.generations.version()
            && judgement.today == day(now.unix_ms)
            && now.unix_ms < judgement.until_ms
    }

    fn judge_afresh(&self, now: Now) -> Judgement {
        self.with_view(now, |view| {
            let (best, send) = self.epochs.rank(view, self.own.leaf_id().as_ref());
            let exact =
                |standing: Option<Standing>| standing.is_some_and(|standing| self.epochs.exact(&standing, view));
            Judgement {
                members: self.members.version(),
                epochs: self.epochs.version(),
                held: self.epochs.held_version(),
                authority: self.authority.version(),
                generations: self.generations.version(),
                until: now.elapsed + look_pause(view.roster.len()),
                today: view.today,
                until_ms: self.members.next_expiry(now.unix_ms).unwrap_or(u64::MAX),
                best: best.map(|standing| standing.epoch()),
                exact: exact(best),
                send: send.map(|standing| standing.epoch()),
                send_exact: exact(send),
                roster: view.roster.len(),
            }
        })
    }

    /// Runs a question about epochs against the roster as of now.
    pub(super) fn with_view<T>(&self, now: Now, ask: impl FnOnce(&View<'_>) -> T) -> T {
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        let mut view = View::new(&self.members, &roster, self.keys.generation(), day(now.unix_ms));
        view.by_identity = !self.keeps(Rule::Incarnations);
        ask(&view)
    }
}
