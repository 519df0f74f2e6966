//! What a [`Net`](super::Net) tells its owner, and the ways in which it refuses.

use libp2p::Multiaddr;
use snug_crypto::PeerKey;

use crate::room::{GossipId, QueryId, RequestId};

/// Something happened on the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// This peer can be reached at one more address.
    Listening(Multiaddr),
    /// This address is gone.
    NotListening(Multiaddr),
    /// The peer has proven to be of the room, and takes gossip from us; once however many connections there are.
    LinkUp {
        /// Who.
        peer: PeerKey,
    },
    /// The last connection to that peer is gone.
    LinkDown {
        /// Who.
        peer: PeerKey,
    },
    /// A frame came in, at most [`MAX_GOSSIP_BYTES`](snug_crypto::bounds::MAX_GOSSIP_BYTES) of it. It is forwarded only
    /// after [`Net::verdict`](super::Net::verdict) accepts it, which must be within about two seconds to count.
    Gossip {
        /// The peer that handed it to us; seldom its author.
        from: PeerKey,
        /// For the verdict.
        id: GossipId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A peer asks something; it waits for [`Net::respond`](super::Net::respond).
    Request {
        /// Who asks.
        from: PeerKey,
        /// For the reply.
        id: RequestId,
        /// The question, at most [`MAX_DIRECT_BYTES`](snug_crypto::bounds::MAX_DIRECT_BYTES).
        bytes: Vec<u8>,
    },
    /// What became of a request of ours; every [`Net::query`](super::Net::query) gets exactly one.
    Response {
        /// The request.
        id: QueryId,
        /// The reply; `None` if there was none: no link, no time left, or too large.
        bytes: Option<Vec<u8>>,
    },
    /// A peer of another generation asks something at the door; it waits for [`Net::respond`](super::Net::respond).
    Knock {
        /// Who asks.
        from: PeerKey,
        /// For the reply.
        id: RequestId,
        /// The question, at most [`MAX_DIRECT_BYTES`](snug_crypto::bounds::MAX_DIRECT_BYTES).
        bytes: Vec<u8>,
        /// Whether it proved the key of the generation that we are in, which it has left; else it proved an earlier one's.
        ahead: bool,
    },
    /// A peer that is in another generation answered what we ask there.
    Door {
        /// Who.
        from: PeerKey,
        /// Its answer, at most [`MAX_DIRECT_BYTES`](snug_crypto::bounds::MAX_DIRECT_BYTES).
        bytes: Vec<u8>,
    },
    /// None of a peer's addresses led to a link. They are tried a few times more before they are forgotten.
    DialFailed {
        /// Who.
        peer: PeerKey,
    },
    /// Nobody of the room answered a [`Net::call`](super::Net::call). It goes on; this is said once.
    CallFailed,
}

/// A [`Net`](super::Net) could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The transport key is not a valid Ed25519 key.
    #[error("the transport key is not valid")]
    Key,
    /// A library refused its settings.
    #[error("the mesh could not be set up: {reason}")]
    Setup {
        /// What it said.
        reason: String,
    },
    /// Not one of the addresses could be listened on.
    #[error("cannot listen on any of the addresses; the last error was: {reason}")]
    Listen {
        /// What the system said about the last of them.
        reason: String,
    },
}

/// A frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No link is up.
    #[error("nobody is connected")]
    NoPeers,
    /// Every peer's queue is full. The frame counts as known all the same, so it can't be published again: slow down.
    #[error("all peers are too slow to take more")]
    QueueFull,
    /// More than [`MAX_GOSSIP_BYTES`](snug_crypto::bounds::MAX_GOSSIP_BYTES).
    #[error("a frame of {size} bytes is too large for gossip")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The same bytes were sent, or came in, within the last five minutes.
    #[error("that frame is already on the mesh")]
    Duplicate,
}

/// What a [`Net`](super::Net) has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Links that are up right now.
    pub links: usize,
    /// Those of them that lead through a relay.
    pub relayed: usize,
    /// Whether we relay for members who can't reach each other.
    pub serves: bool,
    /// Links of others that lead through us right now.
    pub carried: usize,
    /// …and since the start.
    pub carried_ever: u64,
    /// Reservations and circuits of others that were refused for their number.
    pub carry_refused: u64,
    /// Inbound connections that are unproven right now.
    pub unproven: usize,
    /// Frames of ours that were published.
    pub published: u64,
    /// Bytes of them.
    pub published_bytes: u64,
    /// Frames that came in, each counted once.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
    /// Frames with the verdict "reject".
    pub rejected: u64,
    /// Frames that no verdict came for before too many others waited.
    pub unjudged: u64,
    /// Frames for a peer that left its queue too late, or found it full, and were dropped.
    pub dropped: u64,
    /// Times that a peer was too slow.
    pub slow_peers: u64,
    /// Connections that offered a wrong proof.
    pub wrong_proofs: u64,
    /// Connections that ended before they proved anything.
    pub unproven_closed: u64,
    /// Links that were closed because the peer fell silent.
    pub silent: u64,
    /// Connections on which gossipsub was about to give up for good, and that were closed for that.
    pub wedged: u64,
    /// Dials begun.
    pub dials: u64,
    /// Dials that failed at all addresses.
    pub dials_failed: u64,
    /// Requests of peers that were handed on.
    pub requests: u64,
    /// Requests of ours that got no reply.
    pub queries_failed: u64,
}
