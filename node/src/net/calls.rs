//! Whom a [`Net`] finds by itself: whoever lives at an address, and those whom its links know.

use std::time::{Duration, Instant};

use libp2p::{
    Multiaddr, PeerId,
    request_response::{self, Message},
    swarm::{ConnectionId, dial_opts::DialOpts},
};
use snug_crypto::PeerKey;

use super::{
    Net, NetEvent, RelayState, dialer,
    exchange::{self, MAX_PEERS},
    listen, peer,
};

/// How many circuits to a peer are told of, beside how many addresses of its own.
const MAX_CIRCUITS: usize = 2;
const MAX_BESIDE_CIRCUITS: usize = 6;

/// When nothing more was said for this long of what an unspecified address stands for, that was all.
const INTERFACES: Duration = Duration::from_millis(50);

impl Net {
    /// Calls whoever of the room lives at these addresses, for as long as nobody is linked there; a peer id in them is passed over. Those of
    /// one host count as one member's. Returns how many calls begin: each that nobody of the room answers makes one
    /// [`NetEvent::CallFailed`].
    pub fn call(&mut self, addresses: Vec<Multiaddr>) -> usize {
        let groups = listen::by_host(addresses);
        groups
            .into_iter()
            .filter(|group| self.call_member(group.clone()))
            .count()
    }

    /// The same at the addresses of one member. `false` if there is nothing to dial, or it is called already.
    pub fn call_member(&mut self, addresses: Vec<Multiaddr>) -> bool {
        self.caller.want(addresses, Instant::now())
    }

    /// Where those can be reached that are linked, as far as is known, without their ids.
    #[must_use]
    pub fn linked_addresses(&self) -> Vec<(PeerKey, Vec<Multiaddr>)> {
        let known = self.links.peers().into_iter().filter_map(|peer| {
            let addresses = listen::presentable(self.dialer.addresses(&peer));
            Some((peer::key_of(&peer)?, addresses)).filter(|(_, addresses)| !addresses.is_empty())
        });
        known.collect()
    }

    /// The same with the relays through which they can be called, for those who meet them in this run.
    fn linked_anyhow(&self) -> Vec<(PeerKey, Vec<Multiaddr>)> {
        let known = self.links.peers().into_iter().filter_map(|peer| {
            let known = self.dialer.addresses(&peer);
            let circuits = known.iter().filter(|address| dialer::is_circuit(address));
            let mut addresses = listen::presentable(known);
            addresses.truncate(MAX_BESIDE_CIRCUITS);
            addresses.extend(circuits.take(MAX_CIRCUITS).cloned());
            Some((peer::key_of(&peer)?, addresses)).filter(|(_, addresses)| !addresses.is_empty())
        });
        known.collect()
    }

    /// What others should be told of where we are: see [`Net::addresses`].
    #[must_use]
    pub fn presentable(&self) -> Vec<Multiaddr> {
        listen::presentable(&self.addresses())
    }

    /// The same for those who are to dial us in this run: with the relay through which we can be called, if there is one. Where not all of
    /// it fits, that must not be what is missing.
    #[must_use]
    pub fn dialable(&self) -> Vec<Multiaddr> {
        let mut addresses = self.presentable();
        let is_local = addresses.iter().all(listen::is_loopback);
        // A relay on this very host is of use to others on it, and to nobody else.
        let circuit = self
            .relays
            .circuit()
            .filter(|circuit| is_local || !listen::is_loopback(circuit));
        let at = addresses.len().min(MAX_BESIDE_CIRCUITS);
        addresses.splice(at..at, circuit.cloned());
        addresses
    }

    /// These relays are named now, as `/ip…/…/p2p/RELAY`, the best first: we shall be called through one of them.
    pub fn set_relays(&mut self, addresses: Vec<Multiaddr>) {
        self.relays.set(addresses, Instant::now());
    }

    /// Whether we can be called through a relay.
    #[must_use]
    pub fn relay(&self) -> RelayState {
        self.relays.state()
    }

    /// Connections through relays whose peer is linked directly by now, and had the time to say there what it was saying.
    pub(super) fn retire_relayed(&mut self) {
        let now = Instant::now();
        let due: Vec<PeerId> = (self.retiring.iter())
            .filter(|(_, at)| **at <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            self.retiring.remove(&peer);
            self.swarm.behaviour_mut().gate.close_relayed(peer);
        }
    }

    /// Waits until the system has said of every address to listen on what that is, at most so long. What happens meanwhile is kept.
    pub async fn listening(&mut self, patience: Duration) {
        let end = tokio::time::Instant::now() + patience;
        let mut kept = Vec::new();
        loop {
            let is_missing = self.listeners.values().any(Vec::is_empty);
            // Addresses of one interface after the other come at once.
            let quiet = tokio::time::Instant::now() + INTERFACES;
            let until = if is_missing { end } else { end.min(quiet) };
            match tokio::time::timeout_at(until, self.next()).await {
                Ok(event) => kept.push(event),
                Err(_) => break,
            }
        }
        for event in kept.into_iter().rev() {
            self.ready.push_front(event);
        }
    }

    pub(super) fn start_calls(&mut self) {
        let now = Instant::now();
        for addresses in self.dialer.take_forgotten() {
            self.caller.want(addresses, now);
        }
        loop {
            let dialer = &self.dialer;
            let Some(address) = self.caller.next(now, |address| dialer.is_connected_at(address)) else {
                return;
            };
            let dial = DialOpts::unknown_peer_id().address(address.clone()).build();
            self.caller.dialing(&address, dial.connection_id());
            self.stats.dials += 1;
            if self.swarm.dial(dial).is_err() && self.caller.not_dialed(&address, now) {
                self.ready.push_back(NetEvent::CallFailed);
            }
        }
    }

    /// A connection stands. One that a call made and that isn't needed is closed again.
    pub(super) fn on_connected(&mut self, connection: ConnectionId, peer: PeerId) {
        self.dialer.connected(&peer);
        let Some(address) = self.caller.established(connection, peer) else {
            return;
        };
        self.dialer.learn_connected(peer, vec![address], Instant::now());
        // Only what both ends agree on: else each might close the other's.
        if self.links.is_up(&peer) || self.swarm.behaviour().gate.has_dialed(&peer, connection) {
            self.swarm.close_connection(connection);
        }
    }

    /// Says whether the dial was a call's.
    pub(super) fn on_call_failed(&mut self, connection: ConnectionId) -> bool {
        let Some(is_awaited) = self.caller.failed(connection, Instant::now()) else {
            return false;
        };
        self.stats.dials_failed += 1;
        if is_awaited {
            self.ready.push_back(NetEvent::CallFailed);
        }
        true
    }

    pub(super) fn on_called_lost(&mut self, peer: &PeerId, is_stranger: bool) {
        let told = self.caller.lost(peer, is_stranger, Instant::now());
        self.ready.extend((0..told).map(|_| NetEvent::CallFailed));
    }

    /// Asks one of the links whom else it knows, if it is time and we know too few.
    pub(super) fn ask_around(&mut self) {
        let links = self.links.peers();
        if let Some(peer) = self.curiosity.choose(&links, Instant::now())
            && links.len() < self.limits.enough_links
        {
            self.ask_for_peers(&peer);
        }
    }

    /// A link came up: whom does it know?
    pub(super) fn on_link_up(&mut self, peer: &PeerId) {
        self.caller.linked(peer);
        if self.links.up() < self.limits.enough_links {
            self.curiosity.asked(Instant::now());
            self.ask_for_peers(peer);
        }
    }

    fn ask_for_peers(&mut self, peer: &PeerId) {
        let exchange = &mut self.swarm.behaviour_mut().gate.inner_mut().exchange;
        exchange.send_request(peer, Vec::new());
    }

    pub(super) fn on_exchange(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        let request_response::Event::Message { peer, message, .. } = event else {
            return;
        };
        match message {
            // Whoever isn't linked by our own measure is told nothing; it asks again.
            Message::Request { channel, .. } if self.links.is_up(&peer) => {
                let mut known = self.linked_anyhow();
                known.retain(|(key, _)| peer::key_of(&peer) != Some(*key));
                self.curiosity.shuffle(&mut known);
                let answer = exchange::encode(&known);
                let exchange = &mut self.swarm.behaviour_mut().gate.inner_mut().exchange;
                // An error means that the peer has gone.
                drop(exchange.send_response(channel, answer));
            }
            Message::Request { .. } => {}
            Message::Response { response, .. } => match exchange::decode(&response) {
                Some(peers) => self.meet(peers),
                None => tracing::debug!(%peer, "its answer about other peers makes no sense"),
            },
        }
    }

    /// Dials those who aren't linked, up to as many as are enough.
    fn meet(&mut self, mut peers: Vec<(PeerKey, Vec<Multiaddr>)>) {
        self.curiosity.shuffle(&mut peers);
        let now = Instant::now();
        let room = self.limits.enough_links.saturating_sub(self.links.up()).min(MAX_PEERS);
        let strangers = peers.into_iter().filter_map(|(key, addresses)| {
            let id = peer::id_of(&key).filter(|_| key != self.local)?;
            (!self.links.is_up(&id)).then_some((id, addresses))
        });
        for (id, mut addresses) in strangers.take(room).collect::<Vec<_>>() {
            addresses.retain(|address| self.may_dial(address));
            let is_connected = self.swarm.is_connected(&id);
            if !is_connected {
                let at = self.curiosity.dial_at(now);
                self.dialer.learn(id, addresses, at);
            }
        }
    }
}
