//! Tests placing an order with an `Idempotency-Key` while user-service refuses, is down or is silent. The generic suite
//! covers the rest.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::net::TcpListener;
use std::time::Duration;

use httpmock::MockServer;
use order_service::SERVICE;
use reqwest::Response;
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use user_client::mock::MockServerExt;
use user_client::samples;

async fn start(database: &TestDatabase, user_service_url: &str) -> Server {
    start_with(database, user_service_url, Duration::from_secs(60)).await
}

/// Starts order-service with this timeout for calls to user-service.
async fn start_with(database: &TestDatabase, user_service_url: &str, timeout: Duration) -> Server {
    let mut config = config_of(&SERVICE, &database.url, &[("user-service", user_service_url.to_owned())]);
    for dependency in config.dependencies.values_mut() {
        dependency.settings.timeout = timeout;
    }
    SERVICE.start(&config, &CapturedLog::default().logger(&[SERVICE.document])).await.unwrap()
}

async fn post(server: &Server, key: &str) -> Response {
    let order = json!({"user_id": 1, "product_id": 456, "quantity": 2});
    let request = reqwest::Client::new().post(format!("{}/api/v1/orders", server.url()));
    request.header("idempotency-key", key).json(&order).send().await.unwrap()
}

fn replayed(response: &Response) -> bool {
    response.headers().contains_key("idempotency-replayed")
}

async fn number_of_orders(server: &Server) -> usize {
    let page: Value = reqwest::get(format!("{}/api/v1/orders", server.url())).await.unwrap().json().await.unwrap();
    page["items"].as_array().unwrap().len()
}

on_both_databases! {
    async fn a_replay_needs_no_user_service(database: TestDatabase) {
        let users = MockServer::start_async().await;
        let mut known = users.user_view(|_, then| { then.ok(&samples::user_view()); });
        let server = start(&database, &users.base_url()).await;
        let first = post(&server, "k").await;
        assert_eq!((first.status().as_u16(), replayed(&first)), (201, false));
        let location = first.headers()["location"].clone();
        let bytes = first.bytes().await.unwrap();

        known.delete();
        let cancel = format!("{}/api/v1/orders/1/cancel", server.url());
        assert_eq!(reqwest::Client::new().post(cancel).send().await.unwrap().status(), 200);
        let again = post(&server, "k").await;
        assert_eq!((again.status().as_u16(), replayed(&again)), (201, true));
        assert_eq!(again.headers()["location"], location);
        assert_eq!(again.bytes().await.unwrap(), bytes);
        assert_eq!(number_of_orders(&server).await, 1);
    }

    async fn a_refused_order_can_be_retried_with_its_key(database: TestDatabase) {
        let users = MockServer::start_async().await;
        let mut unknown = users.user_view(|_, then| { then.not_found(&samples::errors::user_not_found()); });
        let server = start(&database, &users.base_url()).await;
        assert_eq!(post(&server, "k").await.status(), 404);
        unknown.delete();
        let mut down = users.mock(|_, then| { then.status(503); });
        assert_eq!(post(&server, "k").await.status(), 503);
        down.delete();
        users.user_view(|_, then| { then.ok(&samples::user_view()); });
        let placed = post(&server, "k").await;
        assert_eq!((placed.status().as_u16(), replayed(&placed)), (201, false));
        assert_eq!(number_of_orders(&server).await, 1);
    }

    async fn a_key_is_in_use_while_its_order_waits_for_user_service(database: TestDatabase) {
        // The kernel accepts the connection; no process answers on it.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let server = start_with(&database, &url, Duration::from_millis(500)).await;
        let (one, other) = tokio::join!(post(&server, "k"), post(&server, "k"));
        let mut statuses = [one.status().as_u16(), other.status().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [409, 503]);
        let refused = if one.status() == 409 { one } else { other };
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.json::<Value>().await.unwrap()["error_code"], "idempotency_key_in_use");
        assert_eq!(number_of_orders(&server).await, 0);
        // The key is free again.
        assert_eq!(post(&server, "k").await.status(), 503);
    }
}
