//! One order, followed through the logs of both services by one id.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

struct Platform {
    users: Server,
    orders: Server,
    users_log: CapturedLog,
    orders_log: CapturedLog,
    _databases: [TestDatabase; 2],
}

async fn start() -> Platform {
    let databases = [TestDatabase::new(Kind::Sqlite).await, TestDatabase::new(Kind::Sqlite).await];
    let (users_log, orders_log) = (CapturedLog::default(), CapturedLog::default());
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let config = user_service::Config::new(anywhere, databases[0].url.clone());
    let users = user_service::start(&config, &users_log.logger(&[user_service::DOCUMENT])).await.unwrap();
    let mut config = order_service::Config::new(anywhere, databases[1].url.clone(), users.url());
    // A loaded machine is no case of this test.
    config.user_service_attempt_timeout_ms = 60_000;
    config.user_service_timeout_ms = 60_000;
    let orders = order_service::start(&config, &orders_log.logger(&[order_service::DOCUMENT])).await.unwrap();
    Platform { users, orders, users_log, orders_log, _databases: databases }
}

/// Places an order for a user who exists; gives the request id of order-service.
async fn place_order(platform: &Platform, traceparent: Option<&str>) -> String {
    let client = reqwest::Client::new();
    let user = client.post(format!("{}/api/v1/users", platform.users.url()));
    user.json(&json!({"email": "user@example.com", "name": "John Doe"})).send().await.unwrap();
    let mut order = client.post(format!("{}/api/v1/orders", platform.orders.url()));
    if let Some(traceparent) = traceparent {
        order = order.header("traceparent", traceparent);
    }
    let answer = order.json(&json!({"user_id": 1, "product_id": 456, "quantity": 2})).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.headers()["x-request-id"].to_str().unwrap().to_owned()
}

/// The messages of the lines with this trace id.
fn lines(log: &CapturedLog, trace_id: &str) -> Vec<String> {
    let text = log.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_trace = lines.filter(|line| line["trace_id"] == trace_id);
    of_trace
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .filter(|text| text != "incoming request")
        .collect()
}

#[tokio::test]
async fn an_order_is_found_in_both_logs_by_the_trace_id_of_its_sender() {
    let platform = start().await;
    place_order(&platform, Some(&format!("00-{TRACE}-00f067aa0ba902b7-01"))).await;
    assert_eq!(lines(&platform.orders_log, TRACE), ["Created new order", "request completed"]);
    assert_eq!(lines(&platform.users_log, TRACE), ["request completed"]);
}

#[tokio::test]
async fn an_order_without_a_trace_of_its_own_is_found_in_both_logs_by_its_request_id() {
    for traceparent in [None, Some("00-canary-00f067aa0ba902b7-01")] {
        let platform = start().await;
        let trace_id = place_order(&platform, traceparent).await.replace('-', "");
        assert_eq!(lines(&platform.orders_log, &trace_id), ["Created new order", "request completed"]);
        assert_eq!(lines(&platform.users_log, &trace_id), ["request completed"]);
        assert!(!platform.orders_log.text().contains("canary"), "{}", platform.orders_log.text());
    }
}
