//! The room's bot: each member tells its own user who comes and goes, from what it can verify itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use snug_crypto::generation::Generation;
use snug_crypto::ids::{EpochId, IdentityKey, OperationHash};
use snug_crypto::leaf::Leaf;

use super::judgement::Versions;
use super::timing::look_pause;
use super::{MemberView, Notice, Now, Phase, Room, RoomEvent};
use crate::text::Untrusted;

/// Whom the user was told of, and in which state.
#[derive(Default)]
pub(super) struct Shown {
    ready: bool,
    members: BTreeMap<IdentityKey, (Arc<Leaf>, bool)>,
    /// Whose names were looked up, and which.
    pub(super) met: BTreeMap<IdentityKey, String>,
    /// What was looked at last.
    looked_at: Option<Looked>,
    /// When time alone may have changed something; `None` for never.
    next_look: Option<Duration>,
    /// Until when it has to wait, because the last look was long.
    pause: Duration,
}

/// What the user is told follows from: state, presence, and the epoch to send under with whether it is exact.
type Looked = (Versions, u64, Option<(Option<EpochId>, bool)>);

/// The roster, as it was looked at once.
pub(super) type Seen = BTreeMap<IdentityKey, Arc<Leaf>>;

impl Room {
    pub(super) fn view_of(&self, leaf: &Leaf, now: Now) -> MemberView {
        let identity = leaf.identity();
        let me = identity == self.me;
        MemberView {
            name: Untrusted::new(leaf.name()),
            fingerprint: identity.fingerprint(),
            role: self.authority.role(&identity),
            verified: me || self.contacts.is_verified(&identity),
            key_changed: self.key_change(leaf).is_some(),
            online: me || self.members.present(leaf, now.elapsed),
            me,
        }
    }

    /// Tells what changed since the last time.
    pub(super) fn tell(&mut self, now: Now) {
        if self.phase != Phase::In {
            return;
        }
        let state = self.looked();
        let is_due = self.shown.looked_at != Some(state) || self.shown.next_look.is_some_and(|at| at <= now.elapsed);
        if !is_due || now.elapsed < self.shown.pause {
            return;
        }
        let judged = self.judge(now);
        self.shown.looked_at = Some(state);
        // Who is here, and who is on the roster, also changes with time.
        let expiry = self.members.next_expiry(now.unix_ms);
        let expiry = expiry.map(|at| now.elapsed + Duration::from_millis(at.saturating_sub(now.unix_ms)));
        let presence = self.members.next_presence_change(now.elapsed);
        self.shown.next_look = expiry.into_iter().chain(presence).min();
        if !self.shown.ready {
            if let Some(epoch) = judged.send {
                self.tell_ready(epoch, now);
            }
            return;
        }
        self.shown.pause = now.elapsed + look_pause(judged.roster);
        let seen = self.seen(now);
        for alarm in self.meet(&seen, false, now) {
            self.event(RoomEvent::System(alarm));
        }
        if judged.send_exact {
            self.tell_of_the_new(&seen, now);
        }
        self.tell_of_the_gone(&seen, now);
        self.tell_presence(&seen, now);
    }

    fn looked(&self) -> Looked {
        let sends = self.judgement.map(|judged| (judged.send, judged.send_exact));
        (self.versions(), self.members.presence_version(), sends)
    }

    /// When what changed may be told; `None` when all of it is.
    pub(super) fn tell_due(&self) -> Option<Duration> {
        let is_due = self.phase == Phase::In && self.shown.ready && self.shown.looked_at != Some(self.looked());
        is_due.then_some(self.shown.pause)
    }

    /// The roster as of now.
    fn seen(&self, now: Now) -> Seen {
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        roster
            .into_iter()
            .map(|(identity, leaf)| (identity, Arc::clone(leaf)))
            .collect()
    }

    fn tell_ready(&mut self, epoch: EpochId, now: Now) {
        self.shown.ready = true;
        let seen = self.seen(now);
        let alarms = self.meet(&seen, self.is_new_room(), now);
        // Only those whom this epoch holds are there for us yet; the others join when an exact one holds them.
        let listed = self
            .epochs
            .known(&epoch)
            .map(|known| known.announcement.members().to_vec())
            .unwrap_or_default();
        let members: Vec<Arc<Leaf>> = seen
            .into_values()
            .filter(|leaf| listed.iter().any(|m| m.leaf == leaf.id()))
            .collect();
        for leaf in &members {
            let online = self.members.present(leaf, now.elapsed);
            self.shown.members.insert(leaf.identity(), (Arc::clone(leaf), online));
        }
        let views = members.iter().map(|leaf| self.view_of(leaf, now)).collect();
        let room = self.genesis.room_id().as_str().to_owned();
        let name = Untrusted::new(self.own.name.clone());
        self.event(RoomEvent::Ready {
            member: self.fingerprint(),
            members: views,
            epoch,
        });
        self.event(RoomEvent::System(Notice::Welcome { room, name }));
        alarms
            .into_iter()
            .for_each(|notice| self.event(RoomEvent::System(notice)));
    }

    fn tell_of_the_new(&mut self, seen: &Seen, now: Now) {
        let room = self.genesis.room_id().as_str().to_owned();
        let new: Vec<Arc<Leaf>> = seen
            .iter()
            .filter(|(identity, _)| **identity != self.me && !self.shown.members.contains_key(*identity))
            .map(|(_, leaf)| Arc::clone(leaf))
            .collect();
        for leaf in new {
            let view = self.view_of(&leaf, now);
            // Presence is told by the join itself; a newcomer whose link is still coming up is not "offline".
            self.shown.members.insert(leaf.identity(), (leaf, view.online));
            let notice = Notice::Joined {
                room: room.clone(),
                name: view.name,
                fingerprint: view.fingerprint,
            };
            self.event(RoomEvent::System(notice));
        }
    }

    fn tell_of_the_gone(&mut self, seen: &Seen, now: Now) {
        let room = self.genesis.room_id().as_str().to_owned();
        let gone: Vec<IdentityKey> = self
            .shown
            .members
            .keys()
            .filter(|identity| **identity != self.me && !seen.contains_key(*identity))
            .copied()
            .collect();
        for identity in gone {
            if let Some((leaf, _)) = self.shown.members.remove(&identity) {
                let view = self.view_of(&leaf, now);
                let (name, fingerprint, room) = (view.name, view.fingerprint, room.clone());
                let removal = self.authority.evaluation().removal(&identity);
                // Whoever left before it was removed, left.
                let removed = removal.filter(|_| self.members.current_leaf(&identity).is_some());
                let notice = match removed {
                    Some(removal) => Notice::Removed {
                        room,
                        name,
                        fingerprint,
                        by: self.maker_of(&removal.operation),
                    },
                    None => Notice::Left {
                        room,
                        name,
                        fingerprint,
                    },
                };
                self.event(RoomEvent::System(notice));
            }
        }
    }

    /// The name of whoever made a generation.
    pub(super) fn maker_of(&self, operation: &OperationHash) -> Option<Untrusted> {
        let by = self.generations.carried(operation)?.by?;
        Some(Untrusted::new(self.known_leaf(&by)?.name()))
    }

    /// A new generation counts, and we hold it.
    pub(super) fn tell_of_generation(&mut self, generation: Generation, _: Now) {
        let signed = self.authority.get(&generation.hash);
        if let Some(keeper) = signed
            .and_then(|signed| self.keeper_removed_by(signed))
            .filter(|_| self.shown.ready)
        {
            let room = self.genesis.room_id().as_str().to_owned();
            let fingerprint = keeper.fingerprint();
            return self.event(RoomEvent::System(Notice::KeeperGone { room, fingerprint }));
        }
        if self.shown.ready && signed.is_some_and(|signed| signed.operation().removes().is_none()) {
            let notice = Notice::Rekeyed {
                room: self.genesis.room_id().as_str().to_owned(),
                by: self.maker_of(&generation.hash),
            };
            self.event(RoomEvent::System(notice));
        }
    }

    /// We are out.
    pub(super) fn tell_removed(&mut self, _: Now) {
        let room = self.genesis.room_id().as_str().to_owned();
        let notice = match self.removal_of_us() {
            Some(removal) => Notice::RemovedUs {
                room,
                by: self.remover(&removal.operation),
            },
            None => Notice::PassedBy { room },
        };
        self.event(RoomEvent::System(notice));
        self.event(RoomEvent::Removed);
    }

    fn tell_presence(&mut self, seen: &Seen, now: Now) {
        let mut changed = Vec::new();
        for (identity, (leaf, online)) in &mut self.shown.members {
            let Some(current) = seen.get(identity).filter(|_| *identity != self.me) else {
                continue;
            };
            let present = self.members.present(current, now.elapsed);
            if !Arc::ptr_eq(leaf, current) {
                *leaf = Arc::clone(current);
            }
            if present != *online {
                *online = present;
                changed.push((Arc::clone(leaf), present));
            }
        }
        for (leaf, present) in changed {
            let view = self.view_of(&leaf, now);
            let (name, fingerprint) = (view.name, view.fingerprint);
            let notice = if present {
                Notice::Online { name, fingerprint }
            } else {
                Notice::Offline { name, fingerprint }
            };
            self.event(RoomEvent::System(notice));
        }
    }
}
