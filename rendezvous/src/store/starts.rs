//! Starts of logins that don't finish, counted for each room over a day.
//!
//! A store holds *portions*: so many starts of a room, taken at a time. An instance takes a portion before it lets anybody
//! start, and gives back what was not used up. So the sum of what stands in the store is never less than the starts that
//! were let through and did not finish, whatever crashes and however many instances there are.

use snug_crypto::credential::server::KeyedHandle;

/// A portion counts this long.
pub(crate) const STARTS_TTL_MS: u64 = 24 * 3600 * 1000;

/// Names a portion within its room: random.
pub type PortionId = [u8; 16];

/// So many starts of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Its name.
    pub id: PortionId,
    /// When it was taken, or when the last start in it was.
    pub at_ms: u64,
    /// How many.
    pub count: u32,
}

impl Portion {
    /// Whether it still counts.
    #[must_use]
    pub fn counts(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) < STARTS_TTL_MS
    }
}

/// An instance's account of one room: the portions it held, and what stands for them from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The room.
    pub room: KeyedHandle,
    /// These portions go.
    pub dropped: Vec<PortionId>,
    /// These come in their place.
    pub kept: Vec<Portion>,
}
