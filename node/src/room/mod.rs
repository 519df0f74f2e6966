//! The room as a state machine without I/O.

mod ids;

pub use ids::{GossipId, QueryId, RequestId, Ticket, Verdict};
