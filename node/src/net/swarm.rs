//! Puts transports, protocols and limits together.

use std::time::Duration;

use libp2p::{
    PeerId, Swarm, SwarmBuilder, Transport, core::upgrade::Version, dcutr, identity::Keypair, noise, relay,
    swarm::behaviour::toggle::Toggle, tcp, yamux,
};
use snug_crypto::PeerKey;

use super::{
    behaviour::{Mesh, Node, identify},
    config::NetConfig,
    direct::direct,
    event::NetError,
    exchange::exchange,
    gate::{Gate, GateConfig},
    gossip::{self, CurrentTopic},
    outside::{AtRelay, Outside},
    peer, serve,
    watch::Watch,
    ways::{MemberRelays, Ways},
};

/// A connection that nobody uses is closed after this. Links beat, so they are always in use.
const IDLE: Duration = Duration::from_secs(60);

/// Time for the transport's handshake: who doesn't finish it holds a place and a file descriptor.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Streams at once on one TCP connection: gossipsub's two, the link's, identify's, and the requests.
const MAX_STREAMS: usize = 128;

/// Inbound streams of one connection that are choosing their protocol at once.
const MAX_NEGOTIATING: usize = 32;

/// Bytes under way on one QUIC stream, and on all of a connection: libp2p's defaults are ten times as much.
const QUIC_STREAM_BYTES: u32 = 1 << 20;
const QUIC_CONNECTION_BYTES: u32 = 4 << 20;

/// A swarm, not listening yet, and what else its owner needs.
pub(crate) struct Built {
    pub(crate) swarm: Swarm<Node>,
    pub(crate) local: PeerKey,
    /// Lets peers subscribe to the topic.
    pub(crate) filter: CurrentTopic,
    /// Which relays are members.
    pub(crate) member_relays: MemberRelays,
}

pub(crate) fn build(config: &mut NetConfig) -> Result<Built, NetError> {
    let keypair = peer::keypair(&config.transport).ok_or(NetError::Key)?;
    let id = PeerId::from(keypair.public());
    let local = peer::key_of(&id).ok_or(NetError::Key)?;
    let mut topic = None;
    let (others, outside) = relay::client::new(id);
    let (members, relayed) = relay::client::new(id);
    let member_relays = MemberRelays::default();
    let ways = Ways {
        members,
        others,
        which: member_relays.clone(),
    };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::new().nodelay(true), noise::Config::new, yamux)
        .map_err(|error| NetError::Setup {
            reason: error.to_string(),
        })?
        .with_quic_config(|mut quic| {
            quic.max_stream_data = QUIC_STREAM_BYTES;
            quic.max_connection_data = QUIC_CONNECTION_BYTES;
            quic.max_concurrent_stream_limit = MAX_STREAMS as u32;
            quic
        })
        .with_other_transport(|keypair| -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            let noise = noise::Config::new(keypair)?;
            let circuits = ways.upgrade(Version::V1Lazy).authenticate(noise);
            Ok(circuits.multiplex(yamux()))
        })
        .map_err(|error| NetError::Setup {
            reason: error.to_string(),
        })?
        .with_behaviour(|keypair| -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            let (node, of) = node(config, keypair, local, Clients { outside, relayed })?;
            topic = Some(of);
            Ok(node)
        })
        .map_err(|error| NetError::Setup {
            reason: error.to_string(),
        })?
        .with_swarm_config(|swarm| {
            swarm
                .with_idle_connection_timeout(IDLE)
                .with_max_negotiating_inbound_streams(MAX_NEGOTIATING)
        })
        .with_connection_timeout(HANDSHAKE)
        .build();
    let filter = topic.ok_or_else(|| NetError::Setup {
        reason: "there is no topic".to_owned(),
    })?;
    Ok(Built {
        swarm,
        local,
        filter,
        member_relays,
    })
}

/// Two clients of relays: of those that are of no room, and of members.
struct Clients {
    outside: relay::client::Behaviour,
    relayed: relay::client::Behaviour,
}

fn node(
    config: &NetConfig,
    keypair: &Keypair,
    local: PeerKey,
    clients: Clients,
) -> Result<(Node, CurrentTopic), NetError> {
    let limits = &config.limits;
    let (gossip, topic) = gossip::gossip(&gossip::topic(&config.topic), config.max_participants)?;
    let mesh = Mesh {
        gossip: Watch::new(gossip),
        direct: direct(limits),
        exchange: exchange(limits.direct_timeout),
        identify: identify(keypair.public()),
        punch: dcutr::Behaviour::new(keypair.public().into()),
        relay: Toggle::from(config.serves.then(|| serve::relay(keypair.public().into()))),
        relayed: clients.relayed,
    };
    let outside = Outside::new(AtRelay::new(clients.outside, keypair.public()));
    let gate = GateConfig {
        patience: limits.patience,
        beat: limits.beat,
        ban: limits.ban,
        max_unproven: limits.unproven,
        max_handshakes_per_host: limits.handshakes_per_host,
    };
    let gate = Gate::new(mesh, config.mesh.clone(), local, gate, outside.to_relays());
    let node = Node::new(gate, outside, limits);
    Ok((node, topic))
}

fn yamux() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}
