//! Tests user-service and order-service together over HTTP, on both databases.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use futures::future::join_all;
use serde_json::{Value, json};
use service_runtime::server::Server;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of, on_both_databases};

async fn start_users(listen_address: &str, database: &TestDatabase) -> Server {
    let config = user_service::SERVICE.config(listen_address.parse().unwrap(), database.url.clone());
    user_service::SERVICE.start(&config, &CapturedLog::default().logger(&[])).await.unwrap()
}

async fn start_orders(users_url: String, database: &TestDatabase) -> Server {
    let config = config_of(&order_service::SERVICE, &database.url, &[("user-service", users_url)]);
    order_service::SERVICE.start(&config, &CapturedLog::default().logger(&[])).await.unwrap()
}

async fn post(url: String, body: Value) -> (u16, Value) {
    let response = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn place_order(orders: &Server, user_id: i64) -> (u16, Value) {
    let order = json!({"user_id": user_id, "product_id": 456, "quantity": 2});
    post(format!("{}/api/v1/orders", orders.url()), order).await
}

async fn create_user(users: &Server) -> (u16, Value) {
    let user = json!({"email": "user@example.com", "name": "John Doe"});
    post(format!("{}/api/v1/users", users.url()), user).await
}

async fn check_users_and_orders(users_database: TestDatabase, orders_database: TestDatabase) {
    let users = start_users("127.0.0.1:0", &users_database).await;
    let orders = start_orders(users.url(), &orders_database).await;

    let (status, body) = place_order(&orders, 1).await;
    assert_eq!(
        (status, &body["error_code"], &body["message"]),
        (404, &json!("user_not_found"), &json!("User not found"))
    );

    let user = json!({"id": 1, "email": "user@example.com", "name": "John Doe"});
    assert_eq!(create_user(&users).await, (201, user));
    assert_eq!(place_order(&orders, 1).await, (201, json!({"order_id": 1, "status": "created"})));

    let order: Value = reqwest::get(format!("{}/api/v1/orders/1", orders.url())).await.unwrap().json().await.unwrap();
    assert_eq!((&order["user_id"], &order["product_id"], &order["quantity"]), (&json!(1), &json!(456), &json!(2)));

    let deleted = reqwest::Client::new().delete(format!("{}/api/v1/users/1", users.url())).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    let (status, body) = place_order(&orders, 1).await;
    assert_eq!((status, &body["error_code"]), (404, &json!("user_not_found")));
    let remaining = reqwest::get(format!("{}/api/v1/orders/1", orders.url())).await.unwrap();
    assert_eq!(remaining.status(), 200, "the orders of a deleted user remain");

    let users_address = users.url().replace("http://", "");
    users.stop().await;
    let (status, body) = place_order(&orders, 1).await;
    assert_eq!((status, &body["message"]), (503, &json!("User service unavailable")));

    let users = start_users(&users_address, &users_database).await;
    let (status, body) = create_user(&users).await;
    assert_eq!((status, &body["id"]), (201, &json!(2)));
    assert_eq!(place_order(&orders, 2).await, (201, json!({"order_id": 2, "status": "created"})));

    // Each of several concurrent orders gets the response for its own user.
    let user_ids = [2, 1, 2, 3].repeat(10);
    let placed = join_all(user_ids.iter().map(|id| place_order(&orders, *id))).await;
    for (id, (status, body)) in user_ids.iter().zip(&placed) {
        let expected = if *id == 2 { (201, Value::Null) } else { (404, json!("user_not_found")) };
        assert_eq!((*status, &body["error_code"]), (expected.0, &expected.1), "user {id}: {body}");
    }
    let page: Value = reqwest::get(format!("{}/api/v1/orders", orders.url())).await.unwrap().json().await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 22);
    orders.stop().await;
    users.stop().await;
}

on_both_databases! {
    async fn users_and_orders_work_together(users_database: TestDatabase) {
        let kind = if users_database.url.to_string().starts_with("sqlite") { Kind::Sqlite } else { Kind::Postgres };
        check_users_and_orders(users_database, TestDatabase::new(kind).await).await;
    }
}
