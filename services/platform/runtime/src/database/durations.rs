//! The metric of how long database operations take, and the classification of their outcomes.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::error::DatabaseError;

/// Seconds. Most statements take less than a millisecond; the time limit is 0.8 s (PostgreSQL) or 5 s (SQLite).
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Values of the label `outcome`.
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

/// A histogram of durations for each outcome, waiting for a connection included. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Durations(Family<Labels, Histogram, fn() -> Histogram>);

impl Default for Durations {
    fn default() -> Self {
        let durations: Family<_, _, fn() -> _> = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        // Each series starts at zero, so that an alert sees the first increase.
        for outcome in [SUCCESS, TIMEOUT, UNIQUE_VIOLATION, POOL_TIMEOUT, UNAVAILABLE, FAULT] {
            drop(durations.get_or_create(&Labels { outcome }));
        }
        Self(durations)
    }
}

impl Durations {
    pub(super) fn record(&self, outcome: &'static str, took: Duration) {
        self.0.get_or_create(&Labels { outcome }).observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "How long operations on the database took, waiting for a connection included";
        registry.register("db_client_operation_duration_seconds", help, self.0.clone());
    }
}

/// `result` with its outcome. `pool_timeout` is separate from `unavailable`: no connection was returned to the pool in
/// time, or none could be made.
pub(super) fn classify<T>(result: sqlx::Result<T>) -> (&'static str, Result<T, DatabaseError>) {
    let pool_timed_out = matches!(result, Err(sqlx::Error::PoolTimedOut));
    let result = result.map_err(DatabaseError::from);
    let outcome = match &result {
        Ok(_) => SUCCESS,
        Err(_) if pool_timed_out => POOL_TIMEOUT,
        Err(DatabaseError::UniqueViolation) => UNIQUE_VIOLATION,
        Err(DatabaseError::Unavailable(_)) => UNAVAILABLE,
        Err(DatabaseError::Fault(_)) => FAULT,
    };
    (outcome, result)
}
