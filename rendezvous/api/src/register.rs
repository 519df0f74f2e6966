//! Registration (RFC 9807, section 5): of a room with both of its credentials, or of a new one for a room that exists.

use serde::{Deserialize, Serialize};

use crate::directory::SignedListing;
use crate::fields::{
    AdminKeyBytes, RegistrationId, RegistrationRecord, RegistrationRequest, RegistrationResponse, SealedAdminCapsule,
    SealedCapsule,
};
use crate::room::Policy;

/// Body of `register/start`: one credential or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterStart {
    /// OPAQUE registration request for the Room Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RegistrationRequest>,
    /// OPAQUE registration request for the Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<RegistrationRequest>,
}

/// Answer to `register/start`, for each that was asked. It is the same whether the room exists or not; only
/// `register/finish` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterStarted {
    /// For the Room Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RegistrationAnswer>,
    /// For the Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<RegistrationAnswer>,
}

/// What a server makes of a registration request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistrationAnswer {
    /// Drawn by the server for this registration alone: to be handed back with the record.
    pub registration: RegistrationId,
    /// OPAQUE registration response.
    pub response: RegistrationResponse,
}

/// A credential as the server will keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialUpload {
    /// What the server drew for it.
    pub registration: RegistrationId,
    /// OPAQUE registration record.
    pub record: RegistrationRecord,
}

/// Body of `register/finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterFinish {
    /// The Room Key's.
    pub room: CredentialUpload,
    /// The Password's.
    pub admin: CredentialUpload,
    /// The admin key (Ed25519) that a tombstone must be signed with.
    pub admin_key: AdminKeyBytes,
    /// Sealed under the export key of the Room Key.
    pub capsule: SealedCapsule,
    /// Sealed under the export key of the Password.
    pub admin_capsule: SealedAdminCapsule,
    /// What the server needs to know of the room's policy.
    pub policy: Policy,
    /// For a room that wants to be found by everybody: its signed entry in the public directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<SignedListing>,
}

/// Answer to `register/finish`, 201: the room exists, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registered {
    /// Server time of the creation, milliseconds since 1970.
    pub created_at_ms: u64,
}
