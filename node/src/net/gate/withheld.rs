//! The half of a connection's handler that holds the room's protocols back.
//!
//! There is nothing inside until the peer has proven itself: no protocol is offered, no stream is opened, and the
//! handlers of gossipsub and the others don't exist. Then it is *admitted* (inbound streams are taken) and, once the
//! peer has admitted us too, *released* (outbound streams are opened).

use std::{
    fmt,
    task::{Context, Poll, Waker},
};

use either::Either;
use libp2p::{
    core::upgrade::DeniedUpgrade,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol,
        handler::{ConnectionEvent, FullyNegotiatedInbound, ListenUpgradeError, SendWrapper},
    },
};

/// A handler that may not be there yet.
pub(crate) struct Withheld<H> {
    inner: Option<H>,
    released: bool,
    waker: Option<Waker>,
}

/// What the behaviour tells a [`Withheld`].
pub(crate) enum Order<H: ConnectionHandler> {
    /// The peer is proven: this is its handler.
    Admit(Box<H>),
    /// The peer has admitted us too.
    Release,
    /// For the handler inside.
    Inner(H::FromBehaviour),
}

impl<H: ConnectionHandler> fmt::Debug for Order<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Admit(_) => f.write_str("Admit"),
            Order::Release => f.write_str("Release"),
            Order::Inner(event) => f.debug_tuple("Inner").field(event).finish(),
        }
    }
}

impl<H> Withheld<H> {
    pub(crate) fn new() -> Self {
        Self {
            inner: None,
            released: false,
            waker: None,
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<H: ConnectionHandler> ConnectionHandler for Withheld<H> {
    type FromBehaviour = Order<H>;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Either<SendWrapper<H::InboundProtocol>, SendWrapper<DeniedUpgrade>>;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = Either<H::InboundOpenInfo, ()>;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        match &self.inner {
            Some(inner) => inner
                .listen_protocol()
                .map_upgrade(|upgrade| Either::Left(SendWrapper(upgrade)))
                .map_info(Either::Left),
            None => SubstreamProtocol::new(Either::Right(SendWrapper(DeniedUpgrade)), Either::Right(())),
        }
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner
            .as_ref()
            .is_some_and(ConnectionHandler::connection_keep_alive)
    }

    fn on_behaviour_event(&mut self, order: Order<H>) {
        match (order, &mut self.inner) {
            (Order::Admit(inner), slot @ None) => *slot = Some(*inner),
            (Order::Release, Some(_)) => self.released = true,
            (Order::Inner(event), Some(inner)) => inner.on_behaviour_event(event),
            (Order::Admit(_), Some(_)) | (Order::Release | Order::Inner(_), None) => {
                debug_assert!(false, "the gate admits once, and before anything else");
            }
        }
        self.wake();
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        match &mut self.inner {
            Some(inner) if self.released => inner.poll(cx),
            _ => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner
            .as_mut()
            .map_or(Poll::Ready(None), |inner| inner.poll_close(cx))
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
        // Without a handler no stream was offered or opened, and nobody is there to hear of addresses and protocols.
        let Some(inner) = &mut self.inner else { return };
        let event = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }) => {
                let (futures::future::Either::Left(protocol), Either::Left(info)) = (protocol, info) else {
                    return;
                };
                ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
            }
            ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }) => {
                let (Either::Left(info), Either::Left(error)) = (info, error) else {
                    return;
                };
                ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error })
            }
            ConnectionEvent::FullyNegotiatedOutbound(stream) => ConnectionEvent::FullyNegotiatedOutbound(stream),
            ConnectionEvent::DialUpgradeError(error) => ConnectionEvent::DialUpgradeError(error),
            ConnectionEvent::AddressChange(change) => ConnectionEvent::AddressChange(change),
            ConnectionEvent::LocalProtocolsChange(change) => ConnectionEvent::LocalProtocolsChange(change),
            ConnectionEvent::RemoteProtocolsChange(change) => ConnectionEvent::RemoteProtocolsChange(change),
            _ => return,
        };
        inner.on_connection_event(event);
    }
}
