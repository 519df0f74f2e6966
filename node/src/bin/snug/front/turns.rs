//! What is typed takes effect in its order, though some of it has to look up a name, or wait for the disk, before it does: a line said
//! right after `/kick` isn't heard by whoever is removed.

use std::time::Duration;

use futures::future::BoxFuture;
use snug::engine::{Handle, SendError};
use snug_crypto::ids::MessageId;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// How long somebody who goes waits for what was asked for before: a disk that takes nothing must not keep anybody.
pub const LAST: Duration = Duration::from_secs(5);

/// The order in which things were asked for.
#[derive(Debug, Default)]
pub struct Turns {
    /// Closes when the last that was asked for is out.
    last: Option<oneshot::Receiver<()>>,
}

/// A place in that order; whoever comes after waits until it is dropped.
#[derive(Debug)]
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _held: oneshot::Sender<()>,
}

impl Turns {
    /// The next place.
    pub fn next(&mut self) -> Turn {
        let (held, released) = oneshot::channel();
        Turn {
            before: self.last.replace(released),
            _held: held,
        }
    }

    /// Says something to the room, when it is its turn.
    pub fn say(
        &mut self,
        handle: &Handle,
        text: String,
        reply_to: Option<MessageId>,
    ) -> BoxFuture<'static, Result<MessageId, SendError>> {
        let mut turn = self.next();
        if turn.has_come() {
            // At once, so that nothing which ends this run comes between.
            return handle.send(text, reply_to);
        }
        let handle = handle.clone();
        Box::pin(async move {
            turn.comes().await;
            let sending = handle.send(text, reply_to);
            drop(turn);
            sending.await
        })
    }

    /// Waits until nothing that was asked for waits for its turn, or has it.
    pub async fn settled(&mut self) {
        if let Some(last) = self.last.take() {
            // Nothing is ever sent: the other end is dropped.
            let _ = last.await;
        }
    }
}

impl Turn {
    /// Waits for all that was asked for before.
    pub async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            // As above.
            let _ = before.await;
        }
    }

    fn has_come(&mut self) -> bool {
        let is_over = |before: &mut oneshot::Receiver<()>| before.try_recv() == Err(TryRecvError::Closed);
        self.before.as_mut().is_none_or(is_over)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::StreamExt as _;
    use futures::stream::FuturesUnordered;

    use super::*;

    #[tokio::test]
    async fn what_is_quick_waits_for_what_was_asked_for_before() {
        let (mut turns, done) = (Turns::default(), Arc::new(Mutex::new(Vec::new())));
        turns.settled().await;
        let slow = [true, false, true, false, false];
        let work = FuturesUnordered::new();
        // The last comes to the runtime first.
        let places: Vec<(usize, Turn)> = (0..slow.len()).map(|place| (place, turns.next())).collect();
        for (place, mut turn) in places.into_iter().rev() {
            let done = Arc::clone(&done);
            work.push(async move {
                turn.comes().await;
                if slow[place] {
                    for _ in 0..9 {
                        tokio::task::yield_now().await;
                    }
                }
                done.lock().unwrap().push(place);
            });
        }
        assert!(!turns.next().has_come());
        let ((), ()) = tokio::join!(turns.settled(), work.collect());
        assert_eq!(*done.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert!(turns.next().has_come());
    }
}
