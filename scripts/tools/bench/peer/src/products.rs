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
    category: Option<String>,
    search: Option<String>,
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
    items: Vec<Item>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    product_id: i64,
    quantity: i64,
}

#[derive(Serialize)]
struct Reservation {
    reservation_id: String,
    status: &'static str,
    items: Vec<Box<RawValue>>,
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
const POSTGRES_SEARCH: &str =
    select!("to_tsvector('simple', name || ' ' || description) @@ to_tsquery('simple', $1) ORDER BY id DESC LIMIT $2");
const SQLITE_SEARCH: &str =
    select!("id IN (SELECT rowid FROM peer_words WHERE peer_words MATCH $1) ORDER BY id DESC LIMIT $2");

async fn view(State(service): State<Service>, Path(id): Path<i64>) -> Result<Json<Product>, Failure> {
    let row: Option<Row> = match &service.database {
        Database::Postgres(pool) => sqlx::query_as(BY_ID).bind(id).fetch_optional(pool).await?,
        Database::Sqlite { reader, .. } => sqlx::query_as(BY_ID).bind(id).fetch_optional(reader).await?,
    };
    row.map(|row| Json(row.into())).ok_or(Failure(StatusCode::NOT_FOUND))
}

async fn list(State(service): State<Service>, Query(filter): Query<Filter>) -> Result<Json<Page>, Failure> {
    let Filter { category, search, limit } = filter;
    let words = search.unwrap_or_default();
    let words = words.split_whitespace();
    // One more shows whether there is another page.
    let mut rows: Vec<Row> = match &service.database {
        Database::Postgres(pool) => {
            let find = match &category {
                Some(category) => sqlx::query_as(BY_CATEGORY).bind(category.clone()),
                None => sqlx::query_as(POSTGRES_SEARCH).bind(words.collect::<Vec<_>>().join(" & ") + ":*"),
            };
            find.bind(limit + 1).fetch_all(pool).await?
        }
        Database::Sqlite { reader, .. } => {
            let find = match &category {
                Some(category) => sqlx::query_as(BY_CATEGORY).bind(category.clone()),
                None => sqlx::query_as(SQLITE_SEARCH).bind(words.collect::<Vec<_>>().join(" AND ") + "*"),
            };
            find.bind(limit + 1).fetch_all(reader).await?
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
    ), item AS (
        SELECT json_build_object('product_id', id, 'quantity', $2, 'name', name, 'unit_price',
                                 json_build_object('amount', price_amount, 'currency', price_currency)) AS item
        FROM products JOIN taken ON product_id = id
    ), stored AS (
        INSERT INTO reservations (id, status, items, due_at, created_at)
        SELECT $3, 'held', json_build_array(item)::text, $4, $5 FROM item
    )
    SELECT item::text FROM item";

/// For several items, and for SQLite, which has no `UPDATE` within another statement.
const TAKE: &str = "UPDATE stock SET reserved = reserved + $2 WHERE product_id = $1 AND on_hand - reserved >= $2";
const POSTGRES_ITEM: &str = "SELECT json_build_object('product_id', id, 'quantity', $2, 'name', name, 'unit_price',
    json_build_object('amount', price_amount, 'currency', price_currency))::text FROM products WHERE id = $1";
const SQLITE_ITEM: &str = "SELECT json_object('product_id', id, 'quantity', $2, 'name', name, 'unit_price',
    json_object('amount', price_amount, 'currency', price_currency)) FROM products WHERE id = $1";
const STORE: &str = "INSERT INTO reservations (id, status, items, due_at, created_at) VALUES ($1, 'held', $2, $3, $4)";

async fn reserve(State(service): State<Service>, Json(new): Json<ReservationCreate>) -> Result<Response, Failure> {
    let ReservationCreate { reservation_id, mut items } = new;
    items.sort_by_key(|item| item.product_id);
    let created_at = Utc::now();
    let expires_at = created_at + TimeDelta::minutes(15);
    macro_rules! each {
        ($pool:expr, $item:expr) => {{
            let (mut transaction, mut rows) = ($pool.begin().await?, Vec::new());
            for Item { product_id, quantity } in &items {
                let take = sqlx::query(TAKE).bind(product_id).bind(quantity);
                if take.execute(&mut *transaction).await?.rows_affected() == 0 {
                    return Err(Failure(StatusCode::CONFLICT));
                }
                let read = sqlx::query_as($item).bind(product_id).bind(quantity);
                rows.push(read.fetch_one(&mut *transaction).await?);
            }
            let texts: Vec<&str> = rows.iter().map(|(item,): &(String,)| item.as_str()).collect();
            let store = sqlx::query(STORE).bind(&reservation_id).bind(format!("[{}]", texts.join(",")));
            store.bind(expires_at).bind(created_at).execute(&mut *transaction).await?;
            transaction.commit().await?;
            rows
        }};
    }
    let rows: Vec<(String,)> = match (&service.database, items.as_slice()) {
        (Database::Postgres(pool), [Item { product_id, quantity }]) => {
            let reserve = sqlx::query_as(RESERVE).bind(product_id).bind(quantity).bind(&reservation_id);
            reserve.bind(expires_at).bind(created_at).fetch_all(pool).await?
        }
        (Database::Postgres(pool), _) => each!(pool, POSTGRES_ITEM),
        (Database::Sqlite { writer, .. }, _) => each!(writer, SQLITE_ITEM),
    };
    if rows.is_empty() {
        return Err(Failure(StatusCode::CONFLICT));
    }
    let location = format!("/api/v1/reservations/{reservation_id}");
    let items = rows.into_iter().map(|(item,)| RawValue::from_string(item)).collect::<Result<_, _>>()?;
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
