//! What the full screen shows, as a state without a terminal: events and keys go in, things to do come out.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use snug::engine::{EventKind, RendezvousState, RoomInfo, Status};
use snug::room::{MemberView, Message, Notice};
use snug_crypto::ids::{Fingerprint, MessageId};

use super::composer::Composer;
use super::timeline::{Delivery, Entry, Kind, Timeline};
use crate::front::acts::Act;
use crate::front::direct;
use crate::front::people::{People, describe};
use crate::front::plain;
use crate::front::receipts::Sent;
use crate::front::typed::{self, COMMANDS, Typed};
use crate::front::verify::Verify;

/// Rows of one message that are shown.
const MAX_MESSAGE_LINES: usize = 200;

/// What is to be done outside the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this text; the number comes back with [`State::sent`].
    Send {
        ticket: u64,
        text: String,
        /// Whom it is for, if for one alone.
        to: Option<Fingerprint>,
    },
    /// Go offline and end.
    Quit,
    /// Leave the room for good and end.
    Leave,
    /// Fetch the members, to show them in the timeline.
    ListMembers,
    /// Fetch room and status, to show them in the timeline.
    Info,
    /// Show what to hand on.
    Invite,
    /// Do what only an admin or a moderator may, or say what one knows of somebody.
    Act(Act),
    /// Fetch the room's rules.
    Policy,
    /// Fetch who waits to be let in.
    Applicants,
    /// Check the transcript.
    Audit,
    /// Fetch the safety number with somebody, or compare it.
    Verify(Verify),
    /// Draw everything anew.
    Redraw,
}

/// The whole screen.
pub struct State {
    pub room: String,
    pub timeline: Timeline,
    pub composer: Composer,
    pub members: Vec<MemberView>,
    pub people: People,
    /// Whether messages can be sent.
    pub ready: bool,
    pub leaving: bool,
    pub help: bool,
    /// Whether the members' column is wanted; narrow terminals have none.
    pub show_members: bool,
    pub rendezvous: RendezvousState,
    pub links: usize,
    pub color: bool,
    /// Height of the timeline as last drawn, for paging.
    pub page: usize,
    /// False while the terminal says that it isn't looked at.
    focused: bool,
    tickets: u64,
    sent: Sent,
    zone: TimeZone,
}

impl State {
    /// A room that is being entered. Times are shown in `zone`.
    pub fn new(room: String, color: bool, zone: TimeZone) -> Self {
        let mut state = Self {
            timeline: Timeline::new(color),
            room,
            composer: Composer::default(),
            members: Vec::new(),
            people: People::default(),
            ready: false,
            leaving: false,
            help: false,
            show_members: true,
            rendezvous: RendezvousState::Connecting,
            links: 0,
            color,
            page: 10,
            focused: true,
            tickets: 0,
            sent: Sent::default(),
            zone,
        };
        state.note(["Enter sends, F1 shows the keys, /help the commands.".to_owned()]);
        state
    }

    /// Takes in an event; whether the list of members may have changed.
    pub fn event(&mut self, at_unix_ms: u64, kind: &EventKind) -> bool {
        match kind {
            EventKind::Ready { members, .. } => {
                self.ready = true;
                self.set_members(members.clone());
            }
            EventKind::Message(message) => self.message(at_unix_ms, message),
            EventKind::System { message, notice, .. } => {
                let sentence = self.people.sentence(message, notice.as_ref());
                let alarm = matches!(notice, Some(Notice::KeyChanged { .. }));
                let kind = if alarm { Kind::Warning } else { Kind::Notice };
                self.push(at_unix_ms, kind, vec![sentence]);
                return true;
            }
            EventKind::Receipt(receipt) => {
                self.timeline.receipt(*receipt);
                self.sent.note(receipt);
            }
            EventKind::Resent { was, id } => {
                self.timeline.resent(*was, *id);
                self.sent.resent(*was, *id);
            }
            EventKind::Gap { from, missing } => {
                let name = self.people.label(from);
                let (kind, text) = match missing {
                    0 => (Kind::Notice, format!("What was missing of {name} has come.")),
                    _ => (
                        Kind::Warning,
                        format!("{missing} messages of {name} are missing; /audit says more."),
                    ),
                };
                self.push(at_unix_ms, kind, vec![text]);
            }
            EventKind::Warning { message } => self.push(at_unix_ms, Kind::Warning, vec![message.line()]),
            EventKind::Error { message } => self.push(at_unix_ms, Kind::Warning, vec![message.line()]),
            EventKind::Lagged { missed } => {
                let text = format!("{missed} events came too fast and were not shown.");
                self.push(at_unix_ms, Kind::Warning, vec![text]);
                return true;
            }
            _ => {}
        }
        false
    }

    /// The members as they are now.
    pub fn set_members(&mut self, mut members: Vec<MemberView>) {
        members.iter().for_each(|member| self.people.note(member));
        members.sort_by_key(|member| (!member.online, member.name.name().to_lowercase(), member.fingerprint));
        self.members = members;
    }

    /// The node's state as it is now.
    pub fn set_status(&mut self, status: &Status) {
        self.rendezvous = status.rendezvous;
        self.links = status.links.len();
    }

    /// How the sending of a message went; a text that failed goes back into the composer if that is empty.
    pub fn sent(&mut self, ticket: u64, text: String, to: Option<Fingerprint>, result: Result<MessageId, String>) {
        match result {
            Ok(id) => {
                self.timeline.delivered(ticket, Delivery::Sent);
                self.timeline.out(ticket, id);
                self.sent.add(id, &text);
            }
            Err(error) => {
                self.timeline.delivered(ticket, Delivery::Failed);
                self.push(now(), Kind::Warning, vec![format!("Not sent: {error}")]);
                let again = to.map_or(text.clone(), |to| format!("/dm {to} {text}"));
                self.composer.put_back(again);
            }
        }
    }

    /// Why something typed here was not done.
    pub fn refused(&mut self, why: &str) {
        self.push(now(), Kind::Warning, vec![why.to_owned()]);
    }

    /// Shows the members in the timeline.
    pub fn list_members(&mut self, members: Vec<MemberView>) {
        self.set_members(members);
        let lines: Vec<_> = self
            .members
            .iter()
            .map(|member| describe(&self.people, member))
            .collect();
        self.note(lines);
    }

    /// The members who go by the name of somebody with another key, as the user knows them.
    pub fn alarms(&self) -> Vec<String> {
        let changed = self.members.iter().filter(|member| member.key_changed);
        changed.map(|member| self.people.label(member)).collect()
    }

    /// Shows an answer in the timeline.
    pub fn answered(&mut self, lines: Vec<String>) {
        if !lines.is_empty() {
            self.note(lines);
        }
    }

    /// Shows the room in the timeline.
    pub fn info(&mut self, info: &RoomInfo, status: &Status) {
        self.set_status(status);
        self.note(plain::about(info, status));
    }

    /// Pasted text: it goes into the composer, line breaks and all, and waits there for Enter.
    pub fn paste(&mut self, text: &str) {
        self.help = false;
        if !self.composer.insert(text) {
            self.note(["The message is as long as it can be; the rest of the paste was left out.".to_owned()]);
        }
    }

    /// Whether somebody looks at the newest rows.
    pub fn is_seen(&self) -> bool {
        self.focused && self.timeline.is_at_bottom() && !self.help
    }

    /// The terminal came to the front, or went.
    pub fn focus(&mut self, focused: bool) {
        self.focused = focused;
    }

    /// Obeys a key.
    pub fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.focused = true;
        self.timeline.look();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        if control && key.code == KeyCode::Char('c') {
            return Some(Action::Quit);
        }
        if self.help {
            self.help = false;
            return None;
        }
        match key.code {
            KeyCode::Char('d') if control && self.composer.is_empty() => return Some(Action::Quit),
            KeyCode::Char('l') if control => return Some(Action::Redraw),
            KeyCode::F(1) => self.help = true,
            KeyCode::F(2) => self.show_members = !self.show_members,
            KeyCode::PageUp => self.timeline.scroll(self.page.max(2) as isize - 1),
            KeyCode::PageDown => self.timeline.scroll(1 - self.page.max(2) as isize),
            KeyCode::Up if control || alt => self.timeline.scroll(1),
            KeyCode::Down if control || alt => self.timeline.scroll(-1),
            KeyCode::Home if control => self.timeline.go_to_top(),
            KeyCode::End if control => self.timeline.go_to_bottom(),
            KeyCode::Esc if self.timeline.is_at_bottom() => self.timeline.mark_read(),
            KeyCode::Esc => self.timeline.go_to_bottom(),
            KeyCode::Enter if alt || key.modifiers.contains(KeyModifiers::SHIFT) => self.composer.insert_key('\n'),
            KeyCode::Char('j') if control => self.composer.insert_key('\n'),
            KeyCode::Enter => return self.submit(),
            _ => self.edit(key.code, control, alt),
        }
        None
    }

    fn edit(&mut self, code: KeyCode, control: bool, alt: bool) {
        let composer = &mut self.composer;
        match code {
            KeyCode::Char('a') if control => composer.home(),
            KeyCode::Char('e') if control => composer.end(),
            KeyCode::Char('b') if control => composer.left(),
            KeyCode::Char('f') if control => composer.right(),
            KeyCode::Char('k') if control => composer.delete_to_end(),
            KeyCode::Char('u') if control => composer.delete_to_start(),
            KeyCode::Char('w') if control => composer.delete_word(),
            KeyCode::Char('h') if control => composer.backspace(),
            KeyCode::Char('b') if alt => composer.word_left(),
            KeyCode::Char('f') if alt => composer.word_right(),
            KeyCode::Char(c) if !control && !alt => composer.insert_key(c),
            KeyCode::Left if control || alt => composer.word_left(),
            KeyCode::Right if control || alt => composer.word_right(),
            KeyCode::Left => composer.left(),
            KeyCode::Right => composer.right(),
            KeyCode::Up => composer.up(),
            KeyCode::Down => composer.down(),
            KeyCode::Home => composer.home(),
            KeyCode::End => composer.end(),
            KeyCode::Backspace if alt || control => composer.delete_word(),
            KeyCode::Backspace => composer.backspace(),
            KeyCode::Delete => composer.delete(),
            _ => {}
        }
    }

    fn submit(&mut self) -> Option<Action> {
        let understood = typed::parse(self.composer.text());
        if let Typed::Unknown(word) = &understood {
            // It stays where it can be mended.
            let word = word.clone();
            self.push(now(), Kind::Warning, vec![typed::unknown(&word)]);
            return None;
        }
        self.composer.take();
        match understood {
            Typed::Nothing | Typed::Unknown(_) => None,
            Typed::Say(text) => Some(self.say(text, None)),
            Typed::Direct(typed) => match direct::addressed(&self.members, &typed) {
                Ok((to, text)) => Some(self.say(text.to_owned(), Some(to))),
                Err(why) => {
                    self.refused(&format!("Not sent: {why}"));
                    self.composer.put_back(format!("/dm {typed}"));
                    None
                }
            },
            Typed::Members => Some(Action::ListMembers),
            Typed::Sent => {
                self.note(self.sent.lines());
                None
            }
            Typed::Info => Some(Action::Info),
            Typed::Invite => Some(Action::Invite),
            Typed::Act(act) => Some(Action::Act(act)),
            Typed::Verify(asked) => Some(Action::Verify(asked)),
            Typed::Policy => Some(Action::Policy),
            Typed::Applicants => Some(Action::Applicants),
            Typed::Audit => Some(Action::Audit),
            Typed::DeleteRoom(room) if room == self.room => Some(Action::Act(Act::DeleteRoom)),
            Typed::DeleteRoom(_) => {
                self.refused(typed::OTHER_ROOM);
                None
            }
            Typed::Usage(usage) => {
                self.refused(&format!("Type: {usage}"));
                None
            }
            Typed::Help => {
                self.timeline.go_to_bottom();
                self.note(COMMANDS.map(|(command, what)| format!("{command}: {what}")));
                None
            }
            Typed::Quit => Some(Action::Quit),
            Typed::Leave => Some(Action::Leave),
        }
    }

    /// Shows what is about to be sent.
    fn say(&mut self, text: String, to: Option<Fingerprint>) -> Action {
        self.tickets += 1;
        let (ticket, delivery) = (self.tickets, Delivery::Sending);
        let me = self.members.iter().find(|member| member.me);
        let mut name = me.map_or_else(|| "you".to_owned(), |me| self.people.label(me));
        if let Some(to) = to {
            name.push_str(&format!(" [to {} alone]", direct::label(&self.members, to)));
        }
        let lines = snug::text::Untrusted::new(text.as_str()).lines(MAX_MESSAGE_LINES);
        self.timeline.mark_read();
        self.timeline.go_to_bottom();
        let mine = Kind::Mine {
            name,
            ticket,
            delivery,
            receipt: None,
        };
        self.push(now(), mine, lines);
        Action::Send { ticket, text, to }
    }

    fn message(&mut self, at: u64, message: &Message) {
        if message.from.me {
            return;
        }
        self.people.note(&message.from);
        let mut name = self.people.label(&message.from);
        if message.from.key_changed {
            name.push_str(" [KEY CHANGED]");
        }
        if message.direct {
            name.push_str(direct::MARK);
        }
        let hue = hue(&message.from.fingerprint);
        self.push(at, Kind::Message { name, hue }, message.text.lines(MAX_MESSAGE_LINES));
    }

    /// An answer to something typed here.
    fn note(&mut self, lines: impl IntoIterator<Item = String>) {
        self.push(now(), Kind::Note, lines.into_iter().collect());
    }

    fn push(&mut self, at_unix_ms: u64, kind: Kind, lines: Vec<String>) {
        let at = i64::try_from(at_unix_ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let time = at
            .unwrap_or_default()
            .to_zoned(self.zone.clone())
            .strftime("%H:%M")
            .to_string();
        self.timeline.push(Entry { time, kind, lines }, self.focused);
    }
}

/// A member's colour, the same on every screen.
pub fn hue(fingerprint: &Fingerprint) -> u8 {
    fingerprint.as_bytes()[0]
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}
