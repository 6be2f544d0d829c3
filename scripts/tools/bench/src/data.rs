//! The databases of a run, and the rows that they contain before anything is measured.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use harness::postgres::Postgres;
use service_runtime::database::DatabaseUrl;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::plan::Kind;

/// How many users there are.
pub(crate) const USERS: i64 = 1000;
/// How many of them have orders; with a thousand orders or more, each has a full page.
pub(crate) const BUYERS: i64 = 50;
/// How many orders one statement inserts: seconds of work, after which progress is shown.
const BATCH: i64 = 250_000;

/// What all measurements of a run share.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The directory of the programs.
    pub(crate) programs: PathBuf,
    /// The directory of the SQLite files.
    pub(crate) directory: TempDir,
    /// `None`: PostgreSQL is not measured.
    pub(crate) postgres: Option<Postgres>,
}

impl Environment {
    pub(crate) fn postgres(&self) -> Result<&Postgres> {
        self.postgres.as_ref().context("this run has no PostgreSQL")
    }
}

/// The database of one service.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    url: DatabaseUrl,
    /// The value of `DATABASE_URL`.
    pub(crate) setting: String,
}

impl Store {
    /// Creates the schema of the service whose program is `program`.
    pub(crate) fn migrate(&self, environment: &Environment, program: &str) -> Result<()> {
        let output = Command::new(environment.programs.join(program))
            .arg("--migrate-only")
            .current_dir(environment.directory.path())
            .env_clear()
            .env("DATABASE_URL", &self.setting)
            .output()
            .with_context(|| format!("{program} cannot be run; scripts/bench builds it"))?;
        ensure!(output.status.success(), "{program} --migrate-only: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    /// Creates a database of `kind`, without a schema.
    pub(crate) async fn create(environment: &Environment, kind: Kind, name: &str) -> Result<Self> {
        match kind {
            Kind::Sqlite => {
                let path = environment.directory.path().join(format!("{name}.db"));
                let setting = format!("sqlite:{}", path.display());
                Ok(Self { url: DatabaseUrl::Sqlite(path), setting })
            }
            Kind::Postgres => {
                let cluster = &environment.postgres()?.cluster;
                let url = cluster.create_database().await?;
                let DatabaseUrl::Postgres(options) = &url else { bail!("a cluster creates PostgreSQL databases") };
                let database = options.get_database().context("a database has a name")?;
                let socket = cluster.socket_directory().display();
                let setting = format!("postgres://postgres@localhost/{database}?host={socket}");
                Ok(Self { url, setting })
            }
        }
    }

    /// The name of the database, if it is of PostgreSQL.
    pub(crate) fn database_name(&self) -> Option<&str> {
        match &self.url {
            DatabaseUrl::Postgres(options) => options.get_database(),
            DatabaseUrl::Sqlite(_) => None,
        }
    }

    /// Inserts the users 1 to [`USERS`].
    pub(crate) async fn fill_users(&self) -> Result<()> {
        let mut rows = Inserter::open(self).await?;
        rows.insert(
            "INSERT INTO users (email, email_key, name, created_at)
             SELECT 'user' || n || '@example.com', 'user' || n || '@example.com', 'User ' || n,
                    '2026-01-01T00:00:00+00:00'",
            1,
            USERS,
        )
        .await?;
        rows.settle("users").await
    }

    /// Inserts the orders 1 to `count`, and reports to `progress` how many are stored.
    pub(crate) async fn fill_orders(&self, count: i64, mut progress: impl FnMut(i64)) -> Result<()> {
        let mut rows = Inserter::open(self).await?;
        let mut stored = 0;
        while stored < count {
            let upto = count.min(stored + BATCH);
            rows.insert(
                &format!(
                    "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
                     SELECT 1 + n % {BUYERS}, 456, 2, 'created', '2026-01-01T00:00:00+00:00',
                            '2026-01-01T00:00:00+00:00'"
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

/// A connection that inserts rows.
enum Inserter {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Inserter {
    async fn open(store: &Store) -> Result<Self> {
        Ok(match &store.url {
            DatabaseUrl::Sqlite(path) => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
                // A run that is interrupted starts with new files.
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

    /// Does the maintenance that would otherwise happen during a measurement.
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
