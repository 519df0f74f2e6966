//! The protocols of a node, and how they are nested.
//!
//! ```text
//! Node ─ limits, memory            see every connection
//!      ├ Outside ─ AtRelay         see only connections to relays
//!      └ Gate ─ Mesh ─ gossip      see only connections whose peer has proven to be of the room
//!                    ├ direct
//!                    ├ exchange
//!                    ├ identify
//!                    ├ punch
//!                    └ relay, relayed       we relay for members, and they for us
//! ```

use libp2p::{
    connection_limits::{self, ConnectionLimits},
    dcutr, identify,
    identity::PublicKey,
    memory_connection_limits, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use super::{
    config::NetLimits,
    direct::Direct,
    exchange::Exchange,
    gate::Gate,
    gossip::Gossip,
    outside::{AtRelay, Outside},
    watch::Watch,
};

/// Everything that a peer of the room may speak with us.
#[derive(NetworkBehaviour)]
pub(crate) struct Mesh {
    pub(crate) gossip: Watch<Gossip>,
    pub(crate) direct: Direct,
    pub(crate) exchange: Exchange,
    pub(crate) identify: identify::Behaviour,
    /// Makes links through relays direct, where routers allow it (DCUtR).
    pub(crate) punch: dcutr::Behaviour,
    /// Relays for members, where that is wanted and of use (`serve`).
    pub(crate) relay: Toggle<relay::Behaviour>,
    /// Is called through members who do, and calls others through them.
    pub(crate) relayed: relay::client::Behaviour,
}

/// The whole node.
#[derive(NetworkBehaviour)]
pub(crate) struct Node {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub(crate) outside: Outside<AtRelay>,
    pub(crate) gate: Gate<Mesh>,
}

impl Node {
    pub(crate) fn new(gate: Gate<Mesh>, outside: Outside<AtRelay>, limits: &NetLimits) -> Self {
        let connections = ConnectionLimits::default()
            .with_max_pending_incoming(Some(limits.handshakes))
            .with_max_established(Some(limits.connections))
            .with_max_established_per_peer(Some(limits.connections_per_peer));
        Self {
            limits: connection_limits::Behaviour::new(connections),
            memory: memory_connection_limits::Behaviour::with_max_bytes(limits.memory_bytes),
            outside,
            gate,
        }
    }
}

/// Tells room members, and nobody else, where this peer listens and how we see them; not what program this is.
pub(crate) fn identify(key: PublicKey) -> identify::Behaviour {
    let config = identify::Config::new("/snug/1".to_owned(), key)
        .with_agent_version(String::new())
        .with_push_listen_addr_updates(true)
        .with_cache_size(0);
    identify::Behaviour::new(config)
}
