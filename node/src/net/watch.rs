//! Closes a connection on which gossipsub is about to fall silent.
//!
//! gossipsub opens one stream each way and replaces it when it fails, five times; then it disables itself on that
//! connection, which goes on looking open. It also does so, at once, when the peer refuses its protocol. Neither is
//! reported. This wrapper counts the same events, one step ahead, and has the connection closed; then it is dialed anew.
//!
//! All connections to a peer share one queue, and a handler without a stream doesn't hear that something was put there. The first one has its
//! stream at once, for the subscriptions; a second one, which is to take over when the first goes, has none. So it is made to look.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use either::Either;
use futures::FutureExt;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, DialUpgradeError},
    },
};
use tokio::time::{Sleep, sleep};

/// Streams that gossipsub may use up in one direction of a connection; it gives up at five.
const MAX_STREAMS: u32 = 4;

/// How often a handler looks for something to send that has no stream yet.
const LOOK: Duration = Duration::from_millis(100);

/// A behaviour whose handlers are watched.
pub(crate) struct Watch<B: NetworkBehaviour> {
    inner: B,
    wedged: VecDeque<(PeerId, ConnectionId)>,
    closing: u64,
}

impl<B: NetworkBehaviour> Watch<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self {
            inner,
            wedged: VecDeque::new(),
            closing: 0,
        }
    }

    pub(crate) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Connections closed so far.
    pub(crate) fn closed(&self) -> u64 {
        self.closing
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Watch<B> {
    type ConnectionHandler = Watched<THandler<B>>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
            .map(Watched::new)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port_use)
            .map(Watched::new)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, id, event),
            Either::Right(Wedged) => self.wedged.push_back((peer, id)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, id)) = self.wedged.pop_front() {
            self.closing += 1;
            return Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(id),
            });
        }
        self.inner.poll(cx)
    }
}

/// What a [`Watched`] reports once: the connection is of no more use.
#[derive(Debug)]
pub(crate) struct Wedged;

/// A handler whose streams are counted.
pub(crate) struct Watched<H> {
    inner: H,
    inbound: u32,
    outbound: u32,
    refused: bool,
    reported: bool,
    look: Option<Pin<Box<Sleep>>>,
}

impl<H> Watched<H> {
    fn new(inner: H) -> Self {
        Self {
            inner,
            inbound: 0,
            outbound: 0,
            refused: false,
            reported: false,
            look: None,
        }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for Watched<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = Either<H::ToBehaviour, Wedged>;
    type InboundProtocol = H::InboundProtocol;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.inner.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        if !self.reported && (self.refused || self.inbound.max(self.outbound) >= MAX_STREAMS) {
            self.reported = true;
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Either::Right(Wedged)));
        }
        loop {
            if let Poll::Ready(event) = self.inner.poll(cx) {
                return Poll::Ready(event.map_custom(Either::Left));
            }
            if self.outbound > 0 {
                self.look = None;
                return Poll::Pending;
            }
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            if look.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
            self.look = None;
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx).map(|event| event.map(Either::Left))
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        self.inbound += u32::from(event.is_inbound());
        self.outbound += u32::from(event.is_outbound());
        if let ConnectionEvent::DialUpgradeError(DialUpgradeError {
            error: StreamUpgradeError::NegotiationFailed,
            ..
        }) = &event
        {
            self.refused = true;
        }
        self.inner.on_connection_event(event);
    }
}
