//! The databases of a run, and the rows that are in them before anything is measured.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use service_runtime::database::DatabaseUrl;
use service_testing::Cluster;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection, SqliteConnection};

use crate::plan::Kind;

/// How many users there are.
pub(crate) const USERS: i64 = 1000;
/// How many of them have the orders that are there from the begin; from a thousand orders on each has a page full.
pub(crate) const BUYERS: i64 = 50;
/// How many orders one statement stores: seconds of work, so that progress can be shown.
const BATCH: i64 = 250_000;

/// Where everything of a run is kept.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    /// Where the services' programs are.
    pub(crate) programs: &'a Path,
    /// For SQLite's files.
    pub(crate) directory: &'a Path,
    /// If PostgreSQL is measured.
    pub(crate) cluster: Option<&'a Cluster>,
}

/// The database of one service, its schema up to date.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    url: DatabaseUrl,
    /// The same in the words of `DATABASE_URL`.
    pub(crate) setting: String,
}

impl Store {
    /// A new database of `kind` for the service whose program is `program`.
    pub(crate) async fn create(places: &Places<'_>, kind: Kind, program: &str, name: &str) -> Result<Self> {
        let store = Self::create_empty(places, kind, name).await?;
        let output = Command::new(places.programs.join(program))
            .arg("--migrate-only")
            .current_dir(places.directory)
            .env_clear()
            .env("DATABASE_URL", &store.setting)
            .output()
            .with_context(|| format!("{program} cannot be run; scripts/bench builds it"))?;
        ensure!(output.status.success(), "{program} --migrate-only: {}", String::from_utf8_lossy(&output.stdout));
        Ok(store)
    }

    /// A database without a schema.
    pub(crate) async fn create_empty(places: &Places<'_>, kind: Kind, name: &str) -> Result<Self> {
        match kind {
            Kind::Sqlite => {
                let path = places.directory.join(format!("{name}.db"));
                let setting = format!("sqlite:{}", path.display());
                Ok(Self { url: DatabaseUrl::Sqlite(path), setting })
            }
            Kind::Postgres => {
                let cluster = places.cluster.context("there is no PostgreSQL in this run")?;
                let url = cluster.create_database().await?;
                let DatabaseUrl::Postgres(options) = &url else { bail!("a cluster is of PostgreSQL") };
                let database = options.get_database().context("a database has a name")?;
                let socket = cluster.socket_directory().display();
                let setting = format!("postgres://postgres@localhost/{database}?host={socket}");
                Ok(Self { url, setting })
            }
        }
    }

    /// The name of a database of PostgreSQL.
    pub(crate) fn database_name(&self) -> Option<&str> {
        match &self.url {
            DatabaseUrl::Postgres(options) => options.get_database(),
            DatabaseUrl::Sqlite(_) => None,
        }
    }

    /// Stores the users 1 to [`USERS`].
    pub(crate) async fn fill_users(&self) -> Result<()> {
        let mut rows = Rows::open(self).await?;
        rows.insert(
            "INSERT INTO users (email, email_key, name, created_at)
             SELECT 'user' || n || '@example.com', 'user' || n || '@example.com', 'User ' || n, '2026-01-01T00:00:00+00:00'",
            1,
            USERS,
        )
        .await?;
        rows.settle("users").await
    }

    /// Stores the orders 1 to `count`, and tells `progress` how many there are.
    pub(crate) async fn fill_orders(&self, count: i64, mut progress: impl FnMut(i64)) -> Result<()> {
        let mut rows = Rows::open(self).await?;
        let mut stored = 0;
        while stored < count {
            let upto = count.min(stored + BATCH);
            rows.insert(
                &format!(
                    "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
                     SELECT 1 + n % {BUYERS}, 456, 2, 'created', '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00'"
                ),
                stored + 1,
                upto,
            )
            .await?;
            stored = upto;
            progress(stored);
        }
        rows.settle("orders").await
    }
}

/// A connection that fills tables.
enum Rows {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Rows {
    async fn open(store: &Store) -> Result<Self> {
        Ok(match &store.url {
            DatabaseUrl::Sqlite(path) => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
                // What is lost is filled again.
                connection.execute("PRAGMA synchronous = OFF").await?;
                Self::Sqlite(connection)
            }
            DatabaseUrl::Postgres(options) => Self::Postgres(options.connect().await?),
        })
    }

    /// Runs `INSERT … SELECT …` for each `n` of `first..=last`.
    async fn insert(&mut self, insert: &str, first: i64, last: i64) -> Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let (into, select) = insert.split_once("SELECT").context("INSERT … SELECT …")?;
                let numbers = format!(
                    "WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
                );
                let sql = format!("{into} {numbers} SELECT {select} FROM numbers");
                connection.execute(sqlx::AssertSqlSafe(sql)).await?;
            }
            Self::Postgres(connection) => {
                let sql = format!("{insert} FROM generate_series({first}, {last}) AS numbers (n)");
                connection.execute(sqlx::AssertSqlSafe(sql)).await?;
            }
        }
        Ok(())
    }

    /// Leaves nothing behind that a measurement would have to do.
    async fn settle(self, table: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(mut connection) => connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.map(drop)?,
            Self::Postgres(mut connection) => {
                connection.execute(sqlx::AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).await?;
                connection.execute("CHECKPOINT").await?;
            }
        }
        Ok(())
    }
}
