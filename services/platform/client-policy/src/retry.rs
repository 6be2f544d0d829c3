//! Decides which outcomes are failures of the service, which are retried, and after which backoff.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use crate::Outcome;

/// The maximum backoff before the second attempt; it doubles with each attempt.
const FIRST_BACKOFF: Duration = Duration::from_millis(25);

/// Whether the service worked. A refused request (4xx) is a success in this sense.
pub(crate) fn is_success(outcome: &Outcome) -> bool {
    outcome
        .as_ref()
        .is_ok_and(|answer| !answer.status().is_server_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS)
}

/// The backoff after `attempts`, 1 or more, of which the last ended with `outcome`; `None` for no retry. `random` is at
/// least 0 and less than 1.
pub(crate) fn backoff(outcome: &Outcome, attempts: u32, random: f64) -> Option<Duration> {
    let jitter = (FIRST_BACKOFF * (1 << (attempts - 1))).mul_f64(random);
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) if is_http_parse_error(error) => return None,
        Err(_) => return Some(jitter),
    };
    let transient = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    if !transient.contains(&answer.status()) {
        return None;
    }
    let Some(retry_after) = answer.headers().get(RETRY_AFTER) else { return Some(jitter) };
    // HTTP also allows a date; treat it as later than a call can wait.
    let seconds: u64 = retry_after.to_str().ok()?.parse().ok()?;
    Duration::from_secs(seconds).checked_add(jitter)
}

/// Whether a call failed because the peer does not speak HTTP.
pub fn is_http_parse_error(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_parse))
}

/// Whether the connection of a request was closed before its answer began: most often by a peer that closes idle
/// connections, after the client had chosen one of them.
pub(crate) fn is_dead_connection(error: &reqwest::Error) -> bool {
    let is_closed = |cause: &hyper::Error| cause.is_incomplete_message() || cause.is_canceled();
    let is_broken = |cause: &io::Error| matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    let mut causes = causes(error);
    let is_dead =
        causes.any(|cause| cause.downcast_ref().is_some_and(is_closed) || cause.downcast_ref().is_some_and(is_broken));
    is_dead && error.is_request() && !error.is_connect()
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Outcome {
        let mut answer = http::Response::builder().status(status);
        if let Some(value) = retry_after {
            answer = answer.header(RETRY_AFTER, value);
        }
        Ok(answer.body("").expect("an answer").into())
    }

    fn milliseconds(outcome: &Outcome, attempts: u32, random: f64) -> Option<u128> {
        backoff(outcome, attempts, random).map(|backoff| backoff.as_millis())
    }

    #[test]
    fn server_errors_and_429_are_failures() {
        for (status, success) in
            [(200, true), (204, true), (301, true), (400, true), (404, true), (429, false), (500, false), (503, false)]
        {
            assert_eq!(is_success(&answer(status, None)), success, "{status}");
        }
    }

    #[test]
    fn only_transient_failures_are_retried() {
        for (status, retried) in [
            (200, false),
            (301, false),
            (400, false),
            (404, false),
            (429, true),
            (500, false),
            (501, false),
            (502, true),
            (503, true),
            (504, true),
        ] {
            assert_eq!(backoff(&answer(status, None), 1, 0.0).is_some(), retried, "{status}");
        }
    }

    #[test]
    fn the_backoff_is_random_up_to_a_bound_that_doubles() {
        let busy = answer(503, None);
        assert_eq!(milliseconds(&busy, 1, 0.0), Some(0));
        for (attempts, bound) in [(1, 25), (2, 50)] {
            assert_eq!(milliseconds(&busy, attempts, 1.0), Some(bound), "{attempts}");
            assert_eq!(milliseconds(&busy, attempts, 0.5), Some(bound / 2), "{attempts}");
        }
    }

    #[test]
    fn retry_after_is_the_minimum_backoff() {
        assert_eq!(milliseconds(&answer(503, Some("1")), 1, 0.0), Some(1000));
        assert_eq!(milliseconds(&answer(503, Some("1")), 1, 1.0), Some(1025));
        for value in ["Fri, 20 Nov 2026 12:00:00 GMT", "-1", "", "soon", "18446744073709551616"] {
            assert_eq!(milliseconds(&answer(503, Some(value)), 1, 0.5), None, "{value}");
        }
        assert!(
            backoff(&answer(503, Some("18446744073709551615")), 1, 1.0)
                .is_none_or(|backoff| backoff.as_secs() == u64::MAX)
        );
    }
}
