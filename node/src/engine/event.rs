//! What a node tells its front end, in order, and never waiting for it.

use std::sync::Arc;

use snug_crypto::ids::{EpochId, Fingerprint, MessageId};
use snug_crypto::invite::Serverless;
use snug_crypto::names::RoomKey;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

use crate::room::{MemberView, Message, Notice, Receipt, Warning};
use crate::text::Untrusted;

/// Events that wait for a slow front end; beyond that the oldest go, and it is told how many. A frame's content is at most 32 KiB, so
/// a flood costs at most 16 MiB until it is read.
pub(super) const EVENTS: usize = 512;
/// Stretches of missed messages that are told apart; beyond that the oldest two become one, with what lies between.
const MAX_MISSED: usize = 64;

/// Something to show or to report.
#[derive(Clone, Debug)]
pub struct Event {
    /// When this node learnt of it, milliseconds since 1970.
    pub at_unix_ms: u64,
    /// What it is.
    pub kind: EventKind,
}

/// What an [`Event`] is about.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// An epoch that contains us is held: messages can be sent.
    Ready {
        /// Ourselves.
        member: Fingerprint,
        /// Everybody, ourselves included.
        members: Vec<MemberView>,
        /// The epoch.
        epoch: EpochId,
    },
    /// A message of a member; each is told exactly once.
    Message(Message),
    /// A message of ours that nobody had is on its way again, under another id.
    Resent {
        /// The id that it had.
        was: MessageId,
        /// The one that it has now.
        id: MessageId,
    },
    /// A message of ours has got further. Only the newest are followed, and numbers may skip.
    Receipt(Receipt),
    /// Messages of a member are missing between others of its own; 0 once they have come.
    Gap {
        /// Whose.
        from: MemberView,
        /// How many.
        missing: u64,
    },
    /// A notice for people.
    System {
        /// The stable word for programs, as PRODUCT lists them.
        event: &'static str,
        /// The exact sentence, for programs.
        message: Untrusted,
        /// The room's notice, if it is one: what is shown to people is made from it, as the name in it may be half a sentence.
        notice: Option<Notice>,
    },
    /// The room has another Room Key: this is what to hand on from now on.
    NewRoomKey {
        /// The key. Shared rather than copied: it is a secret.
        room_key: Arc<RoomKey>,
        /// The rest of it, for invites to a room without a rendezvous; as secret.
        serverless: Arc<Serverless>,
    },
    /// Something the user should know of; the room goes on.
    Warning {
        /// The sentence.
        message: Untrusted,
    },
    /// Something failed that the user relied on; if the room can't go on, [`EventKind::Closed`] follows.
    Error {
        /// The sentence.
        message: Untrusted,
    },
    /// The reader was too slow: this many events before the next one are lost to it. Where anything is kept, messages wait in the vault for
    /// a reader that is behind, and aren't among them; if one is, it comes again in the next run of this profile. Authors aren't told that
    /// these were shown.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// The last event.
    Closed(CloseReason),
}

/// Why a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// As asked.
    Left,
    /// As asked: our membership stays, and mail waits.
    Offline,
    /// The room's admin deleted it.
    Deleted,
    /// The room removed us.
    Removed,
    /// The room holds as many members as its policy allows.
    Full,
    /// A defect of ours; an [`EventKind::Error`] before says which.
    Failed,
}

impl CloseReason {
    /// The process's exit status (PRODUCT).
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Left | Self::Offline => 0,
            Self::Deleted | Self::Removed => 5,
            Self::Full | Self::Failed => 1,
        }
    }
}

/// The receiving end of a node's events.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
    closed: bool,
    /// The last message handed out.
    serial: u64,
    told: watch::Sender<Confirmed>,
}

/// What a front end says of the messages that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// The last that was shown.
    pub told: u64,
    /// The last that was read.
    pub read: u64,
    /// What it never was given: from after the one up to the other, in their order.
    pub missed: Vec<(u64, u64)>,
}

impl Confirmed {
    fn miss(&mut self, after: u64, to: u64) {
        self.missed.push((after, to));
        if self.missed.len() > MAX_MISSED {
            let (_, to) = self.missed.remove(1);
            self.missed[0].1 = to;
        }
    }
}

impl Events {
    pub(super) fn new(receiver: broadcast::Receiver<Event>, told: watch::Sender<Confirmed>) -> Self {
        Self {
            receiver,
            closed: false,
            serial: 0,
            told,
        }
    }

    /// All that was received so far has been shown: it need not be shown again, whatever happens to this process. A message that
    /// isn't confirmed, or was missed ([`EventKind::Lagged`]), comes again in the next run of this profile, marked as such.
    pub fn told(&self) {
        self.told_to(self.serial);
    }

    /// The same for what was received up to a message.
    pub fn told_to(&self, serial: u64) {
        self.told.send_if_modified(|confirmed| {
            let is_news = confirmed.told < serial;
            confirmed.told = confirmed.told.max(serial);
            is_news
        });
    }

    /// The user was shown, and has read, what was received up to a message; its authors are told, unless that is switched off.
    pub fn read_to(&self, serial: u64) {
        self.told.send_if_modified(|confirmed| {
            let is_news = confirmed.read < serial;
            confirmed.told = confirmed.told.max(serial);
            confirmed.read = confirmed.read.max(serial);
            is_news
        });
    }

    /// An event that has come already, if there is one.
    pub fn try_recv(&mut self) -> Option<Event> {
        if self.closed {
            return None;
        }
        let event = match self.receiver.try_recv() {
            Ok(event) => event,
            Err(TryRecvError::Lagged(missed)) => Event::now(EventKind::Lagged { missed }),
            // The end is told to who waits for it.
            Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
        };
        self.note(&event);
        Some(event)
    }

    /// The last message handed out: what [`Self::told_to`] and [`Self::read_to`] confirm.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    fn note(&mut self, event: &Event) {
        if let EventKind::Message(message) = &event.kind {
            // The room leaves no number out. Whoever hears of the next confirmation hears of this first.
            if message.serial > self.serial + 1 {
                self.told.send_if_modified(|confirmed| {
                    confirmed.miss(self.serial, message.serial - 1);
                    false
                });
            }
            self.serial = self.serial.max(message.serial);
        }
        self.closed = matches!(event.kind, EventKind::Closed(_));
    }

    /// The next event; `None` after [`EventKind::Closed`]. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        if self.closed {
            return None;
        }
        let event = match self.receiver.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(missed)) => Event::now(EventKind::Lagged { missed }),
            // The actor always says why it ends, unless it panicked.
            Err(RecvError::Closed) => Event::now(EventKind::Closed(CloseReason::Failed)),
        };
        self.note(&event);
        Some(event)
    }
}

impl Event {
    /// What is told in place of an end that nobody told of.
    pub fn ended() -> Self {
        Self::now(EventKind::Closed(CloseReason::Failed))
    }

    pub(super) fn now(kind: EventKind) -> Self {
        Self {
            at_unix_ms: super::clock::unix_ms(),
            kind,
        }
    }
}

impl From<Notice> for EventKind {
    fn from(notice: Notice) -> Self {
        Self::System {
            event: notice.event(),
            message: notice.text(),
            notice: Some(notice),
        }
    }
}

impl From<Warning> for EventKind {
    fn from(warning: Warning) -> Self {
        Self::Warning {
            message: warning.text(),
        }
    }
}
