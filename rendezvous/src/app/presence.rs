//! Presence: members leave sealed records for each other.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use snug_crypto::credential::Kind;
use snug_rendezvous_api::{Introductions, MAX_INTRODUCTIONS, PRESENCE_TTL_S, PresenceRecord, PutPresence};

use super::answer::{Answer, Done, Refusal};
use super::authorize::Authorized;
use super::request::{Holder, InPath, JsonBody};
use super::{App, random_bytes};

const PRESENCE_TTL_MS: u64 = PRESENCE_TTL_S as u64 * 1000;

pub(super) async fn put(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    Holder(token): Holder,
    JsonBody(body): JsonBody<PutPresence>,
) -> Result<Answer<Introductions>, Refusal> {
    let authorized = app.authorize(&handle, &token, Kind::Room).await?;
    let expires_at_ms = app.clock.now_ms().saturating_add(PRESENCE_TTL_MS);
    app.store
        .put_presence(
            authorized.keyed,
            authorized.token,
            body.record.into_vec(),
            expires_at_ms,
        )
        .await?;
    introduce(&app, &authorized).await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    Holder(token): Holder,
) -> Result<Answer<Introductions>, Refusal> {
    let authorized = app.authorize(&handle, &token, Kind::Room).await?;
    introduce(&app, &authorized).await
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    Holder(token): Holder,
) -> Result<Done, Refusal> {
    let authorized = app.authorize(&handle, &token, Kind::Room).await?;
    app.store.remove_presence(authorized.keyed, authorized.token).await?;
    Ok(Done)
}

async fn introduce(app: &App, authorized: &Authorized) -> Result<Answer<Introductions>, Refusal> {
    let Authorized { keyed, token, .. } = authorized;
    let now_ms = app.clock.now_ms();
    let records = app
        .store
        .introductions(*keyed, *token, random_bytes(), MAX_INTRODUCTIONS, now_ms)
        .await?;
    Ok(Answer(
        StatusCode::OK,
        Introductions {
            introductions: to_records(records),
            relays: app.relay.get(),
        },
    ))
}

/// What was stored was within its bounds.
pub(super) fn to_records(stored: Vec<Vec<u8>>) -> Vec<PresenceRecord> {
    stored
        .into_iter()
        .filter_map(|record| PresenceRecord::new(record).ok())
        .collect()
}
