//! Presence at the rendezvous: a task of its own, so that a slow server delays nothing in the room.
//!
//! It puts our sealed record there every 30 s (and at once when our addresses change), hands back whom it is introduced to, logs in
//! again when its token lapses, and tries on while the server is away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use snug_crypto::GenesisHash;
use snug_crypto::capsule::Capsule;
use snug_crypto::credential::SignedTombstone;
use snug_crypto::generation::{Generation, IntroKey};
use snug_crypto::ids::PeerKey;
use snug_crypto::names::RoomId;
use snug_crypto::presence::PresenceRecord;
use snug_crypto::rest::GenerationAtRest;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::arrive::{at_rest, log_in};
use super::capsules::InCapsule;
use super::clock::unix_ms;
use super::keyring::{Key, Keyring};
use super::relays::{self, Located};
use crate::rendezvous::{CapsuleKey, Client, Introduced, LoginError, MemberLogin, PresenceError, ServerError, Session};

/// Reports that wait for the actor; the next heartbeat waits then.
pub(super) const REPORTS: usize = 8;
/// Between two heartbeats; up to a tenth is added or taken away, so that members of a room don't come in step. A deletion is known
/// within 40 s, and the record (90 s) doesn't lapse if one heartbeat fails.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);
/// Between heartbeats after a change of the Room Key, and how many of them: whoever comes with the new one must find somebody.
const HURRY: Duration = Duration::from_secs(2);
const HURRIED: u32 = 5;
/// Addresses come one by one as interfaces are found: those of one moment go out together.
const SETTLE: Duration = Duration::from_millis(10);
/// Between two heartbeats at least, however often our addresses change.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// The first retry when the server doesn't answer, doubled up to [`MAX_RETRY`]: members are to be found again within 10 s of its return.
const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(8);
/// Failures in a row after which the server counts as away: one may be a restart.
const TOLERATED_FAILURES: u32 = 2;
/// After this long without a heartbeat nobody is introduced to us: a wait of it is told at once.
const LAPSED: Duration = Duration::from_secs(60);
/// At most this long is a withdrawal waited for: the record lapses by itself.
const WITHDRAW: Duration = Duration::from_secs(1);

/// What a heartbeat needs.
pub(super) struct Heartbeat {
    pub client: Client,
    /// Shared with whatever else asks something of the rendezvous; replaced by each login.
    pub session: SharedSession,
    pub room_id: RoomId,
    pub keys: watch::Receiver<BeatKeys>,
    pub genesis_hash: GenesisHash,
    pub peer: PeerKey,
    /// What the login said of the relay.
    pub relays: Vec<String>,
    /// Whether it takes none of our Room Keys, as we know already: then no login is tried before there is another.
    pub refused: bool,
    /// [`INTERVAL`], but for tests in a hurry.
    pub interval: Duration,
}

/// The session at the rendezvous as it is now; none before the first login of a member that came while the rendezvous was away.
#[derive(Clone)]
pub(super) struct SharedSession(Arc<Mutex<Shared>>);

struct Shared {
    version: u64,
    login: Option<LoggedIn>,
    registered: Option<GenerationAtRest>,
}

/// What a login gave us beyond the room itself.
pub(super) struct LoggedIn {
    session: Session,
    /// Seals later capsules of this Room Key.
    capsule_key: CapsuleKey,
    capsule: InCapsule,
}

impl LoggedIn {
    pub fn new(session: Session, capsule_key: CapsuleKey, capsule: &Capsule) -> Self {
        Self {
            session,
            capsule_key,
            capsule: InCapsule {
                generation: capsule.generation,
                log: capsule.log.iter().map(|operation| operation.hash()).collect(),
                // It doesn't say.
                least_serial: 0,
                from_login: true,
            },
        }
    }
}

impl SharedSession {
    /// With the generation that was registered when we logged in last, if we ever did.
    pub fn new(login: Option<LoggedIn>, registered: Option<GenerationAtRest>) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            version: 0,
            login,
            registered,
        })))
    }

    pub fn get(&self) -> Option<Session> {
        self.lock().login.as_ref().map(|login| login.session.clone())
    }

    pub fn set(&self, login: LoggedIn, registered: GenerationAtRest) {
        let mut shared = self.lock();
        shared.version += 1;
        shared.login = Some(login);
        shared.registered = Some(registered);
    }

    /// The generation that was registered when we logged in last, in this run or before.
    pub fn registered(&self) -> Option<GenerationAtRest> {
        self.lock().registered.clone()
    }

    /// Rises with each login and each refresh of the capsule.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// What the capsule at the rendezvous holds.
    pub fn in_capsule(&self) -> Option<InCapsule> {
        self.lock().login.as_ref().map(|login| login.capsule.clone())
    }

    /// What a refresh of the capsule takes, if our login was with this generation's Room Key.
    pub fn with_capsule_key(&self, generation: &Generation) -> Option<(Session, CapsuleKey)> {
        let shared = self.lock();
        let login = shared
            .login
            .as_ref()
            .filter(|login| login.capsule.generation == *generation)?;
        Some((login.session.clone(), login.capsule_key.clone()))
    }

    /// The capsule was refreshed.
    pub fn refreshed(&self, capsule: InCapsule) {
        let mut shared = self.lock();
        shared.version += 1;
        if let Some(login) = &mut shared.login {
            login.capsule = capsule;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secrets of the room's generations that a heartbeat goes by, the newest first.
#[derive(Clone)]
pub(super) struct BeatKeys {
    /// The rendezvous may not have heard of the newest.
    pub room_keys: Vec<GenerationAtRest>,
    /// Records are sealed under the first.
    pub intros: Vec<IntroKey>,
}

/// What it tells the actor.
pub(super) enum Report {
    /// The server took our record, and introduces these.
    Introductions(Vec<Vec<u8>>),
    /// Where members meet who can't reach each other.
    Relays(Located),
    /// Several heartbeats in a row failed, or one that is tried again only after our record has long lapsed.
    Away(ServerError),
    /// The Room Key was changed while we were away: the object that its makers left for us.
    Superseded(Vec<u8>),
    /// The server says that the room was deleted. No more heartbeats follow.
    Gone(Option<Box<SignedTombstone>>),
    /// The server lets us in no more, for this reason. No more heartbeats follow until the room has another Room Key.
    ShutOut(&'static str),
}

const WRONG_KEY: &str = "it no longer takes the Room Key";
/// Never seen: records are sealed to fit.
const OVERSIZE: &str = "our presence record is over its bound";

/// Not a deletion: that takes the admin's word, and the host gives only its own.
const REMOVED: &str = "its host removed the room from it (the room's admin did not delete it)";

enum Beat {
    Introduced(Introduced),
    Failed(ServerError),
    /// The Room Key was changed, and this was left for us.
    PassedBy(Vec<u8>),
    Final(Report),
}

impl Heartbeat {
    /// Runs until cancelled, then withdraws our record.
    pub async fn run(
        mut self,
        mut addresses: watch::Receiver<Vec<String>>,
        reports: mpsc::Sender<Report>,
        cancelled: CancellationToken,
    ) {
        let mut may_be_known = false;
        cancelled
            .run_until_cancelled(self.beat_on(&mut addresses, &reports, &mut may_be_known))
            .await;
        cancelled.cancelled().await;
        if let (true, Some(session)) = (may_be_known, self.session.get())
            && !matches!(timeout(WITHDRAW, session.withdraw()).await, Ok(Ok(())))
        {
            tracing::debug!("our presence could not be withdrawn; it lapses in 90 s");
        }
    }

    /// Returns when there is no point in going on.
    async fn beat_on(
        &mut self,
        addresses: &mut watch::Receiver<Vec<String>>,
        reports: &mpsc::Sender<Report>,
        may_be_known: &mut bool,
    ) {
        let told = std::mem::take(&mut self.relays);
        if !told.is_empty() && !self.report_relays(&told, reports).await {
            return;
        }
        if addresses.wait_for(|addresses| !addresses.is_empty()).await.is_err() {
            return;
        }
        let mut failures = 0;
        let mut hurried: u32 = 0;
        loop {
            sleep(SETTLE).await;
            let current = addresses.borrow_and_update().clone();
            // From here on the server may have our record, whether or not its answer arrives.
            *may_be_known = true;
            self.keys.mark_unchanged();
            let (report, wait) = match self.beat(current).await {
                Beat::Introduced(Introduced { records, relays }) => {
                    failures = 0;
                    if !self.report_relays(&relays, reports).await {
                        return;
                    }
                    (Some(Report::Introductions(records)), jittered(self.interval))
                }
                Beat::Failed(error) => {
                    failures += 1;
                    let wait = retry_wait(failures, &error);
                    let is_away = failures == TOLERATED_FAILURES || wait >= LAPSED;
                    (is_away.then_some(Report::Away(error)), wait)
                }
                Beat::PassedBy(object) => (Some(Report::Superseded(object)), jittered(self.interval)),
                // With another Room Key we may be let in again.
                Beat::Final(report @ Report::ShutOut(_)) => (Some(report), Duration::MAX / 4),
                Beat::Final(report) => {
                    let _ = reports.send(report).await;
                    return;
                }
            };
            if let Some(report) = report
                && reports.send(report).await.is_err()
            {
                return;
            }
            let earliest = sleep(MIN_INTERVAL);
            let wait = if hurried > 0 { wait.min(HURRY) } else { wait };
            hurried = hurried.saturating_sub(1);
            tokio::select! {
                () = sleep(wait) => {}
                // Others look for us under the new keys from now on; and once those are registered, our record is gone with our token.
                Ok(()) = self.keys.changed() => (failures, hurried) = (0, HURRIED),
                changed = addresses.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    earliest.await;
                }
            }
        }
    }

    /// The names in it may mean other places by now, so they are looked up each time. `false` if nobody listens.
    async fn report_relays(&self, told: &[String], reports: &mpsc::Sender<Report>) -> bool {
        let located = relays::locate(self.client.server(), told).await;
        reports.send(Report::Relays(located)).await.is_ok()
    }

    async fn beat(&mut self, addresses: Vec<String>) -> Beat {
        if std::mem::take(&mut self.refused) {
            return Beat::Final(Report::ShutOut(WRONG_KEY));
        }
        let record = self.seal(addresses);
        if let Some(session) = self.session.get()
            && let Some(beat) = put(&session, record.clone()).await
        {
            return beat;
        }
        if let Err(beat) = self.log_in_again().await {
            return beat;
        }
        let beat = match self.session.get() {
            Some(session) => put(&session, record).await,
            None => None,
        };
        // A server that hands out tokens it doesn't take would have us log in, at 0.1 s of CPU each, for ever.
        beat.unwrap_or(Beat::Final(Report::ShutOut("it doesn't take its own tokens")))
    }

    /// Tries the newest Room Key first, which the rendezvous may not have heard of yet, then the one that it took last, then others of ours.
    async fn log_in_again(&mut self) -> Result<(), Beat> {
        let held: Vec<Key> = self.keys.borrow().room_keys.iter().map(Key::from).collect();
        let registered = self.session.registered();
        let Some(newest) = held.first().cloned() else {
            return Err(Beat::Final(Report::ShutOut(WRONG_KEY)));
        };
        let registered = registered.as_ref().map(Key::from).into_iter();
        let mut keyring = Keyring::new(newest, registered.chain(held));
        while let Some(key) = keyring.next() {
            if let Some(done) = self.log_in_with(&key, &mut keyring).await {
                return done;
            }
        }
        Err(Beat::Final(Report::ShutOut(WRONG_KEY)))
    }

    /// The room must still be the one that was entered: a login is the server's chance to swap it. `None`: it takes another Room Key.
    async fn log_in_with(&mut self, key: &Key, keyring: &mut Keyring) -> Option<Result<(), Beat>> {
        match log_in(&self.client, &self.room_id, key).await {
            Err(LoginError::WrongCredentials) => None,
            // Not tried before: the rendezvous heard of that one, and not of a later one of ours.
            Err(LoginError::Superseded(superseded)) if keyring.gave_way_to(&superseded.generation) => None,
            login => Some(self.logged_in(login, key)),
        }
    }

    fn logged_in(&mut self, login: Result<MemberLogin, LoginError>, key: &Key) -> Result<(), Beat> {
        let login = match login {
            Ok(login) => login,
            Err(LoginError::Gone { tombstone }) => return Err(Beat::Final(Report::Gone(tombstone))),
            Err(LoginError::Removed) => return Err(Beat::Final(Report::ShutOut(REMOVED))),
            Err(LoginError::Server(error)) => return Err(Beat::Failed(error)),
            // Each failed login counts against the room's allowance, so it isn't tried again.
            Err(LoginError::Superseded(superseded)) => {
                return Err(match superseded.key_gen {
                    Some(object) => Beat::PassedBy(object),
                    None => Beat::Final(Report::ShutOut("the Room Key was changed")),
                });
            }
            Err(LoginError::WrongCredentials) => {
                return Err(Beat::Final(Report::ShutOut(WRONG_KEY)));
            }
            // Anybody can use up the room's allowance, and nobody may end a member's presence for good: it comes free within a day.
            Err(LoginError::TooManyLogins { retry_after }) => {
                let server = self.client.server().clone();
                return Err(Beat::Failed(ServerError::RateLimited { server, retry_after }));
            }
            Err(LoginError::BadCapsule { .. }) => {
                return Err(Beat::Final(Report::ShutOut("it hands out a damaged room")));
            }
        };
        if login.capsule.genesis.hash() != self.genesis_hash {
            return Err(Beat::Final(Report::ShutOut(
                "it hands out another room under this Room ID",
            )));
        }
        let registered = at_rest(&login.capsule, &key.room_key);
        let login = LoggedIn::new(login.session, login.capsule_key, &login.capsule);
        self.session.set(login, registered);
        Ok(())
    }

    /// As many addresses as fit into a record, the first ones.
    fn seal(&self, addresses: Vec<String>) -> Vec<u8> {
        let record = PresenceRecord {
            peer: self.peer,
            addresses,
            at_ms: unix_ms(),
        };
        let keys = self.keys.borrow();
        // There is one as long as there is a room.
        keys.intros
            .first()
            .map_or_else(Vec::new, |intro| record.seal(intro, &mut UnwrapErr(SysRng)))
    }
}

/// One heartbeat; `None` if the token isn't taken any more.
async fn put(session: &Session, record: Vec<u8>) -> Option<Beat> {
    Some(match session.heartbeat(record).await {
        Ok(introduced) => Beat::Introduced(introduced),
        Err(PresenceError::TokenRefused) => return None,
        Err(PresenceError::Gone { tombstone }) => Beat::Final(Report::Gone(tombstone)),
        Err(PresenceError::Removed) => Beat::Final(Report::ShutOut(REMOVED)),
        Err(PresenceError::Server(error)) => Beat::Failed(error),
        Err(PresenceError::RecordLength) => Beat::Final(Report::ShutOut(OVERSIZE)),
    })
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(UnwrapErr(SysRng).random_range(0.9..1.1))
}

fn retry_wait(failures: u32, error: &ServerError) -> Duration {
    let doubled = RETRY
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
        .min(MAX_RETRY);
    let jitter = doubled.mul_f64(UnwrapErr(SysRng).random_range(0.0..0.25));
    match error {
        ServerError::RateLimited {
            retry_after: Some(time),
            ..
        } => *time + jitter,
        _ => doubled - jitter,
    }
}
