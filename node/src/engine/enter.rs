//! Entering a room: arrive, trust its founding record or not, start the node.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use libp2p::Multiaddr;
use rand::SeedableRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::{StdRng, SysRng};
use snug_crypto::capsule::Capsule;
use snug_crypto::generation::GenerationKeys;
use snug_crypto::identity::TransportKey;
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_crypto::rest::{GenerationAtRest, MembershipAtRest};
use snug_crypto::{AdminKey, GenesisHash};
use tokio::sync::watch;

use super::actor::{Actor, Parts};
use super::arrive::{Arrival, Away, arrive, at_rest};
use super::clock::Clock;
use super::heartbeat::{self, BeatKeys, Heartbeat, SharedSession};
use super::keyring::MAX_TRIED;
use super::{EnterError, Events, Handle};
use crate::lan::Looking;
use crate::net::{Net, NetConfig, NetLimits, by_host};
use crate::profile::{Place, Profile, ProfileError, Reach, Vault};
use crate::rendezvous::Client;
use crate::room::{Room, RoomConfig, policy_of};

/// How long a member of an ephemeral profile stays in the roster when it vanishes, in seconds; renewed while it is there.
pub(super) const EPHEMERAL_GRACE_S: u32 = 15 * 60;
/// How long the system may take to say where we listen.
const LISTENING: Duration = Duration::from_secs(1);

/// What a node needs to enter a room.
#[derive(Debug)]
pub struct EnterOptions {
    /// Who we are. Held, and so locked, until the node has ended.
    pub profile: Profile,
    /// Where its members meet.
    pub meeting: Meeting,
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
    /// Where to call members besides those that the rendezvous introduces; whoever answers must prove itself as anybody else.
    pub addresses: Vec<Multiaddr>,
    /// Looks for members on private networks, and is found there (multicast DNS).
    pub lan: bool,
    /// Uses relays: to be called through, and to call others.
    pub relays: bool,
    /// Relays for members who can't reach each other, when it can be reached itself.
    pub serves: bool,
    /// Asks the router to open a port (UPnP).
    pub upnp: bool,
    /// Registers a new Room Key even over plain http to another host (`--insecure-registration`).
    pub insecure_registration: bool,
    /// Whether others are told what the user has read.
    pub read_receipts: bool,
}

/// Where the members of a room find each other.
#[derive(Debug)]
pub enum Meeting {
    /// At the room's rendezvous. While it is away, somebody who was in the room before gets in all the same.
    Rendezvous(Client),
    /// Nowhere but where they are: this is what a rendezvous would tell, from the invite or from the vault.
    Members(Box<Capsule>),
}

/// What proves the room's admin.
#[derive(Debug)]
pub enum AdminAccess {
    /// The Password: the key is fetched from the rendezvous, at the cost of a second login. Without a rendezvous it is of no use: there the
    /// key rests in the vault of the room's maker.
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
        meeting,
        room_id,
        room_key,
        name,
        admin,
        listen,
        expected_genesis,
        addresses,
        lan,
        relays: uses_relays,
        serves,
        upnp,
        insecure_registration,
        read_receipts,
    } = options;
    let Arrival {
        capsule,
        room_key,
        admin,
        introductions,
        relays,
        session,
        away,
        held,
        registered,
        objects,
    } = arrive(&meeting, &mut profile, &room_id, room_key, admin.as_ref()).await?;
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
    let client = match meeting {
        Meeting::Rendezvous(client) => Some(client),
        // Nobody but the invite says what the room is: there is nothing to be misled by later.
        Meeting::Members(_) => None,
    };
    if let Some(client) = &client {
        let place = Place::server(client.server());
        profile.pin(&place, &room_id, genesis_hash, *capsule.genesis.admin())?;
    } else if let Some(admin) = &admin {
        profile.keep_admin(&genesis_hash, admin)?;
    }
    let stored = profile.room_state(&genesis_hash)?;
    let entered = at_rest(&capsule, &room_key);
    // The rendezvous may not have heard of the newest yet: then that is the one to come back with all the same.
    let newest = held
        .first()
        .filter(|held| held.generation.cmp_currency(&entered.generation).is_gt())
        .unwrap_or(&entered);
    profile.keep_membership(&MembershipAtRest {
        server: client.as_ref().map(|client| client.server().as_str().to_owned()),
        room_id: room_id.clone(),
        genesis: capsule.genesis.clone(),
        name: name.clone(),
        generations: generations_at_rest(registered.clone(), newest.clone()),
    })?;

    let own_name = name.clone();
    let rng = &mut UnwrapErr(SysRng);
    let transport = TransportKey::generate(rng);
    let keys = GenerationKeys::derive(&room_key, &capsule.random, &room_id.handle(), capsule.generation);
    // How gossip spreads is settled when the net is made: by the founding record, or by what the room has grown to since.
    let policy = policy_of(&capsule.genesis, &capsule.log);
    let max_participants = policy.max_participants.max(capsule.genesis.policy().max_participants);
    let invited: &[Multiaddr] = if client.is_none() { &addresses } else { &[] };
    let known = reach(&profile, &genesis_hash, invited)?;
    let any_port = listen.is_empty();
    let mut net = Net::new(NetConfig {
        transport: transport.clone(),
        mesh: keys.mesh().clone(),
        topic: keys.topic(),
        listen: if any_port {
            NetConfig::listen_on(known.port)
        } else {
            listen
        },
        any_port,
        max_participants,
        relays: uses_relays,
        serves,
        limits: NetLimits::default(),
    })?;
    if client.is_none() {
        // An invite to this room says where we are.
        net.listening(LISTENING).await;
    }
    let peer = transport.peer_key();
    let looking = lan.then(|| Looking {
        mesh: keys.mesh().clone(),
        intro: keys.intro().clone(),
        peer,
        addresses: net.presentable(),
        lost: 0,
    });
    let earlier = held.into_iter().filter(|held| held.generation != capsule.generation);
    let room_keys: Vec<GenerationAtRest> = std::iter::once(entered).chain(earlier).take(MAX_TRIED).collect();
    let handle = room_id.handle();
    let (beat_keys, keys_of_beats) = watch::channel(BeatKeys {
        intros: room_keys
            .iter()
            .map(|held| held.keys(&handle).intro().clone())
            .collect(),
        room_keys,
    });
    let session = SharedSession::new(session, registered);
    let grace_s = if profile.is_ephemeral() {
        EPHEMERAL_GRACE_S
    } else {
        // The room's policy decides, whatever it comes to be.
        u32::MAX
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
    net.open_doors(room.doors());
    let heartbeat = client.clone().map(|client| Heartbeat {
        client,
        session: session.clone(),
        room_id: room_id.clone(),
        keys: keys_of_beats,
        genesis_hash,
        peer,
        relays,
        refused: matches!(away, Some(Away::Refused)),
        interval,
    });
    Ok(Actor::start(Parts {
        profile,
        room,
        net,
        clock,
        heartbeat,
        room_id,
        name: own_name,
        genesis: capsule.genesis,
        client,
        session,
        peer,
        state_was_lost,
        beat_keys,
        insecure_registration,
        introductions,
        addresses,
        known,
        looking,
        upnp,
        away,
        objects,
    }))
}

/// The two that a membership keeps beside what rests with the room's state: the one that the rendezvous takes, as far as we know, and the
/// current one.
pub(super) fn generations_at_rest(
    registered: Option<GenerationAtRest>,
    current: GenerationAtRest,
) -> Vec<GenerationAtRest> {
    let registered = registered.filter(|registered| registered.generation != current.generation);
    registered.into_iter().chain([current]).collect()
}

/// Where the room was reached last; and a port of our own, which is the same in each run, so that others find us where we were.
/// Whom the invite of a room without a rendezvous names is remembered, too: that may be all that the next run has to go by.
fn reach(profile: &Profile, genesis: &GenesisHash, invited: &[Multiaddr]) -> Result<Reach, ProfileError> {
    let before = profile.reach(genesis)?;
    let mut known = before.clone();
    if known.port == 0 && !profile.is_ephemeral() {
        known.port = free_port();
    }
    let groups = by_host(invited.to_vec());
    let texts = |addresses: &Vec<Multiaddr>| addresses.iter().map(Multiaddr::to_string).collect();
    known.add(groups.iter().map(texts).collect());
    if known != before {
        profile.keep_reach(genesis, &known)?;
    }
    Ok(known)
}

/// A port that nobody uses right now, or 0.
pub(crate) fn free_port() -> u16 {
    let socket = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0));
    socket
        .and_then(|socket| socket.local_addr())
        .map_or(0, |address| address.port())
}
