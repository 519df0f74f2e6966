//! What the room tells the people in front of it, in their words (the contract of `system` events).

use snug_crypto::ids::{EpochId, Fingerprint, MessageId};
use snug_crypto::operation::Role;

use crate::text::Untrusted;

/// One member as the others see it.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// The name it chose; names may repeat.
    pub name: Untrusted,
    /// What tells members of one name apart.
    pub fingerprint: Fingerprint,
    /// What it may do.
    pub role: Role,
    /// Whether the user compared safety numbers with it.
    pub verified: bool,
    /// Whether it can be reached now.
    pub online: bool,
    /// Whether it is ourselves.
    pub me: bool,
}

/// Something that happened in the room.
#[derive(Clone, Debug)]
pub enum RoomEvent {
    /// An epoch that contains us is held: we can send and be read.
    Ready {
        /// Ourselves.
        member: Fingerprint,
        /// Everybody, ourselves included.
        members: Vec<MemberView>,
        /// The epoch.
        epoch: EpochId,
    },
    /// A message; shown exactly once.
    Message(Message),
    /// A notice of who comes and goes.
    System(Notice),
    /// Something that the user should know of, and that does not stop the room.
    Warning(Warning),
    /// A message of ours that nobody had is on its way again, under another id.
    Resent {
        /// The id that it had.
        was: MessageId,
        /// The one that it has now.
        id: MessageId,
    },
    /// We have left, as asked.
    Left,
    /// We are offline, as asked.
    Offline,
    /// The room was deleted; nothing more will come.
    Deleted,
    /// The room holds as many members as its policy allows; we were not let in.
    Full {
        /// The policy's number.
        max: u16,
    },
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// H(frame_hash, index).
    pub id: MessageId,
    /// Who signed it.
    pub from: MemberView,
    /// What it says.
    pub text: Untrusted,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Hashes of the frames its author had seen, at most 8.
    pub parents: Vec<[u8; 32]>,
    /// When its author says it was sent, milliseconds since 1970.
    pub sent_at_ms: u64,
    /// Rises with each frame's messages: what [`super::Input::Told`] confirms.
    pub serial: u64,
    /// It was on its way to the user when an earlier run was killed, who may have seen it then. Everything else is told once.
    pub again: bool,
}

/// A notice, the room's bot of old: computed by each member for itself, from what it can verify.
#[derive(Clone, Debug)]
pub enum Notice {
    /// We are in.
    Welcome {
        /// The room.
        room: String,
        /// Our name in it.
        name: Untrusted,
    },
    /// A member joined: told with the first exact epoch that holds it.
    Joined {
        /// The room.
        room: String,
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// A member left for good, or its leaf expired.
    Left {
        /// The room.
        room: String,
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// A member can't be reached, and is still a member.
    Offline {
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// A member can be reached again.
    Online {
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// The admin deleted the room.
    RoomDeleted {
        /// The room.
        room: String,
    },
}

impl Notice {
    /// The stable word for programs.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Welcome { .. } => "welcome",
            Self::Joined { .. } => "join",
            Self::Left { .. } => "leave",
            Self::Offline { .. } => "offline",
            Self::Online { .. } => "online",
            Self::RoomDeleted { .. } => "delete",
        }
    }

    /// Whom it is about, where it is about one member.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Joined { fingerprint, .. }
            | Self::Left { fingerprint, .. }
            | Self::Offline { fingerprint, .. }
            | Self::Online { fingerprint, .. } => Some(*fingerprint),
            Self::Welcome { .. } | Self::RoomDeleted { .. } => None,
        }
    }

    /// The name that it mentions.
    pub fn name(&self) -> Option<&Untrusted> {
        match self {
            Self::Welcome { name, .. }
            | Self::Joined { name, .. }
            | Self::Left { name, .. }
            | Self::Offline { name, .. }
            | Self::Online { name, .. } => Some(name),
            Self::RoomDeleted { .. } => None,
        }
    }

    /// The exact sentence, for programs. Not for people: a name may be half a sentence, see [`Self::text_naming`].
    pub fn text(&self) -> Untrusted {
        self.text_naming(self.name().map_or("", Untrusted::exact))
    }

    /// The sentence with the name as `shown`: a name that could pass for something else has to be shown as what it is.
    pub fn text_naming(&self, shown: &str) -> Untrusted {
        Untrusted::new(match self {
            Self::Welcome { room, .. } => format!("Welcome to the room {room}, {shown}."),
            Self::Joined { room, .. } => format!("{shown} has joined the room {room}."),
            Self::Left { room, .. } => format!("{shown} has left the room {room}."),
            Self::Offline { .. } => format!("{shown} is offline."),
            Self::Online { .. } => format!("{shown} is online."),
            Self::RoomDeleted { room } => format!("The room {room} has been deleted."),
        })
    }
}

/// What may go wrong without ending the room.
#[derive(Clone, Debug)]
pub enum Warning {
    /// Another process speaks for our identity in this room.
    IdentityInUse,
    /// An issuer made an epoch whose box for us is bad, and proved it with its signature.
    BadEpoch {
        /// The issuer's name.
        issuer: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// A member's record contradicts itself: two different ones under one sequence number.
    Equivocation {
        /// Whose.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
}

impl Warning {
    /// The sentence for people.
    pub fn text(&self) -> Untrusted {
        Untrusted::new(match self {
            Self::IdentityInUse => "Another process uses your identity in this room. If it is not you, make a new \
                                    identity with a new profile (--profile) and tell the others."
                .to_owned(),
            Self::BadEpoch { issuer, fingerprint } => {
                format!(
                    "{} ({fingerprint}) issued keys that do not fit; they were refused.",
                    issuer.name()
                )
            }
            Self::Equivocation { name, fingerprint } => format!(
                "{} ({fingerprint}) told members different things under one number. Its device is broken or hostile.",
                name.name()
            ),
        })
    }
}
