//! What members ask of each other over links: what the other knows, boxes, frames that were missed (docs/PROTOCOL.md, "Direct exchange").
//!
//! Gossip is quick and forgets; this is slower and does not. Each new link exchanges everything, each few seconds one link is compared
//! with, and a gap is pulled when it shows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::RngExt;
use snug_crypto::control::ControlMessage;
use snug_crypto::direct::{Bundle, DirectReply, DirectRequest, Wants};
use snug_crypto::epoch::{Announcement, SealedBox};
use snug_crypto::generation::Generation;
use snug_crypto::ids::{EpochId, OperationHash, PeerKey};
use snug_crypto::leaf::Record;
use snug_crypto::operation::SignedOperation;
use snug_crypto::wire::Writer;
use snug_crypto::{kdf, label};

use super::frames::{Asked, Way};
use super::keepers::KeeperQuestion;
use super::objects::Told;
use super::timing::{
    AFTERMATH, COMPARE_INTERVAL, COMPARE_INTERVAL_MIN, COMPARE_ROUND, GAP_PATIENCE, GAP_PATIENCE_MAX, MAX_QUERIES,
    NEWS_PACE, REPLY_BYTES, SYNC_EPOCHS,
};
use super::{Now, Output, QueryId, RequestId, Room, Verdict};

/// What a question was about, until its reply is here.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Sync {
        to: PeerKey,
        /// Whether a comparison showed that the two of us differ.
        differs: bool,
    },
    Push,
    Receipt,
    Compare {
        to: PeerKey,
        /// The best epoch, and how much we had said in it by then: all of it is there if the digests are the same.
        said: Option<(EpochId, u64)>,
    },
    Frames {
        to: PeerKey,
    },
    Box {
        epoch: EpochId,
        to: PeerKey,
    },
    BoxForOther {
        epoch: EpochId,
    },
    Boxes {
        epoch: EpochId,
    },
    Members {
        epoch: EpochId,
    },
    Object {
        operation: OperationHash,
        to: PeerKey,
    },
    Statements {
        to: PeerKey,
    },
    Approval {
        generation: Generation,
    },
    Keeper {
        to: PeerKey,
        question: KeeperQuestion,
    },
}

/// Questions under way, and when the next ones are due.
pub(super) struct Questions {
    next_id: u64,
    open: BTreeMap<QueryId, Question>,
    next_compare: Duration,
    /// When each link was compared with last.
    compared: BTreeMap<PeerKey, Duration>,
    gap_since: Option<Duration>,
    /// How long a gap waits for its next pull: doubled while nobody can fill it.
    gap_wait: Duration,
    /// When the epoch changed last.
    epoch_since: Option<Duration>,
    /// Frames that we asked for came, of another epoch than the best, and when links may be told of that.
    pub(super) has_news: bool,
    next_news: Duration,
    /// When records were last told to a link that seems to have others of the same numbers.
    pub(super) retold: Option<Duration>,
    /// Links that are asked for everything once another has told most of it, and when the next one is asked whatever that one does.
    pub(super) later: VecDeque<PeerKey>,
    pub(super) next_sync: Duration,
    /// Whether a link has told us all that it knows.
    pub(super) told_all: bool,
}

impl Questions {
    pub(super) fn new(elapsed: Duration) -> Self {
        Self {
            next_id: 0,
            open: BTreeMap::new(),
            next_compare: elapsed + COMPARE_INTERVAL,
            compared: BTreeMap::new(),
            gap_since: None,
            gap_wait: GAP_PATIENCE,
            epoch_since: None,
            has_news: false,
            next_news: elapsed,
            retold: None,
            later: VecDeque::new(),
            next_sync: elapsed,
            told_all: false,
        }
    }

    pub(super) fn asking_boxes(&self, id: &EpochId) -> bool {
        self.open
            .values()
            .any(|question| matches!(question, Question::Boxes { epoch } if epoch == id))
    }

    pub(super) fn asking_object(&self, operation: &OperationHash, peer: &PeerKey) -> bool {
        self.open
            .values()
            .any(|question| matches!(question, Question::Object { operation: of, to } if of == operation && to == peer))
    }

    pub(super) fn asking_sync(&self, peer: &PeerKey) -> bool {
        self.open
            .values()
            .any(|question| matches!(question, Question::Sync { to, .. } if to == peer))
    }

    pub(super) fn asking_any_sync(&self) -> bool {
        self.open
            .values()
            .any(|question| matches!(question, Question::Sync { .. }))
    }

    /// Something is missing: pull it soon, unless gossip brings it.
    pub(super) fn gap(&mut self, elapsed: Duration) {
        self.gap_since.get_or_insert(elapsed);
    }

    /// A new epoch is held: what was sent under the one before, and lost, has no successor that would show the gap.
    pub(super) fn epoch_changed(&mut self, elapsed: Duration) {
        self.epoch_since = Some(elapsed);
        self.hurry(elapsed);
    }

    /// We seem to lag behind: compare soon.
    pub(super) fn hurry(&mut self, elapsed: Duration) {
        self.next_compare = self.next_compare.min(elapsed + GAP_PATIENCE);
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        let gap = self.gap_since.map(|since| since + self.gap_wait);
        let sync = (!self.later.is_empty()).then_some(self.next_sync);
        let news = self.has_news.then_some(self.next_news);
        [gap, sync, news, Some(self.next_compare)].into_iter().flatten().min()
    }
}

impl Room {
    pub(super) fn ask(&mut self, to: PeerKey, request: DirectRequest, question: Question) {
        // A keeper answers none of these, and is told nothing that isn't sealed.
        if self.keepers.is_linked(&to) {
            return;
        }
        match request.encode() {
            Ok(bytes) => drop(self.ask_bytes(to, bytes, question)),
            Err(_) => tracing::debug!("a question is too large to ask"),
        }
    }

    /// Says whether it is asked.
    pub(super) fn ask_bytes(&mut self, to: PeerKey, bytes: Vec<u8>, question: Question) -> bool {
        if self.questions.open.len() >= MAX_QUERIES {
            tracing::debug!("too many questions are open; this one waits for its next turn");
            return false;
        }
        let id = QueryId(self.questions.next_id);
        self.questions.next_id += 1;
        self.questions.open.insert(id, question);
        self.out.push_back(Output::Query { to, id, bytes });
        true
    }

    pub(super) fn on_link_up(&mut self, peer: PeerKey, now: Now) {
        if self.is_keeper(&peer) {
            return self.on_keeper_up(peer, now);
        }
        self.members.link_up(peer);
        self.own.linked(now.elapsed);
        // As good as compared: who comes again and again has no turn before the others.
        self.questions.compared.insert(peer, now.elapsed);
        self.ask_new_link(peer, now);
        if let Some(identity) = self.owner_of(&peer) {
            self.mark_all_for(&identity, now);
        }
    }

    pub(super) fn on_link_down(&mut self, peer: PeerKey, now: Now) {
        if !self.on_keeper_down(&peer) {
            self.questions.later.retain(|other| *other != peer);
            self.members.link_down(&peer, now.elapsed);
        }
    }

    /// Tells every link something new, whatever gossip does.
    pub(super) fn push_to_links(
        &mut self,
        records: &[Record],
        operations: &[SignedOperation],
        announcements: &[Announcement],
    ) {
        let links: Vec<PeerKey> = self.members.links().copied().collect();
        let request = DirectRequest::Push(Bundle {
            records: records.iter().map(Record::to_unverified).collect(),
            operations: operations.iter().map(SignedOperation::to_unverified).collect(),
            announcements: announcements.iter().map(Announcement::to_unverified).collect(),
        });
        for to in links {
            self.ask(to, request.clone(), Question::Push);
        }
    }

    /// Compares with one link after the other, and pulls what a gap shows to be missing.
    pub(super) fn tend_exchange(&mut self, now: Now) {
        if !self.questions.later.is_empty() && now.elapsed >= self.questions.next_sync {
            self.ask_later_links(now);
        }
        if self.questions.has_news && now.elapsed >= self.questions.next_news {
            self.questions.has_news = false;
            self.questions.next_news = now.elapsed + NEWS_PACE;
            self.tell_of_news();
        }
        let lacking: Vec<EpochId> = (self.epochs.latest_held(usize::MAX).into_iter())
            .filter(|id| self.lacks_frames(id, now))
            .collect();
        let gap = !lacking.is_empty() || self.timeline.waits();
        if !gap {
            self.questions.gap_since = None;
            self.questions.gap_wait = GAP_PATIENCE;
        } else {
            let since = *self.questions.gap_since.get_or_insert(now.elapsed);
            if now.elapsed.saturating_sub(since) >= self.questions.gap_wait {
                self.questions.gap_since = Some(now.elapsed);
                self.questions.gap_wait = (self.questions.gap_wait * 2).min(GAP_PATIENCE_MAX);
                if let Some(to) = self.random_link() {
                    self.ask_frames(to);
                    let latest = self.epochs.latest_held(SYNC_EPOCHS);
                    let others: Vec<EpochId> = lacking.into_iter().filter(|id| !latest.contains(id)).collect();
                    self.ask_frames_of(&others, to);
                }
            }
        }
        if now.elapsed >= self.questions.next_compare {
            let links = u32::try_from(self.members.links().count()).unwrap_or(u32::MAX);
            let base = (COMPARE_ROUND / links.max(1)).clamp(COMPARE_INTERVAL_MIN, COMPARE_INTERVAL);
            self.questions.next_compare = now.elapsed + base.mul_f64(self.rng.random_range(0.5..1.5));
            if let Some(to) = self.longest_uncompared(now) {
                let digest = self.digest(now);
                let said = self.said(now);
                self.ask(to, DirectRequest::Compare { digest }, Question::Compare { to, said });
                // The digest covers the best epoch alone, as members may rightly differ in the older ones.
                let since = self.questions.epoch_since;
                let is_aftermath = since.is_some_and(|since| now.elapsed.saturating_sub(since) < AFTERMATH);
                if is_aftermath || self.catching_up.is_in_doubt() {
                    self.ask_frames(to);
                }
            }
        }
    }

    /// We were given frames of an epoch that no comparison covers: whoever is linked with us may lack them too, and asks for them.
    fn tell_of_news(&mut self) {
        let links: Vec<PeerKey> = self.members.links().copied().collect();
        if links.len() > 1 {
            for to in links {
                self.ask(to, DirectRequest::Push(Bundle::default()), Question::Push);
            }
        }
    }

    pub(super) fn ask_frames(&mut self, to: PeerKey) {
        let have = self
            .epochs
            .latest_held(SYNC_EPOCHS)
            .into_iter()
            // What came first is told first: it is what the rest names as parents.
            .rev()
            .map(|id| self.delivery.vector(id))
            .collect();
        self.ask(to, DirectRequest::Frames { have }, Question::Frames { to });
    }

    /// The link that was compared with longest ago. Not a random one: where most links withhold what they know, the honest one has its turn
    /// all the same.
    fn longest_uncompared(&mut self, now: Now) -> Option<PeerKey> {
        let (members, compared) = (&self.members, &mut self.questions.compared);
        compared.retain(|peer, _| members.linked(peer));
        let longest_ago = |peer: &&PeerKey| compared.get(*peer).copied();
        let to = *members.links().min_by_key(longest_ago)?;
        compared.insert(to, now.elapsed);
        Some(to)
    }

    pub(super) fn random_link(&mut self) -> Option<PeerKey> {
        let links: Vec<PeerKey> = self.members.links().copied().collect();
        (!links.is_empty()).then(|| links[self.rng.random_range(0..links.len())])
    }

    /// What two members that know the same agree on: registers, operations, the best epoch, and its frames.
    fn digest(&self, now: Now) -> [u8; 32] {
        let mut state = Writer::new();
        state.count(self.members.records().count());
        for (identity, seq, digest) in self.members.digests() {
            state.raw(identity.as_bytes()).u64(seq).raw(digest);
        }
        state.count(self.authority.hashes().count());
        for hash in self.authority.hashes() {
            state.raw(hash.as_bytes());
        }
        if let Some(best) = self.judge(now).best {
            state.raw(best.as_bytes());
            for sender in self.delivery.vector(best).senders {
                state
                    .raw(sender.leaf.as_bytes())
                    .u64(sender.next)
                    .count(sender.extra.len());
            }
        }
        kdf::hash(label::STATE, &[state.as_slice()])
    }

    pub(super) fn on_request(&mut self, from: PeerKey, id: RequestId, bytes: &[u8], now: Now) {
        // Nothing that members tell each other is for a keeper.
        if self.keepers.is_linked(&from) {
            return self.out.push_back(Output::Respond { id, bytes: Vec::new() });
        }
        if !self.flood.questions.admits(&from, now.elapsed) {
            return tracing::debug!("a peer asks more than is answered");
        }
        self.flood.questions.charge(from, now.elapsed);
        let Ok(request) = DirectRequest::decode(bytes) else {
            tracing::debug!("a peer asked something malformed");
            return self.out.push_back(Output::Disconnect { peer: from });
        };
        let reply = match request {
            DirectRequest::Sync {
                records,
                operations,
                epochs,
            } => self.answer_sync(&records, &operations, &epochs),
            DirectRequest::Push(_) if self.is_going() => DirectReply::Done,
            DirectRequest::Push(bundle) if bundle == Bundle::default() => {
                // Who pushes nothing is about to go, and this is the last chance for its last words until it is back; or it was given what
                // we wouldn't ask for otherwise.
                self.ask_all_frames(from);
                DirectReply::Done
            }
            DirectRequest::Push(bundle) => {
                self.take_all(from, bundle, now);
                DirectReply::Done
            }
            DirectRequest::Compare { digest } => DirectReply::Compare {
                same: digest == self.digest(now),
            },
            DirectRequest::Frames { have } => {
                self.note_held(&have);
                self.note_vectors(from, &have, now);
                DirectReply::Frames(self.delivery.missing(&have))
            }
            DirectRequest::Receipt { marks } => {
                self.on_receipt(from, &marks, now);
                DirectReply::Noted
            }
            DirectRequest::Box { epoch, leaf } => DirectReply::Box(self.answer_box(epoch, leaf, from, now)),
            DirectRequest::Boxes { epoch, skip } => DirectReply::Boxes(self.answer_boxes(&epoch, skip)),
            DirectRequest::Object { operation, leaf } => {
                // Who lacks one that ours builds on, gets ours: it brings the log.
                let current = self.keys.generation().hash;
                let past = || self.authority.past_of(current, &self.genesis);
                let object = self.object_for(&operation, &leaf).or_else(|| {
                    past()
                        .contains(&operation)
                        .then(|| self.object_for(&current, &leaf))
                        .flatten()
                });
                if object.is_some() {
                    self.gave_object(from, now);
                }
                DirectReply::Object(object)
            }
            DirectRequest::Door {
                leaf,
                generation,
                object,
            } => self.open_door(leaf, generation, object, Told::Link(from), now),
            DirectRequest::Statements { frames } => self.answer_statements(&frames),
            DirectRequest::Approval { identity, generation } => {
                DirectReply::Approval(self.approval_of(&identity, &generation))
            }
            DirectRequest::Members { epoch } => {
                let members = self
                    .epochs
                    .known(&epoch)
                    .map(|known| known.announcement.members().to_vec());
                DirectReply::Members(members.unwrap_or_default())
            }
        };
        match reply.encode() {
            Ok(bytes) => self.out.push_back(Output::Respond { id, bytes }),
            Err(error) => tracing::debug!(%error, "a reply is too large to give"),
        }
    }

    fn answer_boxes(&self, epoch: &EpochId, skip: u32) -> Vec<SealedBox> {
        let Some(known) = self.epochs.known(epoch) else {
            return Vec::new();
        };
        let mut size = 0;
        known
            .boxes
            .values()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
            .take_while(|sealed| {
                size += sealed.encode().len();
                size <= REPLY_BYTES
            })
            .cloned()
            .collect()
    }

    pub(super) fn on_response(&mut self, id: QueryId, bytes: Option<Vec<u8>>, now: Now) {
        let Some(question) = self.questions.open.remove(&id) else {
            return;
        };
        if let Question::Keeper { to, question } = question {
            return self.on_keeper_reply(to, question, bytes.as_deref(), now);
        }
        let reply = bytes.and_then(|bytes| DirectReply::decode(&bytes).ok());
        match (question, reply) {
            (Question::Sync { to, differs }, Some(DirectReply::Sync { bundle, wants, more })) => {
                let before = self.knowledge();
                let nothing_to_tell = bundle == Bundle::default() && wants == Wants::default();
                self.take_all(to, bundle, now);
                self.own.synced();
                self.give(to, &wants);
                // Only what was new counts: a peer that repeats itself must not keep us asking.
                if more && self.knowledge() != before {
                    self.ask_sync(to);
                } else {
                    self.questions.told_all |= !more;
                    self.ask_later_links(now);
                }
                if nothing_to_tell && differs {
                    self.retell(to, now);
                }
                self.ask_all_frames(to);
            }
            (Question::Sync { .. }, _) => self.ask_later_links(now),
            (Question::Compare { to, .. }, Some(DirectReply::Compare { same: false })) => {
                self.ask_sync_because(to, true);
            }
            (Question::Compare { said, to }, Some(DirectReply::Compare { same: true })) => {
                self.note_all_held(said);
                if let Some((epoch, next)) = said {
                    self.note_member_holds(to, epoch, next, now);
                }
            }
            (Question::Frames { to }, Some(DirectReply::Frames(frames))) => {
                self.catching_up.confirm();
                let full = frames.iter().map(Vec::len).sum::<usize>() > REPLY_BYTES / 2;
                let mut taken = 0;
                for frame in frames {
                    if self.take_frame(frame, Asked::Yes, now) == Verdict::Accept {
                        taken += 1;
                    }
                }
                if taken > 0 {
                    self.questions.gap_wait = GAP_PATIENCE;
                }
                if full && taken > 0 {
                    self.ask_frames(to);
                }
            }
            (Question::Box { epoch, to }, reply) => {
                let sealed = match reply {
                    Some(DirectReply::Box(sealed)) => sealed,
                    _ => None,
                };
                self.on_box(epoch, to, sealed, now);
            }
            (Question::Members { epoch }, reply) => {
                let members = match reply {
                    Some(DirectReply::Members(members)) => members,
                    _ => Vec::new(),
                };
                self.on_list(epoch, members, now);
            }
            (Question::Object { operation, to }, reply) => {
                let object = match reply {
                    Some(DirectReply::Object(object)) => object,
                    _ => None,
                };
                self.on_object(operation, to, object, now);
            }
            (Question::Statements { to }, Some(DirectReply::Statements(statements))) => {
                self.on_statements(to, statements, now);
            }
            (Question::Statements { to }, _) => self.asked_of(&to, false),
            (Question::Approval { generation }, Some(DirectReply::Approval(approval))) => {
                self.on_approval(generation, approval, now);
            }
            (Question::BoxForOther { epoch }, Some(DirectReply::Box(Some(sealed)))) => {
                self.keep_box(epoch, &sealed);
            }
            (Question::Boxes { epoch }, Some(DirectReply::Boxes(boxes))) => self.on_boxes(epoch, boxes, now),
            _ => {}
        }
    }

    fn take_all(&mut self, from: PeerKey, bundle: Bundle, now: Now) {
        let operations: Vec<_> = bundle.operations.into_iter().map(ControlMessage::Operation).collect();
        if !self.take_each(from, operations, now) {
            return;
        }
        // Whom a generation carried over has to be known before their leaves can be verified.
        bundle
            .announcements
            .iter()
            .for_each(|announcement| self.note_carried(announcement));
        let messages = (bundle.records.into_iter().map(ControlMessage::Record))
            .chain(bundle.announcements.into_iter().map(ControlMessage::Announcement));
        self.take_each(from, messages.collect(), now);
    }

    fn take_each(&mut self, from: PeerKey, messages: Vec<ControlMessage>, now: Now) -> bool {
        for message in messages {
            if self.is_over() {
                return false;
            }
            if self.take_control(from, message, Way::Direct, now) == Verdict::Reject {
                tracing::debug!("a peer told something that does not verify");
                self.out.push_back(Output::Disconnect { peer: from });
                return false;
            }
        }
        true
    }
}
