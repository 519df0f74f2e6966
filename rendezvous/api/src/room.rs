//! What a room is to the rendezvous.

use serde::{Deserialize, Serialize};

use crate::fields::TombstoneBytes;

/// Which of a room's two credentials: the Room Key's or the Password's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Credential {
    /// The Room Key: members.
    Room,
    /// The Password: the admin.
    Admin,
}

/// The numbers of a room's policy that the server acts on or shows. What binds members is the signed genesis inside the
/// capsule, never this copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Policy {
    /// Members the room is meant for.
    pub max_participants: u16,
    /// How long members keep frames for the absent, in seconds.
    pub retention_s: u32,
    /// How long an absent member stays in the roster, in seconds.
    pub grace_s: u32,
}

/// Body of `DELETE /v1/rooms/{handle}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeleteRoom {
    /// Signed by the admin key over handle and genesis hash. Handed to every member who asks after the room.
    pub tombstone: TombstoneBytes,
}
