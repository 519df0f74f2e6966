//! What goes into the room and what comes out of it. The room itself does no I/O, reads no clock and starts no task.

use std::time::Duration;

use snug_crypto::generation::MeshKey;
use snug_crypto::ids::{Fingerprint, IdentityKey, MessageId, PeerKey};
use snug_crypto::rest::RestBytes;

use super::{
    AuditReport, Change, Command, CommandRefused, GossipId, KeeperContact, Knock, Move, QueryId, RequestId, RoomEvent,
    Ticket, Verdict,
};
use crate::contacts::Contact;

/// The two clocks, read by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic, since a moment of the caller's choice: timers live on it.
    pub elapsed: Duration,
    /// Wall clock, milliseconds since 1970: rounds, expiry and what people read live on it.
    pub unix_ms: u64,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A link to a peer that proved the room's mesh key stands.
    LinkUp {
        /// The peer.
        peer: PeerKey,
    },
    /// The last link to a peer went down.
    LinkDown {
        /// The peer.
        peer: PeerKey,
    },
    /// A gossip frame arrived; it is answered by exactly one [`Output::Verdict`].
    Gossip {
        /// The neighbour that carried it (not its author).
        from: PeerKey,
        /// What the verdict names.
        id: GossipId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A peer asks; it is answered by at most one [`Output::Respond`].
    Request {
        /// Who asks.
        from: PeerKey,
        /// What the reply names.
        id: RequestId,
        /// An encoded `DirectRequest`.
        bytes: Vec<u8>,
    },
    /// The reply to a question of ours, or `None` when there will be none.
    Response {
        /// Which question.
        id: QueryId,
        /// An encoded `DirectReply`.
        bytes: Option<Vec<u8>>,
    },
    /// Introductions were looked for, and this many peers are being dialled; 0: there is nobody to be found.
    Introduced {
        /// Dials under way.
        links_expected: usize,
    },
    /// One of those who were being dialled can't be reached.
    Unreachable,
    /// The rendezvous says that the room is deleted, and shows this proof.
    Tombstone {
        /// An encoded tombstone.
        bytes: Vec<u8>,
    },
    /// The user sends a message; answered by exactly one [`Output::Sent`].
    Send {
        /// What the answer names.
        ticket: Ticket,
        /// The text, as typed.
        text: String,
        /// The message it answers.
        reply_to: Option<MessageId>,
    },
    /// The user says something to one other member alone; answered by exactly one [`Output::Sent`].
    Direct {
        /// What the answer names.
        ticket: Ticket,
        /// Whom.
        to: Fingerprint,
        /// The text, as typed.
        text: String,
        /// The message it answers.
        reply_to: Option<MessageId>,
    },
    /// The front end is far behind with what it was given, or has taken all of it. While it is behind, messages wait in the vault, if
    /// there is one.
    FrontEnd {
        /// Which.
        behind: bool,
    },
    /// The answer to one [`Output::Fetch`].
    Fetched {
        /// For each key its value, as it was kept; `None` if it can't be read.
        values: Vec<Option<RestBytes>>,
    },
    /// The front end was too slow, and will never be given the messages between these two: they aren't shown in this run, whatever
    /// [`Self::Told`] and [`Self::Read`] say of later ones.
    Missed {
        /// The [`super::Message::serial`] of the last before them; 0 for none.
        after: u64,
        /// That of the last of them.
        to: u64,
    },
    /// The user was shown all messages up to this one, but for those that were missed.
    Told {
        /// The last one's [`super::Message::serial`].
        serial: u64,
    },
    /// The user has read all messages up to this one, but for those that were missed; nothing, where others aren't told.
    Read {
        /// The last one's [`super::Message::serial`].
        serial: u64,
    },
    /// The user acts as admin or moderator; answered by exactly one [`Output::Commanded`].
    Command {
        /// What the answer names.
        ticket: Ticket,
        /// What to do.
        command: Command,
    },
    /// The user wants the transcript checked; answered by one [`Output::Audited`], unless the room ends before.
    Audit {
        /// What the answer names.
        ticket: Ticket,
    },
    /// The object of a new generation, as the rendezvous keeps it for members that come with an earlier Room Key.
    Object {
        /// An encoded `UnverifiedObject`.
        bytes: Vec<u8>,
    },
    /// A peer proved an earlier generation's mesh key, and asks at our door; answered by at most one [`Output::Respond`].
    Knock {
        /// Who asks.
        from: PeerKey,
        /// What the reply names.
        id: RequestId,
        /// An encoded `DirectRequest::Door`: anything else gets no answer.
        bytes: Vec<u8>,
    },
    /// A peer that is in another generation answered our knock.
    Door {
        /// Who.
        from: PeerKey,
        /// An encoded `DirectReply::Door`.
        bytes: Vec<u8>,
    },
    /// The user leaves for good.
    Leave,
    /// The user goes offline: our membership stays, and what others say waits for us.
    Offline,
    /// The time that [`super::Room::next_wake`] named has come.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// To be committed to disk, all of it or nothing, before anything that follows is done. First of its batch.
    Persist(Vec<Change>),
    /// Publish to the mesh.
    Publish {
        /// A sealed frame.
        bytes: Vec<u8>,
    },
    /// The answer to one [`Input::Gossip`].
    Verdict {
        /// Which.
        id: GossipId,
        /// What.
        verdict: Verdict,
    },
    /// Ask a peer.
    Query {
        /// Whom.
        to: PeerKey,
        /// What the reply will name.
        id: QueryId,
        /// An encoded `DirectRequest`.
        bytes: Vec<u8>,
    },
    /// Answer a peer.
    Respond {
        /// Which request.
        id: RequestId,
        /// An encoded `DirectReply`.
        bytes: Vec<u8>,
    },
    /// Close the links to a peer that broke the protocol.
    Disconnect {
        /// Whom.
        peer: PeerKey,
    },
    /// The answer to one [`Input::Send`] or [`Input::Direct`].
    Sent {
        /// Which.
        ticket: Ticket,
        /// The message's id once it is sealed and handed to the mesh.
        result: Result<MessageId, SendRefused>,
    },
    /// The answer to one [`Input::Command`].
    Commanded {
        /// Which.
        ticket: Ticket,
        /// Whether it is done.
        result: Result<(), CommandRefused>,
    },
    /// The answer to one [`Input::Audit`].
    Audited {
        /// Which.
        ticket: Ticket,
        /// What was found.
        report: Box<AuditReport>,
    },
    /// The net moves to another generation: all links end, and stand again once both ends have moved.
    Move(Box<Move>),
    /// What the net asks where a peer is in another generation; replaces the last one.
    Knock(Knock),
    /// The room's keepers, and what the net asks them at their doors; replaces the last ones. They are to be called.
    Keepers {
        /// What is proven on links with them: the current generation's, then those of the doors.
        keys: Vec<MeshKey>,
        /// Who they are.
        keepers: Vec<KeeperContact>,
    },
    /// We deleted the room: the rendezvous has to hear of it.
    DeleteAtRendezvous {
        /// An encoded tombstone.
        tombstone: Vec<u8>,
    },
    /// What was kept under these keys is wanted back; answered by one [`Input::Fetched`].
    Fetch {
        /// As in [`Change::key`].
        keys: Vec<Vec<u8>>,
    },
    /// The profile shall remember these people: what it knows of each, or nothing any more.
    Remember(Vec<(IdentityKey, Option<Contact>)>),
    /// Something for the user.
    Event(RoomEvent),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendRefused {
    /// Longer than a frame can carry.
    #[error("the message is too long: at most {max} bytes fit; send it in parts")]
    TooLong {
        /// The most bytes a text may have.
        max: usize,
    },
    /// Nothing to send.
    #[error("the message is empty")]
    Empty,
    /// Too much is waiting for the room's keys.
    #[error("{waiting} messages wait already, to be sent or for somebody to hear them; wait until they are out")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// Nobody of that fingerprint was ever here.
    #[error("there is no such member; /members lists them with their fingerprints")]
    NoSuchMember,
    /// A direct message to ourselves.
    #[error("that is you; a direct message is for somebody else")]
    Yourself,
    /// The reader of a direct message has left, or was removed.
    #[error("that member is no longer in the room, and can't read it; it was not sent")]
    Gone,
    /// The room is closed for us.
    #[error("you are no longer in this room")]
    Closed,
}
