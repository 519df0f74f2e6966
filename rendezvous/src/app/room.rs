//! Deletion of a room.

use std::sync::Arc;

use axum::extract::State;
use snug_crypto::AdminPublicKey;
use snug_crypto::credential::{Kind, SignedTombstone};
use snug_rendezvous_api::{DeleteRoom, ProblemType};

use super::App;
use super::answer::{Done, Refusal};
use super::request::{Bearer, InPath, JsonBody};
use crate::store::Tombstone;

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    Bearer(token): Bearer,
    JsonBody(body): JsonBody<DeleteRoom>,
) -> Result<Done, Refusal> {
    let authorized = app.authorize(&handle, token.as_ref(), Kind::Admin).await?;
    let bytes = *body.tombstone.as_bytes();
    let said = SignedTombstone::from_bytes(&bytes)
        .verify(&AdminPublicKey::from_bytes(authorized.room.admin_key))
        .ok()
        .filter(|said| said.handle == handle);
    if said.is_none() {
        return Err(Refusal::new(ProblemType::TombstoneRefused));
    }
    let tombstone = Tombstone {
        bytes,
        at_ms: app.clock.now_ms(),
    };
    app.store.delete_room(authorized.keyed, tombstone).await?;
    Ok(Done)
}
