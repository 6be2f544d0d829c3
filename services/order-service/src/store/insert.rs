//! Storing new orders, many by one statement.

use std::collections::VecDeque;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service_api::{Order, OrderCreate, OrderReceipt, OrderStatus};
use serde::Serialize;
use service_runtime::database::{Connections, Database, DatabaseError, fail_all};
use service_runtime::idempotency::Claim;
use service_runtime::with_batch_connection;
use sqlx::Connection as _;
use sqlx::types::Json;

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

/// Stores each of `orders`, independently of each other: by one statement or, if that is refused, by halves, until the
/// bad order fails alone.
pub(super) async fn insert_all(database: Database, orders: Vec<NewOrder>) -> Vec<Result<Placed, DatabaseError>> {
    let mut outcomes = Vec::with_capacity(orders.len());
    let mut parts = vec![orders.as_slice()];
    while let Some(part) = parts.pop() {
        match all_or_none(&database, part).await {
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
async fn all_or_none(database: &Database, orders: &[NewOrder]) -> Result<Vec<Placed>, DatabaseError> {
    let sql = match database.writer().connections {
        Connections::Postgres(_) => INSERT_POSTGRES,
        Connections::Sqlite(_) => INSERT_SQLITE,
    };
    // One parameter for any number of rows, so that the statement is prepared once.
    let rows = Json(orders.iter().map(NewOrder::row).collect::<Vec<_>>());
    with_batch_connection!(database.writer(), |connection| async {
        let insert = sqlx::query_as(sql).bind(&rows).bind(OrderStatus::Created.as_str());
        if orders.iter().all(|order| order.claim.is_none()) {
            return match_returned_rows(orders, insert.fetch_all(&mut *connection).await?);
        }
        let mut transaction = connection.begin().await?;
        let placed = match_returned_rows(orders, insert.fetch_all(&mut *transaction).await?)?;
        let claimed = orders
            .iter()
            .zip(&placed)
            .filter_map(|(new, (_, receipt))| new.claim.as_ref().map(|claim| (claim, receipt, new.created_at)));
        Claim::store_responses(&mut transaction, claimed.collect()).await?;
        transaction.commit().await?;
        Ok(placed)
    })
}

const INSERT_POSTGRES: &str = concat!(
    "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
     SELECT user_id, product_id, quantity, $2, created_at, created_at
     FROM jsonb_to_recordset($1)
          AS new (user_id bigint, product_id bigint, quantity bigint, created_at timestamptz)
     RETURNING ",
    columns!()
);

const INSERT_SQLITE: &str = concat!(
    "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at)
     SELECT value ->> 'user_id', value ->> 'product_id', value ->> 'quantity', $2,
            value ->> 'created_at', value ->> 'created_at'
     FROM json_each($1)
     RETURNING ",
    columns!()
);

/// The row of each of `orders`. The order of the rows that an INSERT returns is not specified; equal rows are
/// interchangeable.
fn match_returned_rows(orders: &[NewOrder], rows: Vec<OrderRow>) -> sqlx::Result<Vec<Placed>> {
    let mut rows: VecDeque<OrderRow> = rows.into();
    let match_row = |new: &NewOrder| {
        let OrderCreate { user_id, product_id, quantity } = &new.order;
        let values = (user_id.get(), product_id.get(), quantity.get(), new.time());
        // Usually the first.
        let index = rows.iter().position(|row| (row.1, row.2, row.3, row.5) == values);
        let row = index.and_then(|index| rows.remove(index));
        let row = row.ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("a returned row is missing")))?;
        let order = order(row)?;
        let receipt = receipt(&order).map_err(DatabaseError::decode_error)?;
        Ok((order, receipt))
    };
    orders.iter().map(match_row).collect()
}

/// The values of a new row.
#[derive(Serialize)]
struct NewRow<'a> {
    #[serde(flatten)]
    order: &'a OrderCreate,
    created_at: String,
}

impl NewOrder {
    fn row(&self) -> NewRow<'_> {
        // As sqlx writes a time to SQLite, where times are compared as text.
        NewRow { order: &self.order, created_at: self.time().to_rfc3339() }
    }

    fn time(&self) -> DateTime<Utc> {
        self.created_at.trunc_subsecs(6)
    }
}
