//! Doing at once what many requests ask for at the same time.
//!
//! While a batch is in flight the next collects; nothing waits when nothing is in flight, but for those who are ready to ask
//! at that moment. So a single request is as fast as alone, and the busier the service the less each costs.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

/// The most items that wait for their batch.
const MOST_WAITING: usize = 4096;

/// Items of many callers, run in batches, one batch at a time, in the order in which they came. Clones share the line.
#[derive(Debug)]
pub struct Coalescer<I, O> {
    line: mpsc::Sender<Pending<I, O>>,
}

#[derive(Debug)]
struct Pending<I, O> {
    item: I,
    answer: oneshot::Sender<O>,
}

/// Why an item has no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CoalesceError {
    /// Too many wait already. The item is not in any batch.
    #[error("too many wait for their turn")]
    Full,
    /// Its batch ended without an outcome for it. What the batch did is not known.
    #[error("the batch broke off")]
    BrokeOff,
}

impl<I: Send + 'static, O: Send + 'static> Coalescer<I, O> {
    /// Starts a task that runs batches of up to `max_batch` items by `run`, which gives the outcomes of the items in their
    /// order. It must limit its own time. A panic ends its batch, not the task; the task ends with the last clone.
    pub fn new<F>(max_batch: usize, run: impl Fn(Vec<I>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<O>> + Send,
    {
        let (line, mut waiting) = mpsc::channel(MOST_WAITING);
        tokio::spawn(async move {
            let mut asks = Vec::new();
            while waiting.recv_many(&mut asks, max_batch).await > 0 {
                // Whoever is about to ask comes along; where nobody is, this takes no time.
                tokio::task::yield_now().await;
                while asks.len() < max_batch
                    && let Ok(ask) = waiting.try_recv()
                {
                    asks.push(ask);
                }
                // Whose caller has gone is not begun.
                let (items, answers): (Vec<I>, Vec<_>) =
                    asks.drain(..).filter(Pending::is_awaited).map(|ask| (ask.item, ask.answer)).unzip();
                if items.is_empty() {
                    continue;
                }
                let batch = AssertUnwindSafe(async { run(items).await }).catch_unwind();
                let outcomes = batch.await.unwrap_or_default();
                // An answer that is dropped unsent tells its caller so.
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(outcome);
                }
            }
        });
        Self { line }
    }

    /// Runs `item` in the next batch and gives its outcome. When what is returned is dropped before the batch begins, the
    /// item is left out; afterwards the batch goes on without it being known how it ended.
    pub async fn run(&self, item: I) -> Result<O, CoalesceError> {
        let (answer, answered) = oneshot::channel();
        self.line.try_send(Pending { item, answer }).map_err(|_| CoalesceError::Full)?;
        answered.await.map_err(|_| CoalesceError::BrokeOff)
    }
}

impl<I, O> Pending<I, O> {
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }
}

impl<I, O> Clone for Coalescer<I, O> {
    fn clone(&self) -> Self {
        Self { line: self.line.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::future::{join_all, poll_immediate};
    use tokio::sync::Semaphore;

    use super::*;

    const MAX_BATCH: usize = 256;

    /// The items of each batch that began.
    type Batches = Arc<Mutex<Vec<Vec<i32>>>>;

    /// Multiplies by ten; each batch waits at the gate, and panics at a zero.
    fn tenfold() -> (Coalescer<i32, i32>, Batches, Arc<Semaphore>) {
        let (batches, gate) = (Batches::default(), Arc::new(Semaphore::new(0)));
        let (began, closed) = (batches.clone(), gate.clone());
        let coalescer = Coalescer::new(MAX_BATCH, move |items: Vec<i32>| {
            began.lock().unwrap_or_else(|error| error.into_inner()).push(items.clone());
            let closed = closed.clone();
            async move {
                closed.acquire().await.expect("never closed").forget();
                assert!(!items.contains(&0));
                items.into_iter().map(|item| item * 10).collect()
            }
        });
        (coalescer, batches, gate)
    }

    fn seen(batches: &Batches) -> Vec<Vec<i32>> {
        batches.lock().expect("no panic inside").clone()
    }

    async fn begun(batches: &Batches, number: usize) {
        while seen(batches).len() < number {
            tokio::task::yield_now().await;
        }
    }

    /// Polls once: then the item is in the line.
    macro_rules! ask {
        ($coalescer:expr, $item:expr) => {{
            let mut asked = Box::pin($coalescer.run($item));
            assert_eq!(poll_immediate(&mut asked).await, None);
            asked
        }};
    }

    #[tokio::test]
    async fn nothing_waits_when_nothing_is_in_flight() {
        let (coalescer, batches, gate) = tenfold();
        gate.add_permits(2);
        assert_eq!(coalescer.run(1).await, Ok(10));
        assert_eq!(coalescer.run(2).await, Ok(20));
        assert_eq!(seen(&batches), [[1], [2]]);
    }

    #[tokio::test]
    async fn while_a_batch_is_in_flight_the_next_collects() {
        let (coalescer, batches, gate) = tenfold();
        let first = ask!(coalescer, 1);
        begun(&batches, 1).await;
        let others: Vec<_> = (2..=5).map(|item| coalescer.run(item)).collect();
        gate.add_permits(2);
        assert_eq!(join_all(others).await, [Ok(20), Ok(30), Ok(40), Ok(50)]);
        assert_eq!(first.await, Ok(10));
        assert_eq!(seen(&batches), [vec![1], vec![2, 3, 4, 5]]);
    }

    #[tokio::test]
    async fn who_came_first_is_served_first_and_a_batch_is_bounded() {
        let (coalescer, batches, gate) = tenfold();
        gate.add_permits(3);
        let items: Vec<i32> = (1..=600).collect();
        let outcomes = join_all(items.iter().map(|item| coalescer.run(*item))).await;
        assert_eq!(outcomes, items.iter().map(|item| Ok(item * 10)).collect::<Vec<_>>());
        let batches = seen(&batches);
        assert_eq!(batches.concat(), items);
        assert!(batches.iter().all(|batch| batch.len() <= MAX_BATCH));
    }

    #[tokio::test]
    async fn whose_caller_left_before_the_batch_began_is_left_out_and_later_is_not() {
        let (coalescer, batches, gate) = tenfold();
        drop(ask!(coalescer, 1));
        let (second, third) = (ask!(coalescer, 2), ask!(coalescer, 3));
        begun(&batches, 1).await;
        drop(second);
        gate.add_permits(1);
        assert_eq!(third.await, Ok(30));
        assert_eq!(seen(&batches), [[2, 3]]);
        // A batch of nobody is no batch.
        drop(ask!(coalescer, 4));
        gate.add_permits(1);
        assert_eq!(coalescer.run(5).await, Ok(50));
        assert_eq!(seen(&batches), [vec![2, 3], vec![5]]);
    }

    #[tokio::test]
    async fn a_batch_that_panics_answers_all_who_wait_and_the_next_goes_on() {
        let (coalescer, batches, gate) = tenfold();
        let (one, zero) = (ask!(coalescer, 1), ask!(coalescer, 0));
        begun(&batches, 1).await;
        let two = ask!(coalescer, 2);
        gate.add_permits(2);
        assert_eq!((one.await, zero.await), (Err(CoalesceError::BrokeOff), Err(CoalesceError::BrokeOff)));
        assert_eq!(two.await, Ok(20));
    }

    #[tokio::test]
    async fn an_outcome_that_is_missing_is_no_hang() {
        let coalescer = Coalescer::new(MAX_BATCH, |items: Vec<i32>| async move { items[1..].to_vec() });
        assert_eq!(coalescer.run(1).await, Err(CoalesceError::BrokeOff));
    }

    #[tokio::test]
    async fn the_line_is_bounded() {
        let (coalescer, batches, gate) = tenfold();
        let first = ask!(coalescer, 1);
        begun(&batches, 1).await;
        let mut waiting = Vec::new();
        for _ in 0..MOST_WAITING {
            waiting.push(ask!(coalescer, 2));
        }
        assert_eq!(coalescer.run(3).await, Err(CoalesceError::Full));
        gate.add_permits(1 + MOST_WAITING.div_ceil(MAX_BATCH));
        assert_eq!(first.await, Ok(10));
        assert!(join_all(waiting).await.into_iter().all(|outcome| outcome == Ok(20)));
    }

    #[tokio::test]
    async fn what_is_in_line_is_served_although_the_coalescer_is_gone() {
        let (coalescer, batches, gate) = tenfold();
        let clone = coalescer.clone();
        drop(coalescer);
        gate.add_permits(1);
        assert_eq!(clone.run(1).await, Ok(10));
        drop(clone);
        // The task, which holds the other, ends.
        while Arc::strong_count(&batches) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
