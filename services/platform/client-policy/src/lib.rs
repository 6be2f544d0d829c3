//! How a generated client calls a service that may be slow, failing or unreachable: the caller gets its answer in time,
//! and the service gets no more load than it can bear. No generated type is named here; every client uses this crate.
//!
//! - **Time limits.** Connecting, an attempt, and a call with all its attempts each have a limit ([`Settings`]);
//!   [`PolicyClient::until`] sets an earlier deadline. Each attempt carries `Request-Timeout-Ms`: the milliseconds,
//!   1 to 60000, after which the caller stops waiting.
//! - **Retries.** A request with a safe method (`GET`, `HEAD`), or of a client for [repeatable](PolicyClient::repeatable)
//!   calls, gets up to [`MAX_ATTEMPTS`] attempts. The policy retries after a connection error, an attempt timeout, 429,
//!   502, 503 or 504. The backoff is random: at most 25 ms, then 50 ms, plus the value of `Retry-After`. A retry whose
//!   backoff exceeds the remaining time is not made. A peer that does not speak HTTP is not retried, nor is a success that
//!   does not parse.
//! - **Dead connections.** If a connection is closed before the answer begins, most often a pooled one that the service
//!   has just closed, the attempt continues with the same request on a new connection, once. This needs a request
//!   that may be retried or has an `Idempotency-Key`, and counts neither against the budget nor for the circuit breaker.
//! - **Retry budget.** In ten seconds there are at most as many retries as a tenth of the calls, or two if that is more.
//! - **Circuit breaker.** After 10 consecutive failures, or when half of at least 20 attempts within ten seconds
//!   failed, calls are refused immediately, except for one probe a second, until a probe succeeds. Failures are
//!   connection errors, timeouts, 429 and 5xx. A timeout counts only if it was not the caller's deadline that ended the
//!   attempt, and if the attempt had at least half of its full time: anything shorter proves nothing about the service.
//! - **Bulkhead.** At most [`Settings::concurrency`] attempts are in flight at a time.
//! - **Answers.** At most [`Settings::max_response_bytes`] of a body are read. Redirects are not followed, proxies not used.
//! - **Connections.** [`Policy::connect`] pools connections and closes those that were idle for [`IDLE_CONNECTION`].
//!
//! A failed call returns the outcome of its last attempt. A call without any attempt is an
//! [`Error::Custom`](progenitor_client::Error::Custom): [`Refusal::of`] gives the reason. [`Failure::of`] classifies both.

mod breaker;
mod budget;
mod client;
mod deadlines;
mod failure;
mod policy;
mod refusal;
mod response;
mod retry;
mod settings;
mod window;

pub use breaker::Circuit;
pub use client::{ErrorBody, PolicyClient};
pub use failure::Failure;
pub use policy::{Policy, Snapshot};
pub use refusal::Refusal;
pub use retry::is_http_parse_error;
pub use settings::{CONCURRENCY_WAIT, IDLE_CONNECTION, MAX_ATTEMPTS, MAX_RESPONSE_BYTES, Settings};

/// How an attempt or a call ended.
type Outcome = reqwest::Result<reqwest::Response>;
