//! Deletion of a room.

use std::sync::Arc;

use axum::extract::State;
use snug_crypto::AdminPublicKey;
use snug_crypto::credential::SignedTombstone;
use snug_rendezvous_api::{DeleteRoom, ProblemType};

use super::App;
use super::answer::{Done, Refusal};
use super::request::{Holder, InPath, JsonBody};
use crate::store::{Tombstone, Word};

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    Holder(token): Holder,
    JsonBody(body): JsonBody<DeleteRoom>,
) -> Result<Done, Refusal> {
    // The admin key's signature is the proof; a token of either credential shows that its bearer may know the room.
    let authorized = app.authorize_any(&handle, &token).await?;
    let signed = SignedTombstone::from_bytes(body.tombstone.as_bytes());
    let said = signed.verify(&AdminPublicKey::from_bytes(authorized.room.admin_key));
    if !said.is_ok_and(|said| said.handle == handle) {
        return Err(Refusal::new(ProblemType::TombstoneRefused));
    }
    let tombstone = Tombstone {
        word: Word::Admin(signed.to_stored()),
        at_ms: app.clock.now_ms(),
    };
    app.store.delete_room(authorized.keyed, tombstone).await?;
    Ok(Done)
}
