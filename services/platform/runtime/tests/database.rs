//! The database of a service, on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use service_runtime::database::{
    Batches, Connections, Database, DatabaseError, DatabaseUrl, Migration, Migrations, read_by_id,
};
use service_runtime::{with_batch_connection, with_pool};
use service_testing::{Kind, TestDatabase, on_both_databases};
use sqlx::{AssertSqlSafe, ConnectOptions, FromRow};

/// Generous timeouts: CI may be slow.
const PATIENCE: Duration = Duration::from_secs(30);

const FIRST: Migration = Migration {
    version: 1,
    name: "create items",
    sql: "CREATE TABLE items (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL);\n",
};
const SECOND: Migration =
    Migration { version: 2, name: "insert an item", sql: "INSERT INTO items VALUES (7, 'seven');\n" };

const OLD: Migrations = Migrations { service_name: "some-service", steps: &[FIRST] };
/// Not in the order of the versions, which decides.
const NEW: Migrations = Migrations { service_name: "some-service", steps: &[SECOND, FIRST] };
const BROKEN: Migrations = Migrations {
    service_name: "some-service",
    steps: &[Migration { version: 1, name: "broken", sql: "CREATE TABEL t" }],
};

/// How many items there are.
async fn count(database: &Database) -> i64 {
    with_pool!(database.reader(), |pool| sqlx::query_scalar("SELECT COUNT(*) FROM items").fetch_one(pool)).unwrap()
}

/// An item that cannot be read inline, as when inline reads are disabled.
#[derive(Clone, Debug, PartialEq)]
struct SlowItem((i64, String));

impl<'r, R: sqlx::Row> FromRow<'r, R> for SlowItem
where
    (i64, String): FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        FromRow::from_row(row).map(Self)
    }
}

impl TryFrom<&rusqlite::Row<'_>> for SlowItem {
    type Error = rusqlite::Error;

    fn try_from(_: &rusqlite::Row<'_>) -> Result<Self, Self::Error> {
        Err(rusqlite::Error::InvalidQuery)
    }
}

/// Runs `sql` on a connection of its own. `DATABASE` in it stands for the name of the connection's database.
async fn administer(url: &DatabaseUrl, sql: &str) {
    let DatabaseUrl::Postgres(options) = url else { panic!("the database is not on PostgreSQL") };
    let sql = sql.replace("DATABASE_NAME", options.get_database().unwrap());
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

async fn insert(database: &Database, id: i64) -> Result<(), DatabaseError> {
    with_batch_connection!(database.writer(), |connection| async {
        let insert = sqlx::query("INSERT INTO items VALUES ($1, 'new')").bind(id);
        insert.execute(&mut *connection).await.map(|_| ())
    })
}

#[tokio::test]
async fn postgres_sessions_that_were_read_only_are_not_used_again() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = Database::open(&database.url, 5, &NEW).await.unwrap();
    administer(&database.url, "ALTER DATABASE DATABASE_NAME SET default_transaction_read_only = on").await;
    administer(
        &database.url,
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
    for id in 0..20 {
        assert!(matches!(insert(&opened, id).await, Err(DatabaseError::Unavailable(_))), "{id}");
        // Reads work meanwhile, each on a session that cannot write.
        join_all((0..5).map(|_| count(&opened))).await;
    }
    let recovered = "BEGIN READ WRITE; ALTER DATABASE DATABASE_NAME RESET default_transaction_read_only; COMMIT";
    administer(&database.url, recovered).await;
    // Within a second, a failure closes the sessions that began before the recovery.
    let mut ids = 20..;
    let recovered = async {
        let mut succeeded = 0;
        while succeeded < 50 {
            succeeded = insert(&opened, ids.next().unwrap()).await.map_or(0, |()| succeeded + 1);
            join_all((0..5).map(|_| count(&opened))).await;
        }
    };
    tokio::time::timeout(PATIENCE, recovered).await.unwrap();
}

#[tokio::test]
async fn postgres_refused_writes_close_connections_once_a_second() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = Database::open(&database.url, 1, &NEW).await.unwrap();
    administer(&database.url, "ALTER DATABASE DATABASE_NAME SET default_transaction_read_only = on").await;
    let began = Instant::now();
    let mut sessions = HashSet::new();
    for id in 0..300 {
        let _ = insert(&opened, id).await;
        let session = "SELECT pg_backend_pid()";
        sessions
            .insert(with_pool!(opened.reader(), |pool| sqlx::query_scalar::<_, i32>(session).fetch_one(pool)).unwrap());
    }
    // The first session could write: its failure is that of the second one.
    let most = 3 + began.elapsed().as_secs();
    assert!(sessions.len() as u64 <= most, "{} sessions, at most {most}", sessions.len());
}

#[tokio::test]
async fn postgres_statements_survive_a_change_of_their_table() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let opened = Database::open(&database.url, 1, &NEW).await.unwrap();
    let read = async || -> Result<usize, DatabaseError> {
        with_pool!(opened.reader(), |pool| async {
            Ok(sqlx::query("SELECT * FROM items").fetch_all(pool).await?.len())
        })
    };
    assert_eq!(read().await.unwrap(), 1);
    administer(&database.url, "ALTER TABLE items ADD COLUMN size BIGINT").await;
    // "cached plan must not change result type"
    assert!(matches!(read().await, Err(DatabaseError::Unavailable(_))));
    assert_eq!(read().await.unwrap(), 1);
}

#[tokio::test]
async fn sqlite_commits_durably() {
    let file = TestDatabase::new(Kind::Sqlite).await;
    let database = Database::open(&file.url, 2, &NEW).await.unwrap();
    let Connections::Sqlite(pool) = &database.writer().connections else { panic!("the database is a file") };
    // FULL: SQLite waits for the disk at each commit (sqlite.org/pragma, synchronous).
    assert_eq!(sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(pool).await.unwrap(), 2);
    assert_eq!(sqlx::query_scalar::<_, String>("PRAGMA journal_mode").fetch_one(pool).await.unwrap(), "wal");
}

#[tokio::test]
async fn an_unreachable_postgres_is_backed_off_from_and_found_again() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let url = database.url.clone();
    let opened = Database::open(&url, 2, &NEW).await.unwrap();
    let Connections::Postgres(pool) = &opened.writer().connections else { panic!("the database is a server") };
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
    // One of the two connections is cached for batches, and no batch follows.
    with_batch_connection!(opened.writer(), |connection| sqlx::query_scalar::<_, i32>("SELECT 1")
        .fetch_one(&mut *connection))
    .unwrap();
    opened.ping().await.unwrap();
    allow(false).await;
    let backed_off = async {
        let (mut refused, mut backed_off) = (false, false);
        while !(refused && backed_off) {
            let error = opened.ping().await.unwrap_err().to_string();
            refused |= error.contains("not currently accepting connections");
            backed_off |= error.starts_with("connecting failed less than");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, backed_off).await.unwrap();
    // Operations that fail fast do not prolong the backoff.
    let found = async {
        while opened.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(allow(true), found) }).await.unwrap();
}

on_both_databases! {
    async fn each_id_gets_its_row_or_none(database: TestDatabase) {
        let opened = Database::open(&database.url, 2, &NEW).await.unwrap();
        let select = "SELECT id, name FROM items WHERE id";
        for ids in [vec![7], vec![8], vec![8, 7, 9, 7], vec![]] {
            let seven = |id: &i64| (*id == 7).then(|| (7, "seven".to_owned()));
            let expected: Vec<_> = ids.iter().map(seven).collect();
            let rows = read_by_id(opened.clone(), select, ids.clone()).await;
            assert_eq!(rows.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
            let rows = read_by_id(opened.clone(), select, ids).await.into_iter();
            let rows: Vec<_> = rows.map(|row| row.unwrap().map(|SlowItem(item)| item)).collect();
            assert_eq!(rows, expected, "not inline");
        }
        let reads = Batches::new(&opened, |database, ids| read_by_id::<(i64, String)>(database, select, ids));
        let (seven, none) = tokio::join!(reads.run(7), reads.run(8));
        assert_eq!((seven.unwrap(), none.unwrap()), (Some((7, "seven".to_owned())), None));
    }

    async fn a_failed_read_by_id_fails_for_each_id(database: TestDatabase) {
        let opened = Database::open(&database.url, 2, &NEW).await.unwrap();
        for select in ["SELECT id, name FROM missing WHERE id", "SELECT id, id FROM items WHERE id"] {
            let rows = read_by_id::<(i64, String)>(opened.clone(), select, vec![7, 8]).await;
            assert!(matches!(rows[..], [Err(DatabaseError::Fault(_)), Err(DatabaseError::Fault(_))]), "{rows:?}");
        }
    }

    async fn eight_concurrent_starts_migrate_once(database: TestDatabase) {
        let starters = (0..8).map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { Database::open(&url, 2, &NEW).await })
        });
        for opened in futures::future::join_all(starters).await {
            assert_eq!(count(&opened.unwrap().unwrap()).await, 1);
        }
    }

    async fn an_older_release_opens_the_schema_of_a_newer_one(database: TestDatabase) {
        assert_eq!(count(&Database::open(&database.url, 2, &OLD).await.unwrap()).await, 0);
        assert_eq!(count(&Database::open(&database.url, 2, &NEW).await.unwrap()).await, 1);
        assert_eq!(count(&Database::open(&database.url, 2, &OLD).await.unwrap()).await, 1);
    }

    async fn a_failed_migration_is_explained(database: TestDatabase) {
        let refused = format!("{:#}", Database::open(&database.url, 2, &BROKEN).await.unwrap_err());
        assert!(refused.contains("cannot be brought up to date") && refused.contains("syntax"), "{refused}");
    }

    async fn a_writer_does_not_block_a_reader(database: TestDatabase) {
        let opened = Database::open(&database.url, 4, &NEW).await.unwrap();
        macro_rules! read_while_writing {
            ($pool:expr) => {{
                let mut transaction = $pool.begin().await.unwrap();
                sqlx::query("INSERT INTO items VALUES (8, 'eight')").execute(&mut *transaction).await.unwrap();
                assert_eq!(count(&opened).await, 1);
                transaction.commit().await.unwrap();
            }};
        }
        match &opened.writer().connections {
            Connections::Postgres(pool) => read_while_writing!(pool),
            Connections::Sqlite(pool) => read_while_writing!(pool),
        }
        assert_eq!(count(&opened).await, 2);
    }
}

/// A full disk makes SQLite roll back by itself. So does this trigger.
#[tokio::test]
async fn what_is_committed_after_sqlite_has_rolled_back_by_itself_is_stored() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = Database::open(&database.url, 2, &OLD).await.unwrap();
    let Connections::Sqlite(pool) = &opened.writer().connections else { panic!("the database is a file") };
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON items WHEN NEW.name = 'too much'
                   BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END";
    sqlx::query(trigger).execute(pool).await.unwrap();
    let insert = async |id: i64, name: &str| {
        with_pool!(opened.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            let insert = sqlx::query("INSERT INTO items VALUES ($1, $2)").bind(id).bind(name);
            insert.execute(&mut *transaction).await?;
            transaction.commit().await
        })
    };
    insert(1, "little").await.unwrap();
    insert(2, "too much").await.unwrap_err();
    // This one fails as others do.
    insert(1, "little").await.unwrap_err();
    insert(2, "little").await.unwrap();
    // Read through another connection, which sees only what is committed.
    assert_eq!(count(&opened).await, 2);
}
