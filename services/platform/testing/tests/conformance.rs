//! Tests that golden examples and mock scenarios conform to the contracts, and that a violation is detected.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::time::Duration;

use contract::examples::{Example, Request};
use httpmock::{Mock, MockServer};
use service_testing::conformance::{check, check_mock};

const USERS: &str = include_str!("../../../../openapi/user-service.json");
const ORDERS: &str = include_str!("../../../../openapi/order-service.json");

fn examples() -> Vec<(&'static str, Example)> {
    let users = user_service_api::service_contract().examples().unwrap().into_iter().map(|example| (USERS, example));
    let orders = order_service_api::service_contract().examples().unwrap().into_iter().map(|example| (ORDERS, example));
    users.chain(orders).collect()
}

#[test]
fn the_contract_allows_every_golden_example() {
    for (document, example) in examples() {
        let body = example.response_body().map(|body| body.to_string()).unwrap_or_default();
        let checked = check(document, &example.operation, example.status, body.as_bytes());
        assert_eq!(checked, Ok(()), "{} {}", example.operation, example.status);
    }
}

#[test]
fn an_undocumented_status_body_or_code_is_rejected() {
    let user = r#"{"id": 1, "email": "user@example.com", "name": "John Doe"}"#;
    assert_eq!(check(USERS, "user_view", 200, user.as_bytes()), Ok(()));
    let error = |code: &str| format!(r#"{{"request_id": "r", "error_code": "{code}", "message": "m"}}"#);
    assert_eq!(check(USERS, "user_view", 404, error("user_not_found").as_bytes()), Ok(()));
    for (status, body) in [
        (201, user.to_owned()),
        (200, r#"{"id": 0, "email": "user@example.com", "name": "John Doe"}"#.to_owned()),
        (200, r#"{"id": 1, "email": "user@example.com"}"#.to_owned()),
        (200, String::new()),
        (404, error("email_taken")),
        (404, r#"{"request_id": "r", "message": "m"}"#.to_owned()),
    ] {
        assert!(check(USERS, "user_view", status, body.as_bytes()).is_err(), "{status} {body}");
    }
}

/// Whether a mock with the scenario that `mount` sets up answers as `document` allows.
async fn conforms(
    document: &str,
    operation: &str,
    request: &Request,
    mount: impl FnOnce(&MockServer) -> Mock<'_>,
) -> bool {
    let server = MockServer::start_async().await;
    mount(&server);
    check_mock(document, &server.base_url(), operation, request).await.is_ok()
}

fn read_request(name: &str) -> Request {
    Request { path: [(name.to_owned(), "1".to_owned())].into(), ..Request::default() }
}

#[tokio::test]
async fn scenarios_of_user_service_conform_except_down_and_nonsense() {
    use user_client::scenarios::Scenarios as _;
    let view = read_request("user_id");
    assert!(conforms(USERS, "user_view", &view, |server| server.unknown_user()).await);
    assert!(conforms(USERS, "user_view", &view, |server| server.slow(Duration::ZERO)).await);
    assert!(!conforms(USERS, "user_view", &view, |server| server.down()).await);
    assert!(!conforms(USERS, "user_view", &view, |server| server.nonsense()).await);
}

#[tokio::test]
async fn scenarios_of_order_service_conform_except_down_and_nonsense() {
    use order_client::scenarios::Scenarios as _;
    let view = read_request("order_id");
    let order = serde_json::json!({ "user_id": 7, "product_id": 456, "quantity": 2 });
    let create = Request { body: Some(order), ..Request::default() };
    assert!(conforms(ORDERS, "order_view", &view, |server| server.unknown_order()).await);
    assert!(conforms(ORDERS, "order_view", &view, |server| server.slow(Duration::ZERO)).await);
    assert!(conforms(ORDERS, "order_create", &create, |server| server.unknown_user()).await);
    assert!(!conforms(ORDERS, "order_view", &view, |server| server.down()).await);
    assert!(!conforms(ORDERS, "order_view", &view, |server| server.nonsense()).await);
}
