//! Tests placing an order while user-service succeeds, refuses, is down, is slow or answers what its contract forbids.
//!
//! The typed mocks of its client stand in for user-service. Responses outside the contract come from `into_inner` or a
//! raw socket.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use client_policy::Settings;
use contract::examples::Request;
use httpmock::MockServer;
use order_service::SERVICE;
use serde_json::{Value, json};
use service_runtime::config::Config;
use service_runtime::server::Server;
use service_testing::conformance::check_mock;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of, on_both_databases};
use user_client::mock::MockServerExt;
use user_client::scenarios::Scenarios;
use user_client::{error_codes, types};

/// The contract that every mocked response is checked against.
const USER_SERVICE_DOCUMENT: &str = include_str!("../../../openapi/user-service.json");

struct Running {
    server: Server,
    log: CapturedLog,
}

async fn start(database: &TestDatabase, user_service_url: &str) -> Running {
    start_with(config(database, user_service_url.to_owned())).await
}

fn config(database: &TestDatabase, user_service_url: String) -> Config {
    config_of(&SERVICE, &database.url, &[("user-service", user_service_url)])
}

/// The settings of `config` for calls to user-service.
fn user_service_in(config: &mut Config) -> &mut Settings {
    &mut config.dependencies.get_mut("user-service").unwrap().settings
}

async fn start_with(config: Config) -> Running {
    let log = CapturedLog::default();
    let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
    Running { server, log }
}

impl Running {
    /// Places an order for user 1; returns the status, the body and the `Retry-After` header.
    async fn place_order(&self) -> (u16, Value, Option<String>) {
        let url = format!("{}/api/v1/orders", self.server.url());
        let order = json!({"user_id": 1, "product_id": 456, "quantity": 2});
        let response = reqwest::Client::new().post(url).json(&order).send().await.unwrap();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), response.json().await.unwrap(), retry_after)
    }

    async fn number_of_orders(&self) -> usize {
        let page = reqwest::get(format!("{}/api/v1/orders", self.server.url())).await.unwrap();
        page.json::<Value>().await.unwrap()["items"].as_array().unwrap().len()
    }

    /// Places an order, and checks that it is refused like this and not stored.
    async fn expect_refusal(&self, status: u16, error_code: &str, case: &str) -> Value {
        let (actual, body, retry_after) = self.place_order().await;
        assert_eq!((actual, &body["error_code"]), (status, &json!(error_code)), "{case}: {body}");
        assert_eq!(retry_after.is_some(), status == 503, "{case}");
        assert_eq!(self.number_of_orders().await, 0, "{case}");
        body
    }
}

/// A URL at which nothing listens; the socket reserves the address until it is dropped.
fn closed_port() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

fn john(id: i64) -> types::User {
    types::User::builder().id(id).email("user@example.com").name("John Doe").try_into().unwrap()
}

fn error(code: impl Into<Option<&'static str>>) -> types::Error {
    types::Error {
        error_code: code.into().map(str::to_owned),
        message: "secret words of user-service".to_owned(),
        request_id: "r".to_owned(),
    }
}

on_both_databases! {
    /// Scenario of the specification: order with a valid user.
    async fn an_order_for_an_existing_user_is_created(database: TestDatabase) {
        let users = MockServer::start_async().await;
        let view = users.user_view(|when, then| {
            when.user_id(&1.try_into().unwrap());
            then.ok(&john(1));
        });
        check_users(&users).await.unwrap();
        let service = start(&database, &users.base_url()).await;
        let (status, body, _) = service.place_order().await;
        assert_eq!((status, body), (201, json!({"order_id": 1, "status": "created"})));
        // One call checks the mock, the other comes from order-service.
        view.assert_calls(2);
        let text = service.log.text();
        let created = text.lines().find(|line| line.contains("order created")).unwrap();
        let created: Value = serde_json::from_str(created).unwrap();
        assert_eq!((&created["order_id"], &created["user_id"]), (&json!(1), &json!(1)));
        assert!(created["request_id"].is_string());
    }

    /// Scenario of the specification: order with an unknown user.
    async fn an_order_for_an_unknown_user_is_refused(database: TestDatabase) {
        let users = MockServer::start_async().await;
        users.user_view(|_, then| {
            then.not_found(&error(error_codes::USER_NOT_FOUND));
        });
        check_users(&users).await.unwrap();
        let service = start(&database, &users.base_url()).await;
        let body = service.expect_refusal(404, "user_not_found", "unknown").await;
        assert_eq!(body["message"], "User not found");
    }

    /// Scenario of the specification: user-service down.
    async fn an_order_is_refused_while_user_service_is_down(database: TestDatabase) {
        let (_socket, url) = closed_port();
        let service = start(&database, &url).await;
        let body = service.expect_refusal(503, "user_service_unavailable", "refused").await;
        assert_eq!(body["message"], "User service unavailable");
    }
}

/// Checks the mock's response to reading user 1 against the contract of user-service.
async fn check_users(users: &MockServer) -> Result<(), String> {
    let request = Request { path: [("user_id".to_owned(), "1".to_owned())].into(), ..Request::default() };
    check_mock(USER_SERVICE_DOCUMENT, &users.base_url(), "user_view", &request).await
}

/// Starts an order-service with this mock of user-service, which `conforms` to the contract of user-service or not.
async fn with_users(conforms: bool, mock: impl FnOnce(&MockServer)) -> (Running, MockServer, TestDatabase) {
    let users = MockServer::start_async().await;
    mock(&users);
    let checked = check_users(&users).await;
    assert_eq!(checked.is_ok(), conforms, "{checked:?}");
    let database = TestDatabase::new(Kind::Sqlite).await;
    (start(&database, &users.base_url()).await, users, database)
}

#[tokio::test]
async fn a_failing_user_service_is_reported_as_unavailable() {
    let documented = |code| json!(error(code)).to_string();
    for (status, body, conforms) in [
        (500, documented(error_codes::INTERNAL_ERROR), true),
        (503, documented(error_codes::DATABASE_UNAVAILABLE), true),
        (429, "slow down".to_owned(), false),
        (500, "{".to_owned(), false),
        (502, "<html>Bad gateway</html>".to_owned(), false),
        (503, "<html>Service unavailable</html>".to_owned(), false),
        (504, String::new(), false),
    ] {
        let (service, _users, _database) = with_users(conforms, |users| {
            users.user_view(|_, then| {
                then.into_inner().status(status).body(&body);
            });
        })
        .await;
        service.expect_refusal(503, "user_service_unavailable", &format!("{status} {body}")).await;
    }
}

#[tokio::test]
async fn an_invalid_response_of_user_service_is_a_bad_gateway() {
    let user = json!(john(1)).to_string();
    let not_found = json!(error(error_codes::USER_NOT_FOUND)).to_string();
    let cases = [
        (200, "", "no body"),
        (200, "{", "half a body"),
        (200, "[]", "another type"),
        (200, r#"{"id": "1", "email": "a@b", "name": "A"}"#, "an id of another type"),
        (200, r#"{"id": 2, "email": "a@b", "name": "A"}"#, "another user"),
        (201, &user, "another success"),
        (204, "", "a success without a body"),
        (301, "", "a redirect"),
        (400, "", "a 400 without a body"),
        (401, "", "a 401, which is not in the contract"),
        (404, "", "a 404 without a body"),
        (404, "<html>Not found</html>", "a 404 of another server"),
        (404, r#"{"request_id": "r", "message": "Not Found"}"#, "a 404 without a code"),
        (404, r#"{"request_id": "r", "error_code": "other", "message": "m"}"#, "a 404 with another code"),
        (400, &not_found, "the code with another status"),
    ];
    for (status, body, case) in cases {
        // A schema cannot tell which user was requested.
        let conforms = case == "another user";
        let (service, _users, _database) = with_users(conforms, |users| {
            users.user_view(|_, then| {
                then.into_inner().status(status).header("content-type", "application/json").body(body);
            });
        })
        .await;
        service.expect_refusal(502, "user_service_invalid_response", case).await;
    }
}

#[tokio::test]
async fn texts_of_user_service_reach_neither_client_nor_log() {
    for status in [200, 400, 404, 500, 503] {
        let (service, _users, _database) = with_users(false, |users| {
            users.user_view(|_, then| {
                then.into_inner()
                    .status(status)
                    .json_body(json!({"id": "canary", "message": "canary", "request_id": "r"}));
            });
        })
        .await;
        let (_, body, _) = service.place_order().await;
        assert!(!body.to_string().contains("canary"), "{body}");
        assert!(!service.log.text().contains("canary"), "{}", service.log.text());
    }
}

/// A user-service that never answers: the kernel accepts connections, but no process reads them.
async fn with_silent_user_service() -> (TcpListener, TestDatabase, Config) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let database = TestDatabase::new(Kind::Sqlite).await;
    let url = format!("http://{}", silent.local_addr().unwrap());
    let config = config(&database, url);
    (silent, database, config)
}

#[tokio::test]
async fn a_silent_user_service_is_a_timeout() {
    let (_silent, _database, mut config) = with_silent_user_service().await;
    // Before the call times out, so that the last attempt's error is what is classified.
    user_service_in(&mut config).attempt_timeout = Duration::from_millis(50);
    let service = start_with(config).await;
    service.expect_refusal(503, "user_service_timeout", "silence").await;
}

#[tokio::test]
async fn deadline_exceeded_in_user_service_is_a_timeout() {
    let (service, _users, _database) = with_users(true, |users| {
        users.user_view(|_, then| {
            then.service_unavailable(&error(error_codes::DEADLINE_EXCEEDED));
        });
    })
    .await;
    service.expect_refusal(503, "user_service_timeout", "given up").await;
}

#[tokio::test]
async fn user_service_receives_the_remaining_time() {
    let (users, database) = (MockServer::start_async().await, TestDatabase::new(Kind::Sqlite).await);
    let with_deadline = users.mock(|when, then| {
        when.is_true(|request| {
            let headers = request.headers();
            let timeout = headers.get("request-timeout-ms").and_then(|value| value.to_str().ok()?.parse().ok());
            timeout.is_some_and(|milliseconds: u32| (1..=9000).contains(&milliseconds))
        });
        then.status(200).json_body(json!(john(1)));
    });
    let service = start(&database, &users.base_url()).await;
    let order = json!({"user_id": 1, "product_id": 456, "quantity": 2});
    let request = reqwest::Client::new().post(format!("{}/api/v1/orders", service.server.url())).json(&order);
    assert_eq!(request.header("request-timeout-ms", "9000").send().await.unwrap().status(), 201);
    with_deadline.assert_calls(1);
}

/// The URL of a server that answers the first request on each connection with `bytes` and closes it.
fn raw_server(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(bytes);
        }
    });
    url
}

async fn with_raw_user_service(bytes: &'static [u8]) -> (Running, TestDatabase) {
    let database = TestDatabase::new(Kind::Sqlite).await;
    (start(&database, &raw_server(bytes)).await, database)
}

#[tokio::test]
async fn a_broken_connection_to_user_service_is_unavailable() {
    for (bytes, case) in [
        (&b""[..], "closed without a response"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": 1", "a success cut off"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\n{\"id\": 1", "a failure cut off"),
    ] {
        let (service, _database) = with_raw_user_service(bytes).await;
        service.expect_refusal(503, "user_service_unavailable", case).await;
    }
}

#[tokio::test]
async fn a_malformed_response_of_user_service_is_a_bad_gateway() {
    for (bytes, case) in [
        (&b"nonsense\r\n\r\n"[..], "not HTTP"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n{\"id\": 1", "a 404 cut off"),
    ] {
        let (service, _database) = with_raw_user_service(bytes).await;
        service.expect_refusal(502, "user_service_invalid_response", case).await;
    }
}

#[tokio::test]
async fn an_endless_response_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"id\": 1, \"name\": \"");
        // Writes until order-service closes the connection.
        while connection.write_all(&[b'n'; 64 * 1024]).is_ok() {}
    });
    let database = TestDatabase::new(Kind::Sqlite).await;
    start(&database, &url).await.expect_refusal(502, "user_service_invalid_response", "endless").await;
}

/// The level and message of each log line about the dependency itself.
fn circuit_events(log: &CapturedLog) -> Vec<(Value, Value)> {
    let lines: Vec<Value> = log.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = lines.iter().filter(|line| line["dependency"] == "user-service");
    events.map(|line| (line["level"].clone(), line["message"].clone())).collect()
}

#[tokio::test]
async fn the_circuit_opens_on_failures_and_closes_on_recovery() {
    let users = MockServer::start_async().await;
    let mut down = users.down();
    let database = TestDatabase::new(Kind::Sqlite).await;
    let service = start(&database, &users.base_url()).await;
    for _ in 0..30 {
        service.expect_refusal(503, "user_service_unavailable", "failing").await;
    }
    assert!((10..20).contains(&down.calls()), "{}", down.calls());
    assert_eq!(circuit_events(&service.log), [(json!("WARNING"), json!("circuit opened"))]);

    down.delete();
    users.user_view(|_, then| {
        then.ok(&john(1));
    });
    let recovered = async { while service.place_order().await.0 != 201 {} };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.unwrap();
    assert_eq!(circuit_events(&service.log)[1..], [(json!("INFO"), json!("circuit closed"))]);
}

#[tokio::test]
async fn the_circuit_opens_on_timeouts_however_short() {
    let (_silent, _database, mut config) = with_silent_user_service().await;
    user_service_in(&mut config).timeout = Duration::from_millis(50);
    let service = start_with(config).await;
    for number in 0.. {
        if !circuit_events(&service.log).is_empty() {
            break;
        }
        assert!(number < 100, "the circuit stays closed");
        assert_eq!(service.place_order().await.0, 503);
    }
    assert_eq!(circuit_events(&service.log), [(json!("WARNING"), json!("circuit opened"))]);
}

#[tokio::test]
async fn calls_to_a_silent_user_service_are_limited() {
    let (silent, _database, mut config) = with_silent_user_service().await;
    user_service_in(&mut config).concurrency = 1;
    let service = start_with(config).await;
    let second = async {
        // The call for the first order has reached user-service.
        let _connection = tokio::task::spawn_blocking(move || silent.accept()).await.unwrap().unwrap();
        service.place_order().await
    };
    let (status, body, _) = tokio::select! {
        response = service.place_order() => response,
        response = second => response,
    };
    assert_eq!((status, &body["error_code"]), (503, &json!("user_service_unavailable")));
}
