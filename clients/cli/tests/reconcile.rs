//! Tests `orders admin reconcile` against mocks of the services.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::process::Command;
use std::time::{Duration, Instant};

use httpmock::{HttpMockRequest, HttpMockResponse, MockServer};
use order_client::mock::MockServerExt as _;
use payment_client::mock::MockServerExt as _;
use payment_provider_client::mock::MockServerExt as _;
use product_client::mock::MockServerExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An address at which nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";
const TIME: &str = "2026-11-28T12:00:00.000000Z";
const RESERVATION: &str = "5f0c0d5e-6b0e-4c39-9a51-2f1f0d4b7c11";
const CHARGE: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/// All services at one address: an order with its payment, reservation and charge, on a second page one without prices.
struct Platform {
    services: MockServer,
}

impl Platform {
    /// `order` is the status of the order.
    async fn start(order: &str) -> Self {
        let platform = Self { services: MockServer::start_async().await };
        platform.services.order_list(|when, then| {
            when.page_token(None).limit(&of::<order_client::types::PageLimit>(json!(1000)));
            then.ok(&orders(order));
        });
        platform.with_the_rest()
    }

    fn with_the_rest(self) -> Self {
        let money = json!({ "amount": 1998, "currency": "EUR" });
        self.services.order_list(|when, then| {
            when.page_token("second");
            then.ok(&of(json!({ "items": [{
                "id": 1, "user_id": 1, "product_id": 1, "quantity": 1, "items": [], "status": "completed",
                "created_at": TIME, "updated_at": TIME,
            }] })));
        });
        self.services.payment_list(|when, then| {
            when.limit(&of::<payment_client::types::PageLimit>(json!(1000)));
            then.ok(&of(json!({ "items": [{
                "id": 7, "order_id": 2, "user_id": 1, "amount": money, "refunded": { "amount": 0, "currency": "EUR" },
                "status": "completed", "created_at": TIME, "updated_at": TIME,
            }] })));
        });
        self.services.reservation_list(|when, then| {
            when.limit(&of::<product_client::types::PageLimit>(json!(1000)));
            then.ok(&of(json!({ "items": [{
                "reservation_id": RESERVATION, "order_id": 2, "status": "committed", "created_at": TIME,
                "items": [{ "product_id": 1, "quantity": 2, "name": "Mug", "unit_price": money }],
            }] })));
        });
        self.services.product_list(|when, then| {
            when.limit(&of::<product_client::types::PageLimit>(json!(1000)));
            then.ok(&of(json!({ "items": [{
                "id": 1, "sku": "MUG-01", "name": "Mug", "category": "kitchen", "price": money, "stock": 8,
                "reserved": 0, "version": 1, "created_at": TIME, "updated_at": TIME,
            }] })));
        });
        self.services.charge_list(|when, then| {
            when.limit(&of::<payment_provider_client::types::PageLimit>(json!(1000)));
            then.ok(&of(json!({ "items": [{
                "charge_id": CHARGE, "status": "succeeded", "amount": money, "refunded": 0, "reference": "payments/7",
                "created_at": TIME,
            }] })));
        });
        self
    }

    async fn reconcile(&self, arguments: &[&str]) -> Ran {
        let mut program = Command::new(env!("CARGO_BIN_EXE_orders"));
        program.env_clear().args(["admin", "reconcile"]);
        for service in ["ORDER_SERVICE", "PAYMENT_SERVICE", "PRODUCT_SERVICE", "PAYMENT_PROVIDER"] {
            program.env(format!("{service}_URL"), self.services.base_url());
        }
        program.args(arguments);
        let output = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { exit_code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The newer page of orders: the order 2 in this status.
fn orders(status: &str) -> order_client::types::OrderPage {
    of(json!({ "next_page": "second", "items": [{
        "id": 2, "user_id": 1, "product_id": 1, "quantity": 2, "items": [], "status": status,
        "total": { "amount": 1998, "currency": "EUR" }, "created_at": TIME, "updated_at": TIME,
    }] }))
}

/// A value of the contract.
fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[derive(Debug)]
struct Ran {
    exit_code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The printed lines, of a command that could compare.
    fn lines(&self, exit_code: i32) -> Vec<Value> {
        assert_eq!((self.exit_code, self.stderr.as_str()), (exit_code, ""), "{self:?}");
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agrees_exits_with_0() {
    let platform = Platform::start("confirmed").await;
    let counts = json!({ "orders": 2, "payments": 1, "reservations": 1, "products": 1, "charges": 1, "findings": 0 });
    // Nothing is found: it is compared once, however long it could be compared again.
    let started = Instant::now();
    assert_eq!(platform.reconcile(&["--grace-s=30"]).await.lines(0), [counts]);
    assert!(started.elapsed() < Duration::from_secs(30), "it was compared again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_agree_is_listed_and_exits_with_7() {
    let platform = Platform::start("cancelled").await;
    let lines = platform.reconcile(&["--grace-s=1"]).await.lines(7);
    let [refund, release, counts] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(refund["code"], "cancelled_not_refunded");
    assert_eq!(refund["about"], json!(["orders/2", "payments/7"]));
    assert_eq!(refund["message"], "The order is cancelled, but 1998 EUR of its payment are not refunded.");
    assert!(refund["to_do"].as_str().unwrap().contains("orders payment-service refund-create"), "{refund}");
    assert_eq!(release["code"], "cancelled_still_reserved");
    assert_eq!(release["about"], json!(["orders/2", format!("reservations/{RESERVATION}")]));
    assert_eq!(counts["findings"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agrees_a_moment_later_is_no_finding() {
    let platform = Platform { services: MockServer::start_async().await };
    let read = std::sync::atomic::AtomicUsize::new(0);
    platform.services.order_list(move |when, then| {
        when.page_token(None);
        then.into_inner().respond_with(move |_: &HttpMockRequest| {
            // First its payment has not arrived yet, then a cancellation has not reached the others yet.
            let status = ["created", "cancelled"][read.fetch_add(1, std::sync::atomic::Ordering::Relaxed).min(1)];
            let body = serde_json::to_string(&orders(status)).unwrap();
            HttpMockResponse::builder().status(200).header("content-type", "application/json").body(body).build()
        });
    });
    let platform = platform.with_the_rest();
    let lines = platform.reconcile(&["--grace-s=30"]).await.lines(0);
    let [counts] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(counts["findings"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_answer_is_named() {
    let platform = Platform::start("cancelled").await;
    for service in ["order-service", "payment-service", "product-service", "payment-provider"] {
        let ran = platform.reconcile(&[&format!("--{service}-url={NOWHERE}")]).await;
        assert_eq!((ran.exit_code, ran.stdout.as_str()), (6, ""), "{service}: {ran:?}");
        let error: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert!(error["message"].as_str().unwrap().contains(&format!("from {service} at {NOWHERE}")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_exits_with_5() {
    let platform = Platform { services: MockServer::start_async().await }.with_the_rest();
    let error = json!({ "request_id": "1", "error_code": "overloaded", "message": "Overloaded" });
    platform.services.order_list(|when, then| {
        when.page_token(None);
        then.service_unavailable(&of(error.clone()));
    });
    let ran = platform.reconcile(&[]).await;
    assert_eq!((ran.exit_code, ran.stdout.as_str()), (5, ""), "{ran:?}");
    assert_eq!(serde_json::from_str::<Value>(&ran.stderr).unwrap(), error);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_the_provider_is_not_called() {
    let platform = Platform::start("confirmed").await;
    let provider = format!("--payment-provider-url={NOWHERE}");
    let lines = platform.reconcile(&["--without-ledger", &provider]).await.lines(0);
    let counts = json!({ "orders": 2, "payments": 1, "reservations": 1, "products": 1, "findings": 0 });
    assert_eq!(lines, [counts]);
}
