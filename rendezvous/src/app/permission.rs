//! Who may make a room: by the host's policy, over what kind of connection, and how many.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use snug_rendezvous_api::{ProblemType, REGISTRATION_TOKEN_HEADER};
use tokio::time::Instant;

use super::answer::Refusal;
use super::limit::Rate;
use super::{Address, App, DAY, HOUR};
use crate::config::MayRegister;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over TLS, to us or to a trusted proxy.
    Secure,
    /// Readable, and changeable, on the way.
    Plain,
}

/// Somebody whose request nobody on the way could change: what new credentials need.
pub(super) struct Protected(Address);

/// Somebody whose new credentials are counted, as much as a room, against the address's budgets. Stands before the body
/// among a handler's arguments: a body that never ends costs as much as one that does.
pub(super) struct Counted;

/// Somebody who may, besides, make a room; counted too.
pub(super) struct Registrant;

impl FromRequestParts<Arc<App>> for Protected {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let live = app.live();
        let address = parts.extensions.get::<Address>().copied();
        let address = address.ok_or_else(|| Refusal::new(ProblemType::Internal))?;
        let secure = parts.extensions.get() == Some(&Transport::Secure);
        if !secure && !address.is_loopback() && !live.insecure_registration {
            return Err(Refusal::new(ProblemType::PlainHttp).detail(
                "rooms are registered over https, or on the server's own machine; a proxy before it has to be among its \
                 trusted_proxies and send X-Forwarded-Proto",
            ));
        }
        Ok(Self(address))
    }
}

impl FromRequestParts<Arc<App>> for Counted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let protected = Protected::from_request_parts(parts, app).await?;
        protected.admit(app)?;
        Ok(Self)
    }
}

impl FromRequestParts<Arc<App>> for Registrant {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let protected = Protected::from_request_parts(parts, app).await?;
        let live = app.live();
        match &live.registration {
            MayRegister::Anybody => {}
            MayRegister::Nobody => return Err(Refusal::new(ProblemType::RegistrationClosed)),
            MayRegister::Holders(tokens) => {
                // Guesses cost as much as rooms do.
                let token = parts
                    .headers
                    .get(REGISTRATION_TOKEN_HEADER)
                    .and_then(|value| value.to_str().ok());
                if !token.is_some_and(|token| tokens.contain(token)) {
                    protected.admit(app)?;
                    return Err(Refusal::new(ProblemType::RegistrationToken));
                }
            }
        }
        protected.admit(app)?;
        Ok(Self)
    }
}

impl Protected {
    fn admit(&self, app: &App) -> Result<(), Refusal> {
        let live = app.live();
        let Self(address) = *self;
        if address.is_loopback() && !live.limits.limit_loopback {
            return Ok(());
        }
        let (hourly, daily) = (live.limits.registrations_per_hour, live.limits.registrations_per_day);
        let now = Instant::now();
        let admitted = app
            .registrations_of_an_hour
            .admit(address, Rate::new(hourly, HOUR, hourly), now)
            .and_then(|()| {
                app.registrations_of_a_day
                    .admit(address, Rate::new(daily, DAY, daily), now)
            });
        admitted.map_err(|wait| {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            Refusal::new(ProblemType::TooManyRooms).retry_after(seconds)
        })
    }
}
