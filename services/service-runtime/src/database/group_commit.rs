//! Writes of many requests to SQLite in one transaction, on a thread of its own.
//!
//! To wait for the disk takes longer than all that is written, so many wait together. By sqlx the rows of a statement come back
//! one by one, each of them waking the thread that serves requests; here all outcomes come at once.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use rusqlite::{Connection, TransactionBehavior};

use super::batches::failed;
use super::file::File;
use super::{DatabaseError, Pool, metrics};

/// The way of [`Batches`](super::Batches) to write to SQLite.
#[derive(Clone)]
pub struct GroupCommit {
    file: Arc<File>,
    writer: Pool,
}

impl GroupCommit {
    /// Writes to `file`, in turn with what writes through `writer`.
    pub(super) fn new(file: File, writer: Pool) -> Self {
        Self { file: Arc::new(file), writer }
    }

    /// Writes each of `items` by `write`, all in one transaction, and gives their outcomes after its commit, in their order.
    ///
    /// What `write` has written of an item for which it fails is undone, and the others stay, unless it fails with
    /// [`DatabaseError::Unavailable`]: then nothing of any is written. If the commit fails, nobody knows.
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
        let file = Arc::clone(&self.file);
        let written = async {
            let written = tokio::task::spawn_blocking(move || {
                let mut taken = file.take()?;
                let outcomes = write_all(&mut taken.connection, &items, write)?;
                // A connection on which it failed is not used again.
                file.give_back(taken);
                Ok(outcomes)
            });
            written.await.unwrap_or_else(|_| Err(DatabaseError::Unavailable("the thread that writes broke off".into())))
        };
        let written = async { written.await.map_err(|error| (metrics::outcome(&error), error)) };
        self.writer.limited(written).await.unwrap_or_else(|error| failed(number, &error))
    }

    pub(super) fn close(&self) {
        self.file.close();
    }
}

fn write_all<I, T>(
    connection: &mut Connection,
    items: &[I],
    write: fn(&Connection, &I) -> Result<T, DatabaseError>,
) -> Result<Vec<Result<T, DatabaseError>>, DatabaseError> {
    // From the begin: to become the writer later fails if another was it meanwhile.
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
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

/// `time` as sqlx writes it into SQLite, in whole microseconds.
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
    use super::super::{Database, DatabaseUrl, Migration, Migrations, Together};
    use super::*;
    use crate::on_pool;

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
        let Together::Sqlite(group_commit) = database.together().clone() else { panic!("it is a file") };
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
        on_pool!(database.reader(), |pool| sqlx::query_scalar(sql).fetch_one(pool)).unwrap()
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
    async fn who_writes_by_sqlx_and_who_writes_together_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let (database, group_commit) = open(&directory).await;
        let turn = database.writer().turn.clone().unwrap();
        let taken = turn.acquire().await.unwrap();
        let mut waiting = Box::pin(group_commit.write_each(vec![1], thing));
        let by_sqlx = async {
            on_pool!(database.writer(), |pool| async {
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
            on_pool!(database.writer(), |pool| async {
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
