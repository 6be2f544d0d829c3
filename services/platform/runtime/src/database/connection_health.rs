//! What a pool remembers about failures: which idle connections to check before use, and when not to connect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A connection that has been idle for less is not checked before use: a server takes longer than this to restart.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_millis(100);
/// How long operations fail fast after a failed connect. If every request tried to connect, a server that cannot answer
/// would collect hundreds of processes for clients long gone, and refuse others once it recovers.
const CONNECT_BACKOFF: Duration = Duration::from_millis(100);
/// The minimum time between two failures of a session that close older connections. While a database stays read-only,
/// every write fails, and each would close all connections anew.
const MIN_SESSION_AGE: Duration = Duration::from_secs(1);

/// The latest failures of operations on a database. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionHealth(Arc<Mutex<Failures>>);

#[derive(Debug, Default)]
struct Failures {
    /// When an operation last failed because of the state of the database.
    operation: Option<Instant>,
    /// When an operation failed because of the session of its connection: the last time that closed older connections.
    session: Option<Instant>,
    /// When an operation that began without any connection last failed, and why.
    connect: Option<(Instant, String)>,
}

impl ConnectionHealth {
    /// Records that an operation failed because of the state of the database: other connections may be broken too.
    pub(super) fn record_failure(&self) {
        self.failures().operation = Some(Instant::now());
    }

    /// Whether to check a connection before use that has been idle for `idle`. No check is needed if it was used very
    /// recently and no operation has failed since.
    pub(super) fn needs_check(&self, idle: Duration) -> bool {
        idle >= MAX_UNCHECKED_IDLE || self.failures().operation.is_some_and(|failed| idle >= failed.elapsed())
    }

    /// Records that an operation failed because of its connection's session, which keeps what was set when it began:
    /// others that began before may be as bad. Changes nothing within [`MIN_SESSION_AGE`] of the last one that did.
    pub(super) fn record_session_failure(&self) {
        let mut failures = self.failures();
        if failures.session.is_none_or(|failed| failed.elapsed() >= MIN_SESSION_AGE) {
            failures.session = Some(Instant::now());
        }
    }

    /// Whether to close a connection of this age: it began before a failure of a session.
    pub(super) fn is_outdated(&self, age: Duration) -> bool {
        self.failures().session.is_some_and(|failed| age >= failed.elapsed())
    }

    /// Records that there was no connection and none could be made, because of `cause`.
    pub(super) fn record_connect_failure(&self, cause: &str) {
        self.failures().connect = Some((Instant::now(), cause.to_owned()));
    }

    /// Why an operation that would have to connect fails fast; `None` if it may connect.
    pub(super) fn connect_backoff(&self) -> Option<String> {
        let failures = self.failures();
        let (_, cause) = failures.connect.as_ref().filter(|(failed, _)| failed.elapsed() < CONNECT_BACKOFF)?;
        Some(format!("connecting failed less than {} ms ago: {cause}", CONNECT_BACKOFF.as_millis()))
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
