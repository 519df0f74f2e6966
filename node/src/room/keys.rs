//! Getting to an epoch that holds everybody: judging announcements, issuing when it is our turn, fetching our box (docs/PROTOCOL.md,
//! "Epochs"). Others' boxes are in `custody`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use snug_crypto::control::ControlMessage;
use snug_crypto::direct::DirectRequest;
use snug_crypto::epoch::{
    self, Announcement, AnnouncementError, BoxError, EpochKind, EpochSecrets, IssueParams, MemberEntry, Round,
    SealedBox, UnverifiedAnnouncement,
};
use snug_crypto::frame::Epoch;
use snug_crypto::generation::{Generation, GenerationKeys};
use snug_crypto::ids::{EpochId, LeafId, PeerKey};
use snug_crypto::kem::{KemKey, KemSecret};
use snug_crypto::leaf::Leaf;

use super::admission::Admission;
use super::delivery::FrameKey;
use super::epochs::View;
use super::exchange::Question;
use super::generations::HeldKey;
use super::issue::Situation;
use super::judgement::Judgement;
use super::rekey::Legible;
use super::timing::{
    BOX_RETRY_JITTER, CUSTODIANS, KEPT_AGE, PRUNE_INTERVAL, PRUNE_PAUSE, WAY_TRIES, look_pause, stuck_after, way_retry,
};
use super::{Now, Phase, Room, RoomEvent, Warning, day};

/// The search for our box in the best epoch.
#[derive(Default)]
pub(super) struct Recovery {
    /// The epoch whose box we look for.
    wanted: Option<EpochId>,
    /// Since when we hold no current box at all; not reset when the best epoch changes.
    since: Option<Duration>,
    next_ask: Option<Duration>,
    /// Peers that had none, for the epoch looked for.
    refused: BTreeSet<PeerKey>,
    /// How often somebody was asked for it.
    asked: u32,
}

impl Recovery {
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.next_ask
    }

    fn stop(&mut self) {
        *self = Self::default();
    }
}

/// What became of an announcement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announced {
    New,
    Known,
    /// Its issuer's leaf is not here yet.
    UnknownIssuer,
    /// Its list of members travels apart and has to be asked for.
    MembersMissing {
        /// Whether this is the first we hear of it, and its issuer signed it.
        first: bool,
    },
    /// Its issuer makes too many.
    Shed,
    /// Of a generation that we don't hold.
    Foreign,
    /// The signature or the form is wrong.
    Bad,
}

impl Room {
    /// Checks an announcement against its issuer's leaf and keeps it.
    pub(super) fn accept_announcement(&mut self, announcement: UnverifiedAnnouncement, now: Now) -> Announced {
        let id = announcement.epoch_id(&self.genesis_hash);
        let header = announcement.unverified_header();
        if self.epochs.is_known(&id) {
            return Announced::Known;
        }
        let is_sought = self.lists.wants(&id);
        if is_sought && announcement.needs_members() {
            return Announced::MembersMissing { first: false };
        }
        // Of an earlier generation, too: who was away has yet to read what was said in it, or gives it to others.
        if self.legible(&announcement) == Legible::No {
            return Announced::Foreign;
        }
        // Its boxes need no Room Key: there is one such epoch in a generation, whose members the operation names.
        if header.kind == EpochKind::KeyGen && !self.is_first_of_generation(header) {
            return Announced::Foreign;
        }
        let is_current = header.generation == self.keys.generation();
        let issuer = header.issuer;
        let identity = self.members.leaf(&issuer).map(|leaf| leaf.identity());
        // One whose list was looked for was charged when it came.
        if identity.is_some_and(|identity| !is_sought && !self.flood.issues.admits(&identity, now.elapsed)) {
            return Announced::Shed;
        }
        let leaf_key = |leaf| self.members.leaf(&leaf).map(|leaf| *leaf.key());
        let announcement = self.with_own_list(announcement, now);
        let verified = if announcement.needs_members() {
            let signed = announcement.verify_signature(&self.genesis_hash, leaf_key);
            signed.and(Err(AnnouncementError::MembersMissing))
        } else {
            announcement.verify(&self.genesis_hash, leaf_key)
        };
        match verified {
            Ok(announcement) => {
                if let Some(identity) = identity {
                    if !is_sought {
                        self.flood.issues.charge(identity, now.elapsed);
                    }
                    if is_current {
                        self.members.heard(&identity, now.elapsed);
                    }
                }
                self.epochs.add(announcement, now.elapsed);
                Announced::New
            }
            Err(AnnouncementError::UnknownIssuer) => Announced::UnknownIssuer,
            Err(AnnouncementError::MembersMissing) => {
                if let Some(identity) = identity {
                    self.flood.issues.charge(identity, now.elapsed);
                }
                Announced::MembersMissing { first: true }
            }
            Err(AnnouncementError::BadSignature) => Announced::Bad,
        }
    }

    /// Judges what is known, and acts: issue, fetch a box, take custody, erase.
    pub(super) fn tend_epochs(&mut self, now: Now) {
        if self.phase != Phase::In {
            return;
        }
        let mut changed = self.rejudge(now);
        let judged = self.judge(now);
        self.issuing
            .update(!judged.exact, judged.best, judged.roster, now.elapsed);
        if self.issue_due(now).is_some_and(|due| due <= now.elapsed) {
            self.issue(now);
            changed |= self.rejudge(now);
            let judged = self.judge(now);
            self.issuing
                .update(!judged.exact, judged.best, judged.roster, now.elapsed);
        }
        let judged = self.judge(now);
        for id in [judged.best, judged.send].into_iter().flatten() {
            self.epochs.is_used(&id, now.elapsed);
        }
        let best = judged.best;
        self.recover(best, now);
        self.catch_up(best, now);
        self.take_custody(best, now);
        if changed {
            self.next_prune = self.next_prune.min(self.last_prune + PRUNE_PAUSE);
        }
        if now.elapsed >= self.next_prune || self.epochs.is_crowded() {
            self.last_prune = now.elapsed;
            self.next_prune = now.elapsed + PRUNE_INTERVAL;
            self.prune(now);
        }
    }

    /// When our turn to issue comes; `None` when nothing is needed of us.
    pub(super) fn issue_due(&self, now: Now) -> Option<Duration> {
        // On the way from one net to the next nobody would hear of it.
        if self.phase != Phase::In || self.moving.is_some() {
            return None;
        }
        let mine = self.own.leaf_id()?;
        let judged = self.judge(now);
        if judged.exact {
            return None;
        }
        // Who comes before us is asked only once it may be our turn: in a storm of joins it is another each time.
        let earliest = self.issuing.earliest()?;
        if earliest > now.elapsed {
            return Some(earliest);
        }
        // Who is present changes with time, too.
        let holds_until = || self.members.next_presence_change(now.elapsed);
        let situation = || self.situation(&judged, mine, now);
        let pause = look_pause(judged.roster);
        self.issuing
            .due(self.versions(), now.elapsed, pause, situation, holds_until)
    }

    /// What our turn to issue depends on; `None` if we may not.
    fn situation(&self, judged: &Judgement, mine: LeafId, now: Now) -> Option<Situation> {
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        // Only who is on its own roster may issue: an epoch without its issuer is no use to anybody.
        if roster.get(&self.me).map(|leaf| leaf.id()) != Some(mine) {
            return None;
        }
        let best = judged.best;
        let known = best.and_then(|id| self.epochs.known(&id));
        let in_best = |leaf: &Leaf| known.is_some_and(|known| known.lists(&leaf.id()));
        let my_place = known.is_some_and(|known| known.lists(&mine));
        let my_key = epoch::issue_rank(&self.me, best.as_ref());
        let present: Vec<(&Arc<Leaf>, bool)> = roster
            .values()
            .filter(|leaf| leaf.identity() != self.me && self.members.present(leaf, now.elapsed))
            .map(|leaf| (*leaf, in_best(leaf)))
            .collect();
        let ahead = present
            .iter()
            .filter(|(_, place)| *place == my_place)
            .filter(|(leaf, _)| epoch::issue_rank(&leaf.identity(), best.as_ref()) < my_key)
            .count();
        Some(Situation {
            best,
            best_held: best.is_some_and(|id| self.epochs.holds(&id)),
            best_present: present.iter().any(|(_, in_best)| *in_best),
            in_best: my_place,
            former: !self.epochs.latest_held(1).is_empty(),
            linked: self.members.links().next().is_some(),
            rank: u32::try_from(ahead).unwrap_or(u32::MAX),
        })
    }

    fn issue(&mut self, now: Now) {
        let Some(mine) = self.own.leaf_id() else { return };
        let admission = Admission::new(
            self.keys.generation(),
            &self.generations,
            &self.authority,
            &self.genesis,
            &self.members,
        );
        let roster = self.members.roster(&admission, now.unix_ms);
        let entries: Vec<(MemberEntry, &KemKey)> = roster
            .values()
            .map(|leaf| (MemberEntry::of(leaf), leaf.kem()))
            .collect();
        let mut present: Vec<&Arc<Leaf>> = roster
            .values()
            .filter(|leaf| leaf.id() != mine && self.members.present(leaf, now.elapsed))
            .copied()
            .collect();
        // Those that we are linked with have all boxes a moment later. In a large room the others would have nobody to copy them from.
        present.sort_by_key(|leaf| !self.members.linked(&leaf.peer()));
        let mut custodians: Vec<LeafId> = present.iter().map(|leaf| leaf.id()).take(CUSTODIANS - 1).collect();
        custodians.push(mine);
        let today = Round::of_day(now.unix_ms);
        let round = self
            .judge(now)
            .best
            .and_then(|id| self.epochs.known(&id))
            .map_or(today, |known| known.announcement.header().round.max(today));
        let params = IssueParams {
            generation: self.keys.generation(),
            round,
            issuer: mine,
            custodians,
            members: &entries,
        };
        let issued = epoch::issue(
            &mut self.rng,
            self.keys.psk(),
            &self.genesis_hash,
            params,
            &self.own.secrets().signing,
        );
        let issued = match issued {
            Ok(issued) => issued,
            Err(error) => {
                tracing::warn!(%error, "an epoch can't be issued");
                self.issuing.issued(false, now.elapsed);
                return;
            }
        };
        let leaves = roster.values().map(|leaf| (leaf.id(), *leaf.key())).collect::<Vec<_>>();
        let id = issued.announcement.epoch_id();
        let epoch = match Epoch::new(issued.secrets, &issued.announcement, &leaves) {
            Ok(epoch) => epoch,
            Err(error) => return tracing::error!(%error, "an epoch of our own making does not fit together"),
        };
        tracing::debug!(epoch = %id, members = leaves.len(), "issued an epoch");
        self.epochs.add(issued.announcement.clone(), now.elapsed);
        if let Some(known) = self.epochs.known_mut(&id) {
            known.boxes = issued.boxes.into_iter().map(|sealed| (sealed.leaf, sealed)).collect();
        }
        self.epochs.hold(epoch, now.elapsed);
        self.issuing.issued(leaves.len() == 1, now.elapsed);
        self.announce(issued.announcement);
        self.entered(now);
    }

    /// Tells everybody of a new epoch: by gossip, and by direct stream where a link is too young for gossip.
    fn announce(&mut self, announcement: Announcement) {
        self.publish_control(&ControlMessage::Announcement(announcement.to_unverified()));
        self.push_to_links(&[], &[], &[announcement]);
    }

    /// Looks for our box in the best epoch, and gives up our incarnation when it can't be had.
    fn recover(&mut self, best: Option<EpochId>, now: Now) {
        let Some(mine) = self.own.leaf_id() else { return };
        let lacking = best.filter(|id| !self.epochs.holds(id) && self.epochs.known(id).is_some_and(|k| k.lists(&mine)));
        let Some(id) = lacking else {
            return self.recovery.stop();
        };
        if self.recovery.wanted != Some(id) {
            self.recovery.wanted = Some(id);
            self.recovery.refused.clear();
            self.recovery.asked = 0;
            self.recovery.next_ask = Some(now.elapsed);
        }
        let since = *self.recovery.since.get_or_insert(now.elapsed);
        if now.elapsed.saturating_sub(since) >= stuck_after(self.judge(now).roster) {
            self.recovery.stop();
            return self.rebirth(now);
        }
        if self.recovery.next_ask.is_some_and(|at| at <= now.elapsed) {
            if let Some(to) = self.whom_to_ask(&id) {
                self.ask(
                    to,
                    DirectRequest::Box { epoch: id, leaf: mine },
                    Question::Box { epoch: id, to },
                );
            }
            let wait = way_retry(self.recovery.asked);
            self.recovery.asked = self.recovery.asked.saturating_add(1);
            let jitter = Duration::from_millis(self.rng.random_range(0..BOX_RETRY_JITTER.as_millis() as u64));
            self.recovery.next_ask = Some(now.elapsed + wait + jitter.min(wait));
        }
    }

    /// Custodians first, the issuer before all; then the link that told us of the epoch, which looks for our box nearer to its issuer; and after a
    /// while in turn with that anybody who is linked, at random.
    fn whom_to_ask(&mut self, id: &EpochId) -> Option<PeerKey> {
        let known = self.epochs.known(id)?;
        let header = known.announcement.header();
        let likely = std::iter::once(&header.issuer)
            .chain(&header.custodians)
            .filter_map(|leaf| Some(self.members.leaf(leaf)?.peer()))
            .find(|peer| self.members.linked(peer) && !self.recovery.refused.contains(peer));
        if likely.is_some() {
            return likely;
        }
        let way = self.way_to(id);
        if way.is_some() && (self.recovery.asked < WAY_TRIES || self.recovery.asked.is_multiple_of(2)) {
            return way;
        }
        let others: Vec<PeerKey> = self
            .members
            .links()
            .filter(|peer| !self.recovery.refused.contains(*peer))
            .copied()
            .collect();
        if others.is_empty() {
            self.recovery.refused.clear();
            return None;
        }
        Some(others[self.rng.random_range(0..others.len())])
    }

    /// A reply to our question for a box.
    pub(super) fn on_box(&mut self, id: EpochId, from: PeerKey, sealed: Option<SealedBox>, now: Now) {
        if self.epochs.holds(&id) {
            return;
        }
        let mine = self.own.leaf_id();
        // Of any other epoch than the best we only read what was said in it: what is wrong with it is no reason to begin anew.
        let generation = self
            .epochs
            .known(&id)
            .map(|known| known.announcement.header().generation);
        let is_wanted = self.recovery.wanted == Some(id) && generation == Some(self.keys.generation());
        let refused = |room: &mut Self| {
            // Who told us of the epoch looks for our box by now, and is asked again.
            if room.recovery.wanted == Some(id) && room.way_to(&id) != Some(from) {
                room.recovery.refused.insert(from);
                room.recovery.next_ask = Some(now.elapsed);
            }
        };
        let Some(sealed) = sealed.filter(|sealed| Some(sealed.leaf) == mine) else {
            return refused(self);
        };
        let Some(known) = self.epochs.known(&id) else { return };
        let announcement = &known.announcement;
        let Some((_, entry)) = announcement.member(&sealed.leaf) else {
            return;
        };
        let Some(kem) = self.own.kem(&entry.kem_hash) else {
            // Sealed to a key that we no longer have: only a new incarnation helps.
            if is_wanted {
                let patience = stuck_after(self.judge(now).roster);
                self.recovery.since = Some(now.elapsed.saturating_sub(patience));
            }
            return;
        };
        // Under the keys of the epoch's generation, which may be another one by the time of the reply.
        let Some(opened) = self.open_box(announcement, &sealed, kem) else {
            return;
        };
        match opened {
            Ok((secrets, key)) => {
                let leaves: Vec<_> = announcement
                    .members()
                    .iter()
                    .filter_map(|member| self.members.leaf(&member.leaf).map(|leaf| (member.leaf, *leaf.key())))
                    .collect();
                let epoch = Epoch::new(secrets, announcement, &leaves);
                if let Some(key) = key {
                    self.learn_generation(key, from, now);
                }
                match epoch {
                    Ok(epoch) => {
                        self.epochs.hold(epoch, now.elapsed);
                        if is_wanted {
                            self.recovery.stop();
                        }
                        if !is_wanted || self.catching_up.is_back() {
                            self.ask_frames_of(&[id], from);
                        }
                        self.entered(now);
                    }
                    Err(error) => {
                        // A member's leaf is not here yet; it can't be a candidate before, so this is only a race.
                        tracing::debug!(%error, "an epoch has to wait for a leaf");
                        self.ask_sync(from);
                    }
                }
            }
            Err(error @ (BoxError::IssuerFault | BoxError::Unsupported)) => {
                let issuer = self.members.leaf(&announcement.header().issuer).cloned();
                self.epochs.disqualify(id);
                if let Some(leaf) = issuer {
                    self.tell_unusable(&leaf, error, now);
                }
                // For those whose boxes are good the epoch stays exact: only a new incarnation makes them want another.
                if is_wanted {
                    self.rebirth(now);
                }
            }
            Err(BoxError::ServerFault | BoxError::NotForUs) => refused(self),
        }
    }

    /// Tells the user whose keys are of no use here, and whether that one is to blame.
    pub(super) fn tell_unusable(&mut self, issuer: &Leaf, error: BoxError, now: Now) {
        let view = self.view_of(issuer, now);
        let (issuer, fingerprint) = (view.name, view.fingerprint);
        self.event(RoomEvent::Warning(if error == BoxError::Unsupported {
            Warning::LaterVersion { issuer, fingerprint }
        } else {
            Warning::BadEpoch { issuer, fingerprint }
        }));
    }

    /// The keys of a generation, if it is ours or one that we held.
    fn keys_of(&self, generation: &Generation) -> Option<&GenerationKeys> {
        if *generation == self.keys.generation() {
            return Some(&self.keys);
        }
        self.generations.held(generation).map(|held| &held.keys)
    }

    /// Opens a box of ours under its own generation's keys. The first epoch of a generation that passed us by brings those with it; of any
    /// other we can't say whose fault it is that it doesn't open: `None`.
    fn open_box(
        &self,
        announcement: &Announcement,
        sealed: &SealedBox,
        kem: &KemSecret,
    ) -> Option<Result<(EpochSecrets, Option<HeldKey>), BoxError>> {
        let generation = announcement.header().generation;
        if let Some(keys) = self.keys_of(&generation) {
            let opened = epoch::open_box(announcement, sealed, kem, keys.psk());
            return Some(opened.map(|secrets| (secrets, None)));
        }
        let signed = self.authority.get(&generation.hash)?;
        let rekey = signed.operation().rekey()?;
        if rekey.generation(signed.hash()) != generation || !self.brings_keys(announcement.header()) {
            return None;
        }
        let handle = self.genesis.handle();
        let opened = epoch::open_key_box(announcement, sealed, kem, &handle, &rekey.key_commit);
        Some(opened.map(|opened| {
            let key = HeldKey {
                room_key: opened.room_key,
                random: opened.random,
                keys: opened.keys,
            };
            (opened.secrets, Some(key))
        }))
    }

    /// An epoch that contains us is held now: what waited for it can go on.
    pub(super) fn entered(&mut self, now: Now) {
        self.questions.epoch_changed(now.elapsed);
        self.reopen_held(now);
        self.erase_kems();
    }

    fn prune(&mut self, now: Now) {
        let judged = self.judge(now);
        let retention = self.retention();
        let admission = Admission::new(
            self.keys.generation(),
            &self.generations,
            &self.authority,
            &self.genesis,
            &self.members,
        );
        let roster = self.members.roster(&admission, now.unix_ms);
        let view = View::new(&self.members, &roster, self.keys.generation(), day(now.unix_ms));
        let mut keep = vec![judged.best, judged.send];
        // What nobody else has is kept, and with it the keys that open it.
        keep.extend(self.outbox.unheld_epochs().map(Some));
        keep.dedup();
        self.epochs.prune(&view, now.elapsed, retention, &keep);
        let held: BTreeSet<EpochId> = self.epochs.latest_held(usize::MAX).into_iter().collect();
        let mine = self.own.leaf_id();
        let pinned = |(epoch, leaf, counter): &FrameKey| Some(*leaf) == mine && self.outbox.is_unheld(epoch, *counter);
        self.delivery
            .prune(now.elapsed, retention, |id| held.contains(id), pinned);
        self.members.prune_leaves(&self.epochs.named_leaves());
        let members = &self.members;
        (self.pairs).prune(now.elapsed, retention, |leaf| members.leaf(leaf).is_some());
        self.members.prune_registers(now.unix_ms);
    }

    /// How long superseded epochs and ciphertext are kept for the absent: the room's policy, at most our own cap, and never so short
    /// that frames in flight across a change of epoch are lost.
    fn retention(&self) -> Duration {
        const IN_FLIGHT: Duration = Duration::from_secs(60);
        Duration::from_secs(u64::from(self.authority.policy(&self.genesis).retention_s)).clamp(IN_FLIGHT, KEPT_AGE)
    }
}
