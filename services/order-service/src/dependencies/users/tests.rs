//! Lookups of users: coalescing, deadlines, and how each response of user-service is interpreted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, join_all, select};
use httpmock::{MockServer, When};
use serde::Serialize;
use service_runtime::dependency::{Dependency, Lookups};
use service_runtime::guard::RequestScope;
use service_runtime::telemetry::{Telemetry, Traces};
use service_runtime::trace::TraceContext;
use service_testing::config_of;
use slog::Logger;
use user_client::mock::{MockServerExt, operations::UserListThen};
use user_client::reqwest::header::HeaderMap;
use user_client::samples;

use super::*;
use crate::SERVICE;

const LONG: Duration = Duration::from_secs(60);

fn lookups(url: String) -> Lookups<UserLookup> {
    let log = Logger::root(slog::Discard, slog::o!());
    let mut telemetry = Telemetry::new("test", &Traces::default(), &log).unwrap();
    let config = config_of(&SERVICE, &"sqlite:unused.db".parse().unwrap(), &[("user-service", url)]);
    let config = &config.dependencies["user-service"];
    Dependency::connect("user-service", config, MAX_RESPONSE_BYTES, &mut telemetry, &log).unwrap().lookups()
}

/// The trace of the request that looks up the user `id`.
fn trace_of(id: i64) -> TraceContext {
    TraceContext::of_request(&format!("{id:032x}"), &HeaderMap::new(), false)
}

async fn look_up(lookups: &Lookups<UserLookup>, id: i64, time: Duration) -> Result<(), LookupError> {
    let log = Logger::root(slog::Discard, slog::o!());
    let request = RequestScope { deadline: Instant::now() + time, trace: trace_of(id), log };
    lookups.get(id.try_into().unwrap(), &request).await
}

/// Looks up `ids` concurrently, so that they are coalesced.
async fn look_up_all(server: &MockServer, ids: impl IntoIterator<Item = i64>) -> Vec<Result<(), LookupError>> {
    let lookups = lookups(server.base_url());
    join_all(ids.into_iter().map(|id| look_up(&lookups, id, LONG))).await
}

/// Matches only requests in the trace of the request that looks up the user `id`.
fn in_trace(when: When, id: i64) {
    let expected = trace_of(id).headers()["traceparent"].to_str().unwrap()[..35].to_owned();
    when.header_prefix("traceparent", expected);
}

fn user(id: i64) -> types::User {
    types::User::builder().id(id).email("user@example.com").name("John Doe").try_into().unwrap()
}

fn page(ids: impl IntoIterator<Item = i64>) -> types::UserPage {
    types::UserPage { items: ids.into_iter().map(user).collect(), next_page: None }
}

#[tokio::test]
async fn a_lookup_past_its_deadline_makes_no_call() {
    let lookups = lookups("http://127.0.0.1:0".to_owned());
    assert_eq!(look_up(&lookups, 1, Duration::ZERO).await, Err(LookupError::Timeout));
    assert!(matches!(look_up(&lookups, 1, LONG).await, Err(LookupError::Unavailable(_))));
}

#[tokio::test]
async fn concurrent_lookups_share_a_request_and_missing_users_do_not() {
    let server = MockServer::start_async().await;
    let list = server.user_list(|when, then| {
        in_trace(when.ids(&"1,2,3".parse::<types::UserIds>().unwrap()).into_inner(), 1);
        then.ok(&page([1, 3]));
    });
    let alone = server.user_view(|when, then| {
        in_trace(when.user_id(&2.try_into().unwrap()).into_inner(), 2);
        then.not_found(&samples::errors::user_not_found());
    });
    let outcomes = look_up_all(&server, [3, 1, 3, 2, 1]).await;
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Err(LookupError::NotFound), Ok(())]);
    assert_eq!((list.calls(), alone.calls()), (1, 1));
}

#[tokio::test]
async fn a_lone_lookup_reads_one_user() {
    let server = MockServer::start_async().await;
    server.user_view(|when, then| {
        in_trace(when.user_id(&1.try_into().unwrap()).into_inner(), 1);
        then.ok(&user(1));
    });
    server.user_view(|_, then| {
        then.not_found(&samples::errors::user_not_found());
    });
    assert_eq!(look_up_all(&server, [1]).await, [Ok(())]);
    assert_eq!(look_up_all(&server, [7]).await, [Err(LookupError::NotFound)]);
}

#[tokio::test]
async fn a_hundred_of_the_longest_ids_fit_into_a_request() {
    let server = MockServer::start_async().await;
    let longest = UserId::MAX - 99..=UserId::MAX;
    let list = server.user_list(|_, then| {
        then.ok(&page(longest.clone()));
    });
    assert_eq!(look_up_all(&server, longest.clone()).await, vec![Ok(()); 100]);
    assert_eq!(list.calls(), 1);
}

#[tokio::test]
async fn a_list_that_proves_nothing_leads_to_single_lookups() {
    let responses: [fn(UserListThen); 6] = [
        |then| drop(then.bad_request(&samples::errors::invalid_request())),
        |then| drop(then.into_inner().status(404).body("Not Found")),
        |then| drop(then.into_inner().status(404).json_body_obj(&samples::errors::user_not_found())),
        |then| drop(then.into_inner().status(200).json_body_obj(&user(1))),
        |then| drop(then.ok(&page([]))),
        // A list that ignores the filter.
        |then| drop(then.ok(&page([8, 9]))),
    ];
    for (number, response) in responses.into_iter().enumerate() {
        let server = MockServer::start_async().await;
        let list = server.user_list(|_, then| response(then));
        let known = server.user_view(|when, then| {
            when.user_id(&1.try_into().unwrap());
            then.ok(&user(1));
        });
        server.user_view(|_, then| {
            then.not_found(&samples::errors::user_not_found());
        });
        assert_eq!(look_up_all(&server, [1, 7]).await, [Ok(()), Err(LookupError::NotFound)], "{number}");
        assert_eq!((list.calls(), known.calls()), (1, 1), "{number}");
    }
}

#[tokio::test]
async fn a_failed_list_fails_every_lookup_of_it() {
    let server = MockServer::start_async().await;
    server.user_list(|_, then| {
        then.internal_server_error(&samples::errors::internal_error());
    });
    let unavailable = Err(LookupError::Unavailable("status 500".to_owned()));
    assert_eq!(look_up_all(&server, [1, 7]).await, [unavailable.clone(), unavailable]);
}

/// Accepts a connection and reads the request on it.
fn accept_request(listener: &TcpListener) -> TcpStream {
    let (mut connection, _) = listener.accept().unwrap();
    let _ = connection.read(&mut [0; 4096]).unwrap();
    connection
}

fn respond(connection: &mut TcpStream, body: &impl Serialize) {
    let body = serde_json::to_string(body).unwrap();
    write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
}

#[tokio::test]
async fn a_hanging_request_blocks_later_lookups_only_briefly() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lookups = lookups(format!("http://{}", listener.local_addr().unwrap()));
    let (accepted, was_accepted) = tokio::sync::oneshot::channel();
    let service = std::thread::spawn(move || {
        let mut first = accept_request(&listener);
        accepted.send(()).unwrap();
        let mut second = accept_request(&listener);
        respond(&mut second, &user(2));
        // Only after the second.
        respond(&mut first, &user(1));
    });
    let second = async {
        was_accepted.await.unwrap();
        look_up(&lookups, 2, LONG).await
    };
    assert_eq!(futures::join!(look_up(&lookups, 1, LONG), second), (Ok(()), Ok(())));
    service.join().unwrap();
}

#[tokio::test]
async fn each_coalesced_lookup_keeps_its_own_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lookups = lookups(format!("http://{}", listener.local_addr().unwrap()));
    let (gave_up, may_respond) = std::sync::mpsc::channel();
    let service = std::thread::spawn(move || {
        let mut connection = accept_request(&listener);
        may_respond.recv().unwrap();
        respond(&mut connection, &page([1, 2]));
    });
    let patient = pin!(look_up(&lookups, 1, LONG));
    let hasty = pin!(look_up(&lookups, 2, Duration::from_millis(50)));
    let Either::Right((outcome, patient)) = select(patient, hasty).await else { panic!("there was a response") };
    assert_eq!(outcome, Err(LookupError::Timeout));
    gave_up.send(()).unwrap();
    assert_eq!(patient.await, Ok(()));
    service.join().unwrap();
}
