//! Login: docs/PROTOCOL.md, "Rendezvous".
//!
//! A start is answered alike for rooms that exist, don't, or are deleted, with a former Room Key or without one, counted
//! alike, and at the same times. What a finish refuses, it refuses in one way.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;
use snug_crypto::RoomHandle;
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{self, AttemptId, ServerError, ServerSetup};
use snug_rendezvous_api::{
    ByteString, Credential, Exact, Former, Introductions, LoginFinish, LoginStart, LoginStarted, MAX_INTRODUCTIONS,
    Problem, ProblemType, Session, Superseded, TOKEN_TTL_S, Token,
};
use tokio::time::Instant;

use super::answer::{Answer, Refusal};
use super::authorize::TOKEN_TTL_MS;
use super::metrics::Login as Outcome;
use super::presence::to_records;
use super::request::{Bearer, InPath, JsonBody};
use super::{Address, App, random_bytes};
use crate::random::rng;
use crate::store::{Finish, Opened};

/// When to try again once a room's unfinished logins are used up: they come free one by one over a day.
const TOO_MANY_RETRY_S: u32 = 15 * 60;

/// A start's answer leaves at a multiple of this after its request. A room that is found costs MongoDB and its driver some 60 us more than one
/// that isn't, and each former server key under which none is found another question: without this, a few thousand starts would
/// tell if there is such a room. It is several times what a start takes on a database nearby, and nothing beside a member's Argon2id.
const ANSWER_EVERY: Duration = Duration::from_millis(10);

pub(super) async fn start(
    State(app): State<Arc<App>>,
    Extension(address): Extension<Address>,
    InPath(handle): InPath,
    Bearer(token): Bearer,
    JsonBody(body): JsonBody<LoginStart>,
) -> Result<Answer<LoginStarted>, Refusal> {
    app.admit_login(address)?;
    let asked = Instant::now();
    let answer = answer_start(&app, &handle, token, body).await;
    tokio::time::sleep_until(asked + whole(asked.elapsed())).await;
    answer
}

/// The least multiple of [`ANSWER_EVERY`] that is longer.
fn whole(taken: Duration) -> Duration {
    let times = taken.as_nanos() / ANSWER_EVERY.as_nanos() + 1;
    ANSWER_EVERY.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
}

async fn answer_start(
    app: &App,
    handle: &RoomHandle,
    token: Option<Token>,
    body: LoginStart,
) -> Result<Answer<LoginStarted>, Refusal> {
    let kind = kind_of(body.credential);
    if kind == Kind::Admin && body.former.is_some() {
        return Err(Refusal::new(ProblemType::BadRequest).detail("there is no former Password"));
    }
    let now_ms = app.clock.now_ms();
    let attempt = AttemptId::from_bytes(random_bytes());
    let found = app.keys.find(app.store.as_ref(), handle, now_ms).await?;
    let (keyed, room) = (found.keyed, found.room.as_ref());
    let exempt = app.has_proven(keyed, room, token.as_ref(), kind).await?;
    let (record, sought) = match &body.former {
        None => (room.map(|room| room.record(kind).clone()), Vec::new()),
        Some(former) => (
            app.store.former(keyed, former.generation, now_ms).await?,
            sought(former),
        ),
    };
    // Before it is counted, so that a malformed KE1 does not use up anybody's logins.
    let start = server::LoginStart {
        handle,
        kind,
        record: record.as_ref(),
        sought: &sought,
        ke1: body.ke1.as_bytes(),
        attempt,
        unix_ms: now_ms,
    };
    let key = app.keys.of(&found, record.as_ref());
    let started = key.start_login(&mut rng(), &start)?;
    if !exempt && !app.may_start(keyed, attempt, now_ms).await? {
        app.metrics.login(Outcome::TooMany);
        return Err(Refusal::new(ProblemType::TooManyLogins).retry_after(TOO_MANY_RETRY_S));
    }
    app.metrics.login(Outcome::Started);
    let state = ByteString::new(started.state).map_err(|_| Refusal::new(ProblemType::Internal))?;
    Ok(Answer(
        StatusCode::OK,
        LoginStarted {
            ke2: Exact::new(started.ke2),
            state,
        },
    ))
}

pub(super) async fn finish(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    JsonBody(body): JsonBody<LoginFinish>,
) -> Result<Answer<Session>, Refusal> {
    let kind = kind_of(body.credential);
    let now_ms = app.clock.now_ms();
    // Only the key that sealed the state opens it.
    let finish_with = |key: &ServerSetup| {
        let (state, ke3) = (body.state.as_slice(), body.ke3.as_bytes());
        key.finish_login(&handle, kind, state, ke3, now_ms)
    };
    let finished = app
        .keys
        .all()
        .find_map(|key| finish_with(key).ok())
        .ok_or(ServerError::Refused)
        .inspect_err(|_| app.metrics.login(Outcome::Refused))?;
    let room = app.keys.keyed(app.store.as_ref(), &handle, now_ms).await?;
    let key = app.keys.current();
    let token = Token::from_bytes(*key.login_token(&finished.attempt));
    let hash = key.token_hash(token.as_bytes());
    let finish = Finish {
        room,
        kind,
        record: finished.record,
        token: hash,
        expires_at_ms: now_ms.saturating_add(TOKEN_TTL_MS),
    };
    let opened = app.store.open_session(finish, now_ms).await?;
    app.metrics.login(match &opened {
        Opened::Session { .. } => Outcome::Session,
        Opened::Superseded { .. } => Outcome::Superseded,
        Opened::Gone(_) => Outcome::Gone,
        Opened::Refused => Outcome::Refused,
    });
    // Whoever gets here has proven a secret of the room, whatever it is good for.
    app.starts.finished(room, finished.attempt).await;
    let (capsule, policy) = match opened {
        Opened::Session { capsule, policy } => {
            app.note_use(room).await?;
            (capsule, policy)
        }
        Opened::Superseded { generation, key_gen } => {
            let superseded = Superseded {
                generation,
                key_gen: key_gen.and_then(|object| ByteString::new(object).ok()),
            };
            return Err(Refusal::from(
                Problem::new(ProblemType::RoomKeyChanged).with_superseded(superseded),
            ));
        }
        Opened::Gone(tombstone) => return Err(Refusal::gone(&handle, &tombstone)),
        Opened::Refused => return Err(Refusal::new(ProblemType::LoginRefused)),
    };
    let (introductions, relays) = match kind {
        Kind::Room => {
            let seed = random_bytes();
            let records = (app.store).introductions(room, hash, seed, MAX_INTRODUCTIONS, now_ms);
            (records.await?, app.relay.get())
        }
        Kind::Admin => (Vec::new(), Vec::new()),
    };
    let session = Session {
        token,
        expires_in_s: TOKEN_TTL_S,
        capsule: ByteString::new(capsule).map_err(|_| Refusal::new(ProblemType::Internal))?,
        policy,
        introductions: Introductions {
            introductions: to_records(introductions),
            relays,
        },
    };
    Ok(Answer(StatusCode::OK, session))
}

/// What else a start says of the record it means, in bytes.
fn sought(former: &Former) -> Vec<u8> {
    let mut bytes = vec![1];
    if let Some(generation) = &former.generation {
        bytes.extend_from_slice(&generation.to_bytes());
    }
    bytes
}

/// The API's word for a credential as the protocol's.
fn kind_of(credential: Credential) -> Kind {
    match credential {
        Credential::Room => Kind::Room,
        Credential::Admin => Kind::Admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_start_takes_it_is_answered_at_a_whole_multiple() {
        for (taken_us, answered_ms) in [(0, 10), (700, 10), (1_633, 10), (9_999, 10), (10_000, 20), (34_000, 40)] {
            assert_eq!(
                whole(Duration::from_micros(taken_us)),
                Duration::from_millis(answered_ms)
            );
        }
    }
}
