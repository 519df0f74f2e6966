//! The first half of entering: what the room is, and who we are in it. The rendezvous says so; or an invite, where there is none; or what
//! we know from the last time, while it is away.

use snug_crypto::capsule::Capsule;
use snug_crypto::credential::SignedTombstone;
use snug_crypto::names::{RoomId, RoomKey};
use snug_crypto::rest::GenerationAtRest;
use snug_crypto::{AdminKey, GenesisHash};

use super::enter::AdminAccess;
use super::heartbeat::LoggedIn;
use super::keyring::Key;
use super::passed::{AtRest, Followed, Known};
use super::{EnterError, Meeting};
use crate::profile::{Place, Profile};
use crate::rendezvous::{Client, LoginError, MemberLogin, ServerError};

/// Why we come without the rendezvous' leave, though we were here before.
#[derive(Debug)]
pub(super) enum Away {
    /// It doesn't answer.
    Unreachable(ServerError),
    /// It takes none of the Room Keys that we have.
    Refused,
}

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
    pub away: Option<Away>,
    /// The generations whose Room Key we had, the newest first.
    pub held: Vec<GenerationAtRest>,
    /// The one that the rendezvous let us in with last.
    pub registered: Option<GenerationAtRest>,
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
            held: Vec::new(),
            registered: None,
            objects: Vec::new(),
        }),
    }
}

async fn at_rendezvous(
    client: &Client,
    profile: &mut Profile,
    room_id: &RoomId,
    room_key: RoomKey,
    admin: Option<&AdminAccess>,
) -> Result<Arrival, EnterError> {
    let mut known = Known::at(profile, client.server(), room_id);
    let mut keyring = Known::keyring(known.as_ref(), &room_key);
    let (mut admin, mut password) = match admin {
        None => (None, None),
        Some(AdminAccess::Key(key)) => (Some(key.clone()), None),
        Some(AdminAccess::Password(password)) => (None, Some(password)),
    };
    let mut objects: Vec<Vec<u8>> = Vec::new();
    while let Some(key) = keyring.next() {
        // Both logins at once: each is mostly 0.1 s of stretching on a thread of its own.
        let entered = match password.take() {
            None => log_in(client, room_id, &key).await,
            Some(password) => {
                let (entered, as_admin) =
                    tokio::join!(log_in(client, room_id, &key), client.login_admin(room_id, password));
                match as_admin {
                    Ok(login) => admin = Some(login.admin),
                    Err(error) => {
                        forget_if_proven(profile, &Place::server(client.server()), room_id, &error);
                        return Err(error.into());
                    }
                }
                entered
            }
        };
        match entered {
            Ok(login) => {
                return Ok(Arrival {
                    session: Some(LoggedIn::new(login.session, login.capsule_key, &login.capsule)),
                    registered: Some(at_rest(&login.capsule, &key.room_key)),
                    capsule: login.capsule,
                    room_key: key.room_key,
                    admin,
                    introductions: login.introductions,
                    relays: login.relays,
                    away: None,
                    held: known.as_ref().map(Known::held).unwrap_or_default(),
                    objects,
                });
            }
            Err(LoginError::Superseded(superseded)) => {
                if keyring.gave_way_to(&superseded.generation) {
                    continue;
                }
                // Only a member that was carried over gets anything out of it: others ask for the new Room Key.
                let object = superseded.key_gen.clone();
                let (Some(object), Some(known)) = (object, known.as_mut()) else {
                    return Err(LoginError::Superseded(superseded).into());
                };
                let newer = match known.follow(profile, &object) {
                    Followed::To(newer) => newer,
                    Followed::Out(notice) => {
                        known.forget(profile);
                        return Err(EnterError::Removed(Box::new(notice)));
                    }
                    Followed::Nowhere => return Err(LoginError::Superseded(superseded).into()),
                };
                objects.push(object);
                if !keyring.followed(Key::from(&newer)) {
                    return Err(LoginError::Superseded(superseded).into());
                }
            }
            // Another of ours may be the one that is registered, or was.
            Err(LoginError::WrongCredentials) => {}
            // A member that was here before needs nothing of it; the admin key is there, unless it was given.
            Err(LoginError::Server(error)) => {
                return match known.as_ref().and_then(|known| known.at_rest(&room_key)) {
                    Some(rest) => Ok(rest.arrive(room_key, admin, Away::Unreachable(error), objects)),
                    None => Err(LoginError::Server(error).into()),
                };
            }
            Err(error) => {
                forget_if_proven(profile, &Place::server(client.server()), room_id, &error);
                return Err(error.into());
            }
        }
    }
    // It takes none of ours: those who are there may have gone on without it, and let us in if they carried us over.
    let resting = known.as_ref().filter(|known| known.is_member(profile));
    match resting.and_then(|known| known.at_rest(&room_key)) {
        Some(rest) => Ok(rest.arrive(room_key, admin, Away::Refused, objects)),
        None => Err(LoginError::WrongCredentials.into()),
    }
}

impl AtRest {
    /// Entering as we left, among those whom we know.
    fn arrive(self, room_key: RoomKey, admin: Option<AdminKey>, away: Away, objects: Vec<Vec<u8>>) -> Arrival {
        Arrival {
            capsule: self.capsule,
            room_key,
            admin,
            introductions: Vec::new(),
            relays: Vec::new(),
            session: None,
            away: Some(away),
            held: self.held,
            registered: self.registered,
            objects,
        }
    }
}

/// If we know which generation the key is of, the rendezvous finds it however many changes there were since.
pub(super) async fn log_in(client: &Client, room_id: &RoomId, key: &Key) -> Result<MemberLogin, LoginError> {
    match &key.generation {
        Some(generation) => client.login_since(room_id, &key.room_key, generation).await,
        None => client.login(room_id, &key.room_key).await,
    }
}

/// A generation with its secrets.
pub(super) fn at_rest(capsule: &Capsule, room_key: &RoomKey) -> GenerationAtRest {
    GenerationAtRest {
        generation: capsule.generation,
        random: capsule.random.clone(),
        room_key: room_key.clone(),
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
