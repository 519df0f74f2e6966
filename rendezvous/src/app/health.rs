//! Health, on a port of its own: `/health/live` says that the process answers, `/health/ready` that its store does.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use snug_rendezvous_api::ProblemType;

use super::answer::{Answer, Refusal};
use crate::store::Store;

#[derive(serde::Serialize)]
struct Health {
    status: &'static str,
}

/// The health API.
pub(crate) fn health(store: Arc<dyn Store>) -> Router {
    Router::new()
        .route(
            "/health/live",
            get(async || Answer(StatusCode::OK, Health { status: "live" })),
        )
        .route("/health/ready", get(ready))
        .fallback(async || Refusal::new(ProblemType::NotFound))
        .with_state(store)
}

async fn ready(State(store): State<Arc<dyn Store>>) -> impl IntoResponse {
    match store.ping().await {
        Ok(()) => Ok(Answer(StatusCode::OK, Health { status: "ready" })),
        Err(error) => Err(Refusal::from(error)),
    }
}
