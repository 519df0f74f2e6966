//! The first half of entering: what the room is, and who we are in it. The rendezvous says so; or an invite, where there is none; or what
//! we know from the last time, while it is away.

use rand::SeedableRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::{StdRng, SysRng};
use snug_crypto::capsule::Capsule;
use snug_crypto::credential::SignedTombstone;
use snug_crypto::identity::TransportKey;
use snug_crypto::names::{RoomId, RoomKey};
use snug_crypto::rest::MembershipAtRest;
use snug_crypto::{AdminKey, GenesisHash};

use super::clock::Clock;
use super::enter::{AdminAccess, EPHEMERAL_GRACE_S};
use super::heartbeat::LoggedIn;
use super::{EnterError, Meeting};
use crate::profile::{Place, Profile};
use crate::rendezvous::{Client, LoginError, MemberLogin, ServerError, ServerUrl};
use crate::room::{Input, Room, RoomConfig};

/// Changes of the Room Key that a member follows when it comes back, at most.
const MAX_PASSED: usize = 8;

/// What entering begins with.
pub(super) struct Arrival {
    pub capsule: Capsule,
    /// The one that lets in now: it may have been changed since we were here.
    pub room_key: RoomKey,
    pub admin: Option<AdminKey>,
    /// Sealed presence records that came with the login.
    pub introductions: Vec<Vec<u8>>,
    /// What the rendezvous says of its relay.
    pub relays: Vec<String>,
    pub session: Option<LoggedIn>,
    /// Why there is no session, if there should be one.
    pub away: Option<ServerError>,
    /// What ended generations while we were away.
    pub objects: Vec<Vec<u8>>,
}

/// Finds out what the room is.
pub(super) async fn arrive(
    meeting: &Meeting,
    profile: &mut Profile,
    room_id: &RoomId,
    room_key: RoomKey,
    admin: Option<&AdminAccess>,
) -> Result<Arrival, EnterError> {
    match meeting {
        Meeting::Rendezvous(client) => at_rendezvous(client, profile, room_id, room_key, admin).await,
        Meeting::Members(capsule) => Ok(Arrival {
            admin: match admin {
                Some(AdminAccess::Key(key)) => Some(key.clone()),
                Some(AdminAccess::Password(_)) | None => profile.admin(&capsule.genesis.hash())?,
            },
            capsule: Capsule::clone(capsule),
            room_key,
            introductions: Vec::new(),
            relays: Vec::new(),
            session: None,
            away: None,
            objects: Vec::new(),
        }),
    }
}

async fn at_rendezvous(
    client: &Client,
    profile: &mut Profile,
    room_id: &RoomId,
    mut room_key: RoomKey,
    admin: Option<&AdminAccess>,
) -> Result<Arrival, EnterError> {
    let mut objects: Vec<Vec<u8>> = Vec::new();
    loop {
        match log_in(client, room_id, &room_key, admin).await {
            Ok((login, admin)) => {
                return Ok(Arrival {
                    session: Some(LoggedIn::new(login.session, login.capsule_key, &login.capsule)),
                    capsule: login.capsule,
                    room_key,
                    admin,
                    introductions: login.introductions,
                    relays: login.relays,
                    away: None,
                    objects,
                });
            }
            Err(LoginError::Superseded(superseded)) if objects.len() < MAX_PASSED => {
                // Only a member that was carried over gets anything out of it: others ask for the new Room Key.
                let followed = superseded
                    .key_gen
                    .as_ref()
                    .and_then(|object| follow(profile, client.server(), room_id, object));
                let (Some(object), Some(newer)) = (superseded.key_gen.clone(), followed) else {
                    return Err(LoginError::Superseded(superseded).into());
                };
                objects.push(object);
                room_key = newer;
            }
            Err(LoginError::Server(error)) => {
                // The admin key is at the rendezvous, but a member that was here before needs nothing of it.
                let admin = match admin {
                    None => None,
                    Some(AdminAccess::Key(key)) => Some(key.clone()),
                    Some(AdminAccess::Password(_)) => return Err(LoginError::Server(error).into()),
                };
                let Some(capsule) = remembered(profile, client.server(), room_id, &room_key) else {
                    return Err(LoginError::Server(error).into());
                };
                return Ok(Arrival {
                    capsule,
                    room_key,
                    admin,
                    introductions: Vec::new(),
                    relays: Vec::new(),
                    session: None,
                    away: Some(error),
                    objects,
                });
            }
            Err(error) => {
                forget_if_proven(profile, &Place::server(client.server()), room_id, &error);
                return Err(error.into());
            }
        }
    }
}

/// What the vault knows of the room, if this is its Room Key. The authority log rests with the room's state.
fn remembered(profile: &Profile, server: &ServerUrl, room_id: &RoomId, room_key: &RoomKey) -> Option<Capsule> {
    let membership = membership(profile, server, room_id)?;
    let current = membership.current()?;
    (current.room_key.reveal() == room_key.reveal()).then(|| Capsule {
        generation: current.generation,
        random: current.random.clone(),
        genesis: membership.genesis.clone(),
        log: Vec::new(),
    })
}

fn membership(profile: &Profile, server: &ServerUrl, room_id: &RoomId) -> Option<MembershipAtRest> {
    let memberships = profile.memberships().ok()?;
    let is_this = |room: &MembershipAtRest| room.room_id == *room_id && room.server.as_deref() == Some(server.as_str());
    memberships.into_iter().find(is_this)
}

/// The Room Key that an object holds for us, if we were carried over: by what we stored of the room, and by nothing that the rendezvous says.
fn follow(profile: &Profile, server: &ServerUrl, room_id: &RoomId, object: &[u8]) -> Option<RoomKey> {
    let membership = membership(profile, server, room_id)?;
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
