//! Requests to answers. Knows rooms only by what the store holds of them, and clients only by address and token.

mod answer;
mod authorize;
mod change;
mod directory;
mod health;
mod limit;
mod login;
mod metrics;
mod openapi;
mod permission;
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
use axum::routing::{delete, get, post, put};
use data_encoding::HEXLOWER;
use rand::Rng;
use snug_crypto::RoomHandle;
use snug_crypto::credential::server::{AttemptId, KeyedHandle};
use snug_rendezvous_api::{Handle, ProblemType};
use tokio::time::Instant;

pub(crate) use self::health::health;
pub(crate) use self::limit::{Address, Limiter, Rate};
pub(crate) use self::metrics::Metrics;
pub(crate) use self::permission::Transport;

use self::answer::Refusal;
use self::request::LargeBodies;
use self::starts::Starts;
use crate::clock::Clock;
use crate::config::{Live, LiveConfig};
use crate::keys::ServerKeys;
use crate::random::rng;
use crate::relay::Told;
use crate::store::{Store, StoreError};

/// What every request needs.
pub(crate) struct App {
    pub keys: ServerKeys,
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    live: LiveConfig,
    requests: Limiter<Address>,
    logins: Limiter<Address>,
    registrations_of_an_hour: Limiter<Address>,
    registrations_of_a_day: Limiter<Address>,
    rooms: Limiter<[u8; 32]>,
    starts: Starts,
    pub metrics: Arc<Metrics>,
    /// Where the relay is, if there is one.
    relay: Told,
    large_bodies: LargeBodies,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl App {
    pub fn new(
        keys: ServerKeys,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        relay: Told,
        clock: Clock,
        live: LiveConfig,
    ) -> Self {
        Self {
            requests: Limiter::default(),
            logins: Limiter::default(),
            registrations_of_an_hour: Limiter::default(),
            registrations_of_a_day: Limiter::default(),
            rooms: Limiter::default(),
            large_bodies: LargeBodies::default(),
            starts: Starts::default(),
            metrics,
            relay,
            keys,
            store,
            clock,
            live,
        }
    }

    /// Whether the room has a start left for the attempt.
    async fn may_start(&self, room: KeyedHandle, attempt: AttemptId, now_ms: u64) -> Result<bool, Refusal> {
        let limit = self.live().limits.unfinished_logins;
        let admitted = self
            .starts
            .admit(&*self.store, self.keys.current(), room, attempt, limit, now_ms)
            .await?;
        Ok(admitted)
    }

    /// Removes what has expired, and settles the starts of logins with the store.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        self.store.sweep(now_ms).await?;
        self.starts
            .settle(&*self.store, self.keys.current(), now_ms, false)
            .await
    }

    /// Gives everything back that the store holds for this instance.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        self.starts
            .settle(&*self.store, self.keys.current(), now_ms, true)
            .await
    }

    /// The settings in force.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.get()
    }

    fn admit_request(&self, live: &Live, address: Address) -> Result<(), Refusal> {
        let rate = Rate::new(live.limits.requests_per_second, SECOND, live.limits.request_burst);
        self.admit(live, &self.requests, rate, address)
    }

    /// Counts the start of a login against the address's budget.
    fn admit_login(&self, address: Address) -> Result<(), Refusal> {
        let live = self.live();
        let rate = Rate::new(live.limits.logins_per_minute, MINUTE, live.limits.login_burst);
        self.admit(&live, &self.logins, rate, address)
    }

    /// Counts a request of a member of the room against the room's budget. Only members': nobody else may use it up.
    fn admit_member(&self, room: &KeyedHandle) -> Result<(), Refusal> {
        let limits = &self.live().limits;
        let rate = Rate::new(limits.room_requests_per_second, SECOND, limits.room_request_burst);
        self.rooms.admit(*room.as_bytes(), rate, Instant::now()).map_err(wait)
    }

    /// Counts against the address's budget, unless it is this machine's own.
    fn admit(&self, live: &Live, limiter: &Limiter<Address>, rate: Rate, address: Address) -> Result<(), Refusal> {
        if address.is_loopback() && !live.limits.limit_loopback {
            return Ok(());
        }
        limiter.admit(address, rate, Instant::now()).map_err(wait)
    }
}

fn wait(wait: Duration) -> Refusal {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    Refusal::new(ProblemType::TooManyRequests).retry_after(seconds)
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
        .route("/openapi.json", get(openapi::serve))
        .route("/v1/rooms", get(directory::list))
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
    let Some(address) = request.extensions().get::<Address>().copied() else {
        return Refusal::new(ProblemType::Internal).into_response();
    };
    match app.large_bodies.place(address).await {
        Ok(_place) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// What holds for every request: the address's budget, a time limit, a log line that names no room and nobody.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let live = app.live();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let address = request.extensions().get::<Address>().copied();
    let room = (live.log.requests && live.log.danger_clients)
        .then(|| room_in(request.uri().path()))
        .flatten();

    let admitted = match address {
        Some(address) => app.admit_request(&live, address),
        None => Ok(()),
    };
    let response = match admitted {
        Err(refusal) => refusal.into_response(),
        Ok(()) => match tokio::time::timeout(live.limits.request_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::new(ProblemType::Timeout).into_response(),
        },
    };
    let route = path.as_ref().map(MatchedPath::as_str);
    app.metrics
        .request(&method, route, response.status().as_u16(), began.elapsed());
    if live.log.requests {
        let path = path.as_ref().map_or("-", MatchedPath::as_str);
        let status = response.status().as_u16();
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if live.log.danger_clients {
            let client = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
            let room = room.map_or_else(
                || "-".to_owned(),
                // Under every key that it may be stored with, the one in force first.
                |room| {
                    let names = app.keys.handles(&room);
                    let names: Vec<String> = names.iter().map(|keyed| HEXLOWER.encode(keyed.as_bytes())).collect();
                    names.join(" or ")
                },
            );
            tracing::info!(%method, path, status, ms, client, room, "request");
        } else {
            tracing::info!(%method, path, status, ms, "request");
        }
    }
    response
}

/// The room that a path names.
fn room_in(path: &str) -> Option<RoomHandle> {
    let handle = path.strip_prefix("/v1/rooms/")?.split('/').next()?;
    let handle: Handle = handle.parse().ok()?;
    Some(RoomHandle::from_bytes(*handle.as_bytes()))
}
