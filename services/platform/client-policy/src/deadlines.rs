//! When calls and attempts end.

use std::time::Duration;

use reqwest::Request;
use tokio::time::Instant;

/// The request header with the milliseconds after which the caller stops waiting.
const TIMEOUT_HEADER: &str = "request-timeout-ms";

/// The shortest useful attempt, and the smallest value of `Request-Timeout-Ms`.
pub(crate) const MIN_ATTEMPT: Duration = Duration::from_millis(1);

/// When a call ends: by the client's settings, and perhaps earlier because its caller stops waiting.
#[derive(Clone, Copy)]
pub(crate) struct Deadlines {
    pub(crate) own: Instant,
    pub(crate) caller: Option<Instant>,
}

impl Deadlines {
    pub(crate) fn earlier(self) -> Instant {
        self.caller.map_or(self.own, |caller| caller.min(self.own))
    }
}

/// The time until `deadline`; `None` if it is too short for an attempt.
pub(crate) fn time_left(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| *left >= MIN_ATTEMPT)
}

/// Limits the request and tells the service the limit.
pub(crate) fn set_timeout(request: &mut Request, time: Duration) {
    *request.timeout_mut() = Some(time);
    let milliseconds = time.as_millis().clamp(1, 60_000) as u64;
    request.headers_mut().insert(TIMEOUT_HEADER, milliseconds.into());
}
