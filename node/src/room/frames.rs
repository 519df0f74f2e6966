//! Gossip in: frames and control messages, checked cheapest first; a verdict for each (docs/PROTOCOL.md, "Checks on a frame").
//!
//! What fails at its carrier's fault is rejected, which costs the carrier score. What may be our own lag is ignored and held.

use std::collections::VecDeque;
use std::time::Duration;

use snug_crypto::bounds::MAX_GOSSIP_BYTES;
use snug_crypto::content::Content;
use snug_crypto::control::{self, ControlError, ControlMessage};
use snug_crypto::credential::{SignedTombstone, TOMBSTONE_LEN, Tombstone};
use snug_crypto::epoch::UnverifiedAnnouncement;
use snug_crypto::frame::{self, Blame, ParentRef};
use snug_crypto::ids::{EpochId, MessageId, PeerKey};
use snug_crypto::leaf::{Record, RecordError, UnverifiedRecord};
use snug_crypto::operation::{Author, Operation, SignedOperation, UnverifiedOperation};

use super::authority::Taken;
use super::keys::Announced;
use super::members::Merged;
use super::timeline::Arrived;
use super::timing::{UNKNOWN_BYTES, UNKNOWN_FRAMES, UNKNOWN_HOLD};
use super::{GossipId, Message, Now, Output, Phase, Room, RoomEvent, Rule, Verdict, Warning};

/// Frames of epochs that are not here yet: the newest, for a while.
#[derive(Default)]
pub(super) struct Unopened {
    frames: VecDeque<(Duration, Vec<u8>)>,
    bytes: usize,
}

impl Unopened {
    fn push(&mut self, bytes: Vec<u8>, elapsed: Duration) {
        self.bytes += bytes.len();
        self.frames.push_back((elapsed, bytes));
        while self.frames.len() > UNKNOWN_FRAMES || self.bytes > UNKNOWN_BYTES {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let (_, bytes) = self.frames.pop_front()?;
        self.bytes -= bytes.len();
        Some(bytes)
    }
}

/// What of a content people read, and whether it is for our eyes alone.
fn spoken(content: &Content) -> Option<(&Content, bool)> {
    match content {
        Content::Text { .. } => Some((content, false)),
        Content::Private { said, .. } if matches!(**said, Content::Text { .. }) => Some((said, true)),
        _ => None,
    }
}

/// How something new reached us: gossip spreads by itself, what a link told us has to be spread by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Gossip,
    Direct,
}

/// Whether we asked for a frame: of what we ask for we determine how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Yes,
    No,
}

impl Room {
    pub(super) fn on_gossip(&mut self, from: PeerKey, id: GossipId, bytes: Vec<u8>, now: Now) {
        let verdict = if control::is_control(&bytes) {
            match control::open(self.keys.control(), &bytes) {
                Ok(message) => self.take_control(from, message, Way::Gossip, now),
                Err(ControlError::Forged) => self.take_earlier_control(from, &bytes, now),
                // A later version's message is worth carrying, even where it can't be understood.
                Err(ControlError::UnknownType(_)) => Verdict::Accept,
                Err(ControlError::Malformed(_)) => Verdict::Reject,
            }
        } else {
            self.take_frame(bytes, Asked::No, now)
        };
        self.out.push_back(Output::Verdict { id, verdict });
    }

    /// What others said before they heard of the generation that we are in: nothing that they could be blamed for, as long as they are on
    /// the mesh that we are about to leave.
    fn take_earlier_control(&mut self, from: PeerKey, bytes: &[u8], now: Now) -> Verdict {
        let current = self.keys.generation();
        let earlier = self
            .generations
            .all_held()
            .into_iter()
            .filter(|held| held.keys.generation() != current);
        let opened = earlier
            .map(|held| control::open(held.keys.control(), bytes))
            .find(Result::is_ok);
        match opened {
            Some(Ok(message)) => self.take_old_control(from, message, now),
            _ => Verdict::Reject,
        }
    }

    /// A frame: known tag, then everything that [`snug_crypto::frame::Epoch::open`] checks.
    pub(super) fn take_frame(&mut self, bytes: Vec<u8>, asked: Asked, now: Now) -> Verdict {
        let Some(tag) = frame::tag_of(&bytes).filter(|_| bytes.len() <= MAX_GOSSIP_BYTES) else {
            return Verdict::Reject;
        };
        let Some(id) = self.epochs.by_tag(&tag) else {
            self.unopened.push(bytes, now.elapsed);
            self.questions.hurry(now.elapsed);
            return Verdict::Ignore;
        };
        let Some(epoch) = self.epochs.held_mut(&id) else {
            return Verdict::Ignore;
        };
        let speech = &mut self.flood.speech;
        match epoch.open_if(&bytes, |sender| {
            asked == Asked::Yes || speech.admits(sender, now.elapsed)
        }) {
            Ok((mut opened, statement)) => {
                self.epochs.is_heard_of(&id, now.elapsed);
                for parent in &opened.parents {
                    if let Some(other) = self.epochs.by_tag(&parent.tag).filter(|other| *other != id) {
                        self.epochs.is_heard_of(&other, now.elapsed);
                    }
                }
                // Comparisons cover the best epoch alone.
                let is_compared = self.judgement.is_some_and(|judged| judged.best == Some(id));
                self.questions.has_news |= asked == Asked::Yes && !is_compared;
                if asked == Asked::No {
                    self.flood.speech.charge(opened.sender, now.elapsed);
                    self.outbox.pacer.heard(opened.sender, now.elapsed);
                }
                let key = (id, opened.sender, opened.counter);
                self.delivery.record(key, opened.hash, bytes, now.elapsed);
                let forgotten = Some(opened.sender) == self.own.leaf_id();
                if let Some(leaf) = self.members.leaf(&opened.sender) {
                    let identity = leaf.identity();
                    self.members.heard(&identity, now.elapsed);
                }
                if !forgotten {
                    self.note_arrived(id, &opened, now);
                    // At once, whatever the frame waits for: its keys, and what it gives for the answer, are on disk with the frame's own.
                    self.open_privates(id, &mut opened, now);
                }
                self.note_stated(statement, now);
                let tip = ParentRef { tag, hash: opened.hash };
                self.timeline.tip(tip, &opened.parents);
                // While epochs may be missing that list us, a parent of one we can't place is waited for, too.
                let (epochs, any) = (&self.epochs, self.is_catching_up(now));
                let mine = |parent: &ParentRef| any || epochs.by_tag(&parent.tag).is_some();
                if asked == Asked::Yes {
                    self.timeline.pulled(now.elapsed);
                }
                let ready = self.timeline.insert(
                    Arrived {
                        epoch: id,
                        frame: opened,
                        again: false,
                    },
                    mine,
                    now.elapsed,
                );
                if self.lacks_frames(&id, now) || self.timeline.waits() {
                    self.questions.gap(now.elapsed);
                }
                self.show(ready, now);
                if forgotten {
                    self.meet_own_frame(now);
                }
                Verdict::Accept
            }
            Err(error) => match error.blame() {
                Blame::Duplicate | Blame::Ourselves => Verdict::Ignore,
                Blame::Sender => Verdict::Reject,
            },
        }
    }

    /// Whether frames of an epoch are missing that are worth hurrying for: not those of somebody who says too much.
    pub(super) fn lacks_frames(&self, epoch: &EpochId, now: Now) -> bool {
        let gaps = self.delivery.gappy(epoch);
        gaps.into_iter()
            .any(|leaf| !self.flood.speech.is_full(leaf, now.elapsed))
    }

    /// Tries frames again that came before their epoch's keys.
    pub(super) fn reopen_held(&mut self, now: Now) {
        let frames: Vec<(Duration, Vec<u8>)> = self.unopened.frames.drain(..).collect();
        self.unopened.bytes = 0;
        for (since, bytes) in frames {
            let known = frame::tag_of(&bytes).is_some_and(|tag| self.epochs.by_tag(&tag).is_some());
            if known {
                self.take_frame(bytes, Asked::No, now);
            } else if now.elapsed.saturating_sub(since) < UNKNOWN_HOLD {
                self.unopened.bytes += bytes.len();
                self.unopened.frames.push_back((since, bytes));
            }
        }
    }

    /// Shows frames that waited long enough for their parents.
    pub(super) fn tend_timeline(&mut self, now: Now) {
        self.timeline.hold_on(|epoch| self.delivery.has_gap(epoch));
        let ready = self.timeline.release(now.elapsed);
        self.show(ready, now);
    }

    fn show(&mut self, ready: Vec<Arrived>, now: Now) {
        for arrived in ready {
            if self.parks() && arrived.frame.contents.iter().any(|content| spoken(content).is_some()) {
                self.park_opened(arrived);
            } else {
                self.hand_on(arrived, now);
            }
        }
    }

    /// Gives the front end what a frame says.
    pub(super) fn hand_on(&mut self, arrived: Arrived, now: Now) {
        let Arrived { epoch, frame, again } = arrived;
        let Some(leaf) = self.members.leaf(&frame.sender).cloned() else {
            tracing::debug!(%epoch, "a frame of a leaf that is no longer known");
            self.ledger.settled(frame.hash);
            self.note_shown(epoch, &frame, None, now);
            return;
        };
        // Contents of kinds that this version does not know are skipped: later versions add some. So is what is said to others.
        let count = frame.contents.iter().filter_map(spoken).count() as u64;
        if count == 0 {
            self.ledger.settled(frame.hash);
            self.note_shown(epoch, &frame, None, now);
            return;
        }
        // The frame is shown when the last of its messages is.
        let last = self.ledger.number(count);
        let before = last - count;
        self.note_shown(epoch, &frame, Some((before, last)), now);
        let mut serial = before;
        let from = self.view_of(&leaf, now);
        let parents: Vec<[u8; 32]> = frame.parents.iter().map(|parent| *parent.hash.as_bytes()).collect();
        for (index, content) in (0..).zip(&frame.contents) {
            let Some((said, direct)) = spoken(content) else {
                continue;
            };
            let Content::Text {
                text,
                reply_to,
                sent_at_ms,
            } = said
            else {
                continue;
            };
            serial += 1;
            let message = Message {
                id: MessageId::of(&frame.hash, index),
                from: from.clone(),
                text: crate::text::Untrusted::new(text.as_str()),
                direct,
                reply_to: *reply_to,
                parents: parents.clone(),
                sent_at_ms: *sent_at_ms,
                serial,
                again,
            };
            self.event(RoomEvent::Message(message));
        }
        self.ledger.handed_on((before, last), epoch, frame);
    }

    /// A record, operation or announcement, by gossip or from a link.
    pub(super) fn take_control(&mut self, from: PeerKey, message: ControlMessage, way: Way, now: Now) -> Verdict {
        match message {
            ControlMessage::Record(record) => self.take_record(from, record, way, now),
            ControlMessage::Operation(operation) => self.take_operation(from, operation, way, now),
            ControlMessage::Approval {
                identity,
                generation,
                approval,
            } => self.take_approval(identity, generation, approval, now),
            ControlMessage::Certificate(certificate) => self.take_certificate(certificate, now),
            // For keepers: among members boxes are asked for.
            ControlMessage::Box { epoch, sealed } => {
                self.take_kept_box(from, epoch, sealed);
                Verdict::Ignore
            }
            ControlMessage::Announcement(announcement) => match self.accept_announcement(announcement.clone(), now) {
                Announced::New => {
                    self.epochs.heard_from(&announcement.epoch_id(&self.genesis_hash), from);
                    // Those of earlier generations go to whoever asks: newcomers have no use for them.
                    if way == Way::Direct && self.is_of_now(&announcement) {
                        self.publish_control(&ControlMessage::Announcement(announcement));
                    }
                    Verdict::Accept
                }
                Announced::UnknownIssuer if self.is_of_now(&announcement) => {
                    self.ask_sync(from);
                    Verdict::Ignore
                }
                Announced::Known | Announced::Shed | Announced::Foreign | Announced::UnknownIssuer => Verdict::Ignore,
                // Its list is here soon. Others needn't wait for that: each would hear of it only once the one before had asked for it.
                Announced::MembersMissing { first } => {
                    self.want_list(from, announcement.clone(), now);
                    if !first || !self.is_of_now(&announcement) {
                        return Verdict::Ignore;
                    }
                    if way == Way::Direct {
                        self.publish_control(&ControlMessage::Announcement(announcement));
                    }
                    Verdict::Accept
                }
                Announced::Bad => Verdict::Reject,
            },
        }
    }

    fn is_of_now(&self, announcement: &UnverifiedAnnouncement) -> bool {
        announcement.unverified_header().generation == self.keys.generation()
    }

    fn take_record(&mut self, from: PeerKey, record: UnverifiedRecord, way: Way, now: Now) -> Verdict {
        // Every link tells of everybody: without this a room of a hundred verified each record a dozen times.
        if self.members.has(&record) || !self.flood.records.admits(&record.identity(), now.elapsed) {
            return Verdict::Ignore;
        }
        let record = match self.verify_record(record) {
            Ok(record) => record,
            Err(RecordError::UnknownGeneration) => return Verdict::Ignore,
            Err(RecordError::NotAdmitted | RecordError::BadSignature) => return Verdict::Reject,
        };
        let identity = record.identity();
        if let Record::Leaf(leaf) = &record
            && let Some(approval) = leaf.unverified_approval()
            && approval
                .verify(&identity, leaf.generation(), &self.genesis_hash)
                .is_err()
        {
            return Verdict::Reject;
        }
        match self.members.merge(record.clone(), now.unix_ms) {
            Merged::New => {
                self.flood.records.charge(identity, now.elapsed);
                self.members.heard(&identity, now.elapsed);
                self.mark_all_for(&identity, now);
                if way == Way::Direct {
                    self.publish_control(&ControlMessage::Record(record.to_unverified()));
                    if matches!(record, Record::Leave(_)) {
                        // Whoever tells of a leave by a link is the one who leaves, mostly: the last chance for its last words.
                        self.ask_frames(from);
                    }
                }
                if identity == self.me && self.phase == Phase::In {
                    self.meet_own_record(now);
                }
                Verdict::Accept
            }
            // It was verified all the same, and whoever wants can make more of these. What we asked for is bounded by our asking.
            Merged::Known | Merged::Refused => {
                if way == Way::Gossip {
                    self.flood.records.charge(identity, now.elapsed);
                }
                Verdict::Ignore
            }
            Merged::Equivocation { first } => {
                self.flood.records.charge(identity, now.elapsed);
                // Whoever holds the other one has to hear of the one that counts: all settle on the same.
                if let Some(kept) = self.members.record(&identity).cloned() {
                    self.publish_control(&ControlMessage::Record(kept.to_unverified()));
                    if let (true, Record::Leaf(leaf)) = (first, &kept) {
                        let view = self.view_of(leaf, now);
                        let warning = Warning::Equivocation {
                            name: view.name,
                            fingerprint: view.fingerprint,
                        };
                        self.event(RoomEvent::Warning(warning));
                    }
                }
                if identity == self.me && self.phase == Phase::In {
                    self.meet_own_record(now);
                }
                Verdict::Ignore
            }
        }
    }

    pub(super) fn take_operation(
        &mut self,
        from: PeerKey,
        operation: UnverifiedOperation,
        way: Way,
        now: Now,
    ) -> Verdict {
        match self.authority.take(operation, &self.genesis) {
            Ok(Taken::New(operation)) => {
                if way == Way::Direct {
                    self.publish_control(&ControlMessage::Operation(operation.to_unverified()));
                }
                if matches!(operation.operation(), Operation::Tombstone(_)) {
                    self.end_deleted();
                } else {
                    self.operation_counts(&operation, now);
                    self.settle_generation(now);
                }
                Verdict::Accept
            }
            Ok(Taken::Generation(operation)) => {
                if !self.keeps(Rule::WholeGenerations) {
                    self.authority.insert_verified(operation, &self.genesis);
                    self.settle_generation(now);
                    return Verdict::Accept;
                }
                self.want_object(operation, from, now);
                Verdict::Accept
            }
            Ok(Taken::MissingPast) => {
                self.questions.hurry(now.elapsed);
                Verdict::Ignore
            }
            Ok(Taken::Known | Taken::Refused) => Verdict::Ignore,
            Err(_) => Verdict::Reject,
        }
    }

    /// The rendezvous shows a proof of deletion: only the admin's signature over this very room counts.
    pub(super) fn on_tombstone(&mut self, bytes: &[u8]) {
        let this_room = Tombstone {
            handle: self.genesis.handle(),
            genesis_hash: self.genesis_hash,
        };
        let Some(tombstone) = <[u8; TOMBSTONE_LEN]>::try_from(bytes)
            .ok()
            .map(|bytes| SignedTombstone::from_bytes(&bytes))
            .filter(|tombstone| tombstone.verify(self.genesis.admin()) == Ok(this_room))
        else {
            return tracing::warn!("the rendezvous claims that the room was deleted, and can't prove it; ignored");
        };
        let tombstone = Operation::Tombstone(tombstone);
        let heads = self.authority.heads();
        // Anybody may carry the admin's word into the log; the signature that counts is inside.
        if let Ok(operation) =
            SignedOperation::create(Author::Member(&self.identity), heads, tombstone, &self.genesis_hash)
        {
            self.tell_operation(operation);
        }
        self.end_deleted();
    }

    pub(super) fn end_deleted(&mut self) {
        let room = self.genesis.room_id().as_str().to_owned();
        self.event(RoomEvent::System(super::Notice::RoomDeleted { room }));
        self.event(RoomEvent::Deleted);
        self.phase = Phase::Over;
    }
}
