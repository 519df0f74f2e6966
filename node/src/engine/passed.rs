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
use crate::room::{Input, Room, RoomConfig, Stored, room_keys_at_rest};

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

    /// The generation that an object leads to, if we were carried over: by what we stored of the room and were led to before, and by nothing
    /// that the rendezvous says.
    pub fn follow(&mut self, profile: &Profile, object: &[u8]) -> Option<GenerationAtRest> {
        if self.followed.is_none() {
            self.followed = self.restore(profile).map(|(room, _)| room);
        }
        let room = self.followed.as_mut()?;
        let before = room.capsule()?.generation;
        let bytes = object.to_vec();
        room.handle(Input::Object { bytes }, self.clock.now(), &mut Vec::new());
        let there = room.capsule()?;
        (there.generation != before).then_some(GenerationAtRest {
            generation: there.generation,
            random: there.random,
            room_key: room.room_key()?.clone(),
        })
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
