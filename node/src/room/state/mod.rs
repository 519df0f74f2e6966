//! What of a room rests on disk, and how it comes back (docs/PROTOCOL.md, "At rest" and "Coming back").
//!
//! The room says with each [`super::Output::Persist`] what changed; who carries that out commits it before anything else of the same
//! batch leaves. What changed is found by comparing with what was written before (`ledger`), so that no rule of the room has to remember
//! to write. Each key is a letter and what it is about:
//!
//! | key | value |
//! |---|---|
//! | `m` | when this member was last alive |
//! | `o` | our leaf's secrets |
//! | `r` identity | its newest record |
//! | `l` leaf | a record that was superseded, and that an epoch still names |
//! | `a` hash | an operation |
//! | `e` epoch `a` | its announcement, since when it is known |
//! | `e` epoch `b` leaf | a box kept for others |
//! | `e` epoch `h` | its keys, since when they are held |
//! | `e` epoch `c` leaf | a sender's chain |
//! | `d` epoch | erased for good |
//! | `f` epoch leaf counter | ciphertext kept for others |
//! | `g` … | generations of the Room Key (`generations`) |
//! | `w` frame | opened, and not surely seen by the user |
//! | `t` | the latest frames |
//! | `q` number | waits to be sent |
//! | `x` identity epoch counter | two frames that it gave one place |
//! | `y` leaf leaf `a` | what we share with one other (`pairs`) |
//! | `y` leaf leaf `c` tag | an epoch of that one's that we read |
//! | `z` hash | a KEM key that our leaf had |
//! | `u` epoch counter | was sent, and nobody is known to have it |
//! | `p` identity | a moderator let it in (`words`) |
//! | `c` | the admin's word for our leaf (`words`) |

mod catch_up;
mod generations;
mod ledger;
mod pairs;
mod restore;
mod words;

use std::time::Duration;

use snug_crypto::frame::OpenedFrame;
use snug_crypto::ids::{EpochId, FrameHash, LeafId};
use snug_crypto::rest::{self, RestBytes};

pub(super) use catch_up::CatchUp;
pub use generations::room_keys_at_rest;
pub(super) use ledger::Ledger;

use super::Now;

/// Something to keep, or to forget.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is about: at most 90 bytes.
    pub key: Vec<u8>,
    /// The new value; `None` forgets the key and every key that begins with it.
    pub value: Option<RestBytes>,
}

/// A stored key and its value.
pub type Stored = (Vec<u8>, RestBytes);

const ALIVE: u8 = b'm';
const OWN: u8 = b'o';
const RECORD: u8 = b'r';
const LEAF: u8 = b'l';
const OPERATION: u8 = b'a';
const EPOCH: u8 = b'e';
const GRAVE: u8 = b'd';
const FRAME: u8 = b'f';
const PENDING: u8 = b'w';
const TIPS: u8 = b't';
const QUEUED: u8 = b'q';
const GENERATION: u8 = b'g';
const UNHELD: u8 = b'u';
const FORK: u8 = b'x';
const APPROVAL: u8 = b'p';
const CERTIFICATE: u8 = b'c';
const PAIR: u8 = b'y';
const FORMER_KEM: u8 = b'z';

// Behind an epoch's id.
const ANNOUNCEMENT: u8 = b'a';
const BOX: u8 = b'b';
const HELD: u8 = b'h';
const CHAIN: u8 = b'c';

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Where a frame stands that was opened, and not surely seen by the user.
pub(super) fn pending_key(frame: &FrameHash) -> Vec<u8> {
    key(PENDING, &[frame.as_bytes()])
}

/// What stands there: whether the user may have seen it, its epoch and itself.
pub(super) fn decode_pending(value: &[u8]) -> Option<(bool, EpochId, OpenedFrame)> {
    let (handed_on, opened) = value.split_first()?;
    let (epoch, frame) = rest::decode_opened(opened).ok()?;
    Some((*handed_on == 1, epoch, frame))
}

fn epoch_key(epoch: &EpochId, what: u8, leaf: Option<&LeafId>) -> Vec<u8> {
    let mut key = key(EPOCH, &[epoch.as_bytes()]);
    key.push(what);
    if let Some(leaf) = leaf {
        key.extend_from_slice(leaf.as_bytes());
    }
    key
}

/// A moment of this run on the wall clock.
fn wall(now: Now, moment: Duration) -> u64 {
    let ago = u64::try_from(now.elapsed.saturating_sub(moment).as_millis()).unwrap_or(u64::MAX);
    now.unix_ms.saturating_sub(ago)
}

/// A wall-clock moment in this run's own time; at the earliest its beginning.
fn moment(now: Now, unix_ms: u64) -> Duration {
    let ago = Duration::from_millis(now.unix_ms.saturating_sub(unix_ms));
    now.elapsed.saturating_sub(ago)
}
