//! When the circuit opens and closes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_policy::{Circuit, Refusal, Settings};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::client::{Client, End, SECOND, always};
use crate::upstream::{Reply, Upstream, item, status};

/// A client whose circuit has just opened, and the states that its observer received.
async fn failing(upstream: &Upstream) -> (Client, Arc<Mutex<Vec<Circuit>>>) {
    let changes = Arc::<Mutex<Vec<Circuit>>>::default();
    let observed = changes.clone();
    let observer = move |circuit| observed.lock().unwrap().push(circuit);
    let client = Client::connect_observed(&upstream.url, Settings::default(), observer);
    for _ in 0..10 {
        assert_eq!(changes.lock().unwrap().len(), 0);
        client.create().await;
    }
    assert_eq!(*changes.lock().unwrap(), [Circuit::Open]);
    assert_eq!(upstream.requests(), 10);
    (client, changes)
}

#[tokio::test(start_paused = true)]
async fn after_ten_failures_one_probe_a_second_is_sent() {
    for reply in [status(500), status(503), status(429), Reply::Close, Reply::Silence] {
        let upstream = Upstream::start(move |number| if number <= 12 { reply.clone() } else { item() }).await;
        let (client, changes) = failing(&upstream).await;
        for probes in 0..=2 {
            let ends = join_all((0..50).map(|_| client.create())).await;
            let refused = ends.iter().filter(|end| **end == End::Refused(Refusal::CircuitOpen)).count();
            assert_eq!((refused, upstream.requests()), (50 - probes.min(1), 10 + probes));
            sleep(SECOND).await;
        }
        assert_eq!(client.snapshot().unwrap().short_circuited, 50 + 49 + 49);
        assert_eq!(client.read().await, End::Item);
        assert_eq!(*changes.lock().unwrap(), [Circuit::Open, Circuit::Closed]);
        assert!(join_all((0..50).map(|_| client.read())).await.iter().all(|end| *end == End::Item));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_is_followed_by_another() {
    let upstream = Upstream::start(|number| match number {
        ..=10 => status(503),
        11 => Reply::Silence,
        _ => item(),
    })
    .await;
    let (client, _) = failing(&upstream).await;
    sleep(SECOND).await;
    let arrival = async {
        while upstream.requests() == 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        end = client.read() => panic!("{end:?}"),
        () = arrival => (),
    }
    assert_eq!(client.snapshot().unwrap().in_flight, 0);
    assert_eq!(client.read().await, End::Refused(Refusal::CircuitOpen));
    sleep(SECOND).await;
    assert_eq!(client.read().await, End::Item);
}

#[tokio::test(start_paused = true)]
async fn client_errors_are_no_failure_of_the_service() {
    let (upstream, client) = always(status(404)).await;
    for _ in 0..100 {
        assert_eq!(client.read().await, End::Status(404));
    }
    assert_eq!((upstream.requests(), client.snapshot().unwrap().circuit), (100, Circuit::Closed));
}

#[tokio::test(start_paused = true)]
async fn short_deadlines_do_not_open_the_circuit() {
    // Just less than the attempt timeout.
    let (_, client) = always(Reply::Silence).await;
    for _ in 0..100 {
        let short = client.until(Instant::now() + Duration::from_millis(399));
        assert_eq!(short.read().await, End::TimedOut);
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Closed);
    for _ in 0..10 {
        client.until(Instant::now() + Duration::from_millis(401)).read().await;
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Open);
}

#[tokio::test(start_paused = true)]
async fn the_clients_own_time_limits_open_the_circuit() {
    let upstream = Upstream::start(|_| Reply::Silence).await;
    let limits = Settings { attempt_timeout: SECOND, timeout: SECOND, ..Settings::default() };
    let client = Client::connect(&upstream.url, limits);
    for _ in 0..10 {
        assert_eq!(client.until(Instant::now() + SECOND * 10).read().await, End::TimedOut);
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Open);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_meets_a_short_deadline_has_not_failed() {
    let Reply::Bytes(timed_out) = status(503) else { panic!("an answer") };
    let short = |client: &Client| client.until(Instant::now() + Duration::from_millis(199));
    let (_, client) = always(Reply::Late(Duration::from_millis(198), timed_out)).await;
    for _ in 0..100 {
        short(&client).read().await;
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Closed);
    // An immediate refusal is a failure, however short the deadline.
    let (_, client) = always(status(503)).await;
    for _ in 0..10 {
        short(&client).read().await;
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Open);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_without_waiting_for_a_permit() {
    let upstream = Upstream::start(|number| if number <= 10 { status(503) } else { Reply::Silence }).await;
    let client = Client::connect(&upstream.url, Settings { concurrency: 1, ..Settings::default() });
    for _ in 0..10 {
        client.create().await;
    }
    sleep(SECOND).await;
    let start = Instant::now();
    let probe = client.create();
    let other = async { (client.create().await, start.elapsed()) };
    let (probe, other) = tokio::join!(probe, other);
    assert_eq!((probe, other), (End::TimedOut, (End::Refused(Refusal::CircuitOpen), Duration::ZERO)));
}
