//! Turns what the swarm reports into what a [`Net`]'s owner hears.

use std::time::Instant;

use libp2p::{
    Multiaddr, PeerId, dcutr, gossipsub, identify, ping,
    request_response::{self, Message},
    swarm::SwarmEvent,
};
use snug_crypto::bounds::MAX_GOSSIP_BYTES;

use super::{
    MAX_KNOCKS, MAX_UNJUDGED, Net, NetEvent, RETIRE,
    behaviour::{MeshEvent, NodeEvent},
    dialer::is_circuit,
    gate::{self, Failure},
    listen,
    outside::AtRelayEvent,
    peer, scoring,
};
use crate::room::{GossipId, RequestId, Verdict};

impl Net {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<NodeEvent>) {
        match event {
            SwarmEvent::Behaviour(NodeEvent::Gate(event)) => self.on_gate_event(event),
            // What a relay says of where it is counts for nothing: we are called where we called it.
            SwarmEvent::NewListenAddr { listener_id, .. } | SwarmEvent::ExpiredListenAddr { listener_id, .. }
                if self.relays.is_ours(listener_id) => {}
            SwarmEvent::NewListenAddr { address, .. } if is_circuit(&address) => {}
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.listeners.entry(listener_id).or_default().push(address.clone());
                self.ready.push_back(NetEvent::Listening(address));
                self.judge_reach();
            }
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                if let Some(addresses) = self.listeners.get_mut(&listener_id) {
                    addresses.retain(|other| *other != address);
                }
                self.no_longer_confirmed(&address);
                self.ready.push_back(NetEvent::NotListening(address));
                self.judge_reach();
            }
            SwarmEvent::ListenerClosed {
                listener_id, reason, ..
            } if self.relays.is_ours(listener_id) => {
                tracing::debug!(?reason, "no relay any more, or none yet");
                if let Some(circuit) = self.relays.closed(listener_id, Instant::now()) {
                    self.swarm.remove_external_address(&circuit);
                    self.ready.push_back(NetEvent::NotListening(circuit));
                }
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.on_reachable(address),
            SwarmEvent::ExternalAddrExpired { address } => self.on_unreachable(address),
            SwarmEvent::Behaviour(NodeEvent::Outside(AtRelayEvent::Ping(ping::Event {
                connection,
                result: Err(error),
                ..
            }))) => {
                tracing::debug!(%error, "the relay fell silent");
                self.swarm.close_connection(connection);
            }
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                let addresses = self.listeners.remove(&listener_id).unwrap_or_default();
                self.ready.extend(addresses.into_iter().map(NetEvent::NotListening));
                self.judge_reach();
            }
            SwarmEvent::ConnectionEstablished {
                peer_id, connection_id, ..
            } if !self.swarm.behaviour().outside.to_relays().contains(connection_id) => {
                self.on_connected(connection_id, peer_id);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                cause,
                ..
            } => {
                self.retiring.remove(&peer_id);
                self.serving.gone(&peer_id);
                tracing::debug!(peer = %peer_id, ?cause, "disconnected");
                self.dial_failed(&peer_id);
                self.on_called_lost(&peer_id, false);
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id,
                error,
                connection_id,
                ..
            } => {
                tracing::debug!(?peer_id, %error, "cannot connect");
                if self.on_call_failed(connection_id) {
                    return;
                }
                let Some(peer) = peer_id else { return };
                if !self.swarm.is_connected(&peer) {
                    self.stats.dials_failed += 1;
                    self.dial_failed(&peer);
                }
            }
            _ => {}
        }
    }

    /// A dial failed, or the last connection is gone.
    pub(super) fn dial_failed(&mut self, peer: &PeerId) {
        if self.dialer.lost(peer, Instant::now()) {
            self.report_dial_failed(peer);
        }
    }

    pub(super) fn report_dial_failed(&mut self, peer: &PeerId) {
        if let Some(peer) = peer::key_of(peer) {
            self.ready.push_back(NetEvent::DialFailed { peer });
        }
    }

    fn on_gate_event(&mut self, event: gate::Event<MeshEvent>) {
        match event {
            gate::Event::Up { peer } => {
                self.links.opened(peer);
                self.gossip().set_application_score(&peer, scoring::MEMBER);
                // With a second connection at hand, gossipsub may have heard of the subscription before.
                if self.takes_gossip(&peer) {
                    self.on_subscribed(&peer);
                }
            }
            gate::Event::Down { peer } => {
                self.relays.remove_member(&peer);
                self.curiosity.soon(Instant::now());
                if self.links.closed(&peer)
                    && let Some(key) = peer::key_of(&peer)
                {
                    self.ready.push_back(NetEvent::LinkDown { peer: key });
                }
            }
            gate::Event::Doubled { peer } => {
                self.retiring.insert(peer, Instant::now() + RETIRE);
            }
            gate::Event::Failed {
                peer,
                failure,
                proven,
                dialed,
            } => self.on_failure(&peer, failure, proven, dialed),
            gate::Event::Asked { peer, id, question } => {
                let Some(from) = peer::key_of(&peer) else { return };
                let request = RequestId(self.next_id());
                self.knocks.insert(request, id);
                if self.knocks.len() > MAX_KNOCKS {
                    self.knocks.pop_first();
                }
                self.ready.push_back(NetEvent::Knock {
                    from,
                    id: request,
                    bytes: question.bytes,
                    ahead: question.ahead,
                });
            }
            gate::Event::Answered { peer, answer } => {
                if let Some(from) = peer::key_of(&peer) {
                    self.ready.push_back(NetEvent::Door { from, bytes: answer });
                }
            }
            gate::Event::Inner(MeshEvent::Gossip(event)) => self.on_gossip(event),
            gate::Event::Inner(MeshEvent::Direct(event)) => self.on_direct(event),
            gate::Event::Inner(MeshEvent::Exchange(event)) => self.on_exchange(event),
            gate::Event::Inner(MeshEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                self.on_identified(peer_id, &info);
                // A relay's own idea of where it is comes among them; the one that counts is in what the peer has confirmed.
                let useful = |address: &Multiaddr| !is_circuit(address) || !listen::is_loopback(address);
                let known = info.listen_addrs.into_iter().filter(useful);
                let known = known.filter(|address| self.may_dial(address)).collect();
                self.dialer.learn_connected(peer_id, known, Instant::now());
            }
            gate::Event::Inner(MeshEvent::Punch(dcutr::Event { remote_peer_id, result })) => match result {
                Ok(_) => {
                    tracing::debug!(peer = %remote_peer_id, "a direct connection, where there was one through a relay")
                }
                Err(error) => tracing::debug!(peer = %remote_peer_id, %error, "no direct connection can be made"),
            },
            gate::Event::Inner(MeshEvent::Relay(event)) => self.serving.on_event(&event),
            // Told by the addresses that come and go.
            gate::Event::Inner(MeshEvent::Identify(_) | MeshEvent::Relayed(_)) => {}
        }
    }

    fn on_failure(&mut self, peer: &PeerId, failure: Failure, proven: bool, dialed: bool) {
        tracing::debug!(%peer, %failure, "closing a connection");
        match failure {
            Failure::WrongProof => self.stats.wrong_proofs += 1,
            Failure::Silent => self.stats.silent += 1,
            _ => {}
        }
        if !proven && failure != Failure::Redundant {
            self.stats.unproven_closed += 1;
        }
        // Of another room, or no peer of ours at all: dialing it again would change nothing. But whoever dialed us under a key that we
        // don't know may be a generation ahead, and tell us of it when we dial.
        let is_stranger = matches!(failure, Failure::WrongProof | Failure::Unsupported);
        if is_stranger && dialed {
            if self.dialer.forget(peer) {
                self.report_dial_failed(peer);
            }
            self.on_called_lost(peer, true);
        }
    }

    fn takes_gossip(&mut self, peer: &PeerId) -> bool {
        let topic = self.topic.hash();
        self.gossip()
            .all_peers()
            .any(|(other, topics)| other == peer && topics.contains(&&topic))
    }

    fn on_subscribed(&mut self, peer: &PeerId) {
        let (Some(key), Some(early)) = (peer::key_of(peer), self.links.subscribed(peer)) else {
            return;
        };
        self.dialer.linked(peer);
        self.on_link_up(peer);
        self.ready.push_back(NetEvent::LinkUp { peer: key });
        self.ready.extend(early);
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                self.on_frame(propagation_source, message_id, message.data);
            }
            gossipsub::Event::Subscribed { peer_id, .. } => self.on_subscribed(&peer_id),
            // It leaves, or plays a game of its own; either way it is no member of this mesh any more.
            gossipsub::Event::Unsubscribed { peer_id, topic } if topic == self.topic.hash() => self.drop_peer(&peer_id),
            gossipsub::Event::Unsubscribed { .. } => {}
            gossipsub::Event::SlowPeer { failed_messages, .. } => {
                self.stats.slow_peers += 1;
                self.stats.dropped += (failed_messages.priority + failed_messages.non_priority) as u64;
            }
            // The watch closes the connection.
            gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }

    fn on_frame(&mut self, from: PeerId, message: gossipsub::MessageId, bytes: Vec<u8>) {
        let Some(key) = peer::key_of(&from) else { return };
        let id = GossipId(self.next_id());
        self.unjudged.insert(id, (message, from));
        if bytes.len() > MAX_GOSSIP_BYTES {
            return self.verdict(id, Verdict::Reject);
        }
        if self.unjudged.len() > MAX_UNJUDGED
            && let Some((&oldest, _)) = self.unjudged.first_key_value()
        {
            self.stats.unjudged += 1;
            self.verdict(oldest, Verdict::Ignore);
        }
        self.stats.received += 1;
        self.stats.received_bytes += bytes.len() as u64;
        self.ready
            .extend(self.links.in_order(&from, NetEvent::Gossip { from: key, id, bytes }));
    }

    fn on_direct(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message {
                peer,
                message:
                    Message::Request {
                        request_id,
                        request,
                        channel,
                    },
                ..
            } => {
                let Some(from) = peer::key_of(&peer) else { return };
                let id = RequestId(self.next_id());
                self.requests.insert(id, channel);
                self.request_ids.insert(request_id, id);
                self.stats.requests += 1;
                self.ready.extend(self.links.in_order(
                    &peer,
                    NetEvent::Request {
                        from,
                        id,
                        bytes: request,
                    },
                ));
            }
            request_response::Event::Message {
                message: Message::Response { request_id, response },
                ..
            } => {
                if let Some((_, id)) = self.queries.remove(&request_id) {
                    self.ready.push_back(NetEvent::Response {
                        id,
                        bytes: Some(response),
                    });
                }
            }
            request_response::Event::OutboundFailure {
                request_id,
                error,
                peer,
                ..
            } => {
                tracing::debug!(%peer, %error, "no reply");
                if let Some((_, id)) = self.queries.remove(&request_id) {
                    self.query_failed(id);
                }
            }
            request_response::Event::InboundFailure { request_id, .. }
            | request_response::Event::ResponseSent { request_id, .. } => {
                if let Some(id) = self.request_ids.remove(&request_id) {
                    self.requests.remove(&id);
                }
            }
        }
    }
}
