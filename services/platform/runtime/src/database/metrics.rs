//! What a database tells of itself: its connections, and how long operations on it take.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Connections, Database, DatabaseError};
use crate::telemetry::Encode;

/// Seconds. Most statements take less than a millisecond; one is given up after 0.8 (PostgreSQL) or 5 (SQLite).
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How operations end.
pub(super) const SUCCESS: &str = "success";
pub(super) const TIMEOUT: &str = "timeout";
const UNIQUE_VIOLATION: &str = "unique_violation";
const POOL_TIMEOUT: &str = "pool_timeout";
pub(super) const UNAVAILABLE: &str = "unavailable";
const FAULT: &str = "fault";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// How long operations took, waiting for a connection included.
#[derive(Clone, Debug)]
pub(super) struct Durations(Family<Labels, Histogram, fn() -> Histogram>);

impl Default for Durations {
    fn default() -> Self {
        let durations: Family<_, _, fn() -> _> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        // What never happened stands at zero: an alert sees the first.
        for outcome in [SUCCESS, TIMEOUT, UNIQUE_VIOLATION, POOL_TIMEOUT, UNAVAILABLE, FAULT] {
            drop(durations.get_or_create(&Labels { outcome }));
        }
        Self(durations)
    }
}

impl Durations {
    pub(super) fn add(&self, outcome: &'static str, took: Duration) {
        self.0.get_or_create(&Labels { outcome }).observe(took.as_secs_f64());
    }
}

/// How an operation that failed ended, in one word.
pub(super) fn outcome(error: &DatabaseError) -> &'static str {
    match error {
        DatabaseError::UniqueViolation => UNIQUE_VIOLATION,
        DatabaseError::Unavailable(_) => UNAVAILABLE,
        DatabaseError::Fault(_) => FAULT,
    }
}

/// How an operation by sqlx ended. A timeout of the pool is told apart: nobody gave a connection back in time, or none
/// could be made.
pub(super) fn outcome_by_sqlx<T>(result: sqlx::Result<T>) -> (&'static str, Result<T, DatabaseError>) {
    match result {
        Ok(done) => (SUCCESS, Ok(done)),
        Err(error @ sqlx::Error::PoolTimedOut) => (POOL_TIMEOUT, Err(error.into())),
        Err(error) => {
            let error = DatabaseError::from(error);
            (outcome(&error), Err(error))
        }
    }
}

impl Database {
    /// Adds what this database tells of itself.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "How long operations on the database took, waiting for a connection included";
        registry.register("db_client_operation_duration_seconds", help, self.reader.durations.0.clone());
        registry.register_collector(Box::new(self.clone()));
    }

    /// Its pools of connections, each with its name, how many connections it has, how many of them nobody uses, and how
    /// many it may have.
    fn pools(&self) -> Vec<(&'static str, u32, usize, u32)> {
        let of = |name, connections: &Connections| match connections {
            Connections::Postgres(pool) => (name, pool.size(), pool.num_idle(), pool.options().get_max_connections()),
            Connections::Sqlite(pool) => (name, pool.size(), pool.num_idle(), pool.options().get_max_connections()),
        };
        match (&self.reader.connections, &self.writer.connections) {
            // One for both.
            (all @ Connections::Postgres(_), _) => vec![of("all", all)],
            (reader, writer) => vec![of("reader", reader), of("writer", writer)],
        }
    }
}

impl Collector for Database {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pools = self.pools();
        let counts: Vec<_> = pools
            .iter()
            .flat_map(|(name, size, idle, _)| {
                let idle = u32::try_from(*idle).unwrap_or(u32::MAX).min(*size);
                [("idle", idle), ("used", size - idle)]
                    .map(|(state, number)| ([("pool", *name), ("state", state)], number))
            })
            .collect();
        encoder.gauges(
            "db_client_connection_count",
            "Connections to the database.",
            counts.iter().map(|(labels, number)| (labels.as_slice(), *number)),
        )?;
        let limits: Vec<_> = pools.iter().map(|(name, .., limit)| ([("pool", *name)], *limit)).collect();
        encoder.gauges(
            "db_client_connection_max",
            "The most connections at a time.",
            limits.iter().map(|(labels, limit)| (labels.as_slice(), *limit)),
        )
    }
}
