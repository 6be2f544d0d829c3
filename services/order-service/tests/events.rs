//! Tests the events that order-service publishes, and what it does about those of others.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use httpmock::MockServer;
use order_service::SERVICE;
use payment_events::samples::{PAYMENT_COMPLETED, PAYMENT_FAILED, PAYMENT_REFUNDED};
use product_client::mock::MockServerExt as _;
use product_client::samples;
use product_events::samples::STOCK_REJECTED;
use serde_json::{Value, json};
use service_runtime::events::Transport;
use service_runtime::server::Server;
use service_runtime::with_pool;
use service_testing::{CapturedLog, Listener, TestCarrier, TestDatabase, config_of, on_both_databases, publish};
use user_client::mock::MockServerExt as _;
use uuid::Uuid;

/// order-service, and mocks of what it calls: every user exists, and product 1 can be reserved.
struct Running {
    server: Server,
    log: CapturedLog,
    _called: [MockServer; 2],
}

async fn start(database: &TestDatabase, transport: Transport) -> Running {
    let (users, products) = (MockServer::start_async().await, MockServer::start_async().await);
    users.user_view(|_, then| {
        then.ok(&user_client::samples::user_view());
    });
    products.reservation_create(|_, then| {
        then.created(&samples::reservation_create());
    });
    let urls = [("user-service", users.base_url()), ("product-service", products.base_url())];
    let mut config = config_of(&SERVICE, &database.url, &urls);
    config.transport = Some(transport);
    let log = CapturedLog::default();
    let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
    Running { server, log, _called: [users, products] }
}

impl Running {
    async fn place(&self) {
        let order = json!({"user_id": 1, "items": [{"product_id": 1, "quantity": 2}], "payment_method": "tok_ok"});
        let request = reqwest::Client::new().post(format!("{}/api/v1/orders", self.server.url())).json(&order);
        assert_eq!(request.send().await.unwrap().status(), 201);
    }

    async fn set_status(&self, order: u64, status: &str) {
        let request = reqwest::Client::new().put(format!("{}/api/v1/orders/{order}/status", self.server.url()));
        assert_eq!(request.json(&json!({"status": status})).send().await.unwrap().status(), 200);
    }

    async fn order(&self) -> Value {
        self.order_with_id(1).await
    }

    async fn order_with_id(&self, id: u64) -> Value {
        reqwest::get(format!("{}/api/v1/orders/{id}", self.server.url())).await.unwrap().json().await.unwrap()
    }
}

/// The example of `stock.rejected`, as it is sent.
fn stock_rejected() -> Value {
    serde_json::from_str(STOCK_REJECTED).unwrap()
}

/// The example `text` of an event of payment-service, as it is sent, with an id of its own.
fn payment_event(text: &str) -> Value {
    let mut event: Value = serde_json::from_str(text).unwrap();
    event["id"] = json!(Uuid::new_v4());
    event
}

/// The examples in `events.json` of the API crate, by type.
fn examples(name: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../api/events.json")).unwrap();
    all.into_iter().filter(|example| example["type"] == name).map(|example| example["data"].clone()).collect()
}

on_both_databases! {
    async fn the_events_of_an_order_match_the_examples(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let names = ["order.created", "order.confirmed", "order.completed", "order.cancelled"];
        let mut listener = Listener::new(&transport, &names).await;
        let running = start(&database, transport).await;
        for (order, last) in [(1, "cancelled"), (2, "completed")] {
            running.place().await;
            running.set_status(order, "confirmed").await;
            // Nothing changes, so nothing is published.
            running.set_status(order, "confirmed").await;
            running.set_status(order, last).await;
            let mut reservation_id = None;
            for name in ["order.created", "order.confirmed", &format!("order.{last}")] {
                let event = listener.next().await;
                let mut example = examples(name).remove(0);
                example["order_id"] = order.into();
                // It is drawn for each order.
                let drawn = reservation_id.get_or_insert_with(|| event["data"]["reservation_id"].clone());
                if let Some(id) = example.get_mut("reservation_id") {
                    *id = drawn.clone();
                }
                if let Some(due_at) = example.get_mut("payment_due_at") {
                    let order = running.order_with_id(order).await;
                    assert!(order["payment_due_at"].is_null() && event["data"]["payment_due_at"].is_string(), "{event}");
                    *due_at = event["data"]["payment_due_at"].clone();
                }
                assert_eq!((&event["type"], &event["data"]), (&json!(name), &example));
                assert_eq!((&event["source"], &event["subject"]), (&json!("/order-service"), &json!(order.to_string())));
                assert_eq!(event["traceparent"].as_str().unwrap().len(), 55, "{event}");
            }
        }
    }

    async fn an_order_whose_items_were_sold_meanwhile_is_cancelled(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let mut listener = Listener::new(&transport, &["order.cancelled"]).await;
        let running = start(&database, transport.clone()).await;
        running.place().await;
        publish(&transport, &stock_rejected()).await;
        let cancelled = listener.next().await;
        assert_eq!(cancelled["data"]["reason"], "out_of_stock");
        let trace = |event: &Value| event["traceparent"].as_str().unwrap()[3..35].to_owned();
        assert_eq!(trace(&cancelled), trace(&stock_rejected()));
        let order = running.order().await;
        assert_eq!((&order["status"], &order["cancellation_reason"]), (&json!("cancelled"), &json!("out_of_stock")));
    }

    async fn a_completed_order_without_stock_is_left_to_a_person(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let running = start(&database, transport.clone()).await;
        running.place().await;
        running.set_status(1, "confirmed").await;
        running.set_status(1, "completed").await;
        publish(&transport, &stock_rejected()).await;
        while !running.log.text().contains("event handled") {
            tokio::task::yield_now().await;
        }
        assert!(running.log.text().contains("completed order has no stock"), "{}", running.log.text());
        assert_eq!(running.order().await["status"], "completed");
    }

    async fn a_payment_of_the_total_confirms_an_order(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let mut listener = Listener::new(&transport, &["order.confirmed", "order.cancelled"]).await;
        let running = start(&database, transport.clone()).await;
        running.place().await;
        let mut wrong = payment_event(PAYMENT_COMPLETED);
        wrong["data"]["amount"]["amount"] = json!(3995);
        publish(&transport, &wrong).await;
        while !running.log.text().contains("payment is not the total of its order") {
            tokio::task::yield_now().await;
        }
        let paid = payment_event(PAYMENT_COMPLETED);
        publish(&transport, &paid).await;
        let confirmed = listener.next().await;
        assert_eq!((&confirmed["type"], &confirmed["data"]["total"]), (&json!("order.confirmed"), &paid["data"]["amount"]));
        let trace = |event: &Value| event["traceparent"].as_str().unwrap()[3..35].to_owned();
        assert_eq!(trace(&confirmed), trace(&paid));
        // Given back in part, and then wholly.
        let mut part = payment_event(PAYMENT_REFUNDED);
        part["data"]["remaining"]["amount"] = json!(1);
        publish(&transport, &part).await;
        publish(&transport, &payment_event(PAYMENT_REFUNDED)).await;
        let cancelled = listener.next().await;
        assert_eq!(cancelled["data"]["reason"], "requested");
    }

    async fn a_failed_payment_cancels_an_order(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let mut listener = Listener::new(&transport, &["order.cancelled"]).await;
        let running = start(&database, transport.clone()).await;
        running.place().await;
        publish(&transport, &payment_event(PAYMENT_FAILED)).await;
        assert_eq!(listener.next().await["data"]["reason"], "payment_failed");
    }

    async fn an_order_that_nobody_pays_is_cancelled_in_time(database: TestDatabase) {
        let carrier = TestCarrier::embedded();
        let transport = carrier.open().await;
        let mut listener = Listener::new(&transport, &["order.cancelled"]).await;
        let running = start(&database, transport).await;
        running.place().await;
        // As if its time were over.
        let opened = SERVICE.open(&database.url, 1).await.unwrap();
        with_pool!(opened.writer(), |pool| async {
            sqlx::query("UPDATE orders SET payment_due_at = created_at").execute(pool).await.map(drop)
        })
        .unwrap();
        assert_eq!(listener.next().await["data"]["reason"], "payment_timeout");
        let metrics = reqwest::get(format!("{}/metrics", running.server.url())).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("\norders_overdue_seconds "), "{metrics}");
    }
}
