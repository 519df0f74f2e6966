//! Requests to answers. Knows rooms only by what the store holds of them, and clients only by address and token.

mod answer;
mod authorize;
mod change;
mod health;
mod limit;
mod login;
mod presence;
mod register;
mod request;
mod room;
mod starts;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post, put};
use rand::Rng;
use snug_crypto::credential::server::{AttemptId, KeyedHandle, ServerSetup};
use snug_rendezvous_api::ProblemType;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub(crate) use self::health::health;
pub(crate) use self::limit::Address;

use self::answer::Refusal;
use self::limit::Limiter;
use self::starts::Starts;
use crate::clock::Clock;
use crate::config::Limits;
use crate::random::rng;
use crate::store::{Store, StoreError};

/// What every request needs.
pub(crate) struct App {
    pub setup: ServerSetup,
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub limits: Limits,
    requests: Limiter,
    logins: Limiter,
    registrations: Limiter,
    starts: Starts,
    /// Places for large bodies.
    large_bodies: Semaphore,
}

/// Large bodies in memory at once, so that many connections can't fill it with them.
const LARGE_BODIES: usize = 64;

impl App {
    pub fn new(setup: ServerSetup, store: Arc<dyn Store>, clock: Clock, limits: Limits) -> Self {
        let second = Duration::from_secs(1);
        let minute = Duration::from_secs(60);
        let hour = Duration::from_secs(3600);
        Self {
            requests: Limiter::new(limits.requests_per_second, second, limits.request_burst),
            logins: Limiter::new(limits.logins_per_minute, minute, limits.login_burst),
            large_bodies: Semaphore::new(LARGE_BODIES),
            registrations: Limiter::new(limits.registrations_per_hour, hour, limits.registrations_per_hour),
            starts: Starts::default(),
            setup,
            store,
            clock,
            limits,
        }
    }

    /// Whether the room has a start left for the attempt.
    async fn may_start(&self, room: KeyedHandle, attempt: AttemptId, now_ms: u64) -> Result<bool, Refusal> {
        let limit = self.limits.unfinished_logins;
        let admitted = self
            .starts
            .admit(&*self.store, &self.setup, room, attempt, limit, now_ms)
            .await?;
        Ok(admitted)
    }

    /// Removes what has expired, and settles the starts of logins with the store.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        self.store.sweep(now_ms).await?;
        self.starts.settle(&*self.store, &self.setup, now_ms, false).await
    }

    /// Gives everything back that the store holds for this instance.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        self.starts.settle(&*self.store, &self.setup, now_ms, true).await
    }

    /// Counts a request of the address against its budget.
    fn admit(&self, limiter: &Limiter, address: Address) -> Result<(), Refusal> {
        if address.is_loopback() && !self.limits.limit_loopback {
            return Ok(());
        }
        limiter.admit(address, Instant::now()).map_err(|wait| {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            Refusal::new(ProblemType::TooManyRequests).retry_after(seconds)
        })
    }
}

/// `N` random bytes.
fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}

/// The API.
pub(crate) fn router(app: Arc<App>) -> Router {
    let large = middleware::from_fn_with_state(Arc::clone(&app), one_of_few);
    Router::new()
        .route("/v1/rooms/{handle}", delete(room::delete))
        .route("/v1/rooms/{handle}/register/start", post(register::start))
        .route(
            "/v1/rooms/{handle}/register/finish",
            post(register::finish).layer(large.clone()),
        )
        .route("/v1/rooms/{handle}/change", post(change::change).layer(large.clone()))
        .route(
            "/v1/rooms/{handle}/capsule",
            put(change::put_capsule).layer(large.clone()),
        )
        .route("/v1/rooms/{handle}/login/start", post(login::start))
        .route("/v1/rooms/{handle}/login/finish", post(login::finish))
        .route(
            "/v1/rooms/{handle}/presence",
            put(presence::put).get(presence::get).delete(presence::delete),
        )
        .method_not_allowed_fallback(async || Refusal::new(ProblemType::MethodNotAllowed))
        .fallback(async || Refusal::new(ProblemType::NotFound))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

/// Waits for a place before it reads a large body; the time limit of every request holds for the wait too.
async fn one_of_few(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.large_bodies.acquire().await {
        Ok(_place) => next.run(request).await,
        // Never closed.
        Err(_) => Refusal::new(ProblemType::Internal).into_response(),
    }
}

/// What holds for every request: the address's budget, a time limit, a log line that names no room and nobody.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let address = request.extensions().get::<Address>().copied();

    let admitted = match address {
        Some(address) => app.admit(&app.requests, address),
        None => Ok(()),
    };
    let response = match admitted {
        Err(refusal) => refusal.into_response(),
        Ok(()) => match tokio::time::timeout(app.limits.request_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::new(ProblemType::Timeout).into_response(),
        },
    };
    tracing::debug!(
        %method,
        path = path.as_ref().map_or("-", MatchedPath::as_str),
        status = response.status().as_u16(),
        ms = began.elapsed().as_millis(),
        "request"
    );
    response
}
