//! The handle of a running node: cheap to clone, usable from any task.

use futures::future::BoxFuture;
use snug_crypto::ids::{Fingerprint, MessageId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::{ActError, Closed, RoomInfo, SendError, Status};
use crate::room::{self, Acquaintance, AuditReport, KeeperView, MemberView};

/// Commands that wait for the actor. Beyond that the caller waits: that is where a flood of messages is slowed down. More than a front
/// end has under way at once, so that its messages are taken in the order in which they were said.
pub(super) const COMMANDS: usize = 256;

/// A running node. When the last handle is gone, the node goes offline; with an ephemeral profile it leaves the room.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    links: watch::Receiver<usize>,
}

#[derive(Debug)]
pub(super) enum Command {
    Send {
        text: String,
        reply_to: Option<MessageId>,
        /// Whom it is for, if for one alone.
        to: Option<Fingerprint>,
        reply: oneshot::Sender<Result<MessageId, SendError>>,
    },
    Act {
        command: room::Command,
        reply: oneshot::Sender<Result<(), ActError>>,
    },
    Members(oneshot::Sender<Vec<MemberView>>),
    Applicants(oneshot::Sender<Vec<MemberView>>),
    Keepers(oneshot::Sender<Vec<KeeperView>>),
    Acquaintance {
        who: Fingerprint,
        reply: oneshot::Sender<Option<Acquaintance>>,
    },
    Audit(oneshot::Sender<AuditReport>),
    Info(oneshot::Sender<RoomInfo>),
    Status(oneshot::Sender<Status>),
    Leave(oneshot::Sender<()>),
    Offline(oneshot::Sender<()>),
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<Command>, links: watch::Receiver<usize>) -> Self {
        Self { commands, links }
    }

    /// Whether nobody is linked with us, not even a keeper: what is said now waits for somebody.
    pub fn is_alone(&self) -> bool {
        *self.links.borrow() == 0
    }

    /// Sends a message, and returns its id once it is sealed and given to the mesh. Before the room is ready it waits. Messages are taken
    /// in the order of the calls, whenever their futures are polled, unless hundreds wait already.
    ///
    /// # Errors
    /// [`SendError::Refused`] for a message that can't be sent as it is; [`SendError::Closed`] if the node ended meanwhile.
    pub fn send(
        &self,
        text: impl Into<String>,
        reply_to: Option<MessageId>,
    ) -> BoxFuture<'static, Result<MessageId, SendError>> {
        self.queue(None, text.into(), reply_to)
    }

    /// Says something to one member alone; else as [`Self::send`].
    ///
    /// # Errors
    /// As [`Self::send`]; also refused if there is no such member, or no longer.
    pub fn send_direct(
        &self,
        to: Fingerprint,
        text: impl Into<String>,
        reply_to: Option<MessageId>,
    ) -> BoxFuture<'static, Result<MessageId, SendError>> {
        self.queue(Some(to), text.into(), reply_to)
    }

    fn queue(
        &self,
        to: Option<Fingerprint>,
        text: String,
        reply_to: Option<MessageId>,
    ) -> BoxFuture<'static, Result<MessageId, SendError>> {
        let (reply, receiver) = oneshot::channel();
        let queued = self.commands.try_send(Command::Send {
            text,
            reply_to,
            to,
            reply,
        });
        let commands = self.commands.clone();
        Box::pin(async move {
            match queued {
                Ok(()) => {}
                Err(TrySendError::Full(command)) => commands.send(command).await.map_err(|_| Closed)?,
                Err(TrySendError::Closed(_)) => return Err(Closed.into()),
            }
            receiver.await.map_err(|_| Closed)?
        })
    }

    /// Acts as the room's admin, or as one of its moderators. Returns once it counts here; the others hear of it as soon as they can.
    ///
    /// # Errors
    /// [`ActError`]
    pub async fn act(&self, command: room::Command) -> Result<(), ActError> {
        self.ask(|reply| Command::Act { command, reply }).await?
    }

    /// Everybody in the room, ourselves included.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn members(&self) -> Result<Vec<MemberView>, Closed> {
        self.ask(Command::Members).await
    }

    /// Who asks to be let in, where newcomers need a moderator.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn applicants(&self) -> Result<Vec<MemberView>, Closed> {
        self.ask(Command::Applicants).await
    }

    /// The room's keepers.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn keepers(&self) -> Result<Vec<KeeperView>, Closed> {
        self.ask(Command::Keepers).await
    }

    /// What to compare with somebody; `None` of ourselves, and of whom nothing is known.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn acquaintance(&self, who: Fingerprint) -> Result<Option<Acquaintance>, Closed> {
        self.ask(|reply| Command::Acquaintance { who, reply }).await
    }

    /// Checks the transcript, with the help of those we are linked with: takes up to three seconds.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn audit(&self) -> Result<AuditReport, Closed> {
        self.ask(Command::Audit).await
    }

    /// What the room is.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn info(&self) -> Result<RoomInfo, Closed> {
        self.ask(Command::Info).await
    }

    /// How this node is.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn status(&self) -> Result<Status, Closed> {
        self.ask(Command::Status).await
    }

    /// Leaves the room for good: the others are told, our presence is withdrawn, the mesh is closed. Returns when that is done, within
    /// two seconds; a node that has ended already is left.
    pub async fn leave(&self) {
        // Either way the node is gone afterwards.
        let _ = self.ask(Command::Leave).await;
    }

    /// Goes offline: membership stays, and what others say waits for the next run. With an ephemeral profile, which can't come back, this
    /// is [`Self::leave`]. Returns when it is done, within four seconds.
    pub async fn go_offline(&self) {
        // Either way the node is gone afterwards.
        let _ = self.ask(Command::Offline).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(command(sender)).await.map_err(|_| Closed)?;
        receiver.await.map_err(|_| Closed)
    }
}
