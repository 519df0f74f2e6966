//! Changes of a room at its rendezvous: a new Room Key, a new Password, a capsule that grew.

use std::fmt;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use reqwest::Method;
use snug_crypto::capsule::{AdminCapsule, Capsule};
use snug_crypto::credential::{Request, SignedCertificate};
use snug_crypto::generation::Generation;
use snug_crypto::leaf::LeafSigningKey;
use snug_crypto::names::{Password, RoomId, RoomKey};
use snug_crypto::{ExportKey, GenesisHash, OperationHash};
use snug_rendezvous_api::{self as api, ByteString, Exact, ProblemType, Token};

use super::client::{AdminLogin, Client, secret};
use super::http::Refusal;
use super::opaque::{self, Ready};
use super::{ChangeError, Session};

/// What seals the capsule of a Room Key: a login with it or its registration gives it, and nothing else does.
#[derive(Clone)]
pub struct CapsuleKey(pub(super) ExportKey);

/// By what right a change is made.
#[derive(Clone, Copy, Debug)]
pub enum Authority<'a> {
    /// Whoever knows the Password.
    Admin(&'a AdminLogin),
    /// A member with a certificate of the admin's.
    Certified {
        /// A login with the Room Key that is registered.
        session: &'a Session,
        /// The admin's word for `key`.
        certificate: &'a SignedCertificate,
        /// Signs the frames of the member's leaf.
        key: &'a LeafSigningKey,
    },
}

/// A new Room Key for a room.
#[derive(Clone, Debug)]
pub struct KeyChange<'a> {
    /// The new Room Key.
    pub room_key: &'a RoomKey,
    /// The room in its new generation, with the new r.
    pub capsule: &'a Capsule,
    /// For holders of the Room Key that is registered: what ended its generation, at most 256 KiB. Opaque to the server.
    pub key_gen: Option<Vec<u8>>,
    /// Takes the place of a generation that is void, whichever would win. Takes admin's rank.
    pub replaces_void: bool,
    /// Certificates with a lower serial are void from now on; 0 if nothing changes. Takes admin's rank.
    pub least_serial: u32,
    /// Registers even over plain http to another host (`--insecure-registration`).
    pub insecure_registration: bool,
}

/// What a login with a former Room Key earns. It comes from a server that we don't trust: whoever reads the object verifies
/// what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The generation that was registered in its place.
    pub generation: Generation,
    /// What ended its generation, if that was handed over.
    pub key_gen: Option<Vec<u8>>,
}

impl Client {
    /// Registers a new Room Key. Tokens of the former one are void afterwards, this session's too: log in with the new one.
    /// If the answer was lost, a login with the new Room Key tells whether it happened. Takes about 0.1 s, mostly on another
    /// thread.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn change_room_key(
        &self,
        room_id: &RoomId,
        authority: Authority<'_>,
        change: KeyChange<'_>,
    ) -> Result<CapsuleKey, ChangeError> {
        self.check_transport(change.insecure_registration)?;
        let handle = room_id.handle();
        let room_key = Some(secret(change.room_key.reveal()));
        let (ready, _) = opaque::register(&self.http, &handle, room_key, None)
            .await
            .map_err(|refusal| self.change_refusal(refusal))?;
        let Ready { upload, export_key } = ready.ok_or_else(|| self.odd())?;
        let generation = to_wire(&change.capsule.generation);
        let capsule = seal(change.capsule, &export_key)?;
        let key_gen = change.key_gen.map(ByteString::new).transpose();
        let key_gen = key_gen.map_err(|_| ChangeError::TooLarge)?;
        let certified = authority.certified(
            &change.capsule.genesis.hash(),
            &Request::RoomKey {
                registration: upload.registration.as_bytes(),
                upload: upload.record.as_bytes(),
                generation: &generation.to_bytes(),
                capsule: capsule.as_slice(),
                key_gen: key_gen.as_ref().map_or(&[], |object| object.as_slice()),
                overrides: change.replaces_void,
                least_serial: change.least_serial,
            },
        );
        let body = api::ChangeRoom {
            room_key: Some(api::NewRoomKey {
                credential: upload,
                generation,
                capsule,
                key_gen,
                overrides: change.replaces_void,
            }),
            password: None,
            least_serial: some(change.least_serial),
            certified,
        };
        self.post_change(room_id, authority.token(), &body).await?;
        Ok(CapsuleKey(export_key))
    }

    /// Replaces the Password. Takes about 0.1 s, mostly on another thread; the login is void afterwards.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn change_password(
        &self,
        admin: &AdminLogin,
        password: &Password,
        insecure_registration: bool,
    ) -> Result<(), ChangeError> {
        self.check_transport(insecure_registration)?;
        let room_id = admin.genesis.room_id();
        let (_, ready) = opaque::register(&self.http, &room_id.handle(), None, Some(secret(password.reveal())))
            .await
            .map_err(|refusal| self.change_refusal(refusal))?;
        let Ready { upload, export_key } = ready.ok_or_else(|| self.odd())?;
        let capsule = AdminCapsule {
            admin_key: admin.admin.clone(),
            genesis: admin.genesis.clone(),
        };
        let sealed = capsule.seal(&export_key, &mut UnwrapErr(SysRng));
        let body = api::ChangeRoom {
            room_key: None,
            password: Some(api::NewPassword {
                credential: upload,
                capsule: ByteString::new(sealed).map_err(|_| ChangeError::TooLarge)?,
            }),
            least_serial: None,
            certified: None,
        };
        self.post_change(room_id, &admin.session.token, &body).await
    }

    /// Replaces the capsule of the registered generation, with more of the authority log, and makes certificates void whose serial is lower
    /// than `least_serial`: 0 for none, anything else takes admin's rank.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn refresh_capsule(
        &self,
        room_id: &RoomId,
        authority: Authority<'_>,
        key: &CapsuleKey,
        capsule: &Capsule,
        least_serial: u32,
    ) -> Result<(), ChangeError> {
        let generation = to_wire(&capsule.generation);
        let sealed = seal(capsule, &key.0)?;
        let certified = authority.certified(
            &capsule.genesis.hash(),
            &Request::Capsule {
                generation: &generation.to_bytes(),
                capsule: sealed.as_slice(),
                least_serial,
            },
        );
        let body = api::PutCapsule {
            generation,
            capsule: sealed,
            least_serial: some(least_serial),
            certified,
        };
        let path = api::capsule(&opaque::path_handle(&room_id.handle()));
        self.http
            .call_for_nothing(Method::PUT, &path, Some(authority.token()), Some(&body))
            .await
            .map_err(|refusal| self.change_refusal(refusal))
    }

    async fn post_change(&self, room_id: &RoomId, token: &Token, body: &api::ChangeRoom) -> Result<(), ChangeError> {
        let path = api::change(&opaque::path_handle(&room_id.handle()));
        self.http
            .call_for_nothing(Method::POST, &path, Some(token), Some(body))
            .await
            .map_err(|refusal| self.change_refusal(refusal))
    }

    fn check_transport(&self, insecure_registration: bool) -> Result<(), ChangeError> {
        if self.server().is_plain_to_other_host() && !insecure_registration {
            return Err(ChangeError::PlainHttp {
                server: self.server().clone(),
            });
        }
        Ok(())
    }

    /// What was asked for is there, or the registration had failed.
    fn odd(&self) -> ChangeError {
        self.http.not_a_rendezvous("it registered nothing").into()
    }

    fn change_refusal(&self, refusal: Refusal) -> ChangeError {
        let problem = match refusal {
            Refusal::Exchange(error) => return error.into(),
            Refusal::Problem(problem) => problem,
        };
        match (problem.problem_type, problem.generation) {
            (ProblemType::GenerationStale, Some(registered)) => ChangeError::Stale {
                registered: from_wire(&registered),
            },
            (ProblemType::RoomGone, _) => ChangeError::Gone {
                tombstone: opaque::tombstone_of(&problem),
            },
            (ProblemType::TokenRefused | ProblemType::WrongCredential, _) => ChangeError::Refused,
            (ProblemType::CertificateRefused, _) => ChangeError::CertificateRefused,
            (ProblemType::TooLarge, _) => ChangeError::TooLarge,
            _ => self.http.unexpected(&problem).into(),
        }
    }
}

impl<'a> Authority<'a> {
    fn token(&self) -> &'a Token {
        match self {
            Self::Admin(admin) => &admin.session.token,
            Self::Certified { session, .. } => &session.token,
        }
    }

    fn certified(&self, genesis: &GenesisHash, request: &Request<'_>) -> Option<api::Certified> {
        match self {
            Self::Admin(_) => None,
            Self::Certified {
                session,
                certificate,
                key,
            } => Some(api::Certified {
                certificate: Exact::new(certificate.to_bytes()),
                signature: Exact::new(request.sign(key, genesis, session.token.as_bytes())),
            }),
        }
    }
}

fn some(least_serial: u32) -> Option<u32> {
    (least_serial > 0).then_some(least_serial)
}

fn seal(capsule: &Capsule, key: &ExportKey) -> Result<ByteString<1, { api::MAX_CAPSULE }>, ChangeError> {
    let sealed = capsule
        .seal(key, &mut UnwrapErr(SysRng))
        .map_err(|_| ChangeError::TooLarge)?;
    ByteString::new(sealed).map_err(|_| ChangeError::TooLarge)
}

pub(super) fn to_wire(generation: &Generation) -> api::Generation {
    api::Generation {
        count: generation.count,
        hash: Exact::new(*generation.hash.as_bytes()),
    }
}

fn from_wire(generation: &api::Generation) -> Generation {
    Generation {
        count: generation.count,
        hash: OperationHash::from_bytes(*generation.hash.as_bytes()),
    }
}

impl From<api::Superseded> for Superseded {
    fn from(superseded: api::Superseded) -> Self {
        Self {
            generation: from_wire(&superseded.generation),
            key_gen: superseded.key_gen.map(ByteString::into_vec),
        }
    }
}

impl fmt::Debug for CapsuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("CapsuleKey(redacted)")
    }
}
