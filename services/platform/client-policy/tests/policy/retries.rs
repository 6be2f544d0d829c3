//! Which calls are retried, when, and how often.

use std::time::Duration;

use client_policy::Circuit;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, advance};

use crate::client::{End, SECOND, always, connect, first};
use crate::upstream::{Reply, Upstream, answer, item, status};

#[tokio::test(start_paused = true)]
async fn safe_requests_get_three_attempts_others_one() {
    let (upstream, client) = always(status(503)).await;
    assert_eq!(client.read().await, End::Status(503));
    assert_eq!(upstream.requests(), 3);
    let (upstream, client) = always(status(503)).await;
    assert_eq!(client.call(Method::HEAD, "/items").await, End::Status(503));
    assert_eq!(upstream.requests(), 3);

    let (upstream, client) = always(status(503)).await;
    assert_eq!(client.create().await, End::Status(503));
    assert_eq!(upstream.requests(), 1);
    assert_eq!(client.replace().await, End::Status(503));
    assert_eq!(upstream.requests(), 2);
    assert_eq!(client.call(Method::DELETE, "/items/1").await, End::Status(503));
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn repeatable_calls_are_retried_whatever_their_method() {
    let (upstream, client) = always(status(503)).await;
    assert_eq!(client.repeatable().create().await, End::Status(503));
    assert_eq!(upstream.requests(), 3);
    assert_eq!(client.create().await, End::Status(503), "the client itself is as before");
    assert_eq!(upstream.requests(), 4);

    let (upstream, client) = first(Reply::Close, item()).await;
    assert_eq!(client.repeatable().create().await, End::Item);
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried() {
    for reply in [status(429), status(502), status(503), status(504), Reply::Close, Reply::Silence] {
        let (upstream, client) = first(reply, item()).await;
        assert_eq!(client.read().await, End::Item);
        assert_eq!(upstream.requests(), 2);
        let seen = client.snapshot().unwrap();
        assert_eq!((seen.calls, seen.attempts, seen.retries), (1, 2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn permanent_failures_are_not_retried() {
    for (reply, expected) in [
        (status(500), End::Status(500)),
        (status(400), End::Status(400)),
        (status(404), End::Status(404)),
        (answer(200, "", "{"), End::Unreadable),
        (Reply::Bytes("nonsense\r\n\r\n".to_owned()), End::Lost),
    ] {
        let (upstream, client) = first(reply, item()).await;
        assert_eq!(client.read().await, expected);
        assert_eq!(upstream.requests(), 1, "{expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_of_a_traced_call_carries_its_trace() {
    let (upstream, client) = first(status(503), item()).await;
    let trace = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "a=1")];
    let headers: HeaderMap =
        trace.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    assert_eq!(client.traced(headers).until(Instant::now() + SECOND).read().await, End::Item);
    assert_eq!(client.read().await, End::Item);
    for (name, value) in trace {
        assert_eq!(upstream.header(name), [value, value, ""]);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_the_remaining_time() {
    let (_, client) = first(answer(503, "retry-after: 1\r\n", ""), item()).await;
    let start = Instant::now();
    assert_eq!(client.read().await, End::Item);
    let took = start.elapsed().as_millis();
    assert!((1000..1030).contains(&took), "{took}");

    for value in ["2", "Fri, 20 Nov 2026 12:00:00 GMT"] {
        let (upstream, client) = first(answer(503, &format!("retry-after: {value}\r\n"), ""), item()).await;
        let start = Instant::now();
        assert_eq!(client.read().await, End::Status(503));
        assert_eq!((upstream.requests(), start.elapsed().as_secs()), (1, 0), "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn partial_failure_adds_at_most_a_tenth_of_requests() {
    // Two of five requests fail.
    let upstream = Upstream::start(|number| if number % 5 < 2 { status(503) } else { item() }).await;
    let client = connect(&upstream);
    for _ in 0..2000 {
        client.read().await;
        advance(Duration::from_millis(10)).await;
    }
    let seen = client.snapshot().unwrap();
    assert_eq!((seen.calls, seen.circuit, seen.attempts), (2000, Circuit::Closed, upstream.requests() as u64));
    assert!((190..=210).contains(&seen.retries), "{seen:?}");
}
