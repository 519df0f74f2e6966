//! Registration of a room: both of its credentials at once (RFC 9807, section 5).

use serde::{Deserialize, Serialize};

use crate::bounds::{
    ADMIN_KEY_LEN, MAX_ADMIN_CAPSULE, MAX_CAPSULE, REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN,
    REGISTRATION_UPLOAD_LEN,
};
use crate::bytes::{ByteString, Exact};
use crate::room::Policy;

/// Body of `register/start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStart {
    /// OPAQUE registration request for the Room Key.
    pub room: Exact<REGISTRATION_REQUEST_LEN>,
    /// OPAQUE registration request for the Password.
    pub admin: Exact<REGISTRATION_REQUEST_LEN>,
}

/// Answer to `register/start`. It is the same whether the room exists or not; only `register/finish` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStarted {
    /// OPAQUE registration response for the Room Key.
    pub room: Exact<REGISTRATION_RESPONSE_LEN>,
    /// OPAQUE registration response for the Password.
    pub admin: Exact<REGISTRATION_RESPONSE_LEN>,
}

/// Body of `register/finish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterFinish {
    /// OPAQUE record of the Room Key.
    pub room: Exact<REGISTRATION_UPLOAD_LEN>,
    /// OPAQUE record of the Password.
    pub admin: Exact<REGISTRATION_UPLOAD_LEN>,
    /// The admin key (Ed25519) that a tombstone must be signed with.
    pub admin_key: Exact<ADMIN_KEY_LEN>,
    /// Sealed under the export key of the Room Key.
    pub capsule: ByteString<1, MAX_CAPSULE>,
    /// Sealed under the export key of the Password.
    pub admin_capsule: ByteString<1, MAX_ADMIN_CAPSULE>,
    /// What the server needs to know of the room's policy.
    pub policy: Policy,
}

/// Answer to `register/finish`, 201: the room exists, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Server time of the creation, milliseconds since 1970.
    pub created_at_ms: u64,
}
