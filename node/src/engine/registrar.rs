//! Tells the rendezvous of a new Room Key: at once, or when it is there again. A task of its own, so that nothing in the room waits for it.

use std::time::Duration;

use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::capsule::Capsule;
use snug_crypto::credential::SignedCertificate;
use snug_crypto::generation::Generation;
use snug_crypto::leaf::LeafSigningKey;
use snug_crypto::names::{RoomId, RoomKey};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::heartbeat::SharedSession;
use crate::rendezvous::{Authority, ChangeError, Client, KeyChange};

/// The first pause after a failure, doubled up to [`MAX_RETRY`], for as long as the node runs.
const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);
/// The rendezvous keeps no larger object for members that come with the former Room Key; those find it at a door.
const MAX_KEY_GEN: usize = 256 * 1024;

/// What a registration needs.
pub(super) struct Registration {
    pub client: Client,
    pub session: SharedSession,
    pub room_id: RoomId,
    pub room_key: RoomKey,
    pub capsule: Capsule,
    /// What ended the generation before.
    pub object: Option<Vec<u8>>,
    pub certificate: SignedCertificate,
    pub key: LeafSigningKey,
    /// Certificates with a lower serial are to be void; 0 if that isn't for us to say.
    pub least_serial: u32,
    /// Which word of the admin's the certificate is: see [`crate::room::Room::word_version`].
    pub word: u64,
    /// How long others have to do it first: its maker, for whom it is none, then the admin.
    pub after: Duration,
    /// Whether the registered generation may be void: the admin's word overrides it.
    pub overrides: bool,
    /// Whether plain http to another host was allowed when the room was made.
    pub insecure: bool,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Registered {
    /// The rendezvous lets newcomers in with the new Room Key, and with no other.
    Done,
    /// It does so already, by somebody else's word.
    Already,
    /// Another generation is registered that wins over ours, or would, if it counted.
    Outdone(Generation),
    /// It does not take the admin's word for us, which was this one: another may come.
    WordRefused(u64),
    /// It does not take it from us.
    Refused(ChangeError),
}

impl Registration {
    /// Tries until it is done or can't be.
    pub async fn run(self, cancelled: CancellationToken) -> Option<Registered> {
        cancelled.run_until_cancelled(self.keep_trying()).await
    }

    async fn keep_trying(self) -> Registered {
        sleep(self.after).await;
        let mut pause = RETRY;
        let mut refusals = 0;
        loop {
            let Some(session) = self.session.get() else {
                // The heartbeat logs in when the rendezvous is back.
                sleep(pause.mul_f64(UnwrapErr(SysRng).random_range(0.75..1.25))).await;
                pause = (pause * 2).min(MAX_RETRY);
                continue;
            };
            if (self.session.in_capsule()).is_some_and(|there| there.generation == self.capsule.generation) {
                return self.known();
            }
            let authority = Authority::Certified {
                session: &session,
                certificate: &self.certificate,
                key: &self.key,
            };
            let change = KeyChange {
                room_key: &self.room_key,
                capsule: &self.capsule,
                key_gen: self.object.clone().filter(|object| object.len() <= MAX_KEY_GEN),
                replaces_void: self.overrides,
                least_serial: self.least_serial,
                insecure_registration: self.insecure,
            };
            match self.client.change_room_key(&self.room_id, authority, change).await {
                Ok(_) => return Registered::Done,
                // Our own change, whose answer was lost, or a later one.
                Err(ChangeError::Stale { registered }) if registered == self.capsule.generation => return self.known(),
                Err(ChangeError::Stale { registered }) => return Registered::Outdone(registered),
                // The session may have lapsed: the heartbeat logs in again.
                Err(ChangeError::Refused) if refusals < 3 => refusals += 1,
                Err(ChangeError::Server(_)) => {}
                Err(ChangeError::CertificateRefused) => return Registered::WordRefused(self.word),
                Err(error) => return Registered::Refused(error),
            }
            sleep(pause.mul_f64(UnwrapErr(SysRng).random_range(0.75..1.25))).await;
            pause = (pause * 2).min(MAX_RETRY);
        }
    }

    /// It is registered, and its maker may not have been told.
    fn known(&self) -> Registered {
        if self.after.is_zero() {
            Registered::Done
        } else {
            Registered::Already
        }
    }
}
