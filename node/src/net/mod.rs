//! The mesh: one libp2p swarm per room and run.
//!
//! [`Net`] carries frames (gossipsub) and requests (one stream each) between peers that have proven to be of the room;
//! it understands neither. Whoever owns it drives it through [`Net::next`]; there is no task of its own and no queue
//! that grows: what isn't asked for waits in the sockets. docs/PROTOCOL.md, "Links", is the normative text.
//!
//! - `gate`: not a byte of the room's protocols before a peer has proven itself.
//! - `gossip`, `scoring`, `watch`: gossipsub, and what keeps it from falling silent.
//! - `direct`: one request, one reply.
//! - `dialer`, `caller`: whom to dial, and when again; where to call whoever lives there.
//! - `exchange`: who else is there.
//! - `outside`, `relays`, `ways`: how we are called by those who can't reach us.
//! - `reach`, `serve`: where others reach us, and how we relay for members who can't reach each other.

mod behaviour;
mod caller;
mod calls;
mod config;
mod dialer;
mod direct;
mod event;
mod exchange;
mod gate;
mod gossip;
mod links;
mod listen;
mod outside;
mod peer;
mod pump;
mod reach;
mod relays;
mod scoring;
mod serve;
mod swarm;
mod watch;
mod ways;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::transport::ListenerId,
    gossipsub::{self, IdentTopic, MessageAcceptance, MessageId},
    request_response::{InboundRequestId, OutboundRequestId, ResponseChannel},
    swarm::{
        ConnectionId,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use rand::{TryRng, rngs::SysRng};
use snug_crypto::{
    MeshKey, PeerKey, Topic,
    bounds::{MAX_DIRECT_BYTES, MAX_GOSSIP_BYTES},
};

use self::{
    behaviour::Node,
    caller::Caller,
    dialer::Dialer,
    exchange::Curiosity,
    gossip::{CurrentTopic, Gossip},
    links::Links,
    relays::Relays,
    serve::Serving,
    swarm::Built,
    ways::MemberRelays,
};
use crate::room::{GossipId, QueryId, RequestId, Verdict};

pub use self::{
    config::{NetConfig, NetLimits},
    event::{NetError, NetEvent, NetStats, PublishError},
    relays::RelayState,
};
pub(crate) use self::{listen::by_host, reach::is_public};

/// Frames that wait for their verdict at once; the oldest goes without. A frame is at most 32 KiB, but kept by gossipsub
/// anyway; this is about the ids.
const MAX_UNJUDGED: usize = 4096;

/// Questions at the door that wait for their answer; the oldest goes without.
const MAX_KNOCKS: usize = 64;

/// A connection through a relay ends this long after a direct one stands beside it: what is under way on it is worth more than the bytes.
const RETIRE: Duration = Duration::from_secs(3);

/// What is still on its way to peers when [`Net::shutdown`] is called gets this long to leave.
const LINGER: Duration = Duration::from_millis(150);

/// How long [`Net::shutdown`] waits for connections to close.
const FAREWELL: Duration = Duration::from_millis(500);

/// One room's mesh, as seen from this peer. See the [module](self).
pub struct Net {
    swarm: Swarm<Node>,
    local: PeerKey,
    topic: IdentTopic,
    /// Lets peers subscribe to it.
    filter: CurrentTopic,
    /// The topic that we move to when the links of the old one are gone, or then.
    next_topic: Option<(IdentTopic, Instant)>,
    /// Questions at the door that wait for their answer.
    knocks: BTreeMap<RequestId, ConnectionId>,
    limits: NetLimits,
    listeners: HashMap<ListenerId, Vec<Multiaddr>>,
    links: Links,
    dialer: Dialer,
    caller: Caller,
    curiosity: Curiosity,
    relays: Relays,
    /// Where a relay has reached us, besides where we listen.
    external: Vec<Multiaddr>,
    /// Where a router leads to us.
    mapped: Vec<Multiaddr>,
    /// Where we listen and the internet could reach us.
    public: Vec<Multiaddr>,
    /// Relays that are members, for the transport.
    member_relays: MemberRelays,
    /// We relay for members, if we can be reached.
    serves: bool,
    serving: Serving,
    /// When connections through relays end whose peers are linked directly.
    retiring: HashMap<PeerId, Instant>,
    uses_relays: bool,
    /// What one event of the swarm turned into: a handful at most, handed out before the swarm is asked for more.
    ready: VecDeque<NetEvent>,
    unjudged: BTreeMap<GossipId, (MessageId, PeerId)>,
    queries: HashMap<OutboundRequestId, (PeerId, QueryId)>,
    requests: HashMap<RequestId, ResponseChannel<Vec<u8>>>,
    request_ids: HashMap<InboundRequestId, RequestId>,
    last_id: u64,
    last_publish: Option<Instant>,
    stats: NetStats,
}

impl Net {
    /// Starts to listen. Must be called inside a tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// [`NetError`], if the key is no key, or nothing can be listened on though something should be.
    pub fn new(mut config: NetConfig) -> Result<Self, NetError> {
        let Built {
            mut swarm,
            local,
            filter,
            member_relays,
        } = swarm::build(&mut config)?;
        let mut listeners = HashMap::new();
        let mut reason = None;
        for address in &config.listen {
            let mut listen = |address: &Multiaddr| {
                listen::check_free(address)
                    .map_err(|error| error.to_string())
                    .and_then(|()| {
                        swarm
                            .listen_on(address.clone())
                            .map_err(|error| listen::told(address, &error))
                    })
            };
            let mut listening = listen(address);
            if listening.is_err() && config.any_port {
                listening = listen(&listen::on_any_port(address));
            }
            match listening {
                Ok(id) => drop(listeners.insert(id, Vec::new())),
                // A host without IPv6, say: one way in is enough.
                Err(error) => reason = Some(error),
            }
        }
        if let (Some(reason), true) = (reason, listeners.is_empty()) {
            return Err(NetError::Listen { reason });
        }
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(|error| NetError::Setup {
            reason: error.to_string(),
        })?;
        Ok(Self {
            swarm,
            local,
            topic: gossip::topic(&config.topic),
            filter,
            next_topic: None,
            knocks: BTreeMap::new(),
            dialer: Dialer::new(config.limits.dials, seed),
            caller: Caller::new(seed),
            curiosity: Curiosity::new(seed),
            relays: Relays::new(!config.relays, seed),
            external: Vec::new(),
            mapped: Vec::new(),
            public: Vec::new(),
            member_relays,
            serves: config.serves,
            serving: Serving::default(),
            retiring: HashMap::new(),
            uses_relays: config.relays,
            limits: config.limits,
            listeners,
            links: Links::default(),
            ready: VecDeque::new(),
            unjudged: BTreeMap::new(),
            queries: HashMap::new(),
            requests: HashMap::new(),
            request_ids: HashMap::new(),
            last_id: 0,
            last_publish: None,
            stats: NetStats::default(),
        })
    }

    /// The next thing that happens. Nothing moves unless this is awaited. Cancel-safe: dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> NetEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            self.finish_move();
            self.start_dials();
            self.start_calls();
            self.ask_around();
            self.ask_relays();
            self.retire_relayed();
            self.close_mute_links();
            if !self.ready.is_empty() {
                continue;
            }
            let moved_by = self.next_topic.as_ref().map(|(_, by)| *by);
            let wake = [
                self.dialer.wake(self.is_observed()),
                self.relays.wake(),
                self.retiring.values().min().copied(),
                self.caller.wake(),
                self.curiosity.wake(),
                self.links.wake(self.limits.patience),
                moved_by,
            ]
            .into_iter()
            .flatten()
            .min();
            tokio::select! {
                biased;
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Our own key.
    #[must_use]
    pub fn local(&self) -> PeerKey {
        self.local
    }

    /// Hands a frame to the mesh.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: nothing was sent. A frame that not all peers could take counts as sent; what was dropped shows
    /// in [`NetStats::dropped`]. Gossip promises nothing: who misses a frame must fetch it.
    pub fn publish(&mut self, bytes: Vec<u8>) -> Result<(), PublishError> {
        let size = bytes.len();
        if size > MAX_GOSSIP_BYTES {
            return Err(PublishError::TooLarge { size });
        }
        let topic = self.topic.hash();
        self.gossip().publish(topic, bytes).map_err(|error| match error {
            gossipsub::PublishError::NoPeersSubscribedToTopic => PublishError::NoPeers,
            gossipsub::PublishError::Duplicate => PublishError::Duplicate,
            gossipsub::PublishError::MessageTooLarge => PublishError::TooLarge { size },
            // Nothing is signed or transformed here, so the others can't be.
            gossipsub::PublishError::AllQueuesFull(_)
            | gossipsub::PublishError::SigningError(_)
            | gossipsub::PublishError::TransformFailed(_) => PublishError::QueueFull,
        })?;
        self.last_publish = Some(Instant::now());
        self.stats.published += 1;
        self.stats.published_bytes += size as u64;
        Ok(())
    }

    /// Says what became of a frame. Unknown ids, and second verdicts, mean nothing.
    pub fn verdict(&mut self, id: GossipId, verdict: Verdict) {
        let Some((message, from)) = self.unjudged.remove(&id) else {
            return;
        };
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => {
                self.stats.rejected += 1;
                MessageAcceptance::Reject
            }
        };
        self.gossip()
            .report_message_validation_result(&message, &from, acceptance);
    }

    /// Asks a linked peer something, at most [`MAX_DIRECT_BYTES`]. There will be one [`NetEvent::Response`].
    pub fn query(&mut self, to: PeerKey, id: QueryId, bytes: Vec<u8>) {
        let peer = peer::id_of(&to).filter(|peer| self.links.is_up(peer));
        let under_way = |peer| self.queries.values().filter(|(to, _)| *to == peer).count();
        match peer {
            Some(peer) if bytes.len() <= MAX_DIRECT_BYTES && under_way(peer) < self.limits.direct_streams => {
                let request = self
                    .swarm
                    .behaviour_mut()
                    .gate
                    .inner_mut()
                    .direct
                    .send_request(&peer, bytes);
                self.queries.insert(request, (peer, id));
            }
            _ => self.query_failed(id),
        }
    }

    /// Moves to another generation of the room: all links end, and stand again with whoever has moved as well. Who proves one of the
    /// `doors` keys, the latest first, is answered one question ([`NetEvent::Knock`]) and hears nothing else.
    pub fn rekey(&mut self, mesh: MeshKey, topic: &Topic, doors: Vec<MeshKey>) {
        let gate = &mut self.swarm.behaviour_mut().gate;
        gate.rekey(mesh, doors);
        self.next_topic = Some((gossip::topic(topic), Instant::now() + FAREWELL));
        for peer in self.connected() {
            // An error means that it isn't connected, which is what was wanted.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Who proves one of these keys of earlier generations, the latest first, is answered one question, as after [`Self::rekey`].
    pub fn open_doors(&mut self, doors: Vec<MeshKey>) {
        self.swarm.behaviour_mut().gate.open_doors(doors);
    }

    /// Everybody who is connected, but for relays.
    fn connected(&self) -> Vec<PeerId> {
        let outside = &self.swarm.behaviour().outside;
        let peers = self.swarm.connected_peers();
        peers.filter(|peer| !outside.is_relay(peer)).copied().collect()
    }

    /// Whether there is no relay that could still tell us how it sees us.
    fn is_observed(&self) -> bool {
        matches!(self.relays.state(), RelayState::Off | RelayState::None)
            || self.relays.is_at_member()
            || self.swarm.behaviour().outside.is_observed()
    }

    /// What to ask peers that are in another generation: see `room::Knock`.
    pub fn set_questions(&mut self, plain: Vec<u8>, telling: Vec<u8>) {
        self.swarm.behaviour_mut().gate.set_questions(plain, telling);
    }

    /// These are the room's keepers, each with what it is asked where it is in another generation; and what is proven to them in the place of
    /// the mesh keys: the current one, then those of the doors.
    pub fn set_keepers(&mut self, keys: Vec<MeshKey>, questions: BTreeMap<PeerKey, Vec<u8>>) {
        let keepers = gate::Keepers { keys, questions };
        self.swarm.behaviour_mut().gate.set_keepers(keepers);
    }

    /// We are a keeper, and our mesh key is what is proven to keepers: members ask at our door, and we ask nobody. `doors` are the keys of earlier generations, the latest first.
    pub fn keep(&mut self, doors: Vec<MeshKey>) {
        self.swarm.behaviour_mut().gate.keep(doors);
    }

    /// Takes the new topic once nobody is left whom that could be told: a peer that hears us leave a topic would not dial us again.
    fn finish_move(&mut self) {
        let Some((topic, by)) = &self.next_topic else { return };
        if self.swarm.behaviour().gate.is_leaving() && Instant::now() < *by {
            return;
        }
        let (topic, old) = (topic.clone(), self.topic.clone());
        self.next_topic = None;
        self.gossip().unsubscribe(&old);
        self.filter.set(topic.hash());
        let scored = self.gossip().set_topic_params(topic.clone(), scoring::topic_params());
        if let (Err(error), _) | (_, Some(error)) = (
            scored,
            self.gossip().subscribe(&topic).err().map(|_| "it is not subscribed to"),
        ) {
            tracing::error!(error, "the new generation's topic is not in order");
        }
        self.topic = topic;
        self.swarm.behaviour_mut().gate.moved();
        self.dialer.begin_again(Instant::now());
        self.caller.begin_again(Instant::now());
    }

    /// Answers a request, with at most [`MAX_DIRECT_BYTES`]; more is as good as no answer. Requests that nobody waits
    /// for any more are passed over.
    pub fn respond(&mut self, id: RequestId, bytes: Vec<u8>) {
        if let Some(connection) = self.knocks.remove(&id) {
            return self.swarm.behaviour_mut().gate.answer(connection, bytes);
        }
        if let Some(channel) = self.requests.remove(&id)
            && bytes.len() <= MAX_DIRECT_BYTES
        {
            // An error means that the peer has gone, and the bytes come back; nobody waits for either.
            drop(
                self.swarm
                    .behaviour_mut()
                    .gate
                    .inner_mut()
                    .direct
                    .send_response(channel, bytes),
            );
        }
    }

    /// Wants a link to a peer, at any of these addresses (`/ip…/tcp/…` or `/ip…/udp/…/quic-v1`, or through a relay
    /// `…/p2p/RELAY/p2p-circuit`, with or without its id).
    /// Ourselves, and peers that are linked already, are passed over. [`NetEvent::DialFailed`] follows if the first try
    /// fails; there are some more after it, and after a lost link.
    pub fn dial(&mut self, to: PeerKey, mut addresses: Vec<Multiaddr>) {
        if to == self.local {
            return;
        }
        addresses.retain(|address| self.may_dial(address));
        let now = Instant::now();
        let wanted = match peer::id_of(&to) {
            Some(peer) if self.links.is_up(&peer) => {
                self.dialer.learn_connected(peer, addresses, now);
                true
            }
            Some(peer) => {
                let is_connected = self.swarm.is_connected(&peer);
                self.dialer.want(peer, addresses, is_connected, now)
            }
            None => false,
        };
        if !wanted {
            self.ready.push_back(NetEvent::DialFailed { peer: to });
        }
    }

    /// Whether an address is one that we use at all.
    fn may_dial(&self, address: &Multiaddr) -> bool {
        self.uses_relays || !dialer::is_circuit(address)
    }

    /// Closes all connections to a peer and dials it no more.
    pub fn disconnect(&mut self, from: PeerKey) {
        if let Some(peer) = peer::id_of(&from) {
            self.drop_peer(&peer);
        }
    }

    /// Where this peer listens, where a relay has reached it, and where a router leads to it, without its id: loopback last.
    #[must_use]
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let own = self.listeners.values().flatten();
        let mut addresses: Vec<_> = own.chain(&self.external).chain(&self.mapped).cloned().collect();
        addresses.sort_by_key(|address| (listen::is_loopback(address), address.clone()));
        addresses.dedup();
        addresses
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        let gate = &self.swarm.behaviour().gate;
        NetStats {
            links: self.links.up(),
            relayed: gate.relayed(),
            serves: self.serving.is_on(),
            carried: self.serving.circuits(),
            carried_ever: self.serving.opened,
            carry_refused: self.serving.refused,
            unproven: gate.unproven(),
            wedged: gate.inner().gossip.closed(),
            ..self.stats
        }
    }

    /// Lets what was just published leave, says goodbye to all peers, and ends: after a second at the latest.
    pub async fn shutdown(mut self) {
        let linger = self
            .last_publish
            .map(|last| LINGER.saturating_sub(last.elapsed()))
            .unwrap_or_default();
        if !linger.is_zero() {
            drop(tokio::time::timeout(linger, self.drain(|_| false)).await);
        }
        // Peers that hear that we take no more gossip close the link, and dial us no more.
        let topic = self.topic.clone();
        self.gossip().unsubscribe(&topic);
        // Some of them hear it through a relay.
        let is_alone = |net: &Self| net.connected().is_empty();
        if tokio::time::timeout(FAREWELL, self.drain(is_alone)).await.is_err() {
            for peer in self.connected() {
                self.drop_peer(&peer);
            }
            drop(tokio::time::timeout(LINGER, self.drain(is_alone)).await);
        }
        for relay in self.swarm.behaviour().outside.relays() {
            // An error means that it isn't connected, which is what was wanted.
            let _ = self.swarm.disconnect_peer_id(relay);
        }
        let is_over = |net: &Self| net.swarm.connected_peers().next().is_none();
        drop(tokio::time::timeout(LINGER, self.drain(is_over)).await);
    }

    /// Moves the swarm on and throws away what happens.
    async fn drain(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let event = self.swarm.select_next_some().await;
            self.on_swarm_event(event);
            self.ready.clear();
        }
    }

    fn gossip(&mut self) -> &mut Gossip {
        self.swarm.behaviour_mut().gate.inner_mut().gossip.inner_mut()
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn query_failed(&mut self, id: QueryId) {
        self.stats.queries_failed += 1;
        self.ready.push_back(NetEvent::Response { id, bytes: None });
    }

    fn drop_peer(&mut self, peer: &PeerId) {
        if self.dialer.forget(peer) {
            self.report_dial_failed(peer);
        }
        // An error means that it isn't connected, which is what was wanted.
        let _ = self.swarm.disconnect_peer_id(*peer);
    }

    fn start_dials(&mut self) {
        while let Some((peer, addresses)) = self.dialer.next(Instant::now()) {
            self.stats.dials += 1;
            let dial = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                .build();
            if self.swarm.dial(dial).is_err() && !self.swarm.is_connected(&peer) {
                self.dial_failed(&peer);
            }
        }
        let is_observed = self.is_observed();
        while let Some((peer, addresses)) = self.dialer.next_through_relays(is_observed, Instant::now()) {
            let addresses = self.sorted_circuits(addresses);
            if addresses.is_empty() {
                self.dial_failed(&peer);
                continue;
            }
            self.stats.dials += 1;
            let dial = DialOpts::peer_id(peer)
                .condition(PeerCondition::Disconnected)
                .addresses(addresses)
                .build();
            if self.swarm.dial(dial).is_err() && !self.swarm.is_connected(&peer) {
                self.dial_failed(&peer);
            }
        }
    }

    /// A peer that is of the room but doesn't take its gossip is of no use, and might only be listening.
    fn close_mute_links(&mut self) {
        for peer in self.links.mute(self.limits.patience) {
            self.drop_peer(&peer);
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
