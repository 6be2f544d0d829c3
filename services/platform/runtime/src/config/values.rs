//! Parsers for the values of settings. Each error states the form that is expected.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Parses an address to listen on.
pub fn listen_address(value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000 (port 0: any)".to_owned())
}

/// Parses a duration in milliseconds, from 1 to 60000.
pub fn milliseconds(value: &str) -> Result<u32, String> {
    within(value, 1..=60_000, "milliseconds")
}

/// Parses a number of database connections, from 1 to 1000.
pub fn connections(value: &str) -> Result<u32, String> {
    within(value, 1..=1000, "connections")
}

/// Parses a number of requests, from 1 to 100000.
pub fn requests(value: &str) -> Result<u32, String> {
    within(value, 1..=100_000, "requests")
}

/// Parses a number of calls to another service, from 1 to 10000.
pub fn calls(value: &str) -> Result<usize, String> {
    within(value, 1..=10_000, "calls").map(|number| number as usize)
}

fn within(value: &str, range: RangeInclusive<u32>, unit: &str) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("expected a number of {unit} from {} to {}", range.start(), range.end()))
}

/// Parses a log level.
pub fn log_level(value: &str) -> Result<slog::Level, String> {
    value.parse().map_err(|()| "expected one of critical, error, warning, info, debug, trace".to_owned())
}

/// Parses the base URL of another service.
pub fn service_url(value: &str) -> Result<String, String> {
    let expected = || "expected http://HOST or http://HOST:PORT and nothing after it (TLS ends at a proxy)".to_owned();
    let uri: http::Uri = value.parse().map_err(|_| expected())?;
    let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
    let authority = uri.authority().filter(|_| plain && !value.contains(['@', '#'])).ok_or_else(expected)?;
    let (host, port) = (authority.host(), authority.port_u16());
    if port == Some(0) {
        return Err("expected a port from 1 to 65535".to_owned());
    }
    // `http::Uri` accepts any text as a port, and gives no port for one that is not a number.
    let whole = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if host.is_empty() || whole != authority.as_str() { Err(expected()) } else { Ok(format!("http://{authority}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_url_is_plain_http_without_a_path() {
        assert_eq!(service_url("http://user-service:8000/").as_deref(), Ok("http://user-service:8000"));
        for wrong in [
            "",
            "user-service:8000",
            "https://user-service",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://a:80000",
            "http://a:0",
            "http://a:",
            "http://a:x",
            "http://a#b",
            "http://u@a",
        ] {
            assert!(service_url(wrong).is_err(), "{wrong}");
        }
    }
}
