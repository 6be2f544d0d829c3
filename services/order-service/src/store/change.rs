//! Changing the statuses of orders, many by one transaction.
//!
//! One conditional statement decides every race: between requests, payments, stock and due times.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use contract::money::Money;
use order_service_api::{
    CancellationReason, ConfirmedItem, Order, OrderCancelled, OrderCompleted, OrderConfirmed, OrderId, OrderItem,
    OrderStatus, ReservationId,
};
use serde::Serialize;
use service_runtime::database::{Connections, Database, DatabaseError, by_halves};
use service_runtime::events::{Inbox, NewEvent, Outbox};
use service_runtime::with_batch_connection;
use sqlx::Connection as _;
use sqlx::types::Json;

use super::row::{OrderRow, columns, reserved_order, time_text};
use crate::status::Step;

/// A change of an order's status.
#[derive(Clone, Debug)]
pub struct StatusChange {
    /// The order.
    pub id: OrderId,
    /// What happens to it.
    pub step: Step,
    /// When: its `updated_at`, but never before that of the last change.
    pub at: DateTime<Utc>,
    /// Where in a trace, for its event.
    pub traceparent: Option<String>,
    /// The id of the event that it comes from, if from any: an event has an effect once.
    pub event_id: Option<String>,
}

/// How the events of orders come and go.
#[derive(Clone, Debug)]
pub(super) struct Events {
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
}

/// Makes each of `changes` that its order's status allows, and returns the changed orders; `None` where it does not, or where
/// the event is handled already. All by one transaction or, if that is refused, by halves.
pub(super) async fn change_all(
    database: Database,
    events: &Events,
    changes: Vec<StatusChange>,
) -> Vec<Result<Option<Order>, DatabaseError>> {
    by_halves(changes.len(), |part| change_together(&database, events, &changes[part])).await
}

async fn change_together(
    database: &Database,
    events: &Events,
    changes: &[StatusChange],
) -> Result<Vec<Option<Order>>, DatabaseError> {
    let sql = match database.writer().connections {
        Connections::Postgres(_) => &POSTGRES,
        Connections::Sqlite(_) => &SQLITE,
    };
    let _wake = events.outbox.wake();
    with_batch_connection!(database.writer(), |connection| async {
        let mut transaction = connection.begin_with(sql.begin).await?;
        let ids: HashSet<&str> = changes.iter().filter_map(|change| change.event_id.as_deref()).collect();
        let mut new = match changes.first() {
            Some(change) => events.inbox.record(&mut transaction, ids, change.at).await?,
            None => HashSet::new(),
        };
        let mut outcomes = vec![None; changes.len()];
        let mut waiting: Vec<usize> = Vec::new();
        for (position, change) in changes.iter().enumerate() {
            if change.event_id.as_ref().is_none_or(|id| new.remove(id)) {
                waiting.push(position);
            }
        }
        let mut written: Vec<NewEvent> = Vec::new();
        while !waiting.is_empty() {
            // A statement changes a row once, so what happens to the same order follows in the next one.
            let mut turn: BTreeMap<OrderId, usize> = BTreeMap::new();
            waiting.retain(|position| {
                let is_next = !turn.contains_key(&changes[*position].id);
                if is_next {
                    turn.insert(changes[*position].id, *position);
                }
                !is_next
            });
            let steps: BTreeMap<OrderId, NewStatus<'_>> =
                turn.iter().map(|(id, position)| (*id, NewStatus::of(&changes[*position]))).collect();
            let steps = serde_json::value::to_raw_value(&steps).map_err(DatabaseError::decode_error)?;
            if let Some(lock) = sql.lock {
                sqlx::query(lock).bind(Json(&steps)).execute(&mut *transaction).await?;
            }
            let moved: Vec<OrderRow> =
                sqlx::query_as(sql.change).bind(Json(&steps)).fetch_all(&mut *transaction).await?;
            let moved = moved.into_iter().map(reserved_order).collect::<sqlx::Result<Vec<_>>>()?;
            for (order, reservation) in moved {
                let Some(position) = turn.remove(&order.id) else { continue };
                let change = &changes[position];
                let reservation = reservation.map(ReservationId::from_stored);
                written.extend(event(&events.outbox, &order, reservation, change.traceparent.as_deref())?);
                outcomes[position] = Some(order);
            }
            if turn.values().any(|position| matches!(changes[*position].step, Step::Paid(_))) {
                sqlx::query(sql.mark_paid).bind(Json(&steps)).execute(&mut *transaction).await?;
            }
        }
        let _wake = events.outbox.write(&mut transaction, &written).await?;
        transaction.commit().await?;
        Ok(outcomes)
    })
}

/// What the statements are on each database. Each has one parameter, the [`NewStatus`] of each order by its id, so that it is
/// prepared once.
struct Statements {
    begin: &'static str,
    /// Locks the orders in the order of their ids, so that replicas do not deadlock.
    lock: Option<&'static str>,
    /// Moves orders, and returns them.
    change: &'static str,
    /// Marks those as paid that somebody has confirmed already.
    mark_paid: &'static str,
}

const POSTGRES: Statements = Statements {
    begin: "BEGIN",
    lock: Some(
        "SELECT id FROM orders WHERE id = ANY (ARRAY(SELECT jsonb_object_keys($1::jsonb)::bigint)) ORDER BY id FOR UPDATE",
    ),
    // Not a join, which could read the whole table.
    change: concat!(
        "UPDATE orders SET
             status = $1::jsonb -> id::text ->> 'status',
             updated_at = GREATEST(updated_at, ($1 -> id::text ->> 'at')::timestamptz),
             cancellation_reason = $1 -> id::text ->> 'reason',
             payment_due_at = NULL,
             paid = paid OR $1 -> id::text ->> 'paid_amount' IS NOT NULL
         WHERE id = ANY (ARRAY(SELECT jsonb_object_keys($1)::bigint))
             AND CASE status
                 WHEN 'created' THEN ($1 -> id::text ->> 'from_created')::boolean
                 WHEN 'confirmed' THEN ($1 -> id::text ->> 'from_confirmed')::boolean
                     AND NOT (paid AND ($1 -> id::text ->> 'unless_paid')::boolean)
                 ELSE FALSE
             END
             AND (total_amount IS NOT NULL OR NOT ($1 -> id::text ->> 'of_payment')::boolean)
             AND ($1 -> id::text ->> 'paid_amount' IS NULL
                  OR total_amount = ($1 -> id::text ->> 'paid_amount')::bigint
                     AND currency = $1 -> id::text ->> 'paid_currency')
         RETURNING ",
        columns!(postgres)
    ),
    mark_paid: "UPDATE orders SET paid = TRUE
         WHERE id = ANY (ARRAY(SELECT jsonb_object_keys($1::jsonb)::bigint)) AND status || '' = 'confirmed' AND NOT paid
             AND total_amount = ($1 -> id::text ->> 'paid_amount')::bigint
             AND currency = $1 -> id::text ->> 'paid_currency'",
};

const SQLITE: Statements = Statements {
    begin: "BEGIN IMMEDIATE",
    lock: None,
    change: concat!(
        "UPDATE orders SET
             status = step.value ->> 'status',
             updated_at = MAX(updated_at, step.value ->> 'at'),
             cancellation_reason = step.value ->> 'reason',
             payment_due_at = NULL,
             paid = paid OR step.value ->> 'paid_amount' IS NOT NULL
         FROM json_each($1) AS step
         WHERE orders.id = CAST(step.key AS INTEGER)
             AND CASE status
                 WHEN 'created' THEN step.value ->> 'from_created'
                 WHEN 'confirmed' THEN step.value ->> 'from_confirmed'
                     AND NOT (paid AND step.value ->> 'unless_paid')
                 ELSE FALSE
             END
             AND (total_amount IS NOT NULL OR NOT step.value ->> 'of_payment')
             AND (step.value ->> 'paid_amount' IS NULL
                  OR total_amount = step.value ->> 'paid_amount' AND currency = step.value ->> 'paid_currency')
         RETURNING ",
        columns!(sqlite)
    ),
    mark_paid: "UPDATE orders SET paid = TRUE FROM json_each($1) AS step
         WHERE orders.id = CAST(step.key AS INTEGER) AND status || '' = 'confirmed' AND NOT paid
             AND total_amount = step.value ->> 'paid_amount' AND currency = step.value ->> 'paid_currency'",
};

/// What is written of a change, and on which conditions.
#[derive(Serialize)]
struct NewStatus<'a> {
    status: &'static str,
    reason: Option<&'static str>,
    at: String,
    from_created: bool,
    from_confirmed: bool,
    /// Whether it concerns only orders with a total.
    of_payment: bool,
    /// Whether it does not move a confirmed order that is paid.
    unless_paid: bool,
    paid_amount: Option<i64>,
    paid_currency: Option<&'a str>,
}

impl<'a> NewStatus<'a> {
    fn of(change: &'a StatusChange) -> Self {
        let StatusChange { step, at, .. } = change;
        let paid = match step {
            Step::Paid(Money { amount, currency }) => Some((amount.get(), currency.as_str())),
            _ => None,
        };
        Self {
            status: step.to().as_str(),
            reason: step.reason().map(CancellationReason::as_str),
            at: time_text(*at),
            from_created: step.from().contains(&OrderStatus::Created),
            from_confirmed: step.from().contains(&OrderStatus::Confirmed),
            of_payment: matches!(step, Step::Paid(_) | Step::PaymentFailed | Step::Refunded),
            unless_paid: *step == Step::PaymentFailed,
            paid_amount: paid.map(|(amount, _)| amount),
            paid_currency: paid.map(|(_, currency)| currency),
        }
    }
}

/// The event that `order` has moved to its status.
fn event(
    outbox: &Outbox,
    order: &Order,
    reservation_id: Option<ReservationId>,
    traceparent: Option<&str>,
) -> sqlx::Result<Option<NewEvent>> {
    let (order_id, user_id, at) = (order.id, order.user_id, order.updated_at.into());
    let event = match order.status {
        // It is never moved there.
        OrderStatus::Created => return Ok(None),
        OrderStatus::Confirmed => {
            let items = Some(order.items.iter().map(confirmed).collect());
            let total = order.total.clone();
            outbox.event(&OrderConfirmed { order_id, user_id, items, total, reservation_id }, at, traceparent)
        }
        OrderStatus::Completed => outbox.event(&OrderCompleted { order_id, user_id }, at, traceparent),
        OrderStatus::Cancelled => {
            let reason = order.cancellation_reason.unwrap_or(CancellationReason::Requested);
            outbox.event(&OrderCancelled { order_id, user_id, reason, reservation_id }, at, traceparent)
        }
    };
    event.map(Some)
}

fn confirmed(item: &OrderItem) -> ConfirmedItem {
    let OrderItem { product_id, name, quantity, subtotal, .. } = item.clone();
    ConfirmedItem { product_id, name, quantity, subtotal }
}
