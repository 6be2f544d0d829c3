//! Tests that the logs of both services have the same trace id for an order.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use serde_json::{Value, json};
use service_testing::{CapturedLog, Started, start_all};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn start() -> [Started; 2] {
    start_all([&user_service::SERVICE, &order_service::SERVICE], |_| ()).await
}

/// Places an order for an existing user; returns the request id of order-service.
async fn place_order([users, orders]: &[Started; 2], traceparent: Option<&str>) -> String {
    let client = reqwest::Client::new();
    let user = client.post(format!("{}/api/v1/users", users.server.url()));
    user.json(&json!({"email": "user@example.com", "name": "John Doe"})).send().await.unwrap();
    let mut order = client.post(format!("{}/api/v1/orders", orders.server.url()));
    if let Some(traceparent) = traceparent {
        order = order.header("traceparent", traceparent);
    }
    let response = order.json(&json!({"user_id": 1, "product_id": 456, "quantity": 2})).send().await.unwrap();
    assert_eq!(response.status(), 201);
    response.headers()["x-request-id"].to_str().unwrap().to_owned()
}

/// The messages of the log lines with this trace id, except `incoming request`.
fn messages(log: &CapturedLog, trace_id: &str) -> Vec<String> {
    let text = log.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_trace = lines.filter(|line| line["trace_id"] == trace_id);
    of_trace
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .filter(|text| text != "incoming request")
        .collect()
}

#[tokio::test]
async fn both_logs_have_the_trace_id_of_the_client() {
    let platform = start().await;
    place_order(&platform, Some(&format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
    let [users, orders] = &platform;
    assert_eq!(messages(&orders.log, TRACE), ["order created", "request completed"]);
    assert_eq!(messages(&users.log, TRACE), ["request completed"]);
}

#[tokio::test]
async fn without_a_trace_id_both_logs_have_the_request_id() {
    for traceparent in [None, Some("00-canary-00f067aa0ba902b7-01")] {
        let platform = start().await;
        let trace_id = place_order(&platform, traceparent).await.replace('-', "");
        let [users, orders] = &platform;
        assert_eq!(messages(&orders.log, &trace_id), ["order created", "request completed"]);
        assert_eq!(messages(&users.log, &trace_id), ["request completed"]);
        assert!(!orders.log.text().contains("canary"), "{}", orders.log.text());
    }
}
