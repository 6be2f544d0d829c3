//! Each rule of the policy, against a service over real sockets. The clock is paused: it moves by itself when everybody
//! waits, so that limits are met exactly and no test takes long.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod upstream;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, advance, sleep};
use upstream::{Reply, Upstream, answer, status, user};
use user_client::policy::{CONCURRENCY_WAIT, Circuit, IDLE_CONNECTION, Refusal, Settings};
use user_client::{Client, ClientInfo as _, Error, types};

const SECOND: Duration = Duration::from_secs(1);

/// How a call ended, in short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    User,
    Status(u16),
    Refused(Refusal),
    TimedOut,
    Lost,
    Unreadable,
}

fn end<T>(result: Result<T, Error<types::Error>>) -> End {
    match result {
        Ok(_) => End::User,
        Err(error) => match (Refusal::of(&error), error.status()) {
            (Some(refusal), _) => End::Refused(refusal),
            (_, Some(status)) => End::Status(status.as_u16()),
            _ => match error {
                Error::InvalidResponsePayload(..) => End::Unreadable,
                Error::CommunicationError(error) if error.is_timeout() => End::TimedOut,
                Error::CommunicationError(_) => End::Lost,
                other => panic!("{other:?}"),
            },
        },
    }
}

async fn read(client: &Client) -> End {
    end(client.user_view().user_id(1).send().await)
}

async fn create(client: &Client) -> End {
    end(client.user_create().body_map(|body| body.email("user@example.com").name("John Doe")).send().await)
}

async fn replace(client: &Client) -> End {
    let body = client.user_replace().user_id(1).body_map(|body| body.email("user@example.com").name("John Doe"));
    end(body.send().await)
}

fn connect(upstream: &Upstream) -> Client {
    Client::connect(&upstream.url, Settings::default()).unwrap()
}

/// A service that does the same with every request, and a client of it.
async fn always(reply: Reply) -> (Upstream, Client) {
    let upstream = Upstream::start(move |_| reply.clone()).await;
    let client = connect(&upstream);
    (upstream, client)
}

/// A service that does something else with its first request than with all others, and a client of it.
async fn first(reply: Reply, then: Reply) -> (Upstream, Client) {
    let upstream = Upstream::start(move |number| if number == 1 { reply.clone() } else { then.clone() }).await;
    let client = connect(&upstream);
    (upstream, client)
}

#[tokio::test(start_paused = true)]
async fn safe_requests_get_three_attempts_and_all_others_one() {
    let (upstream, client) = always(status(503)).await;
    assert_eq!(read(&client).await, End::Status(503));
    assert_eq!(upstream.requests(), 3);
    let (upstream, client) = always(status(503)).await;
    let email = types::EmailAddress::try_from("user@example.com").unwrap();
    assert_eq!(end(client.user_list().email(email).send().await), End::Status(503));
    assert_eq!(upstream.requests(), 3);

    let (upstream, client) = always(status(503)).await;
    assert_eq!(create(&client).await, End::Status(503));
    assert_eq!(upstream.requests(), 1);
    assert_eq!(replace(&client).await, End::Status(503));
    assert_eq!(upstream.requests(), 2);
    assert_eq!(end(client.user_delete().user_id(1).send().await), End::Status(503));
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again() {
    for reply in [status(429), status(502), status(503), status(504), Reply::Close, Reply::Silence] {
        let (upstream, client) = first(reply, user()).await;
        assert_eq!(read(&client).await, End::User);
        assert_eq!(upstream.requests(), 2);
        let seen = client.snapshot().unwrap();
        assert_eq!((seen.calls, seen.attempts, seen.retries), (1, 2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_will_not_pass_is_not_tried_again() {
    for (reply, expected) in [
        (status(500), End::Status(500)),
        (status(400), End::Status(400)),
        (status(404), End::Status(404)),
        (answer(200, "", "{"), End::Unreadable),
        (Reply::Bytes("nonsense\r\n\r\n".to_owned()), End::Lost),
    ] {
        let (upstream, client) = first(reply, user()).await;
        assert_eq!(read(&client).await, expected);
        assert_eq!(upstream.requests(), 1, "{expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_that_has_just_been_closed_fails_no_safe_request() {
    for (call_is_safe, expected) in [(true, End::User), (false, End::Lost)] {
        // The second request comes on the connection of the first, and finds it closed.
        let upstream = Upstream::start(|number| if number == 2 { Reply::Close } else { user() }).await;
        let client = connect(&upstream);
        assert_eq!(read(&client).await, End::User);
        let actual = if call_is_safe { read(&client).await } else { create(&client).await };
        assert_eq!(actual, expected);
        assert_eq!(upstream.requests(), if call_is_safe { 3 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_after_another_takes_the_same_connection_until_it_has_rested_too_long() {
    let (upstream, client) = always(user()).await;
    for _ in 0..3 {
        assert_eq!(read(&client).await, End::User);
        assert_eq!(replace(&client).await, End::User);
        advance(IDLE_CONNECTION - Duration::from_millis(1)).await;
    }
    assert_eq!((upstream.requests(), upstream.connections()), (6, 1));
    advance(Duration::from_millis(1)).await;
    assert_eq!(read(&client).await, End::User);
    assert_eq!(upstream.connections(), 2);
    // Two at a time need two.
    assert_eq!(join_all([read(&client), read(&client)]).await, [End::User; 2]);
    assert_eq!(upstream.connections(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_service_has_closed_fails_no_request_at_all() {
    let Reply::Bytes(user) = user() else { unreachable!() };
    let (upstream, client) = always(Reply::Last(user)).await;
    for _ in 0..3 {
        // Never tried again: it must not have gone to a closed connection.
        assert_eq!(replace(&client).await, End::User);
        sleep(SECOND).await;
    }
    assert_eq!((upstream.requests(), upstream.connections()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_request_says_what_it_wants_and_of_whom() {
    let (upstream, _) = always(user()).await;
    let client = Client::connect(&format!("{}/below", upstream.url), Settings::default()).unwrap();
    assert_eq!(end(client.user_list().page_token("a b").send().await), End::Unreadable);
    assert_eq!(upstream.request_lines(), ["get /below/api/v1/users?page_token=a+b http/1.1"]);
    assert_eq!(upstream.header("host"), [upstream.url.strip_prefix("http://").unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_lent_to_another_client_leaves_it_its_own_service() {
    let (upstream, client) = always(user()).await;
    let (other, _) = always(user()).await;
    let borrower = Client::new_with_client(&other.url, user_client::reqwest::Client::new(), client.inner().clone());
    assert_eq!(read(&borrower).await, End::User);
    assert_eq!((upstream.requests(), other.requests()), (0, 1));
    assert_eq!(client.snapshot().unwrap().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_away_is_told_from_one_that_is_slow() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::connect(&url, Settings::default()).unwrap();
    let Err(Error::CommunicationError(error)) = client.user_view().user_id(1).send().await else { panic!() };
    assert!(!error.is_timeout());
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let refused = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(error.url().map(|url| url.path()), Some("/api/v1/users/1"));
}

#[tokio::test(start_paused = true)]
async fn attempts_and_calls_end_in_their_time() {
    let (upstream, client) = always(Reply::Silence).await;
    let start = Instant::now();
    assert_eq!(read(&client).await, End::TimedOut);
    let took = start.elapsed().as_millis();
    // Three attempts, and two waits of at most 25 and 50 ms.
    assert!((1200..1300).contains(&took), "{took}");
    assert_eq!(upstream.requests(), 3);

    let settings = Settings { attempt_timeout: SECOND * 3 / 2, ..Settings::default() };
    let client = Client::connect(&upstream.url, settings).unwrap();
    let start = Instant::now();
    assert_eq!(read(&client).await, End::TimedOut);
    let took = start.elapsed().as_millis();
    assert!((2000..2010).contains(&took), "{took}");
    assert_eq!(upstream.requests(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_is_kept_and_passed_on() {
    let (upstream, client) = always(Reply::Silence).await;
    let start = Instant::now();
    let hurried = client.until((start + SECOND / 4).into_std());
    assert_eq!(read(&hurried).await, End::TimedOut);
    let took = start.elapsed().as_millis();
    assert!((250..260).contains(&took), "{took}");
    assert_eq!(upstream.header("request-timeout-ms"), ["250"]);

    assert_eq!(read(&client.until((Instant::now() + SECOND * 9).into_std())).await, End::TimedOut);
    assert_eq!(upstream.header("request-timeout-ms")[1..], ["400", "400", "400"]);

    // In a plain client too, which has no other limit than 5 seconds.
    let plain = Client::plain(&upstream.url).until((Instant::now() + SECOND / 2).into_std());
    assert_eq!(read(&plain).await, End::TimedOut);
    assert_eq!(upstream.header("request-timeout-ms")[4..], ["500"]);
    assert_eq!(plain.snapshot(), None);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_of_a_traced_call_carries_its_trace() {
    let (upstream, client) = first(status(503), user()).await;
    let trace = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "a=1")];
    let headers: reqwest::header::HeaderMap =
        trace.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    assert_eq!(read(&client.traced(headers).until((Instant::now() + SECOND).into_std())).await, End::User);
    assert_eq!(read(&client).await, End::User);
    for (name, value) in trace {
        assert_eq!(upstream.header(name), [value, value, ""]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_time_is_refused_without_an_attempt() {
    let (upstream, client) = always(user()).await;
    for client in [client, Client::plain(&upstream.url)] {
        let late = client.until(Instant::now().into_std());
        assert_eq!(read(&late).await, End::Refused(Refusal::DeadlinePassed));
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_if_it_fits_into_the_time_left() {
    let (_, client) = first(answer(503, "retry-after: 1\r\n", ""), user()).await;
    let start = Instant::now();
    assert_eq!(read(&client).await, End::User);
    let took = start.elapsed().as_millis();
    assert!((1000..1030).contains(&took), "{took}");

    for value in ["2", "Fri, 20 Nov 2026 12:00:00 GMT"] {
        let (upstream, client) = first(answer(503, &format!("retry-after: {value}\r\n"), ""), user()).await;
        let start = Instant::now();
        assert_eq!(read(&client).await, End::Status(503));
        assert_eq!((upstream.requests(), start.elapsed().as_secs()), (1, 0), "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn steady_failure_costs_at_most_a_tenth_more_requests() {
    let (upstream, client) = always(status(503)).await;
    let calls = 1000;
    for _ in 0..calls {
        assert_ne!(read(&client).await, End::User);
        advance(Duration::from_millis(10)).await;
    }
    assert!(upstream.requests() <= calls * 11 / 10, "{}", upstream.requests());
    assert_eq!(client.snapshot().unwrap().calls, 1000);
}

#[tokio::test(start_paused = true)]
async fn neither_does_failure_that_leaves_the_circuit_closed() {
    // Two of five requests fail.
    let upstream = Upstream::start(|number| if number % 5 < 2 { status(503) } else { user() }).await;
    let client = connect(&upstream);
    for _ in 0..2000 {
        read(&client).await;
        advance(Duration::from_millis(10)).await;
    }
    let seen = client.snapshot().unwrap();
    assert_eq!((seen.calls, seen.circuit, seen.attempts), (2000, Circuit::Closed, upstream.requests() as u64));
    assert!((190..=210).contains(&seen.retries), "{seen:?}");
}

/// A client whose circuit has just opened, and what its observer is told.
async fn failing(upstream: &Upstream) -> (Client, Arc<Mutex<Vec<Circuit>>>) {
    let changes = Arc::<Mutex<Vec<Circuit>>>::default();
    let told = changes.clone();
    let observer = move |circuit| told.lock().unwrap().push(circuit);
    let client = Client::connect_observed(&upstream.url, Settings::default(), observer).unwrap();
    for _ in 0..10 {
        assert_eq!(changes.lock().unwrap().len(), 0);
        create(&client).await;
    }
    assert_eq!(*changes.lock().unwrap(), [Circuit::Open]);
    assert_eq!(upstream.requests(), 10);
    (client, changes)
}

#[tokio::test(start_paused = true)]
async fn after_ten_failures_one_attempt_a_second_is_made_until_one_succeeds() {
    for reply in [status(500), status(503), status(429), Reply::Close, Reply::Silence] {
        let upstream = Upstream::start(move |number| if number <= 12 { reply.clone() } else { user() }).await;
        let (client, changes) = failing(&upstream).await;
        for probes in 0..=2 {
            let ends = join_all((0..50).map(|_| read(&client))).await;
            let refused = ends.iter().filter(|end| **end == End::Refused(Refusal::CircuitOpen)).count();
            assert_eq!((refused, upstream.requests()), (50 - probes.min(1), 10 + probes));
            sleep(SECOND).await;
        }
        assert_eq!(client.snapshot().unwrap().short_circuited, 50 + 49 + 49);
        assert_eq!(read(&client).await, End::User);
        assert_eq!(*changes.lock().unwrap(), [Circuit::Open, Circuit::Closed]);
        assert!(join_all((0..50).map(|_| read(&client))).await.iter().all(|end| *end == End::User));
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_is_followed_by_another() {
    let upstream = Upstream::start(|number| match number {
        ..=10 => status(503),
        11 => Reply::Silence,
        _ => user(),
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
        end = read(&client) => panic!("{end:?}"),
        () = arrival => (),
    }
    assert_eq!(client.snapshot().unwrap().in_flight, 0);
    assert_eq!(read(&client).await, End::Refused(Refusal::CircuitOpen));
    sleep(SECOND).await;
    assert_eq!(read(&client).await, End::User);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_the_request_are_no_failure_of_the_service() {
    let (upstream, client) = always(status(404)).await;
    for _ in 0..100 {
        assert_eq!(read(&client).await, End::Status(404));
    }
    assert_eq!((upstream.requests(), client.snapshot().unwrap().circuit), (100, Circuit::Closed));
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_do_not_open_the_circuit_for_all() {
    let (_, client) = always(Reply::Silence).await;
    for _ in 0..100 {
        let hurried = client.until((Instant::now() + Duration::from_millis(199)).into_std());
        assert_eq!(read(&hurried).await, End::TimedOut);
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Closed);
    for _ in 0..10 {
        read(&client.until((Instant::now() + Duration::from_millis(201)).into_std())).await;
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Open);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_gives_up_because_its_caller_hurries_has_not_failed() {
    let Reply::Bytes(given_up) = status(503) else { panic!("an answer") };
    let hurried = |client: &Client| client.until((Instant::now() + Duration::from_millis(199)).into_std());
    let (_, client) = always(Reply::Late(Duration::from_millis(198), given_up)).await;
    for _ in 0..100 {
        read(&hurried(&client)).await;
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Closed);
    // What refuses at once has failed, however little time there was.
    let (_, client) = always(status(503)).await;
    for _ in 0..10 {
        read(&hurried(&client)).await;
    }
    assert_eq!(client.snapshot().unwrap().circuit, Circuit::Open);
}

#[tokio::test(start_paused = true)]
async fn more_calls_at_a_time_than_allowed_wait_shortly_and_are_refused() {
    let upstream = Upstream::start(|number| if number <= 2 { Reply::Silence } else { user() }).await;
    let settings = Settings { concurrency: 2, ..Settings::default() };
    let client = Client::connect(&upstream.url, settings).unwrap();
    let start = Instant::now();
    let calls = join_all((0..10).map(async |_| (create(&client).await, start.elapsed().as_millis())));
    let watch = async {
        sleep(CONCURRENCY_WAIT * 2).await;
        client.snapshot().unwrap()
    };
    let (ends, seen) = tokio::join!(calls, watch);
    assert_eq!((seen.in_flight, seen.shed, seen.attempts), (2, 8, 2));
    let refused: Vec<_> = ends.iter().filter(|(end, _)| *end == End::Refused(Refusal::TooManyCalls)).collect();
    assert_eq!(refused.len(), 8);
    assert!(refused.iter().all(|(_, took)| (50..60).contains(took)), "{ends:?}");

    // The places are free again; and who waits gets one.
    assert_eq!(client.snapshot().unwrap().in_flight, 0);
    assert!(join_all((0..10).map(|_| read(&client))).await.iter().all(|end| *end == End::User));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_refuses_without_waiting_for_a_place() {
    let upstream = Upstream::start(|number| if number <= 10 { status(503) } else { Reply::Silence }).await;
    let client = Client::connect(&upstream.url, Settings { concurrency: 1, ..Settings::default() }).unwrap();
    for _ in 0..10 {
        create(&client).await;
    }
    sleep(SECOND).await;
    let start = Instant::now();
    let probe = create(&client);
    let other = async { (create(&client).await, start.elapsed()) };
    let (probe, other) = tokio::join!(probe, other);
    assert_eq!((probe, other), (End::TimedOut, (End::Refused(Refusal::CircuitOpen), Duration::ZERO)));
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
        |longest_answer| Client::connect(&upstream.url, Settings { longest_answer, ..Settings::default() }).unwrap();
    assert_eq!(read(&client(1058)).await, End::User);
    assert_eq!(read(&client(50)).await, End::Unreadable);
    assert_eq!(read(&client(1058)).await, End::Unreadable);
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn redirects_are_not_followed() {
    let elsewhere = Upstream::start(|_| user()).await;
    let (_, client) = always(answer(302, &format!("location: {}/\r\n", elsewhere.url), "")).await;
    assert_eq!(read(&client).await, End::Status(302));
    assert_eq!(elsewhere.requests(), 0);
}
