//! Names that the room and its surroundings use for things in flight. They mean nothing outside this process.

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    };
}

handle!(
    /// A gossip frame that the mesh handed in and that waits for a [`Verdict`].
    GossipId
);
handle!(
    /// A request of a peer that waits for its reply.
    RequestId
);
handle!(
    /// A request of ours that waits for a reply.
    QueryId
);
handle!(
    /// A message that the user asked to send, until it has left or was refused.
    Ticket
);

/// What the room thinks of a gossip frame: whether the mesh forwards it, and whether its carrier is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Authentic: forward it.
    Accept,
    /// Nothing to forward, nobody to blame (a duplicate, or our own lag).
    Ignore,
    /// Provably bad: costs the peer that carried it score.
    Reject,
}
