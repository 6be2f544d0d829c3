//! Which outcomes of an attempt are a failure of the dependency, which are worth another attempt, and when.

use std::error::Error as _;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

/// The longest wait before the second attempt; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How an attempt ended.
pub(super) type Outcome = reqwest::Result<reqwest::Response>;

/// Whether the dependency did its work. It did when it refused the request (4xx).
pub(super) fn is_success(outcome: &Outcome) -> bool {
    outcome
        .as_ref()
        .is_ok_and(|answer| !answer.status().is_server_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS)
}

/// How long to wait before the next attempt after `attempts` that ended so; `None` if there shall be none. `random` is
/// at least 0 and less than 1.
pub(super) fn wait(outcome: &Outcome, attempts: u32, random: f64) -> Option<Duration> {
    let jitter = FIRST_WAIT.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_WAIT).mul_f64(random);
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) if speaks_no_http(error) => return None,
        Err(_) => return Some(jitter),
    };
    let passing = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    if !passing.contains(&answer.status()) {
        return None;
    }
    let Some(retry_after) = answer.headers().get(RETRY_AFTER) else { return Some(jitter) };
    // A date, which is allowed too, is taken for later than a call can wait.
    let seconds: u64 = retry_after.to_str().ok()?.parse().ok()?;
    Duration::from_secs(seconds).checked_add(jitter)
}

/// Whether a call failed because what answered does not speak HTTP.
pub fn speaks_no_http(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        cause = inner.source();
    }
    false
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
        wait(outcome, attempts, random).map(|wait| wait.as_millis())
    }

    #[test]
    fn the_dependency_failed_if_it_says_so_or_asks_to_slow_down() {
        for (status, success) in
            [(200, true), (204, true), (301, true), (400, true), (404, true), (429, false), (500, false), (503, false)]
        {
            assert_eq!(is_success(&answer(status, None)), success, "{status}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, again) in [
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
            assert_eq!(wait(&answer(status, None), 1, 0.0).is_some(), again, "{status}");
        }
    }

    #[test]
    fn waits_are_anything_up_to_a_bound_that_doubles_to_its_cap() {
        let busy = answer(503, None);
        assert_eq!(milliseconds(&busy, 1, 0.0), Some(0));
        for (attempts, bound) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (6, 250), (u32::MAX, 250)] {
            assert_eq!(milliseconds(&busy, attempts, 1.0), Some(bound), "{attempts}");
            assert_eq!(milliseconds(&busy, attempts, 0.5), Some(bound / 2), "{attempts}");
        }
    }

    #[test]
    fn retry_after_is_the_least_wait() {
        assert_eq!(milliseconds(&answer(503, Some("1")), 1, 0.0), Some(1000));
        assert_eq!(milliseconds(&answer(503, Some("1")), 1, 1.0), Some(1025));
        for value in ["Fri, 20 Nov 2026 12:00:00 GMT", "-1", "", "soon", "18446744073709551616"] {
            assert_eq!(milliseconds(&answer(503, Some(value)), 1, 0.5), None, "{value}");
        }
        assert!(wait(&answer(503, Some("18446744073709551615")), 1, 1.0).is_none_or(|wait| wait.as_secs() == u64::MAX));
    }
}
