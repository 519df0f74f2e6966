//! What came of a run.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum Failure {
    /// Not everybody came to be in one epoch.
    NotJoined,
    /// When all was quiet, members did not come to agree, or some still lacked something.
    Unsettled,
    /// Messages whose authors were told that they are out, and that a member was never shown.
    Lost {
        /// How many, counted for each such member.
        count: u64,
    },
    /// Messages that a member was shown again as if they were new.
    Doubled {
        /// How many times too many.
        count: u64,
    },
    /// Messages that nobody vouched for, and that some members were shown and others not.
    Diverged {
        /// How many messages.
        count: u64,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJoined => f.write_str("not everybody came to be in one epoch"),
            Self::Unsettled => f.write_str("members did not come to agree after the last disturbance"),
            Self::Lost { count } => write!(f, "{count} lost"),
            Self::Doubled { count } => write!(f, "{count} shown twice"),
            Self::Diverged { count } => write!(f, "{count} shown to some and not to others"),
        }
    }
}

/// The middle, the last hundredth, and the most of many times, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Half are below.
    pub p50_ms: u64,
    /// 99 of 100 are below.
    pub p99_ms: u64,
    /// None is above.
    pub max_ms: u64,
}

impl Spread {
    /// Of these times.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| {
            let last = times.len().checked_sub(1)?;
            times.get((times.len() * share / 100).min(last))
        };
        let millis =
            |time: Option<&Duration>| time.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        Self {
            p50_ms: millis(at(50)),
            p99_ms: millis(at(99)),
            max_ms: millis(times.last()),
        }
    }
}

/// The figures of a run. All of it follows from the scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The scenario's.
    pub seed: u64,
    /// Members.
    pub members: u64,
    /// Messages that somebody meant to say.
    pub messages: u64,
    /// Of those, messages that were refused at once: their author knows.
    pub refused: u32,
    /// Times that somebody was shown one.
    pub deliveries: u64,
    /// See [`Failure::Lost`].
    pub lost: u64,
    /// See [`Failure::Doubled`].
    pub doubled: u64,
    /// See [`Failure::Diverged`].
    pub diverged: u64,
    /// Messages that a member was shown after one whose author had seen them: a message waits 3 seconds for such, no longer.
    pub late: u64,
    /// Members killed in the middle of what they did.
    pub crashes: u32,
    /// From being said to being shown, where the two could reach each other.
    pub latency: Spread,
    /// Until all who entered were in one epoch.
    pub joined_ms: Option<u64>,
    /// From the end of the partition until everybody was shown all that was said before.
    pub healed_ms: Option<u64>,
    /// From the last word, or from the last member's return, until everybody agreed and nothing was missing.
    pub settled_ms: Option<u64>,
    /// Gossip that passed the network for each message and member, in bytes, every copy counted.
    pub gossip_bytes: u64,
    /// The same of questions and answers.
    pub exchange_bytes: u64,
    /// How long it all took, in seconds of virtual time.
    pub virtual_s: u64,
    /// What must not have happened.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// The head of a table of outcomes.
    pub const HEAD: &str = "    seed members messages deliveries  lost twice diverged  late crashes   p50 ms   p99 ms   max ms joined ms healed ms settled ms gossip B exchange B";
}

/// One row of the table.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
        write!(
            f,
            "{:8} {:7} {:8} {:10} {:5} {:5} {:8} {:5} {:7} {:8} {:8} {:8} {:>9} {:>9} {:>10} {:8} {:10}",
            self.seed,
            self.members,
            self.messages,
            self.deliveries,
            self.lost,
            self.doubled,
            self.diverged,
            self.late,
            self.crashes,
            self.latency.p50_ms,
            self.latency.p99_ms,
            self.latency.max_ms,
            or_dash(self.joined_ms),
            or_dash(self.healed_ms),
            or_dash(self.settled_ms),
            self.gossip_bytes,
            self.exchange_bytes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_times_that_were() {
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let spread = Spread::of(times);
        assert_eq!((spread.p50_ms, spread.p99_ms, spread.max_ms), (101, 199, 200));
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
