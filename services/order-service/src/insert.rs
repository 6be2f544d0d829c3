//! Storing new orders, many in one transaction.

use std::collections::VecDeque;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service_api::{Order, OrderCreate, OrderReceipt, OrderStatus};
use rusqlite::Connection;
use service_runtime::database::{BatchWriter, ConnectionCache, Database, DatabaseError, Pool, fail_all, time_text};
use service_runtime::idempotency::{AnswerOf, Claim};
use service_runtime::with_batch_connection;
use sqlx::{Connection as _, PgConnection, Postgres};

use crate::store::{OrderRow, order};

/// An order to be stored, and the answer to be kept with it under the key of `claim`.
#[derive(Debug)]
pub(crate) struct NewOrder {
    pub(crate) order: OrderCreate,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) claim: Option<Claim>,
    pub(crate) answer: AnswerOf<Order, OrderReceipt>,
}

/// An order that was stored, and the answer about it.
pub(crate) type Placed = (Order, Created<OrderReceipt>);

/// Stores each of `orders`, or says why not.
pub(crate) async fn all(database: Database, orders: Vec<NewOrder>) -> Vec<Result<Placed, DatabaseError>> {
    match database.batch_writer() {
        BatchWriter::Postgres(pool, lane) => insert_batch(pool, lane, &orders).await,
        BatchWriter::Sqlite(group_commit) => group_commit.write_each(orders, insert_row).await,
    }
}

/// Stores `new`, and its key if it has one.
fn insert_row(connection: &Connection, new: &NewOrder) -> Result<Placed, DatabaseError> {
    let (user_id, product_id, quantity) = new.values();
    let status = OrderStatus::Created;
    let mut insert = connection.prepare_cached(
        "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $5)",
    )?;
    let id = insert.insert((user_id, product_id, quantity, status.as_str(), time_text(new.created_at)))?;
    let OrderCreate { user_id, product_id, quantity } = new.order;
    let (id, time) = (id.try_into().map_err(DatabaseError::unreadable)?, new.time());
    let order = Order { id, user_id, product_id, quantity, status, created_at: time, updated_at: time };
    let answer = (new.answer)(&order).map_err(DatabaseError::unreadable)?;
    if let Some(claim) = &new.claim {
        claim.store_response_sqlite(connection, &answer, new.created_at)?;
    }
    Ok((order, answer))
}

/// Stores `orders` by one statement for all.
async fn insert_batch(
    pool: &Pool,
    lane: &ConnectionCache<Postgres>,
    orders: &[NewOrder],
) -> Vec<Result<Placed, DatabaseError>> {
    let mut outcomes = Vec::with_capacity(orders.len());
    let mut parts = vec![orders];
    while let Some(part) = parts.pop() {
        match all_or_none(pool, lane, part).await {
            Ok(placed) => outcomes.extend(placed.into_iter().map(Ok)),
            // One is bad, and nothing was written: it is looked for by halves, so that it costs the others little.
            Err(error) if error.is_refusal() && part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Err(error) => outcomes.extend(fail_all(part.len(), &error)),
        }
    }
    outcomes
}

/// Stores all of `orders`, or none.
async fn all_or_none(
    pool: &Pool,
    lane: &ConnectionCache<Postgres>,
    orders: &[NewOrder],
) -> Result<Vec<Placed>, DatabaseError> {
    with_batch_connection!(pool, lane, |connection| async {
        if orders.iter().all(|order| order.claim.is_none()) {
            return match_returned_rows(orders, insert(&mut connection, orders).await?);
        }
        let mut transaction = connection.begin().await?;
        let placed = match_returned_rows(orders, insert(&mut transaction, orders).await?)?;
        let answered = orders.iter().zip(&placed);
        let answers =
            answered.filter_map(|(new, (_, answer))| new.claim.as_ref().map(|claim| (claim, answer, new.created_at)));
        let answers = answers.collect();
        Claim::store_responses(&mut transaction, answers).await?;
        transaction.commit().await?;
        Ok(placed)
    })
}

/// The row of each of `orders`, and the answer about it. Databases do not say in which order they give what a statement
/// has inserted, but equal rows are as good as each other.
fn match_returned_rows(orders: &[NewOrder], rows: Vec<OrderRow>) -> sqlx::Result<Vec<Placed>> {
    let mut rows: VecDeque<OrderRow> = rows.into();
    let place = |new: &NewOrder| {
        let (user_id, product_id, quantity) = new.values();
        let is_its = |row: &OrderRow| (row.1, row.2, row.3, row.5) == (user_id, product_id, quantity, new.time());
        // The first, as a rule.
        let row = rows.iter().position(is_its).and_then(|place| rows.remove(place));
        let row = row.ok_or_else(|| DatabaseError::unreadable(std::io::Error::other("a row that nobody asked for")))?;
        let order = order(row)?;
        let answer = (new.answer)(&order).map_err(DatabaseError::unreadable)?;
        Ok((order, answer))
    };
    orders.iter().map(place).collect()
}

impl NewOrder {
    fn values(&self) -> (i64, i64, i64) {
        (self.order.user_id.get(), self.order.product_id.get(), self.order.quantity.get())
    }

    fn time(&self) -> DateTime<Utc> {
        self.created_at.trunc_subsecs(6)
    }
}

/// Inserts `orders` with the status `created`, and gives the rows in any order.
async fn insert(connection: &mut PgConnection, orders: &[NewOrder]) -> sqlx::Result<Vec<OrderRow>> {
    let column = |value: fn((i64, i64, i64)) -> i64| orders.iter().map(|new| value(new.values())).collect();
    let (user_ids, product_ids, quantities): (Vec<i64>, Vec<i64>, Vec<i64>) =
        (column(|values| values.0), column(|values| values.1), column(|values| values.2));
    let times: Vec<_> = orders.iter().map(NewOrder::time).collect();
    // One text for any number of rows, so that it is prepared once.
    sqlx::query_as(
        "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
         SELECT user_id, product_id, quantity, $5, created_at, created_at
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[])
              WITH ORDINALITY AS new (user_id, product_id, quantity, created_at, place)
         ORDER BY place
         RETURNING id, user_id, product_id, quantity, status, created_at, updated_at",
    )
    .bind(user_ids)
    .bind(product_ids)
    .bind(quantities)
    .bind(times)
    .bind(OrderStatus::Created.as_str())
    .fetch_all(connection)
    .await
}
