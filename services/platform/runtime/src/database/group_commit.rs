//! Writes of many requests to SQLite in one transaction, on a thread of its own.
//!
//! To wait for the disk takes longer than all that is written, so many wait batch_writer. By sqlx the rows of a statement come back
//! one by one, each of them waking the thread that serves requests; here all outcomes come at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::{fmt, io, thread};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::batches::fail_all;
use super::sqlite_connections::SqliteConnections;
use super::{DatabaseError, Pool, metrics};

/// The way of [`Batches`](super::Batches) to write to SQLite.
#[derive(Clone)]
pub struct GroupCommit {
    thread: mpsc::Sender<Job>,
    file: Arc<SqliteConnections>,
    writer: Pool,
}

type Job = Box<dyn FnOnce() + Send>;

impl GroupCommit {
    /// Writes to `file`, in turn with what writes through `writer`. Fails if there can be no thread for it.
    pub(super) fn new(file: SqliteConnections, writer: Pool) -> io::Result<Self> {
        let (thread, jobs) = mpsc::channel::<Job>();
        // Always the same: tokio's would be one and another, each with memory of its own. It ends with the last clone.
        thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || {
            for job in jobs {
                // Who waits for it is told, by getting nothing.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self { thread, file: Arc::new(file), writer })
    }

    /// The outcome of `work` on the thread; `None` if it broke off.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteConnections) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let file = Arc::clone(&self.file);
        let job = Box::new(move || {
            // Nobody may wait for it any more.
            let _ = answer.send(work(&file));
        });
        self.thread.send(job).ok()?;
        answered.await.ok()
    }

    /// Writes each of `items` by `write`, all in one transaction, and gives their outcomes after its commit, in their order.
    ///
    /// What `write` has written of an item for which it fails is undone, and the others stay, unless it fails with
    /// [`DatabaseError::Unavailable`]: then nothing of any is written. If the commit fails, nobody knows. When what is
    /// returned is dropped before the transaction begins, it does not; afterwards it is finished.
    pub async fn write_each<I, T>(
        &self,
        items: Vec<I>,
        write: fn(&Connection, &I) -> Result<T, DatabaseError>,
    ) -> Vec<Result<T, DatabaseError>>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        let number = items.len();
        let awaited = Arc::new(());
        let is_awaited = Arc::downgrade(&awaited);
        let operation = |turn| async move {
            let written = self.on_thread(move |file| {
                // Until it is done, whoever has given up on it.
                let _turn = turn;
                let mut taken = file.take()?;
                let outcomes = write_all(&mut taken.connection, &items, write, || is_awaited.strong_count() > 0)?;
                // A connection on which it failed is not used again.
                file.release(taken);
                Ok(outcomes)
            });
            let broke_off = || Err(DatabaseError::Unavailable("the thread that writes broke off".to_owned()));
            let written = written.await.unwrap_or_else(broke_off);
            drop(awaited);
            (outcome(&written), written)
        };
        self.writer.limited(operation).await.unwrap_or_else(|error| fail_all(number, &error))
    }

    /// Moves the write-ahead log into the file and closes it.
    pub(super) async fn close(&self) {
        let closed = self.on_thread(|file| {
            // Who closes it last moves the log, if it has looked at it.
            let last = file.take();
            file.close();
            last.is_ok_and(|last| last.connection.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).is_ok())
        });
        // What is left in the log is found there at the next start.
        let _ = closed.await;
    }
}

/// How a batch ended, in one word: the worst of what became of its items.
fn outcome<T>(written: &Result<Vec<Result<T, DatabaseError>>, DatabaseError>) -> &'static str {
    let errors: Vec<_> = match written {
        Ok(outcomes) => outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect(),
        Err(error) => vec![error],
    };
    let fault = errors.iter().find(|error| matches!(error, DatabaseError::Fault(_)));
    fault.or(errors.first()).map_or(metrics::SUCCESS, |error| metrics::outcome(error))
}

fn write_all<I, T>(
    connection: &mut Connection,
    items: &[I],
    write: fn(&Connection, &I) -> Result<T, DatabaseError>,
    is_awaited: impl FnOnce() -> bool,
) -> Result<Vec<Result<T, DatabaseError>>, DatabaseError> {
    // From the begin: to become the writer later fails if another was it meanwhile.
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !is_awaited() {
        return Err(DatabaseError::Unavailable("its callers were told that it is not done".to_owned()));
    }
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        let savepoint = transaction.savepoint()?;
        let outcome = write(&savepoint, item);
        match outcome {
            Ok(_) => savepoint.commit()?,
            // SQLite may have undone all of the transaction, and ended it.
            Err(error @ DatabaseError::Unavailable(_)) => return Err(error),
            Err(_) => savepoint.finish()?,
        }
        outcomes.push(outcome);
    }
    transaction.commit()?;
    Ok(outcomes)
}

/// `time` as sqlx writes it into SQLite, in whole microseconds. rusqlite would write it otherwise, and texts are compared.
pub fn time_text(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(6).to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
mod tests {
    use super::super::{BatchWriter, Database, DatabaseUrl, Migration, Migrations};
    use super::*;
    use crate::with_pool;

    const THINGS: Migrations = Migrations {
        service_name: "some-service",
        steps: &[Migration {
            version: 1,
            name: "things",
            sql: "CREATE TABLE things (id INTEGER PRIMARY KEY, at TEXT); CREATE TABLE notes (id INTEGER PRIMARY KEY);",
        }],
    };

    async fn open(directory: &tempfile::TempDir) -> (Database, GroupCommit) {
        let url = DatabaseUrl::Sqlite(directory.path().join("things.db"));
        let database = Database::open(&url, 1, &THINGS).await.unwrap();
        let BatchWriter::Sqlite(group_commit) = database.batch_writer().clone() else { panic!("it is a file") };
        (database, group_commit)
    }

    /// A note and a thing with this id. Who asks for 13 is told that the disk is full, who asks for 0 panics.
    fn thing(connection: &Connection, id: &i64) -> Result<i64, DatabaseError> {
        assert_ne!(*id, 0);
        connection.execute("INSERT INTO notes DEFAULT VALUES", [])?;
        connection.execute("INSERT INTO things (id) VALUES ($1)", [id])?;
        if *id == 13 { Err(DatabaseError::Unavailable("full".to_owned())) } else { Ok(id * 10) }
    }

    async fn count(database: &Database, sql: &'static str) -> i64 {
        with_pool!(database.reader(), |pool| sqlx::query_scalar(sql).fetch_one(pool)).unwrap()
    }

    async fn stored(database: &Database) -> (i64, i64) {
        (count(database, "SELECT COUNT(*) FROM things").await, count(database, "SELECT COUNT(*) FROM notes").await)
    }

    #[tokio::test]
    async fn one_that_is_refused_fails_alone_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        let outcomes = group_commit.write_each(vec![1, 2, 1, 3], thing).await;
        assert!(matches!(outcomes[..], [Ok(10), Ok(20), Err(DatabaseError::UniqueViolation), Ok(30)]), "{outcomes:?}");
        assert_eq!(stored(&database).await, (3, 3));
        let outcomes = group_commit.write_each(vec![4], |connection, id| {
            thing(connection, id)?;
            Ok(connection.execute("INSERT INTO nothing VALUES (1)", [])?)
        });
        assert!(matches!(outcomes.await[..], [Err(DatabaseError::Fault(_))]));
        assert_eq!(stored(&database).await, (3, 3));
    }

    #[tokio::test]
    async fn when_the_database_cannot_go_on_nothing_is_written_and_everybody_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        for bad in [13, 0] {
            let outcomes = group_commit.write_each(vec![1, bad, 2], thing).await;
            assert_eq!(outcomes.len(), 3);
            for outcome in outcomes {
                assert!(matches!(outcome, Err(DatabaseError::Unavailable(_))), "{outcome:?}");
            }
            assert_eq!(stored(&database).await, (0, 0));
        }
        assert!(matches!(group_commit.write_each(vec![1], thing).await[..], [Ok(10)]));
        database.close().await;
        assert!(matches!(group_commit.write_each(vec![2], thing).await[..], [Err(DatabaseError::Unavailable(_))]));
    }

    #[tokio::test]
    async fn a_batch_that_fills_the_disk_writes_nothing_and_the_next_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        let outcomes = group_commit.write_each(vec![1, 2, 3], |connection, id| {
            connection.pragma_update(None, "max_page_count", 10)?;
            let length = if *id == 2 { 100_000 } else { 10 };
            connection.execute("INSERT INTO things (id, at) VALUES ($1, zeroblob($2))", [*id, length])?;
            Ok(())
        });
        for outcome in outcomes.await {
            assert!(
                matches!(&outcome, Err(DatabaseError::Unavailable(cause)) if cause.contains("full")),
                "{outcome:?}"
            );
        }
        assert_eq!(stored(&database).await, (0, 0));
        assert!(matches!(group_commit.write_each(vec![1], thing).await[..], [Ok(10)]));
    }

    #[tokio::test]
    async fn a_batch_that_is_given_up_before_it_begins_writes_nothing_and_the_next_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        // Another process writes.
        let other = Connection::open(directory.path().join("things.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut given_up = Box::pin(group_commit.write_each(vec![1], thing));
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(given_up);
        // The thread has its turn still.
        assert_eq!(database.writer().turn.as_ref().unwrap().available_permits(), 0);
        let mut next = Box::pin(group_commit.write_each(vec![2], thing));
        assert!(futures::poll!(&mut next).is_pending());
        other.execute_batch("COMMIT").unwrap();
        assert!(matches!(next.await[..], [Ok(20)]));
        assert_eq!(stored(&database).await, (1, 1));
        assert_eq!(count(&database, "SELECT id FROM things").await, 2);
    }

    #[tokio::test]
    async fn its_commits_wait_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (_database, group_commit) = open(&directory).await;
        let settings = group_commit.write_each(vec![()], |connection, ()| {
            let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((number("synchronous")?, number("wal_autocheckpoint")?, journal))
        });
        // FULL (sqlite.org/pragma, synchronous).
        assert!(matches!(&settings.await[..], [Ok((2, 4000, journal))] if journal == "wal"));
    }

    #[tokio::test]
    async fn after_the_end_all_is_in_the_file_although_nothing_was_written_by_sqlx() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        let super::super::Connections::Sqlite(writer) = &database.writer().connections else { panic!("it is a file") };
        // As after a while without a use.
        writer.close().await;
        group_commit.write_each(vec![1], thing).await;
        assert_eq!(stored(&database).await, (1, 1));
        let log = directory.path().join("things.db-wal");
        assert!(log.exists());
        database.close().await;
        assert!(!log.exists());
    }

    #[tokio::test]
    async fn a_batch_is_counted_by_the_worst_that_became_of_it() {
        let fault = || Err(DatabaseError::Fault(Arc::new(std::io::Error::other("ours"))));
        let taken = || Err(DatabaseError::UniqueViolation);
        assert_eq!(outcome(&Ok(vec![Ok(1), Ok(2)])), "success");
        assert_eq!(outcome(&Ok(vec![Ok(1), taken()])), "unique_violation");
        assert_eq!(outcome(&Ok(vec![taken(), fault(), Ok(1)])), "fault");
        assert_eq!(outcome::<()>(&Err(DatabaseError::Unavailable("full".to_owned()))), "unavailable");
    }

    #[tokio::test]
    async fn who_writes_by_sqlx_and_who_writes_together_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        let turn = database.writer().turn.clone().unwrap();
        let taken = turn.acquire().await.unwrap();
        let mut waiting = Box::pin(group_commit.write_each(vec![1], thing));
        let by_sqlx = async {
            with_pool!(database.writer(), |pool| async {
                sqlx::query("INSERT INTO things (id) VALUES (7)").execute(pool).await.map(drop)
            })
            .unwrap();
        };
        let mut by_sqlx = Box::pin(by_sqlx);
        assert!(futures::poll!(&mut waiting).is_pending() && futures::poll!(&mut by_sqlx).is_pending());
        assert_eq!(stored(&database).await, (0, 0));
        drop(taken);
        futures::join!(waiting, by_sqlx);
        assert_eq!(stored(&database).await, (2, 1));
    }

    #[tokio::test]
    async fn a_time_is_written_as_sqlx_writes_it() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        for time in ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00.5Z", "2026-01-01T12:00:00.123456789Z"] {
            let time: DateTime<Utc> = time.parse().unwrap();
            with_pool!(database.writer(), |pool| async {
                sqlx::query("INSERT INTO things (at) VALUES ($1)")
                    .bind(time.trunc_subsecs(6))
                    .execute(pool)
                    .await
                    .map(drop)
            })
            .unwrap();
            let written = group_commit.write_each(vec![time], |connection, time| {
                Ok(connection.execute("INSERT INTO things (at) VALUES ($1)", [time_text(*time)])?)
            });
            assert!(matches!(written.await[..], [Ok(1)]));
        }
        assert_eq!(count(&database, "SELECT COUNT(DISTINCT at) FROM things").await, 3);
    }
}
