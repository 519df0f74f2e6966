//! Durations and their percentiles.

use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// A set of measured durations.
#[derive(Debug, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// Adds one.
    pub fn push(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The smallest of them that at least `percent` of 100 are not above (nearest rank), in milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted
            .get(rank - 1)
            .map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e3)
    }

    /// Percentiles in milliseconds.
    pub fn to_json(&self) -> Value {
        json!({
            "count": self.0.len(), "min": self.percentile(0), "p50": self.percentile(50), "p95": self.percentile(95),
            "p99": self.percentile(99), "max": self.percentile(100),
        })
    }
}

impl FromIterator<Duration> for Figures {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        Self(durations.into_iter().collect())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99, max] = [50, 95, 99, 100].map(|percent| self.percentile(percent));
        write!(
            f,
            "p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, max {max:.1} ms of {}",
            self.0.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let figures: Figures = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(
            [0, 50, 95, 99, 100].map(|percent| figures.percentile(percent)),
            [1.0, 100.0, 190.0, 198.0, 200.0]
        );
        let one: Figures = [Duration::from_millis(7)].into_iter().collect();
        assert_eq!([0, 50, 100].map(|percent| one.percentile(percent)), [7.0, 7.0, 7.0]);
    }
}
