//! Login: RFC 9807, section 6, in two requests.

use serde::{Deserialize, Serialize};

use crate::change::Generation;
use crate::fields::{Ke1, Ke2, Ke3, LoginState, SealedCapsule};
use crate::presence::Introductions;
use crate::room::{Credential, Policy};
use crate::token::Token;

/// Body of `login/start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginStart {
    /// Which credential this login proves.
    pub credential: Credential,
    /// OPAQUE KE1.
    pub ke1: Ke1,
    /// For the holder of a former Room Key; with the credential `room` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<Former>,
}

/// Which former Room Key a login proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Former {
    /// The generation it was of; without one, the generation that was registered last before the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

/// Answer to `login/start`. For an unknown room it looks and weighs the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginStarted {
    /// OPAQUE KE2.
    pub ke2: Ke2,
    /// The server's state, sealed under its key: to be handed back within [`LOGIN_STATE_TTL_S`](crate::LOGIN_STATE_TTL_S)
    /// seconds, once.
    pub state: LoginState,
}

/// Body of `login/finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginFinish {
    /// The same credential as at the start.
    pub credential: Credential,
    /// OPAQUE KE3.
    pub ke3: Ke3,
    /// What the start's answer held.
    pub state: LoginState,
}

/// Answer to `login/finish`. A deleted room answers 410 with its tombstone instead, and a former Room Key earns
/// [`Superseded`](crate::Superseded) in a problem of type `room-key-changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Bearer token, bound to room, credential and generation.
    pub token: Token,
    /// Seconds until the token expires unless it is used.
    pub expires_in_s: u32,
    /// The capsule of the credential: `admin` gets the admin capsule.
    pub capsule: SealedCapsule,
    /// The server's copy of the policy's numbers.
    pub policy: Policy,
    /// Who is there, for the `room` credential; empty for `admin`.
    #[serde(flatten)]
    pub introductions: Introductions,
}
