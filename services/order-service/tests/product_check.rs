//! Tests placing an order while product-service reserves, refuses, is down, is silent or answers what its contract forbids.
//!
//! The typed mocks of its client stand in for product-service, and those of its client for user-service.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use httpmock::{Mock, MockServer};
use order_service::SERVICE;
use product_client::mock::MockServerExt as _;
use product_client::{error_codes, samples, types};
use serde_json::{Value, json};
use service_runtime::config::Config;
use service_runtime::database::DatabaseUrl;
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of, on_both_databases};
use sqlx::{ConnectOptions, Connection, Executor};
use user_client::mock::MockServerExt as _;

/// order-service and mocks of what it calls; user 1 exists, and product 1 can be reserved.
struct Running {
    server: Server,
    log: CapturedLog,
    products: MockServer,
    _users: MockServer,
}

async fn start(database: &TestDatabase) -> Running {
    let running = start_without_products(database).await;
    running.products.reservation_create(|_, then| {
        then.created(&samples::reservation_create());
    });
    running
}

/// Starts order-service with a product-service that has no answers yet.
async fn start_without_products(database: &TestDatabase) -> Running {
    let (users, products) = (MockServer::start_async().await, MockServer::start_async().await);
    users.user_view(|when, then| {
        when.user_id(&1.try_into().unwrap());
        then.ok(&user_client::samples::user_view());
    });
    users.user_view(|_, then| {
        then.not_found(&user_client::samples::errors::user_not_found());
    });
    let config = config(database, users.base_url(), products.base_url());
    let (server, log) = serve(&config).await;
    Running { server, log, products, _users: users }
}

fn config(database: &TestDatabase, users: String, products: String) -> Config {
    config_of(&SERVICE, &database.url, &[("user-service", users), ("product-service", products)])
}

async fn serve(config: &Config) -> (Server, CapturedLog) {
    let log = CapturedLog::default();
    (SERVICE.start(config, &log.logger(&[SERVICE.document])).await.unwrap(), log)
}

/// Two of product 1, for user 1.
fn order() -> Value {
    json!({"user_id": 1, "items": [{"product_id": 1, "quantity": 2}]})
}

async fn post(server: &Server, key: Option<&str>, order: &Value) -> (u16, Value) {
    let mut request = reqwest::Client::new().post(format!("{}/api/v1/orders", server.url())).json(order);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(server: &Server, path: &str) -> Value {
    reqwest::get(format!("{}{path}", server.url())).await.unwrap().json().await.unwrap()
}

/// Places `order`, and checks that it is refused like this and not stored.
async fn expect_refusal(server: &Server, order: &Value, status: u16, code: &str, case: &str) -> String {
    let (actual, body) = post(server, None, order).await;
    assert_eq!((actual, &body["error_code"]), (status, &json!(code)), "{case}: {body}");
    assert_eq!(get(server, "/api/v1/orders").await, json!({"items": []}), "{case}");
    body["message"].as_str().unwrap().to_owned()
}

/// Returns once `mock` was called `times` times.
async fn until_called(mock: &Mock<'_>, times: usize) {
    while mock.calls_async().await < times {
        tokio::task::yield_now().await;
    }
}

fn releasing(products: &MockServer) -> Mock<'_> {
    products.reservation_release(|_, then| {
        then.ok(&samples::reservation_release());
    })
}

fn error(code: &'static str, message: &str) -> types::Error {
    types::Error { error_code: Some(code.to_owned()), message: message.to_owned(), request_id: "r".to_owned() }
}

/// A reservation of these products: id, quantity, price of a unit, currency.
fn reservation(items: &[(i64, i64, i64, &str)]) -> types::Reservation {
    let item = |(product_id, quantity, amount, currency): &(i64, i64, i64, &str)| {
        json!({"product_id": product_id, "quantity": quantity, "name": format!("Product {product_id}"),
               "unit_price": {"amount": amount, "currency": currency}})
    };
    let mut reservation = serde_json::to_value(samples::reservation_create()).unwrap();
    reservation["items"] = items.iter().map(item).collect();
    serde_json::from_value(reservation).unwrap()
}

on_both_databases! {
    async fn an_order_keeps_the_names_and_prices_of_its_reservation(database: TestDatabase) {
        let service = start_without_products(&database).await;
        let expected = json!({"items": [{"product_id": 7, "quantity": 3}, {"product_id": 1, "quantity": 2}]});
        let create = service.products.reservation_create(|when, then| {
            when.into_inner().json_body_includes(expected.to_string());
            then.created(&reservation(&[(1, 2, 1998, "EUR"), (7, 3, 5, "EUR")]));
        });
        let order = json!({"user_id": 1, "items": expected["items"], "payment_method": "tok_secret",
                           "expected_total": {"amount": 4011, "currency": "EUR"}});
        let placed = post(&service.server, None, &order).await;
        assert_eq!(placed, (201, json!({"order_id": 1, "status": "created"})));
        create.assert_calls(1);

        let order = get(&service.server, "/api/v1/orders/1").await;
        let money = |amount: i64| json!({"amount": amount, "currency": "EUR"});
        let items = json!([
            {"product_id": 7, "name": "Product 7", "quantity": 3, "unit_price": money(5), "subtotal": money(15)},
            {"product_id": 1, "name": "Product 1", "quantity": 2, "unit_price": money(1998), "subtotal": money(3996)},
        ]);
        assert_eq!((&order["product_id"], &order["quantity"]), (&json!(7), &json!(3)), "{order}");
        assert_eq!((&order["items"], &order["total"]), (&items, &money(4011)), "{order}");
        assert_eq!(get(&service.server, "/api/v1/orders").await["items"][0], order);
        assert!(!order.to_string().contains("tok_secret") && !service.log.text().contains("tok_secret"));
    }

    async fn a_replayed_order_reserves_nothing(database: TestDatabase) {
        let service = start_without_products(&database).await;
        let create = service.products.reservation_create(|_, then| { then.created(&samples::reservation_create()); });
        let first = post(&service.server, Some("k"), &order()).await;
        assert_eq!(first.0, 201, "{first:?}");
        assert_eq!(post(&service.server, Some("k"), &order()).await, first);
        create.assert_calls(1);
    }

    async fn without_product_service_several_items_have_no_prices(database: TestDatabase) {
        let users = MockServer::start_async().await;
        users.user_view(|_, then| { then.ok(&user_client::samples::user_view()); });
        let config = config_of(&SERVICE, &database.url, &[("user-service", users.base_url())]);
        let (server, _log) = serve(&config).await;
        let items = json!([{"product_id": 8, "quantity": 2}, {"product_id": 456, "quantity": 1}]);
        let order = json!({"user_id": 1, "items": items, "expected_total": {"amount": 1, "currency": "EUR"}});
        assert_eq!(post(&server, None, &order).await.0, 201);
        let order = get(&server, "/api/v1/orders/1").await;
        assert_eq!((&order["items"], order.get("total")), (&items, None), "{order}");
    }

    async fn nothing_stays_reserved_for_an_order_that_is_not_stored(database: TestDatabase) {
        let service = start_without_products(&database).await;
        let release = releasing(&service.products);
        let items = json!([{"product_id": 1, "quantity": 1}, {"product_id": 2, "quantity": 1}]);
        let order = |user: i64| json!({"user_id": user, "items": items});
        let expecting = |amount: i64, currency: &str| {
            json!({"user_id": 1, "items": items, "expected_total": {"amount": amount, "currency": currency}})
        };
        let largest = 9_007_199_254_740_991_i64;
        for (number, (reserved, order, status, code)) in [
            ([(1, 1, 5, "EUR"), (2, 1, 5, "EUR")], order(2), 404, "user_not_found"),
            ([(1, 1, 5, "EUR"), (2, 1, 5, "JPY")], order(1), 422, "mixed_currencies"),
            ([(1, 1, largest, "EUR"), (2, 1, 1, "EUR")], order(1), 422, "total_too_large"),
            ([(1, 1, 5, "EUR"), (2, 1, 5, "EUR")], expecting(11, "EUR"), 409, "price_changed"),
            ([(1, 1, 5, "EUR"), (2, 1, 5, "EUR")], expecting(10, "JPY"), 409, "price_changed"),
        ].into_iter().enumerate() {
            let mut create = service.products.reservation_create(|_, then| { then.created(&reservation(&reserved)); });
            expect_refusal(&service.server, &order, status, code, code).await;
            until_called(&release, number + 1).await;
            create.delete();
        }
    }

    async fn an_order_that_the_database_refuses_is_released(database: TestDatabase) {
        let service = start(&database).await;
        let release = releasing(&service.products);
        refuse_orders(&database.url).await;
        assert_eq!(post(&service.server, None, &order()).await.0, 500);
        until_called(&release, 1).await;
    }
}

async fn refuse_orders(url: &DatabaseUrl) {
    match url {
        DatabaseUrl::Postgres(options) => {
            let mut connection = options.connect().await.unwrap();
            connection.execute("ALTER TABLE orders ADD CHECK (quantity <> 2)").await.unwrap();
        }
        DatabaseUrl::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let trigger = "CREATE TRIGGER none BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'none'); END";
            options.connect().await.unwrap().execute(trigger).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_reservation_stays_if_its_order_may_be_stored_on_postgres() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let service = start(&database).await;
    let release = releasing(&service.products);
    let DatabaseUrl::Postgres(options) = &database.url else { panic!("not PostgreSQL") };
    let mut connection = options.connect().await.unwrap();
    let mut lock = connection.begin().await.unwrap();
    lock.execute("LOCK TABLE orders IN SHARE MODE").await.unwrap();
    let (status, body) = post(&service.server, None, &order()).await;
    assert_eq!((status, &body["error_code"]), (503, &json!("database_unavailable")));
    lock.rollback().await.unwrap();
    // The first release is that of an order after it.
    assert_eq!(post(&service.server, None, &json!({"user_id": 2, "product_id": 1, "quantity": 2})).await.0, 404);
    until_called(&release, 1).await;
    release.assert_calls(1);
}

/// A service that answers its first request only when the other one has received its own.
fn waits_for_the_other(barrier: &Arc<Barrier>, status: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let barrier = Arc::clone(barrier);
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]).unwrap();
        barrier.wait();
        write!(connection, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        // The connection stays open for the answer, and later ones are refused.
        drop(listener);
        let _ = connection.read(&mut [0; 1]);
    });
    url
}

#[tokio::test]
async fn user_and_products_are_asked_at_the_same_time() {
    let barrier = Arc::new(Barrier::new(2));
    let user = serde_json::to_string(&user_client::samples::user_view()).unwrap();
    let reservation = serde_json::to_string(&samples::reservation_create()).unwrap();
    let users = waits_for_the_other(&barrier, "200 OK", user);
    let products = waits_for_the_other(&barrier, "201 Created", reservation);
    let database = TestDatabase::new(Kind::Sqlite).await;
    let (server, _log) = serve(&config(&database, users, products)).await;
    assert_eq!(post(&server, None, &order()).await.0, 201);
}

#[tokio::test]
async fn a_refused_reservation_names_only_the_ordered_products() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let service = start_without_products(&database).await;
    let release = releasing(&service.products);
    let order = json!({"user_id": 1, "items": [{"product_id": 1, "quantity": 2}, {"product_id": 7, "quantity": 2}]});
    for (code, words, message) in [
        (error_codes::PRODUCT_NOT_FOUND, "Product not found: 7", "Product not found: 7"),
        (error_codes::PRODUCT_NOT_FOUND, "canary 8", "Product not found"),
        (
            error_codes::INSUFFICIENT_STOCK,
            "Not enough in stock: product 7 (1 available)",
            "Not enough in stock: product 7",
        ),
        (error_codes::INSUFFICIENT_STOCK, "canary 7, product 1", "Not enough in stock: product 1, 7"),
        (error_codes::INSUFFICIENT_STOCK, "canary", "Not enough in stock"),
    ] {
        let refusal = error(code, words);
        let mut create = service.products.reservation_create(|_, then| {
            if code == error_codes::PRODUCT_NOT_FOUND {
                then.not_found(&refusal);
            } else {
                then.conflict(&refusal);
            }
        });
        let status = if code == error_codes::PRODUCT_NOT_FOUND { 404 } else { 409 };
        assert_eq!(expect_refusal(&service.server, &order, status, code, words).await, message);
        create.delete();
    }
    assert!(!service.log.text().contains("canary"), "{}", service.log.text());
    // Nothing was reserved.
    release.assert_calls(0);
}

#[tokio::test]
async fn each_failure_of_product_service_has_its_own_error() {
    let reserved = serde_json::to_string(&samples::reservation_create()).unwrap();
    let other_items = serde_json::to_string(&reservation(&[(1, 3, 5, "EUR")])).unwrap();
    let more_items = serde_json::to_string(&reservation(&[(1, 2, 5, "EUR"), (3, 1, 5, "EUR")])).unwrap();
    let documented = |code| serde_json::to_string(&error(code, "canary")).unwrap();
    let (unavailable, timeout, invalid) = (
        (503, "product_service_unavailable"),
        (503, "product_service_timeout"),
        (502, "product_service_invalid_response"),
    );
    for (status, body, (expected, code)) in [
        (500, documented(error_codes::INTERNAL_ERROR), unavailable),
        (503, documented(error_codes::DATABASE_UNAVAILABLE), unavailable),
        (502, "<html>canary</html>".to_owned(), unavailable),
        (429, String::new(), unavailable),
        (503, documented(error_codes::DEADLINE_EXCEEDED), timeout),
        (400, documented(error_codes::INVALID_REQUEST), invalid),
        (404, documented(error_codes::RESERVATION_NOT_FOUND), invalid),
        (409, documented(error_codes::RESERVATION_ID_TAKEN), invalid),
        (404, "<html>canary</html>".to_owned(), invalid),
        (200, reserved, invalid),
        (201, r#"{"canary": 1}"#.to_owned(), invalid),
        (201, other_items, invalid),
        (201, more_items, invalid),
    ] {
        let case = format!("{status} {body}");
        let database = TestDatabase::new(Kind::Sqlite).await;
        let service = start_without_products(&database).await;
        service.products.reservation_create(|_, then| {
            then.into_inner().status(status).header("content-type", "application/json").body(body);
        });
        let message = expect_refusal(&service.server, &order(), expected, code, &case).await;
        assert!(!message.contains("canary") && !service.log.text().contains("canary"), "{case}");
    }
}

#[tokio::test]
async fn a_product_service_that_is_down_or_silent_has_its_own_error() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (address, timeout, code) in [
        (socket.local_addr().unwrap(), Duration::from_secs(60), "product_service_unavailable"),
        (silent.local_addr().unwrap(), Duration::from_millis(50), "product_service_timeout"),
    ] {
        let database = TestDatabase::new(Kind::Sqlite).await;
        let users = MockServer::start_async().await;
        users.user_view(|_, then| {
            then.ok(&user_client::samples::user_view());
        });
        let mut config = config(&database, users.base_url(), format!("http://{address}"));
        config.dependencies.get_mut("product-service").unwrap().settings.timeout = timeout;
        let (server, _log) = serve(&config).await;
        expect_refusal(&server, &order(), 503, code, code).await;
    }
}

#[tokio::test]
async fn the_error_about_the_user_goes_before_that_about_products() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let service = start_without_products(&database).await;
    service.products.reservation_create(|_, then| {
        then.not_found(&samples::errors::product_not_found());
    });
    let order = json!({"user_id": 2, "product_id": 7, "quantity": 1});
    expect_refusal(&service.server, &order, 404, "user_not_found", "both").await;
}

#[tokio::test]
async fn an_order_has_one_of_two_forms() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let service = start(&database).await;
    let item = json!({"product_id": 1, "quantity": 2});
    for (order, message) in [
        (json!({"user_id": 1}), "missing `items`, or `product_id` and `quantity`"),
        (json!({"user_id": 1, "product_id": 1}), "missing field `quantity`"),
        (json!({"user_id": 1, "quantity": 1}), "missing field `product_id`"),
        (json!({"user_id": 1, "quantity": 1, "items": [item]}), "cannot be combined"),
        (json!({"user_id": 1, "product_id": 1, "quantity": 1, "items": [item]}), "cannot be combined"),
        (json!({"user_id": 1, "items": []}), "expected 1 to 100 items, got 0"),
        (json!({"user_id": 1, "items": [item, item]}), "the product 1 occurs twice"),
        (json!({"user_id": 1, "items": null}), "`items`"),
        (json!({"user_id": 1, "items": [item], "payment_method": ""}), "`payment_method`"),
        (json!({"user_id": 1, "items": [item], "payment_method": "two words"}), "`payment_method`"),
    ] {
        let actual = expect_refusal(&service.server, &order, 400, "invalid_request", &order.to_string()).await;
        assert!(actual.starts_with("request body") && actual.contains(message), "{order}: {actual}");
    }
}
