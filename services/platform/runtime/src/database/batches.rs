//! Statements shared by concurrent requests.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use super::error::{DatabaseError, fail_all};
use super::handle::Database;
use crate::coalesce::Coalescer;

/// Maximum items in a batch. Without a limit, one batch would hold every waiting request: the requests would all wait
/// for the database, and then the database for the requests.
const MAX_BATCH: usize = 128;

/// One kind of statement of a store, coalesced: requests that wait at the same time share a batch. Clones share the
/// batches.
///
/// Each request has an outcome of its own, after its commit. It waits no longer than for any other statement, queueing
/// included.
#[derive(Debug)]
pub struct Batches<I, T> {
    coalescer: Coalescer<I, Result<T, DatabaseError>>,
    time_limit: Duration,
}

impl<I: Send + 'static, T: Send + 'static> Batches<I, T> {
    /// Batches on `database`. `run` executes one and returns an outcome for each item, in their order. Its time limit
    /// is twice that of any other operation, because a batch that is refused as a whole is retried in parts.
    pub fn new<F>(database: &Database, run: impl Fn(Database, Vec<I>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<Result<T, DatabaseError>>> + Send,
    {
        let time_limit = database.reader().time_limit();
        let database = database.clone();
        let run = move |items: Vec<I>| {
            let outcomes = run(database.clone(), items);
            async move { tokio::time::timeout(time_limit * 2, outcomes).await.unwrap_or_default() }
        };
        Self { coalescer: Coalescer::new(MAX_BATCH, run), time_limit }
    }

    /// Runs `item` in the next batch and returns its outcome. After [`DatabaseError::Unavailable`] it is unknown
    /// whether a write happened.
    pub async fn run(&self, item: I) -> Result<T, DatabaseError> {
        match tokio::time::timeout(self.time_limit, self.coalescer.run(item)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(DatabaseError::Unavailable(error.to_string())),
            Err(_) => Err(DatabaseError::no_answer_within(self.time_limit)),
        }
    }
}

/// Runs the items of a batch, which `run` gets by their positions: all by one transaction or, if that is refused, by halves,
/// until the bad item fails alone. Returns an outcome for each of the `count` items, in their order.
pub async fn by_halves<T, F>(count: usize, run: impl Fn(Range<usize>) -> F) -> Vec<Result<T, DatabaseError>>
where
    F: Future<Output = Result<Vec<T>, DatabaseError>>,
{
    let mut outcomes = Vec::with_capacity(count);
    let mut parts: Vec<_> = std::iter::once(0..count).collect();
    while let Some(part) = parts.pop() {
        match run(part.clone()).await {
            Ok(part) => outcomes.extend(part.into_iter().map(Ok)),
            // Nothing was written.
            Err(error) if error.is_refusal() && part.len() > 1 => {
                let middle = part.start + part.len() / 2;
                parts.extend([middle..part.end, part.start..middle]);
            }
            Err(error) => outcomes.extend(fail_all(part.len(), &error)),
        }
    }
    outcomes
}

impl<I, T> Clone for Batches<I, T> {
    fn clone(&self) -> Self {
        Self { coalescer: self.coalescer.clone(), time_limit: self.time_limit }
    }
}
