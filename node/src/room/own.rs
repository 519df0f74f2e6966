//! Our own leaf: made when we join, renewed before it expires, its KEM key rotated, replaced by a new incarnation when we are stuck, and
//! ended by a Leave (docs/PROTOCOL.md, "Members").

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use snug_crypto::AdminKey;
use snug_crypto::control::ControlMessage;
use snug_crypto::ids::LeafId;
use snug_crypto::kem::KemSecret;
use snug_crypto::leaf::{Leaf, LeafParams, LeafSecrets, Leave, Record};
use snug_crypto::operation::{Author, Operation, Role, SignedOperation};
use snug_crypto::rest::OwnAtRest;

use super::members::Merged;
use super::outbox::Pace;
use super::timing::{DAY_MS, JOIN_PATIENCE, LINK_PATIENCE, RENEW_SHARE, SYNC_PATIENCE};
use super::{Now, Phase, Room, RoomEvent, Rule, Warning};

/// KEM keys are replaced this long after joining at the earliest: whoever steals the device later can't open the first boxes.
const FIRST_ROTATION: Duration = Duration::from_secs(10);
/// Jitter on the first rotation, so that a burst of joiners does not rotate together.
const FIRST_ROTATION_JITTER: Duration = Duration::from_secs(50);
/// From then on once a day, jittered by an hour.
const ROTATION: Duration = Duration::from_millis(DAY_MS);
const ROTATION_JITTER: Duration = Duration::from_secs(3_600);
/// Superseded KEM keys kept: epochs in the air may still be boxed to them.
const MAX_OLD_KEMS: usize = 8;
/// How often another process with our identity may push us to a new incarnation before we say so and stop.
const MAX_REBIRTHS: u32 = 5;

/// Our own side of our membership.
pub(super) struct Own {
    pub(super) name: String,
    admin: Option<AdminKey>,
    /// How long our leaf outlives its last renewal by our own will, and by the room's.
    grace: Duration,
    room_grace: Duration,
    started: Now,
    secrets: LeafSecrets,
    old_kems: Vec<([u8; 32], KemSecret)>,
    incarnation: u32,
    /// The number of the leaf that an earlier run published last with these secrets.
    resumed: Option<u64>,
    /// Its id, as long as we have its secrets and no other.
    resumed_leaf: Option<LeafId>,
    /// Whether something of it changed since the last look.
    changed: bool,
    /// The published leaf, and the life that it was given, in milliseconds.
    leaf: Option<Arc<Leaf>>,
    leaf_lifetime_ms: u64,
    /// Whether introductions were looked for, and how many of those found may still become links.
    introduced: Option<usize>,
    /// Calls that failed before: of keepers alone, who are called as soon as the log names them.
    unreachable: usize,
    publish_by: Duration,
    synced: bool,
    rotate_at: Duration,
    rebirths: u32,
    warned: bool,
}

impl Own {
    pub(super) fn new(
        name: String,
        admin: Option<AdminKey>,
        grace: Duration,
        now: Now,
        rng: &mut impl rand::CryptoRng,
    ) -> Self {
        let jitter = Duration::from_millis(rng.random_range(0..FIRST_ROTATION_JITTER.as_millis() as u64));
        Self {
            name,
            admin,
            grace,
            room_grace: grace,
            started: now,
            secrets: LeafSecrets::generate(rng),
            old_kems: Vec::new(),
            // Seconds since 1970: above that of any earlier run, unless the clock was set back, which the first sync mends.
            incarnation: u32::try_from(now.unix_ms / 1_000).unwrap_or(u32::MAX - 1),
            resumed: None,
            resumed_leaf: None,
            changed: true,
            leaf: None,
            leaf_lifetime_ms: 0,
            introduced: None,
            unreachable: 0,
            publish_by: now.elapsed + JOIN_PATIENCE,
            synced: false,
            rotate_at: now.elapsed + FIRST_ROTATION + jitter,
            rebirths: 0,
            warned: false,
        }
    }

    pub(super) fn introduced(&mut self, links_expected: usize, elapsed: Duration) {
        if self.introduced.is_none() {
            self.publish_by = elapsed + LINK_PATIENCE;
        }
        self.introduced = Some(links_expected);
    }

    /// Somebody we were introduced to can't be reached.
    pub(super) fn unreachable(&mut self) {
        match &mut self.introduced {
            Some(expected) => *expected = expected.saturating_sub(1),
            None => self.unreachable = self.unreachable.saturating_add(1),
        }
    }

    /// How many calls failed before anybody was looked for.
    pub(super) fn unreachable_so_far(&self) -> usize {
        self.unreachable
    }

    /// A link stands: its sync reply is worth waiting for.
    pub(super) fn linked(&mut self, elapsed: Duration) {
        if self.leaf.is_none() {
            self.publish_by = self.publish_by.max(elapsed + SYNC_PATIENCE);
        }
    }

    /// A sync reply arrived: we know what the room knows.
    pub(super) fn synced(&mut self) {
        self.synced = true;
    }

    /// How many of those found may still become links, once somebody was looked for.
    pub(super) fn expected(&self) -> Option<usize> {
        self.introduced
    }

    fn may_publish(&self, elapsed: Duration) -> bool {
        self.synced || self.introduced == Some(0) || elapsed >= self.publish_by
    }

    pub(super) fn leaf_id(&self) -> Option<LeafId> {
        self.leaf.as_ref().map(|leaf| leaf.id())
    }

    /// Our leaf, published in this run or in an earlier one with the secrets that we have.
    pub(super) fn known_leaf_id(&self) -> Option<LeafId> {
        self.leaf_id().or(self.resumed_leaf)
    }

    /// Takes up the secrets of an earlier run, and its last leaf.
    pub(super) fn resume(&mut self, own: &OwnAtRest, leaf: &Leaf) {
        self.resumed_leaf = Some(leaf.id());
        self.secrets = own.secrets();
        self.old_kems = own.old_kems().map(|kem| (kem.public().hash(), kem)).collect();
        self.incarnation = own.incarnation();
        self.resumed = Some(leaf.seq());
    }

    pub(super) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    pub(super) fn old_kems(&self) -> impl Iterator<Item = &KemSecret> {
        self.old_kems.iter().map(|(_, kem)| kem)
    }

    /// Whether secrets or incarnation may have changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Our leaf, once it is published.
    pub(super) fn leaf(&self) -> Option<&Arc<Leaf>> {
        self.leaf.as_ref()
    }

    /// The admin's key, if we hold it.
    pub(super) fn admin(&self) -> Option<&AdminKey> {
        self.admin.as_ref()
    }

    /// The KEM secrets that something may be sealed to, the newest first.
    pub(super) fn kems(&self) -> impl Iterator<Item = &KemSecret> {
        std::iter::once(&self.secrets.kem).chain(self.old_kems.iter().rev().map(|(_, secret)| secret))
    }

    /// Somebody was removed, perhaps: who stole a device before that shall not read on.
    pub(super) fn generation_changed(&mut self, elapsed: Duration, rng: &mut impl rand::CryptoRng) {
        let jitter = Duration::from_millis(rng.random_range(0..FIRST_ROTATION_JITTER.as_millis() as u64));
        self.rotate_at = self.rotate_at.min(elapsed + FIRST_ROTATION + jitter);
    }

    pub(super) fn secrets(&self) -> &LeafSecrets {
        &self.secrets
    }

    /// The KEM secret that a box sealed to this key opens with, if we still have it.
    pub(super) fn kem(&self, hash: &[u8; 32]) -> Option<&KemSecret> {
        if self.secrets.kem.public().hash() == *hash {
            return Some(&self.secrets.kem);
        }
        self.old_kems
            .iter()
            .find(|(known, _)| known == hash)
            .map(|(_, secret)| secret)
    }

    pub(super) fn next_wake(&self, now: Now) -> Option<Duration> {
        match &self.leaf {
            None => Some(self.publish_by),
            Some(leaf) => {
                let renew_in = leaf.expires_at_ms().saturating_sub(self.lifetime_ms() / RENEW_SHARE);
                Some(
                    self.rotate_at
                        .min(now.elapsed + Duration::from_millis(renew_in.saturating_sub(now.unix_ms))),
                )
            }
        }
    }

    fn lifetime_ms(&self) -> u64 {
        u64::try_from(self.grace.min(self.room_grace).as_millis()).unwrap_or(u64::MAX)
    }

    /// The room's grace as it is now.
    pub(super) fn set_grace(&mut self, grace_s: u32) {
        self.room_grace = Duration::from_secs(grace_s.into());
    }
}

impl Room {
    /// Publishes, renews or rotates our leaf when it is time.
    pub(super) fn tend_leaf(&mut self, now: Now) {
        let Some(leaf) = &self.own.leaf else {
            if self.own.may_publish(now.elapsed) {
                self.enter(now);
            }
            return;
        };
        // On the way from one net to the next nobody would hear of it.
        if self.moving.is_some() {
            return;
        }
        let moved = leaf.generation() != self.keys.generation();
        let renew = leaf
            .expires_at_ms()
            .saturating_sub(self.own.lifetime_ms() / RENEW_SHARE)
            <= now.unix_ms
            // The room's grace was changed.
            || self.own.leaf_lifetime_ms != self.own.lifetime_ms();
        if now.elapsed >= self.own.rotate_at {
            self.rotate(now);
        } else if renew || moved {
            self.publish_leaf(now);
        }
    }

    fn enter(&mut self, now: Now) {
        let max = self.authority.policy(&self.genesis).max_participants;
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        if !roster.contains_key(&self.me) && roster.len() >= usize::from(max) {
            self.phase = Phase::Over;
            return self.event(RoomEvent::Full { max });
        }
        // Only if nobody knows of a later one is the state at hand the newest there is.
        let newest = self.members.record(&self.me);
        let resumes = self.own.resumed.is_some() && newest.is_some_and(|newest| Some(newest.seq()) == self.own.resumed);
        if !resumes {
            if let Some(old) = newest {
                self.own.incarnation = self.own.incarnation.max(old.incarnation().saturating_add(1));
            }
            if self.own.resumed.is_some() {
                self.lose_state(now);
            }
        }
        self.publish_leaf(now);
        self.appoint();
        self.phase = Phase::In;
    }

    /// Signs our leaf anew and tells everybody.
    pub(super) fn publish_leaf(&mut self, now: Now) {
        self.own.changed = true;
        let last = self.members.record(&self.me).map_or(0, Record::seq);
        let params = LeafParams {
            name: self.own.name.clone(),
            seq: now.unix_ms.max(last.saturating_add(1)),
            incarnation: self.own.incarnation,
            expires_at_ms: now.unix_ms.saturating_add(self.own.lifetime_ms()),
            generation: self.keys.generation(),
            approval: self.own_approval(),
        };
        let leaf = match Leaf::create(
            params,
            &self.identity,
            &self.transport,
            &self.own.secrets,
            self.keys.join(),
            &self.genesis_hash,
        ) {
            Ok(leaf) => leaf,
            Err(error) => {
                // Only the name can be at fault, and front ends check it: without a leaf there is no way on.
                tracing::error!(%error, "our own leaf can't be made");
                self.phase = Phase::Over;
                return self.event(RoomEvent::Left);
            }
        };
        let leaf = Arc::new(leaf);
        self.own.leaf = Some(Arc::clone(&leaf));
        self.own.leaf_lifetime_ms = self.own.lifetime_ms();
        self.prepare_knock();
        let record = Record::Leaf(leaf);
        if self.members.merge(record.clone(), now.unix_ms) == Merged::New {
            self.spread_record(record);
        }
    }

    /// Publishes a record of our own by gossip, and by direct stream to the links, which may be too young for gossip.
    fn spread_record(&mut self, record: Record) {
        self.publish_control(&ControlMessage::Record(record.to_unverified()));
        self.push_to_links(&[record], &[], &[]);
    }

    /// With the admin's key at hand, makes our identity an admin of the room, once. The key may be gone with this run.
    pub(super) fn appoint(&mut self) {
        let Some(admin) = &self.own.admin else { return };
        if self.authority.role(&self.me) == Role::Admin {
            return;
        }
        let role = Operation::Role {
            identity: self.me,
            role: Role::Admin,
        };
        let heads = self.authority.heads();
        let Ok(operation) = SignedOperation::create(Author::Admin(admin), heads, role, &self.genesis_hash) else {
            return tracing::warn!("the role can't be signed: the authority log has too many heads");
        };
        self.tell_operation(operation);
    }

    /// Counts an operation of our making and tells everybody.
    pub(super) fn tell_operation(&mut self, operation: SignedOperation) {
        if self.authority.insert_verified(operation.clone(), &self.genesis) {
            self.publish_control(&ControlMessage::Operation(operation.to_unverified()));
            self.push_to_links(&[], &[operation], &[]);
        }
    }

    /// A new KEM key under the same incarnation; the old one lives on for the boxes sealed to it.
    fn rotate(&mut self, now: Now) {
        self.retire_kem(now);
        let jitter = Duration::from_millis(self.rng.random_range(0..ROTATION_JITTER.as_millis() as u64));
        self.own.rotate_at = now.elapsed + ROTATION + jitter;
        let fresh = KemSecret::generate(&mut self.rng);
        let old = std::mem::replace(&mut self.own.secrets.kem, fresh);
        if self.keeps(Rule::KemKeysLiveOn) {
            self.own.old_kems.push((old.public().hash(), old));
        }
        if self.own.old_kems.len() > MAX_OLD_KEMS {
            self.own.old_kems.remove(0);
        }
        self.publish_leaf(now);
    }

    /// Forgets KEM keys that no announced epoch we lack is boxed to, once an epoch with the newer key is held.
    pub(super) fn erase_kems(&mut self) {
        // Who is back and has met nobody yet doesn't know of all boxes that wait for it.
        if self.catching_up.is_in_doubt() {
            return;
        }
        let Some(id) = self.own.leaf_id() else { return };
        let wanted = self.epochs.wanted_kem_hashes(&id);
        let current = self.own.secrets.kem.public().hash();
        if self.epochs.holds_boxed_to(&id, &current) {
            self.own.old_kems.retain(|(hash, _)| wanted.contains(hash));
            self.own.changed = true;
        }
    }

    /// A new incarnation: our place in every known epoch is void, and we are boxed again.
    pub(super) fn rebirth(&mut self, now: Now) {
        self.own.incarnation = self.own.incarnation.saturating_add(1);
        self.retire_kem(now);
        self.own.secrets = LeafSecrets::generate(&mut self.rng);
        self.own.old_kems.clear();
        self.publish_leaf(now);
    }

    /// What we took up is older than what others have of us: counters were used since, so nothing more is said under these secrets, and
    /// what nobody is known to have is said again.
    fn lose_state(&mut self, now: Now) {
        self.retire_kem(now);
        self.own.resumed_leaf = None;
        tracing::warn!("the stored state of this room is older than what others know; a new incarnation begins");
        self.own.secrets = LeafSecrets::generate(&mut self.rng);
        self.own.old_kems.clear();
        self.outbox.requeue_all();
    }

    /// A frame of ours that we never sent, signed by our own key.
    pub(super) fn meet_own_frame(&mut self, now: Now) {
        if self.phase == Phase::In {
            self.own.incarnation = self.own.incarnation.saturating_add(1);
            self.lose_state(now);
            self.publish_leaf(now);
        }
    }

    /// Somebody's record of our own identity was merged, and it isn't the one we published.
    pub(super) fn meet_own_record(&mut self, now: Now) {
        let (Some(record), Some(mine)) = (self.members.record(&self.me), self.own.leaf_id()) else {
            return;
        };
        // A later one under our own incarnation: another run, or another copy of our state.
        let published = self.own.leaf.as_ref().map_or(0, |leaf| leaf.seq());
        if matches!(record, Record::Leaf(leaf) if leaf.id() == mine && leaf.seq() <= published) {
            return;
        }
        let (incarnation, seq) = (record.incarnation(), record.seq());
        // What was signed before this run began is an earlier run's; what is younger is somebody else's doing.
        if seq > self.own.started.unix_ms {
            self.own.rebirths += 1;
            if self.own.rebirths > MAX_REBIRTHS {
                if !self.own.warned {
                    self.own.warned = true;
                    self.event(RoomEvent::Warning(Warning::IdentityInUse));
                }
                return;
            }
        }
        self.own.incarnation = self.own.incarnation.max(incarnation);
        self.outbox.requeue_all();
        self.rebirth(now);
    }

    /// Goes offline: membership stays. A push of nothing tells the links to fetch what they lack of us while we are still here.
    pub(super) fn go_offline(&mut self, now: Now) {
        self.flush_outbox(now, Pace::Hurried);
        match self.phase {
            Phase::In => self.push_to_links(&[], &[], &[]),
            // Gone before it was in: the maker comes back as the admin all the same.
            Phase::Joining => self.appoint(),
            Phase::Left | Phase::Offline | Phase::Over => {}
        }
        self.deposit_last();
        self.phase = Phase::Offline;
        self.event(RoomEvent::Offline);
    }

    /// Leaves for good: a signed Leave by every way we have.
    pub(super) fn leave(&mut self, now: Now) {
        // What was just said, and waits for its frame, goes first.
        self.flush_outbox(now, Pace::Hurried);
        if self.own.leaf.is_some() || self.own.resumed.is_some() {
            let last = self.members.record(&self.me).map_or(0, Record::seq);
            let seq = now.unix_ms.max(last.saturating_add(1));
            let leave = Record::Leave(Leave::create(
                &self.identity,
                seq,
                self.own.incarnation,
                &self.genesis_hash,
            ));
            if self.members.merge(leave.clone(), now.unix_ms) == Merged::New {
                self.spread_record(leave);
            }
        }
        self.deposit_last();
        self.phase = Phase::Left;
        self.event(RoomEvent::Left);
    }
}
