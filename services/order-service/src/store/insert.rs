//! Storing new orders, many by one statement.

use std::collections::VecDeque;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use contract::money::Money;
use order_service_api::{Order, OrderId, OrderItem, OrderReceipt, OrderStatus, PaymentMethod, UserId};
use serde::Serialize;
use service_runtime::database::{Connections, Database, DatabaseError, fail_all};
use service_runtime::idempotency::Claim;
use service_runtime::with_batch_connection;
use sqlx::Connection as _;
use sqlx::types::Json;
use uuid::Uuid;

use super::tasks::Wanted;
use crate::receipt::receipt;

/// An order to store.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Who places it.
    pub user_id: UserId,
    /// What is ordered; at least one item.
    pub items: Vec<OrderItem>,
    /// The sum of all items, if they have prices.
    pub total: Option<Money>,
    /// Their reservation, if they are reserved; with the order a task is stored that binds it.
    pub reservation_id: Option<Uuid>,
    /// How it is to be paid.
    pub payment_method: Option<PaymentMethod>,
}

/// An order to store, when it is placed, and the key under which to store its receipt.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) order: NewOrder,
    pub(super) created_at: DateTime<Utc>,
    pub(super) claim: Option<Claim>,
}

/// A stored order and its receipt.
pub(super) type Placed = (Order, Created<OrderReceipt>);

/// Stores each of `orders`, independently of each other: in one transaction or, if that is refused, by halves, until the
/// bad order fails alone.
pub(super) async fn insert_all(database: Database, orders: Vec<Insert>) -> Vec<Result<Placed, DatabaseError>> {
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
async fn all_or_none(database: &Database, orders: &[Insert]) -> Result<Vec<Placed>, DatabaseError> {
    let sql = match database.writer().connections {
        Connections::Postgres(_) => POSTGRES,
        Connections::Sqlite(_) => SQLITE,
    };
    // One parameter for any number of rows, so that the statement is prepared once.
    let rows = Json(orders.iter().map(Insert::row).collect::<Vec<_>>());
    with_batch_connection!(database.writer(), |connection| async {
        let insert = sqlx::query_as(sql.orders).bind(&rows).bind(OrderStatus::Created.as_str());
        if orders.iter().all(Insert::is_one_row) {
            return match_returned_rows(orders, insert.fetch_all(&mut *connection).await?);
        }
        let mut transaction = connection.begin().await?;
        let placed = match_returned_rows(orders, insert.fetch_all(&mut *transaction).await?)?;
        let stored = || orders.iter().zip(&placed);
        let items: Vec<_> = stored().flat_map(|(new, (order, _))| new.item_rows(order.id)).collect();
        if !items.is_empty() {
            sqlx::query(sql.items).bind(Json(items)).execute(&mut *transaction).await?;
        }
        let tasks: Vec<_> = stored().filter_map(|(new, (order, _))| new.task_row(order.id)).collect();
        if !tasks.is_empty() {
            sqlx::query(sql.tasks).bind(Json(tasks)).bind(Wanted::Bound.as_str()).execute(&mut *transaction).await?;
        }
        let claimed: Vec<_> = stored()
            .filter_map(|(new, (_, receipt))| new.claim.as_ref().map(|claim| (claim, receipt, new.created_at)))
            .collect();
        if !claimed.is_empty() {
            Claim::store_responses(&mut transaction, claimed).await?;
        }
        transaction.commit().await?;
        Ok(placed)
    })
}

/// The statements, each for any number of rows.
struct Statements {
    orders: &'static str,
    items: &'static str,
    tasks: &'static str,
}

const POSTGRES: Statements = Statements {
    orders: "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at, total_amount, currency,
                                 reservation_id, payment_method)
             SELECT user_id, product_id, quantity, $2, created_at, created_at, total_amount, currency, reservation_id,
                    payment_method
             FROM jsonb_to_recordset($1)
                  AS new (user_id bigint, product_id bigint, quantity bigint, created_at timestamptz,
                          total_amount bigint, currency text, reservation_id text, payment_method text)
             RETURNING id, user_id, product_id, quantity, created_at, reservation_id, payment_method",
    items: "INSERT INTO order_items (order_id, line, product_id, name, quantity, unit_amount)
            SELECT order_id, line, product_id, name, quantity, unit_amount
            FROM jsonb_to_recordset($1)
                 AS new (order_id bigint, line smallint, product_id bigint, name text, quantity bigint,
                         unit_amount bigint)",
    tasks: "INSERT INTO reservation_tasks (order_id, reservation_id, wanted, attempts, next_at)
            SELECT order_id, reservation_id, $2, 0, next_at
            FROM jsonb_to_recordset($1) AS new (order_id bigint, reservation_id text, next_at timestamptz)",
};

const SQLITE: Statements = Statements {
    orders: "INSERT INTO orders (user_id, product_id, quantity, status, created_at, updated_at, total_amount, currency,
                                 reservation_id, payment_method)
             SELECT value ->> 'user_id', value ->> 'product_id', value ->> 'quantity', $2,
                    value ->> 'created_at', value ->> 'created_at', value ->> 'total_amount', value ->> 'currency',
                    value ->> 'reservation_id', value ->> 'payment_method'
             FROM json_each($1)
             RETURNING id, user_id, product_id, quantity, created_at, reservation_id, payment_method",
    items: "INSERT INTO order_items (order_id, line, product_id, name, quantity, unit_amount)
            SELECT value ->> 'order_id', value ->> 'line', value ->> 'product_id', value ->> 'name',
                   value ->> 'quantity', value ->> 'unit_amount'
            FROM json_each($1)",
    tasks: "INSERT INTO reservation_tasks (order_id, reservation_id, wanted, attempts, next_at)
            SELECT value ->> 'order_id', value ->> 'reservation_id', $2, 0, value ->> 'next_at'
            FROM json_each($1)",
};

/// Id, user, product, quantity, time, reservation and payment method.
type ReturnedRow = (i64, i64, i64, i64, DateTime<Utc>, Option<String>, Option<String>);

/// Gives each of `orders` the id of its row. The order of the rows that an INSERT returns is not specified; equal rows are
/// interchangeable, because what else belongs to an order is stored under the id that it gets here.
fn match_returned_rows(orders: &[Insert], rows: Vec<ReturnedRow>) -> sqlx::Result<Vec<Placed>> {
    let mut rows: VecDeque<ReturnedRow> = rows.into();
    let match_row = |new: &Insert| {
        let row = new.row();
        let is_its_row = |returned: &ReturnedRow| {
            let (_, user_id, product_id, quantity, created_at, reservation_id, payment_method) = returned;
            (*user_id, Some(*product_id), Some(*quantity)) == (row.user_id, row.product_id, row.quantity)
                && *created_at == new.time()
                && *reservation_id == row.reservation_id
                && payment_method.as_deref() == row.payment_method
        };
        // Usually the first.
        let returned = rows.iter().position(is_its_row).and_then(|index| rows.remove(index));
        let missing = || DatabaseError::decode_error(std::io::Error::other("a returned row is missing"));
        let order = new.stored(&returned.ok_or_else(missing)?)?;
        let receipt = receipt(&order).map_err(DatabaseError::decode_error)?;
        Ok((order, receipt))
    };
    orders.iter().map(match_row).collect()
}

/// The values of a new row in `orders`.
#[derive(Serialize)]
struct NewRow<'a> {
    user_id: i64,
    product_id: Option<i64>,
    quantity: Option<i64>,
    created_at: String,
    total_amount: Option<i64>,
    currency: Option<&'a str>,
    reservation_id: Option<String>,
    payment_method: Option<&'a str>,
}

/// The values of a new row in `order_items`.
#[derive(Serialize)]
struct ItemRow<'a> {
    order_id: i64,
    line: usize,
    product_id: i64,
    name: Option<&'a str>,
    quantity: i64,
    unit_amount: Option<i64>,
}

/// The values of a new row in `reservation_tasks`.
#[derive(Serialize)]
struct TaskRow {
    order_id: i64,
    reservation_id: String,
    next_at: String,
}

impl Insert {
    fn row(&self) -> NewRow<'_> {
        let NewOrder { user_id, items, total, reservation_id, payment_method } = &self.order;
        let first = items.first();
        NewRow {
            user_id: user_id.get(),
            product_id: first.map(|item| item.product_id.get()),
            quantity: first.map(|item| item.quantity.get()),
            created_at: self.time_text(),
            total_amount: total.as_ref().map(|total| total.amount.get()),
            currency: total.as_ref().map(|total| total.currency.as_str()),
            reservation_id: reservation_id.map(|id| id.to_string()),
            payment_method: payment_method.as_ref().map(PaymentMethod::as_str),
        }
    }

    /// Whether a row in `orders` is all that is stored of it.
    fn is_one_row(&self) -> bool {
        self.claim.is_none() && self.order.reservation_id.is_none() && !self.has_item_rows()
    }

    fn has_item_rows(&self) -> bool {
        self.order.items.len() > 1 || self.order.total.is_some()
    }

    fn item_rows(&self, id: OrderId) -> Vec<ItemRow<'_>> {
        if !self.has_item_rows() {
            return Vec::new();
        }
        let rows = self.order.items.iter().enumerate().map(|(line, item)| ItemRow {
            order_id: id.get(),
            line,
            product_id: item.product_id.get(),
            name: item.name.as_ref().map(|name| name.as_str()),
            quantity: item.quantity.get(),
            unit_amount: item.unit_price.as_ref().map(|price| price.amount.get()),
        });
        rows.collect()
    }

    fn task_row(&self, id: OrderId) -> Option<TaskRow> {
        let reservation_id = self.order.reservation_id?.to_string();
        Some(TaskRow { order_id: id.get(), reservation_id, next_at: self.time_text() })
    }

    /// The order as it is read back, of which this row was returned.
    fn stored(&self, (id, _, product_id, quantity, ..): &ReturnedRow) -> sqlx::Result<Order> {
        Ok(Order {
            id: (*id).try_into().map_err(DatabaseError::decode_error)?,
            user_id: self.order.user_id,
            product_id: (*product_id).try_into().map_err(DatabaseError::decode_error)?,
            quantity: (*quantity).try_into().map_err(DatabaseError::decode_error)?,
            items: self.order.items.clone(),
            total: self.order.total.clone(),
            status: OrderStatus::Created,
            cancellation_reason: None,
            created_at: self.time().into(),
            updated_at: self.time().into(),
        })
    }

    fn time(&self) -> DateTime<Utc> {
        self.created_at.trunc_subsecs(6)
    }

    /// As sqlx writes a time to SQLite, where times are compared as text.
    fn time_text(&self) -> String {
        self.time().to_rfc3339()
    }
}
