//! Statements shared by concurrent requests.

use std::future::Future;
use std::time::Duration;

use super::error::DatabaseError;
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

impl<I, T> Clone for Batches<I, T> {
    fn clone(&self) -> Self {
        Self { coalescer: self.coalescer.clone(), time_limit: self.time_limit }
    }
}
