//! What the actor does with what its three parts tell it.

use libp2p::Multiaddr;
use snug_crypto::credential::SignedTombstone;
use snug_crypto::generation::MeshKey;
use snug_crypto::ids::IdentityKey;

use super::actor::Actor;
use super::arrive::{Away, proves_deletion};
use super::heartbeat::Report;
use super::{ActError, CloseReason, Closed, EventKind, RendezvousState, SendError};
use crate::contacts::Contact;
use crate::net::NetEvent;
use crate::rendezvous::ServerError;
use crate::room::{CommandRefused, Input, KeeperContact, Knock, Output, RoomEvent, SendRefused};
use crate::text::Untrusted;

/// Who has lost a link and has fewer than these looks for members on the local network at once, and not only when it is time.
const FEW_LINKS: usize = 3;

impl Actor {
    /// Dials those whom login and invite named, and where there is no rendezvous to name anybody, those whom an earlier run knew. If there
    /// is nobody, the heartbeat's answer decides: a peer that logged in at the same moment is known only then.
    pub(super) fn begin(&mut self, introductions: &[Vec<u8>], addresses: Vec<Multiaddr>, away: Option<Away>) {
        let mut dials = self.net.call(addresses) + self.dial_introduced(introductions);
        if self.client.is_none() || away.is_some() {
            dials += self.call_remembered();
        }
        match away {
            Some(Away::Unreachable(error)) => {
                self.introduce(dials);
                self.on_away(&error);
            }
            // The heartbeat tells.
            Some(Away::Refused) => self.introduce(dials),
            None if dials > 0 => self.introduce(dials),
            // Somebody may be found on the local network in a moment, which a newcomer waits for anyway.
            None if self.client.is_none() && self.looking.is_none() => self.introduce(0),
            None => {}
        }
    }

    pub(super) fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Listening(_) | NetEvent::NotListening(_) => {
                let presentable = self.net.presentable();
                let addresses: Vec<String> = self.net.dialable().iter().map(Multiaddr::to_string).collect();
                if let Some(router) = &self.router {
                    router.tell(&presentable);
                }
                if let Some(looking) = &self.looking {
                    looking.send_if_modified(|looking| {
                        let is_news = looking.addresses != presentable;
                        looking.addresses = presentable;
                        is_news
                    });
                }
                self.addresses.send_if_modified(|known| {
                    let is_news = *known != addresses;
                    *known = addresses;
                    is_news
                });
            }
            NetEvent::LinkUp { peer } => {
                self.links.insert(peer);
                self.linked.send_replace(self.links.len());
                self.remember_soon();
                self.introductions.settled(&peer);
                self.feed(Input::LinkUp { peer });
            }
            NetEvent::LinkDown { peer } => {
                self.links.remove(&peer);
                self.linked.send_replace(self.links.len());
                if let (Some(looking), true) = (&self.looking, self.links.len() < FEW_LINKS) {
                    looking.send_modify(|looking| looking.lost += 1);
                }
                self.feed(Input::LinkDown { peer });
            }
            NetEvent::Gossip { from, id, bytes } => self.feed(Input::Gossip { from, id, bytes }),
            NetEvent::Request { from, id, bytes } => {
                self.linger();
                self.feed(Input::Request { from, id, bytes });
            }
            NetEvent::Response { id, bytes } => {
                self.questions.remove(&id);
                self.feed(Input::Response { id, bytes });
            }
            NetEvent::Knock { from, id, bytes, .. } => self.feed(Input::Knock { from, id, bytes }),
            NetEvent::Door { from, bytes } => self.feed(Input::Door { from, bytes }),
            NetEvent::DialFailed { peer } => {
                self.introductions.settled(&peer);
                self.on_unreachable();
                self.feed(Input::Unreachable);
            }
            NetEvent::CallFailed => self.feed(Input::Unreachable),
        }
    }

    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            // Gathered before anything else of its batch.
            Output::Persist(_) => {}
            Output::Publish { bytes } => {
                if let Err(error) = self.net.publish(bytes) {
                    // Gossip promises nothing; members compare what they have and fetch what is missing.
                    tracing::debug!(%error, "a frame was not published");
                }
            }
            Output::Verdict { id, verdict } => self.net.verdict(id, verdict),
            Output::Query { to, id, bytes } => {
                self.questions.insert(id);
                self.net.query(to, id, bytes);
            }
            Output::Fetch { keys } => self.fetch(&keys),
            Output::Respond { id, bytes } => self.net.respond(id, bytes),
            Output::Disconnect { peer } => self.net.disconnect(peer),
            Output::Sent { ticket, result } => {
                if let Some(sender) = self.sends.remove(&ticket) {
                    let result = result.map_err(|refused| match refused {
                        SendRefused::Closed => SendError::Closed(Closed),
                        refused => SendError::Refused(refused),
                    });
                    // An error means that the caller gave up waiting; the message is sent all the same.
                    let _ = sender.send(result);
                }
            }
            Output::Commanded { ticket, result } => {
                if let Some(sender) = self.acts.remove(&ticket) {
                    let result = result.map_err(|refused| match refused {
                        CommandRefused::Closed => ActError::Closed(Closed),
                        refused => ActError::Refused(refused),
                    });
                    // An error means that the caller gave up waiting.
                    let _ = sender.send(result);
                }
            }
            Output::Audited { ticket, report } => {
                if let Some(sender) = self.audits.remove(&ticket) {
                    // An error means that the caller gave up waiting.
                    let _ = sender.send(*report);
                }
            }
            Output::Move(there) => self.move_to(*there),
            Output::Knock(Knock { plain, telling }) => self.net.set_questions(plain, telling),
            Output::Keepers { keys, keepers } => self.call_keepers(keys, keepers),
            Output::DeleteAtRendezvous { tombstone } => self.delete_at_rendezvous(&tombstone),
            Output::Remember(people) => self.remember(&people),
            Output::Event(event) => self.on_room_event(event),
        }
    }

    fn on_room_event(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::Ready { member, members, epoch } => self.emit(EventKind::Ready { member, members, epoch }),
            RoomEvent::Message(message) => self.emit(EventKind::Message(message)),
            RoomEvent::Receipt(receipt) => self.emit(EventKind::Receipt(receipt)),
            RoomEvent::System(notice) => self.emit(notice.into()),
            RoomEvent::Warning(warning) => self.emit(warning.into()),
            RoomEvent::Gap { from, missing } => self.emit(EventKind::Gap { from, missing }),
            RoomEvent::Resent { was, id } => self.emit(EventKind::Resent { was, id }),
            RoomEvent::Left => {
                self.forget_membership();
                self.close(CloseReason::Left);
            }
            RoomEvent::Offline => self.close(CloseReason::Offline),
            RoomEvent::Full { max } => {
                self.emit(EventKind::Error {
                    message: Untrusted::new(format!(
                        "The room is full: its policy allows {max} members. You were not let in; try again when somebody has left."
                    )),
                });
                self.forget_membership();
                self.close(CloseReason::Full);
            }
            RoomEvent::Removed => {
                self.forget_membership();
                self.close(CloseReason::Removed);
            }
            RoomEvent::Deleted => {
                self.forget_room();
                self.forget_membership();
                self.close(CloseReason::Deleted);
            }
        }
    }

    pub(super) fn on_report(&mut self, report: Report) {
        match report {
            Report::Introductions(records) => self.on_introductions(&records),
            Report::Relays(located) => self.on_relays(located),
            Report::Away(error) => self.on_away(&error),
            Report::Superseded(object) => self.feed(Input::Object { bytes: object }),
            Report::Gone(tombstone) => self.on_gone(tombstone),
            Report::ShutOut(why) => {
                self.rendezvous = RendezvousState::Unreachable;
                self.warn(format!(
                    "The rendezvous {} lets this node in no more: {why}. The room goes on among those who are here; nobody new finds you.",
                    self.server()
                ));
            }
        }
    }

    /// Somebody on the local network looks for what we look for, or says so.
    pub(super) fn on_found(&mut self, records: &[Vec<u8>]) {
        let dials = self.dial_introduced(records);
        if dials > 0 {
            self.introduce(dials);
        }
    }

    fn on_introductions(&mut self, records: &[Vec<u8>]) {
        if self.rendezvous == RendezvousState::Unreachable {
            self.emit(EventKind::System {
                event: "rendezvous",
                message: Untrusted::new(format!("The rendezvous {} is back.", self.server())),
                notice: None,
            });
        }
        self.rendezvous = RendezvousState::Connected;
        self.tend_capsule();
        self.tend_registration();
        let dials = self.dial_introduced(records);
        self.introduce(dials);
    }

    /// Tells the room, once, how many peers it may wait for.
    fn introduce(&mut self, links_expected: usize) {
        if !self.is_introduced {
            self.is_introduced = true;
            self.feed(Input::Introduced { links_expected });
        }
    }

    fn on_away(&mut self, error: &ServerError) {
        if self.rendezvous != RendezvousState::Unreachable {
            self.rendezvous = RendezvousState::Unreachable;
            let dials = self.call_remembered();
            self.introduce(dials);
            self.warn(format!(
                "{error}. The room goes on among those who are here; nobody new finds you until it is back."
            ));
        }
    }

    /// Only the admin's word deletes a room; without it the server is lying.
    fn on_gone(&mut self, tombstone: Option<Box<SignedTombstone>>) {
        let admin = *self.genesis.admin();
        match tombstone.filter(|tombstone| proves_deletion(tombstone, &self.room_id, self.genesis.hash(), &admin)) {
            Some(tombstone) => self.feed(Input::Tombstone {
                bytes: tombstone.to_bytes().to_vec(),
            }),
            None => {
                self.rendezvous = RendezvousState::Unreachable;
                self.warn(format!(
                    "The rendezvous {} says that this room was deleted, and can't prove it: its admin did not sign that. \
                     Don't trust this server. The room goes on among those who are here; nobody new finds you.",
                    self.server()
                ));
            }
        }
    }

    fn dial_introduced(&mut self, records: &[Vec<u8>]) -> usize {
        if let Some(ahead) = self.introductions.clock_ahead_ms(records) {
            let way = if ahead < 0 { "behind" } else { "ahead of" };
            let by = in_words(ahead.unsigned_abs());
            self.warn(format!(
                "This machine's clock is {by} {way} most members'. Set it: members whose clocks are more than two hours apart don't \
                 see each other. If it is right, the rendezvous hands out old records."
            ));
        }
        let chosen = self.introductions.choose(records, &self.links);
        let dials = chosen.len();
        for introduced in chosen {
            self.net.dial(introduced.peer, introduced.addresses);
        }
        dials
    }

    fn remember(&mut self, people: &[(IdentityKey, Option<Contact>)]) {
        if let Err(error) = self.profile.keep_contacts(people) {
            self.warn(format!(
                "Whom you met and verified could not be stored: {error}. The next run won't know of it."
            ));
        }
    }

    /// Keepers can't log in at the rendezvous, so they are called where the room's log says.
    fn call_keepers(&mut self, keys: Vec<MeshKey>, keepers: Vec<KeeperContact>) {
        // Known before they are called: it decides what is proven to them.
        let questions = keepers.iter().map(|keeper| (keeper.peer, keeper.question.clone()));
        self.net.set_keepers(keys, questions.collect());
        for keeper in &keepers {
            let addresses = keeper.addresses.iter().filter_map(|address| address.parse().ok());
            self.net.call_member(addresses.collect());
        }
    }

    pub(super) fn warn(&mut self, message: String) {
        self.emit(EventKind::Warning {
            message: Untrusted::new(message),
        });
    }
}

/// A time, roughly.
fn in_words(ms: u64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2_880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}
