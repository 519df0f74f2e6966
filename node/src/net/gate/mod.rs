//! The gate: no byte of the room's protocols before both sides have proven that they hold its mesh key.
//!
//! gossipsub announces its topics as soon as it hears of a connection, so it must not hear of one any sooner. The gate
//! wraps it, and all other protocols of the room: of a new connection they learn nothing, and a peer that hasn't proven
//! itself finds no protocol but `/snug/link/1` (docs/PROTOCOL.md, "Links"). Once it has, the gate asks them for their
//! handlers, puts those into the connection, and only then tells them of it.
//!
//! ```text
//! Proving --Proven--> Admitted (inbound streams are taken) --Open--> Open (outbound streams too; the link is up)
//!    └─ at the door of another generation: one question, one answer, and the connection is closed
//! ```

mod bans;
mod behaviour;
mod link;
mod protocol;
mod waiting;
mod withheld;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use either::Either;
use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionHandler, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
        THandler, THandlerInEvent, ToSwarm,
        behaviour::{ConnectionClosed, ConnectionEstablished},
    },
};
use snug_crypto::{MeshKey, PeerKey, link::LinkRole};

use self::{
    bans::Bans,
    link::{LinkHandler, Told},
    protocol::{Credentials, Proof, Question},
    waiting::{Host, Waiting},
    withheld::{Order, Withheld},
};
use super::{outside::ToRelays, peer};

pub(crate) use self::protocol::{Failure, Keepers};

/// When both peers dial at once, the two connections open within this time of each other.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Questions at the door that are answered within [`DOOR_WINDOW`]: an answer costs up to 768 KiB, and a removed member may ask.
const DOOR_ANSWERS: usize = 32;
const DOOR_WINDOW: Duration = Duration::from_secs(10);

/// How patient the gate is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateConfig {
    /// A connection that isn't open after this is closed.
    pub(crate) patience: Duration,
    /// Between two beats on an open link; silence for three of them closes it.
    pub(crate) beat: Duration,
    /// How long a peer that failed its proof is refused.
    pub(crate) ban: Duration,
    /// Inbound connections that may be unproven at once. Past it an old one goes: an honest proof takes two round
    /// trips, so who is oldest is most likely holding the place on purpose.
    pub(crate) max_unproven: usize,
    /// Inbound connections from one host that may be in the transport's handshake at once.
    pub(crate) max_handshakes_per_host: usize,
}

/// What the gate reports besides the events of what is inside.
#[derive(Debug)]
pub(crate) enum Event<E> {
    /// The first connection to this peer is open.
    Up { peer: PeerId },
    /// The last open connection to this peer is gone.
    Down { peer: PeerId },
    /// There is a direct connection to this peer beside one through a relay: see [`Gate::close_relayed`].
    Doubled { peer: PeerId },
    /// A connection is being closed for this.
    Failed {
        peer: PeerId,
        failure: Failure,
        proven: bool,
        /// Whether we had dialed it.
        dialed: bool,
    },
    /// A peer of another generation asks at the door; [`Gate::answer`] is waited for.
    Asked {
        peer: PeerId,
        id: ConnectionId,
        question: Question,
    },
    /// A peer of another generation answered what we asked at its door.
    Answered { peer: PeerId, answer: Vec<u8> },
    /// From inside.
    Inner(E),
}

/// See the module.
pub(crate) struct Gate<B: NetworkBehaviour> {
    inner: B,
    credentials: Arc<Credentials>,
    config: GateConfig,
    connections: HashMap<ConnectionId, Connection>,
    /// Connections of each peer that is admitted or open, oldest first.
    admitted: HashMap<PeerId, Vec<ConnectionId>>,
    /// Inbound connections whose transport isn't through its handshake.
    handshakes: Waiting,
    /// Inbound connections that are unproven.
    unproven: Waiting,
    bans: Bans,
    /// Which key to prove to a peer that turned the current one down: 1 and above are earlier generations'.
    attempts: HashMap<PeerId, usize>,
    /// Answers given at the door since then.
    answered: (Option<Instant>, usize),
    /// Connections that are none of ours to judge.
    to_relays: ToRelays,
    /// While the net moves between generations nobody is admitted.
    moving: bool,
    events: VecDeque<ToSwarm<Event<B::ToSwarm>, THandlerInEvent<Self>>>,
}

struct Connection {
    peer: PeerId,
    endpoint: ConnectedPoint,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Proving,
    Admitted,
    Open(Instant),
    /// Unproven and being closed: nothing it says counts any more.
    Refused,
}

impl Stage {
    fn is_proven(self) -> bool {
        matches!(self, Self::Admitted | Self::Open(_))
    }
}

#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("the peer failed its proof a moment ago")]
    Banned,
    #[error("the peer's id is not an Ed25519 key")]
    ForeignKey,
    #[error("the peer has our own key")]
    Ourselves,
    #[error("too many connections of that host are in their handshake")]
    TooManyHandshakes,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(crate) fn new(inner: B, mesh: MeshKey, local: PeerKey, config: GateConfig, to_relays: ToRelays) -> Self {
        Self {
            inner,
            credentials: Arc::new(Credentials {
                mesh,
                doors: Vec::new(),
                local,
                plain: Vec::new(),
                telling: Vec::new(),
                keepers: Keepers::default(),
                is_keeper: false,
            }),
            config,
            connections: HashMap::new(),
            admitted: HashMap::new(),
            handshakes: Waiting::default(),
            unproven: Waiting::default(),
            bans: Bans::default(),
            attempts: HashMap::new(),
            answered: (None, 0),
            to_relays,
            moving: false,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn inner(&self) -> &B {
        &self.inner
    }

    pub(crate) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Whether we dialed another connection to the peer than this one, and it still may become a link.
    pub(crate) fn has_dialed(&self, peer: &PeerId, but: ConnectionId) -> bool {
        self.connections.iter().any(|(id, connection)| {
            *id != but
                && connection.peer == *peer
                && is_dialer(&connection.endpoint)
                && connection.stage != Stage::Refused
        })
    }

    /// Where we dialed a peer whose direct connection is open.
    pub(crate) fn dialed_address(&self, peer: &PeerId) -> Option<Multiaddr> {
        let mut open = self.open_connections(peer).map(|(connection, _)| &connection.endpoint);
        let dialed = open.find(|endpoint| is_dialer(endpoint) && !endpoint.is_relayed());
        dialed.map(|endpoint| endpoint.get_remote_address().clone())
    }

    /// Peers that are linked through relays only.
    pub(crate) fn relayed(&self) -> usize {
        let peers = self.admitted.keys();
        let is_relayed = |peer: &&PeerId| {
            let mut open = self.open_connections(peer).peekable();
            open.peek().is_some() && open.all(|(connection, _)| connection.endpoint.is_relayed())
        };
        peers.filter(is_relayed).count()
    }

    /// Closes a peer's connections through relays, if there is a direct one.
    pub(crate) fn close_relayed(&mut self, peer: PeerId) {
        if !self
            .open_connections(&peer)
            .any(|(other, _)| !other.endpoint.is_relayed())
        {
            return;
        }
        let ids = self.admitted.get(&peer).into_iter().flatten();
        let is_relayed = |id: &&ConnectionId| {
            let connection = self.connections.get(id);
            connection.is_some_and(|connection| connection.endpoint.is_relayed())
        };
        let relayed: Vec<ConnectionId> = ids.filter(is_relayed).copied().collect();
        for id in relayed {
            self.events.push_back(ToSwarm::CloseConnection {
                peer_id: peer,
                connection: CloseConnection::One(id),
            });
        }
    }

    /// Inbound connections that are unproven right now.
    pub(crate) fn unproven(&self) -> usize {
        self.unproven.len()
    }

    /// From here on another generation's key counts; nobody is admitted until [`Self::moved`].
    pub(crate) fn rekey(&mut self, mesh: MeshKey, doors: Vec<MeshKey>) {
        let old = &self.credentials;
        self.credentials = Arc::new(Credentials {
            mesh,
            doors,
            local: old.local,
            plain: old.plain.clone(),
            telling: old.telling.clone(),
            keepers: old.keepers.clone(),
            is_keeper: old.is_keeper,
        });
        self.bans = Bans::default();
        self.attempts.clear();
        self.moving = true;
    }

    /// Earlier generations' keys, the latest first.
    pub(crate) fn open_doors(&mut self, doors: Vec<MeshKey>) {
        let old = &self.credentials;
        self.credentials = Arc::new(Credentials {
            mesh: old.mesh.clone(),
            doors,
            local: old.local,
            plain: old.plain.clone(),
            telling: old.telling.clone(),
            keepers: old.keepers.clone(),
            is_keeper: old.is_keeper,
        });
    }

    /// Whether a connection of the generation before is still around.
    pub(crate) fn is_leaving(&self) -> bool {
        self.moving && !self.admitted.is_empty()
    }

    pub(crate) fn moved(&mut self) {
        self.moving = false;
    }

    /// What is asked at the door of a peer that is in another generation.
    pub(crate) fn set_questions(&mut self, plain: Vec<u8>, telling: Vec<u8>) {
        let old = &self.credentials;
        self.credentials = Arc::new(Credentials {
            mesh: old.mesh.clone(),
            doors: old.doors.clone(),
            local: old.local,
            plain,
            telling,
            keepers: old.keepers.clone(),
            is_keeper: old.is_keeper,
        });
    }

    /// What keepers are asked at doors, theirs and ours.
    pub(crate) fn set_keepers(&mut self, keepers: Keepers) {
        let old = &self.credentials;
        self.credentials = Arc::new(Credentials {
            mesh: old.mesh.clone(),
            doors: old.doors.clone(),
            local: old.local,
            plain: old.plain.clone(),
            telling: old.telling.clone(),
            keepers,
            is_keeper: old.is_keeper,
        });
    }

    /// From here on we are a keeper, and these are the earlier generations that it was in.
    pub(crate) fn keep(&mut self, doors: Vec<MeshKey>) {
        let old = &self.credentials;
        self.credentials = Arc::new(Credentials {
            mesh: old.mesh.clone(),
            doors,
            local: old.local,
            plain: Vec::new(),
            telling: Vec::new(),
            keepers: Keepers::default(),
            is_keeper: true,
        });
    }

    /// Answers what a peer asked at the door.
    pub(crate) fn answer(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        if let Some(peer) = self.connections.get(&id).map(|connection| connection.peer) {
            self.notify(peer, id, Either::Left(Told::Answer(bytes)));
        }
    }

    fn on_asked(&mut self, id: ConnectionId, question: Question) {
        // It proved a key of the room: its place among the unproven is free.
        self.unproven.remove(id);
        let now = Instant::now();
        let (since, count) = &mut self.answered;
        if since.is_none_or(|since| now.duration_since(since) >= DOOR_WINDOW) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        if *count > DOOR_ANSWERS {
            return self.refuse(id, Failure::Door);
        }
        if let Some(peer) = self.connections.get(&id).map(|connection| connection.peer) {
            self.events
                .push_back(ToSwarm::GenerateEvent(Event::Asked { peer, id, question }));
        }
    }

    /// Refuses a peer for a while.
    pub(crate) fn ban(&mut self, peer: PeerId) {
        self.bans.insert(peer, Instant::now(), self.config.ban);
    }

    fn handler(&self, peer: PeerId, role: LinkRole) -> Result<THandler<Self>, ConnectionDenied> {
        let remote = peer::key_of(&peer).ok_or_else(|| ConnectionDenied::new(Denied::ForeignKey))?;
        if remote == self.credentials.local {
            return Err(ConnectionDenied::new(Denied::Ourselves));
        }
        let proof = Proof {
            credentials: Arc::clone(&self.credentials),
            remote,
            role,
            key: self.attempts.get(&peer).copied().unwrap_or(0),
        };
        Ok(LinkHandler::new(proof, self.config.patience, self.config.beat).select(Withheld::new()))
    }

    fn on_established(&mut self, established: ConnectionEstablished<'_>) {
        let id = established.connection_id;
        self.handshakes.remove(id);
        if self.to_relays.contains(id) {
            return;
        }
        if let ConnectedPoint::Listener { send_back_addr, .. } = established.endpoint {
            self.unproven.push(id, Host::of(send_back_addr));
        }
        let connection = Connection {
            peer: established.peer_id,
            endpoint: established.endpoint.clone(),
            stage: Stage::Proving,
        };
        self.connections.insert(id, connection);
        if self.unproven.len() > self.config.max_unproven
            && let Some(oldest) = self.unproven.pop()
        {
            self.refuse(oldest, Failure::TimedOut);
        }
    }

    fn on_closed(&mut self, closed: ConnectionClosed<'_>) {
        let id = closed.connection_id;
        self.unproven.remove(id);
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        if !connection.stage.is_proven() {
            return;
        }
        let peer = connection.peer;
        let others = self.admitted.entry(peer).or_default();
        others.retain(|other| *other != id);
        let remaining_established = others.len();
        if others.is_empty() {
            self.admitted.remove(&peer);
        }
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            remaining_established,
            ..closed
        }));
        if matches!(connection.stage, Stage::Open(_)) && !self.is_open(&peer) {
            self.events.push_back(ToSwarm::GenerateEvent(Event::Down { peer }));
        }
    }

    fn is_open(&self, peer: &PeerId) -> bool {
        self.open_connections(peer).next().is_some()
    }

    fn open_connections(&self, peer: &PeerId) -> impl Iterator<Item = (&Connection, Instant)> {
        let ids = self.admitted.get(peer).into_iter().flatten();
        ids.filter_map(|id| match self.connections.get(id)? {
            connection @ Connection {
                stage: Stage::Open(since),
                ..
            } => Some((connection, *since)),
            _ => None,
        })
    }

    /// Whether this connection is one to give up: it leads through a relay, and a direct one is there; or both peers dialed at once, in the
    /// same way.
    ///
    /// That is the one which the peer with the higher key dialed, so both ends agree. It is given up only while the other
    /// one is young, or it might be what a peer dialed because the other one is dead; and only before what is inside has
    /// met it, or frames would get lost.
    fn is_redundant(&self, connection: &Connection) -> bool {
        let Some(remote) = peer::key_of(&connection.peer) else {
            return false;
        };
        let is_ours_lower = self.credentials.local < remote;
        let is_lowers = |endpoint: &ConnectedPoint| is_dialer(endpoint) == is_ours_lower;
        let is_relayed = connection.endpoint.is_relayed();
        self.open_connections(&connection.peer).any(|(other, since)| {
            if other.endpoint.is_relayed() != is_relayed {
                return is_relayed;
            }
            !is_lowers(&connection.endpoint) && is_lowers(&other.endpoint) && since.elapsed() < AT_ONCE
        })
    }

    /// The peer is proven: makes what is inside meet the connection.
    fn admit(&mut self, id: ConnectionId) {
        self.unproven.remove(id);
        if self.moving
            || self
                .connections
                .get(&id)
                .is_some_and(|connection| self.is_redundant(connection))
        {
            return self.refuse(id, Failure::Redundant);
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let peer_id = connection.peer;
        let handler = match &connection.endpoint {
            ConnectedPoint::Dialer {
                address,
                role_override,
                port_use,
            } => self
                .inner
                .handle_established_outbound_connection(id, peer_id, address, *role_override, *port_use),
            ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } => self
                .inner
                .handle_established_inbound_connection(id, peer_id, local_addr, send_back_addr),
        };
        let Ok(handler) = handler else {
            return self.refuse(id, Failure::Unsupported);
        };
        connection.stage = Stage::Admitted;
        self.notify(peer_id, id, Either::Right(Order::Admit(Box::new(handler))));
        self.notify(peer_id, id, Either::Left(Told::Ready));
        let others = self.admitted.entry(peer_id).or_default();
        let other_established = others.len();
        others.push(id);
        if let Some(connection) = self.connections.get(&id) {
            self.inner
                .on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                    peer_id,
                    connection_id: id,
                    endpoint: &connection.endpoint,
                    failed_addresses: &[],
                    other_established,
                }));
        }
    }

    /// Both sides stand ready: the link is up.
    fn open(&mut self, id: ConnectionId) {
        let Some(peer) = self.connections.get(&id).map(|connection| connection.peer) else {
            return;
        };
        let first = !self.is_open(&peer);
        self.attempts.remove(&peer);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Open(Instant::now());
        }
        self.notify(peer, id, Either::Right(Order::Release));
        if first {
            self.events.push_back(ToSwarm::GenerateEvent(Event::Up { peer }));
        }
        let relayed = self
            .open_connections(&peer)
            .filter(|(other, _)| other.endpoint.is_relayed());
        let relayed = relayed.count();
        if relayed > 0 && relayed < self.open_connections(&peer).count() {
            self.events.push_back(ToSwarm::GenerateEvent(Event::Doubled { peer }));
        }
    }

    fn refuse(&mut self, id: ConnectionId, failure: Failure) {
        self.unproven.remove(id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let peer = connection.peer;
        let proven = connection.stage.is_proven();
        let dialed = is_dialer(&connection.endpoint);
        if !proven {
            connection.stage = Stage::Refused;
        }
        let doors = self.credentials.doors.len();
        // Whoever finds a keeper a generation behind proves the present key first, and then the keeper's.
        let is_keeper = self.credentials.is_keeper;
        if matches!(failure, Failure::WrongProof | Failure::Unsupported) && doors == 0 && !is_keeper {
            self.ban(peer);
        }
        // It may be in another generation, that came of an earlier one of ours.
        if dialed && !proven && doors > 0 && !matches!(failure, Failure::Redundant) {
            let attempt = self.attempts.entry(peer).or_default();
            *attempt = (*attempt + 1) % (doors + 1);
        }
        self.events.push_back(ToSwarm::CloseConnection {
            peer_id: peer,
            connection: CloseConnection::One(id),
        });
        self.events.push_back(ToSwarm::GenerateEvent(Event::Failed {
            peer,
            failure,
            proven,
            dialed,
        }));
    }

    fn notify(&mut self, peer_id: PeerId, id: ConnectionId, event: THandlerInEvent<Self>) {
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(id),
            event,
        });
    }
}

/// Whether we play the dialer's part. When a hole is punched both ends dial, and one of them plays the listener's.
fn is_dialer(endpoint: &ConnectedPoint) -> bool {
    matches!(
        endpoint,
        ConnectedPoint::Dialer {
            role_override: Endpoint::Dialer,
            ..
        }
    )
}
