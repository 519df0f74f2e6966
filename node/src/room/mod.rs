//! The room as a state machine without I/O: [`Room::handle`] takes what happened and the time, and says what to do.
//!
//! It starts no task, reads no clock and opens no socket, so that a simulator can run a thousand of it in virtual time and a bug can be
//! replayed from its seed. docs/PROTOCOL.md is the normative text; each file here names its section.
//!
//! | file | what it holds |
//! |---|---|
//! | `members` | registers, roster, presence |
//! | `authority` | operations and what follows from them: roles, removals, generations |
//! | `admission` | whose leaf counts |
//! | `acts`, `command` | what the admin and moderators do |
//! | `approvals` | rooms that ask for a moderator's word |
//! | `rules` | the room's policy, in words and in force |
//! | `rekey`, `generations`, `moving` | new generations of the Room Key: made, found, adopted |
//! | `epochs`, `judgement`, `issue`, `keys` | which epoch counts, when to issue one, how to get one's box |
//! | `frames`, `timeline`, `outbox` | messages in, in causal order; messages out |
//! | `delivery`, `exchange`, `sync` | what is missing, and what members ask of each other |
//! | `flood` | what a member, or a link, may make us compute |
//! | `keepers` | what helpers hold that can't read it |
//! | `receipts` | who has what we said |
//! | `audit` | what is missing, withheld or contradictory, and by whom |
//! | `pairs`, `direct` | what is said to one other: what both share, and its way out of and into frames |
//! | `own` | our own leaf: made, renewed, rotated, ended |
//! | `removed` | who is out because the log says so: ourselves, links of the banned |
//! | `notices` | what people are told |
//! | `trust` | safety numbers, and names that come under another key |
//! | `state` | what rests on disk, and how it comes back |
//! | `broken` | what tests break, to see that it is needed |

mod acts;
mod admission;
mod approvals;
mod audit;
mod authority;
mod broken;
mod certificates;
mod command;
mod custody;
mod delivery;
mod direct;
mod epochs;
mod event;
mod exchange;
mod flood;
mod frames;
mod generations;
mod ids;
mod io;
mod issue;
mod judgement;
mod keepers;
mod keys;
mod lists;
mod members;
mod moving;
mod notices;
mod objects;
mod outbox;
mod own;
mod pace;
mod pairs;
mod parked;
mod receipts;
mod rekey;
mod removed;
mod rules;
mod state;
mod sync;
mod timeline;
mod timing;
mod trust;

use objects::Told;
use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::StdRng;
use snug_crypto::AdminKey;
use snug_crypto::capsule::Capsule;
use snug_crypto::control::{self, ControlMessage};
use snug_crypto::generation::{GenerationKeys, RoomRandom};
use snug_crypto::genesis::{Genesis, Policy};
use snug_crypto::identity::{Identity, TransportKey};
use snug_crypto::ids::{EpochId, Fingerprint, GenesisHash, IdentityKey};
use snug_crypto::names::RoomKey;
use snug_crypto::operation::SignedOperation;

use admission::Admission;
use approvals::Approvals;
use audit::Audit;
use authority::Authority;
use certificates::Certificates;
use custody::Custody;
use delivery::Delivery;
use epochs::Epochs;
use exchange::Questions;
use flood::Flood;
use frames::Unopened;
use generations::Generations;
use issue::Issuing;
use judgement::Judgement;
use keepers::Keepers;
use keys::Recovery;
use lists::Lists;
use members::Members;
use moving::Moving;
use notices::Shown;
use outbox::{Outbox, Pace};
use own::Own;
use pairs::Pairs;
use parked::Parked;
use receipts::{Heard, Said};
use removed::Refusals;
use state::{CatchUp, Ledger};
use timeline::Timeline;

use crate::contacts::Contacts;

pub use audit::{AuditReport, Fork, Withheld};
pub use broken::Rule;
pub use certificates::{Refreshing, Registering};
pub use command::{Command, CommandRefused};
pub use event::{MemberView, Message, Notice, RoomEvent, Warning};
pub use generations::HeldKey;
pub use ids::{GossipId, QueryId, RequestId, Ticket, Verdict};
pub use io::{Input, Now, Output, SendRefused};
pub use keepers::{KeeperContact, KeeperView, MAX_KEEPERS};
pub use moving::{Knock, Move};
pub use receipts::Receipt;
pub use rules::in_words as rules_in_words;
pub use snug_crypto::operation::Role;
pub use state::{Change, Stored, room_keys_at_rest};
pub(crate) use timing::CLOCK_SKEW_MS;
pub use trust::{Acquaintance, Trust};

/// What a room is made from, after the capsule was opened.
pub struct RoomConfig {
    /// The room's signed beginning.
    pub genesis: Genesis,
    /// The keys of the current Room Key.
    pub keys: GenerationKeys,
    /// The Room Key itself: whoever holds it hands it on to members that a new one passed by.
    pub room_key: RoomKey,
    /// The generation's random half.
    pub random: RoomRandom,
    /// The authority log as the capsule holds it.
    pub log: Vec<SignedOperation>,
    /// Who we are.
    pub identity: Identity,
    /// The transport key of this run: the leaf vouches for it.
    pub transport: TransportKey,
    /// What we are called in this room.
    pub name: String,
    /// The admin's key, if the Password was given: we appoint ourselves.
    pub admin: Option<AdminKey>,
    /// How long our leaf outlives our last renewal, in seconds; at most the policy's grace counts.
    pub grace_s: u32,
    /// Whether it says what to keep: see [`Output::Persist`].
    pub persist: bool,
    /// Whether others are told what the user has read.
    pub read_receipts: bool,
}

/// One member's side of one room.
pub struct Room {
    genesis: Genesis,
    genesis_hash: GenesisHash,
    keys: GenerationKeys,
    identity: Identity,
    me: IdentityKey,
    transport: TransportKey,
    own: Own,
    members: Members,
    authority: Authority,
    generations: Generations,
    approvals: Approvals,
    refusals: Refusals,
    certificates: Certificates,
    /// A rule that a test breaks.
    broken: Option<Rule>,
    /// On our way to the net of a new generation.
    moving: Option<Moving>,
    /// Since when removals overlap that no generation joins.
    overlap_since: Option<Duration>,
    epochs: Epochs,
    issuing: Issuing,
    recovery: Recovery,
    catching_up: CatchUp,
    custody: Custody,
    lists: Lists,
    delivery: Delivery,
    timeline: Timeline,
    audit: Audit,
    outbox: Outbox,
    heard: Heard,
    said: Said,
    pairs: Pairs,
    unopened: Unopened,
    flood: Flood,
    questions: Questions,
    keepers: Keepers,
    shown: Shown,
    contacts: Contacts,
    parked: Parked,
    ledger: Ledger,
    judgement: Option<Judgement>,
    last_prune: Duration,
    next_prune: Duration,
    /// What is to be done, until `handle` hands it over.
    out: VecDeque<Output>,
    rng: StdRng,
    phase: Phase,
}

/// How far along our membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Our leaf is not published yet.
    Joining,
    /// It is.
    In,
    /// We left, and still answer what others missed of what we said.
    Left,
    /// We go, and come back: the same, without a word of ours.
    Offline,
    /// The room was deleted, or we were not let in: nothing more is done.
    Over,
}

/// Facts about the room, for people.
#[derive(Clone, Debug)]
pub struct RoomFacts {
    /// The generation of the Room Key, counted from 0.
    pub generation: u64,
    /// The epoch that messages are sent under.
    pub epoch: Option<EpochId>,
    /// Whether the best epoch known holds exactly the roster.
    pub exact: bool,
    /// Members on the roster.
    pub members: usize,
    /// Authenticated links.
    pub links: usize,
    /// Frames, records, announcements, objects and questions that were let go because somebody said, or a link asked, too much.
    pub shed: u64,
    /// The policy as it is now.
    pub policy: Policy,
}

impl Room {
    /// A room that has not begun: feed it [`Input::Introduced`] and links.
    pub fn new(config: RoomConfig, now: Now, rng: StdRng) -> Self {
        let genesis_hash = config.genesis.hash();
        let grace_ms = u64::from(config.genesis.policy().grace_s) * 1_000;
        let authority = Authority::new(config.log, &config.genesis);
        let mut rng = rng;
        let own = Own::new(
            config.name,
            config.admin,
            Duration::from_secs(config.grace_s.into()),
            now,
            &mut rng,
        );
        let first = HeldKey {
            room_key: config.room_key,
            random: config.random,
            keys: config.keys.clone(),
        };
        let mut room = Self {
            genesis_hash,
            authority,
            generations: Generations::new(first),
            approvals: Approvals::default(),
            refusals: Refusals::default(),
            certificates: Certificates::default(),
            broken: None,
            moving: None,
            overlap_since: None,
            genesis: config.genesis,
            keys: config.keys,
            me: config.identity.key(),
            identity: config.identity,
            transport: config.transport,
            own,
            members: Members::new(grace_ms),
            epochs: Epochs::default(),
            issuing: Issuing::default(),
            recovery: Recovery::default(),
            catching_up: CatchUp::default(),
            custody: Custody::default(),
            lists: Lists::default(),
            delivery: Delivery::default(),
            timeline: Timeline::default(),
            audit: Audit::default(),
            outbox: Outbox::default(),
            heard: Heard::new(config.read_receipts),
            said: Said::default(),
            pairs: Pairs::default(),
            unopened: Unopened::default(),
            flood: Flood::default(),
            questions: Questions::new(now.elapsed),
            keepers: Keepers::default(),
            shown: Shown::default(),
            contacts: Contacts::default(),
            parked: Parked::default(),
            ledger: Ledger::new(config.persist),
            judgement: None,
            last_prune: now.elapsed,
            next_prune: now.elapsed,
            out: VecDeque::new(),
            rng,
            phase: Phase::Joining,
        };
        room.tend_rules();
        room
    }

    /// Takes what happened; appends what is to be done to `out`.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        self.handle_all([input], now, out);
    }

    /// Takes several things that happened at the same moment. What follows from them is looked at once.
    pub fn handle_all(&mut self, inputs: impl IntoIterator<Item = Input>, now: Now, out: &mut Vec<Output>) {
        for input in inputs {
            self.take(input, now);
        }
        if !self.is_over() {
            self.settle(now);
        }
        self.remember();
        // Before all else: what leaves this room must be on disk by then.
        let changes = self.changes(now);
        if !changes.is_empty() {
            out.push(Output::Persist(changes));
        }
        out.extend(self.out.drain(..));
    }

    fn take(&mut self, input: Input, now: Now) {
        match input {
            Input::Missed { after, to } => self.on_missed(after, to),
            Input::FrontEnd { behind } => self.on_front_end(behind),
            Input::Told { serial } => self.on_told(serial, now),
            Input::Read { serial } => self.on_read(serial, now),
            Input::Request { from, id, bytes } if self.is_going() => self.on_request(from, id, &bytes, now),
            Input::Gossip { id, .. } if self.is_over() => {
                self.out.push_back(Output::Verdict {
                    id,
                    verdict: Verdict::Ignore,
                });
            }
            Input::Send { ticket, .. } | Input::Direct { ticket, .. } if self.is_over() => {
                self.out.push_back(Output::Sent {
                    ticket,
                    result: Err(SendRefused::Closed),
                });
            }
            Input::Command { ticket, .. } if self.is_over() => {
                self.out.push_back(Output::Commanded {
                    ticket,
                    result: Err(CommandRefused::Closed),
                });
            }
            _ if self.is_over() => {}
            Input::Fetched { values } => self.on_fetched(&values, now),
            Input::LinkUp { peer } => self.on_link_up(peer, now),
            Input::LinkDown { peer } => self.on_link_down(peer, now),
            Input::Gossip { from, id, bytes } => self.on_gossip(from, id, bytes, now),
            Input::Request { from, id, bytes } => self.on_request(from, id, &bytes, now),
            Input::Response { id, bytes } => self.on_response(id, bytes, now),
            Input::Introduced { links_expected } => self.introduced(links_expected, now),
            Input::Unreachable => self.own.unreachable(),
            Input::Tombstone { bytes } => self.on_tombstone(&bytes),
            Input::Send { ticket, text, reply_to } => self.on_send(ticket, text, reply_to, now),
            Input::Direct {
                ticket,
                to,
                text,
                reply_to,
            } => self.on_direct(ticket, to, text, reply_to, now),
            Input::Command { ticket, command } => self.on_command(ticket, command, now),
            Input::Audit { ticket } => self.begin_audit(ticket, now),
            Input::Object { bytes } => {
                self.take_object(&bytes, Told::Asked, now);
            }
            Input::Knock { id, bytes, .. } => self.on_knock(id, &bytes, now),
            Input::Door { bytes, .. } => self.on_door(&bytes, now),
            Input::Leave => self.leave(now),
            Input::Offline => self.go_offline(now),
            Input::Tick => {}
        }
    }

    fn is_over(&self) -> bool {
        self.is_going() || self.phase == Phase::Over
    }

    fn is_going(&self) -> bool {
        matches!(self.phase, Phase::Left | Phase::Offline)
    }

    /// What follows from the state and the time, whatever the input was.
    fn settle(&mut self, now: Now) {
        self.tend_rules();
        self.tend_own_removal(now);
        if self.is_over() {
            return;
        }
        self.tend_move(now);
        self.tend_leaf(now);
        self.tend_objects(now);
        self.tend_removals(now);
        self.tend_approvals(now);
        self.tend_refusals(now);
        self.tend_certificates(now);
        self.tend_lists(now);
        self.tend_epochs(now);
        self.flush_outbox(now, Pace::Steady);
        self.tend_timeline(now);
        self.tend_exchange(now);
        self.tend_keepers(now);
        self.tend_parked();
        self.tend_receipts(now);
        self.tend_audit(now);
        self.tell(now);
    }

    /// When [`Input::Tick`] is due, on the monotonic clock; earlier ticks do no harm.
    pub fn next_wake(&self, now: Now) -> Option<Duration> {
        if self.is_over() {
            return None;
        }
        [
            self.own.next_wake(now),
            self.issue_due(now),
            self.recovery.next_wake(),
            self.catching_up.next_wake(),
            self.custody.next_wake(now.elapsed),
            self.lists.next_wake(),
            self.outbox
                .next_wake(now.elapsed)
                .filter(|_| !self.catching_up.is_in_doubt()),
            self.timeline.next_release(),
            self.questions.next_wake(),
            self.keepers.next_wake().filter(|_| self.moving.is_none()),
            self.heard.next_wake(),
            self.said.next_wake().filter(|_| !self.parked.is_behind()),
            self.audit.next_wake(),
            self.move_due(),
            self.join_removals_due(now),
            self.generations.next_ask(),
            self.approvals.next_wake(),
            self.refusal_due(),
            self.members.next_presence_change(now.elapsed),
            self.tell_due(),
            self.judge_due(),
            self.members
                .next_expiry(now.unix_ms)
                .map(|at| now.elapsed + Duration::from_millis(at.saturating_sub(now.unix_ms).saturating_add(1))),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everybody on the roster.
    pub fn members(&self, now: Now) -> Vec<MemberView> {
        let admission = self.admission();
        let roster = self.members.roster(&admission, now.unix_ms);
        roster.values().map(|leaf| self.view_of(leaf, now)).collect()
    }

    /// Facts for people.
    pub fn facts(&self, now: Now) -> RoomFacts {
        RoomFacts {
            generation: self.keys.generation().count,
            epoch: self.judge(now).send,
            exact: self.judge(now).exact,
            members: self.judge(now).roster,
            links: self.members.links().count(),
            shed: self.flood.shed(),
            policy: self.authority.policy(&self.genesis),
        }
    }

    /// What decides whose leaf counts, as of now.
    fn admission(&self) -> Admission<'_> {
        Admission::new(
            self.keys.generation(),
            &self.generations,
            &self.authority,
            &self.genesis,
            &self.members,
        )
    }

    /// What the rendezvous shall keep for newcomers, sealed: the current generation and the log.
    pub fn capsule(&self) -> Option<Capsule> {
        let held = self.generations.held(&self.keys.generation())?;
        Some(Capsule {
            genesis: self.genesis.clone(),
            generation: self.keys.generation(),
            random: held.random.clone(),
            log: self.authority.ordered(&self.genesis),
        })
    }

    /// The generations whose Room Key is here, the most current first.
    pub fn held_keys(&self) -> Vec<&HeldKey> {
        self.generations.all_held()
    }

    /// The current Room Key.
    pub fn room_key(&self) -> Option<&RoomKey> {
        self.generations
            .held(&self.keys.generation())
            .map(|held| &held.room_key)
    }

    /// The object of the current generation, for members that come with an earlier Room Key.
    pub fn generation_object(&self) -> Option<Vec<u8>> {
        self.current_object()
    }

    /// Our own fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// The room's signed beginning.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Seals under the control key and publishes. On the way to another generation's mesh nobody could open it: those who are there by then
    /// compare with us.
    fn publish_control(&mut self, message: &ControlMessage) {
        if self.moving.is_some() {
            return;
        }
        match control::seal(self.keys.control(), message) {
            Ok(bytes) => self.out.push_back(Output::Publish { bytes }),
            Err(error) => tracing::debug!(%error, "a control message is too large for gossip; links will fetch it"),
        }
    }

    fn event(&mut self, event: RoomEvent) {
        self.out.push_back(Output::Event(event));
    }
}

/// The policy that a log leads to, of a room that one is not in.
pub fn policy_of(genesis: &Genesis, log: &[SignedOperation]) -> Policy {
    Authority::new(log.to_vec(), genesis).policy(genesis)
}

/// Days since 1970.
fn day(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / timing::DAY_MS).unwrap_or(u32::MAX)
}
