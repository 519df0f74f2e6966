//! What the room tells the people in front of it, in their words (the contract of `system` events).

use snug_crypto::genesis::Policy;
use snug_crypto::ids::{EpochId, Fingerprint, MessageId};
use snug_crypto::operation::Role;

use super::Trust;
use crate::contacts::KeyChange;
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
    /// Whether its name belonged to somebody else, and the user has not accepted it under that.
    pub key_changed: bool,
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
    /// A message of ours has got further.
    Receipt(super::Receipt),
    /// A notice of who comes and goes.
    System(Notice),
    /// Something that the user should know of, and that does not stop the room.
    Warning(Warning),
    /// Messages of a member are missing between others of its own, and nobody has filled the gap for a while.
    Gap {
        /// Whose.
        from: MemberView,
        /// How many; 0 once they have come.
        missing: u64,
    },
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
    /// We were removed, or passed by; nothing more will come.
    Removed,
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
    /// Whether it was said to us alone.
    pub direct: bool,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Hashes of the frames its author had seen, at most 8.
    pub parents: Vec<[u8; 32]>,
    /// When its author says it was sent, milliseconds since 1970.
    pub sent_at_ms: u64,
    /// Rises with each message that is handed on: what [`super::Input::Told`] confirms.
    pub serial: u64,
    /// It was on its way to the user when an earlier run ended, who may have seen it then. Everything else is told once.
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
    /// A member was removed, and has not got the new Room Key.
    Removed {
        /// The room.
        room: String,
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
        /// Who did it; `None` where that is not known here.
        by: Option<Untrusted>,
    },
    /// We were removed.
    RemovedUs {
        /// The room.
        room: String,
        /// Who did it; `None` where that is not known here.
        by: Option<Untrusted>,
    },
    /// The room has a new Room Key that we were not given: whoever made it did not know of us.
    PassedBy {
        /// The room.
        room: String,
    },
    /// The room has a new Room Key, and so have we.
    Rekeyed {
        /// The room.
        room: String,
        /// Who made it; `None` where that is not known here.
        by: Option<Untrusted>,
    },
    /// A member has another role now.
    Role {
        /// The room.
        room: String,
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
        /// Which.
        role: Role,
    },
    /// The room's rules changed.
    Policy {
        /// The room.
        room: String,
        /// What they are now.
        policy: Policy,
    },
    /// We named a keeper.
    KeeperNamed {
        /// The room.
        room: String,
        /// Which.
        fingerprint: Fingerprint,
        /// What it begins with: for its owner.
        invite: String,
    },
    /// A keeper was removed.
    KeeperGone {
        /// The room.
        room: String,
        /// Which.
        fingerprint: Fingerprint,
    },
    /// Somebody named a keeper.
    Keeper {
        /// The room.
        room: String,
        /// Which.
        fingerprint: Fingerprint,
    },
    /// Somebody asks to be let in, and it is for us to say.
    Knocks {
        /// The room.
        room: String,
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// A moderator has to let us in.
    Waiting {
        /// The room.
        room: String,
    },
    /// A member goes by a name that belonged to another identity: comes again in each run, until the user accepts it.
    KeyChanged {
        /// Who.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
        /// Whose name it was, and whether that one was verified.
        change: KeyChange,
    },
    /// The user compared safety numbers with a member, or takes it back, or accepts a changed key.
    Trusted {
        /// Whom.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
        /// What the user said.
        trust: Trust,
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
            Self::Removed { .. } | Self::RemovedUs { .. } => "kick",
            Self::PassedBy { .. } | Self::Rekeyed { .. } => "rekey",
            Self::Role { .. } => "role",
            Self::Policy { .. } => "policy",
            Self::KeeperNamed { .. } => "keeper_invite",
            Self::Keeper { .. } | Self::KeeperGone { .. } => "keeper",
            Self::Knocks { .. } | Self::Waiting { .. } => "approval",
            Self::KeyChanged { .. } => "key_changed",
            Self::Trusted { .. } => "verify",
            Self::RoomDeleted { .. } => "delete",
        }
    }

    /// Whom it is about, where it is about one member.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self {
            Self::Joined { fingerprint, .. }
            | Self::Left { fingerprint, .. }
            | Self::Offline { fingerprint, .. }
            | Self::Online { fingerprint, .. }
            | Self::Removed { fingerprint, .. }
            | Self::Role { fingerprint, .. }
            | Self::KeyChanged { fingerprint, .. }
            | Self::Trusted { fingerprint, .. }
            | Self::Knocks { fingerprint, .. } => Some(*fingerprint),
            Self::Welcome { .. }
            | Self::RemovedUs { .. }
            | Self::PassedBy { .. }
            | Self::Rekeyed { .. }
            | Self::Policy { .. }
            | Self::KeeperNamed { .. }
            | Self::Keeper { .. }
            | Self::KeeperGone { .. }
            | Self::Waiting { .. }
            | Self::RoomDeleted { .. } => None,
        }
    }

    /// The name that it mentions.
    pub fn name(&self) -> Option<&Untrusted> {
        match self {
            Self::Welcome { name, .. }
            | Self::Joined { name, .. }
            | Self::Left { name, .. }
            | Self::Offline { name, .. }
            | Self::Online { name, .. }
            | Self::Removed { name, .. }
            | Self::Role { name, .. }
            | Self::KeyChanged { name, .. }
            | Self::Trusted { name, .. }
            | Self::Knocks { name, .. } => Some(name),
            Self::RemovedUs { by, .. } | Self::Rekeyed { by, .. } => by.as_ref(),
            Self::PassedBy { .. }
            | Self::Policy { .. }
            | Self::KeeperNamed { .. }
            | Self::Keeper { .. }
            | Self::KeeperGone { .. }
            | Self::Waiting { .. }
            | Self::RoomDeleted { .. } => None,
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
            Self::Removed { room, by, .. } => match by {
                Some(by) => format!("{shown} was removed from the room {room} by {}.", by.name()),
                None => format!("{shown} was removed from the room {room}."),
            },
            Self::RemovedUs { room, by: Some(_) } => format!("You were removed from the room {room} by {shown}."),
            Self::RemovedUs { room, by: None } => format!("You were removed from the room {room}."),
            Self::PassedBy { room } => format!(
                "The room {room} has a new Room Key that was not given to you. Ask a member for it, and join again."
            ),
            Self::Rekeyed { room, by: Some(_) } => format!("{shown} gave the room {room} a new Room Key."),
            Self::Rekeyed { room, by: None } => format!("The room {room} has a new Room Key."),
            Self::Role { room, role, .. } => match role {
                Role::Admin => format!("{shown} is an admin of the room {room} now."),
                Role::Moderator => format!("{shown} is a moderator of the room {room} now."),
                Role::Member => format!("{shown} is a simple member of the room {room} now."),
            },
            Self::KeeperNamed { invite, .. } => format!(
                "The keeper is named. On its machine, put this line into a file and start: snug keep --invite-file FILE\n{invite}"
            ),
            Self::KeeperGone { room, fingerprint } => {
                format!("The keeper {fingerprint} was removed from the room {room}; everybody else has a new Room Key.")
            }
            Self::Keeper { room, fingerprint } => {
                format!("The room {room} has another keeper, which holds what it can't read: {fingerprint}.")
            }
            Self::Policy { room, policy } => {
                format!(
                    "The rules of the room {room} have changed: {}.",
                    super::rules::in_words(policy).join("; ")
                )
            }
            Self::Knocks { room, fingerprint, .. } => format!(
                "{shown} ({fingerprint}) asks to be let into the room {room}: /approve {fingerprint} lets them in, /kick {fingerprint} \
                 turns them away."
            ),
            Self::Waiting { room } => format!(
                "Waiting for approval by a moderator of the room {room}. Until one lets you in you read nothing, and what you say waits."
            ),
            Self::KeyChanged {
                fingerprint, change, ..
            } => {
                let known = if change.was_verified {
                    "whom you verified"
                } else {
                    "whom you know by that name"
                };
                format!(
                    "{shown} has the key {fingerprint}, and not the key {} of the one {known}: a new device, somebody else of that name, or an \
                     impostor. Compare safety numbers (/verify) before you say anything that matters; /accept ends this warning.",
                    change.was
                )
            }
            Self::Trusted { trust, .. } => match trust {
                Trust::Verified => format!("You verified {shown}."),
                Trust::Unverified => format!("{shown} counts as not verified."),
                Trust::Accepted => format!("You accepted the key of {shown}."),
            },
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
    /// An issuer made an epoch, and what its box for us holds is of a later version of the protocol.
    LaterVersion {
        /// The issuer's name.
        issuer: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// A member gave two messages one place in its chain, and told some members one and some the other.
    Fork {
        /// Whose.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// Something that was to be said to one member alone was not sent: that one has gone.
    NotDelivered {
        /// Whose it was to be.
        name: Untrusted,
        /// Told apart by.
        fingerprint: Fingerprint,
    },
    /// So much was said while nobody read what this node shows that the oldest of it is gone.
    Overflown,
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
            Self::LaterVersion { issuer, fingerprint } => format!(
                "{} ({fingerprint}) uses a later version of Snug, whose keys this one can't read. Update Snug to read what is said under them.",
                issuer.name()
            ),
            Self::NotDelivered { name, fingerprint } => format!(
                "A direct message to {} ({fingerprint}) was not sent: that member is no longer in the room.",
                name.name()
            ),
            Self::Fork { name, fingerprint } => format!(
                "{} ({fingerprint}) told members different things: what you read of it isn't what others read. Its signatures prove it. \
                 Its device was restored from a copy, is broken or hostile; /audit says which messages.",
                name.name()
            ),
            Self::Overflown => "More was said than is kept for you while nobody read it here: the oldest messages of that time are not \
                                shown. Others may have them."
                .to_owned(),
            Self::Equivocation { name, fingerprint } => format!(
                "{} ({fingerprint}) told members different things under one number. Its device is broken or hostile.",
                name.name()
            ),
        })
    }
}
