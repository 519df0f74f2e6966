//! The client's side: registration and login of one credential.
//!
//! Both need two messages each way; the finishing step runs the key-stretching function and so blocks for about 0.1 s:
//! call it where that is fine.

use core::fmt;

use opaque_ke::errors::ProtocolError;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, RegistrationResponse,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::suite::{CONTEXT, Rng06, Suite, client_identity, fixed, identifiers};
use super::{
    Argon2id, KE1_LEN, KE2_LEN, KE3_LEN, Kind, REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN,
    REGISTRATION_UPLOAD_LEN, Stretch,
};
use crate::{ExportKey, RoomHandle};

/// Why a registration or login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The secret is wrong, or the room does not exist: by design there is no telling.
    #[error("wrong credentials or no such room")]
    Refused,
    /// The server's message is no OPAQUE message, or mirrors our own.
    #[error("the rendezvous answered with something that is no OPAQUE message")]
    Malformed,
    /// The secret can't be used: empty or over 65,535 bytes; or memory for Argon2id ran out.
    #[error("the secret can't be used")]
    Unusable,
}

/// A registration under way. Holds the secret, wiped on drop.
pub struct Registration<K: Stretch = Argon2id> {
    opaque: ClientRegistration<Suite<K>>,
    identity: [u8; 33],
    secret: Zeroizing<Vec<u8>>,
}

/// A finished registration.
pub struct Registered {
    /// The record to upload: 192 bytes. Whoever reads it together with the server's key can test guesses.
    pub upload: [u8; REGISTRATION_UPLOAD_LEN],
    /// Seals the credential's capsule.
    pub export_key: ExportKey,
}

impl<K: Stretch> Registration<K> {
    /// Blinds the secret: the state, and the request for the server.
    ///
    /// # Errors
    /// [`ClientError::Unusable`].
    pub fn start(
        rng: &mut impl CryptoRng,
        handle: &RoomHandle,
        kind: Kind,
        secret: &[u8],
    ) -> Result<(Self, [u8; REGISTRATION_REQUEST_LEN]), ClientError> {
        let started = ClientRegistration::start(&mut Rng06(rng), secret).map_err(|_| ClientError::Unusable)?;
        let registration = Self {
            opaque: started.state,
            identity: client_identity(handle, kind),
            secret: Zeroizing::new(secret.to_vec()),
        };
        Ok((
            registration,
            fixed(&started.message.serialize()).ok_or(ClientError::Unusable)?,
        ))
    }

    /// Stretches the secret and seals the envelope. Blocks for about 0.1 s.
    ///
    /// # Errors
    /// [`ClientError::Malformed`], [`ClientError::Unusable`].
    pub fn finish(
        self,
        rng: &mut impl CryptoRng,
        response: &[u8; REGISTRATION_RESPONSE_LEN],
    ) -> Result<Registered, ClientError> {
        let response = RegistrationResponse::deserialize(response).map_err(|_| ClientError::Malformed)?;
        let finished = self
            .opaque
            .finish(
                &mut Rng06(rng),
                &self.secret,
                response,
                ClientRegistrationFinishParameters::new(identifiers(&self.identity), None),
            )
            .map_err(blame)?;
        Ok(Registered {
            upload: fixed(&finished.message.serialize()).ok_or(ClientError::Unusable)?,
            export_key: ExportKey::from_bytes(finished.export_key.into()),
        })
    }
}

/// A login under way. Holds the secret, wiped on drop.
pub struct Login<K: Stretch = Argon2id> {
    opaque: ClientLogin<Suite<K>>,
    identity: [u8; 33],
    secret: Zeroizing<Vec<u8>>,
}

/// A login that the server is proven to hold the registration for.
pub struct LoggedIn {
    /// What proves us to the server: 64 bytes.
    pub ke3: [u8; KE3_LEN],
    /// Opens the credential's capsule.
    pub export_key: ExportKey,
}

impl<K: Stretch> Login<K> {
    /// Blinds the secret: the state, and KE1 for the server.
    ///
    /// # Errors
    /// [`ClientError::Unusable`].
    pub fn start(
        rng: &mut impl CryptoRng,
        handle: &RoomHandle,
        kind: Kind,
        secret: &[u8],
    ) -> Result<(Self, [u8; KE1_LEN]), ClientError> {
        let started = ClientLogin::start(&mut Rng06(rng), secret).map_err(|_| ClientError::Unusable)?;
        let login = Self {
            opaque: started.state,
            identity: client_identity(handle, kind),
            secret: Zeroizing::new(secret.to_vec()),
        };
        Ok((login, fixed(&started.message.serialize()).ok_or(ClientError::Unusable)?))
    }

    /// Stretches the secret and opens the envelope. Blocks for about 0.1 s.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the secret is wrong or the room unknown, [`ClientError::Malformed`],
    /// [`ClientError::Unusable`].
    pub fn finish(self, rng: &mut impl CryptoRng, ke2: &[u8; KE2_LEN]) -> Result<LoggedIn, ClientError> {
        let response = CredentialResponse::deserialize(ke2).map_err(|_| ClientError::Malformed)?;
        let finished = self
            .opaque
            .finish(
                &mut Rng06(rng),
                &self.secret,
                response,
                ClientLoginFinishParameters::new(Some(CONTEXT), identifiers(&self.identity), None),
            )
            .map_err(blame)?;
        Ok(LoggedIn {
            ke3: fixed(&finished.message.serialize()).ok_or(ClientError::Unusable)?,
            export_key: ExportKey::from_bytes(finished.export_key.into()),
        })
    }
}

/// Whose fault a failed step is.
fn blame(error: ProtocolError) -> ClientError {
    match error {
        ProtocolError::InvalidLoginError => ClientError::Refused,
        ProtocolError::LibraryError(_) => ClientError::Unusable,
        ProtocolError::SerializationError
        | ProtocolError::SizeError { .. }
        | ProtocolError::ReflectedValueError
        | ProtocolError::Custom(_) => ClientError::Malformed,
    }
}

impl<K: Stretch> fmt::Debug for Registration<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            opaque: _,
            identity: _,
            secret: _,
        } = self;
        f.write_str("Registration(redacted)")
    }
}

impl<K: Stretch> fmt::Debug for Login<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            opaque: _,
            identity: _,
            secret: _,
        } = self;
        f.write_str("Login(redacted)")
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            upload: _,
            export_key: _,
        } = self;
        f.write_str("Registered(redacted)")
    }
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ke3: _, export_key: _ } = self;
        f.write_str("LoggedIn(redacted)")
    }
}
