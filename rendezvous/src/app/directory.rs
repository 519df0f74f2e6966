//! The public directory: rooms that want to be found.

use std::sync::Arc;

use axum::extract::{Query, State};
use http::StatusCode;
use snug_crypto::RoomHandle;
use snug_crypto::credential::Listing;
use snug_rendezvous_api::{Listings, MAX_PAGE, ProblemType, Search, SignedListing};

use super::App;
use super::answer::{Answer, Refusal};
use crate::store::Entry;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<Search>, axum::extract::rejection::QueryRejection>,
) -> Result<Answer<Listings>, Refusal> {
    let bad = |detail| Refusal::new(ProblemType::BadRequest).detail(detail);
    let Query(asked) = query.map_err(|_| bad("the query is not what this path takes"))?;
    let too_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() > 64);
    if too_long(&asked.search) || too_long(&asked.after) {
        return Err(bad("a search and a Room ID have 64 characters at most"));
    }
    let limit = asked.limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Refusal::new(ProblemType::BadRequest).detail(format!("a page has 1 to {MAX_PAGE} rooms")));
    }
    let search = asked
        .search
        .map(|text| text.to_lowercase())
        .filter(|text| !text.is_empty());
    let page = app.store.listed(search, asked.after, limit.into()).await?;
    // What was stored was within its bounds.
    let rooms = page
        .listings
        .into_iter()
        .filter_map(|listing| SignedListing::new(listing).ok());
    Ok(Answer(
        StatusCode::OK,
        Listings {
            rooms: rooms.collect(),
            next: page.next,
        },
    ))
}

/// The entry of a room, if its admin signed it for this room.
pub(super) fn entry_of(handle: &RoomHandle, admin_key: &[u8; 32], listing: &SignedListing) -> Result<Entry, Refusal> {
    let refused = || Refusal::new(ProblemType::ListingRefused);
    let opened = Listing::open(listing.as_slice()).map_err(|_| refused())?;
    if opened.admin.as_bytes() != admin_key || opened.handle() != *handle {
        return Err(refused());
    }
    Ok(Entry {
        text: format!("{}\n{}", opened.room_id, opened.description).to_lowercase(),
        room_id: opened.room_id,
        listing: listing.as_slice().to_vec(),
    })
}
