//! Messages on their way out: they wait for an epoch that we can send under, and briefly for one that includes those who just joined.
//! What is said faster than a frame every few milliseconds leaves together, in one frame.
//!
//! What was sealed is remembered until somebody else is known to have it: what was said to an empty room goes out again, sealed anew, when
//! somebody appears, and so does what a lost state made unreadable. Nothing is dropped in silence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use snug_crypto::bounds::{MAX_CONTENTS, MAX_TEXT_BYTES};
use snug_crypto::content::{self, Content};
use snug_crypto::direct::EpochVector;
use snug_crypto::frame::ParentRef;
use snug_crypto::ids::{EpochId, FrameHash, IdentityKey, LeafId, MessageId};
use snug_crypto::pair;

use super::pace::Pacer;
use super::timing::{MAX_OUTBOX, MAX_SOLILOQUY, MAX_SOLILOQUY_BYTES, SEND_HOLD};
use super::{Now, Output, Room, RoomEvent, SendRefused, Ticket};

/// What waits, and what is not known to have arrived.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    next_number: u64,
    /// Numbers that wait no more, since the last look.
    gone: Vec<u64>,
    /// By epoch and counter: ours, and nobody else is known to have it. The newest.
    unheld: BTreeMap<(EpochId, u64), Unheld>,
    /// Whether `unheld` changed since the last look.
    changed: bool,
    pub(super) pacer: Pacer,
}

/// How soon what waits may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// A frame whenever our share of the room's allows one.
    Steady,
    /// At once: we are going.
    Hurried,
}

struct Waiting {
    /// Names it at rest.
    number: u64,
    /// Who asked for it, in this run.
    ticket: Option<Ticket>,
    /// The id under which it was sent in vain.
    was: Option<MessageId>,
    content: Content,
    since: Duration,
    /// The one whom it is for alone has no place in the epoch that we send under.
    held_back: bool,
}

/// How it is with the one whom something is for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// In the epoch.
    Here,
    /// On the roster: the next epoch has a place for it.
    Expected,
    /// No member any more.
    Gone,
}

/// A frame that was sealed, and that may have reached nobody.
pub(super) struct Unheld {
    pub(super) contents: Vec<Content>,
    pub(super) hash: FrameHash,
    /// Whether its epoch holds nobody but us: then what is here is all that there is of it.
    pub(super) alone: bool,
}

impl Outbox {
    /// When the oldest message stops waiting for the others, or for its frame.
    pub(super) fn next_wake(&self, elapsed: Duration) -> Option<Duration> {
        let hold = self.oldest()? + SEND_HOLD;
        // What waits for its frame alone is due then, even if that has passed since it was looked at.
        let paced = self
            .pacer
            .next(elapsed)
            .filter(|next| self.pacer.holds() || *next > elapsed);
        Some(paced.map_or(hold, |next| next.min(hold)))
    }

    /// Since when the oldest waits of what may leave.
    fn oldest(&self) -> Option<Duration> {
        let mut free = self.waiting.iter().filter(|waiting| !waiting.held_back);
        free.next().map(|waiting| waiting.since)
    }

    /// The oldest of what may leave, as much as one frame carries.
    fn next_batch(&mut self) -> Vec<Waiting> {
        let mut bytes = content::contents_len(&[]);
        let (mut batch, mut later): (Vec<Waiting>, VecDeque<Waiting>) = Default::default();
        let mut is_full = false;
        for waiting in std::mem::take(&mut self.waiting) {
            if !is_full && !waiting.held_back {
                bytes += weight(&waiting.content);
                // One that fits in no frame goes alone, and is refused.
                is_full = !batch.is_empty() && (batch.len() >= MAX_CONTENTS || content::padded_len(bytes).is_none());
            }
            if is_full || waiting.held_back {
                later.push_back(waiting);
            } else {
                self.gone.push(waiting.number);
                batch.push(waiting);
            }
        }
        self.waiting = later;
        batch
    }

    /// Those whom something that waits is for alone.
    pub(super) fn readers(&self) -> BTreeSet<IdentityKey> {
        let readers = self.waiting.iter().filter_map(|waiting| reader_of(&waiting.content));
        readers.collect()
    }

    /// Holds back, or lets go, what is for this one alone. If it is gone, so is what waits for it: gives who asked for that.
    pub(super) fn settle_reader(&mut self, who: &IdentityKey, reader: Reader) -> Vec<Option<Ticket>> {
        let mut lost = Vec::new();
        let gone = &mut self.gone;
        self.waiting.retain_mut(|waiting| {
            if reader_of(&waiting.content) != Some(*who) {
                return true;
            }
            waiting.held_back = reader == Reader::Expected;
            if reader == Reader::Gone {
                lost.push(waiting.ticket);
                gone.push(waiting.number);
            }
            reader != Reader::Gone
        });
        lost
    }

    fn push(&mut self, ticket: Option<Ticket>, was: Option<MessageId>, content: Content, since: Duration) {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.push_back(Waiting {
            number,
            ticket,
            was,
            content,
            since,
            held_back: false,
        });
    }

    /// Whether something from this number on was asked for before, and comes again: whoever said it was told that it is sent.
    pub(super) fn repeats_from(&self, number: u64) -> bool {
        let newest = self.waiting.iter().rev().take_while(|waiting| waiting.number >= number);
        newest.into_iter().any(|waiting| waiting.ticket.is_none())
    }

    /// What waits from this number on, the latest first: its number, since when, and what it says.
    pub(super) fn queued_from(&self, number: u64) -> impl Iterator<Item = (u64, Duration, &Content)> {
        let newest = self
            .waiting
            .iter()
            .rev()
            .take_while(move |waiting| waiting.number >= number);
        newest.map(|waiting| (waiting.number, waiting.since, &waiting.content))
    }

    /// The number of the next that comes to wait.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Numbers that wait no more, since this was asked last.
    pub(super) fn take_gone(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gone)
    }

    pub(super) fn unheld(&self) -> impl Iterator<Item = (&(EpochId, u64), &Unheld)> {
        self.unheld.iter()
    }

    /// Whether what is unheld changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Takes up what waited in an earlier run.
    pub(super) fn restore(&mut self, number: u64, content: Content, since: Duration) {
        self.next_number = self.next_number.max(number + 1);
        let waiting = Waiting {
            number,
            ticket: None,
            was: None,
            content,
            since,
            held_back: false,
        };
        let at = self.waiting.partition_point(|other| other.number < number);
        self.waiting.insert(at, waiting);
    }

    /// Takes up what an earlier run sealed.
    pub(super) fn restore_unheld(&mut self, at: (EpochId, u64), unheld: Unheld) {
        self.unheld.insert(at, unheld);
    }

    fn sealed(&mut self, at: (EpochId, u64), unheld: Unheld) {
        self.unheld.insert(at, unheld);
        self.changed = true;
        let shared = || self.unheld.iter().filter(|(_, unheld)| !unheld.alone);
        if self.unheld.len() <= MAX_OUTBOX || shared().count() <= MAX_OUTBOX {
            return;
        }
        // The ciphertext of what others can read is kept for them all the same.
        let elsewhere = shared().find(|(other, _)| other.0 != at.0);
        let oldest = elsewhere.or_else(|| shared().next()).map(|(other, _)| *other);
        if let Some(oldest) = oldest {
            self.unheld.remove(&oldest);
        }
    }

    /// Whether so much waits for somebody to hear it that nothing more is taken; and how much that is.
    fn is_full_of_soliloquies(&self) -> Option<usize> {
        if self.unheld.len() <= MAX_OUTBOX {
            return None;
        }
        let alone = self.unheld.values().filter(|unheld| unheld.alone);
        let (frames, bytes) = alone.fold((0, 0), |(frames, bytes), unheld| {
            (frames + 1, bytes + content::contents_len(&unheld.contents))
        });
        (frames >= MAX_SOLILOQUY || bytes >= MAX_SOLILOQUY_BYTES).then_some(frames)
    }

    /// Whether a frame of ours is known to nobody else.
    pub(super) fn is_unheld(&self, epoch: &EpochId, counter: u64) -> bool {
        self.unheld.contains_key(&(*epoch, counter))
    }

    /// Epochs with frames of ours that nobody else is known to have.
    pub(super) fn unheld_epochs(&self) -> impl Iterator<Item = EpochId> {
        self.unheld.keys().map(|(epoch, _)| *epoch)
    }

    /// Somebody has these frames of ours.
    fn held(&mut self, epoch: EpochId, has: impl Fn(u64) -> bool) {
        let before = self.unheld.len();
        self.unheld.retain(|(of, counter), _| *of != epoch || !has(*counter));
        self.changed |= self.unheld.len() != before;
    }

    /// Sends all again that nobody is known to have, before what waits.
    pub(super) fn requeue_all(&mut self) {
        let unheld = std::mem::take(&mut self.unheld);
        self.requeue(unheld);
    }

    fn requeue(&mut self, unheld: BTreeMap<(EpochId, u64), Unheld>) {
        if unheld.is_empty() {
            return;
        }
        self.changed = true;
        let later = std::mem::take(&mut self.waiting);
        for Unheld { contents, hash, .. } in unheld.into_values() {
            for (index, content) in (0..).zip(contents) {
                self.push(None, Some(MessageId::of(&hash, index)), content, Duration::ZERO);
            }
        }
        // Their numbers rise as well: that is their order in the next run.
        for waiting in later {
            self.gone.push(waiting.number);
            let Waiting {
                ticket,
                was,
                content,
                since,
                ..
            } = waiting;
            self.push(ticket, was, content, since);
        }
    }
}

impl Room {
    pub(super) fn on_send(&mut self, ticket: Ticket, text: String, reply_to: Option<MessageId>, now: Now) {
        if let Some(refusal) = self.refusal(&text) {
            return self.out.push_back(Output::Sent {
                ticket,
                result: Err(refusal),
            });
        }
        let content = Content::Text {
            text,
            reply_to,
            sent_at_ms: now.unix_ms,
        };
        self.wait_to_send(ticket, content, now);
    }

    /// Why a text isn't taken.
    pub(super) fn refusal(&self, text: &str) -> Option<SendRefused> {
        if text.is_empty() {
            Some(SendRefused::Empty)
        } else if text.len() > MAX_TEXT_BYTES {
            Some(SendRefused::TooLong { max: MAX_TEXT_BYTES })
        } else if self.outbox.waiting.len() >= MAX_OUTBOX {
            Some(SendRefused::QueueFull {
                waiting: self.outbox.waiting.len(),
            })
        } else {
            let waiting = self.outbox.is_full_of_soliloquies();
            waiting.map(|waiting| SendRefused::QueueFull { waiting })
        }
    }

    pub(super) fn wait_to_send(&mut self, ticket: Ticket, content: Content, now: Now) {
        self.outbox.push(Some(ticket), None, content, now.elapsed);
    }

    /// Sends what may go: at once under an exact epoch, else when the oldest has waited long enough.
    pub(super) fn flush_outbox(&mut self, now: Now, pace: Pace) {
        self.outbox.pacer.hold(false);
        if self.outbox.waiting.is_empty() && self.outbox.unheld.is_empty() {
            return;
        }
        // Who comes back to an empty room waits for somebody to say whether anything was sent since.
        if self.catching_up.is_in_doubt() {
            return;
        }
        let judged = self.judge(now);
        let Some(epoch) = judged.send else { return };
        if judged.send_exact {
            self.requeue_soliloquies(epoch);
        }
        self.settle_readers(epoch, now);
        let Some(oldest) = self.outbox.oldest() else {
            return;
        };
        // On the way from one net to the next nobody would hear it.
        if self.moving.is_some() {
            return;
        }
        if !judged.send_exact && now.elapsed.saturating_sub(oldest) < SEND_HOLD {
            return;
        }
        if pace == Pace::Steady
            && self
                .outbox
                .pacer
                .next(now.elapsed)
                .is_some_and(|next| next > now.elapsed)
        {
            return self.outbox.pacer.hold(true);
        }
        while self.outbox.oldest().is_some() {
            let batch = self.outbox.next_batch();
            let contents = batch.iter().map(|waiting| waiting.content.clone()).collect();
            let sealed = self.seal(epoch, contents, now);
            for (index, waiting) in (0..).zip(batch) {
                let result = sealed.map(|hash| MessageId::of(&hash, index));
                if let (Some(was), Ok(id)) = (waiting.was, &result) {
                    self.event(RoomEvent::Resent { was, id: *id });
                }
                if let Some(ticket) = waiting.ticket {
                    self.out.push_back(Output::Sent { ticket, result });
                }
            }
        }
        self.outbox.pacer.left(now.elapsed);
    }

    /// What was said in an epoch of nobody but us goes out again once somebody is here to hear it.
    fn requeue_soliloquies(&mut self, send: EpochId) {
        if self.epochs.is_ours_alone(&send) {
            return;
        }
        let alone: Vec<(EpochId, u64)> = (self.outbox.unheld.iter())
            .filter(|(_, unheld)| unheld.alone)
            .map(|(at, _)| *at)
            .collect();
        let mut soliloquies = BTreeMap::new();
        for at in alone {
            soliloquies.extend(self.outbox.unheld.remove(&at).map(|unheld| (at, unheld)));
        }
        self.outbox.requeue(soliloquies);
    }

    /// A peer says what it has: what of it is ours has arrived.
    pub(super) fn note_held(&mut self, have: &[EpochVector]) {
        let Some(mine) = self.own.leaf_id().filter(|_| !self.outbox.unheld.is_empty()) else {
            return;
        };
        for vector in have {
            let ours = vector.senders.iter().find(|sender| sender.leaf == mine);
            if let Some(ours) = ours {
                self.outbox.held(vector.epoch, |counter| {
                    counter < ours.next || ours.extra.contains(&counter)
                });
            }
        }
    }

    /// A member has all of ours below a counter.
    pub(super) fn note_held_below(&mut self, epoch: EpochId, held: u64) {
        self.outbox.held(epoch, |counter| counter < held);
    }

    /// The best epoch, and how much we have said in it.
    pub(super) fn said(&self, now: Now) -> Option<(EpochId, u64)> {
        let best = self.judge(now).best?;
        let progress = self.epochs.held_epoch(&best)?.progress(&self.own.leaf_id()?)?;
        Some((best, progress.next))
    }

    /// A peer has all that we had said in an epoch.
    pub(super) fn note_all_held(&mut self, said: Option<(EpochId, u64)>) {
        if let Some((epoch, next)) = said {
            self.outbox.held(epoch, |counter| counter < next);
        }
    }

    fn seal(&mut self, id: EpochId, contents: Vec<Content>, now: Now) -> Result<FrameHash, SendRefused> {
        let mine: LeafId = self.own.leaf_id().ok_or(SendRefused::Closed)?;
        let parents = self.timeline.tips();
        let wire = self.seal_privates(&id, &contents, now)?;
        let epoch = self.epochs.held_mut(&id).ok_or(SendRefused::Closed)?;
        let tag = epoch.tag();
        let sealed = epoch
            .seal(&mut self.rng, mine, &self.own.secrets().signing, &parents, &wire)
            .map_err(|_| SendRefused::TooLong { max: MAX_TEXT_BYTES })?;
        self.timeline.sent(ParentRef { tag, hash: sealed.hash });
        self.audit.keep(sealed.statement);
        let key = (id, mine, sealed.counter);
        self.delivery
            .record(key, sealed.hash, sealed.bytes.clone(), now.elapsed);
        self.said
            .sealed((id, sealed.counter), sealed.hash, messages_among(&contents));
        let unheld = Unheld {
            contents,
            hash: sealed.hash,
            alone: self.epochs.is_ours_alone(&id),
        };
        self.outbox.sealed((id, sealed.counter), unheld);
        self.out.push_back(Output::Publish { bytes: sealed.bytes });
        Ok(sealed.hash)
    }
}

/// What a content takes of a frame, once it is sealed.
fn weight(content: &Content) -> usize {
    match content {
        Content::Private { said, .. } => Content::direct(Vec::new()).encoded_len() + pair::body_len(said),
        _ => content.encoded_len(),
    }
}

/// Whom a content is for alone.
fn reader_of(content: &Content) -> Option<IdentityKey> {
    match content {
        Content::Private { with, .. } => Some(*with),
        _ => None,
    }
}

/// Places of the messages among the contents of a frame, and whom each is for, if for one alone.
pub(super) fn messages_among(contents: &[Content]) -> Vec<(u32, Option<IdentityKey>)> {
    let is_message = |content: &Content| matches!(content, Content::Text { .. } | Content::Private { .. });
    let numbered = (0..).zip(contents).filter(|(_, content)| is_message(content));
    numbered.map(|(index, content)| (index, reader_of(content))).collect()
}
