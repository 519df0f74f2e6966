//! The front end for lines: a message is a line, a notice starts with an asterisk, and nothing is ever drawn over.
//! It suits screen readers, pipes and slow links.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use snug::engine::{Event, EventKind, Handle, Status, UpnpState};
use snug::room::{Message, Notice};
use snug::text::Untrusted;
use snug_crypto::bounds::MAX_TEXT_BYTES;

use super::acts::{self, Act};
use super::direct::{self, Wanted};
use super::input::Line;
use super::people::{People, describe, describe_keeper, members_in_words};
use super::receipts::Sent;
use super::session::{self, Dialect, Reaction, Unheard};
use super::turns::Turns;
use super::typed::{self, COMMANDS, Typed};
use super::{End, Failure, Room, audit, verify};
use crate::handout::Handout;
use crate::rules;

/// Lines of one message that are shown.
const MAX_MESSAGE_LINES: usize = 200;
/// What begins the second and later lines of a message.
const CONTINUED: &str = "    | ";

/// Runs until the room is left or closes.
pub async fn run(room: Room) -> Result<End, Failure> {
    let dialect = Plain {
        handle: room.handle.clone(),
        handout: room.handout,
        people: People::default(),
        here: None,
        sent: Sent::default(),
        unheard: Unheard::default(),
        turns: Turns::default(),
        refused: Arc::default(),
    };
    session::run(dialect, room.handle, room.events, room.ephemeral).await
}

struct Plain {
    handle: Handle,
    handout: Handout,
    people: People,
    /// Who was here when we came in, until it is told.
    here: Option<String>,
    /// What was said here last.
    sent: Sent,
    unheard: Unheard,
    turns: Turns,
    /// A line was not sent.
    refused: Arc<AtomicBool>,
}

impl Dialect for Plain {
    /// A line as long as the longest message, and the slash that makes one of what begins with a slash.
    const MAX_LINE: usize = MAX_TEXT_BYTES + 1;
    /// Who answers has read what came before.
    const TYPING_IS_READING: bool = true;

    fn event(&mut self, event: &Event) -> Reaction {
        Reaction::Show(match &event.kind {
            EventKind::Ready { members, .. } => {
                members.iter().for_each(|member| self.people.note(member));
                let others: Vec<_> = members.iter().filter(|m| !m.me).map(|m| self.people.label(m)).collect();
                // Who of them is online is told as links come up.
                self.here = Some(match others.as_slice() {
                    [] => "* Nobody else is a member yet.".into(),
                    others => format!("* Members: {}.", others.join(", ")),
                });
                Vec::new()
            }
            EventKind::Message(message) => said(&mut self.people, message),
            EventKind::System { message, notice, .. } => {
                // Who is here is told below the welcome, which follows at once.
                let mark = if matches!(notice, Some(Notice::KeyChanged { .. })) {
                    '!'
                } else {
                    '*'
                };
                std::iter::once(format!("{mark} {}", self.people.sentence(message, notice.as_ref())))
                    .chain(self.here.take())
                    .collect()
            }
            EventKind::Gap { from, missing } => vec![gap(&self.people.label(from), *missing)],
            EventKind::NewRoomKey { room_key, serverless } => {
                self.handout.rekey(room_key, serverless);
                Vec::new()
            }
            EventKind::Receipt(receipt) => {
                self.sent.note(receipt);
                Vec::new()
            }
            EventKind::Resent { was, id } => {
                self.sent.resent(*was, *id);
                Vec::new()
            }
            EventKind::Warning { message } => vec![format!("! Warning: {}", message.line())],
            EventKind::Error { message } => vec![format!("! Error: {}", message.line())],
            EventKind::Lagged { missed } => vec![format!("! {missed} events came too fast and were not shown.")],
            _ => Vec::new(),
        })
    }

    fn line(&mut self, line: Line) -> Reaction {
        let Line::Whole(bytes) = line else {
            self.refused.store(true, Ordering::Relaxed);
            return Reaction::Show(vec![format!(
                "! Not sent: the line is too long: at most {MAX_TEXT_BYTES} bytes fit; send it in parts."
            )]);
        };
        match typed::parse(&String::from_utf8_lossy(&bytes)) {
            Typed::Nothing => Reaction::Show(Vec::new()),
            Typed::Say(text) => {
                let (handle, unheard, sent) = (self.handle.clone(), self.unheard.clone(), self.sent.clone());
                let refused = Arc::clone(&self.refused);
                let sending = self.turns.say(&handle, text.clone(), None);
                Reaction::Await(Box::pin(async move {
                    match sending.await {
                        Ok(id) => {
                            sent.add(id, &text);
                            unheard.sent(&handle, id);
                            Vec::new()
                        }
                        Err(error) => {
                            refused.store(true, Ordering::Relaxed);
                            vec![format!("! Not sent: {error}")]
                        }
                    }
                }))
            }
            Typed::Direct(typed) => {
                let (handle, unheard, sent) = (self.handle.clone(), self.unheard.clone(), self.sent.clone());
                let (refused, turn) = (Arc::clone(&self.refused), self.turns.next());
                Reaction::Await(Box::pin(async move {
                    match direct::say(&handle, &Wanted::Typed(typed), None, turn).await {
                        Ok(said) => {
                            sent.add(said.id, &said.text);
                            unheard.sent(&handle, said.id);
                            // Whom it went to is worth a look: a name may have been completed wrongly.
                            let text = Untrusted::new(said.text).line();
                            vec![format!("* To {} alone: {text}", said.to)]
                        }
                        Err(unsaid) => {
                            refused.store(true, Ordering::Relaxed);
                            vec![format!("! Not sent: {}", unsaid.why())]
                        }
                    }
                }))
            }
            Typed::Members => {
                let handle = self.handle.clone();
                Reaction::Ask(Box::pin(members(handle)))
            }
            Typed::Sent => Reaction::Show(self.sent.lines().iter().map(|line| format!("* {line}")).collect()),
            Typed::Info => {
                let handle = self.handle.clone();
                Reaction::Ask(Box::pin(info(handle)))
            }
            Typed::Policy => {
                let handle = self.handle.clone();
                Reaction::Ask(Box::pin(async move {
                    let lines = rules::lines(&handle).await;
                    lines.iter().map(|line| format!("* {line}")).collect()
                }))
            }
            Typed::Applicants => {
                let handle = self.handle.clone();
                Reaction::Ask(Box::pin(async move {
                    let lines = applicants(&handle).await;
                    lines.iter().map(|line| format!("* {line}")).collect()
                }))
            }
            Typed::Audit => {
                let handle = self.handle.clone();
                Reaction::Ask(Box::pin(async move {
                    let report = handle.audit().await;
                    let lines = report.map(|report| audit::lines(&report)).unwrap_or_default();
                    lines.iter().map(|line| format!("* {line}")).collect()
                }))
            }
            Typed::Verify(asked) => {
                let handle = self.handle.clone();
                Reaction::Ask(Box::pin(async move {
                    match verify::perform(&handle, &asked).await {
                        Ok(known) => verify::lines(&asked, &known)
                            .iter()
                            .map(|line| format!("* {line}"))
                            .collect(),
                        Err(error) => vec![format!("! Not done: {error}.")],
                    }
                }))
            }
            Typed::Act(act) => self.act(act),
            Typed::DeleteRoom(room) if room == self.handout.room.as_str() => self.act(Act::DeleteRoom),
            Typed::DeleteRoom(_) => Reaction::Show(vec![format!("! {}", typed::OTHER_ROOM)]),
            Typed::Usage(usage) => Reaction::Show(vec![format!("! Type: {usage}")]),
            Typed::Invite => {
                let (handle, handout) = (self.handle.clone(), self.handout.clone());
                Reaction::Ask(Box::pin(async move {
                    match handle.status().await {
                        Ok(status) => handout.found_at(&status.reach).to_hand_on(),
                        Err(_) => handout.to_hand_on(),
                    }
                }))
            }
            Typed::Help => Reaction::Show(help()),
            Typed::Quit => Reaction::Quit,
            Typed::Leave => Reaction::Leave(Vec::new()),
            Typed::Unknown(word) => Reaction::Show(vec![format!("! {}", typed::unknown(&word))]),
        }
    }

    fn ended_early(&self, ephemeral: bool) -> Option<&'static str> {
        Some(match ephemeral {
            false => {
                "note: the input ended before the room was ready, so you are offline again; to stay, keep standard input open"
            }
            true => {
                "note: the input ended before the room was ready, so you left it again; to stay, keep standard input open"
            }
        })
    }

    fn unheard(&self) -> &Unheard {
        &self.unheard
    }

    fn turns(&mut self) -> &mut Turns {
        &mut self.turns
    }

    /// Who types sees what happened to a line.
    fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed) && !std::io::stdin().is_terminal()
    }

    /// Standard output is for what was said.
    fn nobody_heard(&mut self, unheard: usize, lost: bool) -> Vec<String> {
        match lost {
            true => eprintln!(
                "error: nobody was there: {unheard} of your messages are lost, because --ephemeral keeps nothing; stay until somebody is there"
            ),
            false => eprintln!(
                "note: nobody was there: {unheard} of your messages are kept until somebody is there while you are, for as long as the room keeps them"
            ),
        }
        Vec::new()
    }

    fn gave_up(&mut self, unsent: usize) -> Vec<String> {
        vec![format!(
            "! {unsent} of your lines could not be sent in time, and nothing is kept (--ephemeral)."
        )]
    }
}

impl Plain {
    /// What it leads to is told to all as a notice; only a refusal is told here.
    fn act(&mut self, act: Act) -> Reaction {
        let (handle, mut turn) = (self.handle.clone(), self.turns.next());
        Reaction::Await(Box::pin(async move {
            turn.comes().await;
            match acts::perform(&handle, act).await {
                Ok(()) => Vec::new(),
                Err(error) => vec![format!("! Not done: {error}.")],
            }
        }))
    }
}

/// Messages are missing, or have come.
fn gap(name: &str, missing: u64) -> String {
    match missing {
        0 => format!("* What was missing of {name} has come."),
        1 => format!("! A message of {name} is missing; /audit says more."),
        _ => format!("! {missing} messages of {name} are missing; /audit says more."),
    }
}

/// A message in lines. The second and later ones are marked, so that none can pass for somebody else's.
fn said(people: &mut People, message: &Message) -> Vec<String> {
    // What we said ourselves stands on the terminal already.
    if message.from.me {
        return Vec::new();
    }
    people.note(&message.from);
    let name = people.label(&message.from);
    let mut lines = message.text.lines(MAX_MESSAGE_LINES).into_iter();
    // Behind every message, until the user accepts the key.
    let name = if message.from.key_changed {
        format!("{name} [KEY CHANGED]")
    } else {
        name
    };
    let alone = if message.direct { direct::MARK } else { "" };
    let first = format!("{name}{alone}: {}", lines.next().unwrap_or_default());
    std::iter::once(first)
        .chain(lines.map(|line| format!("{CONTINUED}{line}")))
        .collect()
}

async fn members(handle: Handle) -> Vec<String> {
    let Ok(members) = handle.members().await else {
        return Vec::new();
    };
    let mut people = People::default();
    members.iter().for_each(|member| people.note(member));
    let keepers = handle.keepers().await.unwrap_or_default();
    let lines = members.iter().map(|member| describe(&people, member));
    lines
        .chain(keepers.iter().map(describe_keeper))
        .map(|line| format!("* {line}"))
        .collect()
}

/// What `/approve` alone says, in any front end.
pub async fn applicants(handle: &Handle) -> Vec<String> {
    let Ok(waiting) = handle.applicants().await else {
        return Vec::new();
    };
    if waiting.is_empty() {
        return vec!["Nobody waits to be let in".to_owned()];
    }
    let mut people = People::default();
    waiting.iter().for_each(|member| people.note(member));
    waiting.iter().map(|member| describe(&people, member)).collect()
}

async fn info(handle: Handle) -> Vec<String> {
    let (Ok(info), Ok(status)) = (handle.info().await, handle.status().await) else {
        return Vec::new();
    };
    about(&info, &status)
        .into_iter()
        .map(|line| format!("* {line}"))
        .collect()
}

/// What `/info` says, in any front end.
pub fn about(info: &snug::engine::RoomInfo, status: &Status) -> Vec<String> {
    let created = i64::try_from(info.created_at_unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let mut lines = vec![format!(
        "Room {}, {}",
        Untrusted::new(info.room.as_str()).line(),
        members_in_words(info.members)
    )];
    if !info.description.is_empty() {
        lines.push(info.description.line());
    }
    lines.extend(created.map(|created| format!("Made {}", created.strftime("%Y-%m-%d %H:%M UTC"))));
    lines.push(match &info.server {
        Some(server) => format!("Rendezvous {server} ({})", status.rendezvous.as_str()),
        None => "No rendezvous".to_owned(),
    });
    let (links, relayed) = (status.links.len(), status.net.relayed.min(status.links.len()));
    lines.push(match relayed {
        0 => format!("Linked directly with {}", members_in_words(links)),
        relayed => format!(
            "Linked with {}, {relayed} of them through a relay",
            members_in_words(links)
        ),
    });
    if status.net.carried > 0 {
        let links = if status.net.carried == 1 { "link" } else { "links" };
        lines.push(format!("{} {links} of others through you", status.net.carried));
    }
    if status.upnp == UpnpState::Mapped {
        lines.push("Your router leads to you (UPnP)".to_owned());
    }
    lines.push(format!("Your fingerprint {}", status.member));
    lines
}

fn help() -> Vec<String> {
    let commands = COMMANDS.iter().map(|(command, what)| format!("* {command}: {what}"));
    let rest = "* Anything else is said in the room; to begin with a slash, type two.".to_owned();
    commands.chain([rest]).collect()
}

#[cfg(test)]
mod tests {
    use snug::text::Untrusted;
    use snug_crypto::ids::MessageId;

    use super::super::people::tests::member;
    use super::*;

    #[test]
    fn one_message_can_not_pass_for_two() {
        let mut message = Message {
            id: MessageId::from_bytes([1; 32]),
            from: member("bob\nalice: x", 1),
            direct: false,
            text: Untrusted::new("hi\n* carol has left the room den.\r\nalice: me too\u{1b}[A"),
            reply_to: None,
            parents: Vec::new(),
            sent_at_ms: 0,
            serial: 1,
            again: false,
        };
        let mut people = People::default();
        assert_eq!(
            said(&mut people, &message),
            [
                "“bob alice: x”: hi",
                "    | * carol has left the room den.",
                "    | alice: me too\u{fffd}[A"
            ]
        );
        message.direct = true;
        assert_eq!(said(&mut people, &message)[0], "“bob alice: x” [to you alone]: hi");
        message.from.me = true;
        assert_eq!(said(&mut people, &message), Vec::<String>::new());
    }
}
