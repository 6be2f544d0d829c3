//! Group commit for SQLite: the writes of many requests in one transaction, on a dedicated thread.
//!
//! Waiting for the disk takes longer than all statements of a batch, so the requests of a batch share one wait. sqlx
//! would return the rows of a statement one by one and wake the serving thread for each; here all outcomes return
//! together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::{fmt, io, thread};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::durations;
use super::error::{DatabaseError, fail_all};
use super::pool::Pool;
use super::sqlite_connections::SqliteConnections;

/// How [`Batches`](super::Batches) write to SQLite. Clones share the thread.
#[derive(Clone)]
pub struct GroupCommit {
    jobs: mpsc::Sender<Job>,
    connections: Arc<SqliteConnections>,
    pool: Pool,
}

type Job = Box<dyn FnOnce() + Send>;

impl GroupCommit {
    /// Writes through `connections`, sharing the write lock, the time limit and the metrics of `pool`. Fails if the
    /// thread cannot be started.
    pub(super) fn new(connections: SqliteConnections, pool: Pool) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        // A dedicated thread, which ends with the last clone: `spawn_blocking` would hop between threads and duplicate
        // their allocator caches.
        thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || {
            for job in queue {
                // A job that panics drops its sender, which its caller notices.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self { jobs, connections: Arc::new(connections), pool })
    }

    /// Runs `work` on the thread and returns its result; `None` if it panicked.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteConnections) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let connections = Arc::clone(&self.connections);
        let job = Box::new(move || {
            // The caller may have gone.
            let _ = sender.send(work(&connections));
        });
        self.jobs.send(job).ok()?;
        receiver.await.ok()
    }

    /// Calls `write` for each of `items`, all in one transaction, and returns their outcomes in order after the commit.
    ///
    /// If `write` fails for an item, its writes are rolled back and those of the others stay. If it fails with
    /// [`DatabaseError::Unavailable`], the whole transaction is rolled back and every item fails. If the commit fails,
    /// it is unknown whether anything was written. Dropping the future before the transaction begins cancels it;
    /// afterwards the transaction completes.
    pub async fn write_each<I, T>(
        &self,
        items: Vec<I>,
        write: fn(&Connection, &I) -> Result<T, DatabaseError>,
    ) -> Vec<Result<T, DatabaseError>>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        let count = items.len();
        let caller = Arc::new(());
        let waiting_caller = Arc::downgrade(&caller);
        let operation = |write_guard| async move {
            let written = self.on_thread(move |connections| {
                // Held until the transaction ends, even if the caller has given up.
                let _write_guard = write_guard;
                let mut lease = connections.acquire()?;
                let is_awaited = || waiting_caller.strong_count() > 0;
                let outcomes = write_all(&mut lease.connection, &items, write, is_awaited)?;
                connections.release(lease);
                Ok(outcomes)
            });
            let panicked = || Err(DatabaseError::Unavailable("the writer thread panicked".to_owned()));
            let written = written.await.unwrap_or_else(panicked);
            drop(caller);
            (worst_outcome(&written), written)
        };
        self.pool.run_operation(operation).await.unwrap_or_else(|error| fail_all(count, &error))
    }

    /// Moves the write-ahead log into the file and closes it.
    pub(super) async fn close(&self) {
        let closed = self.on_thread(|connections| {
            // SQLite checkpoints the log when the last connection closes, but only if that connection has used the log.
            let last = connections.acquire();
            connections.close();
            last.is_ok_and(|last| last.connection.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).is_ok())
        });
        // The next start recovers what is left in the log.
        let _ = closed.await;
    }
}

/// The outcome of a batch for the metrics: the worst among its items.
fn worst_outcome<T>(written: &Result<Vec<Result<T, DatabaseError>>, DatabaseError>) -> &'static str {
    let errors: Vec<_> = match written {
        Ok(outcomes) => outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect(),
        Err(error) => vec![error],
    };
    let fault = errors.iter().find(|error| matches!(error, DatabaseError::Fault(_)));
    fault.or(errors.first()).map_or(durations::SUCCESS, |error| durations::outcome(error))
}

fn write_all<I, T>(
    connection: &mut Connection,
    items: &[I],
    write: fn(&Connection, &I) -> Result<T, DatabaseError>,
    is_awaited: impl FnOnce() -> bool,
) -> Result<Vec<Result<T, DatabaseError>>, DatabaseError> {
    // BEGIN IMMEDIATE: upgrading to a write later fails with SQLITE_BUSY if another writer got in first.
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !is_awaited() {
        return Err(DatabaseError::Unavailable("the callers gave up before the transaction began".to_owned()));
    }
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        let savepoint = transaction.savepoint()?;
        let outcome = write(&savepoint, item);
        match outcome {
            Ok(_) => savepoint.commit()?,
            // SQLite may have rolled back the whole transaction.
            Err(error @ DatabaseError::Unavailable(_)) => return Err(error),
            Err(_) => savepoint.finish()?,
        }
        outcomes.push(outcome);
    }
    transaction.commit()?;
    Ok(outcomes)
}

/// `time` in whole microseconds, as sqlx writes it to SQLite. rusqlite's own format differs, and times are compared as
/// text.
pub fn time_text(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(6).to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
