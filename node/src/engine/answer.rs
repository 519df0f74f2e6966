//! What the actor answers to its handles.

use snug_crypto::ids::{Fingerprint, MessageId};
use tokio::sync::oneshot;

use super::actor::Actor;
use super::handle::Command;
use super::{Closed, RoomInfo, SendError, Status};
use crate::room::{Input, Ticket};
use crate::text::Untrusted;

/// Messages that are taken at once, at most: as many as one frame carries.
const SAID_TOGETHER: usize = snug_crypto::bounds::MAX_CONTENTS;

impl Actor {
    fn said(
        &mut self,
        text: String,
        reply_to: Option<MessageId>,
        to: Option<Fingerprint>,
        reply: oneshot::Sender<Result<MessageId, SendError>>,
    ) -> Input {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.sends.insert(ticket, reply);
        match to {
            None => Input::Send { ticket, text, reply_to },
            Some(to) => Input::Direct {
                ticket,
                to,
                text,
                reply_to,
            },
        }
    }

    /// An error of a reply means that the caller gave up waiting.
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Send { reply, .. } if self.closing.is_some() => {
                let _ = reply.send(Err(Closed.into()));
            }
            Command::Send {
                text,
                reply_to,
                to,
                reply,
            } => {
                let mut said = vec![self.said(text, reply_to, to, reply)];
                // What waits behind it is mostly of the same kind, and looked at together.
                let mut other = None;
                while said.len() < SAID_TOGETHER
                    && let Ok(next) = self.commands.try_recv()
                {
                    match next {
                        Command::Send {
                            text,
                            reply_to,
                            to,
                            reply,
                        } => said.push(self.said(text, reply_to, to, reply)),
                        next => {
                            other = Some(next);
                            break;
                        }
                    }
                }
                self.feed_all(said);
                if let Some(other) = other {
                    self.on_command(other);
                }
            }
            Command::Act { reply, .. } if self.closing.is_some() => {
                let _ = reply.send(Err(Closed.into()));
            }
            Command::Act { command, reply } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.acts.insert(ticket, reply);
                self.feed(Input::Command { ticket, command });
            }
            Command::Members(reply) => {
                let _ = reply.send(self.room.members(self.clock.now()));
            }
            Command::Applicants(reply) => {
                let _ = reply.send(self.room.applicants(self.clock.now()));
            }
            Command::Keepers(reply) => {
                let _ = reply.send(self.room.keepers());
            }
            Command::Acquaintance { who, reply } => {
                let _ = reply.send(self.room.acquaintance(who));
            }
            // Dropped unanswered when the node ends.
            Command::Audit(_) if self.closing.is_some() => {}
            Command::Audit(reply) => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.audits.insert(ticket, reply);
                self.feed(Input::Audit { ticket });
            }
            Command::Info(reply) => {
                let _ = reply.send(self.info());
            }
            Command::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Command::Leave(reply) => {
                self.leavers.push(reply);
                self.leave();
            }
            Command::Offline(reply) => {
                self.leavers.push(reply);
                self.depart();
            }
        }
    }

    fn info(&self) -> RoomInfo {
        let facts = self.room.facts(self.clock.now());
        RoomInfo {
            room: self.room_id.clone(),
            description: Untrusted::new(self.genesis.description()),
            generation: facts.generation,
            genesis: self.genesis.hash(),
            policy: facts.policy,
            members: facts.members,
            created_at_unix_ms: self.genesis.created_at_ms(),
            server: self.client.as_ref().map(|client| client.server().clone()),
        }
    }

    fn status(&self) -> Status {
        let facts = self.room.facts(self.clock.now());
        Status {
            room: self.room_id.clone(),
            member: self.room.fingerprint(),
            epoch: facts.epoch,
            shed: facts.shed,
            links: (self.links.iter())
                .filter(|peer| !self.room.is_keeper_linked(peer))
                .copied()
                .collect(),
            addresses: self.net.addresses(),
            relay: self.net.relay(),
            upnp: self.upnp(),
            reach: self.reach(),
            rendezvous: self.rendezvous,
            net: self.net.stats(),
        }
    }
}
