//! Keeps the capsule at the rendezvous as long as the authority log: whoever comes into an empty room learns roles and rules from it.
//!
//! With it goes, from whoever holds the admin's key, which certificates are void: those that were signed before somebody's role was taken.
//!
//! The author of an operation does it, at once, or when the rendezvous is back; whoever may and finds at a login that something is missing
//! there makes up for it. A new generation brings its own capsule (`registrar`).

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::generation::Generation;
use snug_crypto::ids::OperationHash;
use snug_crypto::names::RoomId;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::actor::Actor;
use super::heartbeat::SharedSession;
use crate::rendezvous::{Authority, ChangeError, Client};
use crate::room::Refreshing;

/// The first pause after a failure, doubled up to [`MAX_RETRY`], for as long as the node runs.
const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);
/// Who isn't the author of what is missing leaves it so long to do it.
const AUTHORS_TIME: Duration = Duration::from_secs(4);
/// How long a node that ends waits for a refresh under way.
const LAST: Duration = Duration::from_secs(2);
/// Refusals in a row after which our word is not taken: the session may have lapsed, and the heartbeat logs in again.
const REFUSALS: u32 = 3;

/// What the capsule at the rendezvous holds, as far as we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InCapsule {
    pub generation: Generation,
    pub log: BTreeSet<OperationHash>,
    /// Certificates are taken from this serial on, at least.
    pub least_serial: u32,
    /// Whether a login told us, rather than our own refresh.
    pub from_login: bool,
}

/// Refreshes under way, and what was looked at last.
#[derive(Default)]
pub(super) struct Capsules {
    /// The log's version, and which login or refresh told what the capsule holds.
    looked_at: Option<(u64, u64)>,
    task: Option<JoinHandle<()>>,
}

impl Actor {
    /// Sees whether the capsule lacks something that we know, and that is ours to bring.
    pub(super) fn tend_capsule(&mut self) {
        let Some(client) = &self.client else { return };
        let state = (self.room.log_version(), self.session.version());
        if self.capsules.looked_at == Some(state) {
            return;
        }
        if !self.room.is_settled_in() {
            return;
        }
        let Some(there) = self.session.in_capsule() else { return };
        self.capsules.looked_at = Some(state);
        let now = self.clock.now();
        let refreshing = self
            .room
            .refreshing(&there.generation, &there.log, there.least_serial, now);
        let Some(refreshing) = refreshing.filter(|refreshing| refreshing.ours || there.from_login) else {
            return;
        };
        let refresh = Refresh {
            client: client.clone(),
            session: self.session.clone(),
            room_id: self.room_id.clone(),
            after: if refreshing.ours { Duration::ZERO } else { AUTHORS_TIME },
            refreshing,
        };
        self.capsules.stop();
        self.capsules.task = Some(tokio::spawn(refresh.run()));
    }
}

impl Capsules {
    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Lets a refresh under way end, for a while: what was decided just before the end should be known to newcomers.
    pub(super) async fn finish(mut self) {
        if let Some(task) = &mut self.task
            && timeout(LAST, task).await.is_err()
        {
            tracing::debug!("the capsule was not refreshed in time; whoever may does so at the next login");
        }
        self.stop();
    }
}

/// One longer log on its way.
struct Refresh {
    client: Client,
    session: SharedSession,
    room_id: RoomId,
    refreshing: Refreshing,
    after: Duration,
}

impl Refresh {
    async fn run(self) {
        sleep(self.after).await;
        let (mut pause, mut refusals) = (RETRY, 0);
        let Refreshing {
            capsule,
            certificate,
            key,
            least_serial,
            ..
        } = &self.refreshing;
        loop {
            if let Some((session, capsule_key)) = self.session.with_capsule_key(&capsule.generation) {
                let authority = Authority::Certified {
                    session: &session,
                    certificate,
                    key,
                };
                let refreshed =
                    self.client
                        .refresh_capsule(&self.room_id, authority, &capsule_key, capsule, *least_serial);
                match refreshed.await {
                    Ok(()) => {
                        return self.session.refreshed(InCapsule {
                            generation: capsule.generation,
                            log: capsule.log.iter().map(|operation| operation.hash()).collect(),
                            least_serial: *least_serial,
                            from_login: false,
                        });
                    }
                    // With another one, or when we know more of the log, it is looked at again.
                    Err(ChangeError::CertificateRefused) => {
                        return tracing::info!("the rendezvous doesn't take our certificate for its capsule any more");
                    }
                    Err(ChangeError::Refused) if refusals < REFUSALS => refusals += 1,
                    Err(ChangeError::Server(_)) => {}
                    // Another generation is registered, with a capsule of its own; or the rendezvous doesn't take our word.
                    Err(error) => {
                        return tracing::warn!(%error, "newcomers won't learn of the last operations from the rendezvous");
                    }
                }
            }
            sleep(pause.mul_f64(UnwrapErr(SysRng).random_range(0.75..1.25))).await;
            pause = (pause * 2).min(MAX_RETRY);
        }
    }
}
