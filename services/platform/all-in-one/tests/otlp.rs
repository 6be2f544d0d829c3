//! Tests the spans that both services export to a collector.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use service_runtime::config::Config;
use service_runtime::server::Server;
use service_runtime::telemetry::Traces;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector that stores the requests it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Export>>>);

/// The path and body of a request.
type Export = (String, Vec<u8>);

/// The parts of a span that the tests check.
#[derive(Clone, Debug)]
struct Span {
    service: String,
    name: String,
    trace_id: String,
    id: String,
    parent: String,
    kind: SpanKind,
    failed: bool,
    attributes: Vec<(String, String)>,
}

impl Collector {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = self.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(collector.clone().serve(connection));
            }
        });
        url
    }

    async fn serve(self, connection: TcpStream) {
        let mut connection = BufReader::new(connection);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if connection.read_line(&mut head).await.unwrap_or_default() == 0 {
                    return;
                }
            }
            let head = head.to_lowercase();
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            connection.read_exact(&mut body).await.unwrap();
            self.0.lock().unwrap().push((head.split(' ').nth(1).unwrap().to_owned(), body));
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (path, body) in self.0.lock().unwrap().iter() {
            assert_eq!(path, "/v1/traces");
            assert!(!String::from_utf8_lossy(body).contains("canary"), "personal data");
            for of_resource in ExportTraceServiceRequest::decode(body.as_slice()).unwrap().resource_spans {
                let resource = texts(of_resource.resource.unwrap().attributes);
                let service = resource.into_iter().find(|(key, _)| key == "service.name").unwrap().1;
                let all = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| Span {
                    service: service.clone(),
                    trace_id: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    kind: span.kind(),
                    failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
                    attributes: texts(span.attributes),
                    name: span.name,
                }));
            }
        }
        spans
    }

    fn span(&self, name: &str) -> Span {
        let spans = self.spans();
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:?}")).clone()
    }
}

impl Span {
    fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

fn texts(attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> Vec<(String, String)> {
    let text = |value| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value.unwrap().value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Platform {
    users: Server,
    orders: Server,
    log: CapturedLog,
    _databases: [TestDatabase; 2],
}

impl Platform {
    async fn start(collector_url: &str) -> Self {
        let databases = [TestDatabase::new(Kind::Sqlite).await, TestDatabase::new(Kind::Sqlite).await];
        let log = CapturedLog::default();
        let (user_service, order_service) = (user_service::SERVICE, order_service::SERVICE);
        let logger = log.logger(&[user_service.document, order_service.document]);
        let traces = Traces { otlp_endpoint: Some(collector_url.to_owned()) };
        let config = Config { traces: traces.clone(), ..config_of(&user_service, &databases[0].url, &[]) };
        let users = user_service.start(&config, &logger).await.unwrap();
        let mut config = Config { traces, ..config_of(&order_service, &databases[1].url, &[]) };
        config.dependencies.get_mut("user-service").unwrap().url = users.url();
        let orders = order_service.start(&config, &logger).await.unwrap();
        Self { users, orders, log, _databases: databases }
    }

    fn order(&self) -> RequestBuilder {
        let order = json!({"user_id": 1, "product_id": 456, "quantity": 2});
        Client::new().post(format!("{}/api/v1/orders", self.orders.url())).json(&order)
    }

    async fn create_user(&self) {
        let user = json!({"email": "canary@example.com", "name": "canary"});
        let response =
            Client::new().post(format!("{}/api/v1/users", self.users.url())).json(&user).send().await.unwrap();
        assert_eq!(response.status(), 201);
    }

    /// Stops both services; returns their log.
    async fn stop(self) -> String {
        self.orders.stop().await;
        self.users.stop().await;
        self.log.text()
    }
}

#[tokio::test]
async fn an_order_is_one_trace_of_three_spans() {
    let collector = Collector::default();
    let platform = Platform::start(&collector.start().await).await;
    platform.create_user().await;
    let sent = platform.order().header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01")).send().await.unwrap();
    assert_eq!(sent.status(), 201);
    platform.stop().await;

    let order = collector.span("POST /api/v1/orders");
    let call = collector.span("user-service user_check");
    let user = collector.span("GET /api/v1/users/{user_id}");
    for (span, parent, service, kind) in [
        (&order, "00f067aa0ba902b7", "order-service", SpanKind::Server),
        (&call, order.id.as_str(), "order-service", SpanKind::Client),
        (&user, call.id.as_str(), "user-service", SpanKind::Server),
    ] {
        assert_eq!((span.trace_id.as_str(), span.parent.as_str()), (TRACE, parent), "{span:?}");
        assert_eq!((span.service.as_str(), span.kind, span.failed), (service, kind, false), "{span:?}");
    }
    assert_eq!(order.attribute("operation"), "order_create");
    assert_eq!(order.attribute("http.response.status_code"), "201");
    assert_eq!(order.attribute("request_id"), sent.headers()["x-request-id"]);
    assert_eq!((call.attribute("peer.service"), call.attribute("outcome")), ("user-service", "success"));
}

#[tokio::test]
async fn a_span_has_the_error_code_but_no_client_input() {
    let collector = Collector::default();
    let platform = Platform::start(&collector.start().await).await;
    assert_eq!(platform.order().send().await.unwrap().status(), 404);
    let path = format!("{}/canary@example.com?email=canary", platform.orders.url());
    Client::new().request("CANARY".parse().unwrap(), path).header("traceparent", "canary").send().await.unwrap();
    platform.stop().await;

    let order = collector.span("POST /api/v1/orders");
    assert_eq!((order.attribute("error.type"), order.parent.as_str()), ("user_not_found", ""));
    assert!(!order.failed, "a 404 is an error of the client, not a failed span");
    assert_eq!(collector.span("user-service user_check").attribute("outcome"), "not_found");
    assert_eq!(collector.span("none").attribute("http.response.status_code"), "404");
}

#[tokio::test]
async fn unsampled_traces_and_health_checks_are_not_exported() {
    let collector = Collector::default();
    let platform = Platform::start(&collector.start().await).await;
    platform.create_user().await;
    platform.order().header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-00")).send().await.unwrap();
    for path in ["health", "ready", "metrics"] {
        reqwest::get(format!("{}/{path}", platform.users.url())).await.unwrap();
    }
    platform.stop().await;
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["POST /api/v1/users"]);
}

#[tokio::test]
async fn a_missing_collector_delays_neither_requests_nor_shutdown() {
    // Bound without listening, so that connections are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let platform = Platform::start(&format!("http://{}", socket.local_addr().unwrap())).await;
    platform.create_user().await;
    for _ in 0..20 {
        assert_eq!(platform.order().send().await.unwrap().status(), 201);
    }
    assert!(platform.stop().await.contains("stopped"));
}

#[tokio::test]
async fn a_silent_collector_delays_neither_requests_nor_shutdown() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let platform = Platform::start(&format!("http://{}", silent.local_addr().unwrap())).await;
    platform.create_user().await;
    for _ in 0..20 {
        assert_eq!(platform.order().send().await.unwrap().status(), 201);
    }
    assert!(platform.stop().await.contains("stopped"));
}
