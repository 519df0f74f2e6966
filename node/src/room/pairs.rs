//! Direct messages: what we share with each other member, and what is read and said under it (docs/PROTOCOL.md, "Direct messages").
//!
//! They travel as contents of ordinary frames, so order, delivery and mail for the absent are the frames' own. Here are the rooms of two:
//! the epoch that we speak in, those that we read, and the keys that we gave for the answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::CryptoRng;
use snug_crypto::bounds::{MAX_PAIR_MESSAGES, MAX_PAIR_TRIALS};
use snug_crypto::content::Content;
use snug_crypto::ids::{EpochId, IdentityKey, LeafId, PairHash, PairTag};
use snug_crypto::kem::{KemKey, KemSecret};
use snug_crypto::pair::{Begun, Body, Form, Line, Listening, PairError, PairPsk, SpeakError, Speaking};
use snug_crypto::pair::{begin_first, begin_turn};

use super::Now;
use super::timing::DAY_MS;

/// Between two epochs of ours that answer the other one's, at least: who chats fast doesn't pay for each word.
const TURN_PACE: Duration = Duration::from_secs(1);
/// An epoch of ours lives so long, however little is said.
const EPOCH_LIFE: Duration = Duration::from_millis(DAY_MS);
/// Epochs of one other that are kept: crossing turns are few, and older ones are erased by time.
const MAX_EPOCHS: usize = 16;
/// Keys given to one other that are kept, as many as rest on disk.
const MAX_ANSWERS: usize = 16;
/// Secrets shared with one other: one, or two where first words crossed, and a little slack.
const MAX_PSKS: usize = 4;
/// KEM keys of our leaf that were rotated away and that a first word is tried with.
const MAX_FORMER: usize = 3;
/// Boxes that were tried in vain, remembered so that they aren't tried again with each message that carries them.
const MAX_STRANGE: usize = 4_096;
/// How often one member may make us try a box again, once it has used up its share.
const TRIAL_PACE: Duration = Duration::from_secs(1);

/// The leaf of the other one, and ours.
pub(super) type Leaves = (LeafId, LeafId);

/// All rooms of two of ours.
#[derive(Default)]
pub(super) struct Pairs {
    pairs: BTreeMap<Leaves, Pair>,
    /// KEM keys that our leaves had, the oldest first.
    former: VecDeque<Former>,
    strange: BTreeSet<(LeafId, PairTag)>,
    strange_order: VecDeque<(LeafId, PairTag)>,
    /// What each member may still make us compute.
    budgets: BTreeMap<IdentityKey, Budget>,
    touched: BTreeSet<Touched>,
}

/// What we share with one other, between one leaf of its and one of ours.
pub(super) struct Pair {
    pub(super) used: Duration,
    /// The number of our newest epoch.
    pub(super) seq: u64,
    /// Epochs up to this number were erased, and are never begun again.
    pub(super) floor: u64,
    /// The newest last.
    pub(super) psks: Vec<PairPsk>,
    pub(super) answers: Vec<Answer>,
    pub(super) heard: Option<Heard>,
    pub(super) speaking: Option<Spoken>,
    pub(super) listening: BTreeMap<PairTag, Listened>,
}

/// A key that we gave for the answer; the newest last.
pub(super) struct Answer {
    pub(super) kem: KemSecret,
    /// Since when the other one is known to use a newer one.
    pub(super) passed: Option<Duration>,
}

/// What the other one's newest epoch gave us.
pub(super) struct Heard {
    pub(super) seq: u64,
    pub(super) psk: PairPsk,
    pub(super) answer: KemKey,
}

/// The epoch that we speak in.
pub(super) struct Spoken {
    pub(super) since: Duration,
    /// Whether the other one has spoken since.
    pub(super) turned: bool,
    /// The key of the reader's leaf that a first word is sealed to, if it was in this run.
    pub(super) sealed_to: Option<[u8; 32]>,
    pub(super) epoch: Speaking,
}

/// An epoch that we read.
pub(super) struct Listened {
    pub(super) since: Duration,
    pub(super) epoch: Listening,
}

/// A KEM key that a leaf of ours had.
pub(super) struct Former {
    pub(super) retired: Duration,
    pub(super) leaf: LeafId,
    pub(super) hash: [u8; 32],
    pub(super) kem: KemSecret,
}

/// Something that is to be written, or forgotten if it is no more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Touched {
    Pair(Leaves),
    Epoch(Leaves, PairTag),
    Former([u8; 32]),
}

/// How many boxes of one member are still tried, and as of when.
struct Budget {
    left: u64,
    at: Duration,
}

/// A direct message that came in a frame.
pub(super) struct Came<'a> {
    pub(super) from: LeafId,
    pub(super) who: IdentityKey,
    pub(super) pair: PairHash,
    /// The frame's epoch.
    pub(super) parent: EpochId,
    /// Our leaf, and its KEM key, if it has been made.
    pub(super) mine: Option<(LeafId, &'a KemSecret)>,
}

impl Pair {
    fn new(now: Duration) -> Self {
        Self {
            used: now,
            seq: 0,
            floor: 0,
            psks: Vec::new(),
            answers: Vec::new(),
            heard: None,
            speaking: None,
            listening: BTreeMap::new(),
        }
    }

    /// Whether the next word needs another epoch.
    fn needs_epoch(&self, kem: &KemKey, elapsed: Duration) -> bool {
        let Some(spoken) = &self.speaking else { return true };
        let age = elapsed.saturating_sub(spoken.since);
        // A first word that nobody answered is sealed to a key that its reader may have given up.
        let elsewhere = spoken.epoch.form() == Form::First && spoken.sealed_to != Some(kem.hash());
        spoken.epoch.said() >= MAX_PAIR_MESSAGES
            || age >= EPOCH_LIFE
            || elsewhere
            || (spoken.turned && age >= TURN_PACE)
    }

    fn begin(&mut self, rng: &mut impl CryptoRng, line: &Line, kem: &KemKey, now: Now) -> Option<()> {
        let answer = KemSecret::generate(rng);
        let seq = now.unix_ms.max(self.seq.saturating_add(1));
        let epoch = match &self.heard {
            Some(heard) => Speaking::begin(rng, Form::Turn, line, &heard.answer, &heard.psk, seq, &answer.public())?,
            None => {
                let mut psk = zeroize::Zeroizing::new([0; 32]);
                rng.fill_bytes(&mut *psk);
                let psk = PairPsk::from_bytes(*psk);
                let epoch = Speaking::begin(rng, Form::First, line, kem, &psk, seq, &answer.public())?;
                self.share(psk);
                epoch
            }
        };
        self.seq = seq;
        self.answers.push(Answer {
            kem: answer,
            passed: None,
        });
        while self.answers.len() > MAX_ANSWERS {
            // Who is away answers the last that it read, however much we said since: what it can use is the first that isn't passed. The keys
            // behind that one go, as it will read of the newest when it is back.
            let first = self.answers.iter().position(|answer| answer.passed.is_none());
            self.answers.remove(match first {
                Some(0) => 1,
                _ => 0,
            });
        }
        self.speaking = Some(Spoken {
            since: now.elapsed,
            turned: false,
            sealed_to: self.heard.is_none().then(|| kem.hash()),
            epoch,
        });
        Some(())
    }

    fn share(&mut self, psk: PairPsk) {
        self.psks.retain(|known| known.expose() != psk.expose());
        self.psks.push(psk);
        let surplus = self.psks.len().saturating_sub(MAX_PSKS);
        self.psks.drain(..surplus);
    }

    /// An epoch of the other one's has shown itself to be for us; gives the tags of those that have to go for it.
    fn hear(&mut self, begun: Begun, opened_with: Option<usize>, elapsed: Duration) -> Vec<PairTag> {
        let Begun { psk, answer, epoch } = begun;
        for answer in self.answers.iter_mut().take(opened_with.unwrap_or_default()) {
            answer.passed.get_or_insert(elapsed);
        }
        if self.heard.as_ref().is_none_or(|heard| heard.seq < epoch.seq()) {
            self.heard = Some(Heard {
                seq: epoch.seq(),
                psk: psk.clone(),
                answer,
            });
        }
        self.share(psk);
        if let Some(spoken) = &mut self.speaking {
            spoken.turned = true;
        }
        self.listening.insert(epoch.tag(), Listened { since: elapsed, epoch });
        let mut gone = Vec::new();
        while self.listening.len() > MAX_EPOCHS {
            let oldest = self.listening.iter().min_by_key(|(_, heard)| heard.epoch.seq());
            let Some(tag) = oldest.map(|(tag, _)| *tag) else { break };
            self.erase(&tag);
            gone.push(tag);
        }
        gone
    }

    fn erase(&mut self, tag: &PairTag) {
        if let Some(gone) = self.listening.remove(tag) {
            self.floor = self.floor.max(gone.epoch.seq());
        }
    }

    /// Erases what has served its time; gives the tags of epochs that went, and whether anything else did.
    fn prune(&mut self, elapsed: Duration, retention: Duration) -> (Vec<PairTag>, bool) {
        let over = |since: Duration, life: Duration| elapsed.saturating_sub(since) > life;
        let mut by_number: Vec<(u64, PairTag, Duration)> = (self.listening.iter())
            .map(|(tag, heard)| (heard.epoch.seq(), *tag, heard.since))
            .collect();
        by_number.sort_unstable();
        let mut gone = Vec::new();
        // When a newer one was first heard.
        let mut superseded: Option<Duration> = None;
        for (_, tag, since) in by_number.into_iter().rev() {
            let is_over = match superseded {
                None => over(since, EPOCH_LIFE + retention),
                Some(newer) => over(newer, retention),
            };
            superseded = Some(superseded.map_or(since, |newer| newer.min(since)));
            if is_over {
                self.erase(&tag);
                gone.push(tag);
            }
        }
        let before = self.answers.len();
        self.answers
            .retain(|answer| !answer.passed.is_some_and(|passed| over(passed, retention)));
        let mut changed = before != self.answers.len() || !gone.is_empty();
        if self
            .speaking
            .as_ref()
            .is_some_and(|spoken| over(spoken.since, EPOCH_LIFE))
        {
            self.speaking = None;
            changed = true;
        }
        (gone, changed)
    }
}

impl Pairs {
    /// Seals what is said to the owner of `line.reader`, whose leaf has this key, for a frame of `parent`.
    pub(super) fn seal(
        &mut self,
        rng: &mut impl CryptoRng,
        line: &Line,
        kem: &KemKey,
        parent: &EpochId,
        said: &Content,
        now: Now,
    ) -> Result<Vec<u8>, SpeakError> {
        let leaves = (line.reader, line.speaker);
        let pair = self.pairs.entry(leaves).or_insert_with(|| Pair::new(now.elapsed));
        pair.used = now.elapsed;
        if pair.needs_epoch(kem, now.elapsed) {
            pair.begin(rng, line, kem, now).ok_or(SpeakError::NotPlain)?;
        }
        self.touched.insert(Touched::Pair(leaves));
        let spoken = pair.speaking.as_mut().ok_or(SpeakError::Exhausted)?;
        spoken.epoch.seal(rng, parent, said)
    }

    /// What a body says, if it is for us.
    pub(super) fn open(&mut self, came: &Came<'_>, bytes: &[u8], now: Now) -> Option<Content> {
        let body = Body::decode(bytes).ok()?;
        let tag = body.tag();
        for (leaves, pair) in of(&mut self.pairs, came.from) {
            if let Some(heard) = pair.listening.get_mut(&tag) {
                let said = heard.epoch.open(&came.parent, &body);
                if let Err(error) = &said {
                    tracing::debug!(%error, from = %came.from, "a direct message can't be read");
                    return None;
                }
                pair.used = now.elapsed;
                self.touched.insert(Touched::Epoch(leaves, tag));
                return said.ok();
            }
        }
        let is_shared = |pair: &Pair| pair.psks.iter().any(|psk| body.is_under(psk));
        if body.form() == Form::Turn && !of(&mut self.pairs, came.from).any(|(_, pair)| is_shared(pair)) {
            return None;
        }
        if self.strange.contains(&(came.from, tag)) || !self.may_try(came.who, now.elapsed) {
            return None;
        }
        let (mine, opened_with, mut begun) = match body.form() {
            Form::First => self.try_first(came, &body),
            Form::Turn => self.try_turn(came, &body),
        }
        .or_else(|| {
            self.is_strange(came.from, tag);
            None
        })?;
        let leaves = (came.from, mine);
        let floor = self.pairs.get(&leaves).map_or(0, |pair| pair.floor);
        if begun.epoch.seq() <= floor {
            return None;
        }
        let said = begun.epoch.open(&came.parent, &body).ok()?;
        let pair = self.pairs.entry(leaves).or_insert_with(|| Pair::new(now.elapsed));
        pair.used = now.elapsed;
        let gone = pair.hear(begun, opened_with, now.elapsed);
        self.touched.insert(Touched::Pair(leaves));
        self.touched.insert(Touched::Epoch(leaves, tag));
        self.touched
            .extend(gone.into_iter().map(|tag| Touched::Epoch(leaves, tag)));
        Some(said)
    }

    /// A first word: our leaf's key, then those that it had.
    fn try_first(&self, came: &Came<'_>, body: &Body<'_>) -> Option<(LeafId, Option<usize>, Begun)> {
        let former = self
            .former
            .iter()
            .rev()
            .take(MAX_FORMER)
            .map(|former| (former.leaf, &former.kem));
        for (reader, kem) in came.mine.into_iter().chain(former) {
            match begin_first(body, &came.line(reader), kem) {
                Ok(begun) => return Some((reader, None, begun)),
                Err(PairError::NotForUs) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// An answer to something that we said, perhaps not the last.
    fn try_turn(&mut self, came: &Came<'_>, body: &Body<'_>) -> Option<(LeafId, Option<usize>, Begun)> {
        for ((_, reader), pair) in of(&mut self.pairs, came.from) {
            for psk in pair.psks.iter().rev().filter(|psk| body.is_under(psk)) {
                for (index, answer) in pair.answers.iter().enumerate().rev() {
                    match begin_turn(body, &came.line(reader), &answer.kem, psk) {
                        Ok(begun) => return Some((reader, Some(index), begun)),
                        Err(PairError::NotForUs) => {}
                        Err(_) => return None,
                    }
                }
            }
        }
        None
    }

    fn may_try(&mut self, who: IdentityKey, elapsed: Duration) -> bool {
        let full = Budget {
            left: MAX_PAIR_TRIALS,
            at: elapsed,
        };
        let budget = self.budgets.entry(who).or_insert(full);
        let earned = elapsed.saturating_sub(budget.at).as_secs() / TRIAL_PACE.as_secs();
        if earned > 0 {
            budget.left = (budget.left + earned).min(MAX_PAIR_TRIALS);
            budget.at = elapsed;
        }
        let may = budget.left > 0;
        budget.left = budget.left.saturating_sub(1);
        may
    }

    fn is_strange(&mut self, from: LeafId, tag: PairTag) {
        if self.strange.insert((from, tag)) {
            self.strange_order.push_back((from, tag));
        }
        if self.strange.len() > MAX_STRANGE
            && let Some(oldest) = self.strange_order.pop_front()
        {
            self.strange.remove(&oldest);
        }
    }

    /// A KEM key of our leaf is rotated away, or the leaf itself is: what is under way to it can still be read.
    pub(super) fn retire(&mut self, leaf: LeafId, kem: KemSecret, elapsed: Duration) {
        let hash = kem.public().hash();
        self.restore_former(Former {
            retired: elapsed,
            leaf,
            hash,
            kem,
        });
        self.touched.insert(Touched::Former(hash));
        while self.former.len() > MAX_FORMER {
            if let Some(gone) = self.former.pop_front() {
                self.touched.insert(Touched::Former(gone.hash));
            }
        }
    }

    /// Erases what has served its time, and all that belongs to a leaf that nobody knows any more.
    pub(super) fn prune(&mut self, elapsed: Duration, retention: Duration, known: impl Fn(&LeafId) -> bool) {
        let touched = &mut self.touched;
        self.pairs.retain(|leaves, pair| {
            let (gone, changed) = pair.prune(elapsed, retention);
            touched.extend(gone.into_iter().map(|tag| Touched::Epoch(*leaves, tag)));
            let stays = known(&leaves.0);
            if changed || !stays {
                touched.insert(Touched::Pair(*leaves));
            }
            stays
        });
        self.former.retain(|former| {
            let stays = elapsed.saturating_sub(former.retired) <= retention;
            if !stays {
                touched.insert(Touched::Former(former.hash));
            }
            stays
        });
        let whole = TRIAL_PACE * u32::try_from(MAX_PAIR_TRIALS).unwrap_or(u32::MAX);
        self.budgets
            .retain(|_, budget| elapsed.saturating_sub(budget.at) < whole);
    }

    /// What has to be written since this was asked last.
    pub(super) fn take_touched(&mut self) -> BTreeSet<Touched> {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn get(&self, leaves: &Leaves) -> Option<&Pair> {
        self.pairs.get(leaves)
    }

    pub(super) fn former(&self, hash: &[u8; 32]) -> Option<&Former> {
        self.former.iter().find(|former| former.hash == *hash)
    }

    /// Takes up a pair of an earlier run.
    pub(super) fn restore(&mut self, leaves: Leaves, pair: Pair) {
        self.pairs.insert(leaves, pair);
    }

    /// Takes up an epoch of a pair that was taken up.
    pub(super) fn restore_epoch(&mut self, leaves: &Leaves, heard: Listened) {
        if let Some(pair) = self.pairs.get_mut(leaves) {
            pair.listening.insert(heard.epoch.tag(), heard);
        }
    }

    pub(super) fn restore_former(&mut self, former: Former) {
        let at = self.former.partition_point(|other| other.retired <= former.retired);
        self.former.insert(at, former);
    }
}

/// What we share with the owner of a leaf.
fn of(pairs: &mut BTreeMap<Leaves, Pair>, from: LeafId) -> impl Iterator<Item = (Leaves, &mut Pair)> {
    let (least, most) = (LeafId::from_bytes([0; 16]), LeafId::from_bytes([0xFF; 16]));
    let shared = pairs.range_mut((from, least)..=(from, most));
    shared.map(|(leaves, pair)| (*leaves, pair))
}

impl Came<'_> {
    fn line(&self, reader: LeafId) -> Line {
        Line {
            pair: self.pair,
            speaker: self.from,
            reader,
        }
    }
}

#[cfg(test)]
mod tests;
