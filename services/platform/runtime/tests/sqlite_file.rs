//! What happens to the file of a SQLite database while a service has it open.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use service_runtime::database::{Connections, Database, DatabaseError, DatabaseUrl, Migration, Migrations};
use service_runtime::{with_batch_connection, with_pool};
use service_testing::{Kind, TestDatabase};

const MIGRATIONS: Migrations = Migrations {
    service_name: "some-service",
    steps: &[Migration { version: 1, name: "create items", sql: "CREATE TABLE items (name TEXT NOT NULL);\n" }],
};

/// More than the limit of a checkpointed write-ahead log, in MB.
const MEGABYTES: u32 = 40;
/// That limit, in bytes.
const LIMIT: u64 = 32 * 1024 * 1024;

async fn insert(database: &Database) -> Result<(), DatabaseError> {
    with_batch_connection!(database.writer(), |connection| async {
        sqlx::query("INSERT INTO items VALUES ('new')").execute(&mut *connection).await.map(|_| ())
    })
}

async fn open() -> (TestDatabase, Database, [PathBuf; 2]) {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = Database::open(&database.url, 1, &MIGRATIONS).await.unwrap();
    let DatabaseUrl::Sqlite(file) = &database.url else { panic!("not SQLite") };
    let log = format!("{}-wal", file.display()).into();
    let files = [file.clone(), log];
    (database, opened, files)
}

#[tokio::test]
async fn a_removed_file_takes_no_writes_and_is_not_ready() {
    let (_database, opened, files) = open().await;
    for file in files {
        insert(&opened).await.unwrap();
        opened.ping().await.unwrap();
        let elsewhere = file.with_extension("moved");
        fs::rename(&file, &elsewhere).unwrap();
        let error = insert(&opened).await.unwrap_err();
        assert!(matches!(&error, DatabaseError::Unavailable(cause) if cause.contains("removed")), "{error}");
        assert!(matches!(opened.ping().await, Err(DatabaseError::Unavailable(_))));
        fs::rename(&elsewhere, &file).unwrap();
    }
    insert(&opened).await.unwrap();
    let count = "SELECT COUNT(*) FROM items";
    let stored = with_pool!(opened.reader(), |pool| sqlx::query_scalar::<_, i64>(count).fetch_one(pool));
    assert_eq!(stored.unwrap(), 3, "a refused write is stored");
}

#[tokio::test]
async fn a_replaced_file_takes_no_writes() {
    for replaced in 0..2 {
        let (_database, opened, files) = open().await;
        let file = &files[replaced];
        fs::copy(file, file.with_extension("copy")).unwrap();
        fs::rename(file.with_extension("copy"), file).unwrap();
        assert!(matches!(insert(&opened).await, Err(DatabaseError::Unavailable(_))));
        assert!(matches!(opened.ping().await, Err(DatabaseError::Unavailable(_))));
    }
}

#[tokio::test]
async fn the_only_connection_of_the_pools_may_be_replaced() {
    let (_database, opened, [_, log]) = open().await;
    let Connections::Sqlite(writer) = &opened.writer().connections else { panic!("not SQLite") };
    // As the pool does with one that was idle for ten minutes.
    writer.acquire().await.unwrap().close().await.unwrap();
    assert_eq!(writer.size(), 0);
    opened.ping().await.unwrap();
    insert(&opened).await.unwrap();
    opened.close().await;
    assert!(!log.exists(), "the log was not moved into the file");
}

#[tokio::test]
async fn a_write_under_which_the_file_is_removed_is_no_success() {
    let (_database, opened, [file, _]) = open().await;
    let written = with_batch_connection!(opened.writer(), |connection| async {
        let written = sqlx::query("INSERT INTO items VALUES ('new')").execute(&mut *connection).await;
        fs::remove_file(&file).unwrap();
        written.map(|_| ())
    });
    assert!(matches!(written, Err(DatabaseError::Unavailable(_))), "{written:?}");
}

#[tokio::test]
async fn a_log_that_a_reader_made_grow_is_truncated_after_it() {
    let (_database, opened, [file, log]) = open().await;
    let reader = Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM items").unwrap();
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
                INSERT INTO items SELECT hex(zeroblob(500000)) FROM n";
    Connection::open(&file).unwrap().execute(fill, [MEGABYTES]).unwrap();
    let size = || fs::metadata(&log).unwrap().len();
    assert!(size() > LIMIT, "{}", size());
    reader.execute_batch("COMMIT").unwrap();
    // The first commit checkpoints the log, the second starts it anew.
    insert(&opened).await.unwrap();
    insert(&opened).await.unwrap();
    assert!(size() <= LIMIT, "{}", size());
}
