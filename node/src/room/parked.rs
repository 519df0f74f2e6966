//! What the user is shown when the front end has taken what came before it.
//!
//! A reader may stall for hours: a pager, a program that waits for something else, a terminal with its output stopped. What is said meanwhile
//! rests in the vault alone, where each frame stands anyway until it was shown, and comes from there in its order when the front end takes
//! again: nothing is left out, and memory doesn't grow with the stall.

use std::collections::VecDeque;

use snug_crypto::ids::FrameHash;
use snug_crypto::rest::RestBytes;

use super::event::{RoomEvent, Warning};
use super::io::Output;
use super::state;
use super::timeline::Arrived;
use super::{Now, Room};

/// Frames that wait in the vault, 16 MiB of ordinary talk; beyond that the oldest goes, and the user is told.
const MAX_PARKED: usize = 16_384;
/// Frames that are fetched at once: of 32 KiB each at the most, a mebibyte.
const FETCHED: usize = 32;

/// Frames that were opened, and wait in the vault for the front end.
#[derive(Default)]
pub(super) struct Parked {
    /// The front end has much to take yet.
    behind: bool,
    /// In the order in which they are to be shown.
    frames: VecDeque<FrameHash>,
    /// Those that are being fetched, in the same order.
    fetching: Vec<FrameHash>,
    /// One of these was given up, and the user knows.
    overflown: bool,
}

impl Parked {
    /// Whether what is opened now has to wait.
    pub(super) fn holds(&self) -> bool {
        self.behind || !self.fetching.is_empty() || !self.frames.is_empty()
    }

    /// Whether the front end has much to take yet: what can be told later is.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// A frame waits behind the others; gives the one that goes for it.
    fn push(&mut self, frame: FrameHash) -> Option<FrameHash> {
        self.frames.push_back(frame);
        if self.frames.len() > MAX_PARKED {
            return self.frames.pop_front();
        }
        None
    }
}

impl Room {
    /// The front end has fallen behind, or has taken all that it was given.
    pub(super) fn on_front_end(&mut self, behind: bool) {
        self.parked.behind = behind;
    }

    /// A frame waits in the vault, where it is or will be with this batch.
    pub(super) fn park(&mut self, frame: FrameHash) {
        let Some(lost) = self.parked.push(frame) else { return };
        self.ledger.settled(lost);
        if !std::mem::replace(&mut self.parked.overflown, true) {
            self.event(RoomEvent::Warning(Warning::Overflown));
        }
    }

    /// A frame that was opened in this run does.
    pub(super) fn park_opened(&mut self, Arrived { epoch, frame, again }: Arrived) {
        let hash = frame.hash;
        self.ledger.wait(epoch, frame, again);
        self.park(hash);
    }

    /// Fetches the next ones, when the front end has taken what it was given.
    pub(super) fn tend_parked(&mut self) {
        let parked = &mut self.parked;
        if parked.behind || !parked.fetching.is_empty() || parked.frames.is_empty() {
            return;
        }
        let next = parked.frames.len().min(FETCHED);
        parked.fetching = parked.frames.drain(..next).collect();
        parked.overflown &= !parked.frames.is_empty();
        let keys = parked.fetching.iter().map(state::pending_key).collect();
        self.out.push_back(Output::Fetch { keys });
    }

    /// They were read.
    pub(super) fn on_fetched(&mut self, values: &[Option<RestBytes>], now: Now) {
        let fetching = std::mem::take(&mut self.parked.fetching);
        let mut values = values.iter();
        for hash in fetching {
            let read = values.next().and_then(Option::as_ref);
            match read.and_then(|value| state::decode_pending(value)) {
                Some((again, epoch, frame)) if frame.hash == hash => self.hand_on(Arrived { epoch, frame, again }, now),
                // The disk may give it to the next run.
                _ => {
                    tracing::warn!("a message could not be read from the vault; the next run tries again");
                    self.ledger.keep_for_later(hash);
                }
            }
        }
    }

    /// Whether a frame that can be shown has to wait, and can.
    pub(super) fn parks(&self) -> bool {
        self.parked.holds() && self.ledger.rests()
    }
}
