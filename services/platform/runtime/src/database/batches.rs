//! Statements for many requests at once.

use std::future::Future;
use std::time::Duration;

use super::{Database, DatabaseError};
use crate::coalesce::Coalescer;

/// The most items of a batch. If it were all who ask, they would wait for the database while nobody is answered, and the
/// database for them.
const MAX_BATCH: usize = 128;

/// One kind of statement of a store, made for all requests at once that wait for it. Clones share the batches.
///
/// Each request is answered after its commit, and with an outcome of its own. It waits no longer than
/// for any other statement, its place in the line included.
#[derive(Debug)]
pub struct Batches<I, T> {
    coalescer: Coalescer<I, Result<T, DatabaseError>>,
    limit: Duration,
}

impl<I: Send + 'static, T: Send + 'static> Batches<I, T> {
    /// Batches on `database`, each run by `run`, which gives an outcome for each item, in their order. It is given up after
    /// twice as long as any other operation: a statement that is refused is tried for fewer items.
    pub fn new<F>(database: &Database, run: impl Fn(Database, Vec<I>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<Result<T, DatabaseError>>> + Send,
    {
        let limit = database.reader().limit();
        let database = database.clone();
        let run = move |items: Vec<I>| {
            let outcomes = run(database.clone(), items);
            async move { tokio::time::timeout(limit * 2, outcomes).await.unwrap_or_default() }
        };
        Self { coalescer: Coalescer::new(MAX_BATCH, run), limit }
    }

    /// The outcome of `item`. A write that is [`DatabaseError::Unavailable`] may or may not have happened.
    pub async fn run(&self, item: I) -> Result<T, DatabaseError> {
        match tokio::time::timeout(self.limit, self.coalescer.run(item)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(DatabaseError::Unavailable(error.to_string())),
            Err(_) => Err(DatabaseError::no_answer_within(self.limit)),
        }
    }
}

impl<I, T> Clone for Batches<I, T> {
    fn clone(&self) -> Self {
        Self { coalescer: self.coalescer.clone(), limit: self.limit }
    }
}

/// The outcomes of `number` items whose batch failed as a whole.
pub fn fail_all<T>(number: usize, error: &DatabaseError) -> Vec<Result<T, DatabaseError>> {
    (0..number).map(|_| Err(error.clone())).collect()
}
