//! What a login earns: being introduced to those who are there, until the token lapses.

use reqwest::Method;
use snug_crypto::RoomHandle;
use snug_crypto::credential::SignedTombstone;
use snug_rendezvous_api::{self as api, Introductions, ProblemType, PutPresence, Token};

use super::http::{Http, Refusal};
use super::opaque::{path_handle, tombstone_of};
use super::{DeleteError, LoginError, PresenceError};

/// A member's session at a rendezvous: a token of one hour, renewed by each use, which holds one presence record.
#[derive(Clone, Debug)]
pub struct Session {
    http: Http,
    handle: api::Handle,
    pub(super) token: Token,
}

impl Session {
    pub(super) fn new(http: Http, handle: &RoomHandle, token: Token) -> Self {
        Self {
            http,
            handle: path_handle(handle),
            token,
        }
    }

    /// Puts our sealed presence record (at most 1 KiB) in place for 90 s.
    ///
    /// # Errors
    /// [`PresenceError`]
    pub async fn heartbeat(&self, record: Vec<u8>) -> Result<Introduced, PresenceError> {
        let record = api::PresenceRecord::new(record).map_err(|_| PresenceError::RecordLength)?;
        let path = api::presence(&self.handle);
        let answer = self
            .http
            .call(Method::PUT, &path, Some(&self.token), Some(&PutPresence { record }))
            .await;
        Ok(introduced(answer.map_err(|refusal| self.refusal(refusal))?))
    }

    /// Takes our presence record away: nobody is introduced to us any more.
    ///
    /// # Errors
    /// [`PresenceError`]
    pub async fn withdraw(&self) -> Result<(), PresenceError> {
        let path = api::presence(&self.handle);
        self.http
            .call_for_nothing(Method::DELETE, &path, Some(&self.token), None::<&()>)
            .await
            .map_err(|refusal| self.refusal(refusal))
    }

    /// Deletes the room for everybody, with the admin's signed tombstone: whoever holds the admin key can, also in a session of
    /// the Room Key.
    ///
    /// # Errors
    /// [`DeleteError`]
    pub async fn delete_room(&self, tombstone: &SignedTombstone) -> Result<(), DeleteError> {
        let body = api::DeleteRoom {
            tombstone: tombstone.to_bytes().into(),
        };
        let path = api::room(&self.handle);
        let deleted = self
            .http
            .call_for_nothing(Method::DELETE, &path, Some(&self.token), Some(&body))
            .await;
        match deleted {
            Ok(()) => Ok(()),
            Err(Refusal::Exchange(error)) => Err(error.into()),
            Err(Refusal::Problem(problem)) => Err(match problem.problem_type {
                ProblemType::RoomGone => DeleteError::Login(LoginError::Gone {
                    tombstone: tombstone_of(&problem),
                }),
                ProblemType::TokenRefused | ProblemType::WrongCredential | ProblemType::TombstoneRefused => {
                    DeleteError::Refused
                }
                _ => self.http.unexpected(&problem).into(),
            }),
        }
    }

    fn refusal(&self, refusal: Refusal) -> PresenceError {
        let problem = match refusal {
            Refusal::Exchange(error) => return error.into(),
            Refusal::Problem(problem) => problem,
        };
        match problem.problem_type {
            ProblemType::TokenRefused | ProblemType::WrongCredential => PresenceError::TokenRefused,
            ProblemType::RoomGone => PresenceError::Gone {
                tombstone: tombstone_of(&problem),
            },
            ProblemType::RoomRemoved => PresenceError::Removed,
            _ => self.http.unexpected(&problem).into(),
        }
    }
}

/// Who is there, and where members meet who can't reach each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduced {
    /// Sealed presence records of others: at most 32 of at most 1 KiB.
    pub records: Vec<Vec<u8>>,
    /// What the server says of its relay: at most 8 texts of at most 256 bytes, which may say anything.
    pub relays: Vec<String>,
}

pub(super) fn introduced(introductions: Introductions) -> Introduced {
    let Introductions { introductions, relays } = introductions;
    Introduced {
        records: introductions.into_iter().map(api::PresenceRecord::into_vec).collect(),
        relays: relays.into_iter().map(String::from).collect(),
    }
}
