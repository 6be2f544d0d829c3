//! payment-service as others see it: real HTTP and events, and a mock of the provider that misbehaves, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use httpmock::MockServer;
use payment_client::{Client, types};
use payment_provider_client::mock::MockServerExt as _;
use payment_provider_client::samples;
use payment_service::SERVICE;
use serde_json::{Value, json};
use service_runtime::events::Transport;
use service_runtime::server::Server;
use service_testing::{CapturedLog, Listener, TestCarrier, TestDatabase, config_of, on_both_databases, publish};

/// payment-service and a mock of its provider.
struct Running {
    client: Client,
    provider: MockServer,
    transport: Transport,
    log: CapturedLog,
    _server: Server,
    _carrier: TestCarrier,
}

async fn start(database: &TestDatabase) -> Running {
    let provider = MockServer::start_async().await;
    let carrier = TestCarrier::embedded();
    let transport = carrier.open().await;
    let mut config = config_of(&SERVICE, &database.url, &[("payment-provider", provider.base_url())]);
    config.transport = Some(transport.clone());
    let log = CapturedLog::default();
    let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
    Running { client: Client::plain(&server.url()), provider, transport, log, _server: server, _carrier: carrier }
}

impl Running {
    /// Waits until a payment has a status.
    async fn payment(&self, id: i64, status: types::PaymentStatus) -> types::Payment {
        loop {
            let payment = self.client.payment_view().payment_id(id).send().await.unwrap().into_inner();
            if payment.status == status {
                return payment;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn handled(&self, event: &Value) {
        let id = event["id"].as_str().unwrap();
        while !self.log.text().lines().any(|line| line.contains("event handled") && line.contains(id)) {
            tokio::task::yield_now().await;
        }
    }
}

fn order_created() -> Value {
    serde_json::from_str(order_events::samples::ORDER_CREATED).unwrap()
}

fn order_cancelled() -> Value {
    let mut event: Value = serde_json::from_str(order_events::samples::ORDER_CANCELLED).unwrap();
    event["id"] = json!("019acd4e-0000-7000-8000-000000000001");
    event
}

/// The first example of the events of this type in `events.json` of the API crate.
fn example(name: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(include_str!("../api/events.json")).unwrap();
    all.into_iter().find(|example| example["type"] == name).unwrap()["data"].take()
}

on_both_databases! {
    async fn the_events_of_a_payment_match_the_examples(database: TestDatabase) {
        let running = start(&database).await;
        let names = ["payment.completed", "payment.failed", "payment.refunded"];
        let mut listener = Listener::new(&running.transport, &names).await;
        running.provider.charge_create(|_, then| drop(then.created(&samples::charge_create())));
        running.provider.refund_create(|_, then| drop(then.created(&samples::refund_create())));
        let created = order_created();
        publish(&running.transport, &created).await;
        let completed = listener.next().await;
        assert_eq!((&completed["type"], &completed["data"]), (&json!("payment.completed"), &example("payment.completed")));
        assert_eq!((&completed["source"], &completed["subject"]), (&json!("/payment-service"), &json!("1")));
        let trace = |event: &Value| event["traceparent"].as_str().unwrap()[3..35].to_owned();
        assert_eq!(trace(&completed), trace(&created));
        publish(&running.transport, &order_cancelled()).await;
        let refunded = listener.next().await;
        assert_eq!((&refunded["type"], &refunded["data"]), (&json!("payment.refunded"), &example("payment.refunded")));

        running.provider.reset();
        let mut declined = samples::charge_create();
        declined.status = payment_provider_client::types::ChargeStatus::Declined;
        running.provider.charge_create(|_, then| drop(then.created(&declined)));
        let mut other = order_created();
        (other["id"], other["data"]["order_id"]) = (json!("019acd4e-0000-7000-8000-000000000002"), json!(2));
        publish(&running.transport, &other).await;
        let failed = listener.next().await;
        let mut expected = example("payment.failed");
        (expected["payment_id"], expected["order_id"]) = (json!(2), json!(2));
        assert_eq!((&failed["type"], &failed["data"]), (&json!("payment.failed"), &expected));
    }

    async fn an_unknown_outcome_is_asked_for_again_with_the_same_id(database: TestDatabase) {
        let running = start(&database).await;
        let broken = running.provider.charge_create(|_, then| drop(then.internal_server_error(&samples::errors::internal_error())));
        publish(&running.transport, &order_created()).await;
        while broken.calls() < 3 {
            tokio::task::yield_now().await;
        }
        running.payment(1, types::PaymentStatus::Pending).await;
        running.provider.reset();
        let charged = running.provider.charge_create(|_, then| drop(then.created(&samples::charge_create())));
        running.payment(1, types::PaymentStatus::Completed).await;
        assert_eq!(charged.calls(), 1);
        // What was asked is in the log of the mock only; that it was the same id is shown against the real provider.
        assert!(running.log.text().contains("outcome of a payment is unknown"), "{}", running.log.text());
    }

    async fn a_payment_without_an_outcome_is_cancelled_with_its_order(database: TestDatabase) {
        let running = start(&database).await;
        let broken = running.provider.charge_create(|_, then| drop(then.service_unavailable(&samples::errors::database_unavailable())));
        publish(&running.transport, &order_created()).await;
        while broken.calls() == 0 {
            tokio::task::yield_now().await;
        }
        let mut cancelled = samples::charge_create();
        cancelled.status = payment_provider_client::types::ChargeStatus::Cancelled;
        running.provider.charge_cancel(|_, then| drop(then.ok(&cancelled)));
        publish(&running.transport, &order_cancelled()).await;
        let payment = running.payment(1, types::PaymentStatus::Failed).await;
        assert_eq!(payment.failure_reason, Some(types::FailureReason::OrderCancelled));
    }

    async fn a_cancellation_that_overtakes_its_order_leaves_nothing_to_pay(database: TestDatabase) {
        let running = start(&database).await;
        let charge = running.provider.charge_create(|_, then| drop(then.created(&samples::charge_create())));
        publish(&running.transport, &order_cancelled()).await;
        running.handled(&order_cancelled()).await;
        publish(&running.transport, &order_created()).await;
        running.handled(&order_created()).await;
        assert_eq!(running.client.payment_list().send().await.unwrap().items, []);
        assert_eq!(charge.calls(), 0);
    }

    async fn no_payment_method_is_in_a_log(database: TestDatabase) {
        let running = start(&database).await;
        let mut refused = samples::errors::internal_error();
        refused.message = "tok_canary".to_owned();
        running.provider.charge_create(|_, then| drop(then.internal_server_error(&refused)));
        let mut created = order_created();
        created["data"]["payment_method"] = json!("tok_canary");
        publish(&running.transport, &created).await;
        while !running.log.text().contains("outcome of a payment is unknown") {
            tokio::task::yield_now().await;
        }
        assert!(!running.log.text().contains("tok_canary"), "{}", running.log.text());
    }
}
