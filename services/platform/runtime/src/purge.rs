//! Removing old rows from tables that remember what was done.

use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use slog::{Logger, info, warn};

use crate::database::{Connections, Database, DatabaseError, Pool};

/// A table of what was done, with an index by `kept_at`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) table: &'static str,
    /// For how long a row is kept at least.
    pub(crate) retention: TimeDelta,
}

/// The time between two purges.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The number of rows removed by one statement: each is on another page, and SQLite's only writer waits meanwhile.
const BATCH: i64 = 50;
/// How long the purge pauses after a statement, as a multiple of the time that the statement took: requests have the
/// database for themselves four fifths of the time, however many rows have expired.
const PAUSE: u32 = 4;

/// Removes expired rows every hour, for ever.
pub(crate) async fn purge_hourly(memory: Memory, database: Database, log: Logger) {
    let mut purge = Purge::new(memory, database);
    loop {
        match purge.run(Utc::now()).await {
            Ok(0) => {}
            Ok(number) => info!(log, "purged old rows"; "table" => memory.table, "number" => number),
            Err(error) => warn!(log, "purge of old rows failed"; "table" => memory.table, "error" => error.to_string()),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The purge of expired rows. It removes only rows that were stored before its last run, an hour ago: a clock that has
/// jumped ahead, at a restart or later, makes nobody forget what is minutes old.
#[derive(Debug)]
pub struct Purge {
    memory: Memory,
    database: Database,
    /// When the newest row was stored, at the last run.
    seen: Option<DateTime<Utc>>,
}

impl Purge {
    /// A purge whose first run removes nothing.
    pub(crate) fn new(memory: Memory, database: Database) -> Self {
        Self { memory, database, seen: None }
    }

    /// Removes the rows that were stored longer before `now` than they are kept, and before the last run; returns how many. On
    /// PostgreSQL, the server's clock counts as well: the earlier one decides.
    ///
    /// # Errors
    ///
    /// The database fails. What was removed before stays removed.
    pub async fn run(&mut self, now: DateTime<Utc>) -> Result<u64, DatabaseError> {
        let now = self.server_time().await?.map_or(now, |server| server.min(now));
        let newest = self.newest().await?;
        let Some(seen) = std::mem::replace(&mut self.seen, newest) else { return Ok(0) };
        let end = (now - self.memory.retention).min(seen).trunc_subsecs(6);
        let mut purged = 0;
        let mut start = DateTime::<Utc>::UNIX_EPOCH;
        loop {
            let (removed, took) = self.remove_batch(start, end).await?;
            purged += removed.len() as u64;
            // The next statement does not read again what this one has removed.
            let Some(last) = removed.into_iter().max() else { return Ok(purged) };
            start = last;
            tokio::time::sleep(took * PAUSE).await;
        }
    }

    /// The time of the server; `None` for a file, which has none of its own.
    async fn server_time(&self) -> Result<Option<DateTime<Utc>>, DatabaseError> {
        let writer = self.database.writer();
        let Connections::Postgres(pool) = &writer.connections else { return Ok(None) };
        writer.run(sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool)).await.map(Some)
    }

    async fn newest(&self) -> Result<Option<DateTime<Utc>>, DatabaseError> {
        crate::with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "SELECT MAX(kept_at) FROM ");
            query.push(self.memory.table).build_query_scalar().fetch_one(pool).await
        })
    }

    /// Removes the oldest rows from `start` to `end`, both included. Returns when each was stored, and how long the
    /// statement took.
    async fn remove_batch(
        &self,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Result<(Vec<DateTime<Utc>>, Duration), DatabaseError> {
        crate::with_pool!(self.database.writer(), |pool| async {
            // Uses only the index by age: PostgreSQL could read the whole table to find a list of rows.
            let mut query = Pool::query_for(pool, "DELETE FROM ");
            query.push(self.memory.table).push(" WHERE kept_at >= ").push_bind(start);
            query.push(" AND kept_at <= COALESCE((SELECT kept_at FROM ").push(self.memory.table);
            query.push(" WHERE kept_at >= ");
            query.push_bind(start).push(" AND kept_at <= ").push_bind(end).push(" ORDER BY kept_at LIMIT 1 OFFSET ");
            query.push(BATCH - 1).push("), ").push_bind(end).push(") RETURNING kept_at");
            let mut connection = pool.acquire().await?;
            let began = Instant::now();
            let removed: Vec<(DateTime<Utc>,)> = query.build_query_as().fetch_all(&mut *connection).await?;
            Ok((removed.into_iter().map(|(time,)| time).collect(), began.elapsed()))
        })
    }
}
