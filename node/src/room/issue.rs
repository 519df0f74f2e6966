//! When to issue an epoch: by rank and timer, so that usually one member does, and any member can (docs/PROTOCOL.md, "Epochs", `issue`).

use std::cell::Cell;
use std::time::Duration;

use snug_crypto::ids::EpochId;

use super::judgement::Versions;
use super::timing::{
    BUSY_WINDOW, ISSUE_WAIT_BUSY, ISSUE_WAIT_ISSUED, ISSUE_WAIT_PER_MEMBER, ISSUE_WAIT_QUIET, NEWCOMER_RANKS,
    NO_CANDIDATE_WAIT_FORMER, NO_CANDIDATE_WAIT_NEW, NOT_HELD_ALONE_WAIT, NOT_HELD_WAIT, PRESENCE_LOOK, RANK_STEP,
    issue_wait_large,
};

/// The need for a new epoch, and how long it has stood.
#[derive(Default)]
pub(super) struct Issuing {
    need: Option<Need>,
    /// When the need before this one arose.
    last_need: Option<Duration>,
    /// When we issued last, and the time before.
    issued: [Option<Duration>; 2],
    found: Cell<Option<Found>>,
}

/// When our turn comes, as it was found.
#[derive(Clone, Copy)]
struct Found {
    /// In which state of the room.
    state: Versions,
    /// Until when that holds, if the state is the same.
    until: Duration,
    /// Until when it is good enough, whoever comes and goes: in a large room that fills somebody does all the time.
    rest: Duration,
    due: Option<Duration>,
}

struct Need {
    since: Duration,
    best: Option<EpochId>,
    wait: Duration,
}

/// What the wait depends on, beyond time.
pub(super) struct Situation {
    /// The best candidate.
    pub(super) best: Option<EpochId>,
    /// Whether we hold it.
    pub(super) best_held: bool,
    /// Whether any of its members but us is present.
    pub(super) best_present: bool,
    /// Whether we are one of its members.
    pub(super) in_best: bool,
    /// Whether we ever held an epoch of this room in this run.
    pub(super) former: bool,
    /// Whether anybody is linked.
    pub(super) linked: bool,
    /// Our place among those of our kind (holders or newcomers) that are present.
    pub(super) rank: u32,
}

impl Issuing {
    /// Notes whether an exact epoch is missing; a changed best restarts the wait.
    pub(super) fn update(&mut self, needed: bool, best: Option<EpochId>, members: usize, elapsed: Duration) {
        if !needed {
            self.need = None;
            return;
        }
        if let Some(need) = &mut self.need {
            if need.best != best {
                self.found.set(None);
                need.best = best;
                need.since = elapsed;
            }
            return;
        }
        let recent = |at: Option<Duration>| at.is_some_and(|at| elapsed.saturating_sub(at) < BUSY_WINDOW);
        let [last, before] = self.issued;
        let large = issue_wait_large(members);
        let wait = if recent(before) {
            let members = u32::try_from(members).unwrap_or(u32::MAX);
            let mine = ISSUE_WAIT_PER_MEMBER.saturating_mul(members).min(ISSUE_WAIT_ISSUED);
            ISSUE_WAIT_BUSY + mine.max(large)
        } else if recent(last) || recent(self.last_need) {
            ISSUE_WAIT_BUSY + large
        } else {
            ISSUE_WAIT_QUIET
        };
        self.found.set(None);
        self.last_need = Some(elapsed);
        self.need = Some(Need {
            since: elapsed,
            best,
            wait,
        });
    }

    /// Notes an epoch of our making. One that holds nobody but us costs nobody anything, and is followed by a joiner's at once.
    pub(super) fn issued(&mut self, alone: bool, elapsed: Duration) {
        if alone {
            self.last_need = None;
        } else {
            self.issued = [Some(elapsed), self.issued[0]];
        }
    }

    /// Nobody's turn comes before this; `None` when there is no need.
    pub(super) fn earliest(&self) -> Option<Duration> {
        let need = self.need.as_ref()?;
        // Without a candidate, and where the best one isn't held, other waits count: those are none of a storm.
        Some(need.since + need.best.map_or(Duration::ZERO, |_| need.wait.min(NOT_HELD_ALONE_WAIT)))
    }

    /// When our turn comes, if the need lasts; `None` when there is no need, or it never does. While the room's state is the same only time
    /// can change that: it is found anew when `holds_until` says so, and after [`PRESENCE_LOOK`]; and not more often than every `pause`,
    /// where nothing changed but people and links.
    pub(super) fn due(
        &self,
        state: Versions,
        elapsed: Duration,
        pause: Duration,
        situation: impl FnOnce() -> Option<Situation>,
        holds_until: impl FnOnce() -> Option<Duration>,
    ) -> Option<Duration> {
        if let Some(found) = self.found.get()
            && elapsed < found.until
        {
            let Found { rest, due, .. } = found;
            if found.state == state {
                return due;
            }
            let but_people = |(_, epochs, _, authority, generations): Versions| (epochs, authority, generations);
            if but_people(found.state) == but_people(state) && elapsed < rest {
                return Some(due.map_or(rest, |due| due.min(rest)));
            }
        }
        let due = situation().and_then(|situation| self.turn(&situation));
        let look = elapsed + PRESENCE_LOOK;
        self.found.set(Some(Found {
            state,
            until: holds_until().map_or(look, |at| at.min(look)),
            rest: elapsed + pause,
            due,
        }));
        due
    }

    fn turn(&self, situation: &Situation) -> Option<Duration> {
        let need = self.need.as_ref()?;
        let rank = if situation.in_best {
            situation.rank
        } else {
            situation.rank + NEWCOMER_RANKS
        };
        let wait = match situation.best {
            None if !situation.linked => Duration::ZERO,
            None if situation.former => NO_CANDIDATE_WAIT_FORMER + RANK_STEP * situation.rank,
            None => NO_CANDIDATE_WAIT_NEW + RANK_STEP * situation.rank,
            Some(_) if situation.best_held => need.wait + RANK_STEP * rank,
            Some(_) if !situation.best_present => NOT_HELD_ALONE_WAIT + RANK_STEP * rank,
            Some(_) => NOT_HELD_WAIT + RANK_STEP * rank,
        };
        Some(need.since + wait)
    }
}
