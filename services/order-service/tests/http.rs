//! Tests order-service over HTTP, with the generated client and raw requests, on both databases. Users 1 to 3 exist.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use contract::examples::Request;
use futures::TryStreamExt;
use httpmock::MockServer;
use order_client::types::OrderStatus::{Cancelled, Completed, Confirmed, Created};
use order_client::types::{Order, OrderStatus};
use order_client::{Client, Error, error_codes, types};
use order_service::SERVICE;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::conformance::check_mock;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of, on_both_databases};
use user_client::mock::MockServerExt;

struct Running {
    client: Client,
    server: Server,
    log: CapturedLog,
    _users: MockServer,
}

async fn start(database: &TestDatabase) -> Running {
    let users = MockServer::start_async().await;
    for id in 1..=3 {
        let user = user_client::types::User::builder().id(id).email("user@example.com").name("John Doe");
        users.user_view(|when, then| {
            when.user_id(&id.try_into().unwrap());
            then.ok(&user.try_into().unwrap());
        });
    }
    let user_service = include_str!("../../../openapi/user-service.json");
    for id in 1..=3 {
        let request = Request { path: [("user_id".to_owned(), id.to_string())].into(), ..Request::default() };
        check_mock(user_service, &users.base_url(), "user_view", &request).await.unwrap();
    }
    let config = config_of(&SERVICE, &database.url, &[("user-service", users.base_url())]);
    let log = CapturedLog::default();
    let server = SERVICE.start(&config, &log.logger(&[SERVICE.document])).await.unwrap();
    Running { client: Client::plain(&server.url()), server, log, _users: users }
}

impl Running {
    async fn place(&self, user_id: i64) -> types::OrderId {
        let order = self.client.order_create().body(one_item(user_id));
        order.send().await.unwrap().into_inner().order_id
    }

    async fn set(&self, id: types::OrderId, status: OrderStatus) -> Result<Order, (u16, String)> {
        let update = self.client.order_set_status().order_id(id).body_map(|body| body.status(status));
        update.send().await.map(|response| response.into_inner()).map_err(status_and_code)
    }

    async fn cancel(&self, id: types::OrderId) -> Result<Order, (u16, String)> {
        let cancel = self.client.order_cancel().order_id(id).send().await;
        cancel.map(|response| response.into_inner()).map_err(status_and_code)
    }

    async fn get(&self, path_and_query: &str) -> (StatusCode, Value) {
        send(reqwest::Client::new().get(format!("{}{path_and_query}", self.server.url()))).await
    }

    async fn post(&self, body: String) -> (StatusCode, Value) {
        let request = reqwest::Client::new().post(format!("{}/api/v1/orders", self.server.url()));
        send(request.header("content-type", "application/json").body(body)).await
    }
}

/// The founding form of an order.
fn one_item(user_id: i64) -> types::OrderCreate {
    serde_json::from_value(json!({"user_id": user_id, "product_id": 456, "quantity": 2})).unwrap()
}

async fn send(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

fn status_and_code(error: Error<types::Error>) -> (u16, String) {
    match error {
        Error::ErrorResponse(error) => (error.status().as_u16(), error.error_code.clone().unwrap_or_default()),
        other => panic!("not an error of the contract: {other:?}"),
    }
}

on_both_databases! {
    /// The literal request and response of the specification.
    async fn creating_an_order_returns_its_id_and_status(database: TestDatabase) {
        let service = start(&database).await;
        let (status, body) = service.post(r#"{"user_id":1,"product_id":456,"quantity":2}"#.to_owned()).await;
        assert_eq!((status.as_u16(), body), (201, json!({"order_id": 1, "status": "created"})));
    }

    async fn a_placed_order_can_be_read_at_its_location(database: TestDatabase) {
        let service = start(&database).await;
        let order = service.client.order_create().body(one_item(1));
        let placed = order.send().await.unwrap();
        let location = placed.headers()["location"].to_str().unwrap();
        assert_eq!(location, "/api/v1/orders/1");
        let (status, order) = service.get(location).await;
        assert_eq!(status, 200);
        assert_eq!(order["created_at"], order["updated_at"]);
        assert!(order["created_at"].as_str().unwrap().ends_with('Z'), "{order}");
        for (field, value) in [("id", json!(1)), ("user_id", json!(1)), ("product_id", json!(456)),
            ("quantity", json!(2)), ("items", json!([{"product_id": 456, "quantity": 2}])), ("status", json!("created"))] {
            assert_eq!(order[field], value, "{order}");
        }
        assert_eq!(order.as_object().unwrap().len(), 8, "{order}");
    }

    async fn only_transitions_of_the_state_machine_are_allowed(database: TestDatabase) {
        let service = start(&database).await;
        let allowed = |from, to| {
            from == to
                || matches!((from, to), (Created, Confirmed) | (Confirmed, Completed) | (Created | Confirmed, Cancelled))
        };
        let statuses = [Created, Confirmed, Completed, Cancelled];
        for from in statuses {
            for to in statuses {
                let id = service.place(1).await;
                let steps: &[OrderStatus] = match from {
                    Created => &[],
                    Completed => &[Confirmed, Completed],
                    Confirmed => &[Confirmed],
                    Cancelled => &[Cancelled],
                };
                for step in steps {
                    service.set(id, *step).await.unwrap();
                }
                let result = service.set(id, to).await.map(|order| order.status);
                let expected = if allowed(from, to) {
                    Ok(to)
                } else {
                    Err((409, error_codes::INVALID_TRANSITION.to_owned()))
                };
                assert_eq!(result, expected, "{from} to {to}");
            }
        }
    }

    async fn setting_the_current_status_again_changes_nothing(database: TestDatabase) {
        let service = start(&database).await;
        let id = service.place(1).await;
        let confirmed = service.set(id, Confirmed).await.unwrap();
        assert_eq!(service.set(id, Confirmed).await.unwrap(), confirmed);
        assert_eq!(service.log.text().matches("order status changed").count(), 1, "only a change is logged");
    }

    async fn cancelling_is_idempotent_and_refused_after_completion(database: TestDatabase) {
        let service = start(&database).await;
        let id = service.place(1).await;
        let cancelled = service.cancel(id).await.unwrap();
        assert_eq!(cancelled.status, Cancelled);
        assert_eq!(service.cancel(id).await.unwrap(), cancelled);

        let id = service.place(1).await;
        service.set(id, Confirmed).await.unwrap();
        service.set(id, Completed).await.unwrap();
        assert_eq!(service.cancel(id).await, Err((409, error_codes::INVALID_TRANSITION.to_owned())));
    }

    async fn one_of_a_concurrent_cancel_and_complete_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        for _ in 0..10 {
            let id = service.place(1).await;
            service.set(id, Confirmed).await.unwrap();
            let (cancelled, completed) = tokio::join!(service.cancel(id), service.set(id, Completed));
            let refused = Err((409, error_codes::INVALID_TRANSITION.to_owned()));
            assert!(cancelled.is_ok() != completed.is_ok(), "{cancelled:?} {completed:?}");
            assert!(cancelled == refused || completed == refused, "{cancelled:?} {completed:?}");
        }
    }

    async fn an_unknown_order_is_not_found(database: TestDatabase) {
        let service = start(&database).await;
        let absent = 7.try_into().unwrap();
        let not_found = (404, error_codes::ORDER_NOT_FOUND.to_owned());
        assert_eq!(status_and_code(service.client.order_view().order_id(7).send().await.unwrap_err()), not_found);
        assert_eq!(service.set(absent, Confirmed).await, Err(not_found.clone()));
        assert_eq!(service.cancel(absent).await, Err(not_found));
    }

    async fn a_filtered_list_contains_every_order_once_newest_first(database: TestDatabase) {
        let service = start(&database).await;
        for user_id in [1, 2, 1, 2, 1, 1] {
            service.place(user_id).await;
        }
        service.set(3.try_into().unwrap(), Confirmed).await.unwrap();
        let ids = |orders: Vec<Order>| orders.iter().map(|order| order.id.get()).collect::<Vec<_>>();
        let list = || service.client.order_list();
        for limit in [1, 2, 4, 100] {
            let all = list().limit(limit).stream().try_collect().await.unwrap();
            assert_eq!(ids(all), [6, 5, 4, 3, 2, 1], "limit {limit}");
            let of_user = list().limit(limit).user_id(1).stream().try_collect().await.unwrap();
            assert_eq!(ids(of_user), [6, 5, 3, 1], "limit {limit}");
            let created = list().limit(limit).user_id(1).status(Created).stream().try_collect().await.unwrap();
            assert_eq!(ids(created), [6, 5, 1], "limit {limit}");
        }
    }

    async fn a_damaged_page_token_or_one_with_another_filter_is_refused(database: TestDatabase) {
        let service = start(&database).await;
        for _ in 0..3 {
            service.place(1).await;
        }
        let (_, page) = service.get("/api/v1/orders?limit=1&user_id=1").await;
        let token = page["next_page"].as_str().unwrap();
        for query in [
            format!("user_id=2&page_token={token}"),
            format!("status=created&page_token={token}"),
            format!("page_token={}", &token[1..]),
            format!("page_token={token}A"),
            "page_token=".to_owned(),
        ] {
            let (status, body) = service.get(&format!("/api/v1/orders?{query}")).await;
            assert_eq!((status.as_u16(), &body["error_code"]), (400, &json!("invalid_page_token")), "{query}");
        }
        let (status, next) = service.get(&format!("/api/v1/orders?user_id=1&page_token={token}")).await;
        assert_eq!((status.as_u16(), &next["items"][0]["id"]), (200, &json!(2)), "the token's own filter");
        assert_eq!(next["items"].as_array().unwrap().len(), 1, "the token's own limit");
    }

    async fn a_bad_order_or_filter_is_refused_and_changes_nothing(database: TestDatabase) {
        let service = start(&database).await;
        let order = |user_id: &str, product_id: &str, quantity: &str| {
            format!(r#"{{"user_id": {user_id}, "product_id": {product_id}, "quantity": {quantity}}}"#)
        };
        let mut bodies = vec!["{}".to_owned()];
        for bad in ["0", "-1", "9223372036854775808", "1e400", "\"1\"", "null"] {
            bodies.extend([order(bad, "1", "1"), order("1", bad, "1"), order("1", "1", bad)]);
        }
        bodies.push(order("1", "1", "1000001"));
        for body in bodies {
            let (status, error) = service.post(body.clone()).await;
            assert_eq!((status.as_u16(), &error["error_code"]), (400, &json!("invalid_request")), "{body}: {error}");
        }
        for query in ["status=shipped", "status=Created", "user_id=0"] {
            let (status, error) = service.get(&format!("/api/v1/orders?{query}")).await;
            assert_eq!((status.as_u16(), &error["error_code"]), (400, &json!("invalid_request")), "{query}: {error}");
        }
        assert_eq!(service.get("/api/v1/orders").await.1, json!({"items": []}));
    }

    async fn a_bad_status_is_refused_and_changes_nothing(database: TestDatabase) {
        let service = start(&database).await;
        service.place(1).await;
        let url = format!("{}/api/v1/orders/1/status", service.server.url());
        for body in ["{}", r#"{"status": "shipped"}"#] {
            let request = reqwest::Client::new().put(&url).header("content-type", "application/json").body(body);
            let (status, error) = send(request).await;
            assert_eq!((status.as_u16(), &error["error_code"]), (400, &json!("invalid_request")), "{body}: {error}");
        }
        assert_eq!(service.get("/api/v1/orders/1").await.1["status"], "created");
    }
}

#[tokio::test]
async fn the_page_token_in_the_document_is_valid() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let service = start(&database).await;
    let document: Value = serde_json::from_str(SERVICE.document).unwrap();
    let token = document["components"]["schemas"]["OrderPage"]["properties"]["next_page"]["example"].as_str().unwrap();
    let (status, page) = service.get(&format!("/api/v1/orders?page_token={token}")).await;
    assert_eq!(status, 200, "{page}");
}
