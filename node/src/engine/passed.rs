//! What we know of a room from the last time, and where the changes of the Room Key led that passed while we were away.

use rand::SeedableRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::{StdRng, SysRng};
use snug_crypto::capsule::Capsule;
use snug_crypto::identity::TransportKey;
use snug_crypto::names::{RoomId, RoomKey};
use snug_crypto::rest::{GenerationAtRest, MembershipAtRest};

use super::clock::Clock;
use super::enter::EPHEMERAL_GRACE_S;
use super::keyring::{Key, Keyring};
use crate::profile::Profile;
use crate::rendezvous::ServerUrl;
use crate::room::{Input, Notice, Output, Room, RoomConfig, RoomEvent, Stored, room_keys_at_rest};

/// A membership as it rests in the vault.
pub(super) struct Known {
    membership: MembershipAtRest,
    stored: Vec<Stored>,
    /// The room as it was left, once a change is to be followed.
    followed: Option<Room>,
    clock: Clock,
}

/// A room as we left it.
pub(super) struct AtRest {
    pub capsule: Capsule,
    /// The generations whose Room Key we have, the newest first.
    pub held: Vec<GenerationAtRest>,
    /// The one that the rendezvous let us in with last.
    pub registered: Option<GenerationAtRest>,
}

/// Where an object led.
pub(super) enum Followed {
    /// To a generation that we were carried over into.
    To(GenerationAtRest),
    /// The room's log, which its admin's signatures lead through, removes us: what people hear of that.
    Out(Notice),
    /// Nowhere: it is none, or carries us over no more than it removes us.
    Nowhere,
}

impl Known {
    /// What the vault knows of the room at that server, if anything.
    pub fn at(profile: &Profile, server: &ServerUrl, room_id: &RoomId) -> Option<Self> {
        let memberships = profile.memberships().ok()?;
        let is_this =
            |room: &MembershipAtRest| room.room_id == *room_id && room.server.as_deref() == Some(server.as_str());
        let membership = memberships.into_iter().find(is_this)?;
        let stored = profile.room_state(&membership.genesis.hash()).ok()?;
        Some(Self {
            membership,
            stored,
            followed: None,
            clock: Clock::start(),
        })
    }

    /// The generations whose Room Key we have, the newest first.
    pub fn held(&self) -> Vec<GenerationAtRest> {
        let mut held = self.membership.generations.clone();
        held.extend(room_keys_at_rest(&self.stored));
        held.sort_by(|a, b| b.generation.cmp_currency(&a.generation));
        held.dedup_by_key(|held| held.generation);
        held
    }

    /// The keys to try, beginning with the one that was given. If that isn't one of ours, it is the only one: what we have is no way around a
    /// wrong key.
    pub fn keyring(known: Option<&Self>, room_key: &RoomKey) -> Keyring {
        let held = known.map(Self::held).unwrap_or_default();
        let registered = known.and_then(|known| known.membership.generations.first());
        let given = held.iter().find(|held| held.room_key.reveal() == room_key.reveal());
        let alone = Key {
            room_key: room_key.clone(),
            generation: None,
        };
        match given {
            Some(given) => Keyring::new(given.into(), registered.into_iter().chain(&held).map(Key::from)),
            None => Keyring::new(alone, []),
        }
    }

    /// What there is to enter with without a rendezvous' leave, if this is the current Room Key. The authority log rests with the room's
    /// state.
    pub fn at_rest(&self, room_key: &RoomKey) -> Option<AtRest> {
        let current = self.membership.current()?;
        (current.room_key.reveal() == room_key.reveal()).then(|| AtRest {
            capsule: Capsule {
                generation: current.generation,
                random: current.random.clone(),
                genesis: self.membership.genesis.clone(),
                log: Vec::new(),
            },
            held: self.held(),
            registered: self.membership.generations.first().cloned(),
        })
    }

    /// Whether we are still a member, as far as we know: our state is here, and we weren't away for longer than the grace.
    pub fn is_member(&self, profile: &Profile) -> bool {
        self.restore(profile).is_some_and(|(_, resumed)| resumed)
    }

    /// Where an object leads: by what we stored of the room and were led to before, and by nothing that the rendezvous says.
    pub fn follow(&mut self, profile: &Profile, object: &[u8]) -> Followed {
        if self.followed.is_none() {
            self.followed = self.restore(profile).map(|(room, _)| room);
        }
        let Some(room) = self.followed.as_mut() else {
            return Followed::Nowhere;
        };
        let before = room.capsule().map(|capsule| capsule.generation);
        let (bytes, mut out) = (object.to_vec(), Vec::new());
        room.handle(Input::Object { bytes }, self.clock.now(), &mut out);
        let removed = out.into_iter().find_map(|output| match output {
            Output::Event(RoomEvent::System(notice @ Notice::RemovedUs { .. })) => Some(notice),
            _ => None,
        });
        if let Some(notice) = removed {
            return Followed::Out(notice);
        }
        let there = room.capsule().filter(|there| Some(there.generation) != before);
        match (there, room.room_key()) {
            (Some(there), Some(room_key)) => Followed::To(GenerationAtRest {
                generation: there.generation,
                random: there.random,
                room_key: room_key.clone(),
            }),
            _ => Followed::Nowhere,
        }
    }

    /// The room is none of ours any more: what is stored of it goes, as it does where this is heard in the midst of a run.
    pub fn forget(&self, profile: &Profile) {
        if let Err(error) = profile.forget_membership(&self.membership.genesis.hash()) {
            tracing::warn!(%error, "something of the room that we were removed from stays");
        }
    }

    fn restore(&self, profile: &Profile) -> Option<(Room, bool)> {
        let current = self.membership.current()?.clone();
        let rng = &mut UnwrapErr(SysRng);
        let config = RoomConfig {
            keys: current.keys(&self.membership.room_id.handle()),
            room_key: current.room_key,
            random: current.random,
            genesis: self.membership.genesis.clone(),
            log: Vec::new(),
            identity: profile.identity().clone(),
            transport: TransportKey::generate(rng),
            name: self.membership.name.clone(),
            admin: None,
            grace_s: EPHEMERAL_GRACE_S,
            persist: false,
            read_receipts: false,
        };
        let room = Room::restore(config, &self.stored, self.clock.now(), StdRng::from_rng(rng));
        Some(room)
    }
}
