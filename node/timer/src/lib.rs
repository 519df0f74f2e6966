//! Stands in for the crate of this name under libp2p: the same [`Delay`], on the timer of the tokio runtime it is polled in.
//!
//! gossipsub starts a delay for every message it queues. The original wakes a thread of its own each time, which was a fifth of
//! all CPU time of a member in a busy room; tokio's wheel costs next to nothing, and a paused tokio clock moves libp2p along with it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Longest delay, a year: what is meant as "never" must not overflow the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A future that is ready once its time has passed. It must be made and polled inside a tokio runtime with its time driver on.
pub struct Delay {
    sleep: Pin<Box<Sleep>>,
}

impl Delay {
    /// Ready `after` this long, counted from now; more than a year is a year.
    #[must_use]
    pub fn new(after: Duration) -> Self {
        Self {
            sleep: Box::pin(sleep_until(end(after))),
        }
    }

    /// Starts anew: ready `after` this long, counted from now. Whoever polled it last is woken.
    pub fn reset(&mut self, after: Duration) {
        self.sleep.as_mut().reset(end(after));
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(context)
    }
}

impl std::fmt::Debug for Delay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delay").field("until", &self.sleep.deadline()).finish()
    }
}

fn end(after: Duration) -> Instant {
    Instant::now() + after.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_delay_follows_the_runtime_s_clock() {
        let start = Instant::now();
        let mut delay = Delay::new(Duration::from_secs(3600));
        (&mut delay).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3600));
        delay.reset(Duration::from_millis(5));
        (&mut delay).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3600) + Duration::from_millis(5));
    }

    #[tokio::test(start_paused = true)]
    async fn never_is_no_overflow() {
        let never = Delay::new(Duration::MAX);
        assert!(tokio::time::timeout(Duration::from_secs(86_400), never).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_delay_can_be_reset() {
        let mut delay = Delay::new(Duration::MAX);
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut delay).await.is_err());
        delay.reset(Duration::from_secs(1));
        assert!(tokio::time::timeout(Duration::from_secs(2), &mut delay).await.is_ok());
    }
}
