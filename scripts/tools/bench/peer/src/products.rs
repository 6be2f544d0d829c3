//! The measured operations of product-service. A reservation is of one product: a conditional `UPDATE` and an `INSERT`,
//! by one statement where the database can.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::service::{Database, Failure, Service};

#[derive(Serialize)]
struct Money {
    amount: i64,
    currency: String,
}

#[derive(Serialize)]
struct Product {
    id: i64,
    sku: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    category: String,
    price: Money,
    stock: i64,
    reserved: i64,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

type Row = (i64, String, String, Option<String>, String, i64, String, i64, i64, i64, DateTime<Utc>, DateTime<Utc>);

impl From<Row> for Product {
    fn from(row: Row) -> Self {
        let (id, sku, name, description, category, amount, currency, stock, reserved, version, created_at, updated_at) =
            row;
        let price = Money { amount, currency };
        Self { id, sku, name, description, category, price, stock, reserved, version, created_at, updated_at }
    }
}

#[derive(Deserialize)]
struct Filter {
    category: String,
    limit: i64,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Product>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReservationCreate {
    reservation_id: String,
    items: [Item; 1],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    product_id: i64,
    quantity: i64,
}

#[derive(Serialize)]
struct Reservation {
    reservation_id: String,
    status: &'static str,
    items: Box<RawValue>,
    expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, sku, name, description, category, price_amount, price_currency, on_hand - reserved, reserved, \
             version, created_at, updated_at FROM products JOIN stock ON product_id = id WHERE ",
            $condition
        )
    };
}

const BY_ID: &str = select!("id = $1");
const BY_CATEGORY: &str = select!("category = $1 ORDER BY id DESC LIMIT $2");

async fn view(State(service): State<Service>, Path(id): Path<i64>) -> Result<Json<Product>, Failure> {
    let row: Option<Row> = match &service.database {
        Database::Postgres(pool) => sqlx::query_as(BY_ID).bind(id).fetch_optional(pool).await?,
        Database::Sqlite { reader, .. } => sqlx::query_as(BY_ID).bind(id).fetch_optional(reader).await?,
    };
    row.map(|row| Json(row.into())).ok_or(Failure(StatusCode::NOT_FOUND))
}

async fn list(State(service): State<Service>, Query(filter): Query<Filter>) -> Result<Json<Page>, Failure> {
    let Filter { category, limit } = filter;
    // One more shows whether there is another page.
    let mut rows: Vec<Row> = match &service.database {
        Database::Postgres(pool) => sqlx::query_as(BY_CATEGORY).bind(category).bind(limit + 1).fetch_all(pool).await?,
        Database::Sqlite { reader, .. } => {
            sqlx::query_as(BY_CATEGORY).bind(category).bind(limit + 1).fetch_all(reader).await?
        }
    };
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next_page = rows.last().filter(|_| more).map(|row| row.0.to_string());
    Ok(Json(Page { items: rows.into_iter().map(Product::from).collect(), next_page }))
}

const RESERVE: &str = "WITH taken AS (
        UPDATE stock SET reserved = reserved + $2 WHERE product_id = $1 AND on_hand - reserved >= $2
        RETURNING product_id
    )
    INSERT INTO reservations (id, status, items, due_at, created_at)
    SELECT $3, 'held', json_build_array(json_build_object('product_id', id, 'quantity', $2, 'name', name,
        'unit_price', json_build_object('amount', price_amount, 'currency', price_currency)))::text, $4, $5
    FROM products JOIN taken ON product_id = id
    RETURNING items";

/// SQLite has no `UPDATE` within another statement.
const TAKE: &str = "UPDATE stock SET reserved = reserved + $2 WHERE product_id = $1 AND on_hand - reserved >= $2";
const STORE: &str = "INSERT INTO reservations (id, status, items, due_at, created_at)
    SELECT $3, 'held', json_array(json_object('product_id', id, 'quantity', $2, 'name', name,
        'unit_price', json_object('amount', price_amount, 'currency', price_currency))), $4, $5
    FROM products WHERE id = $1
    RETURNING items";

async fn reserve(State(service): State<Service>, Json(new): Json<ReservationCreate>) -> Result<Response, Failure> {
    let ReservationCreate { reservation_id, items: [Item { product_id, quantity }] } = new;
    let created_at = Utc::now();
    let expires_at = created_at + TimeDelta::minutes(15);
    macro_rules! store {
        ($statement:expr, $executor:expr) => {{
            let store = sqlx::query_as($statement).bind(product_id).bind(quantity).bind(&reservation_id);
            // Reads to the end of the statement.
            store.bind(expires_at).bind(created_at).fetch_all($executor).await?
        }};
    }
    let rows: Vec<(String,)> = match &service.database {
        Database::Postgres(pool) => store!(RESERVE, pool),
        Database::Sqlite { writer, .. } => {
            let mut transaction = writer.begin().await?;
            let take = sqlx::query(TAKE).bind(product_id).bind(quantity);
            if take.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Err(Failure(StatusCode::CONFLICT));
            }
            let rows = store!(STORE, &mut *transaction);
            transaction.commit().await?;
            rows
        }
    };
    let (items,) = rows.into_iter().next().ok_or(Failure(StatusCode::CONFLICT))?;
    let location = format!("/api/v1/reservations/{reservation_id}");
    let items = RawValue::from_string(items)?;
    let reservation = Reservation { reservation_id, status: "held", items, expires_at, created_at };
    Ok((StatusCode::CREATED, [("location", location)], Json(reservation)).into_response())
}

/// Their routes.
pub(crate) fn routes() -> Router<Service> {
    Router::new()
        .route("/api/v1/products/{id}", get(view))
        .route("/api/v1/products", get(list))
        .route("/api/v1/reservations", post(reserve))
}
