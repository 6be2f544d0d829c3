//! Opening a database, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use service_runtime::database::{BatchConnection, Connections, Database, InList, Migration, Migrations};
use service_runtime::{with_batch_connection, with_pool};
use service_testing::on_both_databases;
use sqlx::{AssertSqlSafe, ConnectOptions};

/// After which a test that waits has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const FIRST: Migration = Migration { version: 1, name: "things", sql: "CREATE TABLE things (id INTEGER NOT NULL);\n" };
const SECOND: Migration = Migration { version: 2, name: "a thing", sql: "INSERT INTO things (id) VALUES (7);\n" };

const OLD: Migrations = Migrations { service_name: "some-service", steps: &[FIRST] };
const NEW: Migrations = Migrations { service_name: "some-service", steps: &[FIRST, SECOND] };
const BROKEN: Migrations = Migrations {
    service_name: "some-service",
    steps: &[Migration { version: 1, name: "broken", sql: "CREATE TABEL t" }],
};

async fn things(database: &Database) -> i64 {
    with_pool!(database.reader(), |pool| sqlx::query_scalar("SELECT COUNT(*) FROM things").fetch_one(pool)).unwrap()
}

#[tokio::test]
async fn what_sqlite_acknowledges_is_on_the_disk_and_readers_are_not_blocked() {
    let file = service_testing::TestDatabase::new(service_testing::Kind::Sqlite).await;
    let database = Database::open(&file.url, 2, &NEW).await.unwrap();
    let Connections::Sqlite(pool) = &database.writer().connections else { panic!("it is a file") };
    // FULL: SQLite waits for the disk at each commit (sqlite.org/pragma, synchronous).
    assert_eq!(sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(pool).await.unwrap(), 2);
    assert_eq!(sqlx::query_scalar::<_, String>("PRAGMA journal_mode").fetch_one(pool).await.unwrap(), "wal");
    let mut writing = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO things (id) VALUES (8)").execute(&mut *writing).await.unwrap();
    assert_eq!(things(&database).await, 1, "read while another writes");
    writing.rollback().await.unwrap();
}

#[tokio::test]
async fn rows_of_postgres_are_asked_for_without_blocking() {
    let database = service_testing::TestDatabase::new(service_testing::Kind::Postgres).await;
    let database = Database::open(&database.url, 2, &NEW).await.unwrap();
    let rows: Option<Vec<Option<(i64,)>>> = database.read_inline("SELECT $1", [7].into_iter());
    assert_eq!(rows, None);
}

#[tokio::test]
async fn a_postgres_that_lets_nobody_in_is_left_alone_for_moments_and_found_when_it_does() {
    let url = service_testing::TestDatabase::new(service_testing::Kind::Postgres).await.url;
    let opened = Database::open(&url, 2, &NEW).await.unwrap();
    let Connections::Postgres(pool) = &opened.writer().connections else { panic!("it is a server") };
    let mut outside = pool.connect_options().as_ref().clone().database("postgres").connect().await.unwrap();
    let name = pool.connect_options().get_database().unwrap().to_owned();
    let mut allow = async |allowed: bool| {
        for sql in [
            format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {allowed}"),
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut outside).await.unwrap();
        }
    };
    // Of two connections one is kept for batches, which then nobody asks for.
    with_batch_connection!(opened.writer(), |connection| sqlx::query_scalar::<_, i32>("SELECT 1")
        .fetch_one(&mut *connection))
    .unwrap();
    opened.ping().await.unwrap();
    allow(false).await;
    let left_alone = async {
        let (mut refused, mut left_alone) = (false, false);
        while !(refused && left_alone) {
            let error = opened.ping().await.unwrap_err().to_string();
            refused |= error.contains("not currently accepting connections");
            left_alone |= error.contains("a moment ago");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, left_alone).await.unwrap();
    // However often it is asked for meanwhile.
    let found = async {
        while opened.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(allow(true), found) }).await.unwrap();
}

on_both_databases! {
    async fn one_statement_finds_what_there_is_of_many_keys(database: TestDatabase) {
        let opened = Database::open(&database.url, 2, &NEW).await.unwrap();
        for (keys, expected) in [(vec![7_i64], vec![7]), (vec![8], vec![]), (vec![8, 7, 9, 7], vec![7]), (vec![], vec![])] {
            let found: Vec<(i64,)> = with_batch_connection!(opened.reader(), |connection| async {
                let mut query = BatchConnection::query_for(&connection, "SELECT CAST(id AS BIGINT) FROM things WHERE id");
                InList::push_in_list(&mut query, keys.clone())?;
                query.build_query_as().fetch_all(&mut *connection).await
            })
            .unwrap();
            assert_eq!(found.into_iter().map(|(id,)| id).collect::<Vec<_>>(), expected, "{keys:?}");
        }
    }

    async fn eight_starters_at_once_migrate_once(database: TestDatabase) {
        let starters = (0..8).map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { Database::open(&url, 2, &NEW).await })
        });
        for opened in futures::future::join_all(starters).await {
            assert_eq!(things(&opened.unwrap().unwrap()).await, 1);
        }
    }

    async fn a_newer_release_migrates_on_and_an_older_one_runs_beside_it(database: TestDatabase) {
        assert_eq!(things(&Database::open(&database.url, 2, &OLD).await.unwrap()).await, 0);
        assert_eq!(things(&Database::open(&database.url, 2, &NEW).await.unwrap()).await, 1);
        assert_eq!(things(&Database::open(&database.url, 2, &OLD).await.unwrap()).await, 1);
    }

    async fn a_migration_that_fails_is_explained(database: TestDatabase) {
        let refused = format!("{:#}", Database::open(&database.url, 2, &BROKEN).await.unwrap_err());
        assert!(refused.contains("cannot be brought up to date") && refused.contains("syntax"), "{refused}");
    }

    async fn a_reader_is_not_kept_waiting_by_a_writer(database: TestDatabase) {
        let opened = Database::open(&database.url, 4, &NEW).await.unwrap();
        macro_rules! read_while_writing {
            ($pool:expr) => {{
                let mut transaction = $pool.begin().await.unwrap();
                sqlx::query("INSERT INTO things (id) VALUES (8)").execute(&mut *transaction).await.unwrap();
                assert_eq!(things(&opened).await, 1);
                transaction.commit().await.unwrap();
            }};
        }
        match &opened.writer().connections {
            service_runtime::database::Connections::Postgres(pool) => read_while_writing!(pool),
            service_runtime::database::Connections::Sqlite(pool) => read_while_writing!(pool),
        }
        assert_eq!(things(&opened).await, 2);
    }
}
