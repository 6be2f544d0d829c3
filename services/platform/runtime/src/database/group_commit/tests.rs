use super::*;
use crate::database::{BatchWriter, Connections, Database, DatabaseUrl, Migration, Migrations};
use crate::with_pool;

const MIGRATIONS: Migrations = Migrations {
    service_name: "some-service",
    steps: &[Migration {
        version: 1,
        name: "items and notes",
        sql: "CREATE TABLE items (id INTEGER PRIMARY KEY, at TEXT); CREATE TABLE notes (id INTEGER PRIMARY KEY);",
    }],
};

async fn open(directory: &tempfile::TempDir) -> (Database, GroupCommit) {
    let url = DatabaseUrl::Sqlite(directory.path().join("items.db"));
    let database = Database::open(&url, 1, &MIGRATIONS).await.unwrap();
    let BatchWriter::Sqlite(group_commit) = database.batch_writer().clone() else { panic!("the database is a file") };
    (database, group_commit)
}

/// Writes a note, and an item with this id. Fails for 13 as if the disk were full, and panics for 0.
fn write_item(connection: &Connection, id: &i64) -> Result<i64, DatabaseError> {
    assert_ne!(*id, 0);
    connection.execute("INSERT INTO notes DEFAULT VALUES", [])?;
    connection.execute("INSERT INTO items (id) VALUES ($1)", [id])?;
    if *id == 13 { Err(DatabaseError::Unavailable("full".to_owned())) } else { Ok(id * 10) }
}

async fn number(database: &Database, sql: &'static str) -> i64 {
    with_pool!(database.reader(), |pool| sqlx::query_scalar(sql).fetch_one(pool)).unwrap()
}

/// How many items and notes are stored.
async fn stored(database: &Database) -> (i64, i64) {
    (number(database, "SELECT COUNT(*) FROM items").await, number(database, "SELECT COUNT(*) FROM notes").await)
}

#[tokio::test]
async fn a_refused_item_fails_alone_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (database, group_commit) = open(&directory).await;
    let outcomes = group_commit.write_each(vec![1, 2, 1, 3], write_item).await;
    assert!(matches!(outcomes[..], [Ok(10), Ok(20), Err(DatabaseError::UniqueViolation), Ok(30)]), "{outcomes:?}");
    assert_eq!(stored(&database).await, (3, 3));
    let outcomes = group_commit.write_each(vec![4], |connection, id| {
        write_item(connection, id)?;
        Ok(connection.execute("INSERT INTO missing VALUES (1)", [])?)
    });
    assert!(matches!(outcomes.await[..], [Err(DatabaseError::Fault(_))]));
    assert_eq!(stored(&database).await, (3, 3));
}

#[tokio::test]
async fn an_unavailable_database_fails_every_item() {
    let directory = tempfile::tempdir().unwrap();
    let (database, group_commit) = open(&directory).await;
    for bad in [13, 0] {
        let outcomes = group_commit.write_each(vec![1, bad, 2], write_item).await;
        assert_eq!(outcomes.len(), 3);
        for outcome in outcomes {
            assert!(matches!(outcome, Err(DatabaseError::Unavailable(_))), "{outcome:?}");
        }
        assert_eq!(stored(&database).await, (0, 0));
    }
    assert!(matches!(group_commit.write_each(vec![1], write_item).await[..], [Ok(10)]));
    database.close().await;
    assert!(matches!(group_commit.write_each(vec![2], write_item).await[..], [Err(DatabaseError::Unavailable(_))]));
}

#[tokio::test]
async fn a_batch_that_fills_the_disk_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (database, group_commit) = open(&directory).await;
    let outcomes = group_commit.write_each(vec![1, 2, 3], |connection, id| {
        connection.pragma_update(None, "max_page_count", 10)?;
        let length = if *id == 2 { 100_000 } else { 10 };
        connection.execute("INSERT INTO items (id, at) VALUES ($1, zeroblob($2))", [*id, length])?;
        Ok(())
    });
    for outcome in outcomes.await {
        let full = matches!(&outcome, Err(DatabaseError::Unavailable(cause)) if cause.contains("full"));
        assert!(full, "{outcome:?}");
    }
    assert_eq!(stored(&database).await, (0, 0));
    assert!(matches!(group_commit.write_each(vec![1], write_item).await[..], [Ok(10)]));
}

#[tokio::test]
async fn a_cancelled_batch_writes_nothing_and_keeps_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (database, group_commit) = open(&directory).await;
    // Another process writes.
    let other = Connection::open(directory.path().join("items.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut cancelled = Box::pin(group_commit.write_each(vec![1], write_item));
    assert!(futures::poll!(&mut cancelled).is_pending());
    drop(cancelled);
    // The thread still waits to begin, and holds the write lock.
    assert!(database.writer().write_lock.as_ref().unwrap().try_lock().is_err());
    let mut next = Box::pin(group_commit.write_each(vec![2], write_item));
    assert!(futures::poll!(&mut next).is_pending());
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(next.await[..], [Ok(20)]));
    assert_eq!(stored(&database).await, (1, 1));
    assert_eq!(number(&database, "SELECT id FROM items").await, 2);
}

#[tokio::test]
async fn commits_wait_for_the_disk() {
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
async fn close_moves_the_log_into_the_file_without_sqlx() {
    let directory = tempfile::tempdir().unwrap();
    let (database, group_commit) = open(&directory).await;
    let Connections::Sqlite(writer) = &database.writer().connections else { panic!("the database is a file") };
    // As when sqlx's connection has been idle for long.
    writer.close().await;
    group_commit.write_each(vec![1], write_item).await;
    assert_eq!(stored(&database).await, (1, 1));
    let log = directory.path().join("items.db-wal");
    assert!(log.exists());
    database.close().await;
    assert!(!log.exists());
}

#[test]
fn the_metrics_count_the_worst_outcome_of_a_batch() {
    let fault = || Err(DatabaseError::Fault(Arc::new(std::io::Error::other("a bug"))));
    let taken = || Err(DatabaseError::UniqueViolation);
    assert_eq!(worst_outcome(&Ok(vec![Ok(1), Ok(2)])), "success");
    assert_eq!(worst_outcome(&Ok(vec![Ok(1), taken()])), "unique_violation");
    assert_eq!(worst_outcome(&Ok(vec![taken(), fault(), Ok(1)])), "fault");
    assert_eq!(worst_outcome::<()>(&Err(DatabaseError::Unavailable("full".to_owned()))), "unavailable");
}

#[tokio::test]
async fn writes_through_sqlx_and_batches_share_the_write_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (database, group_commit) = open(&directory).await;
    let lock = database.writer().write_lock.clone().unwrap();
    let guard = lock.lock().await;
    let mut batch = Box::pin(group_commit.write_each(vec![1], write_item));
    let through_sqlx = async {
        with_pool!(database.writer(), |pool| async {
            sqlx::query("INSERT INTO items (id) VALUES (7)").execute(pool).await.map(drop)
        })
        .unwrap();
    };
    let mut through_sqlx = Box::pin(through_sqlx);
    assert!(futures::poll!(&mut batch).is_pending() && futures::poll!(&mut through_sqlx).is_pending());
    assert_eq!(stored(&database).await, (0, 0));
    drop(guard);
    futures::join!(batch, through_sqlx);
    assert_eq!(stored(&database).await, (2, 1));
}

#[tokio::test]
async fn time_text_equals_the_format_of_sqlx() {
    let directory = tempfile::tempdir().unwrap();
    let (database, group_commit) = open(&directory).await;
    for time in ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00.5Z", "2026-01-01T12:00:00.123456789Z"] {
        let time: DateTime<Utc> = time.parse().unwrap();
        with_pool!(database.writer(), |pool| async {
            let insert = sqlx::query("INSERT INTO items (at) VALUES ($1)").bind(time.trunc_subsecs(6));
            insert.execute(pool).await.map(drop)
        })
        .unwrap();
        let written = group_commit.write_each(vec![time], |connection, time| {
            Ok(connection.execute("INSERT INTO items (at) VALUES ($1)", [time_text(*time)])?)
        });
        assert!(matches!(written.await[..], [Ok(1)]));
    }
    assert_eq!(number(&database, "SELECT COUNT(DISTINCT at) FROM items").await, 3);
}
