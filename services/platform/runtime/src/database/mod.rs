//! One store on two databases: PostgreSQL, or SQLite in a file.
//!
//! A query is written once, in SQL that both speak (`$1`, `RETURNING`, `ON CONFLICT`), and run by
//! [`with_pool!`](crate::with_pool), which compiles it for each. Where one must differ, the store matches on [`Connections`] or
//! [`BatchWriter`], visibly. What a store needs to know of a failure is in [`DatabaseError`].
//!
//! Five rules for stores, each learned the hard way:
//!
//! - A statement that writes is run with `execute` or `fetch_all`, never `fetch_one` or `fetch_optional`: on SQLite
//!   those return the row of `RETURNING` before the statement has committed, and swallow a failing commit.
//! - What decides and what writes is one statement (`UPDATE … WHERE … RETURNING`), never a read and then a write.
//! - A value that must be unique and may be taken is written with `ON CONFLICT DO NOTHING`, and [`sqlx::Error::RowNotFound`]
//!   then means taken: PostgreSQL logs the values of a violation, which can be personal.
//! - Times are bound, in whole microseconds, by rusqlite as [`time_text`]; no `now()` in SQL.
//! - A statement finds its rows along an index, in the order in which it gives them: PostgreSQL plans it once, and has
//!   every other way switched off. The tests of a store have it checked (`service_testing::statements_along_an_index`).

mod batch_connection;
mod batches;
mod connect_backoff;
mod error;
mod group_commit;
mod inline_reads;
mod metrics;
mod migrate;
mod postgres;
mod sqlite;
mod sqlite_connections;
mod url;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use slog::Logger;
use sqlx::{PgPool, Postgres, SqlitePool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use batch_connection::{BatchConnection, ConnectionCache, InList};
pub use batches::{Batches, fail_all};
pub use error::DatabaseError;
pub use group_commit::{GroupCommit, time_text};
pub use migrate::{Migration, Migrations};
pub use url::DatabaseUrl;

use batch_connection::ConnectionHealth;
use connect_backoff::ConnectBackoff;
use inline_reads::InlineReads;
use metrics::Durations;

/// How long an operation on PostgreSQL may take, waiting for a connection included: with what else a request needs, it
/// is answered within a second when the server hangs.
const POSTGRES_TIMEOUT: Duration = Duration::from_millis(800);
/// How long an operation on SQLite may take: there is no network that could swallow it, but a slow disk can.
const SQLITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for connections to end when the service stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open database of one service, its schema up to date.
#[derive(Clone, Debug)]
pub struct Database {
    reader: Pool,
    writer: Pool,
    /// SQLite alone has it.
    inline_reads: Option<Arc<InlineReads>>,
    batch_writer: Arc<BatchWriter>,
}

/// How many requests write batch_writer.
#[derive(Clone, Debug)]
pub enum BatchWriter {
    /// PostgreSQL: by one statement, along this lane of this pool.
    Postgres(Pool, Arc<ConnectionCache<Postgres>>),
    /// SQLite: each by its own, in one transaction.
    Sqlite(GroupCommit),
}

/// Connections to the database, and what they tell of themselves.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The connections, where a store must know of which kind.
    pub connections: Connections,
    lane: BatchConnection,
    trust: ConnectionHealth,
    pause: ConnectBackoff,
    /// Whose turn it is, where one writes at a time: SQLite's writers.
    turn: Option<Arc<Semaphore>>,
    durations: Durations,
}

/// The right to write, where one writes at a time.
type Turn = Option<OwnedSemaphorePermit>;

/// Connections to the one kind of database that this process was configured with.
#[derive(Clone, Debug)]
pub enum Connections {
    /// PostgreSQL.
    Postgres(PgPool),
    /// SQLite.
    Sqlite(SqlitePool),
}

/// Evaluates to the outcome of `$query`, awaited with `$connections` bound to those of the kind at hand:
/// `Result<_, DatabaseError>`.
///
/// `$query` is compiled once for each kind of database. It is given up after 800 ms (PostgreSQL) or five seconds (SQLite).
#[macro_export]
macro_rules! with_pool {
    ($pool:expr, |$connections:ident| $query:expr) => {{
        let pool: &$crate::database::Pool = $pool;
        match &pool.connections {
            $crate::database::Connections::Postgres($connections) => pool.bounded(async { $query.await }).await,
            $crate::database::Connections::Sqlite($connections) => pool.bounded(async { $query.await }).await,
        }
    }};
}

impl Database {
    /// Opens the database at `url` for the service that `migrations` belong to, and brings its schema up to date.
    ///
    /// A SQLite file and the directory it is in are created if missing. Fails with one clear line if the database
    /// cannot be reached, is too old, or holds something else than this service's schema.
    pub async fn open(url: &DatabaseUrl, connections: u32, migrations: &Migrations) -> Result<Self> {
        match url {
            DatabaseUrl::Postgres(options) => postgres::open(options, connections, migrations).await,
            DatabaseUrl::Sqlite(path) => sqlite::open(path, migrations).await,
        }
    }

    /// Waits until the server at `url` answers at all, or `patience` is over: services may start before their database. A
    /// SQLite file needs no waiting.
    pub async fn wait_for(url: &DatabaseUrl, patience: Duration, log: &Logger) {
        if let DatabaseUrl::Postgres(options) = url {
            // Whether it was in vain is for `open` to say.
            let _ = tokio::time::timeout(patience, postgres::wait_for(options, log)).await;
        }
    }

    /// Connections for statements that only read.
    pub fn reader(&self) -> &Pool {
        &self.reader
    }

    /// Connections for statements that write. On SQLite it is a single one, and takes turns with that of
    /// [`together`](Self::batch_writer): writers queue instead of failing on each other's locks. Only
    /// [`with_pool!`](crate::with_pool) waits for its turn.
    pub fn writer(&self) -> &Pool {
        &self.writer
    }

    /// The row that `sql` gives for each of `keys`, if it gives one, read at once on the calling thread. `None`: that
    /// cannot be, because the database is PostgreSQL, or for a reason that an ordinary statement meets and tells.
    ///
    /// `sql` has one parameter and looks up at most one row along an index: the thread does nothing else meanwhile.
    pub fn read_inline<R>(&self, sql: &'static str, keys: impl ExactSizeIterator<Item = i64>) -> Option<Vec<Option<R>>>
    where
        R: for<'row> TryFrom<&'row rusqlite::Row<'row>, Error = rusqlite::Error>,
    {
        let began = Instant::now();
        let rows = self.inline_reads.as_ref()?.rows(sql, keys)?;
        self.reader.durations.add(metrics::SUCCESS, began.elapsed());
        Some(rows)
    }

    /// The way of [`Batches`] to write.
    pub fn batch_writer(&self) -> &BatchWriter {
        &self.batch_writer
    }

    /// Asks the database for a sign of life: something that it has to look up in what it stores.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let newest = "SELECT MAX(version) FROM _sqlx_migrations";
        with_pool!(self.reader(), |pool| sqlx::query_scalar::<_, i64>(newest).fetch_one(pool)).map(|_| ())
    }

    /// Closes every connection, or gives up after a while. SQLite's write-ahead log is moved into the file.
    pub async fn close(&self) {
        if let Some(inline_reads) = &self.inline_reads {
            inline_reads.close();
        }
        for pool in [&self.reader, &self.writer] {
            pool.lane.release();
            let closed = async {
                match &pool.connections {
                    Connections::Postgres(pool) => pool.close().await,
                    Connections::Sqlite(pool) => pool.close().await,
                }
            };
            // What has not said goodbye by now never will; the end of the process closes it.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
        }
        if let BatchWriter::Sqlite(group_commit) = &*self.batch_writer {
            // After those that only read: they cannot move the log.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, group_commit.close()).await;
        }
    }
}

impl Pool {
    fn new(connections: Connections, lane: BatchConnection, trust: ConnectionHealth, durations: Durations) -> Self {
        Self { connections, lane, trust, pause: ConnectBackoff::default(), turn: None, durations }
    }

    /// The way of [`Batches`] to the database.
    #[doc(hidden)]
    pub fn batch_connection(&self) -> &BatchConnection {
        &self.lane
    }

    /// How long an operation may take.
    fn limit(&self) -> Duration {
        match self.connections {
            Connections::Postgres(_) => POSTGRES_TIMEOUT,
            Connections::Sqlite(_) => SQLITE_TIMEOUT,
        }
    }

    /// Whether there is no connection to a server, nor one being made.
    fn is_unconnected(&self) -> bool {
        matches!(&self.connections, Connections::Postgres(pool) if pool.size() == 0)
    }

    /// The outcome of `query`, given up when it takes too long, and not begun while the server is left alone.
    #[doc(hidden)]
    pub async fn bounded<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T, DatabaseError> {
        // What awaits it holds but a pointer: each that held it would make room for it twice.
        let query = pin!(query);
        let operation = |turn| async move {
            let _turn = turn;
            metrics::outcome_by_sqlx(query.await)
        };
        self.limited(operation).await
    }

    /// The outcome of `operation`, which says it in one word too, limited as by [`bounded`](Self::bounded). It is given its
    /// turn, and others have theirs when it is dropped.
    async fn limited<T, F>(&self, operation: impl FnOnce(Turn) -> F) -> Result<T, DatabaseError>
    where
        F: Future<Output = (&'static str, Result<T, DatabaseError>)>,
    {
        let unconnected = self.is_unconnected();
        if unconnected && let Some(cause) = self.pause.cause() {
            self.durations.add(metrics::UNAVAILABLE, Duration::ZERO);
            return Err(DatabaseError::Unavailable(cause));
        }
        let limit = self.limit();
        let began = Instant::now();
        let in_turn = async {
            let turn = match &self.turn {
                // It is never closed.
                Some(turn) => Arc::clone(turn).acquire_owned().await.ok(),
                None => None,
            };
            operation(turn).await
        };
        let no_answer = |_| (metrics::TIMEOUT, Err(DatabaseError::no_answer_within(limit)));
        let (outcome, result) = tokio::time::timeout(limit, in_turn).await.unwrap_or_else(no_answer);
        if let Err(DatabaseError::Unavailable(cause)) = &result {
            self.trust.lose();
            self.lane.release();
            if unconnected {
                self.pause.begin(cause);
            }
        }
        self.durations.add(outcome, began.elapsed());
        result
    }

    /// Begins a query of parts that are known only at run time. The parts are texts of the program; values are
    /// bound.
    #[doc(hidden)]
    pub fn query_for<DB: sqlx::Database>(_: &sqlx::Pool<DB>, sql: &'static str) -> sqlx::QueryBuilder<DB> {
        sqlx::QueryBuilder::new(sql)
    }
}
