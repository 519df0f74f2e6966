//! Randomness, from the system.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// The system's generator. Where it fails nothing that follows could be safe, and it panics.
pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
