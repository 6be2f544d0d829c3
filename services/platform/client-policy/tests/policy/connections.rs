//! How connections are pooled and where requests go.

use client_policy::Settings;
use futures::future::join_all;
use reqwest::Method;
use tokio::time::sleep;

use crate::client::{Client, End, SECOND, always, connect};
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

#[tokio::test(start_paused = true)]
async fn a_connection_closed_earlier_fails_no_request() {
    let Reply::Bytes(item) = item() else { unreachable!() };
    let (upstream, client) = always(Reply::Last(item)).await;
    for _ in 0..3 {
        // Never retried: it must not meet a closed connection.
        assert_eq!(client.replace().await, End::Item);
        sleep(SECOND).await;
    }
    assert_eq!((upstream.requests(), upstream.connections()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_request_has_the_path_the_query_and_the_host() {
    let (upstream, _) = always(item()).await;
    let client = Client::connect(&format!("{}/below", upstream.url), Settings::default());
    assert_eq!(client.call(Method::GET, "/items?page_token=a+b").await, End::Item);
    assert_eq!(upstream.request_lines(), ["get /below/items?page_token=a+b http/1.1"]);
    assert_eq!(upstream.header("host"), [upstream.url.strip_prefix("http://").unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn a_shared_policy_does_not_redirect_another_client() {
    let (upstream, client) = always(item()).await;
    let (other, _) = always(item()).await;
    let borrower = client.lend_policy(&other.url);
    assert_eq!(borrower.read().await, End::Item);
    assert_eq!((upstream.requests(), other.requests()), (0, 1));
    assert_eq!(client.snapshot().unwrap().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_differs_from_a_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::connect(&url, Settings::default());
    let error = client.send(Method::GET, "/items/1").await.unwrap_err();
    assert!(!error.is_timeout());
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let refused = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(error.url().map(|url| url.path()), Some("/items/1"));
}
