//! Tests the metrics of both services at `/metrics`.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::BTreeMap;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::json;
use service_testing::{Started, start_all};

/// Starts both services.
async fn start() -> [Started; 2] {
    start_all([&user_service::SERVICE, &order_service::SERVICE], |_| ()).await
}

/// The name with labels and the value of every sample. Panics if a line is not a sample in the expected format.
async fn metrics(service: &Started) -> BTreeMap<String, f64> {
    let response = reqwest::get(format!("{}/metrics", service.server.url())).await.unwrap();
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().unwrap();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = response.text().await.unwrap();
    let samples = text.strip_suffix("# EOF\n").unwrap().lines().filter(|line| !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for sample in samples {
        let (name, value) = sample.rsplit_once(' ').unwrap();
        assert_eq!(all.insert(name.to_owned(), value.parse().unwrap()), None, "duplicate sample {name}");
    }
    all
}

fn request(service: &Started, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("{}{path}", service.server.url()))
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

fn requests(operation: &str, status: u16, error_code: &str) -> String {
    format!("http_server_requests_total{{operation=\"{operation}\",status=\"{status}\",error_code=\"{error_code}\"}}")
}

#[tokio::test]
async fn every_request_is_counted_whatever_its_outcome() {
    let [users, _] = &start().await;
    let john = json!({"email": "user@example.com", "name": "John Doe"});
    for (method, path, body, operation, expected, error_code) in [
        (Method::POST, "/api/v1/users", Some(&john), "user_create", 201, ""),
        (Method::POST, "/api/v1/users", Some(&john), "user_create", 409, "email_taken"),
        (Method::POST, "/api/v1/users", Some(&json!({})), "user_create", 400, "invalid_request"),
        (Method::GET, "/api/v1/users/1", None, "user_view", 200, ""),
        (Method::GET, "/api/v1/users/canary@example.com", None, "user_view", 400, "invalid_request"),
        (Method::GET, "/api/v1/users/2", None, "user_view", 404, "user_not_found"),
        (Method::PATCH, "/api/v1/users/1", None, "none", 405, ""),
        (Method::GET, "/canary@example.com", None, "none", 404, ""),
        (Method::GET, "/health", None, "health", 200, ""),
        (Method::GET, "/docs", None, "docs", 200, ""),
        (Method::GET, "/openapi.json", None, "openapi", 200, ""),
    ] {
        let count = requests(operation, expected, error_code);
        let before = metrics(users).await.get(&count).copied().unwrap_or_default();
        let mut request = request(users, method.clone(), path);
        if let Some(body) = body {
            request = request.json(body);
        }
        assert_eq!(status(request).await, expected, "{method} {path}");
        let after = metrics(users).await;
        assert_eq!(after.get(&count).copied(), Some(before + 1.0), "{count}");
        let duration =
            format!("http_server_request_duration_seconds_count{{operation=\"{operation}\",status=\"{expected}\"}}");
        assert!(after[&duration] >= 1.0, "{duration}");
        assert!(!after.keys().any(|name| name.contains("canary")));
    }
}

#[tokio::test]
async fn order_service_measures_its_calls_to_user_service() {
    let [users, orders] = start().await;
    let place = async || {
        let order = json!({"user_id": 1, "product_id": 456, "quantity": 2});
        status(request(&orders, Method::POST, "/api/v1/orders").json(&order)).await
    };
    assert_eq!(place().await, 404);
    request(&users, Method::POST, "/api/v1/users")
        .json(&json!({"email": "a@example.com", "name": "A"}))
        .send()
        .await
        .unwrap();
    assert_eq!(place().await, 201);
    users.server.stop().await;
    for _ in 0..21 {
        assert_eq!(place().await, 503);
    }

    let samples = metrics(&orders).await;
    let calls_with = |outcome: &str| {
        samples[&format!("dependency_call_duration_seconds_count{{dependency=\"user-service\",outcome=\"{outcome}\"}}")]
    };
    assert_eq!((calls_with("not_found"), calls_with("success"), calls_with("unavailable")), (1.0, 1.0, 21.0));
    let value = |name: &str| samples[&format!("{name}{{dependency=\"user-service\"}}")];
    assert_eq!(value("dependency_calls_total"), 23.0);
    assert_eq!(value("dependency_attempts_total"), value("dependency_retries_total") + 23.0 - refused_calls(&samples));
    assert!(value("dependency_retries_total") > 0.0 && refused_calls(&samples) > 0.0, "{samples:?}");
    assert_eq!((value("dependency_circuit_open"), value("dependency_active_attempts")), (1.0, 0.0));
    assert_eq!(value("dependency_active_attempts_limit"), 256.0);
    assert_eq!(samples[&requests("order_create", 503, "user_service_unavailable")], 21.0);
}

fn refused_calls(samples: &BTreeMap<String, f64>) -> f64 {
    samples["dependency_calls_refused_total{dependency=\"user-service\",reason=\"circuit_open\"}"]
}

#[tokio::test]
async fn services_in_one_process_have_separate_metrics() {
    let [users, orders] = &start().await;
    let (users, orders) = (metrics(users).await, metrics(orders).await);
    assert!(users.contains_key(&requests("user_view", 200, "")), "a series without requests is missing");
    assert!(!orders.contains_key(&requests("user_view", 200, "")));
    assert_eq!(users[r#"build_info{service_name="user-service",version="0.1.0"}"#], 1.0);
    assert_eq!(orders[r#"build_info{service_name="order-service",version="0.1.0"}"#], 1.0);
    assert!(!users.keys().any(|name| name.starts_with("dependency_")));
}

#[tokio::test]
async fn process_and_connection_metrics_are_reported() {
    let [users, _] = &start().await;
    let samples = metrics(users).await;
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        assert!(samples[name] > 0.0, "{name}");
    }
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - samples["process_start_time_seconds"];
    assert!((0.0..86_400.0).contains(&started), "{started}");
    assert_eq!(samples[r#"db_client_connection_max{pool="reader"}"#], 4.0);
    assert_eq!(samples[r#"db_client_connection_count{pool="writer",state="used"}"#], 0.0);
    assert_eq!(samples["http_server_active_requests_limit"], 1024.0);
    assert_eq!(samples["http_server_active_requests"], 0.0);
}
