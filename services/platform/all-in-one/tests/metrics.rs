//! What both services tell of themselves at `/metrics`, as Prometheus reads it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;
use std::io;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::json;
use service_runtime::log::to_writer;
use service_runtime::server::Server;
use service_testing::{Kind, TestDatabase};
use slog::Level;

struct Platform {
    users: Server,
    orders: Server,
    _databases: [TestDatabase; 2],
}

/// Both services, with a log that keeps nothing but errors.
async fn start() -> Platform {
    let databases = [TestDatabase::new(Kind::Sqlite).await, TestDatabase::new(Kind::Sqlite).await];
    let log = to_writer("test", Level::Error, &[], io::sink());
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let users = user_service::Config::new(anywhere, databases[0].url.clone());
    let users = user_service::start(&users, &log).await.unwrap();
    let orders = order_service::Config::new(anywhere, databases[1].url.clone(), users.url());
    let orders = order_service::start(&orders, &log).await.unwrap();
    Platform { users, orders, _databases: databases }
}

/// Every sample: its name with its labels, and its value. It panics at what is not OpenMetrics as we write it.
async fn metrics(server: &Server) -> BTreeMap<String, f64> {
    let answer = reqwest::get(format!("{}/metrics", server.url())).await.unwrap();
    assert_eq!(answer.status(), 200);
    let content_type = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text().await.unwrap();
    let samples = text.strip_suffix("# EOF\n").unwrap().lines().filter(|line| !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for sample in samples {
        let (name, value) = sample.rsplit_once(' ').unwrap();
        assert_eq!(all.insert(name.to_owned(), value.parse().unwrap()), None, "{name} stands there twice");
    }
    all
}

fn request(server: &Server, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("{}{path}", server.url()))
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

fn requests(operation: &str, status: u16, error_code: &str) -> String {
    format!("http_server_requests_total{{operation=\"{operation}\",status=\"{status}\",error_code=\"{error_code}\"}}")
}

#[tokio::test]
async fn every_request_is_counted_however_it_ends_and_whatever_is_logged() {
    let Platform { users, .. } = &start().await;
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
async fn what_clients_make_up_adds_no_metric() {
    let Platform { users, .. } = &start().await;
    let ask = async |number: u32| {
        let method = if number.is_multiple_of(2) {
            Method::GET
        } else {
            Method::from_bytes(format!("M{number}").as_bytes()).unwrap()
        };
        status(request(users, method, &format!("/canary-{number}/{number}?canary={number}"))).await;
        status(request(users, Method::GET, &format!("/api/v1/users/canary-{number}"))).await;
    };
    for number in 0..4 {
        ask(number).await;
    }
    metrics(users).await;
    let before: Vec<String> = metrics(users).await.into_keys().collect();
    for number in 4..500 {
        ask(number).await;
    }
    assert_eq!(metrics(users).await.into_keys().collect::<Vec<_>>(), before);
}

#[tokio::test]
async fn calls_to_user_service_are_seen_from_order_service() {
    let Platform { users, orders, _databases } = start().await;
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
    users.stop().await;
    for _ in 0..21 {
        assert_eq!(place().await, 503);
    }

    let seen = metrics(&orders).await;
    let ended = |outcome: &str| {
        seen[&format!("dependency_call_duration_seconds_count{{dependency=\"user-service\",outcome=\"{outcome}\"}}")]
    };
    assert_eq!((ended("not_found"), ended("success"), ended("unavailable")), (1.0, 1.0, 21.0));
    let of = |name: &str| seen[&format!("{name}{{dependency=\"user-service\"}}")];
    assert_eq!(of("dependency_calls_total"), 23.0);
    assert_eq!(of("dependency_attempts_total"), of("dependency_retries_total") + 23.0 - refused(&seen));
    assert!(of("dependency_retries_total") > 0.0 && refused(&seen) > 0.0, "{seen:?}");
    assert_eq!((of("dependency_circuit_open"), of("dependency_active_attempts")), (1.0, 0.0));
    assert_eq!(of("dependency_active_attempts_limit"), 64.0);
    assert_eq!(seen[&requests("order_create", 503, "user_service_unavailable")], 21.0);
}

fn refused(seen: &BTreeMap<String, f64>) -> f64 {
    seen["dependency_calls_refused_total{dependency=\"user-service\",reason=\"circuit_open\"}"]
}

#[tokio::test]
async fn each_service_of_a_process_has_metrics_of_its_own() {
    let Platform { users, orders, .. } = &start().await;
    let (users, orders) = (metrics(users).await, metrics(orders).await);
    assert!(users.contains_key(&requests("user_view", 200, "")), "what never happened stands at zero");
    assert!(!orders.contains_key(&requests("user_view", 200, "")));
    assert_eq!(users[r#"build_info{service_name="user-service",version="0.1.0"}"#], 1.0);
    assert_eq!(orders[r#"build_info{service_name="order-service",version="0.1.0"}"#], 1.0);
    assert!(!users.keys().any(|name| name.starts_with("dependency_")));
}

#[tokio::test]
async fn process_and_connections_are_told() {
    let Platform { users, .. } = &start().await;
    let seen = metrics(users).await;
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        assert!(seen[name] > 0.0, "{name}");
    }
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - seen["process_start_time_seconds"];
    assert!((0.0..86_400.0).contains(&started), "{started}");
    assert_eq!(seen[r#"db_client_connection_max{pool="reader"}"#], 4.0);
    assert_eq!(seen[r#"db_client_connection_count{pool="writer",state="used"}"#], 0.0);
    assert_eq!(seen["http_server_active_requests_limit"], 1024.0);
    assert_eq!(seen["http_server_active_requests"], 0.0);
}
