//! The full screen: a timeline, the members, and a composer. [`state`] knows no terminal, [`view`] only draws.

mod composer;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod timeline;
mod view;

use std::io::BufRead as _;
use std::time::Duration;

use crossterm::event::{Event as Input, EventStream};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::tz::TimeZone;
use snug::engine::{CloseReason, Event, EventKind, Events, Handle, RoomInfo, SendError, Status};
use snug::room::MemberView;
use snug::text::Untrusted;
use snug_crypto::ids::{Fingerprint, MessageId};

use self::state::{Action, State};
use self::terminal::Screen;
use super::acts;
use super::interrupt::Interrupts;
use super::people::describe_keeper;
use super::turns::{self, Turns};
use super::{End, Failure, Room, audit, plain, verify};
use crate::handout::Handout;
use crate::rules;

/// Requests that may wait for the room at once; beyond that keys wait.
const IN_FLIGHT: usize = 64;
/// How often the status line is brought up to date.
const STATUS: Duration = Duration::from_secs(2);
/// Shortest time between two drawings: a flood of messages is drawn in strides.
const FRAME: Duration = Duration::from_millis(16);
/// How long the end waits for a drawing that the terminal hasn't taken.
const LAST_DRAWING: Duration = Duration::from_secs(2);
/// How long the end of an input stream may take to be noticed.
const SETTLE: Duration = Duration::from_millis(20);
/// How long leaving may take: longer than a busy machine and its disk need. Who won't wait presses Ctrl-C again.
const LEAVE: Duration = Duration::from_secs(30);

/// An answer of the node.
enum Answer {
    Sent {
        ticket: u64,
        text: String,
        to: Option<Fingerprint>,
        result: Result<MessageId, SendError>,
    },
    Members(Vec<MemberView>),
    ListMembers(Vec<MemberView>),
    Info(Box<(RoomInfo, Status)>),
    Status(Box<Status>),
    /// What was asked for, in lines.
    Lines(Vec<String>),
    /// An act was refused, for this reason.
    Refused(String),
    Left,
    /// The node has ended: its last event says why.
    Nothing,
}

type Answers = FuturesUnordered<BoxFuture<'static, Answer>>;

/// Runs until the room is left or closes; then says in a line how it ended.
pub async fn run(room: Room) -> Result<End, Failure> {
    let handle = room.handle.clone();
    let end = converse(room).await;
    if end.is_err() {
        // A terminal that fails is no reason to vanish without a word.
        let _ = tokio::time::timeout(LEAVE, handle.go_offline()).await;
    }
    end
}

async fn converse(room: Room) -> Result<End, Failure> {
    let Room {
        handle,
        mut events,
        mut handout,
        made_here,
        color,
        ..
    } = room;
    let mut interrupts = Interrupts::listen()?;
    // The full screen would hide what is to be copied.
    let name = Untrusted::new(handout.room.as_str()).name();
    let mut state = State::new(name, color, TimeZone::system());
    if made_here {
        let prompt = "Press Enter to go in (/invite shows the invite again): ";
        match enter_pressed(prompt, &mut interrupts, &mut events, &mut state).await {
            Pause::Over => {}
            Pause::Interrupted => return Ok(go_offline(&handle, &mut events, &mut interrupts).await),
            Pause::Closed(reason) => return Ok(farewell(&state, End::Closed(reason))),
        }
    }
    let mut screen = Screen::open(handout.room.as_str())?;
    let mut inputs = EventStream::new();
    let mut answers: Answers = FuturesUnordered::new();
    let mut status = tokio::time::interval(STATUS);
    status.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let deadline = tokio::time::sleep(Duration::MAX / 4);
    tokio::pin!(deadline);
    let mut drawn = tokio::time::Instant::now();
    let (mut dirty, mut stale, mut asking, mut seen) = (true, made_here, false, false);
    // The last message that was there to be drawn.
    let mut serial = 0;
    let mut turns = Turns::default();

    let end = loop {
        if dirty && screen.is_ready() && drawn.elapsed() >= FRAME {
            screen.draw(|frame| view::draw(frame, &mut state))?;
            (dirty, drawn) = (false, tokio::time::Instant::now());
            (seen, serial) = (state.is_seen(), events.serial());
        }
        let ready = screen.is_ready();
        let mut action = None;
        tokio::select! {
            // The terminal has taken what was drawn, and nothing came since.
            written = screen.ready(), if !ready => {
                written?;
                events.told_to(serial);
                if seen {
                    events.read_to(serial);
                }
                continue;
            }
            event = events.recv(), if ready => match event {
                Some(Event { kind: EventKind::Closed(reason), .. }) => break End::Closed(reason),
                Some(event) => {
                    if let EventKind::NewRoomKey { room_key, serverless } = &event.kind {
                        handout.rekey(room_key, serverless);
                    }
                    stale |= state.event(event.at_unix_ms, &event.kind);
                }
                None => break End::Closed(CloseReason::Failed),
            },
            input = inputs.next(), if answers.len() < IN_FLIGHT => match input {
                Some(Ok(Input::Key(key))) => action = state.key(key),
                Some(Ok(Input::Paste(text))) => state.paste(&text),
                Some(Ok(Input::FocusGained)) => state.focus(true),
                Some(Ok(Input::FocusLost)) => state.focus(false),
                Some(Ok(Input::Resize(..) | Input::Mouse(_))) => {}
                // The terminal is gone.
                Some(Err(_)) | None => action = Some(Action::Quit),
            },
            Some(answer) = answers.next(), if !answers.is_empty() => match answer {
                Answer::Sent {
                    ticket,
                    text,
                    to,
                    result,
                } => {
                    state.sent(ticket, text, to, result.map_err(|error| error.to_string()));
                }
                Answer::Members(members) => {
                    asking = false;
                    state.set_members(members);
                }
                Answer::ListMembers(members) => state.list_members(members),
                Answer::Info(about) => state.info(&about.0, &about.1),
                Answer::Status(status) => state.set_status(&status),
                Answer::Lines(lines) => state.answered(lines),
                Answer::Refused(why) => state.refused(&why),
                // The event that the room is left follows, or came before.
                Answer::Left | Answer::Nothing => {}
            },
            _ = status.tick() => answers.push(Box::pin(ask_status(handle.clone()))),
            () = tokio::time::sleep(FRAME.saturating_sub(drawn.elapsed())), if dirty && ready => continue,
            () = interrupts.next() => action = Some(Action::Quit),
            () = &mut deadline, if state.leaving => break End::Stopped,
        }
        dirty = true;
        // However many come and go at once, the members are fetched one time after the other.
        if stale && !asking {
            (stale, asking) = (false, true);
            answers.push(Box::pin(members(handle.clone())));
        }
        match action {
            None => {}
            Some(Action::Quit | Action::Leave) if state.leaving => break End::Stopped,
            Some(going @ (Action::Quit | Action::Leave)) => {
                state.leaving = true;
                deadline.as_mut().reset(tokio::time::Instant::now() + LEAVE);
                let (handle, mut turn) = (handle.clone(), turns.next());
                answers.push(Box::pin(async move {
                    let _ = tokio::time::timeout(turns::LAST, turn.comes()).await;
                    if going == Action::Leave {
                        handle.leave().await;
                    } else {
                        handle.go_offline().await;
                    }
                    Answer::Left
                }));
            }
            Some(Action::Redraw) => screen.forget().await?,
            Some(Action::Invite) => {
                // The stream would take the answer away.
                drop(inputs);
                // Its end is a wake-up that waits in the event library; left there, it can swallow the notice of the first key that
                // the next stream should see.
                let _ = crossterm::event::poll(SETTLE);
                screen.suspend().await?;
                if let Ok(status) = handle.status().await {
                    handout = handout.found_at(&status.reach);
                }
                print_invite(&handout, color);
                match enter_pressed("Press Enter to go back: ", &mut interrupts, &mut events, &mut state).await {
                    Pause::Over => {}
                    Pause::Interrupted => return Ok(go_offline(&handle, &mut events, &mut interrupts).await),
                    Pause::Closed(reason) => break End::Closed(reason),
                }
                stale = true;
                screen.enter()?;
                inputs = EventStream::new();
            }
            Some(Action::ListMembers) => {
                let members = members(handle.clone());
                answers.push(Box::pin(async move {
                    match members.await {
                        Answer::Members(members) => Answer::ListMembers(members),
                        other => other,
                    }
                }));
                let handle = handle.clone();
                answers.push(Box::pin(async move {
                    let keepers = handle.keepers().await.unwrap_or_default();
                    Answer::Lines(keepers.iter().map(describe_keeper).collect())
                }));
            }
            Some(Action::Info) => answers.push(Box::pin(info(handle.clone()))),
            Some(Action::Act(act)) => {
                let (handle, mut turn) = (handle.clone(), turns.next());
                answers.push(Box::pin(async move {
                    turn.comes().await;
                    match acts::perform(&handle, act).await {
                        Ok(()) => Answer::Nothing,
                        Err(error) => Answer::Refused(format!("Not done: {error}.")),
                    }
                }));
            }
            Some(Action::Policy) => {
                let handle = handle.clone();
                answers.push(Box::pin(async move { Answer::Lines(rules::lines(&handle).await) }));
            }
            Some(Action::Applicants) => {
                let handle = handle.clone();
                answers.push(Box::pin(async move { Answer::Lines(plain::applicants(&handle).await) }));
            }
            Some(Action::Audit) => {
                let handle = handle.clone();
                answers.push(Box::pin(async move {
                    handle
                        .audit()
                        .await
                        .map_or(Answer::Nothing, |report| Answer::Lines(audit::lines(&report)))
                }));
            }
            Some(Action::Verify(asked)) => {
                let handle = handle.clone();
                answers.push(Box::pin(async move {
                    match verify::perform(&handle, &asked).await {
                        Ok(known) => Answer::Lines(verify::lines(&asked, &known)),
                        Err(error) => Answer::Refused(format!("Not done: {error}.")),
                    }
                }));
            }
            Some(Action::Send { ticket, text, to }) => {
                let (handle, mut turn) = (handle.clone(), turns.next());
                answers.push(Box::pin(async move {
                    turn.comes().await;
                    let sending = match to {
                        Some(to) => handle.send_direct(to, text.as_str(), None),
                        None => handle.send(text.as_str(), None),
                    };
                    drop(turn);
                    let result = sending.await;
                    Answer::Sent {
                        ticket,
                        text,
                        to,
                        result,
                    }
                }));
            }
        }
    };
    // What is being drawn comes before the terminal is given back; one that takes nothing is not waited for.
    let _ = tokio::time::timeout(LAST_DRAWING, screen.ready()).await;
    drop(screen);
    Ok(farewell(&state, end))
}

/// Says in a line, on the ordinary screen, how it ended.
fn farewell(state: &State, end: End) -> End {
    let farewell = match end {
        End::Closed(CloseReason::Offline) => {
            format!(
                "You are offline, and still a member of the room {}; messages wait for you.",
                state.room
            )
        }
        End::Closed(CloseReason::Left) => format!("You have left the room {}.", state.room),
        End::Closed(CloseReason::Deleted) => format!("The room {} has been deleted.", state.room),
        End::Closed(CloseReason::Removed) => format!("You were removed from the room {}.", state.room),
        _ => String::new(),
    };
    if !farewell.is_empty() {
        println!("{farewell}");
    }
    end
}

async fn members(handle: Handle) -> Answer {
    handle.members().await.map_or(Answer::Nothing, Answer::Members)
}

async fn ask_status(handle: Handle) -> Answer {
    handle
        .status()
        .await
        .map_or(Answer::Nothing, |status| Answer::Status(Box::new(status)))
}

async fn info(handle: Handle) -> Answer {
    match (handle.info().await, handle.status().await) {
        (Ok(info), Ok(status)) => Answer::Info(Box::new((info, status))),
        _ => Answer::Nothing,
    }
}

/// Shows the invite on the ordinary screen, where it can be copied whole.
fn print_invite(handout: &Handout, color: bool) {
    let lines = handout.to_hand_on();
    lines.iter().for_each(|line| println!("{line}"));
    if let Ok((columns, rows)) = crossterm::terminal::size() {
        handout
            // The last row is the prompt's.
            .qr(&lines, columns.into(), usize::from(rows).saturating_sub(1), color)
            .iter()
            .for_each(|line| println!("{line}"));
    }
}

/// How a pause on the ordinary screen ended. But for the first, standard input still waits for its line, and can't be read by anything
/// else.
enum Pause {
    /// With Enter.
    Over,
    /// With Ctrl-C.
    Interrupted,
    /// With the room.
    Closed(CloseReason),
}

/// Waits for Enter on the ordinary screen, while everything else goes on.
async fn enter_pressed(prompt: &str, interrupts: &mut Interrupts, events: &mut Events, state: &mut State) -> Pause {
    eprint!("{prompt}");
    let mut enter = tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()));
    let pause = loop {
        tokio::select! {
            // Whatever comes, or doesn't, it is time to go on.
            _ = &mut enter => return Pause::Over,
            () = interrupts.next() => break Pause::Interrupted,
            event = events.recv() => match event {
                Some(Event { kind: EventKind::Closed(reason), .. }) => break Pause::Closed(reason),
                Some(event) => {
                    // Whether the members changed doesn't matter: they are fetched afterwards in any case.
                    let _ = state.event(event.at_unix_ms, &event.kind);
                }
                None => break Pause::Closed(CloseReason::Failed),
            },
        }
    };
    eprintln!();
    pause
}

/// Goes offline without a screen; a second Ctrl-C stops.
async fn go_offline(handle: &Handle, events: &mut Events, interrupts: &mut Interrupts) -> End {
    let left = async {
        handle.go_offline().await;
        while let Some(event) = events.recv().await {
            if let EventKind::Closed(reason) = event.kind {
                return End::Closed(reason);
            }
        }
        End::Closed(CloseReason::Offline)
    };
    tokio::select! {
        end = left => end,
        () = interrupts.next() => End::Stopped,
        () = tokio::time::sleep(LEAVE) => End::Stopped,
    }
}
