//! The measured operations in the common style of axum, sqlx's pool and reqwest: one statement and one transaction per
//! request, and no log. `peer users`, `peer products` and `peer orders` are the services; the platform creates the
//! tables. With `MAX_REQUESTS_IN_FLIGHT`, tower sheds what exceeds that concurrency limit. Only for `scripts/bench
//! --peer` and `scripts/chaos --peer`.

mod orders;
mod products;
mod service;

use std::env::{args, var};
use std::error::Error;

use axum::error_handling::HandleErrorLayer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{BoxError, Json, Router};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tower::ServiceBuilder;

use crate::service::{Database, Failure, Service, open};

#[derive(Serialize)]
struct User {
    id: i64,
    email: String,
    name: String,
}

#[derive(Serialize)]
struct Order {
    id: i64,
    user_id: i64,
    product_id: i64,
    quantity: i64,
    status: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

type UserRow = (i64, String, String);
type OrderRow = (i64, i64, i64, i64, String, DateTime<Utc>, DateTime<Utc>);

impl From<UserRow> for User {
    fn from((id, email, name): UserRow) -> Self {
        Self { id, email, name }
    }
}

impl From<OrderRow> for Order {
    fn from((id, user_id, product_id, quantity, status, created_at, updated_at): OrderRow) -> Self {
        Self { id, user_id, product_id, quantity, status, created_at, updated_at }
    }
}

const USER_BY_ID: &str = "SELECT id, email, name FROM users WHERE id = $1";

async fn user_view(State(service): State<Service>, Path(id): Path<i64>) -> Result<Json<User>, Failure> {
    let row: Option<UserRow> = match &service.database {
        Database::Postgres(pool) => sqlx::query_as(USER_BY_ID).bind(id).fetch_optional(pool).await?,
        Database::Sqlite { reader, .. } => sqlx::query_as(USER_BY_ID).bind(id).fetch_optional(reader).await?,
    };
    row.map(|row| Json(row.into())).ok_or(Failure(StatusCode::NOT_FOUND))
}

const ORDER_BY_ID: &str =
    "SELECT id, user_id, product_id, quantity, status, created_at, updated_at FROM orders WHERE id = $1";

async fn order_view(State(service): State<Service>, Path(id): Path<i64>) -> Result<Json<Order>, Failure> {
    let row: Option<OrderRow> = match &service.database {
        Database::Postgres(pool) => sqlx::query_as(ORDER_BY_ID).bind(id).fetch_optional(pool).await?,
        Database::Sqlite { reader, .. } => sqlx::query_as(ORDER_BY_ID).bind(id).fetch_optional(reader).await?,
    };
    row.map(|row| Json(row.into())).ok_or(Failure(StatusCode::NOT_FOUND))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Service {
        database: open(&var("DATABASE_URL")?).await?,
        http: reqwest::Client::new(),
        user_service: var("USER_SERVICE_URL").unwrap_or_default(),
        product_service: var("PRODUCT_SERVICE_URL").unwrap_or_default(),
    };
    let routes = match args().nth(1).as_deref() {
        Some("users") => Router::new().route("/api/v1/users/{id}", get(user_view)),
        Some("products") => products::routes(),
        Some("orders") => {
            Router::new().route("/api/v1/orders/{id}", get(order_view)).route("/api/v1/orders", post(orders::create))
        }
        _ => return Err("usage: peer users|products|orders".into()),
    };
    let routes = match var("MAX_REQUESTS_IN_FLIGHT") {
        Ok(limit) => {
            let refuse = HandleErrorLayer::new(async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE);
            let limits = ServiceBuilder::new().layer(refuse).load_shed().concurrency_limit(limit.parse()?);
            routes.layer(limits)
        }
        Err(_) => routes,
    };
    let routes = routes.route("/health", get(|| async { "ok" })).with_state(service);
    let listener = tokio::net::TcpListener::bind(var("LISTEN_ADDRESS")?).await?;
    // The same line as from the platform's services, which scripts/bench waits for.
    println!(r#"{{"message":"serving","url":"http://{}"}}"#, listener.local_addr()?);
    axum::serve(listener, routes).await?;
    Ok(())
}
