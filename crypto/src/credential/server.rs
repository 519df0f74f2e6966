//! The server's side: everything it needs derives from one 32-byte key that never rests in its store.
//!
//! ```text
//! oprf_seed     = X(server_key, "server oprf", 00) ‖ X(server_key, "server oprf", 01)          64 bytes
//! server_sk     = DeriveDiffieHellmanKeyPair(X(server_key, "server dh"))                       RFC 9807, 6.4.1.1
//! fake_pk       = public key of DeriveDiffieHellmanKeyPair(X(server_key, "server fake"))       for unknown rooms
//! keyed_handle  = MAC(server_key, "keyed handle", handle)                                      what the store is keyed by
//! token         = MAC(server_key, "login token", attempt)                                      what a finished login earns
//! token_hash    = MAC(server_key, "token", token)                                              what the store holds of a token
//! registration  = random(8) ‖ MAC(server_key, "registration", random)[..8]                     new for each
//! record_id     = H("credential record", registration, upload)
//! credential_identifier = keyed_handle ‖ kind ‖ registration                                   RFC 9807, 5.1.1
//! unknown       = MAC(server_key, "unknown registration", keyed_handle, kind, sought)[..16]    where there is no record
//! ```
//!
//! `random` is 8 bytes that the server draws for each registration. So whoever asks it to register a credential that exists
//! already has another OPRF evaluated than the one that guesses would have to go through: only logins evaluate that one, and
//! they are counted. The other half lets a server that has changed its key tell which of its keys a registration is of.

use core::fmt;

use opaque_ke::key_exchange::group::Group;
use opaque_ke::{
    CredentialFinalization, CredentialRequest, RegistrationRequest, RegistrationUpload, Ristretto255, ServerLogin,
    ServerLoginParameters, ServerRegistration,
};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::state::{KE2_STATE_LEN, LoginState, StateKey};
use super::suite::{CONTEXT, Rng06, Suite, client_identity, fixed, identifiers};
use super::{
    Argon2id, KE1_LEN, KE2_LEN, KE3_LEN, Kind, REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN,
    REGISTRATION_UPLOAD_LEN,
};
use crate::ids::id;
use crate::secret::secret;
use crate::{RoomHandle, kdf, label};

pub use super::state::LOGIN_STATE_LEN;

/// The suite as the server sees it. It never stretches, so which function the clients use is nothing to it.
type ServerSuite = Suite<Argon2id>;

/// Milliseconds between a login's start and its finish.
pub const LOGIN_STATE_TTL_MS: u64 = 60_000;

secret! {
    /// The server's one secret: 32 bytes in a file of its own, shared by all instances. Lost, every room is lost;
    /// stolen together with the store, weak Room Keys can be guessed offline.
    pub ServerKey
}

id! {
    /// How the store names a room: useless for guessing Room IDs without the server key.
    KeyedHandle[32]
}
id! {
    /// How the store names a token.
    TokenHash[32]
}
id! {
    /// Names one login attempt, so that it is counted until it finishes, and finishes once.
    AttemptId[16]
}
id! {
    /// Names one registration, so that a login started on it can't finish on another.
    RecordId[32]
}
id! {
    /// Separates the OPRF of one registration from those of all others: 16 bytes, from [`ServerSetup::new_registration`]. All zero
    /// stands for none, as stores of version 1 have it.
    RegistrationId[16]
}

/// An uploaded registration that was checked to be well-formed.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    registration: RegistrationId,
    upload: [u8; REGISTRATION_UPLOAD_LEN],
}

/// Why a message of the client's is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It is no OPAQUE message: the client is at fault.
    #[error("not an OPAQUE message")]
    Malformed,
    /// Wrong secret, no such room, or a login state that is altered, of another room or credential, or expired.
    #[error("wrong credentials or no such room")]
    Refused,
    /// Something that can't happen did.
    #[error("OPAQUE failed inside")]
    Internal,
}

/// A login's start.
#[derive(Clone, Copy)]
pub struct LoginStart<'a> {
    /// The room.
    pub handle: &'a RoomHandle,
    /// The credential to be proven.
    pub kind: Kind,
    /// Its record, if there is such a room.
    pub record: Option<&'a Record>,
    /// What else says which record is meant, as the client wrote it: without a record the answer depends on it as if there
    /// were one.
    pub sought: &'a [u8],
    /// KE1, from the client.
    pub ke1: &'a [u8; KE1_LEN],
    /// A fresh name for the attempt.
    pub attempt: AttemptId,
    /// The time, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// The answer to a login's start.
pub struct LoginStarted {
    /// KE2, for the client.
    pub ke2: [u8; KE2_LEN],
    /// The sealed state, for the client to hand back.
    pub state: [u8; LOGIN_STATE_LEN],
}

/// A login that proved the secret. It still has to be the attempt's first finish, and on the room's present record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginFinished {
    /// The attempt, to be struck from the count.
    pub attempt: AttemptId,
    /// The registration that was proven.
    pub record: RecordId,
}

/// The server's part of OPAQUE.
pub struct ServerSetup {
    opaque: opaque_ke::ServerSetup<ServerSuite>,
    state: StateKey,
    key: ServerKey,
    /// A well-formed record that is nobody's.
    stand_in: Record,
}

impl ServerKey {
    /// A new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        let key = Self::from_bytes(bytes);
        bytes.zeroize();
        key
    }
}

impl Record {
    /// Checks that an upload is well-formed: a record that can't be read back must not enter the store.
    ///
    /// # Errors
    /// [`ServerError::Malformed`], also for the registration that stands for none.
    pub fn from_upload(
        registration: RegistrationId,
        upload: &[u8; REGISTRATION_UPLOAD_LEN],
    ) -> Result<Self, ServerError> {
        RegistrationUpload::<ServerSuite>::deserialize(upload).map_err(|_| ServerError::Malformed)?;
        if registration == NO_REGISTRATION {
            return Err(ServerError::Malformed);
        }
        Ok(Self::from_stored(registration, *upload))
    }

    /// Takes what [`Self::registration`] and [`Self::as_bytes`] gave to the store.
    #[must_use]
    pub const fn from_stored(registration: RegistrationId, upload: [u8; REGISTRATION_UPLOAD_LEN]) -> Self {
        Self { registration, upload }
    }

    /// What separates its OPRF from others.
    #[must_use]
    pub const fn registration(&self) -> &RegistrationId {
        &self.registration
    }

    /// The upload.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; REGISTRATION_UPLOAD_LEN] {
        &self.upload
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> RecordId {
        RecordId::from_bytes(kdf::hash(
            label::CREDENTIAL_RECORD,
            &[self.registration.as_bytes(), &self.upload],
        ))
    }
}

impl ServerSetup {
    /// Derives everything from the key.
    ///
    /// # Errors
    /// [`ServerError::Internal`] with a probability below 2^-250.
    pub fn new(key: ServerKey) -> Result<Self, ServerError> {
        let mut setup = Zeroizing::new(Vec::with_capacity(128));
        setup.extend_from_slice(&*kdf::expand(key.expose(), label::SERVER_OPRF, &[&[0]]));
        setup.extend_from_slice(&*kdf::expand(key.expose(), label::SERVER_OPRF, &[&[1]]));
        let secret = derive_secret(&key, label::SERVER_DH)?;
        setup.extend_from_slice(&Ristretto255::serialize_sk(&secret));
        let fake = derive_secret(&key, label::SERVER_FAKE)?;
        setup.extend_from_slice(&Ristretto255::serialize_pk(&Ristretto255::public_key(&fake)));
        let mut stand_in = [0; REGISTRATION_UPLOAD_LEN];
        stand_in[..32].copy_from_slice(&setup[96..]);
        Ok(Self {
            stand_in: Record::from_upload(RegistrationId::from_bytes([0xFF; 16]), &stand_in)?,
            opaque: opaque_ke::ServerSetup::deserialize(&setup).map_err(|_| ServerError::Internal)?,
            state: StateKey::new(&kdf::expand(key.expose(), label::LOGIN_STATE, &[])),
            key,
        })
    }

    /// How the store names the room.
    #[must_use]
    pub fn keyed_handle(&self, handle: &RoomHandle) -> KeyedHandle {
        KeyedHandle::from_bytes(kdf::mac(self.key.expose(), label::KEYED_HANDLE, &[handle.as_bytes()]))
    }

    /// How the store names the token.
    #[must_use]
    pub fn token_hash(&self, token: &[u8; 32]) -> TokenHash {
        TokenHash::from_bytes(kdf::mac(self.key.expose(), label::TOKEN, &[token]))
    }

    /// The token that a login earns: the same for each finish of one attempt, so that whoever stores it only once lets the
    /// attempt finish only once. Nobody without the server key can tell it from 32 random bytes.
    #[must_use]
    pub fn login_token(&self, attempt: &AttemptId) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(kdf::mac(self.key.expose(), label::LOGIN_TOKEN, &[attempt.as_bytes()]))
    }

    /// What a store keeps to be told from another key's: 32 bytes that say nothing about the key.
    #[must_use]
    pub fn key_check(&self) -> [u8; 32] {
        *kdf::expand(self.key.expose(), label::KEY_CHECK, &[])
    }

    /// An id for a registration under this key.
    #[must_use]
    pub fn new_registration(&self, rng: &mut impl CryptoRng) -> RegistrationId {
        let mut bytes = [0; 16];
        let (random, tag) = bytes.split_at_mut(8);
        rng.fill_bytes(random);
        tag.copy_from_slice(&self.registration_tag(random)[..8]);
        RegistrationId::from_bytes(bytes)
    }

    /// Whether a registration is of this key. Those of earlier versions are of none.
    #[must_use]
    pub fn made(&self, registration: &RegistrationId) -> bool {
        let (random, tag) = registration.as_bytes().split_at(8);
        self.registration_tag(random)[..8].ct_eq(tag).into()
    }

    fn registration_tag(&self, random: &[u8]) -> [u8; 32] {
        kdf::mac(self.key.expose(), label::REGISTRATION, &[random])
    }

    /// Answers a registration request. The answer is the same whether the room exists or not. `registration` MUST be new, from
    /// [`Self::new_registration`]: for one that is in use, this would be an oracle for guesses.
    ///
    /// # Errors
    /// [`ServerError::Malformed`].
    pub fn register(
        &self,
        handle: &RoomHandle,
        kind: Kind,
        registration: &RegistrationId,
        request: &[u8; REGISTRATION_REQUEST_LEN],
    ) -> Result<[u8; REGISTRATION_RESPONSE_LEN], ServerError> {
        let request = RegistrationRequest::deserialize(request).map_err(|_| ServerError::Malformed)?;
        let identifier = credential_identifier(&self.keyed_handle(handle), kind, registration);
        let started =
            ServerRegistration::start(&self.opaque, request, &identifier).map_err(|_| ServerError::Malformed)?;
        fixed(&started.message.serialize()).ok_or(ServerError::Internal)
    }

    /// Answers KE1. Without a record the answer is RFC 9807's fake: the same size, the same work, and as random to
    /// whoever does not know the secret (section 10.9).
    ///
    /// # Errors
    /// [`ServerError::Malformed`], [`ServerError::Internal`].
    pub fn start_login(&self, rng: &mut impl CryptoRng, start: &LoginStart<'_>) -> Result<LoginStarted, ServerError> {
        let LoginStart {
            handle,
            kind,
            record,
            sought,
            ke1,
            attempt,
            unix_ms,
        } = *start;
        let request = CredentialRequest::deserialize(ke1).map_err(|_| ServerError::Malformed)?;
        // An unknown room costs what a known one does: its stand-in is read and named like a record, and then not used.
        let used = record.unwrap_or(&self.stand_in);
        let record_id = used.id();
        let registration = ServerRegistration::deserialize(used.as_bytes()).map_err(|_| ServerError::Internal)?;
        let registration = record.map(|_| registration);
        let room = self.keyed_handle(handle);
        let unknown = self.unknown_registration(&room, kind, sought);
        let identifier = credential_identifier(&room, kind, record.map_or(&unknown, Record::registration));
        let client = client_identity(handle, kind);
        let started = ServerLogin::start(
            &mut Rng06(rng),
            &self.opaque,
            registration,
            request,
            &identifier,
            ServerLoginParameters {
                context: Some(CONTEXT),
                identifiers: identifiers(&client),
            },
        )
        .map_err(|_| ServerError::Malformed)?;
        let mut serialized = started.state.serialize();
        let ke2_state = Zeroizing::<[u8; KE2_STATE_LEN]>::new(fixed(&serialized).ok_or(ServerError::Internal)?);
        serialized.as_mut_slice().zeroize();
        let state = LoginState {
            expires_at_ms: unix_ms.saturating_add(LOGIN_STATE_TTL_MS),
            attempt,
            record: record_id,
            ke2_state,
        };
        Ok(LoginStarted {
            ke2: fixed(&started.message.serialize()).ok_or(ServerError::Internal)?,
            state: self.state.seal(rng, &room, kind, &state).ok_or(ServerError::Internal)?,
        })
    }

    /// What a record that doesn't exist would have been registered under: always the same, as for one that does.
    fn unknown_registration(&self, room: &KeyedHandle, kind: Kind, sought: &[u8]) -> RegistrationId {
        let fields: [&[u8]; 3] = [room.as_bytes(), &[kind.byte()], sought];
        RegistrationId::from_bytes(kdf::first_16(&kdf::mac(
            self.key.expose(),
            label::UNKNOWN_REGISTRATION,
            &fields,
        )))
    }

    /// Checks KE3 against the state that [`Self::start_login`] sealed. What it refuses, it refuses in one way.
    ///
    /// # Errors
    /// [`ServerError::Refused`].
    pub fn finish_login(
        &self,
        handle: &RoomHandle,
        kind: Kind,
        state: &[u8],
        ke3: &[u8; KE3_LEN],
        unix_ms: u64,
    ) -> Result<LoginFinished, ServerError> {
        let room = self.keyed_handle(handle);
        let state = self.state.open(&room, kind, state).ok_or(ServerError::Refused)?;
        if unix_ms >= state.expires_at_ms {
            return Err(ServerError::Refused);
        }
        let login = ServerLogin::<ServerSuite>::deserialize(&*state.ke2_state).map_err(|_| ServerError::Internal)?;
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(|_| ServerError::Refused)?;
        let client = client_identity(handle, kind);
        login
            .finish(
                ke3,
                ServerLoginParameters {
                    context: Some(CONTEXT),
                    identifiers: identifiers(&client),
                },
            )
            .map_err(|_| ServerError::Refused)?;
        Ok(LoginFinished {
            attempt: state.attempt,
            record: state.record,
        })
    }
}

const NO_REGISTRATION: RegistrationId = RegistrationId::from_bytes([0; 16]);

fn derive_secret(key: &ServerKey, label: label::Label) -> Result<<Ristretto255 as Group>::Sk, ServerError> {
    let seed = kdf::expand(key.expose(), label, &[]);
    Ristretto255::derive_scalar((*seed).into()).map_err(|_| ServerError::Internal)
}

/// Without a registration id, as stores of version 1 have it, the identifier ends with the kind.
fn credential_identifier(room: &KeyedHandle, kind: Kind, registration: &RegistrationId) -> Vec<u8> {
    let mut identifier = Vec::with_capacity(49);
    identifier.extend_from_slice(room.as_bytes());
    identifier.push(kind.byte());
    if *registration != NO_REGISTRATION {
        identifier.extend_from_slice(registration.as_bytes());
    }
    identifier
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            registration: _,
            upload: _,
        } = self;
        f.write_str("Record(redacted)")
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            opaque: _,
            state: _,
            key: _,
            stand_in: _,
        } = self;
        f.write_str("ServerSetup(redacted)")
    }
}

impl fmt::Debug for LoginStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ke2: _, state: _ } = self;
        f.write_str("LoginStarted(redacted)")
    }
}
