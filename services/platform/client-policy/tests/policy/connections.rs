//! How connections are pooled.

use futures::future::join_all;

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
