//! What every operation passes, seen from outside: over real HTTP, with operations made for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::Arc;
use std::time::Duration;

use contract::answer::Answer;
use contract::error_code::INTERNAL_ERROR;
use dropshot::{ApiDescription, HttpError, HttpResponseOk, RequestContext, endpoint};
use h2::client::ResponseFuture;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use service_runtime::database::{Database, Migration, Migrations};
use service_runtime::guard::{self, Guard, Limits};
use service_runtime::idempotency::Keys;
use service_runtime::server::{ReadinessProbe, Server, Service};
use service_runtime::telemetry::{Telemetry, Traces};
use service_testing::{CapturedLog, Kind, TestDatabase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const DOCUMENT: &str = r#"{"info": {"title": "Some Service"}, "paths": {"/at-once": {"get": {"operationId": "at_once",
    "responses": {"503": {"content": {"application/json": {"examples": {"overloaded": {}}}}}}}}}}"#;

const MIGRATIONS: Migrations = Migrations {
    service_name: "some-service",
    steps: &[Migration {
        version: 1,
        name: "create idempotency keys",
        sql: include_str!("../../../../migrations/user-service/0002_create_idempotency_keys.sql"),
    }],
};

/// What takes so long does not happen.
const LONG: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Gate {
    entered: Notify,
    open: Notify,
    written: Notify,
}

type Context = Guard<Arc<Gate>>;
type Outcome = Result<Answer<HttpResponseOk<&'static str>>, HttpError>;

#[endpoint { method = GET, path = "/at-once" }]
async fn at_once(rqctx: RequestContext<Context>) -> Outcome {
    guard::handle(&rqctx, |_| async { Ok(HttpResponseOk("done")) }).await
}

#[endpoint { method = GET, path = "/gate" }]
async fn pass_gate(rqctx: RequestContext<Context>) -> Outcome {
    guard::handle(&rqctx, |request| async move {
        request.state.entered.notify_one();
        request.state.open.notified().await;
        Ok(HttpResponseOk("done"))
    })
    .await
}

#[endpoint { method = POST, path = "/gate" }]
async fn write_at_gate(rqctx: RequestContext<Context>) -> Outcome {
    guard::handle(&rqctx, |request| async move {
        request.state.entered.notify_one();
        request.state.open.notified().await;
        request.state.written.notify_one();
        Ok(HttpResponseOk("done"))
    })
    .await
}

#[endpoint { method = PUT, path = "/gate" }]
async fn fail_at_gate(rqctx: RequestContext<Context>) -> Outcome {
    guard::handle(&rqctx, |request| async move {
        request.state.entered.notify_one();
        request.state.open.notified().await;
        Err(INTERNAL_ERROR.with_cause("a fault at the gate"))
    })
    .await
}

#[endpoint { method = GET, path = "/panic" }]
async fn fail(rqctx: RequestContext<Context>) -> Outcome {
    guard::handle(&rqctx, |_| async { panic!("canary {}", std::env::args().count()) }).await
}

#[endpoint { method = GET, path = "/health" }]
async fn health(_: RequestContext<Context>) -> Result<Answer<HttpResponseOk<contract::health::Health>>, HttpError> {
    guard::health()
}

struct Running {
    server: Server,
    gate: Arc<Gate>,
    log: CapturedLog,
    _database: TestDatabase,
}

async fn start(limits: Limits) -> Running {
    let file = TestDatabase::new(Kind::Sqlite).await;
    let database = Database::open(&file.url, 1, &MIGRATIONS).await.unwrap();
    let mut api = ApiDescription::new();
    api.register(at_once).unwrap();
    api.register(pass_gate).unwrap();
    api.register(write_at_gate).unwrap();
    api.register(fail_at_gate).unwrap();
    api.register(fail).unwrap();
    api.register(health).unwrap();
    let (gate, log) = (Arc::new(Gate::default()), CapturedLog::default());
    let service = Service {
        name: "some-service",
        listen_address: "127.0.0.1:0".parse().unwrap(),
        api,
        state: Arc::clone(&gate),
        limits,
        keys: Keys::new(database.clone()),
        document: DOCUMENT,
        probe: ReadinessProbe::new(database),
        telemetry: Telemetry::new("some-service", &Traces::default(), &log.logger(&[])).unwrap(),
    };
    let server = Server::start(service, &log.logger(&[])).unwrap();
    Running { server, gate, log, _database: file }
}

impl Running {
    async fn get(&self, path: &str) -> Response {
        Client::new().get(format!("{}{path}", self.server.url())).send().await.unwrap()
    }

    /// A request to `/gate`, once it is known to have entered.
    async fn at_gate(&self, method: Method) -> JoinHandle<Response> {
        let request = Client::new().request(method, format!("{}/gate", self.server.url()));
        let waiting = tokio::spawn(async move { request.send().await.unwrap() });
        self.gate.entered.notified().await;
        waiting
    }

    /// Makes the client of `request` go away, until the service has noticed.
    async fn lose(&self, request: JoinHandle<Response>) {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        self.client_is_gone().await;
    }

    /// Sends a request over HTTP/2; gives what resets its stream, too.
    async fn over_http2(&self, method: Method, path: &str) -> (ResponseFuture, impl FnOnce()) {
        let url = self.server.url();
        let connection = TcpStream::connect(url.replace("http://", "")).await.unwrap();
        let (requests, connection) = h2::client::handshake(connection).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::builder().method(method).uri(format!("{url}{path}")).body(()).unwrap();
        let (answer, mut stream) = requests.ready().await.unwrap().send_request(request, true).unwrap();
        (answer, move || stream.send_reset(h2::Reason::CANCEL))
    }

    async fn client_is_gone(&self) {
        let noticed = async {
            while !self.log.text().contains("client disconnected") {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, noticed).await.unwrap();
    }

    async fn is_free_again(&self) {
        let free = async { while self.get("/at-once").await.status() != 200 {} };
        timeout(LONG, free).await.unwrap();
    }

    async fn is_refused(&self, response: Response, status: u16, error_code: &str) {
        assert_eq!(response.status().as_u16(), status);
        is_hardened(&response);
        assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error_code"], error_code, "{body}");
    }
}

fn is_hardened(response: &Response) {
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
}

fn limits(max_requests_in_flight: u32) -> Limits {
    Limits { max_requests_in_flight, ..Limits::default() }
}

#[tokio::test]
async fn more_requests_than_the_limit_are_refused_and_those_inside_finish() {
    let service = start(limits(1)).await;
    let waiting = service.at_gate(Method::GET).await;
    service.is_refused(service.get("/at-once").await, 503, "overloaded").await;
    assert_eq!(service.get("/health").await.status(), 200, "who is overloaded is not away");
    let metrics = service.get("/metrics").await.text().await.unwrap();
    for line in [
        "http_server_active_requests 1",
        "http_server_active_requests_limit 1",
        "http_server_waiting_requests 0",
        r#"http_server_requests_total{operation="at_once",status="503",error_code="overloaded"} 1"#,
    ] {
        assert!(metrics.lines().any(|present| present == line), "{line}: {metrics}");
    }
    service.gate.open.notify_one();
    assert_eq!(waiting.await.unwrap().status(), 200);
    let answer = service.get("/at-once").await;
    assert_eq!(answer.status(), 200);
    is_hardened(&answer);
}

#[tokio::test]
async fn a_read_ends_with_its_client_and_leaves_its_place() {
    let service = start(limits(1)).await;
    service.lose(service.at_gate(Method::GET).await).await;
    assert_eq!(service.get("/at-once").await.status(), 200);
}

#[tokio::test]
async fn a_write_is_finished_without_its_client_and_then_leaves_its_place() {
    let service = start(limits(1)).await;
    service.lose(service.at_gate(Method::POST).await).await;
    service.is_refused(service.get("/at-once").await, 503, "overloaded").await;
    service.gate.open.notify_one();
    timeout(LONG, service.gate.written.notified()).await.unwrap();
    service.is_free_again().await;
}

#[tokio::test]
async fn a_write_whose_http2_stream_is_reset_is_finished() {
    let service = start(limits(1)).await;
    let (_answer, reset) = service.over_http2(Method::POST, "/gate").await;
    service.gate.entered.notified().await;
    reset();
    service.client_is_gone().await;
    service.gate.open.notify_one();
    timeout(LONG, service.gate.written.notified()).await.unwrap();
    service.is_free_again().await;
}

#[tokio::test]
async fn a_request_over_http2_is_logged_and_counted_as_any_other() {
    let service = start(limits(1)).await;
    let (answer, _) = service.over_http2(Method::GET, "/at-once").await;
    assert_eq!(answer.await.unwrap().status(), 200);
    let metrics = service.get("/metrics").await.text().await.unwrap();
    let count = r#"http_server_requests_total{operation="at_once",status="200",error_code=""} 1"#;
    assert!(metrics.lines().any(|line| line == count), "{metrics}");
    let log = service.log.text();
    assert!(log.contains(r#""path":"/*""#), "{log}");
}

#[tokio::test]
async fn a_write_that_fails_without_its_client_is_logged() {
    let service = start(limits(1)).await;
    service.lose(service.at_gate(Method::PUT).await).await;
    service.gate.open.notify_one();
    service.is_free_again().await;
    let log = service.log.text();
    assert!(log.contains("failed after its client went away") && log.contains("a fault at the gate"), "{log}");
}

#[tokio::test]
async fn a_request_is_given_up_at_its_deadline_and_leaves_its_place() {
    let service = start(Limits { max_requests_in_flight: 1, request_timeout_ms: 10 }).await;
    for _ in 0..2 {
        service.is_refused(service.get("/gate").await, 503, "deadline_exceeded").await;
    }
}

#[tokio::test]
async fn a_caller_can_only_shorten_the_deadline() {
    let asked = async |service: &Running, ms: &str| {
        let request = Client::new().get(format!("{}/gate", service.server.url()));
        request.header("request-timeout-ms", ms).send().await.unwrap()
    };
    let patient = start(limits(1)).await;
    patient.is_refused(asked(&patient, "10").await, 503, "deadline_exceeded").await;
    let hasty = start(Limits { request_timeout_ms: 10, ..limits(1) }).await;
    hasty.is_refused(asked(&hasty, "60000").await, 503, "deadline_exceeded").await;
    hasty.is_refused(asked(&hasty, "soon").await, 400, "invalid_request").await;
}

#[tokio::test]
async fn a_panic_is_answered_on_its_connection_and_leaves_its_place() {
    let service = start(limits(1)).await;
    let address = service.server.url().replace("http://", "");
    let mut connection = TcpStream::connect(&address).await.unwrap();
    for (path, status) in [("/panic", "500"), ("/panic", "500"), ("/at-once", "200")] {
        connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("}\n") && !answer.ends_with('}') && !answer.ends_with("\"done\"") {
            let mut bytes = [0; 4096];
            let length = connection.read(&mut bytes).await.unwrap();
            assert_ne!(length, 0, "the connection was closed after {answer:?}");
            answer.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("canary"), "{answer}");
    }
    let log = service.log.text();
    assert!(log.contains("internal_error: a panic") && !log.contains("canary"), "{log}");
}
