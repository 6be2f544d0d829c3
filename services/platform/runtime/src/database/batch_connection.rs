//! Connections that are kept between batches.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgHasArrayType;
use sqlx::{Encode, Postgres, QueryBuilder, Sqlite, Type};

use super::DatabaseError;

/// A connection that rested for longer is tried before it is used: a server that was stopped takes longer to come back.
const RESTED: Duration = Duration::from_millis(100);

/// Which connections are used untried: those that worked just now, and since the last operation failed.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionHealth {
    lost: Arc<Mutex<Option<Instant>>>,
}

impl ConnectionHealth {
    /// An operation failed for the state of the database: other connections may have ended with its own.
    pub(super) fn lose(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection is used untried that was used so long ago.
    pub(super) fn holds(&self, used: Duration) -> bool {
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        used < RESTED && lost.is_none_or(|lost| used < lost.elapsed())
    }
}

/// The way of batches to the database: one follows another on the same connection, without the trials that the pool puts
/// a connection to whenever it goes out and comes back. There are as many connections as there are batches at a time.
#[derive(Clone, Debug)]
pub enum BatchConnection {
    /// PostgreSQL.
    Postgres(Arc<ConnectionCache<Postgres>>),
    /// SQLite.
    Sqlite(Arc<ConnectionCache<Sqlite>>),
}

/// Connections of a pool, kept from one batch to the next.
#[derive(Debug)]
pub struct ConnectionCache<DB: sqlx::Database> {
    pool: sqlx::Pool<DB>,
    trust: ConnectionHealth,
    /// Each with when it was used last; the last one is on top.
    connections: Mutex<Vec<(PoolConnection<DB>, Instant)>>,
}

impl BatchConnection {
    /// Gives the connections back to the pool, which tries them.
    pub(super) fn release(&self) {
        match self {
            Self::Postgres(kept) => kept.lock().clear(),
            Self::Sqlite(kept) => kept.lock().clear(),
        }
    }

    /// Begins a query of parts that are known only at run time, as [`Pool::query_for`](super::Pool::query_for).
    #[doc(hidden)]
    pub fn query_for<DB: sqlx::Database>(_: &PoolConnection<DB>, sql: &'static str) -> QueryBuilder<DB> {
        QueryBuilder::new(sql)
    }
}

impl<DB: sqlx::Database> ConnectionCache<DB> {
    pub(super) fn new(pool: sqlx::Pool<DB>, trust: ConnectionHealth) -> Self {
        Self { pool, trust, connections: Mutex::default() }
    }

    /// A connection that was kept, or another.
    #[doc(hidden)]
    pub async fn connection(&self) -> sqlx::Result<PoolConnection<DB>> {
        let kept = self.lock().pop();
        match kept {
            Some((connection, last_used)) if self.trust.holds(last_used.elapsed()) => Ok(connection),
            kept => {
                // Before another is asked for: what is not trusted goes back to the pool, which tries it.
                drop(kept);
                // On the heap, because it is large and rare: in place, every batch would move its room about.
                Box::pin(self.pool.acquire()).await
            }
        }
    }

    /// Keeps a connection on which everything went well, unless it is the last one that others could have.
    #[doc(hidden)]
    pub fn keep(&self, connection: PoolConnection<DB>) {
        let others_have_one = self.pool.num_idle() > 0 || self.pool.size() < self.pool.options().get_max_connections();
        if others_have_one && !self.pool.is_closed() {
            self.lock().push((connection, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(PoolConnection<DB>, Instant)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition that the databases want differently.
pub trait InList<T>: sqlx::Database {
    /// Adds ` IN …`: the value before it is one of `values`. The statement is the same for any number of them, so that it is
    /// prepared once.
    fn push_in_list(query: &mut QueryBuilder<Self>, values: Vec<T>) -> sqlx::Result<()>;
}

impl<T> InList<T> for Postgres
where
    T: PgHasArrayType + for<'q> Encode<'q, Self> + Type<Self>,
{
    fn push_in_list(query: &mut QueryBuilder<Self>, values: Vec<T>) -> sqlx::Result<()> {
        query.push(" = ANY(").push_bind(values).push(")");
        Ok(())
    }
}

impl<T> InList<T> for Sqlite
where
    T: Serialize + for<'q> Encode<'q, Self> + Type<Self>,
{
    fn push_in_list(query: &mut QueryBuilder<Self>, values: Vec<T>) -> sqlx::Result<()> {
        match <[T; 1]>::try_from(values) {
            // A list takes three times as long.
            Ok([only]) => query.push(" = ").push_bind(only),
            Err(values) => {
                let list = serde_json::to_string(&values).map_err(DatabaseError::unreadable)?;
                query.push(" IN (SELECT value FROM json_each(").push_bind(list).push("))")
            }
        };
        Ok(())
    }
}

/// Evaluates to the outcome of `$query`, awaited with `$connection` bound to a connection that `$pool` keeps for batches:
/// `Result<_, DatabaseError>`. It is limited as by [`with_pool!`](crate::with_pool). A connection on which it failed is left
/// to the pool's judgement.
///
/// Of which kind the database is may also be said: `$lane` is then a lane of `$pool`.
#[macro_export]
macro_rules! with_batch_connection {
    ($pool:expr, |$connection:ident| $query:expr) => {{
        let pool: &$crate::database::Pool = $pool;
        match pool.batch_connection() {
            $crate::database::BatchConnection::Postgres(lane) => {
                $crate::with_batch_connection!(pool, lane, |$connection| $query)
            }
            $crate::database::BatchConnection::Sqlite(lane) => {
                $crate::with_batch_connection!(pool, lane, |$connection| $query)
            }
        }
    }};
    ($pool:ident, $lane:ident, |$connection:ident| $query:expr) => {
        $pool
            .bounded(async {
                let mut $connection = $lane.connection().await?;
                let outcome = async { $query.await }.await;
                if outcome.is_ok() {
                    $lane.keep($connection);
                }
                outcome
            })
            .await
    };
}
