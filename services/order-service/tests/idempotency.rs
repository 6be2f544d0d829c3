//! Placing an order with an `Idempotency-Key`, on both databases. What holds for keys in general is tested with
//! user-service.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::HashSet;
use std::net::TcpListener;

use httpmock::MockServer;
use order_service::{Config, DOCUMENT};
use reqwest::Response;
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, on_both_databases};
use user_client::mock::MockServerExt;
use user_client::samples;

async fn start(database: &TestDatabase, user_service_url: &str) -> Server {
    start_with(database, user_service_url, 60_000).await
}

/// An order-service that waits so long for user-service.
async fn start_with(database: &TestDatabase, user_service_url: &str, timeout_ms: u32) -> Server {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), database.url.clone(), user_service_url.to_owned());
    config.user_service_attempt_timeout_ms = timeout_ms;
    config.user_service_timeout_ms = timeout_ms;
    order_service::start(&config, &CapturedLog::default().logger(&[DOCUMENT])).await.unwrap()
}

async fn post(server: &Server, key: &str, quantity: i64) -> Response {
    let order = json!({"user_id": 1, "product_id": 456, "quantity": quantity});
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
    async fn a_repeated_order_gets_its_receipt_again_without_user_service(database: TestDatabase) {
        let users = MockServer::start_async().await;
        let mut known = users.user_view(|_, then| { then.ok(&samples::user_view()); });
        let server = start(&database, &users.base_url()).await;
        let first = post(&server, "k", 2).await;
        assert_eq!((first.status().as_u16(), replayed(&first)), (201, false));
        let location = first.headers()["location"].clone();
        let bytes = first.bytes().await.unwrap();

        known.delete();
        let cancel = format!("{}/api/v1/orders/1/cancel", server.url());
        assert_eq!(reqwest::Client::new().post(cancel).send().await.unwrap().status(), 200);
        let again = post(&server, "k", 2).await;
        assert_eq!((again.status().as_u16(), replayed(&again)), (201, true));
        assert_eq!(again.headers()["location"], location);
        assert_eq!(again.bytes().await.unwrap(), bytes);
        assert_eq!(number_of_orders(&server).await, 1);

        let other = post(&server, "k", 3).await;
        assert_eq!(other.status(), 422);
        assert_eq!(other.json::<Value>().await.unwrap()["error_code"], "idempotency_key_reused");
    }

    async fn an_order_that_user_service_kept_from_being_placed_can_be_placed_later_with_its_key(database: TestDatabase) {
        let users = MockServer::start_async().await;
        let mut unknown = users.user_view(|_, then| { then.not_found(&samples::errors::user_not_found()); });
        let server = start(&database, &users.base_url()).await;
        assert_eq!(post(&server, "k", 2).await.status(), 404);
        unknown.delete();
        let mut down = users.mock(|_, then| { then.status(503); });
        assert_eq!(post(&server, "k", 2).await.status(), 503);
        down.delete();
        users.user_view(|_, then| { then.ok(&samples::user_view()); });
        let placed = post(&server, "k", 2).await;
        assert_eq!((placed.status().as_u16(), replayed(&placed)), (201, false));
        assert_eq!(number_of_orders(&server).await, 1);
    }

    async fn while_an_order_waits_for_user_service_its_key_is_in_use(database: TestDatabase) {
        // The kernel takes the connection; nobody answers on it.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = start_with(&database, &format!("http://{}", silent.local_addr().unwrap()), 500).await;
        let (one, other) = tokio::join!(post(&server, "k", 2), post(&server, "k", 2));
        let mut statuses = [one.status().as_u16(), other.status().as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [409, 503]);
        let refused = if one.status() == 409 { one } else { other };
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.json::<Value>().await.unwrap()["error_code"], "idempotency_key_in_use");
        assert_eq!(number_of_orders(&server).await, 0);
        // Nothing is stuck.
        assert_eq!(post(&server, "k", 2).await.status(), 503);
    }

    async fn of_twenty_equal_orders_at_once_one_is_placed(database: TestDatabase) {
        let users = MockServer::start_async().await;
        users.user_view(|_, then| { then.ok(&samples::user_view()); });
        let servers = [start(&database, &users.base_url()).await, start(&database, &users.base_url()).await];
        let responses = futures::future::join_all((0..20).map(|number| post(&servers[number % 2], "k", 2))).await;
        let first = responses.iter().filter(|response| response.status() == 201 && !replayed(response)).count();
        assert_eq!(first, 1);
        let mut receipts = HashSet::new();
        for response in responses {
            let status = response.status().as_u16();
            let body = response.text().await.unwrap();
            match status {
                201 => drop(receipts.insert(body)),
                _ => assert!(status == 409 && body.contains("idempotency_key_in_use"), "{status} {body}"),
            }
        }
        assert_eq!(receipts.len(), 1, "{receipts:?}");
        assert_eq!(number_of_orders(&servers[0]).await, 1);
    }
}
