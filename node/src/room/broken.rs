//! Rules that tests break one at a time, to see that each is needed: a room that goes by all but one of them fails (docs/AUDIT.md).
//!
//! Only the feature `danger-ablations` makes that possible, which nothing that is shipped has: without it each question here is a
//! constant.

use super::Room;

/// A rule that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Epochs hold incarnations. Broken: they hold identities, whatever became of their state.
    Incarnations,
    /// A KEM key that was replaced lives on until nothing is sealed to it. Broken: it is erased at once.
    KemKeysLiveOn,
    /// An operation that makes a generation counts with its boxes. Broken: by itself.
    WholeGenerations,
    /// A generation is its count and its operation's hash. Broken: its count alone, an integer.
    GenerationsByHash,
    /// Who learns from the log that it is void goes. Broken: it stays, as a hostile one would.
    TheRemovedGo,
}

impl Room {
    /// Breaks a rule in this member, from now on.
    #[cfg(feature = "danger-ablations")]
    pub fn danger_break(&mut self, rule: Rule) {
        self.broken = Some(rule);
        self.judgement = None;
    }

    /// Whether a rule is kept: always, but for those who test what it is for.
    pub(super) fn keeps(&self, rule: Rule) -> bool {
        !cfg!(feature = "danger-ablations") || self.broken != Some(rule)
    }
}
