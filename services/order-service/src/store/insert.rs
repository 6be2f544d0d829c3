//! Storing new orders, many in one transaction.

use std::collections::VecDeque;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service_api::{Order, OrderCreate, OrderReceipt, OrderStatus};
use rusqlite::Connection;
use service_runtime::database::{BatchWriter, ConnectionCache, Database, DatabaseError, Pool, fail_all, time_text};
use service_runtime::idempotency::Claim;
use service_runtime::with_batch_connection;
use sqlx::{Connection as _, PgConnection, Postgres};

use super::row::{OrderRow, columns, order};
use crate::receipt::receipt;

/// An order to store, and the key under which to store its receipt.
#[derive(Debug)]
pub(crate) struct NewOrder {
    pub(crate) order: OrderCreate,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) claim: Option<Claim>,
}

/// A stored order and its receipt.
pub(crate) type Placed = (Order, Created<OrderReceipt>);

/// Stores each of `orders`, independently of each other.
pub(super) async fn insert_all(database: Database, orders: Vec<NewOrder>) -> Vec<Result<Placed, DatabaseError>> {
    match database.batch_writer() {
        BatchWriter::Postgres(pool, cache) => insert_batch(pool, cache, &orders).await,
        BatchWriter::Sqlite(group_commit) => group_commit.write_each(orders, insert_row).await,
    }
}

/// Stores one order in a transaction of the group commit.
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
    let receipt = receipt(&order).map_err(DatabaseError::unreadable)?;
    if let Some(claim) = &new.claim {
        claim.store_response_sqlite(connection, &receipt, new.created_at)?;
    }
    Ok((order, receipt))
}

/// Stores `orders` by one statement. If it is refused, halves find the bad order.
async fn insert_batch(
    pool: &Pool,
    cache: &ConnectionCache<Postgres>,
    orders: &[NewOrder],
) -> Vec<Result<Placed, DatabaseError>> {
    let mut outcomes = Vec::with_capacity(orders.len());
    let mut parts = vec![orders];
    while let Some(part) = parts.pop() {
        match all_or_none(pool, cache, part).await {
            Ok(placed) => outcomes.extend(placed.into_iter().map(Ok)),
            // Nothing was written.
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
    cache: &ConnectionCache<Postgres>,
    orders: &[NewOrder],
) -> Result<Vec<Placed>, DatabaseError> {
    with_batch_connection!(pool, cache, |connection| async {
        if orders.iter().all(|order| order.claim.is_none()) {
            return match_returned_rows(orders, insert(&mut connection, orders).await?);
        }
        let mut transaction = connection.begin().await?;
        let placed = match_returned_rows(orders, insert(&mut transaction, orders).await?)?;
        let claimed = orders
            .iter()
            .zip(&placed)
            .filter_map(|(new, (_, receipt))| new.claim.as_ref().map(|claim| (claim, receipt, new.created_at)));
        Claim::store_responses(&mut transaction, claimed.collect()).await?;
        transaction.commit().await?;
        Ok(placed)
    })
}

/// The row of each of `orders`. The order of the rows that an INSERT returns is not specified; equal rows are
/// interchangeable.
fn match_returned_rows(orders: &[NewOrder], rows: Vec<OrderRow>) -> sqlx::Result<Vec<Placed>> {
    let mut rows: VecDeque<OrderRow> = rows.into();
    let match_row = |new: &NewOrder| {
        let (user_id, product_id, quantity) = new.values();
        let is_its = |row: &OrderRow| (row.1, row.2, row.3, row.5) == (user_id, product_id, quantity, new.time());
        // Usually the first.
        let row = rows.iter().position(is_its).and_then(|index| rows.remove(index));
        let row = row.ok_or_else(|| DatabaseError::unreadable(std::io::Error::other("a returned row is missing")))?;
        let order = order(row)?;
        let receipt = receipt(&order).map_err(DatabaseError::unreadable)?;
        Ok((order, receipt))
    };
    orders.iter().map(match_row).collect()
}

impl NewOrder {
    fn values(&self) -> (i64, i64, i64) {
        (self.order.user_id.get(), self.order.product_id.get(), self.order.quantity.get())
    }

    fn time(&self) -> DateTime<Utc> {
        self.created_at.trunc_subsecs(6)
    }
}

/// Inserts `orders` with the status `created`; returns the rows in any order.
async fn insert(connection: &mut PgConnection, orders: &[NewOrder]) -> sqlx::Result<Vec<OrderRow>> {
    let column = |value: fn((i64, i64, i64)) -> i64| orders.iter().map(|new| value(new.values())).collect();
    let (user_ids, product_ids, quantities): (Vec<i64>, Vec<i64>, Vec<i64>) =
        (column(|values| values.0), column(|values| values.1), column(|values| values.2));
    let times: Vec<_> = orders.iter().map(NewOrder::time).collect();
    // One text for any number of rows, so that it is prepared once.
    sqlx::query_as(concat!(
        "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
         SELECT user_id, product_id, quantity, $5, created_at, created_at
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[])
              WITH ORDINALITY AS new (user_id, product_id, quantity, created_at, position)
         ORDER BY position
         RETURNING ",
        columns!()
    ))
    .bind(user_ids)
    .bind(product_ids)
    .bind(quantities)
    .bind(times)
    .bind(OrderStatus::Created.as_str())
    .fetch_all(connection)
    .await
}
