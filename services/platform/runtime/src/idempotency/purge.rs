//! Removing old keys.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use slog::{Logger, info, warn};
use tokio::task::JoinSet;

use super::keys::Keys;
use crate::database::{DatabaseError, Pool};

/// The minimum time for which a response is stored.
const RETENTION: TimeDelta = TimeDelta::hours(24);
/// The time between two purges.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The number of keys removed by one statement: few, so that requests hardly wait for it.
const BATCH: u64 = 500;

/// Removes expired keys now and every hour, until the returned task is dropped.
pub(crate) fn purge_hourly(keys: Keys, log: Logger) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            match keys.purge(Utc::now() - RETENTION).await {
                Ok(0) => {}
                Ok(number) => info!(log, "purged idempotency keys"; "number" => number),
                Err(error) => warn!(log, "purge of idempotency keys failed"; "error" => error.to_string()),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    });
    task
}

impl Keys {
    /// Removes the keys stored before `time`; returns how many.
    pub async fn purge(&self, time: DateTime<Utc>) -> Result<u64, DatabaseError> {
        let mut purged = 0;
        loop {
            let removed = crate::with_pool!(self.database.writer(), |pool| async {
                // Uses only the index by age: PostgreSQL could read the whole table to find a list of keys.
                let time = time.trunc_subsecs(6);
                let mut query = Pool::query_for(pool, "DELETE FROM idempotency_keys WHERE kept_at < ");
                query
                    .push_bind(time)
                    .push(" AND kept_at <= COALESCE((SELECT kept_at FROM idempotency_keys WHERE kept_at < ");
                query.push_bind(time).push(" ORDER BY kept_at LIMIT 1 OFFSET ").push(BATCH - 1).push("), ");
                query.push_bind(time).push(")");
                Ok(query.build().execute(pool).await?.rows_affected())
            })?;
            purged += removed;
            if removed < BATCH {
                return Ok(purged);
            }
        }
    }
}
