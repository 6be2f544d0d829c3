//! Time limits, deadlines, the bulkhead and the limit on answers.

use std::time::Duration;

use client_policy::{CONCURRENCY_WAIT, Refusal, Settings};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::client::{Client, End, SECOND, always};
use crate::upstream::{Reply, Upstream, answer, item};

#[tokio::test(start_paused = true)]
async fn attempts_and_calls_end_within_their_limits() {
    let (upstream, client) = always(Reply::Silence).await;
    let start = Instant::now();
    assert_eq!(client.read().await, End::TimedOut);
    let took = start.elapsed().as_millis();
    // Three attempts, and two waits of at most 25 and 50 ms.
    assert!((1200..1300).contains(&took), "{took}");
    assert_eq!(upstream.requests(), 3);

    let settings = Settings { attempt_timeout: SECOND * 3 / 2, ..Settings::default() };
    let client = Client::connect(&upstream.url, settings);
    let start = Instant::now();
    assert_eq!(client.read().await, End::TimedOut);
    let took = start.elapsed().as_millis();
    assert!((2000..2010).contains(&took), "{took}");
    assert_eq!(upstream.requests(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_is_met_and_passed_on() {
    let (upstream, client) = always(Reply::Silence).await;
    let start = Instant::now();
    let short = client.until(start + SECOND / 4);
    assert_eq!(short.read().await, End::TimedOut);
    let took = start.elapsed().as_millis();
    assert!((250..260).contains(&took), "{took}");
    assert_eq!(upstream.header("request-timeout-ms"), ["250"]);

    assert_eq!(client.until(Instant::now() + SECOND * 9).read().await, End::TimedOut);
    assert_eq!(upstream.header("request-timeout-ms")[1..], ["400", "400", "400"]);

    // Also without a policy, where the only other limit is 5 seconds.
    let plain = Client::plain(&upstream.url).until(Instant::now() + SECOND / 2);
    assert_eq!(plain.read().await, End::TimedOut);
    assert_eq!(upstream.header("request-timeout-ms")[4..], ["500"]);
    assert_eq!(plain.snapshot(), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_remaining_time_makes_no_attempt() {
    let (upstream, client) = always(item()).await;
    for client in [client, Client::plain(&upstream.url)] {
        let late = client.until(Instant::now());
        assert_eq!(late.read().await, End::Refused(Refusal::DeadlinePassed));
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_above_the_concurrency_limit_wait_and_are_refused() {
    let upstream = Upstream::start(|number| if number <= 2 { Reply::Silence } else { item() }).await;
    let settings = Settings { concurrency: 2, ..Settings::default() };
    let client = Client::connect(&upstream.url, settings);
    let start = Instant::now();
    let calls = join_all((0..10).map(async |_| (client.create().await, start.elapsed().as_millis())));
    let watch = async {
        sleep(CONCURRENCY_WAIT + Duration::from_millis(100)).await;
        client.snapshot().unwrap()
    };
    let (ends, seen) = tokio::join!(calls, watch);
    assert_eq!((seen.in_flight, seen.shed, seen.attempts), (2, 8, 2));
    let refused: Vec<_> = ends.iter().filter(|(end, _)| *end == End::Refused(Refusal::TooManyCalls)).collect();
    assert_eq!(refused.len(), 8);
    assert!(refused.iter().all(|(_, took)| (250..260).contains(took)), "{ends:?}");

    // The permits are free again, and a waiting call gets one.
    assert_eq!(client.snapshot().unwrap().in_flight, 0);
    assert!(join_all((0..10).map(|_| client.read())).await.iter().all(|end| *end == End::Item));
}

#[tokio::test(start_paused = true)]
async fn answers_are_read_up_to_their_limit() {
    let long = format!(r#"{{"id": 1, "email": "user@example.com", "name": "John Doe"}}{}"#, " ".repeat(1000));
    let upstream = Upstream::start(move |number| match number {
        1 | 2 => answer(200, "", &long),
        _ => Reply::Endless,
    })
    .await;
    let client =
        |max_response_bytes| Client::connect(&upstream.url, Settings { max_response_bytes, ..Settings::default() });
    assert_eq!(client(1058).read().await, End::Item);
    assert_eq!(client(50).read().await, End::Unreadable);
    assert_eq!(client(1058).read().await, End::Unreadable);
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn redirects_are_not_followed() {
    let elsewhere = Upstream::start(|_| item()).await;
    let (_, client) = always(answer(302, &format!("location: {}/\r\n", elsewhere.url), "")).await;
    assert_eq!(client.read().await, End::Status(302));
    assert_eq!(elsewhere.requests(), 0);
}
