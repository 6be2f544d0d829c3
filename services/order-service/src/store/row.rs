//! The row of an order, with its items.

use chrono::{DateTime, SubsecRound as _, Utc};
use contract::money::{Amount, Currency, Money};
use order_service_api::{CancellationReason, ItemName, Order, OrderItem, OrderStatus};
use service_runtime::database::DatabaseError;
use sqlx::{Postgres, Sqlite};

/// The columns of an [`OrderRow`]. The items are a subquery, by the primary key of their table: a join would let
/// PostgreSQL choose another plan than an index scan.
macro_rules! columns {
    (postgres) => {
        $crate::store::row::columns!(
            @with "json_agg(json_build_array(line, product_id, name, quantity, unit_amount))::text"
        )
    };
    (sqlite) => {
        $crate::store::row::columns!(
            @with "json_group_array(json_array(line, product_id, name, quantity, unit_amount))"
        )
    };
    (@with $items:literal) => {
        concat!(
            "id, user_id, product_id, quantity, status, created_at, updated_at, total_amount, currency, \
             cancellation_reason, payment_due_at, reservation_id, (SELECT ",
            $items,
            " FROM order_items WHERE order_id = orders.id)"
        )
    };
}
pub(super) use columns;

/// Id, user, product, quantity, status, two times, total, currency, reason, due time, reservation and items. The last is a JSON array of [`ItemRow`]s, or nothing.
pub(super) type OrderRow = (
    i64,
    i64,
    i64,
    i64,
    String,
    DateTime<Utc>,
    DateTime<Utc>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<DateTime<Utc>>,
    Option<String>,
    Option<String>,
);

/// Line, product, name, quantity and price of a unit.
type ItemRow = (i64, i64, Option<String>, i64, Option<i64>);

/// The SQL of orders, as each database needs it.
pub(super) trait OrderSql: sqlx::Database {
    /// The columns of an [`OrderRow`].
    const COLUMNS: &'static str;
}

impl OrderSql for Postgres {
    const COLUMNS: &'static str = columns!(postgres);
}

impl OrderSql for Sqlite {
    const COLUMNS: &'static str = columns!(sqlite);
}

/// The order in a row.
pub(super) fn order(row: OrderRow) -> sqlx::Result<Order> {
    reserved_order(row).map(|(order, _)| order)
}

/// The order in a row, and the id of its reservation.
pub(super) fn reserved_order(row: OrderRow) -> sqlx::Result<(Order, Option<String>)> {
    let (
        id,
        user_id,
        product_id,
        quantity,
        status,
        created_at,
        updated_at,
        total,
        currency,
        reason,
        due,
        reservation,
        items,
    ) = row;
    let currency = currency.map(Currency::from_stored);
    let mut rows: Vec<ItemRow> =
        items.as_deref().map_or(Ok(Vec::new()), serde_json::from_str).map_err(DatabaseError::decode_error)?;
    rows.sort_unstable_by_key(|(line, ..)| *line);
    if rows.is_empty() {
        rows.push((0, product_id, None, quantity, None));
    }
    let order = Order {
        id: id.try_into().map_err(DatabaseError::decode_error)?,
        user_id: user_id.try_into().map_err(DatabaseError::decode_error)?,
        product_id: product_id.try_into().map_err(DatabaseError::decode_error)?,
        quantity: quantity.try_into().map_err(DatabaseError::decode_error)?,
        items: rows.into_iter().map(|row| item(row, currency.as_ref())).collect::<sqlx::Result<_>>()?,
        total: total.map(|amount| money(amount, currency.as_ref())).transpose()?,
        status: known(OrderStatus::ALL, OrderStatus::as_str, &status)?,
        payment_due_at: due.map(Into::into),
        cancellation_reason: reason
            .map(|reason| known(CancellationReason::ALL, CancellationReason::as_str, &reason))
            .transpose()?,
        created_at: created_at.into(),
        updated_at: updated_at.into(),
    };
    Ok((order, reservation))
}

/// As sqlx writes a time to SQLite, where times are compared as text.
pub(super) fn time_text(time: DateTime<Utc>) -> String {
    time.trunc_subsecs(6).to_rfc3339()
}

fn item((_, product_id, name, quantity, unit_amount): ItemRow, currency: Option<&Currency>) -> sqlx::Result<OrderItem> {
    let subtotal =
        unit_amount.map(|amount| amount.checked_mul(quantity).ok_or_else(|| invalid("a subtotal overflows")));
    Ok(OrderItem {
        product_id: product_id.try_into().map_err(DatabaseError::decode_error)?,
        name: name.map(ItemName::from_stored),
        quantity: quantity.try_into().map_err(DatabaseError::decode_error)?,
        unit_price: unit_amount.map(|amount| money(amount, currency)).transpose()?,
        subtotal: subtotal.map(|amount| money(amount?, currency)).transpose()?,
    })
}

fn money(amount: i64, currency: Option<&Currency>) -> sqlx::Result<Money> {
    let amount: Amount = amount.try_into().map_err(DatabaseError::decode_error)?;
    let currency = currency.cloned().ok_or_else(|| invalid("an amount has no currency"))?;
    Ok(Money { amount, currency })
}

/// The one of `all` that is stored as `text`.
fn known<T: Copy, const N: usize>(all: [T; N], name: impl Fn(T) -> &'static str, text: &str) -> sqlx::Result<T> {
    all.into_iter().find(|value| name(*value) == text).ok_or_else(|| invalid("unknown value"))
}

fn invalid(problem: &'static str) -> sqlx::Error {
    DatabaseError::decode_error(std::io::Error::other(problem))
}
