//! Connections cached between batches, so that consecutive batches skip the pool's health checks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::{Postgres, QueryBuilder, Sqlite};

use super::connection_health::ConnectionHealth;

/// How batches reach the database: consecutive batches use the same connection, without the two round trips in which
/// the pool checks a connection that it hands out or gets back. The cache holds one connection for each concurrent
/// batch.
#[derive(Clone, Debug)]
pub enum BatchConnection {
    /// PostgreSQL.
    Postgres(Arc<ConnectionCache<Postgres>>),
    /// SQLite.
    Sqlite(Arc<ConnectionCache<Sqlite>>),
}

/// Connections of a pool, cached from one batch to the next.
#[derive(Debug)]
pub struct ConnectionCache<DB: sqlx::Database> {
    pool: sqlx::Pool<DB>,
    health: ConnectionHealth,
    /// A stack: the most recently used connection is last. Each with the time of its last use.
    connections: Mutex<Vec<(PoolConnection<DB>, Instant)>>,
}

impl BatchConnection {
    /// Returns the connections to the pool, which checks them.
    pub(super) fn clear(&self) {
        match self {
            Self::Postgres(cache) => cache.connections().clear(),
            Self::Sqlite(cache) => cache.connections().clear(),
        }
    }

    /// Begins a query whose parts are known only at run time, as [`Pool::query_for`](super::Pool::query_for).
    #[doc(hidden)]
    pub fn query_for<DB: sqlx::Database>(_: &PoolConnection<DB>, sql: &'static str) -> QueryBuilder<DB> {
        QueryBuilder::new(sql)
    }
}

impl<DB: sqlx::Database> ConnectionCache<DB> {
    pub(super) fn new(pool: sqlx::Pool<DB>, health: ConnectionHealth) -> Self {
        Self { pool, health, connections: Mutex::default() }
    }

    /// The most recently used cached connection, or one from the pool.
    #[doc(hidden)]
    pub async fn acquire(&self) -> sqlx::Result<PoolConnection<DB>> {
        let cached = self.connections().pop();
        match cached {
            Some((connection, last_used)) if !self.health.needs_check(last_used.elapsed()) => Ok(connection),
            cached => {
                // First return the unchecked connection: the pool may have no other.
                drop(cached);
                // Boxed because the future is large and rarely needed: inline, it would enlarge every batch's future.
                Box::pin(self.pool.acquire()).await
            }
        }
    }

    /// Caches a connection after a successful query, unless the pool would have none left for others.
    #[doc(hidden)]
    pub fn release(&self, connection: PoolConnection<DB>) {
        let pool_has_more = self.pool.num_idle() > 0 || self.pool.size() < self.pool.options().get_max_connections();
        if pool_has_more && !self.pool.is_closed() {
            self.connections().push((connection, Instant::now()));
        }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<(PoolConnection<DB>, Instant)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
