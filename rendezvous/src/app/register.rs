//! Registration of a room.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::{Record, RegistrationId};
use snug_rendezvous_api::{
    CredentialUpload, Exact, ProblemType, REGISTRATION_REQUEST_LEN, RegisterFinish, RegisterStart, RegisterStarted,
    Registered, RegistrationAnswer,
};

use super::App;
use super::answer::{Answer, Refusal};
use super::directory::entry_of;
use super::permission::{Protected, Registrant};
use super::request::{InPath, JsonBody};
use crate::random::rng;
use crate::store::{self, Capsule, NewRoom};

/// For a new room and for a new credential alike. Says nothing of whether the room exists: that would be known for nothing
/// then, while `finish` costs whoever asks a registration.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    _: Protected,
    InPath(handle): InPath,
    JsonBody(body): JsonBody<RegisterStart>,
) -> Result<Answer<RegisterStarted>, Refusal> {
    if body.room.is_none() && body.admin.is_none() {
        return Err(Refusal::new(ProblemType::BadRequest).detail("register at least one credential"));
    }
    let answer = |kind, request: Option<Exact<REGISTRATION_REQUEST_LEN>>| {
        let answer = |request: Exact<REGISTRATION_REQUEST_LEN>| -> Result<_, Refusal> {
            // New for each: for one that is in use this would be an oracle for guesses, which nobody counts.
            let registration = app.keys.current().new_registration(&mut rng());
            let response = app
                .keys
                .current()
                .register(&handle, kind, &registration, request.as_bytes())?;
            Ok(RegistrationAnswer {
                registration: Exact::new(*registration.as_bytes()),
                response: Exact::new(response),
            })
        };
        request.map(answer).transpose()
    };
    Ok(Answer(
        StatusCode::OK,
        RegisterStarted {
            room: answer(Kind::Room, body.room)?,
            admin: answer(Kind::Admin, body.admin)?,
        },
    ))
}

/// A record that can be read back.
pub(super) fn record_of(upload: &CredentialUpload) -> Result<Record, Refusal> {
    let registration = RegistrationId::from_bytes(*upload.registration.as_bytes());
    Ok(Record::from_upload(registration, upload.record.as_bytes())?)
}

pub(super) async fn finish(
    State(app): State<Arc<App>>,
    _: Registrant,
    InPath(handle): InPath,
    JsonBody(body): JsonBody<RegisterFinish>,
) -> Result<Answer<Registered>, Refusal> {
    let listing = body
        .listing
        .as_ref()
        .map(|listing| entry_of(&handle, body.admin_key.as_bytes(), listing))
        .transpose()?;
    let new = NewRoom {
        room_record: record_of(&body.room)?,
        admin_record: record_of(&body.admin)?,
        admin_key: *body.admin_key.as_bytes(),
        capsule: Capsule {
            room: body.capsule.into_vec(),
            admin: body.admin_capsule.into_vec(),
        },
        policy: body.policy,
        listing,
    };
    let created_at_ms = app.clock.now_ms();
    let keyed = app.keys.keyed(app.store.as_ref(), &handle, created_at_ms).await?;
    // A room under a former key is there already; nobody makes further ones.
    match app.store.create_room(keyed, new, created_at_ms).await? {
        store::Registered::Created => Ok(Answer(StatusCode::CREATED, Registered { created_at_ms })),
        store::Registered::Taken => Err(Refusal::new(ProblemType::RoomExists)),
    }
}
