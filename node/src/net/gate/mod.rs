//! The gate: no byte of the room's protocols before both sides have proven that they hold its mesh key.
//!
//! gossipsub announces its topics as soon as it hears of a connection, so it must not hear of one any sooner. The gate
//! wraps it, and all other protocols of the room: of a new connection they learn nothing, and a peer that hasn't proven
//! itself finds no protocol but `/snug/link/1` (docs/PROTOCOL.md, "Links"). Once it has, the gate asks them for their
//! handlers, puts those into the connection, and only then tells them of it.
//!
//! ```text
//! Proving --Proven--> Admitted (inbound streams are taken) --Open--> Open (outbound streams too; the link is up)
//! ```

mod bans;
mod link;
mod protocol;
mod withheld;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use either::Either;
use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionHandler, ConnectionHandlerSelect, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::{AddressChange, ConnectionClosed, ConnectionEstablished},
    },
};
use snug_crypto::{PeerKey, generation::MeshKey, link::LinkRole};

use self::{
    bans::Bans,
    link::{LinkHandler, Progress, Ready},
    protocol::{Credentials, Proof},
    withheld::{Order, Withheld},
};
use super::peer;

pub(crate) use self::protocol::Failure;

/// How patient the gate is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateConfig {
    /// A connection that isn't open after this is closed.
    pub(crate) patience: Duration,
    /// Between two beats on an open link; silence for three of them closes it.
    pub(crate) beat: Duration,
    /// How long a peer that failed its proof is refused.
    pub(crate) ban: Duration,
    /// Inbound connections that may be unproven at once. Past it the oldest goes: an honest proof takes two round
    /// trips, so who is oldest is most likely holding the place on purpose.
    pub(crate) max_unproven: usize,
}

/// What the gate reports besides the events of what is inside.
#[derive(Debug)]
pub(crate) enum Event<E> {
    /// The first connection to this peer is open.
    Up { peer: PeerId },
    /// The last open connection to this peer is gone.
    Down { peer: PeerId },
    /// A connection is being closed for this.
    Failed {
        peer: PeerId,
        failure: Failure,
        proven: bool,
    },
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
    /// Inbound connections that are unproven, oldest first.
    unproven: VecDeque<ConnectionId>,
    bans: Bans,
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
    Open,
    /// Unproven and being closed: nothing it says counts any more.
    Refused,
}

#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("the peer failed its proof a moment ago")]
    Banned,
    #[error("the peer's id is not an Ed25519 key")]
    ForeignKey,
    #[error("the peer has our own key")]
    Ourselves,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(crate) fn new(inner: B, mesh: MeshKey, local: PeerKey, config: GateConfig) -> Self {
        Self {
            inner,
            credentials: Arc::new(Credentials { mesh, local }),
            config,
            connections: HashMap::new(),
            admitted: HashMap::new(),
            unproven: VecDeque::new(),
            bans: Bans::default(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn inner(&self) -> &B {
        &self.inner
    }

    pub(crate) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Inbound connections that are unproven right now.
    pub(crate) fn unproven(&self) -> usize {
        self.unproven.len()
    }

    /// Refuses a peer for a while.
    pub(crate) fn ban(&mut self, peer: PeerId) {
        self.bans.insert(peer, Instant::now(), self.config.ban);
    }

    fn handler(&self, peer: PeerId, role: LinkRole) -> Result<THandler<Self>, ConnectionDenied> {
        if self.bans.contains(&peer, Instant::now()) {
            return Err(ConnectionDenied::new(Denied::Banned));
        }
        let remote = peer::key_of(&peer).ok_or_else(|| ConnectionDenied::new(Denied::ForeignKey))?;
        if remote == self.credentials.local {
            return Err(ConnectionDenied::new(Denied::Ourselves));
        }
        let proof = Proof {
            credentials: Arc::clone(&self.credentials),
            remote,
            role,
        };
        Ok(LinkHandler::new(proof, self.config.patience, self.config.beat).select(Withheld::new()))
    }

    fn on_established(&mut self, established: ConnectionEstablished<'_>) {
        let id = established.connection_id;
        if established.endpoint.is_listener() {
            self.unproven.push_back(id);
        }
        let connection = Connection {
            peer: established.peer_id,
            endpoint: established.endpoint.clone(),
            stage: Stage::Proving,
        };
        self.connections.insert(id, connection);
        if self.unproven.len() > self.config.max_unproven
            && let Some(oldest) = self.unproven.pop_front()
        {
            self.refuse(oldest, Failure::TimedOut);
        }
    }

    fn on_closed(&mut self, closed: ConnectionClosed<'_>) {
        let id = closed.connection_id;
        self.unproven.retain(|unproven| *unproven != id);
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        if !matches!(connection.stage, Stage::Admitted | Stage::Open) {
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
        if connection.stage == Stage::Open && !self.is_open(&peer) {
            self.events.push_back(ToSwarm::GenerateEvent(Event::Down { peer }));
        }
    }

    fn is_open(&self, peer: &PeerId) -> bool {
        let stage = |id| self.connections.get(id).map(|connection| connection.stage);
        self.admitted
            .get(peer)
            .into_iter()
            .flatten()
            .any(|id| stage(id) == Some(Stage::Open))
    }

    /// The peer is proven: makes what is inside meet the connection.
    fn admit(&mut self, id: ConnectionId) {
        self.unproven.retain(|unproven| *unproven != id);
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
        self.notify(peer_id, id, Either::Left(Ready));
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
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = Stage::Open;
        }
        self.notify(peer, id, Either::Right(Order::Release));
        if first {
            self.events.push_back(ToSwarm::GenerateEvent(Event::Up { peer }));
        }
    }

    fn refuse(&mut self, id: ConnectionId, failure: Failure) {
        self.unproven.retain(|unproven| *unproven != id);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let peer = connection.peer;
        let proven = matches!(connection.stage, Stage::Admitted | Stage::Open);
        if !proven {
            connection.stage = Stage::Refused;
        }
        if matches!(failure, Failure::WrongProof | Failure::Unsupported) {
            self.ban(peer);
        }
        self.events.push_back(ToSwarm::CloseConnection {
            peer_id: peer,
            connection: CloseConnection::One(id),
        });
        self.events
            .push_back(ToSwarm::GenerateEvent(Event::Failed { peer, failure, proven }));
    }

    fn notify(&mut self, peer_id: PeerId, id: ConnectionId, event: THandlerInEvent<Self>) {
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(id),
            event,
        });
    }

    /// What is inside knows only admitted connections, so "any" must be one of those.
    fn outward(
        &self,
        event: ToSwarm<B::ToSwarm, THandlerInEvent<B>>,
    ) -> Option<ToSwarm<Event<B::ToSwarm>, THandlerInEvent<Self>>> {
        let event = match event {
            ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::Any,
                event,
            } => {
                let id = *self.admitted.get(&peer_id)?.first()?;
                ToSwarm::NotifyHandler {
                    peer_id,
                    handler: NotifyHandler::One(id),
                    event,
                }
            }
            event => event,
        };
        Some(
            event
                .map_in(|event| Either::Right(Order::Inner(event)))
                .map_out(Event::Inner),
        )
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = ConnectionHandlerSelect<LinkHandler, Withheld<THandler<B>>>;
    type ToSwarm = Event<B::ToSwarm>;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer, LinkRole::Listener)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        role: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // When both dial at once through a NAT, one of the two plays the listener.
        let role = if role.is_dialer() {
            LinkRole::Dialer
        } else {
            LinkRole::Listener
        };
        self.handler(peer, role)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => self.on_established(established),
            FromSwarm::ConnectionClosed(closed) => self.on_closed(closed),
            FromSwarm::AddressChange(change @ AddressChange { connection_id, new, .. }) => {
                if let Some(connection) = self.connections.get_mut(&connection_id) {
                    connection.endpoint = new.clone();
                    if matches!(connection.stage, Stage::Admitted | Stage::Open) {
                        self.inner.on_swarm_event(FromSwarm::AddressChange(change));
                    }
                }
            }
            event => self.inner.on_swarm_event(event),
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        let Some(stage) = self.connections.get(&id).map(|connection| connection.stage) else {
            return;
        };
        match (event, stage) {
            (Either::Left(Progress::Proven), Stage::Proving) => self.admit(id),
            (Either::Left(Progress::Open), Stage::Admitted) => self.open(id),
            (Either::Left(Progress::Failed(failure)), Stage::Proving | Stage::Admitted | Stage::Open) => {
                self.refuse(id, failure);
            }
            (Either::Right(event), Stage::Admitted | Stage::Open) => {
                self.inner.on_connection_handler_event(peer, id, event);
            }
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            // Ours first: a handler must be in its connection before anything is addressed to it.
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            let event = std::task::ready!(self.inner.poll(cx));
            if let Some(event) = self.outward(event) {
                return Poll::Ready(event);
            }
        }
    }
}
