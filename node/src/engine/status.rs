//! What a node says about itself when asked.

use libp2p::Multiaddr;
use snug_crypto::genesis::Policy;
use snug_crypto::ids::{EpochId, Fingerprint, GenesisHash, PeerKey};
use snug_crypto::names::RoomId;

use crate::net::{NetStats, RelayState};
use crate::rendezvous::ServerUrl;
use crate::text::Untrusted;

/// The state of a running node, for `status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// The room.
    pub room: RoomId,
    /// Who we are in it.
    pub member: Fingerprint,
    /// The epoch we send under, once there is one.
    pub epoch: Option<EpochId>,
    /// Authenticated links, by peer.
    pub links: Vec<PeerKey>,
    /// Where other nodes can reach us.
    pub addresses: Vec<Multiaddr>,
    /// Where the room can be reached, for an invite: at our own addresses and at those of members, linked ones first; at most 16.
    pub reach: Vec<Multiaddr>,
    /// Whether we can be called through a relay.
    pub relay: RelayState,
    /// Whether the home's router leads to us.
    pub upnp: UpnpState,
    /// The rendezvous, as last heard of.
    pub rendezvous: RendezvousState,
    /// What the mesh has counted.
    pub net: NetStats,
    /// Frames, records, announcements and questions that were let go because somebody said, or a link asked, too much.
    pub shed: u64,
}

/// How things stand with the home's router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpnpState {
    /// It is not asked, as we were told.
    Off,
    /// There is none, or none that opens a port for us.
    None,
    /// It leads a port of its own to us.
    Mapped,
}

impl UpnpState {
    /// The stable word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::None => "none",
            Self::Mapped => "mapped",
        }
    }
}

/// How things stand with the rendezvous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RendezvousState {
    /// Logged in, our presence not yet accepted.
    Connecting,
    /// The last heartbeat was accepted.
    Connected,
    /// The last heartbeats failed. The room goes on; nobody new finds us here.
    Unreachable,
    /// The room has none.
    None,
}

impl RendezvousState {
    /// The stable word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Unreachable => "unreachable",
            Self::None => "none",
        }
    }
}

/// What a room is, for `room.info`.
#[derive(Clone, Debug)]
pub struct RoomInfo {
    /// Its id.
    pub room: RoomId,
    /// What its founder said about it.
    pub description: Untrusted,
    /// How often its Room Key was changed.
    pub generation: u64,
    /// The hash of its founding record: what an invite names.
    pub genesis: GenesisHash,
    /// Its rules.
    pub policy: Policy,
    /// Members now, ourselves included.
    pub members: usize,
    /// When it was made, milliseconds since 1970, by its founder's clock.
    pub created_at_unix_ms: u64,
    /// Its rendezvous, if it has one.
    pub server: Option<ServerUrl>,
}
