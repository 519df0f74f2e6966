//! Presence: sealed records by which members of a room find each other.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::bounds::{MAX_INTRODUCTIONS, MAX_PRESENCE, MAX_RELAYS};
use crate::bytes::ByteString;
use crate::relay::RelayAddress;

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

/// Up to [`MAX_INTRODUCTIONS`] sealed records of others, chosen at random, and where members meet who can't reach each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Introductions {
    /// In no order that means anything.
    #[serde(deserialize_with = "records")]
    pub introductions: Vec<PresenceRecord>,
    /// Up to [`MAX_RELAYS`] addresses of this server's relay, the best first; absent if it has none.
    #[serde(default, deserialize_with = "relays", skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<RelayAddress>,
}

fn records<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PresenceRecord>, D::Error> {
    let bounded = Bounded::<_, MAX_INTRODUCTIONS>("sealed presence records", PhantomData);
    deserializer.deserialize_seq(bounded)
}

fn relays<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RelayAddress>, D::Error> {
    deserializer.deserialize_seq(Bounded::<_, MAX_RELAYS>("addresses of relays", PhantomData))
}

/// A list of at most `MAX`, with the word for what is in it.
struct Bounded<T, const MAX: usize>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> de::Visitor<'de> for Bounded<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {MAX} {}", self.0)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            if items.len() == MAX {
                return Err(de::Error::invalid_length(MAX + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}
