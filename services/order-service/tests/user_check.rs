//! Placing an order when user-service says yes, says no, is away, is slow, or talks nonsense.
//!
//! user-service is played by the typed mocks of its client; what no contract allows is said by `into_inner`, or by
//! a socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use contract::examples::Request;
use httpmock::MockServer;
use order_service::{Config, DOCUMENT};
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::honesty::judge_mock;
use service_testing::{CapturedLog, Kind, TestDatabase, on_both_databases};
use user_client::mock::MockServerExt;
use user_client::scenarios::Scenarios;
use user_client::{error_codes, types};

/// The contract that every mocked answer is judged by.
const USER_SERVICE_DOCUMENT: &str = include_str!("../../../openapi/user-service.json");

struct Running {
    server: Server,
    log: CapturedLog,
}

async fn start(database: &TestDatabase, user_service_url: &str) -> Running {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), database.url.clone(), user_service_url.to_owned());
    // A loaded machine is no case of this test.
    config.user_service_attempt_timeout_ms = 60_000;
    config.user_service_timeout_ms = 60_000;
    start_with(config).await
}

async fn start_with(config: Config) -> Running {
    let log = CapturedLog::default();
    let server = order_service::start(&config, &log.logger(&[DOCUMENT])).await.unwrap();
    Running { server, log }
}

impl Running {
    /// Places an order for user 1; gives the status, the body, and the `Retry-After` header.
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

    /// Places an order and expects this refusal, and that nothing was stored.
    async fn is_refused(&self, status: u16, error_code: &str, case: &str) -> Value {
        let (actual, body, retry_after) = self.place_order().await;
        assert_eq!((actual, &body["error_code"]), (status, &json!(error_code)), "{case}: {body}");
        assert_eq!(retry_after.is_some(), status == 503, "{case}");
        assert_eq!(self.number_of_orders().await, 0, "{case}");
        body
    }
}

/// An address at which nobody listens, kept from others until it is dropped.
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
    /// Scenario of the founding documents: order with a valid user.
    async fn order_with_a_valid_user(database: TestDatabase) {
        let users = MockServer::start_async().await;
        let view = users.user_view(|when, then| {
            when.user_id(&1.try_into().unwrap());
            then.ok(&john(1));
        });
        is_honest(&users).await.unwrap();
        let service = start(&database, &users.base_url()).await;
        let (status, body, _) = service.place_order().await;
        assert_eq!((status, body), (201, json!({"order_id": 1, "status": "created"})));
        // Once to judge the mock, once by order-service.
        view.assert_calls(2);
        let text = service.log.text();
        let created = text.lines().find(|line| line.contains("Created new order")).unwrap();
        let created: Value = serde_json::from_str(created).unwrap();
        assert_eq!((&created["order_id"], &created["user_id"]), (&json!(1), &json!(1)));
        assert!(created["request_id"].is_string());
    }

    /// Scenario of the founding documents: order with an unknown user.
    async fn order_with_an_unknown_user(database: TestDatabase) {
        let users = MockServer::start_async().await;
        users.user_view(|_, then| {
            then.not_found(&error(error_codes::USER_NOT_FOUND));
        });
        is_honest(&users).await.unwrap();
        let service = start(&database, &users.base_url()).await;
        let body = service.is_refused(404, "user_not_found", "unknown").await;
        assert_eq!(body["message"], "User not found");
    }

    /// Scenario of the founding documents: user-service down.
    async fn user_service_down(database: TestDatabase) {
        let (_nobody, url) = closed_port();
        let service = start(&database, &url).await;
        let body = service.is_refused(503, "user_service_unavailable", "refused").await;
        assert_eq!(body["message"], "User service unavailable");
    }
}

/// Whether the contract of user-service allows what the mock answers when user 1 is read.
async fn is_honest(users: &MockServer) -> Result<(), String> {
    let request = Request { path: [("user_id".to_owned(), "1".to_owned())].into(), ..Request::default() };
    judge_mock(USER_SERVICE_DOCUMENT, &users.base_url(), "user_view", &request).await
}

/// An order-service whose user-service answers as `mock` says; `honest` if the contract of user-service allows that.
async fn with_users(honest: bool, mock: impl FnOnce(&MockServer)) -> (Running, MockServer, TestDatabase) {
    let users = MockServer::start_async().await;
    mock(&users);
    let judged = is_honest(&users).await;
    assert_eq!(judged.is_ok(), honest, "{judged:?}");
    let database = TestDatabase::new(Kind::Sqlite).await;
    (start(&database, &users.base_url()).await, users, database)
}

#[tokio::test]
async fn a_user_service_that_cannot_answer_is_unavailable() {
    let documented = |code| json!(error(code)).to_string();
    for (status, body, honest) in [
        (500, documented(error_codes::INTERNAL_ERROR), true),
        (503, documented(error_codes::DATABASE_UNAVAILABLE), true),
        (429, "slow down".to_owned(), false),
        (500, "{".to_owned(), false),
        (502, "<html>Bad gateway</html>".to_owned(), false),
        (503, "<html>Service unavailable</html>".to_owned(), false),
        (504, String::new(), false),
    ] {
        let (service, _users, _database) = with_users(honest, |users| {
            users.user_view(|_, then| {
                then.into_inner().status(status).body(&body);
            });
        })
        .await;
        service.is_refused(503, "user_service_unavailable", &format!("{status} {body}")).await;
    }
}

#[tokio::test]
async fn a_user_service_that_talks_nonsense_is_a_bad_gateway() {
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
        (400, "", "a refusal of the request"),
        (401, "", "a refusal of ours"),
        (404, "", "a 404 without a body"),
        (404, "<html>Not found</html>", "the 404 of somebody else"),
        (404, r#"{"request_id": "r", "message": "Not Found"}"#, "a 404 without a code"),
        (404, r#"{"request_id": "r", "error_code": "other", "message": "m"}"#, "a 404 with another code"),
        (400, &not_found, "the code with another status"),
    ];
    for (status, body, case) in cases {
        // No schema knows which user was asked for.
        let honest = case == "another user";
        let (service, _users, _database) = with_users(honest, |users| {
            users.user_view(|_, then| {
                then.into_inner().status(status).header("content-type", "application/json").body(body);
            });
        })
        .await;
        service.is_refused(502, "user_service_invalid_response", case).await;
    }
}

#[tokio::test]
async fn what_user_service_wrote_is_repeated_neither_to_the_client_nor_in_the_log() {
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

/// A user-service of which the kernel takes the connections, while nobody answers on them.
async fn with_silent_user_service() -> (TcpListener, TestDatabase, Config) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let database = TestDatabase::new(Kind::Sqlite).await;
    let url = format!("http://{}", silent.local_addr().unwrap());
    let config = Config::new("127.0.0.1:0".parse().unwrap(), database.url.clone(), url);
    (silent, database, config)
}

#[tokio::test]
async fn a_user_service_that_does_not_answer_in_time_is_a_timeout() {
    let (_silent, _database, mut config) = with_silent_user_service().await;
    config.user_service_timeout_ms = 50;
    let service = start_with(config).await;
    service.is_refused(503, "user_service_timeout", "silence").await;
}

#[tokio::test]
async fn a_user_service_that_gives_up_in_time_is_a_timeout_too() {
    let (service, _users, _database) = with_users(true, |users| {
        users.user_view(|_, then| {
            then.service_unavailable(&error(error_codes::DEADLINE_EXCEEDED));
        });
    })
    .await;
    service.is_refused(503, "user_service_timeout", "given up").await;
}

#[tokio::test]
async fn user_service_is_told_how_long_the_caller_waits() {
    let (users, database) = (MockServer::start_async().await, TestDatabase::new(Kind::Sqlite).await);
    let hurried = users.mock(|when, then| {
        when.is_true(|request| {
            let headers = request.headers();
            let told = headers.get("request-timeout-ms").and_then(|value| value.to_str().ok()?.parse().ok());
            told.is_some_and(|milliseconds: u32| (1..=9000).contains(&milliseconds))
        });
        then.status(200).json_body(json!(john(1)));
    });
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), database.url.clone(), users.base_url());
    config.user_service_attempt_timeout_ms = 60_000;
    config.user_service_timeout_ms = 60_000;
    let service = start_with(config).await;
    let order = json!({"user_id": 1, "product_id": 456, "quantity": 2});
    let request = reqwest::Client::new().post(format!("{}/api/v1/orders", service.server.url())).json(&order);
    assert_eq!(request.header("request-timeout-ms", "9000").send().await.unwrap().status(), 201);
    hurried.assert_calls(1);
}

/// A server that reads a request, answers each with `bytes`, and closes.
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
async fn a_connection_that_breaks_is_unavailable() {
    for (bytes, case) in [
        (&b""[..], "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": 1", "a success cut off"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\n{\"id\": 1", "a failure cut off"),
    ] {
        let (service, _database) = with_raw_user_service(bytes).await;
        service.is_refused(503, "user_service_unavailable", case).await;
    }
}

#[tokio::test]
async fn what_is_not_http_or_not_from_user_service_is_a_bad_gateway() {
    for (bytes, case) in [
        (&b"nonsense\r\n\r\n"[..], "not HTTP"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n{\"id\": 1", "a 404 cut off"),
    ] {
        let (service, _database) = with_raw_user_service(bytes).await;
        service.is_refused(502, "user_service_invalid_response", case).await;
    }
}

#[tokio::test]
async fn an_endless_answer_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"id\": 1, \"name\": \"");
        // Until the other side has had enough.
        while connection.write_all(&[b'n'; 64 * 1024]).is_ok() {}
    });
    let database = TestDatabase::new(Kind::Sqlite).await;
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), database.url.clone(), url);
    config.user_service_timeout_ms = 60_000;
    start_with(config).await.is_refused(502, "user_service_invalid_response", "endless").await;
}

/// The lines of the log about the dependency itself: their level and their message.
fn changes(log: &CapturedLog) -> Vec<(Value, Value)> {
    let lines: Vec<Value> = log.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changes = lines.iter().filter(|line| line["dependency"] == "user-service");
    changes.map(|line| (line["level"].clone(), line["message"].clone())).collect()
}

#[tokio::test]
async fn a_user_service_that_keeps_failing_is_left_alone_until_it_is_well() {
    let users = MockServer::start_async().await;
    let mut down = users.down();
    let database = TestDatabase::new(Kind::Sqlite).await;
    let service = start(&database, &users.base_url()).await;
    for _ in 0..30 {
        service.is_refused(503, "user_service_unavailable", "failing").await;
    }
    assert!((10..20).contains(&down.calls()), "{}", down.calls());
    assert_eq!(changes(&service.log), [(json!("WARNING"), json!("calls are refused, but for one a second"))]);

    down.delete();
    users.user_view(|_, then| {
        then.ok(&john(1));
    });
    let healed = async { while service.place_order().await.0 != 201 {} };
    tokio::time::timeout(Duration::from_secs(30), healed).await.unwrap();
    assert_eq!(changes(&service.log)[1..], [(json!("INFO"), json!("calls are made again"))]);
}

#[tokio::test]
async fn a_user_service_that_keeps_hanging_is_left_alone_however_little_time_there_is() {
    let (_silent, _database, mut config) = with_silent_user_service().await;
    config.user_service_timeout_ms = 50;
    let service = start_with(config).await;
    while changes(&service.log).is_empty() {
        assert_eq!(service.place_order().await.0, 503);
    }
    assert_eq!(changes(&service.log), [(json!("WARNING"), json!("calls are refused, but for one a second"))]);
}

#[tokio::test]
async fn a_user_service_that_hangs_takes_no_more_calls_than_allowed() {
    let (silent, _database, mut config) = with_silent_user_service().await;
    config.user_service_attempt_timeout_ms = 60_000;
    config.user_service_timeout_ms = 60_000;
    config.user_service_concurrency = 1;
    let service = start_with(config).await;
    let second = async {
        // Once user-service has been called for the first.
        let _connection = tokio::task::spawn_blocking(move || silent.accept()).await.unwrap().unwrap();
        service.place_order().await
    };
    let (status, body, _) = tokio::select! {
        answer = service.place_order() => answer,
        answer = second => answer,
    };
    assert_eq!((status, &body["error_code"]), (503, &json!("user_service_unavailable")));
}
