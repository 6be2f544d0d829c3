//! Placing an order: of one product without a price, or of items that products reserves.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::service::{Database, Failure, Service};

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OrderCreate {
    Items { user_id: i64, items: Vec<Item> },
    One { user_id: i64, product_id: i64, quantity: i64 },
}

#[derive(Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Item {
    product_id: i64,
    quantity: i64,
}

#[derive(Deserialize)]
struct Reservation {
    items: Vec<ReservedItem>,
}

#[derive(Deserialize)]
struct ReservedItem {
    product_id: i64,
    quantity: i64,
    name: String,
    unit_price: Money,
}

#[derive(Deserialize)]
struct Money {
    amount: i64,
    currency: String,
}

#[derive(Serialize)]
struct OrderReceipt {
    order_id: i64,
    status: &'static str,
}

const INSERT_ORDER: &str = "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
    VALUES ($1, $2, $3, 'created', $4, $4)
    RETURNING id";

const INSERT_PRICED_ORDER: &str = "INSERT INTO orders
    (user_id, product_id, quantity, status, created_at, updated_at, total_amount, currency, reservation_id)
    VALUES ($1, $2, $3, 'created', $4, $4, $5, $6, $7)
    RETURNING id";

const INSERT_ITEM: &str = "INSERT INTO order_items (order_id, line, product_id, name, quantity, unit_amount)
    VALUES ($1, $2, $3, $4, $5, $6)";

pub(crate) async fn create(
    State(service): State<Service>,
    Json(order): Json<OrderCreate>,
) -> Result<Response, Failure> {
    let (OrderCreate::Items { user_id, .. } | OrderCreate::One { user_id, .. }) = order;
    let user = service.http.get(format!("{}/api/v1/users/{user_id}", service.user_service)).send();
    let now = Utc::now();
    let order_id = match order {
        OrderCreate::One { product_id, quantity, .. } => {
            check(user.await?).await?;
            insert(&service, user_id, product_id, quantity, now).await?
        }
        OrderCreate::Items { items, .. } => {
            let reservation_id = reservation_id();
            let body = json!({ "reservation_id": reservation_id, "items": items });
            let reserve = service.http.post(format!("{}/api/v1/reservations", service.product_service)).json(&body);
            // At the same time.
            let (user, reservation) = tokio::join!(user, reserve.send());
            check(user?).await?;
            let reservation: Reservation = reservation?.error_for_status()?.json().await?;
            insert_items(&service, user_id, &reservation_id, &reservation.items, now).await?
        }
    };
    let receipt = OrderReceipt { order_id, status: "created" };
    Ok((StatusCode::CREATED, [("location", format!("/api/v1/orders/{order_id}"))], Json(receipt)).into_response())
}

async fn check(user: reqwest::Response) -> Result<(), Failure> {
    let status = user.status();
    // The connection is only reused once the body is read.
    user.bytes().await?;
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::NOT_FOUND => Err(Failure(status)),
        _ => Err(Failure(StatusCode::SERVICE_UNAVAILABLE)),
    }
}

async fn insert(
    service: &Service,
    user_id: i64,
    product_id: i64,
    quantity: i64,
    now: DateTime<Utc>,
) -> Result<i64, Failure> {
    macro_rules! insert {
        ($pool:expr) => {{
            let insert = sqlx::query_as(INSERT_ORDER).bind(user_id).bind(product_id);
            // Reads to the end of the statement, which commits it.
            insert.bind(quantity).bind(now).fetch_all($pool).await?
        }};
    }
    let rows: Vec<(i64,)> = match &service.database {
        Database::Postgres(pool) => insert!(pool),
        Database::Sqlite { writer, .. } => insert!(writer),
    };
    rows.first().map(|row| row.0).ok_or(Failure(StatusCode::INTERNAL_SERVER_ERROR))
}

async fn insert_items(
    service: &Service,
    user_id: i64,
    reservation_id: &str,
    items: &[ReservedItem],
    now: DateTime<Utc>,
) -> Result<i64, Failure> {
    let first = items.first().ok_or(Failure(StatusCode::INTERNAL_SERVER_ERROR))?;
    let total: i64 = items.iter().map(|item| item.quantity * item.unit_price.amount).sum();
    macro_rules! store {
        ($pool:expr) => {{
            let mut transaction = $pool.begin().await?;
            let insert = sqlx::query_as(INSERT_PRICED_ORDER).bind(user_id).bind(first.product_id).bind(first.quantity);
            let insert = insert.bind(now).bind(total).bind(&first.unit_price.currency).bind(reservation_id);
            let (order_id,): (i64,) = insert.fetch_one(&mut *transaction).await?;
            for (line, item) in (1i16..).zip(items) {
                let insert = sqlx::query(INSERT_ITEM).bind(order_id).bind(line).bind(item.product_id);
                let insert = insert.bind(&item.name).bind(item.quantity).bind(item.unit_price.amount);
                insert.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(order_id)
        }};
    }
    match &service.database {
        Database::Postgres(pool) => store!(pool),
        Database::Sqlite { writer, .. } => store!(writer),
    }
}

/// A new one: of the time and of a number, as unique as this run needs.
fn reservation_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let nanoseconds = Utc::now().timestamp_nanos_opt().unwrap_or_default();
    format!("{:08x}-{:04x}-4000-8000-{:012x}", number >> 32, number >> 16 & 0xffff, nanoseconds & 0xffff_ffff_ffff)
}
