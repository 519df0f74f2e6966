//! Answers: JSON, or a problem document.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use snug_crypto::RoomHandle;
use snug_crypto::credential::SignedTombstone;
use snug_crypto::credential::server::ServerError;
use snug_rendezvous_api::{Problem, ProblemType};

use crate::store::{StoreError, Tombstone, Word};

/// When to try again while the store is away, in seconds.
const STORE_RETRY_S: u32 = 5;

/// A good answer.
pub(super) struct Answer<T>(pub StatusCode, pub T);

/// No content.
pub(super) struct Done;

/// A refusal, as a problem document.
#[derive(Debug)]
pub(super) struct Refusal(Box<Problem>);

impl Refusal {
    pub fn new(problem_type: ProblemType) -> Self {
        Self(Box::new(Problem::new(problem_type)))
    }

    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self(Box::new(self.0.with_detail(detail)))
    }

    pub fn retry_after(self, seconds: u32) -> Self {
        Self(Box::new(self.0.with_retry_after(seconds)))
    }

    /// The room is no more, for those who may know: deleted by its admin, which the tombstone proves, or removed here.
    pub fn gone(handle: &RoomHandle, tombstone: &Tombstone) -> Self {
        match &tombstone.word {
            Word::Admin(bytes) => {
                let signed = SignedTombstone::from_stored(handle, bytes).to_bytes();
                Self(Box::new(Problem::new(ProblemType::RoomGone).with_tombstone(signed)))
            }
            Word::Host => Self::new(ProblemType::RoomRemoved),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Unavailable(_) => Self::new(ProblemType::Unavailable).retry_after(STORE_RETRY_S),
            StoreError::Damaged(_) => Self::new(ProblemType::Internal),
        }
    }
}

impl From<ServerError> for Refusal {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Malformed => Self::new(ProblemType::BadRequest).detail(error.to_string()),
            ServerError::Refused => Self::new(ProblemType::LoginRefused),
            ServerError::Internal => {
                tracing::error!(%error, "a credential failed");
                Self::new(ProblemType::Internal)
            }
        }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let Self(status, value) = self;
        json(status, HeaderValue::from_static("application/json"), &value)
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, HeaderValue::from_static(Problem::MEDIA_TYPE), &*problem);
        if let Some(seconds) = problem.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn json(status: StatusCode, media_type: HeaderValue, value: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(value) else {
        // Our own types always serialize.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
