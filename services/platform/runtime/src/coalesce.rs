//! Coalescing: items of concurrent callers run together in batches.
//!
//! While a batch is in flight, the next one collects. When none is in flight, a batch starts immediately, after one
//! yield so that tasks that are already runnable can join it. A lone item therefore does not wait, and the cost of an
//! item falls as the load rises.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

/// The maximum number of items that wait for their batch.
const MAX_PENDING: usize = 4096;

/// Runs the items of many callers in batches, one batch at a time, first in first out. Clones share the queue.
#[derive(Debug)]
pub struct Coalescer<I, O> {
    queue: mpsc::Sender<(I, oneshot::Sender<O>)>,
}

/// The reason why an item has no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CoalesceError {
    /// The queue is full. The item is not in any batch.
    #[error("the batch queue is full")]
    Full,
    /// The batch panicked, or returned too few outcomes. Its effect is unknown.
    #[error("the batch ended without an outcome")]
    BrokeOff,
}

impl<I: Send + 'static, O: Send + 'static> Coalescer<I, O> {
    /// Starts a task that runs batches of up to `max_batch` items with `run`, which returns the outcomes in the order
    /// of the items and must have its own timeout. A panic ends its batch, but not the task; the task ends with the
    /// last clone.
    pub fn new<F>(max_batch: usize, run: impl Fn(Vec<I>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<O>> + Send,
    {
        let (queue, mut queued) = mpsc::channel::<(I, oneshot::Sender<O>)>(MAX_PENDING);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while queued.recv_many(&mut batch, max_batch).await > 0 {
                // Runnable tasks can join the batch; if there are none, the yield costs nothing.
                tokio::task::yield_now().await;
                while batch.len() < max_batch
                    && let Ok(pending) = queued.try_recv()
                {
                    batch.push(pending);
                }
                // An item without a caller is left out.
                let (items, replies): (Vec<I>, Vec<_>) =
                    batch.drain(..).filter(|(_, reply)| !reply.is_closed()).unzip();
                if items.is_empty() {
                    continue;
                }
                let outcomes = AssertUnwindSafe(async { run(items).await }).catch_unwind().await.unwrap_or_default();
                // A reply that is dropped instead of sent becomes `BrokeOff`.
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    let _ = reply.send(outcome);
                }
            }
        });
        Self { queue }
    }

    /// Runs `item` in the next batch and returns its outcome. If the caller drops the future before the batch starts,
    /// the item is left out; after that the batch continues, and the outcome is lost.
    pub async fn run(&self, item: I) -> Result<O, CoalesceError> {
        let (reply, outcome) = oneshot::channel();
        self.queue.try_send((item, reply)).map_err(|_| CoalesceError::Full)?;
        outcome.await.map_err(|_| CoalesceError::BrokeOff)
    }
}

impl<I, O> Clone for Coalescer<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

#[cfg(test)]
mod tests;
