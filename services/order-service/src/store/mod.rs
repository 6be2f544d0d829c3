//! The orders in the database: all SQL of the service.

mod insert;
mod list;
mod row;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service_api::{
    CancellationReason, ConfirmedItem, Order, OrderCancelled, OrderCompleted, OrderConfirmed, OrderId, OrderItem,
    OrderReceipt, OrderStatus, ReservationId,
};
use service_runtime::database::{Batches, Connections, Database, DatabaseError, Pool, read_by_id};
use service_runtime::events::{Inbox, NewEvent, Outbox};
use service_runtime::idempotency::Claim;
use service_runtime::with_pool;
use sqlx::QueryBuilder;

pub use insert::NewOrder;
pub use list::Filter;

use insert::{Insert, Placed, insert_all};
use list::ListQuery;
use row::{OrderRow, OrderSql, columns, order};

/// The stored orders.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct OrderStore {
    database: Database,
    finds: Batches<OrderId, Option<Order>>,
    inserts: Batches<Insert, Placed>,
    outbox: Outbox,
    inbox: Inbox,
}

/// A change of an order's status.
#[derive(Clone, Copy, Debug)]
pub struct StatusChange<'a> {
    /// The order.
    pub id: OrderId,
    /// The status to move to.
    pub to: OrderStatus,
    /// Why, if it is cancelled.
    pub reason: Option<CancellationReason>,
    /// When: its `updated_at`, but never before that of the last change.
    pub at: DateTime<Utc>,
    /// Where in a trace, for its event.
    pub traceparent: Option<&'a str>,
}

impl OrderStore {
    /// The orders in `database`, whose events go to `outbox` and come through `inbox`.
    pub fn new(database: Database, outbox: Outbox, inbox: Inbox) -> Self {
        let finds = Batches::new(&database, find_all);
        let inserts = Batches::new(&database, {
            let outbox = outbox.clone();
            move |database, orders| {
                let outbox = outbox.clone();
                async move { insert_all(database, &outbox, orders).await }
            }
        });
        Self { database, finds, inserts, outbox, inbox }
    }

    /// Stores a new order with the status `created`, its event, and its receipt under the key of `claim`, in one transaction. [`DatabaseError::UniqueViolation`]: the key has a response already.
    pub async fn insert(
        &self,
        order: NewOrder,
        created_at: DateTime<Utc>,
        claim: Option<Claim>,
    ) -> Result<(Order, Created<OrderReceipt>), DatabaseError> {
        self.inserts.run(Insert { order, created_at, claim }).await
    }

    /// The order with this id.
    pub async fn find(&self, id: OrderId) -> Result<Option<Order>, DatabaseError> {
        self.finds.run(id).await
    }

    /// Moves an order to another status if its current one is in `from`, and writes the event, in one transaction. `None`:
    /// there is no such order, or its status is not in `from`.
    pub async fn change(&self, change: StatusChange<'_>, from: &[OrderStatus]) -> Result<Option<Order>, DatabaseError> {
        self.change_once(change, from, None).await
    }

    /// As [`change`](Self::change), because of the event with this id; nothing happens if it is handled already.
    pub async fn change_by_event(
        &self,
        event_id: &str,
        change: StatusChange<'_>,
        from: &[OrderStatus],
    ) -> Result<Option<Order>, DatabaseError> {
        self.change_once(change, from, Some(event_id)).await
    }

    async fn change_once(
        &self,
        change: StatusChange<'_>,
        from: &[OrderStatus],
        event_id: Option<&str>,
    ) -> Result<Option<Order>, DatabaseError> {
        if from.is_empty() {
            return Ok(None);
        }
        let StatusChange { id, to, reason, traceparent, .. } = change;
        let at = change.at.trunc_subsecs(6);
        with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "UPDATE orders SET status = ");
            // The clock may have been set back since the last change.
            query.push_bind(to.as_str()).push(", updated_at = CASE WHEN updated_at > ").push_bind(at);
            query.push(" THEN updated_at ELSE ").push_bind(at).push(" END");
            query.push(", cancellation_reason = ").push_bind(reason.map(CancellationReason::as_str));
            query.push(" WHERE id = ").push_bind(id.get()).push(" AND status IN (");
            let mut allowed = query.separated(", ");
            for status in from {
                allowed.push_bind(status.as_str());
            }
            query.push(") RETURNING ");
            push_columns(&mut query);
            let mut transaction = pool.begin().await?;
            if self.inbox.record(&mut transaction, event_id, at).await?.len() < usize::from(event_id.is_some()) {
                return Ok(None);
            }
            let rows: Vec<OrderRow> = query.build_query_as().fetch_all(&mut *transaction).await?;
            let moved = rows.into_iter().next().map(order).transpose()?;
            let reservation = sqlx::query_as("SELECT reservation_id FROM orders WHERE id = $1").bind(id.get());
            let reservations: Vec<(Option<String>,)> = reservation.fetch_all(&mut *transaction).await?;
            let reservation_id = reservations.into_iter().next().and_then(|(id,)| id);
            let event =
                moved.as_ref().map(|order| self.event(order, reservation_id, traceparent)).transpose()?.flatten();
            let _wake = self.outbox.write(&mut transaction, event.as_slice()).await?;
            transaction.commit().await?;
            Ok(moved)
        })
    }

    /// The event that `order` has moved to its status.
    fn event(
        &self,
        order: &Order,
        reservation_id: Option<String>,
        traceparent: Option<&str>,
    ) -> sqlx::Result<Option<NewEvent>> {
        let (order_id, user_id, at) = (order.id, order.user_id, order.updated_at.into());
        let reservation_id = reservation_id.map(ReservationId::from_stored);
        let event = match order.status {
            // It is never moved there.
            OrderStatus::Created => return Ok(None),
            OrderStatus::Confirmed => {
                let items = Some(order.items.iter().map(confirmed).collect());
                let total = order.total.clone();
                let confirmed = OrderConfirmed { order_id, user_id, items, total, reservation_id };
                self.outbox.event(&confirmed, at, traceparent)
            }
            OrderStatus::Completed => self.outbox.event(&OrderCompleted { order_id, user_id }, at, traceparent),
            OrderStatus::Cancelled => {
                let reason = order.cancellation_reason.unwrap_or(CancellationReason::Requested);
                self.outbox.event(&OrderCancelled { order_id, user_id, reason, reservation_id }, at, traceparent)
            }
        };
        event.map(Some)
    }

    /// At most `limit` orders of `filter` with ids below `before`, by descending id.
    pub async fn list_before(&self, before: i64, filter: Filter, limit: i64) -> Result<Vec<Order>, DatabaseError> {
        let rows: Vec<OrderRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, "");
            ListQuery::push_list(&mut query, before, filter);
            // Not bound: PostgreSQL would make a new plan for every page of an unknown length.
            query.push(" LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(order).collect::<sqlx::Result<_>>()?)
    }
}

fn confirmed(item: &OrderItem) -> ConfirmedItem {
    let OrderItem { product_id, name, quantity, subtotal, .. } = item.clone();
    ConfirmedItem { product_id, name, quantity, subtotal }
}

/// The order with each of these ids.
async fn find_all(database: Database, ids: Vec<OrderId>) -> Vec<Result<Option<Order>, DatabaseError>> {
    let select = match database.reader().connections {
        Connections::Postgres(_) => concat!("SELECT ", columns!(postgres), " FROM orders WHERE id"),
        Connections::Sqlite(_) => concat!("SELECT ", columns!(sqlite), " FROM orders WHERE id"),
    };
    let rows = read_by_id(database, select, ids.into_iter().map(OrderId::get).collect()).await;
    rows.into_iter().map(|row| Ok(row?.map(order).transpose()?)).collect()
}

fn push_columns<DB: OrderSql>(query: &mut QueryBuilder<DB>) {
    query.push(DB::COLUMNS);
}
