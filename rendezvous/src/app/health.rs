//! What operators ask, on a port of its own: `/health/live` says that the process answers, `/health/ready` that its store
//! does, `/metrics` what was counted.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use snug_rendezvous_api::ProblemType;

use super::App;
use super::answer::{Answer, Refusal};
use super::metrics::OPEN_METRICS;
use crate::http::Counters;
use crate::relay::RelayCounters;

#[derive(serde::Serialize)]
struct Health {
    status: &'static str,
}

/// The operators' API.
pub(crate) fn health(app: Arc<App>, connections: Arc<Counters>, relay: Option<Arc<RelayCounters>>) -> Router {
    Router::new()
        .route(
            "/health/live",
            get(async || Answer(StatusCode::OK, Health { status: "live" })),
        )
        .route("/health/ready", get(ready))
        .route(
            "/metrics",
            get(async move |State(app): State<Arc<App>>| metrics(&app, &connections, relay.as_deref()).await),
        )
        .fallback(async || Refusal::new(ProblemType::NotFound))
        .with_state(app)
}

async fn ready(State(app): State<Arc<App>>) -> impl IntoResponse {
    match app.store.ping().await {
        Ok(()) => Ok(Answer(StatusCode::OK, Health { status: "ready" })),
        Err(error) => Err(Refusal::from(error)),
    }
}

/// Without the store's own numbers when it doesn't answer: the rest is wanted then most of all.
async fn metrics(app: &App, connections: &Counters, relay: Option<&RelayCounters>) -> impl IntoResponse + use<> {
    let counts = app.store.counts().await.ok();
    let text = app.metrics.text(counts, connections, relay);
    ([(CONTENT_TYPE, OPEN_METRICS), (CACHE_CONTROL, "no-store")], text)
}
