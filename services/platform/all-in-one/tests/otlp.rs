//! Tests the spans that both services export to a collector.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::sync::{Arc, Mutex};

use httpmock::{HttpMockResponse, MockServer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use service_testing::{Started, start_all};
use tokio::net::{TcpListener, TcpSocket};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector that stores the bodies of the requests it receives.
struct Collector {
    server: MockServer,
    exports: Arc<Mutex<Vec<Vec<u8>>>>,
}

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
    async fn start() -> Self {
        let (server, exports) = (MockServer::start_async().await, Arc::new(Mutex::new(Vec::new())));
        let received = exports.clone();
        server.mock(|when, then| {
            when.method("POST").path("/v1/traces").header("content-type", "application/x-protobuf");
            then.respond_with(move |request| {
                received.lock().unwrap().push(request.body_vec());
                HttpMockResponse::builder().status(200).build()
            });
        });
        Self { server, exports }
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.exports.lock().unwrap().iter() {
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
    users: Started,
    orders: Started,
}

impl Platform {
    async fn start(collector_url: &str) -> Self {
        let [users, orders] = start_all([&user_service::SERVICE, &order_service::SERVICE], |config| {
            config.traces.otlp_endpoint = Some(collector_url.to_owned());
        })
        .await;
        Self { users, orders }
    }

    fn order(&self) -> RequestBuilder {
        let order = json!({"user_id": 1, "product_id": 456, "quantity": 2});
        Client::new().post(format!("{}/api/v1/orders", self.orders.server.url())).json(&order)
    }

    async fn create_user(&self) {
        let user = json!({"email": "canary@example.com", "name": "canary"});
        let response =
            Client::new().post(format!("{}/api/v1/users", self.users.server.url())).json(&user).send().await.unwrap();
        assert_eq!(response.status(), 201);
    }

    /// Stops both services.
    async fn stop(self) {
        self.orders.server.stop().await;
        self.users.server.stop().await;
    }
}

#[tokio::test]
async fn an_order_is_one_trace_of_three_spans() {
    let collector = Collector::start().await;
    let platform = Platform::start(&collector.server.base_url()).await;
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
    let collector = Collector::start().await;
    let platform = Platform::start(&collector.server.base_url()).await;
    assert_eq!(platform.order().send().await.unwrap().status(), 404);
    let path = format!("{}/canary@example.com?email=canary", platform.orders.server.url());
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
    let collector = Collector::start().await;
    let platform = Platform::start(&collector.server.base_url()).await;
    platform.create_user().await;
    platform.order().header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-00")).send().await.unwrap();
    for path in ["health", "ready", "metrics"] {
        reqwest::get(format!("{}/{path}", platform.users.server.url())).await.unwrap();
    }
    platform.stop().await;
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["POST /api/v1/users"]);
}

#[tokio::test]
async fn an_unreachable_collector_delays_neither_requests_nor_shutdown() {
    // Bound without listening, so that connections are refused.
    let refused = TcpSocket::new_v4().unwrap();
    refused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [refused.local_addr(), silent.local_addr()] {
        let platform = Platform::start(&format!("http://{}", address.unwrap())).await;
        platform.create_user().await;
        for _ in 0..20 {
            assert_eq!(platform.order().send().await.unwrap().status(), 201);
        }
        let log = platform.users.log.clone();
        platform.stop().await;
        assert!(log.text().contains("stopped"));
    }
}
