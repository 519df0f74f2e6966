//! Entering a room: log in, trust its founding record or not, start the node.

use std::time::Duration;

use libp2p::Multiaddr;
use rand::SeedableRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::{StdRng, SysRng};
use snug_crypto::credential::SignedTombstone;
use snug_crypto::generation::GenerationKeys;
use snug_crypto::identity::TransportKey;
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_crypto::rest::{GenerationAtRest, MembershipAtRest};
use snug_crypto::{AdminKey, GenesisHash};
use tokio::sync::watch;

use super::actor::{Actor, Parts};
use super::clock::Clock;
use super::heartbeat::{self, BeatKeys, Heartbeat, SharedSession};
use super::{EnterError, Events, Handle};
use crate::net::{Net, NetConfig, NetLimits};
use crate::profile::{Place, Profile, Vault};
use crate::rendezvous::{Client, LoginError, MemberLogin, ServerUrl};
use crate::room::{Input, Room, RoomConfig};

/// How long a member of an ephemeral profile stays in the roster when it vanishes, in seconds; renewed while it is there.
const EPHEMERAL_GRACE_S: u32 = 15 * 60;
/// Changes of the Room Key that a member follows when it comes back, at most.
const MAX_PASSED: usize = 8;

/// What a node needs to enter a room.
#[derive(Debug)]
pub struct EnterOptions {
    /// Who we are. Held, and so locked, until the node has ended.
    pub profile: Profile,
    /// The room's rendezvous.
    pub client: Client,
    /// Which room.
    pub room_id: RoomId,
    /// Its Room Key.
    pub room_key: RoomKey,
    /// Our name in it.
    pub name: String,
    /// To enter as the room's admin.
    pub admin: Option<AdminAccess>,
    /// Where to listen; [`NetConfig::default_listen`] if empty.
    pub listen: Vec<Multiaddr>,
    /// The founding record that the invite names: anything else is refused.
    pub expected_genesis: Option<GenesisHash>,
    /// Peers to dial besides those that the rendezvous introduces; addresses without `/p2p/…` can't be trusted and are passed over.
    pub addresses: Vec<Multiaddr>,
    /// Registers a new Room Key even over plain http to another host (`--insecure-registration`).
    pub insecure_registration: bool,
    /// Whether others are told what the user has read.
    pub read_receipts: bool,
}

/// What proves the room's admin.
#[derive(Debug)]
pub enum AdminAccess {
    /// The Password: the key is fetched from the rendezvous, at the cost of a second login.
    Password(Password),
    /// The key itself, from the room's making.
    Key(AdminKey),
}

/// Enters a room: returns once the rendezvous has let us in and the node runs; [`super::EventKind::Ready`] follows when it can send.
///
/// # Errors
/// [`EnterError`]; nobody has noticed us then but the rendezvous.
pub async fn enter(options: EnterOptions) -> Result<(Handle, Events), EnterError> {
    enter_with_heartbeat(options, heartbeat::INTERVAL).await
}

/// [`enter`], with a heartbeat of another interval.
pub(super) async fn enter_with_heartbeat(
    options: EnterOptions,
    interval: Duration,
) -> Result<(Handle, Events), EnterError> {
    let EnterOptions {
        mut profile,
        client,
        room_id,
        room_key,
        name,
        admin,
        listen,
        expected_genesis,
        addresses,
        insecure_registration,
        read_receipts,
    } = options;
    let place = Place::server(client.server());

    let mut room_key = room_key;
    let mut objects: Vec<Vec<u8>> = Vec::new();
    let (login, admin) = loop {
        match log_in(&client, &room_id, &room_key, admin.as_ref()).await {
            Ok(login) => break login,
            Err(LoginError::Superseded(superseded)) if objects.len() < MAX_PASSED => {
                // Only a member that was carried over gets anything out of it: others ask for the new Room Key.
                let followed = superseded
                    .key_gen
                    .as_ref()
                    .and_then(|object| follow(&profile, client.server(), &room_id, object));
                let (Some(object), Some(newer)) = (superseded.key_gen.clone(), followed) else {
                    return Err(LoginError::Superseded(superseded).into());
                };
                objects.push(object);
                room_key = newer;
            }
            Err(error) => {
                forget_if_proven(&mut profile, &place, &room_id, &error);
                return Err(error.into());
            }
        }
    };
    let MemberLogin {
        capsule,
        introductions,
        session,
        capsule_key: _,
    } = login;
    let genesis_hash = capsule.genesis.hash();
    if let Some(expected) = expected_genesis.filter(|expected| *expected != genesis_hash) {
        return Err(EnterError::OtherThanInvited {
            expected,
            found: genesis_hash,
        });
    }
    if admin
        .as_ref()
        .is_some_and(|admin| admin.public() != *capsule.genesis.admin())
    {
        return Err(EnterError::NotItsAdmin);
    }
    profile.pin(&place, &room_id, genesis_hash, *capsule.genesis.admin())?;
    let stored = profile.room_state(&genesis_hash)?;
    profile.keep_membership(&MembershipAtRest {
        server: Some(client.server().as_str().to_owned()),
        room_id: room_id.clone(),
        genesis: capsule.genesis.clone(),
        name: name.clone(),
        generations: vec![GenerationAtRest {
            generation: capsule.generation,
            random: capsule.random.clone(),
            room_key: room_key.clone(),
        }],
    })?;

    let own_name = name.clone();
    let rng = &mut UnwrapErr(SysRng);
    let transport = TransportKey::generate(rng);
    let keys = GenerationKeys::derive(&room_key, &capsule.random, &room_id.handle(), capsule.generation);
    let policy = *capsule.genesis.policy();
    let net = Net::new(NetConfig {
        transport: transport.clone(),
        mesh: keys.mesh().clone(),
        topic: keys.topic(),
        listen: if listen.is_empty() {
            NetConfig::default_listen()
        } else {
            listen
        },
        max_participants: policy.max_participants,
        limits: NetLimits::default(),
    })?;
    let peer = transport.peer_key();
    let (beat_keys, keys_of_beats) = watch::channel(BeatKeys {
        room_keys: vec![room_key.clone()],
        intros: vec![keys.intro().clone()],
    });
    let session = SharedSession::new(session);
    let grace_s = if profile.is_ephemeral() {
        EPHEMERAL_GRACE_S
    } else {
        policy.grace_s
    };
    let state_was_lost = profile.vault().is_some_and(Vault::state_was_lost);
    let clock = Clock::start();
    let (mut room, _) = Room::restore(
        RoomConfig {
            genesis: capsule.genesis.clone(),
            keys,
            room_key,
            random: capsule.random,
            log: capsule.log,
            identity: profile.identity().clone(),
            transport,
            name,
            admin,
            grace_s,
            persist: !profile.is_ephemeral(),
            read_receipts,
        },
        &stored,
        clock.now(),
        StdRng::from_rng(rng),
    );
    room.set_contacts(profile.contacts()?);
    let heartbeat = Heartbeat {
        client: client.clone(),
        session: session.clone(),
        room_id: room_id.clone(),
        keys: keys_of_beats,
        genesis_hash,
        peer,
        interval,
    };
    Ok(Actor::start(Parts {
        profile,
        room,
        net,
        clock,
        heartbeat,
        room_id,
        name: own_name,
        genesis: capsule.genesis,
        server: client.server().clone(),
        client,
        session,
        peer,
        state_was_lost,
        beat_keys,
        insecure_registration,
        introductions,
        addresses,
        objects,
    }))
}

/// The Room Key that an object holds for us, if we were carried over: by what we stored of the room, and by nothing that the rendezvous says.
fn follow(profile: &Profile, server: &ServerUrl, room_id: &RoomId, object: &[u8]) -> Option<RoomKey> {
    let memberships = profile.memberships().ok()?;
    let is_this = |room: &MembershipAtRest| room.room_id == *room_id && room.server.as_deref() == Some(server.as_str());
    let membership = memberships.into_iter().find(is_this)?;
    let current = membership.current()?.clone();
    let stored = profile.room_state(&membership.genesis.hash()).ok()?;
    let rng = &mut UnwrapErr(SysRng);
    let clock = Clock::start();
    let config = RoomConfig {
        keys: current.keys(&room_id.handle()),
        room_key: current.room_key.clone(),
        random: current.random,
        genesis: membership.genesis,
        log: Vec::new(),
        identity: profile.identity().clone(),
        transport: TransportKey::generate(rng),
        name: membership.name,
        admin: None,
        grace_s: EPHEMERAL_GRACE_S,
        persist: false,
        read_receipts: false,
    };
    let (mut room, _) = Room::restore(config, &stored, clock.now(), StdRng::from_rng(rng));
    let object = object.to_vec();
    room.handle(Input::Object { bytes: object }, clock.now(), &mut Vec::new());
    let found = room.room_key()?;
    (found.reveal() != current.room_key.reveal()).then(|| found.clone())
}

/// Both logins at once: each is mostly 0.1 s of stretching on a thread of its own.
async fn log_in(
    client: &Client,
    room_id: &RoomId,
    room_key: &RoomKey,
    admin: Option<&AdminAccess>,
) -> Result<(MemberLogin, Option<AdminKey>), LoginError> {
    match admin {
        None => Ok((client.login(room_id, room_key).await?, None)),
        Some(AdminAccess::Key(key)) => Ok((client.login(room_id, room_key).await?, Some(key.clone()))),
        Some(AdminAccess::Password(password)) => {
            let (member, admin) =
                tokio::try_join!(client.login(room_id, room_key), client.login_admin(room_id, password))?;
            Ok((member, Some(admin.admin)))
        }
    }
}

/// A pin outlives its room unless the room's own admin is proven to have deleted it: then the Room ID may mean another room later.
fn forget_if_proven(profile: &mut Profile, place: &Place, room_id: &RoomId, error: &LoginError) {
    let LoginError::Gone {
        tombstone: Some(tombstone),
    } = error
    else {
        return;
    };
    let Some(pinned) = profile.pinned(place, room_id) else {
        return;
    };
    if proves_deletion(tombstone, room_id, pinned.genesis, &pinned.admin) {
        let forgotten = profile.forget_membership(&pinned.genesis);
        if let Err(error) = forgotten.and_then(|()| profile.forget(place, room_id)) {
            tracing::warn!(%error, "something of the deleted room stays");
        }
    }
}

/// True if the tombstone is of this very room, and its admin's.
pub(super) fn proves_deletion(
    tombstone: &SignedTombstone,
    room_id: &RoomId,
    genesis: GenesisHash,
    admin: &snug_crypto::AdminPublicKey,
) -> bool {
    let proven = tombstone.verify(admin);
    proven.is_ok_and(|proven| proven.genesis_hash == genesis && proven.handle == room_id.handle())
}
