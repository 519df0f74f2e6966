//! The credential exchange (RFC 9807) over HTTP. What blocks for 0.1 s runs on a thread of its own.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use reqwest::Method;
use snug_crypto::credential::client::{ClientError, LoggedIn, Login, Registered, Registration};
use snug_crypto::credential::{Kind, SignedTombstone};
use snug_crypto::{ExportKey, RoomHandle};
use snug_rendezvous_api::{self as api, Exact, Problem, ProblemType};
use tokio::task;
use zeroize::Zeroizing;

use super::http::{Http, Refusal};
use super::{LoginError, ServerError};

/// A secret as OPAQUE takes it.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// A credential that is ready to be uploaded.
pub(super) struct Ready {
    pub upload: api::CredentialUpload,
    pub export_key: ExportKey,
}

/// Registers the Room Key, the Password or both, as far as the upload.
pub(super) async fn register(
    http: &Http,
    handle: &RoomHandle,
    room_key: Option<Secret>,
    password: Option<Secret>,
) -> Result<(Option<Ready>, Option<Ready>), Refusal> {
    let unusable = |error| Refusal::Exchange(malformed(http, error));
    let start = |kind, secret: Option<Secret>| {
        let start = |secret: Secret| Registration::start(&mut UnwrapErr(SysRng), handle, kind, &secret);
        secret.map(start).transpose().map_err(unusable)
    };
    let (room, admin) = (start(Kind::Room, room_key)?, start(Kind::Admin, password)?);
    let request = |started: &Option<(Registration, [u8; api::REGISTRATION_REQUEST_LEN])>| {
        started.as_ref().map(|(_, request)| Exact::new(*request))
    };
    let body = api::RegisterStart {
        room: request(&room),
        admin: request(&admin),
    };
    let path = api::register_start(&path_handle(handle));
    let answer: api::RegisterStarted = http.call(Method::POST, &path, None, Some(&body)).await?;
    let (room, admin) = tokio::join!(
        finish_registration(room.map(|(state, _)| state), answer.room),
        finish_registration(admin.map(|(state, _)| state), answer.admin),
    );
    Ok((room.map_err(unusable)?, admin.map_err(unusable)?))
}

/// An answer that is missing is as odd as one that makes no sense.
async fn finish_registration(
    registration: Option<Registration>,
    answer: Option<api::RegistrationAnswer>,
) -> Result<Option<Ready>, ClientError> {
    let Some(registration) = registration else {
        return Ok(None);
    };
    let answer = answer.ok_or(ClientError::Malformed)?;
    let finish = move || registration.finish(&mut UnwrapErr(SysRng), answer.response.as_bytes());
    let Registered { upload, export_key } = on_a_thread(finish).await?;
    Ok(Some(Ready {
        upload: api::CredentialUpload {
            registration: answer.registration,
            record: Exact::new(upload),
        },
        export_key,
    }))
}

/// Which credential a login proves.
#[derive(Clone, Copy)]
pub(super) enum Proves {
    RoomKey,
    /// One that another took the place of.
    FormerRoomKey(api::Former),
    Password,
}

/// Logs in with one credential: what opens its capsule, and the server's answer.
pub(super) async fn log_in(
    http: &Http,
    handle: &RoomHandle,
    proves: Proves,
    secret: Secret,
) -> Result<(ExportKey, api::Session), LoginError> {
    let (kind, credential, former) = match proves {
        Proves::RoomKey => (Kind::Room, api::Credential::Room, None),
        Proves::FormerRoomKey(former) => (Kind::Room, api::Credential::Room, Some(former)),
        Proves::Password => (Kind::Admin, api::Credential::Admin, None),
    };
    let (login, ke1) = Login::start(&mut UnwrapErr(SysRng), handle, kind, &secret).map_err(|e| refused(http, e))?;
    drop(secret);
    let path_handle = path_handle(handle);
    let body = api::LoginStart {
        credential,
        ke1: Exact::new(ke1),
        former,
    };
    let started: api::LoginStarted = http
        .call(Method::POST, &api::login_start(&path_handle), None, Some(&body))
        .await
        .map_err(|refusal| login_refusal(http, refusal))?;
    let ke2 = started.ke2;
    let finished: Result<LoggedIn, _> = on_a_thread(move || {
        let login: Login = login;
        login.finish(&mut UnwrapErr(SysRng), ke2.as_bytes())
    })
    .await;
    let LoggedIn { ke3, export_key } = finished.map_err(|e| refused(http, e))?;
    let body = api::LoginFinish {
        credential,
        ke3: Exact::new(ke3),
        state: started.state,
    };
    let session = http
        .call(Method::POST, &api::login_finish(&path_handle), None, Some(&body))
        .await
        .map_err(|refusal| login_refusal(http, refusal))?;
    Ok((export_key, session))
}

/// A handle as it stands in a path.
pub(super) fn path_handle(handle: &RoomHandle) -> api::Handle {
    api::Handle::from_bytes(*handle.as_bytes())
}

/// The proof in a 410, unverified.
pub(super) fn tombstone_of(problem: &Problem) -> Option<Box<SignedTombstone>> {
    Some(Box::new(SignedTombstone::from_bytes(
        problem.tombstone.as_ref()?.as_bytes(),
    )))
}

fn login_refusal(http: &Http, refusal: Refusal) -> LoginError {
    let problem = match refusal {
        Refusal::Exchange(error) => return error.into(),
        Refusal::Problem(problem) => problem,
    };
    match problem.problem_type {
        ProblemType::LoginRefused => LoginError::WrongCredentials,
        ProblemType::RoomGone => LoginError::Gone {
            tombstone: tombstone_of(&problem),
        },
        ProblemType::RoomKeyChanged => match problem.superseded {
            Some(superseded) => LoginError::Superseded(Box::new(superseded.into())),
            None => http
                .not_a_rendezvous("it says that the Room Key changed, and not into what")
                .into(),
        },
        ProblemType::RoomRemoved => LoginError::Removed,
        ProblemType::TooManyLogins => LoginError::TooManyLogins {
            retry_after: problem.retry_after_s.map(|s| std::time::Duration::from_secs(s.into())),
        },
        _ => http.unexpected(&problem).into(),
    }
}

fn refused(http: &Http, error: ClientError) -> LoginError {
    match error {
        ClientError::Refused => LoginError::WrongCredentials,
        error => malformed(http, error).into(),
    }
}

/// Our own secrets are within bounds (their types say so), so the server's message is to blame, or this machine's memory.
fn malformed(http: &Http, error: ClientError) -> ServerError {
    http.not_a_rendezvous(match error {
        ClientError::Unusable => "64 MiB of memory for the credentials could not be had",
        _ => "its part of the credential exchange makes no sense",
    })
}

/// Runs what blocks on a thread of its own.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody will poll this again.
            Err(_) => std::future::pending().await,
        },
    }
}
