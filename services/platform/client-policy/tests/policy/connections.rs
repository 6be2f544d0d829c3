//! How connections are pooled, and what happens to requests that meet a dead one.

use client_policy::Circuit;
use futures::future::join_all;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::client::{End, always, connect};
use crate::upstream::{Reply, Upstream, item};

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_closed_by_the_peer_fails_no_safe_request() {
    for (call_is_safe, expected) in [(true, End::Item), (false, End::Lost)] {
        // The second request arrives on the connection of the first, which the service then closes.
        let upstream = Upstream::start(|number| if number == 2 { Reply::Close } else { item() }).await;
        let client = connect(&upstream);
        assert_eq!(client.read().await, End::Item);
        let actual = if call_is_safe { client.read().await } else { client.create().await };
        assert_eq!(actual, expected);
        assert_eq!(upstream.requests(), if call_is_safe { 3 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn dead_connections_use_no_retry_and_open_no_circuit() {
    // The service closes each connection under its second request. The request that is sent again has its own
    // connection.
    let upstream = Upstream::start(|number| if number % 3 == 2 { Reply::Close } else { item() }).await;
    let client = connect(&upstream);
    for _ in 0..200 {
        assert_eq!(client.read().await, End::Item);
    }
    let seen = client.snapshot().unwrap();
    assert_eq!((seen.calls, seen.attempts, seen.retries, seen.circuit), (200, 300, 100, Circuit::Closed));
    assert_eq!((upstream.requests(), upstream.connections()), (300, 200));
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_sent_again_only_with_an_idempotency_key() {
    let upstream = Upstream::start(|number| if number % 3 == 2 { Reply::Close } else { item() }).await;
    let key = (HeaderName::from_static("idempotency-key"), HeaderValue::from_static("k"));
    let client = connect(&upstream).traced(HeaderMap::from_iter([key]));
    assert_eq!(client.create().await, End::Item);
    assert_eq!(client.create().await, End::Item);
    assert_eq!(upstream.header("idempotency-key"), ["k", "k", "k"]);
    // Nothing else about it is retried.
    let (upstream, client) = always(Reply::Close).await;
    let key = (HeaderName::from_static("idempotency-key"), HeaderValue::from_static("k"));
    assert_eq!(client.traced(HeaderMap::from_iter([key])).create().await, End::Lost);
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn sequential_calls_share_a_connection() {
    let (upstream, client) = always(item()).await;
    for _ in 0..3 {
        assert_eq!(client.read().await, End::Item);
        assert_eq!(client.replace().await, End::Item);
    }
    assert_eq!((upstream.requests(), upstream.connections()), (6, 1));
    // Two concurrent calls need two.
    assert_eq!(join_all([client.read(), client.read()]).await, [End::Item; 2]);
    assert_eq!(upstream.connections(), 2);
}
