//! What a [`Net`](super::Net) is started with, and every limit it keeps.

use std::time::Duration;

use libp2p::Multiaddr;
use snug_crypto::{
    generation::{MeshKey, Topic},
    identity::TransportKey,
};

/// Rooms of up to this many members hand each message to every link at once, with a thin mesh beside it; larger ones leave it to a
/// thicker mesh. With ten members in the room the thin one costs half the CPU and half the latency of gossipsub's defaults, and a
/// random mesh of three links each holds a hundred together; what it misses all the same is fetched.
pub(crate) const SMALL_ROOM: u16 = 100;

/// What a [`Net`](super::Net) is started with.
pub struct NetConfig {
    /// The key that is this peer: fresh for each room and run.
    pub transport: TransportKey,
    /// Proves to other peers that this one is of the room, and they to it.
    pub mesh: MeshKey,
    /// Names the room on the mesh.
    pub topic: Topic,
    /// Where to listen; see [`NetConfig::default_listen`].
    pub listen: Vec<Multiaddr>,
    /// Whether any free port will do where one of those is taken.
    pub any_port: bool,
    /// The room's policy: it decides how gossip spreads, so all members must go by the same number.
    pub max_participants: u16,
    /// Whether relays are used: to be called through, and to call others.
    pub relays: bool,
    /// Whether we relay for members who can't reach each other, when we can be reached ourselves.
    pub serves: bool,
    /// Everything that is bounded.
    pub limits: NetLimits,
}

impl NetConfig {
    /// TCP and QUIC on any free port of all interfaces, IPv4 and IPv6.
    #[must_use]
    pub fn default_listen() -> Vec<Multiaddr> {
        Self::listen_on(0)
    }

    /// The same on this port, in each of the four. 0 is any free one.
    #[must_use]
    pub fn listen_on(port: u16) -> Vec<Multiaddr> {
        use libp2p::multiaddr::Protocol;
        use std::net::{Ipv4Addr, Ipv6Addr};

        let hosts = [
            Multiaddr::from(Ipv4Addr::UNSPECIFIED),
            Multiaddr::from(Ipv6Addr::UNSPECIFIED),
        ];
        let tcp = hosts.iter().cloned().map(|host| host.with(Protocol::Tcp(port)));
        let quic = hosts
            .iter()
            .cloned()
            .map(|host| host.with(Protocol::Udp(port)).with(Protocol::QuicV1));
        tcp.chain(quic).collect()
    }
}

/// Everything that is bounded, with the values that suit a person's own computer.
#[derive(Clone, Debug)]
pub struct NetLimits {
    /// Connections at once, in both directions.
    pub connections: u32,
    /// Connections to one peer: two when both dial at once, and as many again while an old one is dying, or through a relay.
    pub connections_per_peer: u32,
    /// Inbound connections in the transport's handshake at once.
    pub handshakes: u32,
    /// …and of those, from one host.
    pub handshakes_per_host: usize,
    /// Inbound connections at once that haven't proven to be of the room.
    pub unproven: usize,
    /// Time for a new connection to prove itself, both ways.
    pub patience: Duration,
    /// How long a peer that failed its proof is refused.
    pub ban: Duration,
    /// Between two signs of life on a link; three that fail to come end it.
    pub beat: Duration,
    /// Dials under way at once.
    pub dials: usize,
    /// Links beyond which nobody is asked whom else to dial: the mesh needs fewer, and holds together with half of them gone.
    pub enough_links: usize,
    /// Requests under way at once with one peer, in each direction; what is more is refused.
    pub direct_streams: usize,
    /// Time for a request and its reply.
    pub direct_timeout: Duration,
    /// This process's memory, in bytes, past which no further connection is taken.
    pub memory_bytes: usize,
}

impl Default for NetLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_peer: 4,
            handshakes: 256,
            handshakes_per_host: 64,
            unproven: 64,
            patience: Duration::from_secs(5),
            ban: Duration::from_secs(30),
            beat: Duration::from_secs(5),
            dials: 16,
            enough_links: 8,
            direct_streams: 16,
            direct_timeout: Duration::from_secs(10),
            memory_bytes: 1 << 30,
        }
    }
}
