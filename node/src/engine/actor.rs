//! The task that owns a node's room, mesh and rendezvous session: its loop, and its end. What it does with outputs and reports is in
//! `carry`, what it answers in `answer`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use libp2p::Multiaddr;
use snug_crypto::generation::Generation;
use snug_crypto::genesis::Genesis;
use snug_crypto::ids::{MessageId, PeerKey};
use snug_crypto::names::RoomId;
use snug_crypto::rest::RestBytes;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::arrive::Away;
use super::capsules::Capsules;
use super::clock::Clock;
use super::event::{Confirmed, EVENTS};
use super::handle::{COMMANDS, Command};
use super::heartbeat::{BeatKeys, Heartbeat, REPORTS, Report, SharedSession};
use super::introductions::Introductions;
use super::journal::{Committed, Journal};
use super::registrar::Registered;
use super::relays::Relaying;
use super::router::{self, Router};
use super::{ActError, CloseReason, Event, EventKind, Events, Handle, RendezvousState, SendError};
use crate::lan::{self, Looking};
use crate::net::Net;
use crate::profile::{Place, Profile, Purpose, Reach, room_prefix};
use crate::rendezvous::Client;
use crate::room::{AuditReport, Input, Output, QueryId, Room, Ticket};
use crate::text::Untrusted;

/// When nothing is due, the room is looked after this often all the same.
const IDLE_TICK: Duration = Duration::from_secs(60);
/// Between two ticks at least, whatever the room asks for.
const MIN_TICK: Duration = Duration::from_millis(1);
/// How long the last frames get to go out to the links, at least, and after each question that a link still has.
const FLUSH: Duration = Duration::from_millis(120);
/// The same when a link does not answer.
const SILENT_FLUSH: Duration = Duration::from_millis(500);
/// The same, whatever links still ask.
const MAX_FLUSH: Duration = Duration::from_secs(3);

/// Events that wait for a front end which has not taken the last [`EVENTS`]; beyond that the oldest go, and it is told.
const MAX_UNTOLD: usize = 8_192;
/// More than these, and messages wait in the vault until it has taken all that waits here. What is on its way then still fits.
const BEHIND: usize = 1_024;
/// How soon a front end is looked after again that has much to take.
const TELL_AGAIN: Duration = Duration::from_millis(5);
/// How long a front end may take for the last of them when the node ends.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// What a node is made of.
pub(super) struct Parts {
    pub profile: Profile,
    pub room: Room,
    pub net: Net,
    pub clock: Clock,
    /// None in a room without a rendezvous.
    pub heartbeat: Option<Heartbeat>,
    pub room_id: RoomId,
    pub name: String,
    pub genesis: Genesis,
    /// None in a room without a rendezvous.
    pub client: Option<Client>,
    pub session: SharedSession,
    pub peer: PeerKey,
    /// Whether what was stored of the rooms couldn't be read.
    pub state_was_lost: bool,
    /// The Room Key and what opens introductions, as the heartbeat sees them.
    pub beat_keys: watch::Sender<BeatKeys>,
    /// Whether a new Room Key is registered even over plain http to another host.
    pub insecure_registration: bool,
    /// Sealed presence records that came with the login.
    pub introductions: Vec<Vec<u8>>,
    /// Addresses that came with the invite.
    pub addresses: Vec<Multiaddr>,
    /// Where members were reached in an earlier run.
    pub known: Reach,
    /// What to look for on local networks, if at all.
    pub looking: Option<Looking>,
    /// Whether the router is asked to open a port.
    pub upnp: bool,
    /// Why we come without the rendezvous' leave: it is away, and we were here before.
    pub away: Option<Away>,
    /// What ended generations while we were away.
    pub objects: Vec<Vec<u8>>,
}

pub(super) struct Actor {
    pub(super) room: Room,
    pub(super) net: Net,
    pub(super) clock: Clock,
    pub(super) room_id: RoomId,
    pub(super) genesis: Genesis,
    /// None in a room without a rendezvous.
    pub(super) client: Option<Client>,
    pub(super) session: SharedSession,
    pub(super) rendezvous: RendezvousState,
    pub(super) links: BTreeSet<PeerKey>,
    /// How many they are, for front ends.
    pub(super) linked: watch::Sender<usize>,
    pub(super) introductions: Introductions,
    pub(super) known: Reach,
    /// What is looked for on local networks, if anything is.
    pub(super) looking: Option<watch::Sender<Looking>>,
    /// The home's router, if it is asked to open a port.
    pub(super) router: Option<Router>,
    /// Who was found there, sealed.
    found: mpsc::Receiver<Vec<Vec<u8>>>,
    /// When those who are linked are to be remembered.
    pub(super) remember_at: Option<Instant>,
    pub(super) beat_keys: watch::Sender<BeatKeys>,
    /// The log as the rendezvous has it.
    pub(super) capsules: Capsules,
    /// The generation that is being registered, or was, by us.
    pub(super) registering: Option<Generation>,
    /// Which word of the admin's the rendezvous refused, when something was to be registered by it.
    pub(super) word_refused: Option<u64>,
    /// Our generation, the log's version and the session's, when it was looked last whether something is to be registered.
    pub(super) looked_at: Option<(Generation, u64, u64)>,
    /// Ends the registration of a generation that is under way.
    pub(super) registration: CancellationToken,
    pub(super) registered: mpsc::Sender<Registered>,
    registrations: mpsc::Receiver<Registered>,
    /// The rendezvous is being told that the room is deleted.
    pub(super) deletion: Option<JoinHandle<()>>,
    pub(super) insecure_registration: bool,
    /// What is known of the rendezvous' relay.
    pub(super) relaying: Relaying,
    /// Whether the room was told how many peers are being dialled.
    pub(super) is_introduced: bool,
    pub(super) events: broadcast::Sender<Event>,
    /// Where we can be reached, for the heartbeat.
    pub(super) addresses: watch::Sender<Vec<String>>,
    pub(super) tickets: u64,
    pub(super) sends: BTreeMap<Ticket, oneshot::Sender<Result<MessageId, SendError>>>,
    pub(super) acts: BTreeMap<Ticket, oneshot::Sender<Result<(), ActError>>>,
    pub(super) audits: BTreeMap<Ticket, oneshot::Sender<AuditReport>>,
    /// Questions on their way: a node that leaves waits for them a little.
    pub(super) questions: BTreeSet<QueryId>,
    pub(super) leavers: Vec<oneshot::Sender<()>>,
    pub(super) closing: Option<Closing>,
    outputs: Vec<Output>,
    /// Between the room and the disk; without one, the room rests nowhere.
    journal: Option<Journal>,
    /// What the front end has shown.
    told: watch::Receiver<Confirmed>,
    confirmed: Confirmed,
    state_was_lost: bool,
    /// Events that the front end has no room for yet: a returning member may have thousands of messages at once.
    untold: VecDeque<Event>,
    /// It has more than [`BEHIND`] of these to take, or hasn't taken all of them since.
    behind: bool,
    /// What the room wanted back from the vault.
    fetched: Option<Vec<Option<RestBytes>>>,
    pub(super) commands: mpsc::Receiver<Command>,
    has_handles: bool,
    reports: mpsc::Receiver<Report>,
    heartbeat: JoinHandle<()>,
    stop_heartbeat: CancellationToken,
    last_tick: Instant,
    /// Our name in the room.
    pub(super) name: String,
    /// Held, and so locked, until the end.
    pub(super) profile: Profile,
}

/// A node on its way out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    reason: CloseReason,
    earliest: Instant,
    silent: Instant,
    latest: Instant,
    /// When the disk is no longer waited for.
    unwritten: Instant,
}

impl Actor {
    /// Starts the node's tasks.
    pub fn start(parts: Parts) -> (Handle, Events) {
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (events, event_receiver) = broadcast::channel(EVENTS);
        let (report_sender, reports) = mpsc::channel(REPORTS);
        let (addresses, known_addresses) = watch::channel(Vec::new());
        let (tell, told) = watch::channel(Confirmed::default());
        let (linked, links) = watch::channel(0);
        let journal =
            (parts.profile.vault()).map(|vault| Journal::start(vault.clone(), room_prefix(&parts.genesis.hash())));
        let (registered, registrations) = mpsc::channel(REPORTS);
        let stop_heartbeat = CancellationToken::new();
        let rendezvous = match &parts.heartbeat {
            Some(_) => RendezvousState::Connecting,
            None => RendezvousState::None,
        };
        let heartbeat = match parts.heartbeat {
            Some(heartbeat) => tokio::spawn(heartbeat.run(known_addresses, report_sender, stop_heartbeat.clone())),
            None => tokio::spawn(async {}),
        };
        let (found_sender, found) = mpsc::channel(lan::FOUND);
        let looking = parts.looking.map(|looking| {
            let (sender, receiver) = watch::channel(looking);
            tokio::spawn(lan::run(receiver, found_sender));
            sender
        });
        let router = parts.upnp.then(|| Router::start(parts.net.presentable()));
        let intros = parts.beat_keys.borrow().intros.clone();
        let actor = Self {
            room: parts.room,
            net: parts.net,
            clock: parts.clock,
            room_id: parts.room_id,
            genesis: parts.genesis,
            client: parts.client,
            session: parts.session,
            rendezvous,
            links: BTreeSet::new(),
            linked,
            introductions: Introductions::new(parts.peer, intros),
            known: parts.known,
            looking,
            router,
            found,
            remember_at: None,
            beat_keys: parts.beat_keys,
            capsules: Capsules::default(),
            registering: None,
            word_refused: None,
            looked_at: None,
            registration: CancellationToken::new(),
            registered,
            registrations,
            deletion: None,
            insecure_registration: parts.insecure_registration,
            relaying: Relaying::default(),
            is_introduced: false,
            events,
            addresses,
            tickets: 0,
            sends: BTreeMap::new(),
            acts: BTreeMap::new(),
            audits: BTreeMap::new(),
            questions: BTreeSet::new(),
            leavers: Vec::new(),
            closing: None,
            outputs: Vec::new(),
            journal,
            told,
            confirmed: Confirmed::default(),
            state_was_lost: parts.state_was_lost,
            untold: VecDeque::new(),
            behind: false,
            fetched: None,
            commands,
            has_handles: true,
            reports,
            heartbeat,
            stop_heartbeat,
            last_tick: Instant::now(),
            name: parts.name,
            profile: parts.profile,
        };
        tokio::spawn(actor.run(parts.introductions, parts.addresses, parts.objects, parts.away));
        (Handle::new(command_sender, links), Events::new(event_receiver, tell))
    }

    async fn run(
        mut self,
        introductions: Vec<Vec<u8>>,
        addresses: Vec<Multiaddr>,
        objects: Vec<Vec<u8>>,
        away: Option<Away>,
    ) {
        if self.state_was_lost {
            self.warn(
                "What was stored of your rooms could not be read, and was set aside. You come in anew: what was said while you were away \
                 is lost to you."
                    .to_owned(),
            );
        }
        // What the rendezvous kept for us while we were away, and what an earlier run left over, come first.
        for bytes in objects {
            self.feed(Input::Object { bytes });
        }
        self.feed(Input::Tick);
        self.begin(&introductions, addresses, away);
        let reason = loop {
            if let Some(closing) = &self.closing
                && self.is_flushed(closing)
            {
                break closing.reason;
            }
            self.tell();
            self.look_after_front_end();
            let wake = self.wake();
            let has_room = self.journal.as_ref().is_none_or(|journal| !journal.is_full());
            tokio::select! {
                event = self.net.next(), if has_room => self.on_net(event),
                command = self.commands.recv(), if self.has_handles && has_room => match command {
                    Some(command) => self.on_command(command),
                    None => {
                        self.has_handles = false;
                        self.depart();
                    }
                },
                committed = committed(&mut self.journal) => self.on_committed(committed),
                Ok(()) = self.told.changed() => self.take_confirmed(),
                Some(report) = self.reports.recv() => self.on_report(report),
                Some(registered) = self.registrations.recv() => self.on_registered(registered),
                Some(records) = self.found.recv() => self.on_found(&records),
                mapped = router::mapped(&mut self.router) => self.net.set_mapped(mapped),
                () = sleep_until(wake) => {
                    self.last_tick = Instant::now();
                    if self.remember_at.is_some_and(|at| at <= self.last_tick) {
                        self.keep_reach();
                    }
                    if let Some(journal) = &mut self.journal {
                        journal.kick();
                    }
                    self.feed(Input::Tick);
                }
            }
        };
        self.end(reason).await;
    }

    /// Hands the room what happened, and carries out what it says.
    pub(super) fn feed(&mut self, input: Input) {
        self.feed_all([input]);
    }

    /// The same for several that came together.
    pub(super) fn feed_all(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.room.handle_all(inputs, self.clock.now(), &mut outputs);
        for output in outputs.drain(..) {
            let output = match (&mut self.journal, output) {
                (Some(journal), Output::Persist(changes)) => {
                    journal.gather(changes);
                    None
                }
                (Some(journal), output) => journal.pass(output),
                (None, output) => Some(output),
            };
            if let Some(output) = output {
                self.carry_out(output);
            }
        }
        self.outputs = outputs;
        if let Some(journal) = &mut self.journal {
            journal.kick();
        }
        self.tend_capsule();
        self.tend_registration();
    }

    fn on_committed(&mut self, committed: Committed) {
        match committed {
            Committed::Done { after_failures } => {
                if after_failures {
                    self.emit(EventKind::System {
                        event: "stored",
                        message: Untrusted::new("The disk takes writes again; nothing was lost."),
                        notice: None,
                    });
                }
                while let Some(output) = self.journal.as_mut().and_then(Journal::released) {
                    self.carry_out(output);
                }
                if let Some(journal) = &mut self.journal {
                    journal.kick();
                }
            }
            Committed::Failed { error, first } => {
                tracing::warn!(%error, "a commit failed; it is tried again");
                if first {
                    self.emit(EventKind::Error {
                        message: Untrusted::new(format!(
                            "{error}. Until this can be stored, nothing more is sent or shown; it is tried again every second."
                        )),
                    });
                }
            }
        }
    }

    /// Tells the room what the front end has said of messages since the last time.
    fn take_confirmed(&mut self) {
        let now = self.told.borrow_and_update().clone();
        let known = self.confirmed.missed.last().map_or(0, |(_, to)| *to);
        let missed = now.missed.iter().filter(|(_, to)| *to > known);
        let mut inputs: Vec<Input> = missed
            .map(|(after, to)| Input::Missed { after: *after, to: *to })
            .collect();
        if now.told > self.confirmed.told {
            inputs.push(Input::Told { serial: now.told });
        }
        if now.read > self.confirmed.read {
            inputs.push(Input::Read { serial: now.read });
        }
        self.confirmed = now;
        if !inputs.is_empty() {
            self.feed_all(inputs);
        }
    }

    /// Goes, as somebody who comes back, or as somebody who can't.
    pub(super) fn depart(&mut self) {
        if self.profile.is_ephemeral() {
            return self.leave();
        }
        // What was shown before we were told to go was shown: it isn't told again.
        self.take_confirmed();
        self.feed(Input::Offline);
        self.close(CloseReason::Offline);
    }

    /// We are no member any more: our Room Key and all that was stored go.
    pub(super) fn forget_membership(&mut self) {
        if let Err(error) = self.profile.forget_membership(&self.genesis.hash()) {
            self.warn(format!("This room could not be forgotten: {error}."));
        }
    }

    pub(super) fn leave(&mut self) {
        self.feed(Input::Leave);
        self.close(CloseReason::Left);
    }

    /// From here on the node only sees its last words out.
    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.closing.is_some() {
            return;
        }
        if matches!(reason, CloseReason::Offline | CloseReason::Failed) {
            self.keep_reach();
        }
        let now = Instant::now();
        // Nobody to tell, nothing to wait for.
        let (least, silent, most) = if self.links.is_empty() {
            (Duration::ZERO, Duration::ZERO, Duration::ZERO)
        } else {
            (FLUSH, SILENT_FLUSH, MAX_FLUSH)
        };
        self.closing = Some(Closing {
            reason,
            earliest: now + least,
            silent: now + silent,
            latest: now + most,
            unwritten: now + MAX_FLUSH,
        });
        // What waits is kept when we only go offline, and is answered when that is sure.
        if reason != CloseReason::Offline || self.journal.is_none() {
            self.sends.clear();
        }
        self.audits.clear();
        self.stop_heartbeat.cancel();
    }

    /// Somebody fetches what it missed: a node on its way out stays for that a little.
    pub(super) fn linger(&mut self) {
        if let Some(closing) = &mut self.closing {
            let now = Instant::now();
            closing.earliest = closing.earliest.max(now + FLUSH);
            closing.silent = closing.silent.max(now + SILENT_FLUSH);
        }
    }

    pub(super) fn emit(&mut self, kind: EventKind) {
        self.untold.push_back(Event::now(kind));
        self.tell();
    }

    /// Hands events on as far as the front end has taken the ones before. One that stalls is told how much it missed in the end.
    fn tell(&mut self) {
        while self.untold.len() > MAX_UNTOLD || self.events.len() < EVENTS {
            let Some(event) = self.untold.pop_front() else { return };
            self.send(event);
        }
    }

    /// Lets the room know whether the front end has fallen behind, and gives it what it wanted back from the vault.
    fn look_after_front_end(&mut self) {
        let is_behind = if self.behind {
            !self.untold.is_empty()
        } else {
            self.untold.len() > BEHIND
        };
        if std::mem::replace(&mut self.behind, is_behind) != is_behind {
            self.feed(Input::FrontEnd { behind: is_behind });
        }
        if let Some(values) = self.fetched.take() {
            self.feed(Input::Fetched { values });
        }
    }

    /// Reads what the room wants back from the vault; what can't be read stays there.
    pub(super) fn fetch(&mut self, keys: &[Vec<u8>]) {
        let prefix = room_prefix(&self.genesis.hash());
        let read = |key: &Vec<u8>| {
            let vault = self.profile.vault()?;
            let read = vault.get(Purpose::State, &[&prefix[..], key].concat());
            read.inspect_err(|error| tracing::warn!(%error, "the vault gave nothing back"))
                .ok()?
        };
        self.fetched = Some(keys.iter().map(read).collect());
    }

    fn send(&self, event: Event) {
        // An error means that nobody listens any more, which is theirs to decide.
        let _ = self.events.send(event);
    }

    /// The rendezvous' address, for people.
    pub(super) fn server(&self) -> &str {
        self.client.as_ref().map_or("", |client| client.server().as_str())
    }

    /// The room's deletion is proven: its Room ID may mean another room one day.
    pub(super) fn forget_room(&mut self) {
        let Some(client) = &self.client else { return };
        if let Err(error) = self.profile.forget(&Place::server(client.server()), &self.room_id) {
            tracing::warn!(%error, "the deleted room's pin stays");
        }
    }

    fn is_flushed(&self, closing: &Closing) -> bool {
        let now = Instant::now();
        if self.journal.as_ref().is_some_and(|journal| !journal.is_idle()) && now < closing.unwritten {
            return false;
        }
        now >= closing.latest
            || now >= closing.silent
            || self.links.is_empty()
            || (now >= closing.earliest && self.questions.is_empty())
    }

    fn wake(&self) -> Instant {
        let now = self.clock.now();
        let due = self.room.next_wake(now).unwrap_or(now.elapsed + IDLE_TICK);
        let due = self
            .clock
            .instant(due.min(now.elapsed + IDLE_TICK))
            .max(self.last_tick + MIN_TICK);
        let due = self.remember_at.map_or(due, |at| due.min(at));
        let disk = self.journal.as_ref().and_then(Journal::wake_at);
        let due = disk.map_or(due, |disk| due.min(disk));
        let due = if self.untold.is_empty() {
            due
        } else {
            due.min(Instant::now() + TELL_AGAIN)
        };
        match self.closing {
            None => due,
            Some(closing) if Instant::now() < closing.earliest => due.min(closing.earliest),
            Some(closing) => {
                let end = closing.silent.min(closing.latest);
                due.min(if Instant::now() < end { end } else { closing.unwritten })
            }
        }
    }

    /// Our presence withdrawn, the mesh closed, the profile free: only then do others hear that it is over.
    async fn end(mut self, reason: CloseReason) {
        let latest = Instant::now() + LAST_EVENTS;
        while !self.untold.is_empty() && Instant::now() < latest {
            tokio::time::sleep(TELL_AGAIN).await;
            self.tell();
        }
        let Self {
            net,
            heartbeat,
            stop_heartbeat,
            registration,
            capsules,
            deletion,
            profile,
            events,
            leavers,
            journal,
            router,
            sends,
            ..
        } = self;
        registration.cancel();
        // Before our presence is withdrawn: that needs the same token, which a deletion voids.
        if let Some(deletion) = deletion {
            // It bounds itself.
            let _ = deletion.await;
        }
        // The same goes for the log.
        capsules.finish().await;
        stop_heartbeat.cancel();
        // It bounds its own withdrawal.
        let (stopped, (), ()) = tokio::join!(heartbeat, net.shutdown(), router::end(router));
        if let Err(error) = stopped {
            tracing::error!(%error, "the heartbeat task failed");
        }
        let is_kept = journal.is_some();
        let is_whole = match journal {
            Some(journal) => journal.end().await,
            None => true,
        };
        for sender in sends.into_values().filter(|_| is_kept && is_whole) {
            // An error means that the caller gave up waiting.
            let _ = sender.send(Err(SendError::Kept));
        }
        if !is_whole {
            let _ = events.send(Event::now(EventKind::Error {
                message: Untrusted::new(
                    "The last that happened could not be stored: the next run begins before it, and fetches it again from others.",
                ),
            }));
        }
        drop(profile);
        let _ = events.send(Event::now(EventKind::Closed(reason)));
        for leaver in leavers {
            let _ = leaver.send(());
        }
    }
}

/// What came of the commit under way, if there is a disk.
async fn committed(journal: &mut Option<Journal>) -> Committed {
    match journal {
        Some(journal) => journal.committed().await,
        None => std::future::pending().await,
    }
}
