//! Puts transports, protocols and limits together.

use std::time::Duration;

use libp2p::{PeerId, Swarm, SwarmBuilder, dcutr, identity::Keypair, noise, relay, tcp, yamux};
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
    peer,
    watch::Watch,
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

/// The swarm, not listening yet, and our own key.
pub(crate) fn build(config: &mut NetConfig) -> Result<(Swarm<Node>, CurrentTopic, PeerKey), NetError> {
    let keypair = peer::keypair(&config.transport).ok_or(NetError::Key)?;
    let local = peer::key_of(&PeerId::from(keypair.public())).ok_or(NetError::Key)?;
    let mut topic = None;
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
        .with_relay_client(noise::Config::new, yamux)
        .map_err(|error| NetError::Setup {
            reason: error.to_string(),
        })?
        .with_behaviour(
            |keypair, relay| -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
                let (node, of) = node(config, keypair, local, relay)?;
                topic = Some(of);
                Ok(node)
            },
        )
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
    let topic = topic.ok_or_else(|| NetError::Setup {
        reason: "there is no topic".to_owned(),
    })?;
    Ok((swarm, topic, local))
}

fn node(
    config: &NetConfig,
    keypair: &Keypair,
    local: PeerKey,
    relay: relay::client::Behaviour,
) -> Result<(Node, CurrentTopic), NetError> {
    let limits = &config.limits;
    let (gossip, topic) = gossip::gossip(&gossip::topic(&config.topic), config.max_participants)?;
    let mesh = Mesh {
        gossip: Watch::new(gossip),
        direct: direct(limits),
        exchange: exchange(limits.direct_timeout),
        identify: identify(keypair.public()),
        punch: dcutr::Behaviour::new(keypair.public().into()),
    };
    let outside = Outside::new(AtRelay::new(relay, keypair.public()));
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
