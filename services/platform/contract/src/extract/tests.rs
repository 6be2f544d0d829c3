//! Tests of the extractors' parts without a server.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::*;
use crate::page::PageLimit;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Bytes, Frame};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

crate::string_enum! {
    /// A colour.
    enum Colour {
        Red = "red",
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    limit: Option<PageLimit>,
    colour: Option<Colour>,
}

fn query(pairs: &[(&str, &str)]) -> Result<Filter, String> {
    from_text("query parameter", pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
        .map_err(|error| error.external_message)
}

#[test]
fn text_is_read_as_the_type_of_the_field() {
    let filter = query(&[("limit", "7"), ("colour", "red")]).unwrap();
    assert_eq!(filter.limit.map(PageLimit::get), Some(7));
    assert_eq!(filter.colour, Some(Colour::Red));
}

#[test]
fn an_error_names_the_parameter_and_the_expected_value() {
    for value in ["0", "1001", "x", "1.0", "+1", "01", "-1", " 1", "9223372036854775808"] {
        let message = query(&[("limit", value)]).unwrap_err();
        assert!(message.starts_with("query parameter `limit`: "), "{message}");
        assert!(message.ends_with("expected an integer from 1 to 1000"), "{message}");
    }
    let empty = query(&[("limit", ""), ("colour", "red")]).unwrap_err();
    assert_eq!(empty, "query parameter `limit`: it is empty; leave out what you do not use");
    assert!(query(&[("colour", "blue")]).unwrap_err().contains("`red`"));
    assert!(query(&[("color", "red")]).unwrap_err().contains("unknown field `color`"));
    assert!(query(&[("colour", "red"), ("colour", "red")]).unwrap_err().contains("duplicate field"));
}

#[test]
fn a_body_is_exactly_one_json_object() {
    let body = |text: &str| parse::<Filter>(text.as_bytes()).map_err(|error| error.external_message);
    assert!(body(r#" {"limit": 3} "#).is_ok());
    for wrong in ["", "null", "[3, null]", "{", r#"{"limit": 3} x"#, r#"{"limit": 3}{}"#, "{\"a\u{0}"] {
        assert!(body(wrong).unwrap_err().starts_with("request body"), "{wrong}");
    }
    let message = body(r#"{"limit": "3"}"#).unwrap_err();
    assert!(message.starts_with("request body `limit`: invalid type: string"), "{message}");
}

#[test]
fn only_a_content_encoding_that_encodes_is_refused() {
    for (codings, accepted) in
        [(&[][..], true), (&["Identity"], true), (&["gzip"], false), (&["identity", "br"], false)]
    {
        let codings = codings.iter().map(|coding| (CONTENT_ENCODING, HeaderValue::from_static(coding)));
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        headers.extend(codings);
        assert_eq!(check_media_type(&headers).is_ok(), accepted, "{headers:?}");
    }
}

#[test]
fn malformed_json_is_located_by_line_and_column_alone() {
    let message = parse::<Filter>(b"{'limit': 1}").unwrap_err().external_message;
    assert_eq!(message, "request body: key must be a string at line 1 column 2");
}

#[test]
fn a_byte_order_mark_is_named() {
    for mark in BYTE_ORDER_MARKS {
        let message = parse::<Filter>(&[mark, b"{}"].concat()).unwrap_err().external_message;
        assert!(message.starts_with("request body: begins with a byte order mark"), "{message}");
    }
}

/// A body that never arrives.
struct Stalled;

impl hyper::body::Body for Stalled {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn stalled_bodies_time_out_spread_over_one_second() {
    let start = Instant::now();
    let mut reads = JoinSet::new();
    for _ in 0..1000 {
        reads.spawn(async move {
            let error = read(hyper::Request::new(Body::wrap(Stalled))).await.unwrap_err();
            assert_eq!(error.error_code.as_deref(), Some("request_timeout"));
            start.elapsed()
        });
    }
    let waited = reads.join_all().await;
    let max = BODY_TIMEOUT + BODY_TIMEOUT_JITTER;
    assert!(waited.iter().all(|waited| (BODY_TIMEOUT..=max).contains(waited)), "{waited:?}");
    for tenth in 0..10 {
        let timed_out = waited.iter().filter(|waited| (**waited - BODY_TIMEOUT).as_millis() / 100 == tenth).count();
        assert!((1..=200).contains(&timed_out), "{timed_out} in tenth {tenth}");
    }
}

#[tokio::test]
async fn a_refused_request_lets_others_go_first() {
    let refused = std::pin::pin!(in_turn(Err::<(), _>(INVALID_REQUEST.to_error())));
    assert!(poll_once(refused).is_pending());
    let accepted = std::pin::pin!(in_turn(Ok(())));
    assert!(poll_once(accepted).is_ready());
}

/// The result of polling `future` once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(std::task::Waker::noop()))
}
