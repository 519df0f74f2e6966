//! Relays: peers of no room, with whom nothing of a room is spoken.
//!
//! A member that can't be reached keeps a reservation at a relay, and others reach it through that (libp2p's circuit relay v2). Connections
//! to relays are those that the relay client dialed, and they are known by that alone: nobody becomes a relay by its peer id. They pass the
//! gate by; and the protocols here are spoken on them and on no others, so that a peer that hasn't proven itself still finds nothing but
//! the link's. What a relay is told of us: our peer id, the address that we come from, and nothing that it doesn't see anyway.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use either::Either;
use libp2p::{
    Multiaddr, PeerId, autonat,
    core::{Endpoint, transport::PortUse},
    identify,
    identity::PublicKey,
    ping, relay,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

/// Between two looks at whether the relay is still there, and how long its answer may take.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_WITHIN: Duration = Duration::from_secs(10);

/// Addresses under which relays have seen us.
const MAX_OBSERVED: usize = 16;

/// What is spoken with a relay.
#[derive(NetworkBehaviour)]
pub(crate) struct AtRelay {
    client: relay::client::Behaviour,
    identify: identify::Behaviour,
    autonat: autonat::v2::client::Behaviour,
    ping: ping::Behaviour,
}

impl AtRelay {
    pub(crate) fn new(client: relay::client::Behaviour, key: PublicKey) -> Self {
        // Where we listen is told to members, and to nobody else.
        let identify = identify::Config::new("/snug/1".to_owned(), key)
            .with_agent_version(String::new())
            .with_hide_listen_addrs(true)
            .with_cache_size(0);
        let ping = ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_WITHIN);
        Self {
            client,
            identify: identify::Behaviour::new(identify),
            autonat: autonat::v2::client::Behaviour::default(),
            ping: ping::Behaviour::new(ping),
        }
    }
}

/// The connections that lead to relays, for those who must leave them alone; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToRelays(Arc<Mutex<HashSet<ConnectionId>>>);

impl ToRelays {
    pub(crate) fn contains(&self, id: ConnectionId) -> bool {
        self.with(|ids| ids.contains(&id))
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashSet<ConnectionId>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Shows what is inside the connections to relays, and no others.
pub(crate) struct Outside<B> {
    inner: B,
    dialed: ToRelays,
    connections: HashMap<ConnectionId, PeerId>,
    observed: BTreeSet<Multiaddr>,
}

impl<B> Outside<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self {
            inner,
            dialed: ToRelays::default(),
            connections: HashMap::new(),
            observed: BTreeSet::new(),
        }
    }

    pub(crate) fn to_relays(&self) -> ToRelays {
        self.dialed.clone()
    }

    /// Whether a relay has told us how it sees us: holes are punched with that.
    pub(crate) fn is_observed(&self) -> bool {
        !self.observed.is_empty()
    }

    pub(crate) fn is_relay(&self, peer: &PeerId) -> bool {
        self.connections.values().any(|relay| relay == peer)
    }

    /// Relays that are connected.
    pub(crate) fn relays(&self) -> BTreeSet<PeerId> {
        self.connections.values().copied().collect()
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Outside<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // A relay that is to find out whether we can be reached dials us. The gate closes that connection after a while, as any other.
        if !self.is_relay(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self
            .inner
            .handle_established_inbound_connection(id, peer, local, remote)?;
        self.connections.insert(id, peer);
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.dialed.contains(id) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self
            .inner
            .handle_established_outbound_connection(id, peer, address, role, port)?;
        self.connections.insert(id, peer);
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(established)
                if !self.connections.contains_key(&established.connection_id) =>
            {
                return;
            }
            FromSwarm::AddressChange(change) if !self.connections.contains_key(&change.connection_id) => return,
            FromSwarm::ConnectionClosed(closed) => {
                let id = closed.connection_id;
                self.dialed.with(|ids| ids.remove(&id));
                if self.connections.remove(&id).is_none() {
                    return;
                }
            }
            FromSwarm::DialFailure(failure) => {
                self.dialed.with(|ids| ids.remove(&failure.connection_id));
                self.connections.remove(&failure.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.connections.remove(&failure.connection_id);
            }
            // How members see us is not for relays to look into: on a local network it is an address of that.
            FromSwarm::NewExternalAddrCandidate(candidate) if !self.observed.contains(candidate.addr) => return,
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, id, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            let event = match ready!(self.inner.poll(cx)) {
                ToSwarm::Dial { opts } => {
                    self.dialed.with(|ids| ids.insert(opts.connection_id()));
                    ToSwarm::Dial { opts }
                }
                ToSwarm::NewExternalAddrCandidate(address) => {
                    if self.observed.len() < MAX_OBSERVED {
                        self.observed.insert(address.clone());
                    }
                    ToSwarm::NewExternalAddrCandidate(address)
                }
                // What is inside knows only relays' connections, so "any" must be one of those.
                ToSwarm::NotifyHandler {
                    peer_id,
                    handler: NotifyHandler::Any,
                    event,
                } => {
                    let mut known = self.connections.iter();
                    let Some((id, _)) = known.find(|(_, peer)| **peer == peer_id) else {
                        continue;
                    };
                    ToSwarm::NotifyHandler {
                        peer_id,
                        handler: NotifyHandler::One(*id),
                        event,
                    }
                }
                event => event,
            };
            return Poll::Ready(event.map_in(Either::Left));
        }
    }
}
