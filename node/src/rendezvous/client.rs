//! Rooms at a rendezvous: made, entered, deleted.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use reqwest::Method;
use snug_crypto::capsule::{AdminCapsule, Capsule};
use snug_crypto::credential::{Listing, Tombstone};
use snug_crypto::generation::{Generation, RoomRandom};
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_crypto::{AdminKey, GenesisHash};
use snug_rendezvous_api::{self as api, ByteString, Exact, ProblemType};
use zeroize::Zeroizing;

use super::http::{Http, Refusal};
use super::opaque::{self, Proves, Secret};
use super::session::introduced;
use super::{CapsuleKey, CreateError, DeleteError, Introduced, LoginError, ServerError, ServerUrl, Session, change};
use crate::engine::clock::unix_ms;

/// A client of one rendezvous; clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) http: Http,
}

/// How a room shall be.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// What it is for, in a line.
    pub description: String,
    /// Its rules.
    pub policy: Policy,
    /// Registers even over plain http to another host (`--insecure-registration`).
    pub insecure_registration: bool,
}

/// A room that was made.
#[derive(Debug)]
pub struct Created {
    /// Its founding record.
    pub genesis: Genesis,
    /// Names the founding record: goes into invites.
    pub genesis_hash: GenesisHash,
    /// The admin's power over it.
    pub admin: AdminKey,
}

/// A login with the Room Key.
#[derive(Debug)]
pub struct MemberLogin {
    /// The room, as its members sealed it.
    pub capsule: Capsule,
    /// Sealed presence records of those who are there.
    pub introductions: Vec<Vec<u8>>,
    /// What the server says of its relay, as in [`Introduced`].
    pub relays: Vec<String>,
    /// For presence.
    pub session: Session,
    /// Seals later capsules of this Room Key.
    pub capsule_key: CapsuleKey,
}

/// A login with the Password.
#[derive(Debug)]
pub struct AdminLogin {
    /// The admin's key.
    pub admin: AdminKey,
    /// The room's founding record.
    pub genesis: Genesis,
    pub(super) session: Session,
}

impl Client {
    /// A client that has not connected yet. For https it loads the system's root certificates.
    ///
    /// # Errors
    /// [`ServerError::Unreachable`] if they can't be loaded.
    pub fn new(server: ServerUrl) -> Result<Self, ServerError> {
        Ok(Self {
            http: Http::new(server)?,
        })
    }

    /// The same with a registration token, for rendezvous that take rooms only from those their host gave one. `None` if
    /// the text can't be one: it has visible ASCII characters only.
    #[must_use]
    pub fn with_registration_token(self, token: &str) -> Option<Self> {
        Some(Self {
            http: self.http.with_registration_token(token)?,
        })
    }

    /// Whose client this is.
    pub fn server(&self) -> &ServerUrl {
        self.http.server()
    }

    /// Makes a room: registers both credentials and leaves its capsules, sealed. Takes about 0.2 s, mostly on other threads.
    ///
    /// # Errors
    /// [`CreateError`]; then there is no such room, or it is somebody else's.
    pub async fn create(
        &self,
        room_id: &RoomId,
        room_key: &RoomKey,
        password: &Password,
        options: CreateOptions,
    ) -> Result<Created, CreateError> {
        if self.server().is_plain_to_other_host() && !options.insecure_registration {
            return Err(CreateError::PlainHttp {
                server: self.server().clone(),
            });
        }
        let rng = &mut UnwrapErr(SysRng);
        let admin = AdminKey::generate(rng);
        let (policy, policy_listed) = (wire_policy(&options.policy), options.policy.listed);
        let genesis = Genesis::create(&admin, room_id, &options.description, unix_ms(), options.policy)?;
        let genesis_hash = genesis.hash();
        let registered = opaque::register(
            &self.http,
            &room_id.handle(),
            Some(secret(room_key.reveal())),
            Some(secret(password.reveal())),
        )
        .await
        .map_err(|refusal| self.create_refusal(refusal))?;
        let (Some(room), Some(password)) = registered else {
            // Both were asked for, so both are there.
            return Err(self.http.not_a_rendezvous("it registered one credential of two").into());
        };
        let capsule = Capsule {
            genesis: genesis.clone(),
            generation: Generation::first(&genesis_hash),
            random: RoomRandom::generate(rng),
            log: Vec::new(),
        };
        let admin_capsule = AdminCapsule {
            admin_key: admin.clone(),
            genesis: genesis.clone(),
        };
        let capsule = capsule.seal(&room.export_key, rng).map_err(|_| CreateError::TooLarge)?;
        let admin_capsule = admin_capsule.seal(&password.export_key, rng);
        let listing = Listing {
            genesis_hash,
            admin: admin.public(),
            room_id: room_id.as_str().to_owned(),
            description: options.description,
        };
        let listing = policy_listed.then(|| ByteString::new(listing.sign(&admin))).transpose();
        let listing = listing.map_err(|_| CreateError::TooLarge)?;
        let body = api::RegisterFinish {
            room: room.upload,
            admin: password.upload,
            admin_key: Exact::new(*admin.public().as_bytes()),
            capsule: ByteString::new(capsule).map_err(|_| CreateError::TooLarge)?,
            admin_capsule: ByteString::new(admin_capsule).map_err(|_| CreateError::TooLarge)?,
            policy,
            listing,
        };
        let path = api::register_finish(&opaque::path_handle(&room_id.handle()));
        let _: api::Registered = self
            .http
            .call(Method::POST, &path, None, Some(&body))
            .await
            .map_err(|refusal| self.create_refusal(refusal))?;
        Ok(Created {
            genesis,
            genesis_hash,
            admin,
        })
    }

    /// Logs in as a member. Takes about 0.1 s, mostly on another thread; if the Room Key is refused, as long again to ask
    /// whether it was the room's until the last change.
    ///
    /// # Errors
    /// [`LoginError`]; [`LoginError::Superseded`] for a Room Key that was changed.
    pub async fn login(&self, room_id: &RoomId, room_key: &RoomKey) -> Result<MemberLogin, LoginError> {
        self.login_or_former(room_id, room_key, None).await
    }

    /// The same for who was in the room, in that generation: however many changes there were since then, as far back as the
    /// rendezvous remembers.
    ///
    /// # Errors
    /// [`LoginError`]; [`LoginError::Superseded`] for a Room Key that was changed.
    pub async fn login_since(
        &self,
        room_id: &RoomId,
        room_key: &RoomKey,
        generation: &Generation,
    ) -> Result<MemberLogin, LoginError> {
        self.login_or_former(room_id, room_key, Some(change::to_wire(generation)))
            .await
    }

    async fn login_or_former(
        &self,
        room_id: &RoomId,
        room_key: &RoomKey,
        generation: Option<api::Generation>,
    ) -> Result<MemberLogin, LoginError> {
        let handle = room_id.handle();
        let log_in = |proves| opaque::log_in(&self.http, &handle, proves, secret(room_key.reveal()));
        let (export_key, answer) = match log_in(Proves::RoomKey).await {
            Err(LoginError::WrongCredentials) => {
                return Err(match log_in(Proves::FormerRoomKey(api::Former { generation })).await {
                    // A former Room Key opens no session.
                    Ok(_) => self.http.not_a_rendezvous("it lets a former Room Key in").into(),
                    // The first answer was the room's own.
                    Err(LoginError::Server(_) | LoginError::TooManyLogins { .. }) => LoginError::WrongCredentials,
                    Err(error) => error,
                });
            }
            other => other?,
        };
        let capsule = Capsule::open(&export_key, answer.capsule.as_slice()).map_err(|_| LoginError::BadCapsule {
            what: "its capsule can't be opened",
        })?;
        check_room(&capsule.genesis, room_id)?;
        let Introduced { records, relays } = introduced(answer.introductions);
        Ok(MemberLogin {
            capsule,
            introductions: records,
            relays,
            session: Session::new(self.http.clone(), &handle, answer.token),
            capsule_key: CapsuleKey(export_key),
        })
    }

    /// Logs in as the room's admin. Takes about 0.1 s, mostly on another thread.
    ///
    /// # Errors
    /// [`LoginError`]
    pub async fn login_admin(&self, room_id: &RoomId, password: &Password) -> Result<AdminLogin, LoginError> {
        let handle = room_id.handle();
        let secret = secret(password.reveal());
        let (export_key, answer) = opaque::log_in(&self.http, &handle, Proves::Password, secret).await?;
        let capsule =
            AdminCapsule::open(&export_key, answer.capsule.as_slice()).map_err(|_| LoginError::BadCapsule {
                what: "the admin's capsule can't be opened",
            })?;
        check_room(&capsule.genesis, room_id)?;
        Ok(AdminLogin {
            admin: capsule.admin_key,
            genesis: capsule.genesis,
            session: Session::new(self.http.clone(), &handle, answer.token),
        })
    }

    /// Deletes a room for everybody: leaves a signed tombstone, which members get with their next heartbeat.
    ///
    /// # Errors
    /// [`DeleteError`]
    pub async fn delete(&self, room_id: &RoomId, password: &Password) -> Result<(), DeleteError> {
        let login = self.login_admin(room_id, password).await?;
        let tombstone = Tombstone {
            handle: room_id.handle(),
            genesis_hash: login.genesis.hash(),
        };
        login.session.delete_room(&tombstone.sign(&login.admin)).await
    }

    fn create_refusal(&self, refusal: Refusal) -> CreateError {
        let problem = match refusal {
            Refusal::Exchange(error) => return error.into(),
            Refusal::Problem(problem) => problem,
        };
        let server = self.server().clone();
        match problem.problem_type {
            ProblemType::RoomExists => CreateError::RoomExists,
            ProblemType::PlainHttp => CreateError::NotSecure { server },
            ProblemType::RegistrationClosed => CreateError::Closed { server },
            ProblemType::RegistrationToken => CreateError::TokenNeeded {
                server,
                gave_one: self.http.has_registration_token(),
            },
            ProblemType::TooManyRooms => CreateError::TooManyRooms {
                retry_after: problem.retry_after_s.map(|s| std::time::Duration::from_secs(s.into())),
            },
            _ => self.http.unexpected(&problem).into(),
        }
    }
}

/// A capsule is sealed under its room's credential, so only an admin who seals another room's genesis gets here.
fn check_room(genesis: &Genesis, room_id: &RoomId) -> Result<(), LoginError> {
    if genesis.room_id() != room_id {
        return Err(LoginError::BadCapsule {
            what: "it is another room's",
        });
    }
    Ok(())
}

fn wire_policy(policy: &Policy) -> api::Policy {
    api::Policy {
        max_participants: policy.max_participants,
        retention_s: policy.retention_s,
        grace_s: policy.grace_s,
    }
}

pub(super) fn secret(text: &str) -> Secret {
    Zeroizing::new(text.as_bytes().to_vec())
}
