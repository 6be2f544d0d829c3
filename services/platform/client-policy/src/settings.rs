//! The limits of a client that differ between services and networks.

use std::time::Duration;

use reqwest::redirect;

/// The maximum number of attempts of a call, including the first.
pub const MAX_ATTEMPTS: u32 = 3;

/// How long an idle connection stays usable: less than the 30 seconds after which a service closes it, so that requests
/// rarely meet a connection that is being closed.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// How long an attempt waits for one of the [`Settings::concurrency`] permits.
pub const CONCURRENCY_WAIT: Duration = Duration::from_millis(250);

/// The default of [`Settings::max_response_bytes`]. A full page of the largest items is well below.
pub const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// The largest value of `Request-Timeout-Ms`.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// The limits of a client. The defaults suit a service in the same network. Retries, retry budget and circuit breaker are
/// the same everywhere and therefore fixed; see the [crate](crate).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The time limit for connecting, for each attempt; 250 ms by default.
    pub connect_timeout: Duration,
    /// The time limit for an attempt, including connecting and reading; 400 ms by default, at most 60 s.
    pub attempt_timeout: Duration,
    /// The time limit for a call with all its attempts and backoffs; 2 s by default, at most 60 s.
    pub timeout: Duration,
    /// The maximum number of attempts in flight, of all calls together; 64 by default, at least 1. Another attempt waits
    /// for [`CONCURRENCY_WAIT`] and is then refused.
    pub concurrency: usize,
    /// The maximum number of bytes read of an answer's body; [`MAX_RESPONSE_BYTES`] (4 MiB) by default.
    pub max_response_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // A service that has not accepted a connection by then is down.
            connect_timeout: Duration::from_millis(250),
            // Longer than a healthy service takes.
            attempt_timeout: Duration::from_millis(400),
            timeout: Duration::from_secs(2),
            // A healthy service answers thousands of calls a second at this concurrency; one that hangs gets no more.
            concurrency: 256,
            max_response_bytes: MAX_RESPONSE_BYTES,
        }
    }
}

impl Settings {
    /// The HTTP client under the policy: it limits only connecting.
    pub(crate) fn http_client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_nodelay(true)
            // An answer from another address is not the service's answer.
            .redirect(redirect::Policy::none())
            .no_proxy()
            // reqwest's retries know neither the budget nor the backoff.
            .retry(reqwest::retry::never())
    }

    /// These settings within the documented bounds.
    pub(crate) fn bounded(self) -> Self {
        Self {
            attempt_timeout: self.attempt_timeout.min(MAX_TIMEOUT),
            timeout: self.timeout.min(MAX_TIMEOUT),
            concurrency: self.concurrency.clamp(1, tokio::sync::Semaphore::MAX_PERMITS),
            ..self
        }
    }

    /// The time of an attempt that only these settings limit.
    pub(crate) fn full_attempt(&self) -> Duration {
        self.attempt_timeout.min(self.timeout)
    }
}
