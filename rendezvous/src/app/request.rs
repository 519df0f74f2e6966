//! Requests: the handle in the path, the JSON body within its bound and its place, the token in the header.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use snug_crypto::RoomHandle;
use snug_rendezvous_api::{
    ChangeRoom, DeleteRoom, Handle, HandleError, LoginFinish, LoginStart, MAX_REQUEST_BODY, ProblemType, PutCapsule,
    PutPresence, RegisterFinish, RegisterStart, Token,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Address;
use super::answer::Refusal;

/// Bound of every body but the largest: twice what a full presence record takes.
const SMALL_BODY: usize = 4 * 1024;
/// Large bodies in memory at once, so that many connections can't fill it with them: 64 MiB at their largest.
const LARGE_BODIES: usize = 128;
/// Those of one address, so that its slow uploads leave places for everybody else.
const LARGE_BODIES_OF_ONE: usize = 8;
/// When to try again, in seconds: a body takes its place for as long as it takes to come and be stored.
const LARGE_BODY_RETRY_S: u32 = 1;

/// A body of the API and its bound in bytes.
pub(super) trait ApiBody: DeserializeOwned {
    const MAX: usize;
}

impl ApiBody for RegisterStart {
    const MAX: usize = SMALL_BODY;
}
impl ApiBody for RegisterFinish {
    const MAX: usize = MAX_REQUEST_BODY;
}
impl ApiBody for LoginStart {
    const MAX: usize = SMALL_BODY;
}
impl ApiBody for LoginFinish {
    const MAX: usize = SMALL_BODY;
}
impl ApiBody for PutPresence {
    const MAX: usize = SMALL_BODY;
}
impl ApiBody for ChangeRoom {
    const MAX: usize = MAX_REQUEST_BODY;
}
impl ApiBody for PutCapsule {
    const MAX: usize = MAX_REQUEST_BODY;
}
impl ApiBody for DeleteRoom {
    const MAX: usize = SMALL_BODY;
}

/// The room that the path names.
pub(super) struct InPath(pub RoomHandle);

/// A JSON body.
pub(super) struct JsonBody<T>(pub T);

/// The bearer token, if there is one and it looks like one.
pub(super) struct Bearer(pub Option<Token>);

/// The bearer token of a path that is for holders of one only: without it nothing else of the request is looked at.
pub(super) struct Holder(pub Token);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let bad = || Refusal::new(ProblemType::BadRequest).detail(HandleError.to_string());
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| bad())?;
        let handle: Handle = text.parse().map_err(|_| bad())?;
        Ok(Self(RoomHandle::from_bytes(*handle.as_bytes())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let (value, more) = (values.next(), values.next());
        // Two of them could be read differently by whoever stands before us.
        let only = value.filter(|_| more.is_none());
        Ok(Self(
            only.and_then(|value| value.to_str().ok())
                .and_then(|text| Token::from_authorization(text).ok()),
        ))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Holder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Bearer(token) = Bearer::from_request_parts(parts, state).await?;
        token.map(Self).ok_or_else(|| Refusal::new(ProblemType::TokenRefused))
    }
}

impl<S: Send + Sync, T: ApiBody> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts) {
            return Err(Refusal::new(ProblemType::UnsupportedMediaType));
        }
        let bytes = read(&parts, body, T::MAX).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            // The error's own text may quote the body; where it went wrong is enough.
            let detail = format!(
                "line {}, column {} is not what this path takes",
                error.line(),
                error.column()
            );
            Refusal::new(ProblemType::BadRequest).detail(detail)
        })
    }
}

/// Places for large bodies.
pub(super) struct LargeBodies {
    places: Semaphore,
    /// Those that have a place or wait for one.
    of_address: Mutex<HashMap<Address, usize>>,
}

/// One large body's place, given back when it is dropped.
pub(super) struct LargeBody<'a> {
    _share: Share<'a>,
    _place: SemaphorePermit<'a>,
}

/// One of an address's share.
struct Share<'a> {
    bodies: &'a LargeBodies,
    address: Address,
}

impl Default for LargeBodies {
    fn default() -> Self {
        Self {
            places: Semaphore::new(LARGE_BODIES),
            of_address: Mutex::default(),
        }
    }
}

impl LargeBodies {
    /// Waits for a place. Who has its share already is refused at once, whoever the address is.
    pub async fn place(&self, address: Address) -> Result<LargeBody<'_>, Refusal> {
        let share = self.share(address).ok_or_else(|| {
            Refusal::new(ProblemType::TooManyRequests)
                .detail(format!("an address may send {LARGE_BODIES_OF_ONE} of these at once"))
                .retry_after(LARGE_BODY_RETRY_S)
        })?;
        // Never closed.
        let place = self.places.acquire().await;
        Ok(LargeBody {
            _share: share,
            _place: place.map_err(|_| Refusal::new(ProblemType::Internal))?,
        })
    }

    fn share(&self, address: Address) -> Option<Share<'_>> {
        let mut of_address = self.lock();
        let held = of_address.entry(address).or_default();
        if *held >= LARGE_BODIES_OF_ONE {
            return None;
        }
        *held += 1;
        Some(Share { bodies: self, address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, usize>> {
        self.of_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut of_address = self.bodies.lock();
        if let Some(held) = of_address.get_mut(&self.address) {
            *held -= 1;
            if *held == 0 {
                of_address.remove(&self.address);
            }
        }
    }
}

fn is_json(parts: &Parts) -> bool {
    let Some(value) = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or(value).trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read(parts: &Parts, body: Body, max: usize) -> Result<bytes::Bytes, Refusal> {
    let too_large = || Refusal::new(ProblemType::TooLarge).detail(format!("the body may have {max} bytes"));
    let announced = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > max as u64) {
        return Err(too_large());
    }
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Refusal::new(ProblemType::BadRequest).detail("the body broke off")),
    }
}
