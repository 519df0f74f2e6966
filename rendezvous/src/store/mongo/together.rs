//! What many requests ask of the database at once goes to it together.
//!
//! An operation costs mongod and the driver about the same whether it is about one document or about twenty. So while one
//! is under way, what comes meanwhile waits, and leaves as one operation when it is back. Nothing waits when nothing is
//! under way, nothing is remembered, and every read begins after it was asked for: the only difference is the number of
//! operations.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::bounded;
use crate::store::StoreError;

/// Operations of one kind under way at once: one is being answered while the next is being made.
const UNDER_WAY: usize = 2;
/// How much goes into one: the answer stays far below MongoDB's first batch of 101 documents where each is one document.
const MOST: usize = 64;

/// One kind of operation, on many items at once.
pub(super) struct Together<K, V>(Arc<Shared<K, V>>);

type Run<K, V> = dyn Fn(Vec<K>) -> BoxFuture<'static, Result<Vec<V>, StoreError>> + Send + Sync;

struct Shared<K, V> {
    run: Box<Run<K, V>>,
    queue: Mutex<Queue<K, V>>,
}

struct Queue<K, V> {
    waiting: VecDeque<(K, oneshot::Sender<Result<V, StoreError>>)>,
    under_way: usize,
}

impl<K: Send + 'static, V: Send + 'static> Together<K, V> {
    /// `run` gives one outcome for each item, in their order.
    pub fn new<F, R>(run: F) -> Self
    where
        F: Fn(Vec<K>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<V>, StoreError>> + Send + 'static,
    {
        Self(Arc::new(Shared {
            run: Box::new(move |items| run(items).boxed()),
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                under_way: 0,
            }),
        }))
    }

    /// The outcome for one item. It is asked for even if nobody waits for the answer any more.
    pub async fn ask(&self, item: K) -> Result<V, StoreError> {
        let (tell, told) = oneshot::channel();
        let begin = {
            let mut queue = self.0.queue();
            queue.waiting.push_back((item, tell));
            let begin = queue.under_way < UNDER_WAY;
            queue.under_way += usize::from(begin);
            begin
        };
        if begin {
            tokio::spawn(drive(Arc::clone(&self.0)));
        }
        told.await.unwrap_or_else(|_| Err(given_up()))
    }
}

impl<K, V> Shared<K, V> {
    fn queue(&self) -> MutexGuard<'_, Queue<K, V>> {
        // Nothing in it can be half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn given_up() -> StoreError {
    StoreError::Unavailable("the operation was given up".to_owned())
}

/// Runs operations until nothing waits.
async fn drive<K: Send + 'static, V: Send + 'static>(shared: Arc<Shared<K, V>>) {
    loop {
        // Requests that are being read at this moment come along.
        tokio::task::yield_now().await;
        let (items, told): (Vec<K>, Vec<_>) = {
            let mut queue = shared.queue();
            if queue.waiting.is_empty() {
                // Looked at and given up under one lock, or somebody could wait for a place that nobody fills.
                queue.under_way -= 1;
                return;
            }
            let count = queue.waiting.len().min(MOST);
            queue.waiting.drain(..count).unzip()
        };
        // A panic is a fault of ours, and no reason for those who come later to wait for ever.
        let operation = AssertUnwindSafe(bounded(async { (shared.run)(items).await }));
        match operation.catch_unwind().await.unwrap_or_else(|_| Err(given_up())) {
            Ok(outcomes) => {
                for (tell, outcome) in told.into_iter().zip(outcomes) {
                    // An error means that nobody waits any more.
                    let _ = tell.send(Ok(outcome));
                }
            }
            Err(error) => {
                for tell in told {
                    let _ = tell.send(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Doubles numbers, when it is let; counts operations.
    fn doubling() -> (Arc<Together<u32, u32>>, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (gate, count) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (inside, counted) = (Arc::clone(&gate), Arc::clone(&count));
        let together = Together::new(move |items: Vec<u32>| {
            let (gate, count) = (Arc::clone(&inside), Arc::clone(&counted));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                if items.contains(&13) {
                    return Err(StoreError::Unavailable("thirteen".to_owned()));
                }
                Ok(items.into_iter().map(|item| 2 * item).collect())
            }
        });
        (Arc::new(together), gate, count)
    }

    fn ask(together: &Arc<Together<u32, u32>>, item: u32) -> impl Future<Output = Result<u32, StoreError>> + use<> {
        let together = Arc::clone(together);
        async move { together.ask(item).await }
    }

    #[tokio::test]
    async fn what_comes_while_operations_are_under_way_goes_in_one() {
        let (together, gate, count) = doubling();
        let mut asked = Vec::new();
        for item in 100..100 + UNDER_WAY as u32 {
            asked.push(tokio::spawn(ask(&together, item)));
            while count.load(Ordering::SeqCst) < asked.len() {
                tokio::task::yield_now().await;
            }
        }
        asked.extend((200..220).map(|item| tokio::spawn(ask(&together, item))));
        while together.0.queue().waiting.len() < 20 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(100);
        let items = (100..100 + UNDER_WAY as u32).chain(200..220);
        for (asked, item) in asked.into_iter().zip(items) {
            assert_eq!(asked.await.unwrap().unwrap(), 2 * item);
        }
        assert_eq!(count.load(Ordering::SeqCst), UNDER_WAY + 1);
        // The places are free again, a moment later.
        while together.0.queue().under_way > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_failure_reaches_all_that_went_together_and_nobody_else() {
        let (together, gate, _) = doubling();
        gate.add_permits(100);
        let outcomes = futures::future::join_all([12, 13, 14].map(|item| ask(&together, item))).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(together.ask(15).await.unwrap(), 30);
    }

    #[tokio::test]
    async fn more_than_fits_goes_in_several_and_all_are_answered() {
        let (together, gate, count) = doubling();
        gate.add_permits(100);
        let many = (1000..1000 + 3 * MOST as u32).map(|item| ask(&together, item));
        let outcomes = futures::future::join_all(many).await;
        assert!(
            outcomes
                .into_iter()
                .zip(1000..)
                .all(|(outcome, item)| outcome.unwrap() == 2 * item)
        );
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn an_operation_that_panics_blocks_nothing() {
        let together: Together<u32, u32> = Together::new(|items: Vec<u32>| async move {
            assert!(!items.contains(&13), "a panic of the test's own");
            Ok(items)
        });
        for _ in 0..2 * UNDER_WAY {
            assert!(together.ask(13).await.is_err());
        }
        assert_eq!(together.ask(1).await.unwrap(), 1);
    }
}
