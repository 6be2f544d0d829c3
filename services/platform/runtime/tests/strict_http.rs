//! What HTTP requires of requests, from outside: bytes on a connection to a test service.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use contract::answer::Answer;
use dropshot::{ApiDescription, HttpError, HttpResponseOk, Path, RequestContext, endpoint};
use schemars::JsonSchema;
use serde::Deserialize;
use service_runtime::Service;
use service_runtime::guard::{self, Guard};
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DOCUMENT: &str = r#"{"info": {"title": "Some Service"}, "paths": {
    "/items": {"get": {"operationId": "list"}, "post": {"operationId": "create"}},
    "/items/{id}": {"get": {"operationId": "view"}}}}"#;

const SERVICE: Service = Service {
    name: "some-service",
    about: "A service for these tests.",
    document: DOCUMENT,
    events: None,
    settings: None,
    migrations: &[],
    serve: |parts| {
        let mut api = ApiDescription::new();
        api.register(list)?;
        api.register(create)?;
        api.register(view)?;
        parts.serve(Ok(api), ())
    },
};

type HandlerResult = Result<Answer<HttpResponseOk<&'static str>>, HttpError>;

#[derive(Deserialize, JsonSchema)]
struct ItemPath {
    #[allow(dead_code, reason = "dropshot requires it for the variable of the path")]
    id: String,
}

#[endpoint { method = GET, path = "/items" }]
async fn list(rqctx: RequestContext<Guard<()>>) -> HandlerResult {
    guard::handle(&rqctx, |_, _| async { Ok(HttpResponseOk("listed")) }).await
}

#[endpoint { method = POST, path = "/items" }]
async fn create(rqctx: RequestContext<Guard<()>>) -> HandlerResult {
    guard::handle(&rqctx, |_, _| async { Ok(HttpResponseOk("created")) }).await
}

#[endpoint { method = GET, path = "/items/{id}" }]
async fn view(rqctx: RequestContext<Guard<()>>, _: Path<ItemPath>) -> HandlerResult {
    guard::handle(&rqctx, |_, _| async { Ok(HttpResponseOk("viewed")) }).await
}

struct Running {
    server: Server,
    log: CapturedLog,
    _database: TestDatabase,
}

async fn start() -> Running {
    let (database, log) = (TestDatabase::new(Kind::Sqlite).await, CapturedLog::default());
    let config = config_of(&SERVICE, &database.url, &[]);
    let server = SERVICE.start(&config, &log.logger(&[DOCUMENT])).await.unwrap();
    Running { server, log, _database: database }
}

impl Running {
    fn address(&self) -> String {
        self.server.url().replace("http://", "")
    }

    /// The response to `head`, to which an empty line is added, on a connection of its own.
    async fn send(&self, head: &str) -> String {
        let mut connection = TcpStream::connect(self.address()).await.unwrap();
        connection.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).await.unwrap();
        response
    }

    /// The response to a request with one `Host`.
    async fn request(&self, line: &str, headers: &str) -> String {
        self.send(&format!("{line} HTTP/1.1\r\nhost: {}{headers}", self.address())).await
    }
}

fn assert_status(response: &str, status: u16, error_code: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    if !error_code.is_empty() {
        assert!(response.contains(&format!("\"error_code\": \"{error_code}\"")), "{response}");
        assert!(response.contains("\r\ncache-control: no-store\r\n"), "{response}");
    }
}

#[tokio::test]
async fn a_method_is_case_sensitive() {
    let service = start().await;
    for line in ["post /items", "Post /items", "get /items", "DELETE /items"] {
        let response = service.request(line, "").await;
        assert_status(&response, 405, "method_not_allowed");
        assert!(response.contains("\r\nallow: GET, POST\r\n"), "{response}");
    }
    for path in ["/health", "/ready", "/metrics", "/openapi.json", "/docs"] {
        assert_status(&service.request(&format!("get {path}"), "").await, 405, "method_not_allowed");
    }
}

#[tokio::test]
async fn a_path_with_an_empty_segment_is_another_path() {
    let service = start().await;
    for path in ["//items", "/items/", "//", "/items//1", "/items/1/", "//health", "/ready/", "/metrics/", "/docs//"] {
        assert_status(&service.request(&format!("GET {path}"), "").await, 404, "not_found");
    }
    assert_status(&service.request("GET /docs/", "").await, 308, "");
}

#[tokio::test]
async fn a_path_is_compared_without_its_encoding() {
    let service = start().await;
    assert!(service.request("GET /%69tems/1", "").await.ends_with("\"viewed\""));
    for path in ["/items/%FF", "/items/..", "/items/./1"] {
        assert_status(&service.request(&format!("GET {path}"), "").await, 400, "invalid_path");
    }
}

#[tokio::test]
async fn a_request_over_http_1_1_has_one_valid_host() {
    let service = start().await;
    for hosts in ["", "\r\nhost: a\r\nhost: a", "\r\nhost: a b", "\r\nhost: user@a", "\r\nhost: a/b"] {
        let response = service.send(&format!("GET /items HTTP/1.1{hosts}")).await;
        assert_status(&response, 400, "invalid_request");
        assert!(response.contains("request header `Host`: "), "{response}");
    }
    for head in ["GET /items HTTP/1.1\r\nhost:", "GET /items HTTP/1.1\r\nhost: [::1]:80", "GET /items HTTP/1.0"] {
        assert!(service.send(head).await.ends_with("\"listed\""), "{head}");
    }
}

#[tokio::test]
async fn a_transfer_encoding_other_than_chunked_is_refused() {
    let service = start().await;
    for codings in ["\r\ntransfer-encoding: gzip, chunked", "\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked"]
    {
        let response = service.request("POST /items", codings).await;
        assert_status(&response, 501, "unsupported_transfer_coding");
    }
    let chunked = service.request("POST /items", "\r\ntransfer-encoding: Chunked").await;
    assert!(chunked.contains("\"created\""), "{chunked}");
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let service = start().await;
    for header in
        ["sec-fetch-site: cross-site", "sec-fetch-site: same-site", "origin: http://a.example", "origin: null"]
    {
        let response = service.request("POST /items", &format!("\r\n{header}")).await;
        assert_status(&response, 400, "invalid_request");
        assert!(response.contains("a web page of another origin must not change anything"), "{response}");
        assert_status(&service.request("GET /items", &format!("\r\n{header}")).await, 200, "");
    }
    let own = format!("origin: http://{}", service.address());
    for header in ["sec-fetch-site: same-origin\r\norigin: http://proxy.example", "sec-fetch-site: none", &own] {
        assert_status(&service.request("POST /items", &format!("\r\n{header}")).await, 200, "");
    }
}

#[tokio::test]
async fn head_gets_no_body_over_http2_either() {
    let service = start().await;
    let connection = TcpStream::connect(service.address()).await.unwrap();
    let (requests, connection) = h2::client::handshake(connection).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("{}/health", service.server.url());
    let request = http::Request::builder().method("HEAD").uri(uri).body(()).unwrap();
    let (response, _) = requests.ready().await.unwrap().send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-length"].to_str().unwrap()), (200, "15"));
    assert!(response.into_body().is_end_stream());
}

#[tokio::test]
async fn a_refused_request_is_logged_once_and_not_as_a_fault() {
    for (target, headers, error_code) in [
        ("post /items/canary", "\r\norigin: http://canary.example", "method_not_allowed"),
        ("POST /items", "\r\ntransfer-encoding: canary, chunked", "unsupported_transfer_coding"),
    ] {
        let service = start().await;
        service.request(target, headers).await;
        let log = service.log.text();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("\"error\"")).collect();
        let [line] = lines[..] else { panic!("{log}") };
        let error = format!("\"error\":\"{error_code}\"");
        assert!(line.contains("\"level\":\"INFO\"") && line.contains(&error), "{line}");
        assert!(!log.contains("canary") && !log.contains("\"level\":\"ERROR\""), "{log}");
    }
}

#[tokio::test]
async fn a_refused_request_ends_its_connection() {
    let service = start().await;
    let head = format!("GET /nothing HTTP/1.1\r\nhost: {}\r\n", service.address());
    let mut connection = TcpStream::connect(service.address()).await.unwrap();
    let requests = format!("{head}\r\n{head}connection: close\r\n\r\n");
    connection.write_all(requests.as_bytes()).await.unwrap();
    let mut responses = String::new();
    connection.read_to_string(&mut responses).await.unwrap();
    assert_eq!(responses.matches("HTTP/1.1 404 ").count(), 1, "{responses}");
    assert!(responses.contains("\r\nconnection: close\r\n"), "{responses}");
}
