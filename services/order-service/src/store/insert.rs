//! Storing new orders, many by one transaction.

use chrono::{DateTime, SubsecRound as _, Utc};
use contract::answer::Created;
use contract::money::Money;
use order_service_api::{
    Order, OrderCreated, OrderId, OrderItem, OrderReceipt, OrderStatus, PaymentMethod, PlacedItem, ReservationId,
    UserId,
};
use serde::Serialize;
use serde_json::value::RawValue;
use service_runtime::database::{Connections, Database, DatabaseError, by_halves};
use service_runtime::events::{NewEvent, Outbox};
use service_runtime::idempotency::Claim;
use service_runtime::{insert_events, with_batch_connection};
use sqlx::types::Json;
use sqlx::{Connection, Database as Sql, Decode, Encode, Executor, FromRow, IntoArguments, Type};
use uuid::Uuid;

use super::row::time_text;
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
    /// Their reservation, if they are reserved.
    pub reservation_id: Option<Uuid>,
    /// How it is to be paid.
    pub payment_method: Option<PaymentMethod>,
    /// Until when, if it has a total.
    pub payment_due_at: Option<DateTime<Utc>>,
    /// Where in a trace it is placed, for its event.
    pub traceparent: Option<String>,
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
pub(super) async fn insert_all(
    database: Database,
    outbox: &Outbox,
    orders: Vec<Insert>,
) -> Vec<Result<Placed, DatabaseError>> {
    by_halves(orders.len(), |part| all_or_none(&database, outbox, &orders[part])).await
}

/// Stores all of `orders` with their events, or none.
async fn all_or_none(database: &Database, outbox: &Outbox, orders: &[Insert]) -> Result<Vec<Placed>, DatabaseError> {
    let sql = match database.writer().connections {
        Connections::Postgres(_) => &POSTGRES,
        Connections::Sqlite(_) => &SQLITE,
    };
    let _wake = outbox.wake();
    with_batch_connection!(database.writer(), |connection| async {
        if sql.write.len() == 1 && orders.iter().all(|new| new.claim.is_none()) {
            // One statement is a transaction of its own.
            return write(&mut *connection, sql, outbox, orders).await;
        }
        let mut transaction = connection.begin_with(sql.begin).await?;
        let placed = write(&mut *transaction, sql, outbox, orders).await?;
        let claimed: Vec<_> = orders
            .iter()
            .zip(&placed)
            .filter_map(|(new, (_, receipt))| new.claim.as_ref().map(|claim| (claim, receipt, new.created_at)))
            .collect();
        if !claimed.is_empty() {
            Claim::store_responses(&mut transaction, claimed).await?;
        }
        transaction.commit().await?;
        Ok(placed)
    })
}

/// Writes `orders` with their events.
async fn write<C>(connection: &mut C, sql: &Statements, outbox: &Outbox, orders: &[Insert]) -> sqlx::Result<Vec<Placed>>
where
    C: Connection,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
    <C::Database as Sql>::Arguments: IntoArguments<C::Database>,
    for<'q> i64: Encode<'q, C::Database> + Decode<'q, C::Database> + Type<C::Database>,
    for<'q> Json<&'q RawValue>: Encode<'q, C::Database> + Type<C::Database>,
    for<'q> &'q str: Encode<'q, C::Database> + Type<C::Database>,
    for<'r> (i64,): FromRow<'r, <C::Database as Sql>::Row>,
{
    let ids: Vec<(i64,)> = sqlx::query_as(sql.draw_ids).bind(orders.len() as i64).fetch_all(&mut *connection).await?;
    let mut new = New::default();
    let mut placed = Vec::with_capacity(orders.len());
    for (insert, (id,)) in orders.iter().zip(ids) {
        let id = OrderId::try_from(id).map_err(DatabaseError::decode_error)?;
        let order = insert.stored(id)?;
        new.orders.push(insert.row(id));
        new.items.extend(insert.item_rows(id));
        new.events.push(outbox.event(&insert.event(id), insert.created_at, insert.order.traceparent.as_deref())?);
        placed.push((order.clone(), receipt(&order).map_err(DatabaseError::decode_error)?));
    }
    // One parameter for any number of rows, so that the statements are prepared once.
    let new = serde_json::value::to_raw_value(&new).map_err(DatabaseError::decode_error)?;
    for &statement in sql.write {
        let write = sqlx::query(statement).bind(Json(&*new)).bind(OrderStatus::Created.as_str());
        write.execute(&mut *connection).await?;
    }
    Ok(placed)
}

/// What the statements are on each database.
struct Statements {
    begin: &'static str,
    /// Draws the ids of `$1` orders.
    draw_ids: &'static str,
    /// They write a [`New`] with the status `$2`.
    write: &'static [&'static str],
}

const POSTGRES: Statements = Statements {
    begin: "BEGIN",
    draw_ids: "SELECT nextval(pg_get_serial_sequence('orders', 'id')) FROM generate_series(1, $1::bigint)",
    write: &[concat!(
        "WITH placed AS (
             INSERT INTO orders (id, user_id, product_id, quantity, status, created_at, updated_at, total_amount, currency,
                                 reservation_id, payment_method, payment_due_at) OVERRIDING SYSTEM VALUE
             SELECT id, user_id, product_id, quantity, $2, created_at, created_at, total_amount, currency,
                    reservation_id, payment_method, payment_due_at
             FROM jsonb_to_recordset($1::jsonb -> 'orders')
                  AS new (id bigint, user_id bigint, product_id bigint, quantity bigint, created_at timestamptz,
                          total_amount bigint, currency text, reservation_id text, payment_method text,
                          payment_due_at timestamptz)
         ), listed AS (
             INSERT INTO order_items (order_id, line, product_id, name, quantity, unit_amount)
             SELECT order_id, line, product_id, name, quantity, unit_amount
             FROM jsonb_to_recordset($1 -> 'items')
                  AS new (order_id bigint, line smallint, product_id bigint, name text, quantity bigint,
                          unit_amount bigint)
         ) ",
        insert_events!(postgres, "$1 -> 'events'")
    )],
};

const SQLITE: Statements = Statements {
    // No other process may draw the same ids.
    begin: "BEGIN IMMEDIATE",
    draw_ids: "WITH RECURSIVE drawn (id, number) AS (
                   SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'orders'), 0) + 1, 1
                   UNION ALL SELECT id + 1, number + 1 FROM drawn WHERE number < $1
               ) SELECT id FROM drawn",
    write: &[
        "INSERT INTO orders (id, user_id, product_id, quantity, status, created_at, updated_at, total_amount, currency,
                             reservation_id, payment_method, payment_due_at)
         SELECT value ->> 'id', value ->> 'user_id', value ->> 'product_id', value ->> 'quantity', $2,
                value ->> 'created_at', value ->> 'created_at', value ->> 'total_amount', value ->> 'currency',
                value ->> 'reservation_id', value ->> 'payment_method', value ->> 'payment_due_at'
         FROM json_each($1, '$.orders')",
        "INSERT INTO order_items (order_id, line, product_id, name, quantity, unit_amount)
         SELECT value ->> 'order_id', value ->> 'line', value ->> 'product_id', value ->> 'name',
                value ->> 'quantity', value ->> 'unit_amount'
         FROM json_each($1, '$.items')",
        insert_events!(sqlite, "$1, '$.events'"),
    ],
};

/// What is written of new orders.
#[derive(Default, Serialize)]
struct New<'a> {
    orders: Vec<NewRow<'a>>,
    items: Vec<ItemRow<'a>>,
    events: Vec<NewEvent>,
}

/// The values of a new row in `orders`.
#[derive(Serialize)]
struct NewRow<'a> {
    id: i64,
    user_id: i64,
    product_id: Option<i64>,
    quantity: Option<i64>,
    created_at: String,
    total_amount: Option<i64>,
    currency: Option<&'a str>,
    reservation_id: Option<String>,
    payment_method: Option<&'a str>,
    payment_due_at: Option<String>,
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

impl Insert {
    fn row(&self, id: OrderId) -> NewRow<'_> {
        let NewOrder { user_id, items, total, reservation_id, payment_method, payment_due_at, .. } = &self.order;
        let first = items.first();
        NewRow {
            id: id.get(),
            user_id: user_id.get(),
            product_id: first.map(|item| item.product_id.get()),
            quantity: first.map(|item| item.quantity.get()),
            created_at: time_text(self.created_at),
            total_amount: total.as_ref().map(|total| total.amount.get()),
            currency: total.as_ref().map(|total| total.currency.as_str()),
            reservation_id: reservation_id.map(|id| id.to_string()),
            payment_method: payment_method.as_ref().map(PaymentMethod::as_str),
            payment_due_at: payment_due_at.map(time_text),
        }
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

    /// The order as it is read back.
    fn stored(&self, id: OrderId) -> sqlx::Result<Order> {
        let NewOrder { user_id, items, total, payment_due_at, .. } = &self.order;
        let first = items.first().ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("no items")))?;
        Ok(Order {
            id,
            user_id: *user_id,
            product_id: first.product_id,
            quantity: first.quantity,
            items: items.clone(),
            total: total.clone(),
            status: OrderStatus::Created,
            payment_due_at: payment_due_at.map(|time| time.trunc_subsecs(6).into()),
            cancellation_reason: None,
            created_at: self.created_at.trunc_subsecs(6).into(),
            updated_at: self.created_at.trunc_subsecs(6).into(),
        })
    }

    fn event(&self, order_id: OrderId) -> OrderCreated {
        let NewOrder { user_id, items, total, reservation_id, payment_method, payment_due_at, .. } = &self.order;
        let item = |item: &OrderItem| PlacedItem { product_id: item.product_id, quantity: item.quantity };
        OrderCreated {
            order_id,
            user_id: *user_id,
            items: items.iter().map(item).collect(),
            total: total.clone(),
            payment_method: payment_method.clone(),
            payment_due_at: payment_due_at.map(|time| time.trunc_subsecs(6).into()),
            reservation_id: reservation_id.map(|id| ReservationId::from_stored(id.to_string())),
        }
    }
}
