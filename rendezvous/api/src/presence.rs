//! Presence: sealed records by which members of a room find each other.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::bounds::{MAX_INTRODUCTIONS, MAX_PRESENCE};
use crate::bytes::ByteString;

/// A presence record, sealed under a key of the room's: the server stores no peer id and no address.
pub type PresenceRecord = ByteString<1, MAX_PRESENCE>;

/// Body of `PUT presence`. It replaces the token's former record and lives [`PRESENCE_TTL_S`](crate::PRESENCE_TTL_S)
/// seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PutPresence {
    /// The sealed record.
    pub record: PresenceRecord,
}

/// Up to [`MAX_INTRODUCTIONS`] sealed records of others, chosen at random.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Introductions {
    /// In no order that means anything.
    #[serde(deserialize_with = "bounded")]
    pub introductions: Vec<PresenceRecord>,
}

fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PresenceRecord>, D::Error> {
    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<PresenceRecord>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MAX_INTRODUCTIONS} sealed presence records")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut records = Vec::new();
            while let Some(record) = sequence.next_element()? {
                if records.len() == MAX_INTRODUCTIONS {
                    return Err(de::Error::invalid_length(MAX_INTRODUCTIONS + 1, &self));
                }
                records.push(record);
            }
            Ok(records)
        }
    }

    deserializer.deserialize_seq(Visitor)
}
