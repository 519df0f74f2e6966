//! Changes of a room that exists: a new Room Key, a new Password, a capsule that grew. docs/PROTOCOL.md, "Rendezvous".

use std::sync::Arc;

use axum::extract::State;
use snug_crypto::credential::{CERTIFICATE_TTL_MS, Kind, Rank, Request, SignedCertificate};
use snug_crypto::{AdminPublicKey, RoomHandle};
use snug_rendezvous_api::{
    Certified, ChangeRoom, Generation, MAX_GENERATION_STEP, MAX_SUPERSEDED_DAYS, NewRoomKey, Problem, ProblemType,
    PutCapsule, Token,
};

use super::App;
use super::answer::{Done, Refusal};
use super::authorize::Authorized;
use super::permission::{Counted, Protected};
use super::register::record_of;
use super::request::{Holder, InPath, JsonBody};
use crate::store::{Change, Changed, PasswordChange, Room, RoomKeyChange};

/// How much longer than 30 days a certificate may seem to live, for an admin whose clock is ahead of ours.
const CLOCK_SLACK_MS: u64 = 3600 * 1000;
const MAX_SUPERSEDED_MS: u64 = MAX_SUPERSEDED_DAYS as u64 * 24 * 3600 * 1000;

pub(super) async fn change(
    State(app): State<Arc<App>>,
    _: Protected,
    InPath(handle): InPath,
    Holder(token): Holder,
    _: Counted,
    JsonBody(body): JsonBody<ChangeRoom>,
) -> Result<Done, Refusal> {
    if body.room_key.is_none() && body.password.is_none() && body.least_serial.is_none() {
        return Err(Refusal::new(ProblemType::BadRequest).detail("there is nothing to change"));
    }
    let authorized = app.authorize_any(&handle, &token).await?;
    let rank = match (&body.room_key, authorized.kind) {
        (_, Kind::Admin) => Rank::Admin,
        (Some(new), Kind::Room) if body.password.is_none() => {
            let generation = new.generation.to_bytes();
            let request = Request::RoomKey {
                registration: new.credential.registration.as_bytes(),
                upload: new.credential.record.as_bytes(),
                generation: &generation,
                capsule: new.capsule.as_slice(),
                key_gen: new.key_gen.as_ref().map_or(&[], |object| object.as_slice()),
                overrides: new.overrides,
                least_serial: body.least_serial.unwrap_or(0),
            };
            app.rank(&authorized, &token, body.certified.as_ref(), &request)?
        }
        (_, Kind::Room) => return Err(Refusal::new(ProblemType::WrongCredential)),
    };
    let room = &authorized.room;
    let now_ms = app.clock.now_ms();
    let room_key = body
        .room_key
        .map(|new| room_key_change(room, rank, authorized.kind, new, now_ms))
        .transpose()?;
    let password = body.password.map(|new| -> Result<_, Refusal> {
        Ok(PasswordChange {
            record: record_of(&new.credential)?,
            capsule: new.capsule.into_vec(),
        })
    });
    let change = Change {
        room_record: room.room_record.id(),
        admin_record: room.admin_record.id(),
        room_key,
        password: password.transpose()?,
        least_serial: body.least_serial,
    };
    match app.store.change_room(authorized.keyed, change, now_ms).await? {
        Changed::Done => {
            app.metrics.changed();
            Ok(Done)
        }
        Changed::Raced => Err(app.raced(&handle, &authorized).await?),
    }
}

pub(super) async fn put_capsule(
    State(app): State<Arc<App>>,
    InPath(handle): InPath,
    Holder(token): Holder,
    JsonBody(body): JsonBody<PutCapsule>,
) -> Result<Done, Refusal> {
    let authorized = app.authorize_any(&handle, &token).await?;
    if authorized.kind == Kind::Room {
        let request = Request::Capsule {
            generation: &body.generation.to_bytes(),
            capsule: body.capsule.as_slice(),
            least_serial: body.least_serial.unwrap_or(0),
        };
        app.rank(&authorized, &token, body.certified.as_ref(), &request)?;
    }
    let room = &authorized.room;
    // The genesis hash, which stands for the first generation, is not known here.
    let same = room.generation == body.generation || (room.generation.count == 0 && body.generation.count == 0);
    if !same {
        return Err(stale(room.generation));
    }
    let (record, capsule) = (room.room_record.id(), body.capsule.into_vec());
    let put = app
        .store
        .put_capsule(authorized.keyed, record, capsule, body.least_serial)
        .await?;
    match put {
        Changed::Done => Ok(Done),
        Changed::Raced => Err(app.raced(&handle, &authorized).await?),
    }
}

impl App {
    /// What a certificate lets the holder of a token of the Room Key do.
    fn rank(
        &self,
        authorized: &Authorized,
        token: &Token,
        certified: Option<&Certified>,
        request: &Request<'_>,
    ) -> Result<Rank, Refusal> {
        let refused = || Refusal::new(ProblemType::CertificateRefused);
        let Some(certified) = certified else {
            return Err(Refusal::new(ProblemType::WrongCredential));
        };
        let Room {
            admin_key,
            least_serial,
            ..
        } = &authorized.room;
        let certificate = SignedCertificate::from_bytes(*certified.certificate.as_bytes())
            .verify(&AdminPublicKey::from_bytes(*admin_key))
            .map_err(|_| refused())?;
        let now_ms = self.clock.now_ms();
        let latest = now_ms.saturating_add(CERTIFICATE_TTL_MS + CLOCK_SLACK_MS);
        if certificate.expires_at_ms <= now_ms || certificate.expires_at_ms > latest {
            return Err(refused().detail("the certificate has expired, or lives longer than 30 days"));
        }
        if certificate.serial < *least_serial {
            return Err(refused().detail("the admin has made the certificate void"));
        }
        // What makes others void is the admin's to say, and never goes beyond what its key has signed.
        let raised = request.least_serial();
        if raised > 0 && (certificate.rank < Rank::Admin || raised > certificate.serial) {
            return Err(refused().detail("the certificate does not allow to make others void"));
        }
        request
            .verify(&certificate, token.as_bytes(), certified.signature.as_bytes())
            .map_err(|_| refused())?;
        Ok(certificate.rank)
    }

    /// Why a change came too late.
    async fn raced(&self, handle: &RoomHandle, authorized: &Authorized) -> Result<Refusal, Refusal> {
        let room = self.store.room(authorized.keyed, self.clock.now_ms()).await?;
        Ok(match room {
            None => Refusal::new(ProblemType::TokenRefused),
            Some(Room {
                tombstone: Some(tombstone),
                ..
            }) => Refusal::gone(handle, &tombstone),
            Some(room) => stale(room.generation),
        })
    }
}

fn room_key_change(
    room: &Room,
    rank: Rank,
    kind: Kind,
    new: NewRoomKey,
    now_ms: u64,
) -> Result<RoomKeyChange, Refusal> {
    if new.overrides && rank < Rank::Admin {
        return Err(Refusal::new(ProblemType::CertificateRefused));
    }
    if !new.overrides && !new.generation.wins_over(&room.generation) {
        return Err(stale(room.generation));
    }
    let step = new.generation.count.saturating_sub(room.generation.count);
    if kind == Kind::Room && step > MAX_GENERATION_STEP {
        return Err(Refusal::new(ProblemType::BadRequest).detail("the generation's count is too far ahead"));
    }
    let grace_ms = (u64::from(room.policy.grace_s) * 1000).min(MAX_SUPERSEDED_MS);
    Ok(RoomKeyChange {
        record: record_of(&new.credential)?,
        generation: new.generation,
        capsule: new.capsule.into_vec(),
        key_gen: new.key_gen.map(|object| object.into_vec()),
        until_ms: now_ms.saturating_add(grace_ms),
    })
}

fn stale(registered: Generation) -> Refusal {
    Problem::new(ProblemType::GenerationStale)
        .with_generation(registered)
        .into()
}
