//! Changes of a room: a new Room Key or Password, and a capsule that grew.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::bounds::MAX_GENERATION;
use crate::fields::{CertificateBytes, Hash, KeyGenObject, SealedAdminCapsule, SealedCapsule, SignatureBytes};
use crate::register::CredentialUpload;

/// A generation of the Room Key (docs/PROTOCOL.md, "Generations").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Generation {
    /// Key changes before it, at most [`MAX_GENERATION`].
    #[serde(deserialize_with = "count")]
    pub count: u64,
    /// The operation that made it. The first generation's is the genesis hash, which a rendezvous is told with the first
    /// change only: until then it takes all zeros for it.
    pub hash: Hash,
}

impl Generation {
    /// Whether it wins over another one: it has the higher count, or the lower hash at the same count.
    #[must_use]
    pub fn wins_over(&self, other: &Self) -> bool {
        (self.count, other.hash.as_bytes()) > (other.count, self.hash.as_bytes())
    }

    /// `count u64 ‖ hash(32)`, as the protocol writes it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..8].copy_from_slice(&self.count.to_be_bytes());
        bytes[8..].copy_from_slice(self.hash.as_bytes());
        bytes
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let count = u64::deserialize(deserializer)?;
    if count > MAX_GENERATION {
        return Err(de::Error::custom("a generation's count is at most 2^53 - 1"));
    }
    Ok(count)
}

/// A moderator's power to ask for a change, beside a token of the Room Key. An admin's token needs none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Certified {
    /// Signed by the admin.
    pub certificate: CertificateBytes,
    /// By the certificate's key, over the token and what is asked.
    pub signature: SignatureBytes,
}

/// Body of `POST change`: all that is there happens, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeRoom {
    /// A new Room Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_key: Option<NewRoomKey>,
    /// A new Password; takes the admin's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<NewPassword>,
    /// Certificates with a lower serial are void from now on; takes the admin's token, or a certificate of rank admin whose own serial is
    /// as high. It never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_serial: Option<u32>,
    /// For whoever is not the admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified: Option<Certified>,
}

/// A new Room Key. Tokens of the former one are void afterwards, and who logs in with it gets `key_gen`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewRoomKey {
    /// Its OPAQUE record.
    pub credential: CredentialUpload,
    /// The generation that begins: it must win over the registered one.
    pub generation: Generation,
    /// Sealed under the export key of the new Room Key.
    pub capsule: SealedCapsule,
    /// What ended the registered generation: opaque to the server, kept for the leaf grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_gen: Option<KeyGenObject>,
    /// Takes the place of a generation that is void, whatever its count; takes admin's rank.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overrides: bool,
}

/// A new Password. The former one's tokens are void afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewPassword {
    /// Its OPAQUE record.
    pub credential: CredentialUpload,
    /// Sealed under the export key of the new Password.
    pub capsule: SealedAdminCapsule,
}

/// Body of `PUT capsule`: the same generation, with more of the authority log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PutCapsule {
    /// The generation that it is of: the registered one.
    pub generation: Generation,
    /// Sealed under the export key of the Room Key.
    pub capsule: SealedCapsule,
    /// Certificates with a lower serial are void from now on, as with a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_serial: Option<u32>,
    /// For whoever is not the admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified: Option<Certified>,
}

/// In the problem of a login with a former Room Key: what there is for its holders, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Superseded {
    /// The generation that was registered in its place.
    pub generation: Generation,
    /// What ended the former generation, if its author handed it over: who was carried into the next finds its keys there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_gen: Option<KeyGenObject>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exact;

    #[test]
    fn the_higher_count_wins_then_the_lower_hash() {
        let at = |count, hash| Generation {
            count,
            hash: Exact::new([hash; 32]),
        };
        assert!(at(2, 9).wins_over(&at(1, 0)) && !at(1, 0).wins_over(&at(2, 9)));
        assert!(at(2, 1).wins_over(&at(2, 2)) && !at(2, 2).wins_over(&at(2, 1)));
        assert!(!at(2, 2).wins_over(&at(2, 2)));
    }
}
