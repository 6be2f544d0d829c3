//! A pool of connections: every operation on it has a time limit, backs off from an unreachable server, and is
//! measured.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use sqlx::{PgPool, SqlitePool};

use super::batch_connection::BatchConnection;
use super::connection_health::ConnectionHealth;
use super::durations::{self, Durations};
use super::error::{DatabaseError, is_session_failure};
use super::sqlite_file::SqliteFile;

/// Time limit of an operation on PostgreSQL, waiting for a connection included: a request can then answer within a
/// second even when the server hangs.
const POSTGRES_TIMEOUT: Duration = Duration::from_millis(800);
/// Time limit of an operation on SQLite: there is no network to lose it, but a disk can be slow.
const SQLITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of connections, with the health and the metrics that its operations share.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The connections, for a store that must know which database it is on.
    pub connections: Connections,
    batch_connection: BatchConnection,
    health: ConnectionHealth,
    /// The file that must still be at its path; `None` for readers and on PostgreSQL.
    file: Option<SqliteFile>,
    pub(super) durations: Durations,
}

/// Connections to the kind of database that this process was configured with.
#[derive(Clone, Debug)]
pub enum Connections {
    /// PostgreSQL.
    Postgres(PgPool),
    /// SQLite.
    Sqlite(SqlitePool),
}

/// Awaits `$query` with `$connections` bound to the pool's connections, and evaluates to `Result<_, DatabaseError>`.
///
/// `$query` is compiled once for each kind of database. It is cancelled after 800 ms (PostgreSQL) or 5 s (SQLite).
#[macro_export]
macro_rules! with_pool {
    ($pool:expr, |$connections:ident| $query:expr) => {{
        let pool: &$crate::database::Pool = $pool;
        match &pool.connections {
            $crate::database::Connections::Postgres($connections) => pool.run(async { $query.await }).await,
            $crate::database::Connections::Sqlite($connections) => pool.run(async { $query.await }).await,
        }
    }};
}

/// Awaits `$query` with `$connection` bound to a connection that `$pool` caches for batches, and evaluates to
/// `Result<_, DatabaseError>`. The time limit is that of [`with_pool!`](crate::with_pool). A connection on which a
/// query failed goes back to the pool, which checks it.
#[macro_export]
macro_rules! with_batch_connection {
    ($pool:expr, |$connection:ident| $query:expr) => {{
        let pool: &$crate::database::Pool = $pool;
        match pool.batch_connection() {
            $crate::database::BatchConnection::Postgres(cache) => {
                $crate::with_batch_connection!(@run pool, cache, |$connection| $query)
            }
            $crate::database::BatchConnection::Sqlite(cache) => {
                $crate::with_batch_connection!(@run pool, cache, |$connection| $query)
            }
        }
    }};
    (@run $pool:ident, $cache:ident, |$connection:ident| $query:expr) => {
        $pool
            .run(async {
                let mut $connection = $cache.acquire().await?;
                let outcome = async { $query.await }.await;
                if outcome.is_ok() {
                    $cache.release($connection);
                }
                outcome
            })
            .await
    };
}

impl Pool {
    /// `batch_connection` caches connections of `connections`.
    pub(super) fn new(
        connections: Connections,
        batch_connection: BatchConnection,
        health: ConnectionHealth,
        durations: Durations,
    ) -> Self {
        Self { connections, batch_connection, health, file: None, durations }
    }

    /// This pool of connections that write to `file`: operations fail once it is not at its path any more.
    pub(super) fn of_file(self, file: SqliteFile) -> Self {
        Self { file: Some(file), ..self }
    }

    /// Begins a query whose parts are known only at run time. The parts are text of the program; values are bound.
    #[doc(hidden)]
    pub fn query_for<DB: sqlx::Database>(_: &sqlx::Pool<DB>, sql: &'static str) -> sqlx::QueryBuilder<DB> {
        sqlx::QueryBuilder::new(sql)
    }

    /// For [`with_batch_connection!`](crate::with_batch_connection).
    #[doc(hidden)]
    pub fn batch_connection(&self) -> &BatchConnection {
        &self.batch_connection
    }

    /// Returns the connections cached for batches to the pool, which checks them.
    pub(super) fn clear_batch_connections(&self) {
        self.batch_connection.clear();
    }

    /// The time limit of an operation.
    pub(super) fn time_limit(&self) -> Duration {
        match self.connections {
            Connections::Postgres(_) => POSTGRES_TIMEOUT,
            Connections::Sqlite(_) => SQLITE_TIMEOUT,
        }
    }

    /// Fails if what is written now would be lost, because the file was removed or replaced.
    pub(super) fn check_file(&self) -> sqlx::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.check().map_err(sqlx::Error::Io))
    }

    /// Ends the check of the file, whose connections are about to be closed.
    pub(super) fn close_file(&self) {
        if let Some(file) = &self.file {
            file.close();
        }
    }

    /// Whether there is no connection to a server, nor one being made.
    fn is_disconnected(&self) -> bool {
        matches!(&self.connections, Connections::Postgres(pool) if pool.size() == 0)
    }

    /// Awaits `query` under the pool's time limit and backoff. For the macros.
    #[doc(hidden)]
    pub async fn run<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T, DatabaseError> {
        // Each wrapper then stores a pointer; storing the future would copy its size at every layer.
        let query = pin!(query);
        let disconnected = self.is_disconnected();
        if disconnected && let Some(cause) = self.health.connect_backoff() {
            self.durations.record(durations::UNAVAILABLE, Duration::ZERO);
            return Err(DatabaseError::Unavailable(cause));
        }
        let time_limit = self.time_limit();
        let began = Instant::now();
        let timed_out = |_| (durations::TIMEOUT, Err(DatabaseError::no_answer_within(time_limit)));
        let answer = match self.check_file() {
            Ok(()) => tokio::time::timeout(time_limit, query).await,
            Err(error) => Ok(Err(error)),
        };
        // Only what was written while the file was at its path is acknowledged.
        let answer = answer.map(|result| result.and_then(|value| self.check_file().map(|()| value)));
        let session_failed = matches!(&answer, Ok(Err(error)) if is_session_failure(error));
        if session_failed {
            self.health.record_session_failure();
        }
        let (outcome, result) = answer.map_or_else(timed_out, durations::classify);
        if let Err(DatabaseError::Unavailable(cause)) = &result {
            self.health.record_failure();
            self.clear_batch_connections();
            if disconnected && !session_failed {
                self.health.record_connect_failure(cause);
            }
        }
        self.durations.record(outcome, began.elapsed());
        result
    }
}
