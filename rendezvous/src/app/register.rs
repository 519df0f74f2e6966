//! Registration of a room.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;
use snug_crypto::credential::Kind;
use snug_crypto::credential::server::Record;
use snug_rendezvous_api::{Exact, ProblemType, RegisterFinish, RegisterStart, RegisterStarted, Registered};

use super::answer::{Answer, Refusal};
use super::request::{InPath, JsonBody};
use super::{Address, App};
use crate::store::{self, Capsule, NewRoom};

/// Says nothing of whether the room exists: that would be known for nothing then, while `finish` costs whoever asks a
/// registration.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    JsonBody(body): JsonBody<RegisterStart>,
) -> Result<Answer<RegisterStarted>, Refusal> {
    let room = app.setup.register(&handle, Kind::Room, body.room.as_bytes())?;
    let admin = app.setup.register(&handle, Kind::Admin, body.admin.as_bytes())?;
    Ok(Answer(
        StatusCode::OK,
        RegisterStarted {
            room: Exact::new(room),
            admin: Exact::new(admin),
        },
    ))
}

pub(super) async fn finish(
    State(app): State<Arc<App>>,
    Extension(address): Extension<Address>,
    InPath(handle): InPath,
    JsonBody(body): JsonBody<RegisterFinish>,
) -> Result<Answer<Registered>, Refusal> {
    app.admit(&app.registrations, address)?;
    let new = NewRoom {
        room_record: Record::from_upload(body.room.as_bytes())?,
        admin_record: Record::from_upload(body.admin.as_bytes())?,
        admin_key: *body.admin_key.as_bytes(),
        capsule: Capsule {
            room: body.capsule.into_vec(),
            admin: body.admin_capsule.into_vec(),
        },
        policy: body.policy,
    };
    let created_at_ms = app.clock.now_ms();
    match app
        .store
        .create_room(app.setup.keyed_handle(&handle), new, created_at_ms)
        .await?
    {
        store::Registered::Created => Ok(Answer(StatusCode::CREATED, Registered { created_at_ms })),
        store::Registered::Taken => Err(Refusal::new(ProblemType::RoomExists)),
    }
}
