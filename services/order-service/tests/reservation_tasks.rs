//! Tests what product-service is told of the reservations of orders, whatever happens in between.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use chrono::{TimeDelta, Utc};
use httpmock::{Mock, MockServer};
use order_service::SERVICE;
use order_service::store::{OrderStore, ReservationTask};
use product_client::mock::MockServerExt as _;
use product_client::samples;
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, TestDatabase, config_of, on_both_databases};
use user_client::mock::MockServerExt as _;

/// Mocks of what order-service calls: every user exists, and product 1 can be reserved.
struct Called {
    users: MockServer,
    products: MockServer,
}

impl Called {
    async fn start() -> Self {
        let called = Self { users: MockServer::start_async().await, products: MockServer::start_async().await };
        called.users.user_view(|_, then| {
            then.ok(&user_client::samples::user_view());
        });
        called.products.reservation_create(|_, then| {
            then.created(&samples::reservation_create());
        });
        called
    }

    fn binding(&self) -> Mock<'_> {
        self.products.reservation_bind(|_, then| {
            then.ok(&samples::reservation_bind());
        })
    }

    fn releasing(&self) -> Mock<'_> {
        self.products.reservation_release(|_, then| {
            then.ok(&samples::reservation_release());
        })
    }

    async fn serve(&self, database: &TestDatabase) -> (Server, CapturedLog) {
        let urls = [("user-service", self.users.base_url()), ("product-service", self.products.base_url())];
        let log = CapturedLog::default();
        let config = config_of(&SERVICE, &database.url, &urls);
        (SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap(), log)
    }
}

async fn place(server: &Server) {
    let order = json!({"user_id": 1, "items": [{"product_id": 1, "quantity": 2}]});
    let request = reqwest::Client::new().post(format!("{}/api/v1/orders", server.url())).json(&order);
    assert_eq!(request.send().await.unwrap().status(), 201);
}

async fn set_status(server: &Server, status: &str) {
    let request = reqwest::Client::new().put(format!("{}/api/v1/orders/1/status", server.url()));
    assert_eq!(request.json(&json!({"status": status})).send().await.unwrap().status(), 200);
}

async fn order(server: &Server) -> Value {
    reqwest::get(format!("{}/api/v1/orders/1", server.url())).await.unwrap().json().await.unwrap()
}

async fn until_called(mock: &Mock<'_>, times: usize) {
    while mock.calls_async().await < times {
        tokio::task::yield_now().await;
    }
}

/// The tasks in the database, whenever they are due.
async fn tasks(store: &OrderStore) -> Vec<ReservationTask> {
    store.tasks.due(Utc::now() + TimeDelta::days(1), 1000).await.unwrap()
}

async fn until_no_task_is_left(store: &OrderStore) {
    while !tasks(store).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

async fn store(database: &TestDatabase) -> OrderStore {
    OrderStore::new(SERVICE.open(&database.url, 2).await.unwrap())
}

on_both_databases! {
    async fn a_reservation_is_bound_committed_and_released_with_its_order(database: TestDatabase) {
        let called = Called::start().await;
        let (bind, release) = (called.binding(), called.releasing());
        let commit = called.products.reservation_commit(|_, then| { then.ok(&samples::reservation_commit()); });
        let (server, _log) = called.serve(&database).await;
        let store = store(&database).await;
        place(&server).await;
        until_called(&bind, 1).await;
        until_no_task_is_left(&store).await;
        set_status(&server, "confirmed").await;
        until_called(&commit, 1).await;
        until_no_task_is_left(&store).await;
        assert_eq!(order(&server).await.get("cancellation_reason"), None);
        set_status(&server, "cancelled").await;
        until_called(&release, 1).await;
        until_no_task_is_left(&store).await;
        assert_eq!(order(&server).await["cancellation_reason"], "requested");
        // Nothing changes, so there is nothing to tell.
        set_status(&server, "cancelled").await;
        assert_eq!(tasks(&store).await, []);
        for mock in [&bind, &commit, &release] {
            mock.assert_calls(1);
        }
    }

    async fn a_task_is_retried_until_it_is_done_across_a_restart(database: TestDatabase) {
        let called = Called::start().await;
        let mut down = called.products.reservation_bind(|_, then| {
            then.service_unavailable(&samples::errors::database_unavailable());
        });
        let (server, log) = called.serve(&database).await;
        let store = store(&database).await;
        place(&server).await;
        while tasks(&store).await[0].attempts == 0 {
            tokio::task::yield_now().await;
        }
        assert!(log.text().contains("reservation task postponed"), "{}", log.text());
        server.stop().await;
        down.delete();
        let bind = called.binding();
        assert_eq!(tasks(&store).await.len(), 1);
        let (_server, _log) = called.serve(&database).await;
        until_called(&bind, 1).await;
        until_no_task_is_left(&store).await;
    }

    async fn an_order_whose_items_were_sold_meanwhile_is_cancelled(database: TestDatabase) {
        let called = Called::start().await;
        called.products.reservation_bind(|_, then| { then.conflict(&samples::errors::reservation_released()); });
        let release = called.releasing();
        let (server, log) = called.serve(&database).await;
        place(&server).await;
        until_called(&release, 1).await;
        let order = order(&server).await;
        assert_eq!((&order["status"], &order["cancellation_reason"]), (&json!("cancelled"), &json!("out_of_stock")));
        assert!(log.text().contains("reservation task refused"), "{}", log.text());
        until_no_task_is_left(&store(&database).await).await;
    }

    async fn an_answer_about_something_else_cancels_no_order(database: TestDatabase) {
        let called = Called::start().await;
        // As from a wrong address.
        called.products.reservation_bind(|_, then| { then.not_found(&samples::errors::product_not_found()); });
        let (server, _log) = called.serve(&database).await;
        let store = store(&database).await;
        place(&server).await;
        while tasks(&store).await[0].attempts == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(order(&server).await["status"], "created");
    }

    async fn a_refused_release_ends_its_task(database: TestDatabase) {
        let called = Called::start().await;
        let bind = called.binding();
        let release = called.products.reservation_release(|_, then| {
            then.not_found(&samples::errors::reservation_not_found());
        });
        let (server, _log) = called.serve(&database).await;
        let store = store(&database).await;
        place(&server).await;
        until_called(&bind, 1).await;
        set_status(&server, "cancelled").await;
        until_called(&release, 1).await;
        until_no_task_is_left(&store).await;
        assert_eq!(order(&server).await["cancellation_reason"], "requested");
    }

    async fn two_instances_bind_every_reservation(database: TestDatabase) {
        let called = Called::start().await;
        let bind = called.binding();
        let (one, other) = (called.serve(&database).await.0, called.serve(&database).await.0);
        let placed = (0..20).map(|number| place(if number % 2 == 0 { &one } else { &other }));
        futures::future::join_all(placed).await;
        until_no_task_is_left(&store(&database).await).await;
        assert!(bind.calls_async().await >= 20);
    }
}
