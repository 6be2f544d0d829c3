//! The header `Request-Timeout-Ms`, with which a caller states how long it still waits. Every operation accepts it.

use std::time::Duration;

use dropshot::HttpError;
use http::{HeaderMap, HeaderValue};

use crate::error_code::INVALID_REQUEST;

/// The header's name.
pub const NAME: &str = "Request-Timeout-Ms";

/// The largest value, in milliseconds; the smallest is 1.
pub const MAX_MS: u32 = 60_000;

/// The request's `Request-Timeout-Ms`, if it has one. An invalid value, and more than one, are refused with
/// `invalid_request`.
pub fn read(headers: &HeaderMap) -> Result<Option<Duration>, HttpError> {
    let refuse = |cause: &str| INVALID_REQUEST.with_message(format!("request header `{NAME}`: {cause}"));
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse("must be sent at most once"));
    }
    let expected = || refuse(&format!("expected a number of milliseconds from 1 to {MAX_MS}"));
    milliseconds(value).map(|ms| Some(Duration::from_millis(ms.into()))).ok_or_else(expected)
}

fn milliseconds(value: &HeaderValue) -> Option<u32> {
    // `u32::from_str` accepts a sign as well.
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|ms| (1..=MAX_MS).contains(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&[u8]]) -> Result<Option<Duration>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        read(&headers).map_err(|error| error.external_message)
    }

    #[test]
    fn a_timeout_is_a_number_of_milliseconds_and_may_be_absent() {
        assert_eq!(of(&[]), Ok(None));
        for (value, ms) in [("1", 1), ("250", 250), ("60000", 60_000)] {
            assert_eq!(of(&[value.as_bytes()]), Ok(Some(Duration::from_millis(ms))));
        }
    }

    #[test]
    fn an_invalid_or_repeated_timeout_is_refused() {
        let digit = "\u{661}".as_bytes();
        for wrong in
            [&b""[..], b"0", b"-1", b"+500", b"1.5", b"60001", b"soon", b"5, 5", digit, b"99999999999999999999"]
        {
            let message = of(&[wrong]).unwrap_err();
            assert_eq!(
                message,
                "request header `Request-Timeout-Ms`: expected a number of milliseconds from 1 to 60000"
            );
        }
        let message = of(&[b"250", b"250"]).unwrap_err();
        assert_eq!(message, "request header `Request-Timeout-Ms`: must be sent at most once");
    }
}
