//! How long a call may take and how much of it there may be.

use std::time::Duration;

use reqwest::redirect;

/// The most attempts of one call, the first included.
pub const MOST_ATTEMPTS: u32 = 3;

/// How long an unused connection may rest and still be used: less than the 30 seconds after which a service closes it,
/// so that hardly ever one is used that is just being closed.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// How long an attempt waits for one of [`Settings::concurrency`] places.
pub const CONCURRENCY_WAIT: Duration = Duration::from_millis(50);

/// Longer is no limit worth the name, and more than `Request-Timeout-Ms` can say.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a client may take: the limits that differ with the dependency and the network. The defaults suit a service next
/// door. What is the same everywhere (retries, budget, circuit breaker) is fixed; see the [module](super).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The most time to connect, of each attempt; 250 ms by default. A service next door that has not accepted by then is
    /// away.
    pub connect_timeout: Duration,
    /// The most time for one attempt, connecting and reading included; 400 ms by default, at most 60 s.
    pub attempt_timeout: Duration,
    /// The most time for a call with all its attempts and the waits between them; 2 s by default, at most 60 s.
    pub timeout: Duration,
    /// The most attempts under way at a time, of all calls together; 64 by default, at least 1. One more waits for
    /// [`CONCURRENCY_WAIT`], then it is refused.
    pub concurrency: usize,
    /// The most bytes of an answer that are read; by default the 4 MiB of [`LONGEST_ANSWER`](crate::LONGEST_ANSWER).
    pub longest_answer: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(250),
            attempt_timeout: Duration::from_millis(400),
            timeout: Duration::from_secs(2),
            concurrency: 64,
            longest_answer: crate::LONGEST_ANSWER,
        }
    }
}

impl Settings {
    /// The HTTP client to go with the policy: its only limit of its own is that of connecting.
    pub(crate) fn http_client(&self) -> reqwest::Result<reqwest::Client> {
        reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_nodelay(true)
            // The answer of anybody else than the service is not its answer.
            .redirect(redirect::Policy::none())
            .no_proxy()
            // It knows neither budget nor backoff.
            .retry(reqwest::retry::never())
            .build()
    }

    /// With what makes no sense brought within the documented bounds.
    pub(super) fn bounded(self) -> Self {
        Self {
            attempt_timeout: self.attempt_timeout.min(LONGEST_TIMEOUT),
            timeout: self.timeout.min(LONGEST_TIMEOUT),
            concurrency: self.concurrency.clamp(1, tokio::sync::Semaphore::MAX_PERMITS),
            ..self
        }
    }

    /// What an attempt gets when nothing but these settings limits it.
    pub(super) fn full_attempt(&self) -> Duration {
        self.attempt_timeout.min(self.timeout)
    }
}
