//! The loop that the line-oriented front ends share: input, events, replies and signals, none of which waits for another.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use snug::engine::{CloseReason, Event, EventKind, Events, Handle};
use snug_crypto::ids::MessageId;
use tokio::time::Instant;

use super::input::{self, Line};
use super::interrupt::Interrupts;
use super::output::Output;
use super::parked::Parked;
use super::turns::{self, Turns};
use super::{End, Failure};

/// Requests that may wait for the room at once; beyond that they are parked, or all input waits.
const IN_FLIGHT: usize = 128;
/// So many of those that are parked are still handed over at the end; with those that wait, as many messages as the room takes.
const LAST_HANDED_OVER: usize = 128;
/// How long what was said may take to go out after the end of input.
const DRAIN: Duration = Duration::from_secs(30);
/// How long replies are waited for once the room has closed; they only fail by then.
const LAST_REPLIES: Duration = Duration::from_millis(500);
/// How long leaving or going offline may take: the engine promises four seconds, and a reader that stalls is waited for before.
const LEAVE: Duration = Duration::from_secs(8);

/// What a line of input, or an event, leads to.
pub enum Reaction {
    /// These lines are shown.
    Show(Vec<String>),
    /// The same; and the user has read everything before, once it is written.
    Read(Vec<String>),
    /// This is awaited, while the loop goes on.
    Await(BoxFuture<'static, Vec<String>>),
    /// The same of a question that the room answers at once: whoever goes right after it gets the answer first.
    Ask(BoxFuture<'static, Vec<String>>),
    /// We go offline.
    Quit,
    /// The room is left for good; then these lines are shown.
    Leave(Vec<String>),
}

/// How a front end speaks.
pub trait Dialect {
    /// Longest line of input, in bytes.
    const MAX_LINE: usize;

    /// Whether a line of input says that everything shown before it was read.
    const TYPING_IS_READING: bool;

    /// Whether what waits for nothing is read behind what has to wait; of that, each line that is too much is refused.
    /// Else all input waits.
    const READS_ON: bool = false;

    /// Shows an event.
    fn event(&mut self, event: &Event) -> Reaction;

    /// Obeys a line.
    fn line(&mut self, line: Line) -> Reaction;

    /// Whether a line has to keep its order behind what waits for the room. Asked only with [`Self::READS_ON`].
    fn keeps_order(&self, _line: &Line) -> bool {
        true
    }

    /// Says of a line that it isn't obeyed, because too much waits, and what to do. Asked only with [`Self::READS_ON`].
    fn refuse(&self, _line: &Line) -> Vec<String> {
        Vec::new()
    }

    /// Input ended before the room was ready, all of it was dealt with, and we are about to go offline: what to say of that on standard
    /// error; `ephemeral` if that is for good.
    fn ended_early(&self, _ephemeral: bool) -> Option<&'static str> {
        None
    }

    /// Messages that nobody was there to hear yet.
    fn unheard(&self) -> &Unheard;

    /// The order in which things were asked for.
    fn turns(&mut self) -> &mut Turns;

    /// Whether a program that gave us input has to hear that not all of it was sent.
    fn was_refused(&self) -> bool {
        false
    }

    /// Says that input ended while so many messages were unheard; they are lost where nothing is kept, else they wait for the next run.
    fn nobody_heard(&mut self, unheard: usize, lost: bool) -> Vec<String>;

    /// Says that input ended while `unsent` requests were still waiting, in vain.
    fn gave_up(&mut self, unsent: usize) -> Vec<String>;
}

/// The messages of this run that were sent while nobody was there.
#[derive(Clone, Default)]
pub struct Unheard(Arc<Mutex<BTreeSet<MessageId>>>);

impl Unheard {
    /// A message was just sent: notes it if nobody is there, not even a keeper.
    pub fn sent(&self, handle: &Handle, id: MessageId) {
        if handle.is_alone() {
            self.lock().insert(id);
        }
    }

    /// Notes that a message was sent again, because somebody came, or that somebody has it.
    pub fn event(&self, kind: &EventKind) {
        match kind {
            EventKind::Resent { was, .. } => drop(self.lock().remove(was)),
            EventKind::Receipt(receipt) if receipt.held_by > 0 => drop(self.lock().remove(&receipt.id)),
            _ => {}
        }
    }

    fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<MessageId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the room closes; `ephemeral` if nothing is kept.
pub async fn run<D: Dialect>(
    mut dialect: D,
    handle: Handle,
    mut events: Events,
    ephemeral: bool,
) -> Result<End, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut lines = input::lines(D::MAX_LINE);
    let mut output = Output::start();
    let mut waiting = Waiting::default();
    let mut shown = Shown::default();
    let mut parked = Parked::default();
    let (mut open, mut lost) = (true, false);
    let drain = tokio::time::sleep(Duration::MAX / 4);
    tokio::pin!(drain);

    let reason = 'session: loop {
        if !open && waiting.is_empty() && parked.is_empty() {
            // What the front end was told so far may lag behind.
            let entering = handle.status().await.is_ok_and(|status| status.epoch.is_none());
            if let Some(words) = dialect.ended_early(ephemeral).filter(|_| entering) {
                eprintln!("{words}");
            }
            lost = match dialect.unheard().count() {
                0 => false,
                unheard => {
                    output.push(dialect.nobody_heard(unheard, ephemeral));
                    ephemeral
                }
            };
            lost |= dialect.was_refused();
            break None;
        }
        // Whose turn has come goes before what is read.
        let due = (waiting.len() < IN_FLIGHT && output.has_room()).then(|| parked.pop());
        let reads = match waiting.len() < IN_FLIGHT {
            true => parked.is_empty(),
            // Questions are answered at once; where they aren't, more of them don't help.
            false => D::READS_ON && (parked.has_room() || parked.refuses()) && waiting.questions < IN_FLIGHT,
        };
        let reaction = if let Some(line) = due.flatten() {
            dialect.line(line)
        } else {
            tokio::select! {
                event = events.recv(), if output.has_room() => {
                    let mut next = event.or_else(|| Some(Event::ended()));
                    // What has come with it is written with it.
                    loop {
                        match next {
                            Some(Event { kind: EventKind::Closed(reason), .. }) => break 'session Some(reason),
                            Some(event) => {
                                dialect.unheard().event(&event.kind);
                                match dialect.event(&event) {
                                    Reaction::Show(lines) => output.push(lines),
                                    other => break other,
                                }
                                shown.pushed(output.pushed(), events.serial());
                            }
                            None => continue 'session,
                        }
                        next = if output.has_room() { events.try_recv() } else { None };
                    }
                },
                line = lines.recv(), if open && reads && output.has_room() => match line {
                    Some(line) => {
                        if D::TYPING_IS_READING && output.is_written() {
                            events.read_to(events.serial());
                        }
                        if waiting.len() < IN_FLIGHT || !dialect.keeps_order(&line) {
                            dialect.line(line)
                        } else if parked.has_room() {
                            parked.push(line, Instant::now());
                            continue;
                        } else {
                            Reaction::Show(dialect.refuse(&line))
                        }
                    }
                    None => {
                        open = false;
                        drain.as_mut().reset(Instant::now() + DRAIN);
                        continue;
                    }
                },
                Some((is_question, shown)) = waiting.next() => {
                    if !is_question {
                        parked.answered(Instant::now());
                    }
                    Reaction::Show(shown)
                }
                () = parked.stalls(), if open => continue,
                pumped = output.pump() => match pumped {
                    Ok(()) => {
                        shown.confirm(&output, &events);
                        continue;
                    }
                    // Nobody reads what we say: as good as a hang-up.
                    Err(_) => break None,
                },
                () = interrupts.next() => break None,
                // What waits is kept, and each answer says so.
                () = &mut drain, if !open => {
                    if !ephemeral {
                        break None;
                    }
                    output.push(dialect.gave_up(waiting.len() + parked.len()));
                    drop(std::mem::take(&mut waiting));
                    let shows = (&mut output, &mut shown);
                    depart(Going::Offline, &handle, &mut events, &mut dialect, shows, &mut interrupts).await?;
                    output.finish().await;
                    return Ok(End::Unsent);
                }
            }
        };
        match reaction {
            Reaction::Show(lines) => output.push(lines),
            Reaction::Read(lines) => {
                shown.read(output.pushed(), events.serial());
                output.push(lines);
                shown.confirm(&output, &events);
            }
            Reaction::Await(reply) => waiting.push(reply, false),
            Reaction::Ask(reply) => waiting.push(reply, true),
            Reaction::Quit => {
                hand_over(&mut parked, &mut dialect, &mut waiting, &mut output);
                settle(dialect.turns(), &mut waiting, &mut output, &mut interrupts).await;
                break None;
            }
            Reaction::Leave(lines) => {
                hand_over(&mut parked, &mut dialect, &mut waiting, &mut output);
                settle(dialect.turns(), &mut waiting, &mut output, &mut interrupts).await;
                let end = depart(
                    Going::Away,
                    &handle,
                    &mut events,
                    &mut dialect,
                    (&mut output, &mut shown),
                    &mut interrupts,
                )
                .await;
                output.push(lines);
                output.finish().await;
                return end;
            }
        }
    };
    hand_over(&mut parked, &mut dialect, &mut waiting, &mut output);
    let end = match reason {
        Some(reason) => Ok(End::Closed(reason)),
        None => {
            depart(
                Going::Offline,
                &handle,
                &mut events,
                &mut dialect,
                (&mut output, &mut shown),
                &mut interrupts,
            )
            .await
        }
    };
    let replies = async {
        while let Some((_, shown)) = waiting.next().await {
            output.push(shown);
        }
    };
    // Out of time: whoever asked sees the end of the stream instead.
    let _ = tokio::time::timeout(LAST_REPLIES, replies).await;
    output.finish().await;
    if lost { end.map(|_| End::Unsent) } else { end }
}

/// What is awaited beside the loop.
#[derive(Default)]
struct Waiting {
    replies: FuturesUnordered<BoxFuture<'static, (bool, Vec<String>)>>,
    /// How many of them are questions.
    questions: usize,
}

impl Waiting {
    fn push(&mut self, reply: BoxFuture<'static, Vec<String>>, is_question: bool) {
        self.questions += usize::from(is_question);
        self.replies.push(Box::pin(async move { (is_question, reply.await) }));
    }

    /// The next that is there, and whether it answers a question; `None` if nothing is awaited. Cancel-safe.
    async fn next(&mut self) -> Option<(bool, Vec<String>)> {
        let (is_question, shown) = self.replies.next().await?;
        self.questions -= usize::from(is_question);
        Some((is_question, shown))
    }

    fn len(&self) -> usize {
        self.replies.len()
    }

    fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }
}

/// Which messages stand in which lines, until those are written.
#[derive(Default)]
struct Shown {
    /// Lines, and the last message in what was pushed up to there.
    told: VecDeque<(u64, u64)>,
    /// The same of what the user says to have read.
    read: VecDeque<(u64, u64)>,
}

impl Shown {
    /// The lines up to this one show the messages up to this one.
    fn pushed(&mut self, line: u64, serial: u64) {
        note(&mut self.told, line, serial);
    }

    /// The user has read these messages, which stand in the lines up to this one. Who speaks to us before it has read what we say can
    /// mean no more than it will have been given by then.
    fn read(&mut self, line: u64, serial: u64) {
        note(&mut self.read, line, serial);
    }

    /// Confirms what stands in lines that were written, and nothing else: the rest may be lost with us, and comes again.
    fn confirm(&mut self, output: &Output, events: &Events) {
        let written = output.written();
        if let Some(serial) = passed(&mut self.told, written) {
            events.told_to(serial);
        }
        if let Some(serial) = passed(&mut self.read, written) {
            events.read_to(serial);
        }
    }
}

fn note(open: &mut VecDeque<(u64, u64)>, line: u64, serial: u64) {
    match open.back_mut() {
        // Nothing new was said: notices need no confirmation.
        Some((_, last)) if *last == serial => {}
        _ => open.push_back((line, serial)),
    }
}

/// The last message that stands in the lines up to this one, if that is news.
fn passed(open: &mut VecDeque<(u64, u64)>, written: u64) -> Option<u64> {
    let mut passed = None;
    while let Some((_, serial)) = open.pop_front_if(|(last, _)| *last <= written) {
        passed = Some(serial);
    }
    passed
}

/// Nothing that was read is lost in silence: what is parked is handed over before somebody goes, in its order, so that messages are kept
/// for the next run; what is more than the room takes is refused.
fn hand_over(parked: &mut Parked, dialect: &mut impl Dialect, waiting: &mut Waiting, output: &mut Output) {
    let mut handed_over = 0;
    while let Some(line) = parked.pop() {
        if handed_over == LAST_HANDED_OVER {
            output.push(dialect.refuse(&line));
            continue;
        }
        handed_over += 1;
        match dialect.line(line) {
            Reaction::Show(lines) | Reaction::Read(lines) => output.push(lines),
            Reaction::Await(reply) => waiting.push(reply, false),
            Reaction::Ask(reply) => waiting.push(reply, true),
            // Those aren't parked.
            Reaction::Quit | Reaction::Leave(_) => {}
        }
    }
}

/// What was asked for before somebody goes is handed over before they do, and what was asked is answered.
async fn settle(turns: &mut Turns, waiting: &mut Waiting, output: &mut Output, interrupts: &mut Interrupts) {
    let settled = async {
        let handed_over = turns.settled();
        tokio::pin!(handed_over);
        let mut is_over = false;
        while !is_over || waiting.questions > 0 {
            tokio::select! {
                () = &mut handed_over, if !is_over => is_over = true,
                Some((_, shown)) = waiting.next() => output.push(shown),
                else => return,
            }
        }
    };
    tokio::select! {
        () = settled => {}
        // Out of time: it is said of each that it was not sent.
        () = tokio::time::sleep(turns::LAST) => {}
        () = interrupts.next() => {}
    }
}

/// How somebody goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    /// Until the next run.
    Offline,
    /// For good.
    Away,
}

/// Goes, and shows what is still told until the engine says that it has ended. Only what was written is confirmed: what a reader that
/// stalls, or is gone, did not take comes again in the next run. A second Ctrl-C stops the process.
async fn depart(
    going: Going,
    handle: &Handle,
    events: &mut Events,
    dialect: &mut impl Dialect,
    (output, shown): (&mut Output, &mut Shown),
    interrupts: &mut Interrupts,
) -> Result<End, Failure> {
    let left = async {
        let _ = output.flush().await;
        shown.confirm(output, events);
        let told = async {
            let mut has_reader = true;
            loop {
                tokio::select! {
                    event = events.recv() => match event {
                        Some(Event { kind: EventKind::Closed(reason), .. }) => return reason,
                        Some(event) => {
                            if let Reaction::Show(lines) = dialect.event(&event) {
                                output.push(lines);
                                shown.pushed(output.pushed(), events.serial());
                            }
                        }
                        None => return CloseReason::Failed,
                    },
                    pumped = output.pump(), if has_reader => {
                        has_reader = pumped.is_ok();
                        shown.confirm(output, events);
                    }
                }
            }
        };
        let gone = async {
            match going {
                Going::Offline => handle.go_offline().await,
                Going::Away => handle.leave().await,
            }
        };
        let ((), reason) = tokio::join!(gone, told);
        reason
    };
    tokio::select! {
        reason = left => Ok(End::Closed(reason)),
        () = interrupts.next() => Ok(End::Stopped),
        () = tokio::time::sleep(LEAVE) => Err(Failure::failed("the room could not be closed in an orderly way")
            .help("the others will see you as offline until your membership expires")),
    }
}
