//! The relay: it carries bytes between members who can't reach each other, and knows not what they say (libp2p's circuit relay v2), and
//! tells a member whether it can be reached (AutoNAT v2). On a port of its own, with limits of its own, and without any tie to a room: it
//! sees peer ids, addresses, volume and times.
//!
//! ```text
//! address    where it listens, and what members are told of that
//! identity   its key, kept with the server's data, so that its peer id stays
//! transport  TCP and QUIC, with every byte counted
//! guard      connections an address may have, and whom AutoNAT may dial back
//! counters   what the operator sees of it
//! ```

mod address;
mod counters;
mod guard;
mod identity;
mod limits;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::transport::ListenerId;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, autonat, identify, identity::Keypair, ping, relay};
use snug_rendezvous_api::RelayAddress;
use tokio_util::sync::CancellationToken;

pub(crate) use self::address::parse_listen;
pub use self::address::{External, RelayListen};
pub(crate) use self::counters::{CIRCUITS, RESERVATIONS, RelayCounters};
use self::guard::Guard;
pub(crate) use self::identity::FILE as KEY_FILE;
pub use self::limits::RelayLimits;
use crate::config::Config;

/// A connection on which nothing is reserved or relayed ends after this.
const IDLE: Duration = Duration::from_secs(15);
/// Inbound streams of one connection that are choosing their protocol at once.
const MAX_NEGOTIATING: usize = 32;
/// Between two looks at whether somebody with a reservation is still there, and how long the answer may take.
const PING_EVERY: Duration = Duration::from_secs(25);
const PING_WITHIN: Duration = Duration::from_secs(15);

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It can't listen there.
    #[error("can't relay on {address}: {reason}; name another address with --relay-listen, or say --no-relay")]
    Listen {
        /// Where.
        address: Multiaddr,
        /// What the system says.
        reason: String,
    },
    /// Its key can't be read or made.
    #[error("can't use the relay's key file {}: {reason}", path.display())]
    Key {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: std::io::Error,
    },
    /// A library refused its settings.
    #[error("the relay could not be set up: {0}")]
    Setup(String),
}

/// What members are told of where the relay is; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<RwLock<Vec<RelayAddress>>>);

impl Told {
    /// As it is now; nothing while there is no relay.
    pub fn get(&self) -> Vec<RelayAddress> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, addresses: Vec<RelayAddress>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

#[derive(NetworkBehaviour)]
struct Node {
    limits: connection_limits::Behaviour,
    guard: Guard,
    relay: relay::Behaviour,
    autonat: autonat::v2::server::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// A relay that has its sockets, and relays once it runs.
pub(crate) struct Relay {
    swarm: Swarm<Node>,
    /// Each place that was asked for, with what it stands for.
    listeners: HashMap<ListenerId, (Multiaddr, Vec<Multiaddr>)>,
    /// Where the HTTP API is served: an address of that host needn't be told.
    http: SocketAddr,
    external: Vec<External>,
    told: Told,
    counters: Arc<RelayCounters>,
}

impl Relay {
    /// Listens, as the settings say. `None` if they want no relay. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`RelayError`]
    pub fn bind(config: &Config, http: SocketAddr, data_dir: &Path) -> Result<Option<Self>, RelayError> {
        let wanted = config.relay.listen.addresses(config.listen);
        if wanted.is_empty() {
            return Ok(None);
        }
        for address in &wanted {
            address::check_free(address).map_err(|reason| RelayError::Listen {
                address: address.clone(),
                reason: reason.to_string(),
            })?;
        }
        let keypair = identity::load_or_create(&data_dir.join(KEY_FILE))?;
        let counters = Arc::new(RelayCounters::default());
        let mut swarm = swarm(&keypair, &config.relay.limits, &counters)?;
        let mut listeners = HashMap::new();
        let mut failed = None;
        for address in wanted {
            match swarm.listen_on(address.clone()) {
                Ok(id) => drop(listeners.insert(id, (address, Vec::new()))),
                // A host without IPv6, say: one way in is enough.
                Err(error) => failed = Some((address, error.to_string())),
            }
        }
        match failed {
            Some((address, reason)) if listeners.is_empty() => Err(RelayError::Listen { address, reason }),
            _ => Ok(Some(Self {
                swarm,
                listeners,
                http,
                external: config.relay.external.clone(),
                told: Told::default(),
                counters,
            })),
        }
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<RelayCounters> {
        Arc::clone(&self.counters)
    }

    /// What members are told of it.
    pub fn told(&self) -> Told {
        self.told.clone()
    }

    /// Relays until `stop`; then all circuits end.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<NodeEvent>) {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                if let Some((_, addresses)) = self.listeners.get_mut(&listener_id) {
                    addresses.push(address);
                }
                self.tell();
            }
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                if let Some((_, addresses)) = self.listeners.get_mut(&listener_id) {
                    addresses.retain(|other| *other != address);
                }
                self.tell();
            }
            SwarmEvent::ListenerClosed {
                listener_id, reason, ..
            } => {
                self.listeners.remove(&listener_id);
                if let Err(error) = reason {
                    tracing::error!(%error, "the relay lost one of its ways in");
                }
                self.tell();
            }
            SwarmEvent::ConnectionEstablished { .. } => self.counters.connected(),
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established,
                ..
            } => {
                self.counters.disconnected();
                if num_established == 0 {
                    self.counters.gone(&peer_id);
                }
            }
            SwarmEvent::Behaviour(NodeEvent::Relay(event)) => self.counters.relayed(&event),
            SwarmEvent::Behaviour(NodeEvent::Ping(ping::Event {
                connection,
                result: Err(_),
                ..
            })) => {
                // Whoever fell silent holds a reservation, and a place.
                self.swarm.close_connection(connection);
            }
            _ => {}
        }
    }

    /// Says to members where the relay is, and to the relay's own protocol that it is one.
    fn tell(&mut self) {
        let local = *self.swarm.local_peer_id();
        let each = self.listeners.values();
        let mut listening: Vec<(Multiaddr, Multiaddr)> = each
            .flat_map(|(wanted, addresses)| addresses.iter().map(|address| (wanted.clone(), address.clone())))
            .collect();
        listening.sort();
        let known: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        for address in known {
            self.swarm.remove_external_address(&address);
        }
        // A reservation has to name an address, and members go by the one that they dialed: this host's interfaces are nobody's business.
        if let Some((_, address)) = listening.first() {
            self.swarm.add_external_address(address::unnamed(address));
        }
        self.told.set(address::told(
            &listening,
            &self.external,
            self.http.ip().to_canonical(),
            local,
        ));
    }
}

fn swarm(keypair: &Keypair, limits: &RelayLimits, counters: &Arc<RelayCounters>) -> Result<Swarm<Node>, RelayError> {
    let local = PeerId::from(keypair.public());
    let connections = limits.connections();
    let identify = identify::Config::new("/snug/1".to_owned(), keypair.public())
        .with_agent_version(String::new())
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_WITHIN);
    let mut relay = relay::Behaviour::new(local, limits.of_protocol());
    relay.set_status(Some(relay::Status::Enable));
    let node = Node {
        limits: connection_limits::Behaviour::new(
            ConnectionLimits::default()
                .with_max_pending_incoming(Some(limits::HANDSHAKES))
                .with_max_pending_outgoing(Some(limits::DIAL_BACKS))
                .with_max_established(Some(connections))
                .with_max_established_per_peer(Some(limits::CONNECTIONS_PER_PEER)),
        ),
        guard: Guard::new(limits.connections_per_address),
        relay,
        autonat: autonat::v2::server::Behaviour::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping),
    };
    let transport = transport::transport(keypair, limits, counters)?;
    let config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE)
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATING);
    Ok(Swarm::new(transport, node, local, config))
}
