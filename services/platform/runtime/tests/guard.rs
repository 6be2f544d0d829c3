//! The request guard from outside: over real HTTP, with operations of a test service.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use contract::answer::Answer;
use contract::error_code::INTERNAL_ERROR;
use dropshot::{ApiDescription, HttpError, HttpResponseOk, RequestContext, endpoint};
use h2::client::ResponseFuture;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use service_runtime::Service;
use service_runtime::config::Config;
use service_runtime::guard::{self, Guard, Limits};
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const DOCUMENT: &str = r#"{"info": {"title": "Some Service"}, "paths": {
    "/gate": {"get": {}, "post": {}, "put": {}}, "/panic": {"get": {}},
    "/immediate": {"get": {"operationId": "immediate",
    "responses": {"503": {"content": {"application/json": {"examples": {"overloaded": {}}}}}}}}}}"#;

const SERVICE: Service = Service {
    name: "some-service",
    about: "A service for these tests.",
    document: DOCUMENT,
    events: None,
    settings: None,
    migrations: &[],
    serve: |parts| {
        let mut api = ApiDescription::new();
        api.register(immediate)?;
        api.register(read_at_gate)?;
        api.register(write_at_gate)?;
        api.register(fail_at_gate)?;
        api.register(panic_always)?;
        parts.serve(Ok(api), GATE.with_borrow(Arc::clone))
    },
};

thread_local! {
    /// The state of the service that a test on this thread starts next.
    static GATE: RefCell<Arc<Gate>> = RefCell::default();
}

/// Generous: CI may be slow.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Gate {
    entered: Notify,
    open: Notify,
    written: Notify,
}

type Context = Guard<Arc<Gate>>;
type HandlerResult = Result<Answer<HttpResponseOk<&'static str>>, HttpError>;

#[endpoint { method = GET, path = "/immediate" }]
async fn immediate(rqctx: RequestContext<Context>) -> HandlerResult {
    guard::handle(&rqctx, |_, _| async { Ok(HttpResponseOk("done")) }).await
}

#[endpoint { method = GET, path = "/gate" }]
async fn read_at_gate(rqctx: RequestContext<Context>) -> HandlerResult {
    guard::handle(&rqctx, |gate, _| async move {
        gate.entered.notify_one();
        gate.open.notified().await;
        Ok(HttpResponseOk("done"))
    })
    .await
}

#[endpoint { method = POST, path = "/gate" }]
async fn write_at_gate(rqctx: RequestContext<Context>) -> HandlerResult {
    guard::handle(&rqctx, |gate, _| async move {
        gate.entered.notify_one();
        gate.open.notified().await;
        gate.written.notify_one();
        Ok(HttpResponseOk("done"))
    })
    .await
}

#[endpoint { method = PUT, path = "/gate" }]
async fn fail_at_gate(rqctx: RequestContext<Context>) -> HandlerResult {
    guard::handle(&rqctx, |gate, _| async move {
        gate.entered.notify_one();
        gate.open.notified().await;
        Err(INTERNAL_ERROR.with_cause("the gate is broken"))
    })
    .await
}

#[endpoint { method = GET, path = "/panic" }]
async fn panic_always(rqctx: RequestContext<Context>) -> HandlerResult {
    guard::handle(&rqctx, |_, _| async { panic!("canary {}", std::env::args().count()) }).await
}

struct Running {
    server: Server,
    gate: Arc<Gate>,
    log: CapturedLog,
    _database: TestDatabase,
}

async fn start(limits: Limits) -> Running {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let log = CapturedLog::default();
    let gate = Arc::<Gate>::default();
    GATE.set(Arc::clone(&gate));
    let config = Config { limits, ..config_of(&SERVICE, &database.url, &[]) };
    let server = SERVICE.start(&config, &log.logger(&[])).await.unwrap();
    Running { server, gate, log, _database: database }
}

impl Running {
    async fn get(&self, path: &str) -> Response {
        Client::new().get(format!("{}{path}", self.server.url())).send().await.unwrap()
    }

    /// Sends a request to `/gate`, and waits until it is there.
    async fn at_gate(&self, method: Method) -> JoinHandle<Response> {
        let request = Client::new().request(method, format!("{}/gate", self.server.url()));
        let waiting = tokio::spawn(async move { request.send().await.unwrap() });
        self.gate.entered.notified().await;
        waiting
    }

    /// Disconnects the client of `request`, and waits until the service has noticed.
    async fn disconnect(&self, request: JoinHandle<Response>) {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        self.wait_for_disconnect_log().await;
    }

    /// Sends a request over HTTP/2. Returns the response and a function that resets its stream.
    async fn over_http2(&self, method: Method, path: &str) -> (ResponseFuture, impl FnOnce()) {
        let url = self.server.url();
        let connection = TcpStream::connect(url.replace("http://", "")).await.unwrap();
        let (requests, connection) = h2::client::handshake(connection).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::builder().method(method).uri(format!("{url}{path}")).body(()).unwrap();
        let (answer, mut stream) = requests.ready().await.unwrap().send_request(request, true).unwrap();
        (answer, move || stream.send_reset(h2::Reason::CANCEL))
    }

    async fn wait_for_disconnect_log(&self) {
        let noticed = async {
            while !self.log.text().contains("client disconnected") {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, noticed).await.unwrap();
    }

    async fn wait_for_free_permit(&self) {
        let free = async { while self.get("/immediate").await.status() != 200 {} };
        timeout(TIMEOUT, free).await.unwrap();
    }

    async fn assert_error(&self, response: Response, status: u16, error_code: &str) {
        assert_eq!(response.status().as_u16(), status);
        assert_security_headers(&response);
        assert_eq!(response.headers().contains_key("retry-after"), status == 503);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error_code"], error_code, "{body}");
    }
}

fn assert_security_headers(response: &Response) {
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
async fn requests_above_the_limit_are_rejected_others_finish() {
    let service = start(limits(1)).await;
    let waiting = service.at_gate(Method::GET).await;
    service.assert_error(service.get("/immediate").await, 503, "overloaded").await;
    assert_eq!(service.get("/health").await.status(), 200, "an overloaded service is alive");
    let metrics = service.get("/metrics").await.text().await.unwrap();
    for line in [
        "http_server_active_requests 1",
        "http_server_active_requests_limit 1",
        "http_server_waiting_requests 0",
        r#"http_server_requests_total{operation="immediate",status="503",error_code="overloaded"} 1"#,
    ] {
        assert!(metrics.lines().any(|present| present == line), "{line}: {metrics}");
    }
    service.gate.open.notify_one();
    assert_eq!(waiting.await.unwrap().status(), 200);
    let answer = service.get("/immediate").await;
    assert_eq!(answer.status(), 200);
    assert_security_headers(&answer);
}

#[tokio::test]
async fn a_read_is_cancelled_when_its_client_disconnects() {
    let service = start(limits(1)).await;
    service.disconnect(service.at_gate(Method::GET).await).await;
    assert_eq!(service.get("/immediate").await.status(), 200);
}

#[tokio::test]
async fn a_write_finishes_after_its_client_disconnects() {
    let service = start(limits(1)).await;
    service.disconnect(service.at_gate(Method::POST).await).await;
    service.assert_error(service.get("/immediate").await, 503, "overloaded").await;
    service.gate.open.notify_one();
    timeout(TIMEOUT, service.gate.written.notified()).await.unwrap();
    service.wait_for_free_permit().await;
}

#[tokio::test]
async fn a_write_finishes_after_its_http2_stream_is_reset() {
    let service = start(limits(1)).await;
    let (_answer, reset) = service.over_http2(Method::POST, "/gate").await;
    service.gate.entered.notified().await;
    reset();
    service.wait_for_disconnect_log().await;
    service.gate.open.notify_one();
    timeout(TIMEOUT, service.gate.written.notified()).await.unwrap();
    service.wait_for_free_permit().await;
}

#[tokio::test]
async fn a_request_over_http2_is_logged_and_counted() {
    let service = start(limits(1)).await;
    let (answer, _) = service.over_http2(Method::GET, "/immediate").await;
    assert_eq!(answer.await.unwrap().status(), 200);
    let metrics = service.get("/metrics").await.text().await.unwrap();
    let count = r#"http_server_requests_total{operation="immediate",status="200",error_code=""} 1"#;
    assert!(metrics.lines().any(|line| line == count), "{metrics}");
    let log = service.log.text();
    assert!(log.contains(r#""path":"/*""#), "{log}");
}

#[tokio::test]
async fn a_write_that_fails_after_a_disconnect_is_logged() {
    let service = start(limits(1)).await;
    service.disconnect(service.at_gate(Method::PUT).await).await;
    service.gate.open.notify_one();
    service.wait_for_free_permit().await;
    let log = service.log.text();
    assert!(log.contains("request failed after client disconnected"), "{log}");
    assert!(log.contains("internal_error: the gate is broken"), "{log}");
}

#[tokio::test]
async fn a_request_at_its_deadline_releases_its_permit() {
    let service = start(Limits { max_requests_in_flight: 1, request_timeout_ms: 10 }).await;
    for _ in 0..2 {
        service.assert_error(service.get("/gate").await, 503, "deadline_exceeded").await;
    }
}

#[tokio::test]
async fn a_caller_can_only_shorten_the_deadline() {
    let get = async |service: &Running, ms: &str| {
        let request = Client::new().get(format!("{}/gate", service.server.url()));
        request.header("request-timeout-ms", ms).send().await.unwrap()
    };
    let patient = start(limits(1)).await;
    patient.assert_error(get(&patient, "10").await, 503, "deadline_exceeded").await;
    let hasty = start(Limits { request_timeout_ms: 10, ..limits(1) }).await;
    hasty.assert_error(get(&hasty, "60000").await, 503, "deadline_exceeded").await;
    hasty.assert_error(get(&hasty, "soon").await, 400, "invalid_request").await;
}

#[tokio::test]
async fn a_panic_is_answered_and_releases_its_permit() {
    let service = start(limits(1)).await;
    let address = service.server.url().replace("http://", "");
    let mut connection = TcpStream::connect(&address).await.unwrap();
    for (path, status) in [("/panic", "500"), ("/panic", "500"), ("/immediate", "200")] {
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
    assert!(log.contains("internal_error: panic") && !log.contains("canary"), "{log}");
}
