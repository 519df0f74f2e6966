//! What the network does to what it carries.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// How the network treats what passes it. Gossip suffers all of it; questions and answers between linked members, which TCP or QUIC carries,
/// are delayed only.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The shortest and the longest delay of one hop.
    pub delay: (Duration, Duration),
    /// Share of gossip deliveries that are lost.
    pub loss: f64,
    /// Share of gossip deliveries that arrive twice.
    pub duplicate: f64,
    /// Share of gossip deliveries that take so much longer, up to [`Weather::LATE`], that others overtake them.
    pub reorder: f64,
}

impl Weather {
    /// A local network: 1 to 3 ms, and nothing is lost.
    pub const CALM: Self = Self {
        delay: (Duration::from_millis(1), Duration::from_millis(3)),
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
    };

    /// The most that a delivery which is overtaken is late.
    pub const LATE: Duration = Duration::from_millis(500);

    /// How long one hop takes.
    pub(crate) fn hop(&self, rng: &mut StdRng) -> Duration {
        rng.random_range(self.delay.0..=self.delay.1)
    }

    /// When the copies of one gossip delivery arrive: none if it is lost.
    pub(crate) fn copies(&self, rng: &mut StdRng) -> Vec<Duration> {
        let copies = 1 + usize::from(happens(rng, self.duplicate));
        let mut arrivals = Vec::with_capacity(copies);
        for _ in 0..copies {
            if happens(rng, self.loss) {
                continue;
            }
            let late = match happens(rng, self.reorder) {
                true => rng.random_range(Duration::ZERO..=Self::LATE),
                false => Duration::ZERO,
            };
            arrivals.push(self.hop(rng) + late);
        }
        arrivals
    }
}

/// Draws nothing where there is nothing to decide, so that a calm world costs no randomness.
pub(crate) fn happens(rng: &mut impl Rng, share: f64) -> bool {
    share > 0.0 && rng.random_bool(share)
}
