//! The public directory.

use serde::{Deserialize, Serialize};

use crate::bounds::MAX_LISTING;
use crate::bytes::ByteString;

/// A room's entry, signed by its admin (docs/PROTOCOL.md, "Listings"): the server can leave it out, and not alter it.
pub type SignedListing = ByteString<1, MAX_LISTING>;

/// Query of `GET /v1/rooms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Search {
    /// In the Room ID or the description, of either case; at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// The former page's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rooms on the page, 1 to [`MAX_PAGE`](crate::MAX_PAGE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
}

/// A page of the directory, in the order of the Room IDs' bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listings {
    /// Signed listings.
    pub rooms: Vec<SignedListing>,
    /// Where the next page goes on, if there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
