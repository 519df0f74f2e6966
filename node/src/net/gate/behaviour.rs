//! The gate as libp2p sees it, and what is inside as libp2p would see it.

use std::{
    task::{Context, Poll, ready},
    time::Instant,
};

use either::Either;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerSelect, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, behaviour::AddressChange,
    },
};
use snug_crypto::link::LinkRole;

use super::{
    Denied, Event, Gate, Stage,
    link::{LinkHandler, Progress},
    waiting::Host,
    withheld::{Order, Withheld},
};

impl<B: NetworkBehaviour> Gate<B> {
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

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let host = Host::of(remote);
        if self.handshakes.of(host) >= self.config.max_handshakes_per_host {
            return Err(ConnectionDenied::new(Denied::TooManyHandshakes));
        }
        self.handshakes.push(id, host);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.bans.contains(&peer, Instant::now()) {
            return Err(ConnectionDenied::new(Denied::Banned));
        }
        self.handler(peer, LinkRole::Listener)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        role: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.to_relays.contains(id) {
            return Ok(LinkHandler::none().select(Withheld::new()));
        }
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
                    if connection.stage.is_proven() {
                        self.inner.on_swarm_event(FromSwarm::AddressChange(change));
                    }
                }
            }
            FromSwarm::ListenFailure(failure) => {
                self.handshakes.remove(failure.connection_id);
                self.inner.on_swarm_event(event);
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
            // A keeper admits whoever proves its key, and hears then that it has been left behind.
            (Either::Left(Progress::Asked(question)), Stage::Proving | Stage::Admitted) => self.on_asked(id, question),
            (Either::Left(Progress::Answered(answer)), Stage::Proving | Stage::Admitted) => {
                self.events
                    .push_back(ToSwarm::GenerateEvent(Event::Answered { peer, answer }));
            }
            (Either::Left(Progress::Failed(failure)), Stage::Proving | Stage::Admitted | Stage::Open(_)) => {
                self.refuse(id, failure);
            }
            (Either::Right(event), Stage::Admitted | Stage::Open(_)) => {
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
            let event = ready!(self.inner.poll(cx));
            if let Some(event) = self.outward(event) {
                return Poll::Ready(event);
            }
        }
    }
}
