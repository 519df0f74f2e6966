//! The half of a connection's handler that speaks `/snug/link/1` and nothing else.
//!
//! Until the peer has proven itself this is the only protocol that the connection offers. The dialer opens the stream;
//! the listener takes one, and no second one.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use either::Either;
use futures::{FutureExt, future::BoxFuture};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{DeniedUpgrade, ReadyUpgrade},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use snug_crypto::link::LinkRole;
use tokio::time::Sleep;

use super::protocol::{self, Failure, Opened, PROTOCOL, Proof, Proven, Question};

/// Proves one connection, opens it, and beats on it.
pub(crate) struct LinkHandler {
    state: State,
    role: LinkRole,
    patience: Pin<Box<Sleep>>,
    beat: Duration,
}

enum State {
    /// The dialer hasn't asked for its stream yet.
    Fresh(Proof),
    /// The stream isn't there yet.
    Waiting(Proof),
    Proving(BoxFuture<'static, Result<Proven<Stream>, Failure>>),
    /// The behaviour was told and makes the protocols' handlers.
    Proven(Proven<Stream>),
    Opening(BoxFuture<'static, Result<Opened<Stream>, Failure>>),
    /// The behaviour was told what is asked at the door, and looks for the answer.
    Asked(Stream),
    Answering(BoxFuture<'static, Failure>),
    Beating(BoxFuture<'static, Failure>),
    Over,
}

/// What the handler tells the behaviour, in this order.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The peer holds the mesh key.
    Proven,
    /// Both sides' protocols stand ready.
    Open,
    /// The peer is in another generation, and asks this.
    Asked(Question),
    /// The peer is in another generation, and answered this to our question.
    Answered(Vec<u8>),
    /// Close this connection.
    Failed(Failure),
}

/// What the behaviour tells the handler.
#[derive(Debug)]
pub(crate) enum Told {
    /// This side's protocols stand ready.
    Ready,
    /// The answer to what was asked at the door.
    Answer(Vec<u8>),
}

impl LinkHandler {
    /// `patience` is for the whole way to [`Progress::Open`].
    pub(crate) fn new(proof: Proof, patience: Duration, beat: Duration) -> Self {
        let role = proof.role;
        let state = match role {
            LinkRole::Dialer => State::Fresh(proof),
            LinkRole::Listener => State::Waiting(proof),
        };
        Self {
            state,
            role,
            patience: Box::pin(tokio::time::sleep(patience)),
            beat,
        }
    }

    /// For a connection on which there is nothing to prove.
    pub(crate) fn none() -> Self {
        Self {
            state: State::Over,
            role: LinkRole::Listener,
            patience: Box::pin(tokio::time::sleep(Duration::ZERO)),
            beat: Duration::ZERO,
        }
    }

    fn on_stream(&mut self, stream: Stream) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(proof) => self.state = State::Proving(proof.run(stream).boxed()),
            // A second stream: not for us, and no reason to give up the first.
            state => self.state = state,
        }
    }

    fn fail(&mut self, failure: Failure) -> Progress {
        self.state = State::Over;
        Progress::Failed(failure)
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        match &mut self.state {
            State::Proving(proving) => match proving.poll_unpin(cx) {
                Poll::Ready(Ok(proven)) if proven.at_door => {
                    self.state = State::Opening(protocol::door(proven).boxed());
                    cx.waker().wake_by_ref();
                }
                Poll::Ready(Ok(proven)) => {
                    self.state = State::Proven(proven);
                    return Poll::Ready(Progress::Proven);
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(self.fail(failure)),
                Poll::Pending => {}
            },
            State::Opening(opening) => match opening.poll_unpin(cx) {
                Poll::Ready(Ok(Opened::Answered(answer))) => {
                    self.state = State::Answering(futures::future::ready(Failure::Door).boxed());
                    cx.waker().wake_by_ref();
                    return Poll::Ready(Progress::Answered(answer));
                }
                Poll::Ready(Ok(Opened::Asked(stream, question))) => {
                    self.state = State::Asked(stream);
                    return Poll::Ready(Progress::Asked(question));
                }
                Poll::Ready(Ok(Opened::Open(stream))) => {
                    self.state = State::Beating(protocol::beat(stream, self.beat).boxed());
                    // The beats' timers start when they are first polled.
                    cx.waker().wake_by_ref();
                    return Poll::Ready(Progress::Open);
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(self.fail(failure)),
                Poll::Pending => {}
            },
            State::Beating(beating) => return beating.poll_unpin(cx).map(|failure| self.fail(failure)),
            State::Answering(answering) => {
                if let Poll::Ready(failure) = answering.poll_unpin(cx) {
                    return Poll::Ready(self.fail(failure));
                }
            }
            State::Over => return Poll::Pending,
            State::Fresh(_) | State::Waiting(_) | State::Proven(_) | State::Asked(_) => {}
        }
        self.patience.poll_unpin(cx).map(|()| self.fail(Failure::TimedOut))
    }
}

impl ConnectionHandler for LinkHandler {
    type FromBehaviour = Told;
    type ToBehaviour = Progress;
    type InboundProtocol = Either<ReadyUpgrade<StreamProtocol>, DeniedUpgrade>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        let upgrade = match (&self.state, self.role) {
            (State::Waiting(_), LinkRole::Listener) => Either::Left(ReadyUpgrade::new(PROTOCOL)),
            _ => Either::Right(DeniedUpgrade),
        };
        SubstreamProtocol::new(upgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        !matches!(self.state, State::Over)
    }

    fn on_behaviour_event(&mut self, told: Told) {
        match (std::mem::replace(&mut self.state, State::Over), told) {
            (State::Proven(proven), Told::Ready) => self.state = State::Opening(protocol::open(proven).boxed()),
            (State::Asked(stream), Told::Answer(bytes)) => {
                self.state = State::Answering(protocol::answer(stream, bytes).boxed());
            }
            (state, _) => self.state = state,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if let State::Fresh(_) = self.state {
            if let State::Fresh(proof) = std::mem::replace(&mut self.state, State::Over) {
                self.state = State::Waiting(proof);
            }
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ()),
            });
        }
        self.poll_state(cx).map(ConnectionHandlerEvent::NotifyBehaviour)
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: futures::future::Either::Left(stream),
                ..
            })
            | ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                self.on_stream(stream);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                let failure = match error {
                    StreamUpgradeError::NegotiationFailed => Failure::Unsupported,
                    StreamUpgradeError::Timeout => Failure::TimedOut,
                    StreamUpgradeError::Io(_) => Failure::Ended,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                // A proof that has failed already, so that `poll` reports it.
                self.state = State::Proving(futures::future::ready(Err(failure)).boxed());
            }
            _ => {}
        }
    }
}
