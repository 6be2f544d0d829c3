//! What every generated client and its error body implement.

use std::time::Instant;

use http::HeaderMap;

use crate::{Circuit, Settings, Snapshot};

/// A generated client whose calls go through a [`Policy`](crate::Policy).
pub trait PolicyClient: Clone + Send + Sync + 'static {
    /// A client of the service at `base_url` (scheme, host and port). `observer` is called when the circuit opens and
    /// closes; it must not block.
    ///
    /// # Errors
    ///
    /// The HTTP client cannot be built, for instance because the system's certificates cannot be read.
    fn connect(
        base_url: &str,
        settings: Settings,
        observer: impl Fn(Circuit) + Send + Sync + 'static,
    ) -> reqwest::Result<Self>;

    /// This client for calls that must end by `deadline`. It shares the circuit breaker, the retry budget and the
    /// bulkhead. A call without remaining time is refused without an attempt.
    fn until(&self, deadline: Instant) -> Self;

    /// This client for calls that belong to a trace: each carries these headers (W3C Trace Context).
    fn traced(&self, headers: HeaderMap) -> Self;

    /// This client for calls that are safe to repeat, although their method does not say so: they are retried as those
    /// with a safe method.
    fn repeatable(&self) -> Self;

    /// The counters and the circuit's state; `None` for a client without a policy.
    fn snapshot(&self) -> Option<Snapshot>;
}

/// The error body of a contract.
pub trait ErrorBody {
    /// The stable code to decide by; `None` if no operation was reached.
    fn error_code(&self) -> Option<&str>;

    /// The text for people.
    fn message(&self) -> &str;
}
