//! What product-service must still be told of the reservations of orders.
//!
//! A task is stored in the transaction that places, confirms or cancels its order, and removed once it is done. An order
//! has one task: what is wanted last replaces what was wanted before.

use chrono::{DateTime, SubsecRound, Utc};
use order_service_api::{OrderId, OrderStatus};
use service_runtime::database::{Database, DatabaseError, InList, Pool};
use service_runtime::with_pool;
use uuid::Uuid;

/// What is to become of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// It is kept: its order is placed.
    Bound,
    /// Its items are sold: its order is confirmed.
    Committed,
    /// Its items are available to others again: its order is cancelled.
    Released,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationTask {
    /// The order.
    pub order_id: OrderId,
    /// Its reservation.
    pub reservation_id: Uuid,
    /// What is to become of it.
    pub wanted: Wanted,
    /// How many attempts have failed.
    pub attempts: i64,
}

impl Wanted {
    const ALL: [Self; 3] = [Self::Bound, Self::Committed, Self::Released];

    /// As it is stored and logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Committed => "committed",
            Self::Released => "released",
        }
    }

    /// What is wanted once an order has moved to `status`; `None` if that changes nothing.
    pub(super) fn once(status: OrderStatus) -> Option<Self> {
        match status {
            OrderStatus::Created => Some(Self::Bound),
            OrderStatus::Confirmed => Some(Self::Committed),
            OrderStatus::Completed => None,
            OrderStatus::Cancelled => Some(Self::Released),
        }
    }
}

/// Stores or replaces the task of the order with the id `$1`, if it has a reservation.
pub(super) const REPLACE_TASK: &str =
    "INSERT INTO reservation_tasks (order_id, reservation_id, wanted, attempts, next_at)
     SELECT id, reservation_id, $2, 0, $3 FROM orders WHERE id = $1 AND reservation_id IS NOT NULL
     ON CONFLICT (order_id) DO UPDATE SET wanted = excluded.wanted, attempts = 0, next_at = excluded.next_at";

/// The tasks of all orders.
#[derive(Clone, Debug)]
pub struct ReservationTasks(Database);

impl ReservationTasks {
    pub(super) fn new(database: Database) -> Self {
        Self(database)
    }

    /// At most `limit` tasks that are due at `now`, those that have waited longest first.
    pub async fn due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<ReservationTask>, DatabaseError> {
        // Through the writer, which fails once the file is no longer at its path: tasks of a removed file must not be done.
        let rows: Vec<(i64, String, String, i64)> = with_pool!(self.0.writer(), |pool| async {
            let select = "SELECT order_id, reservation_id, wanted, attempts FROM reservation_tasks WHERE next_at <= ";
            let mut query = Pool::query_for(pool, select);
            // The limit is not bound: PostgreSQL plans better with a known one.
            query.push_bind(now.trunc_subsecs(6)).push(" ORDER BY next_at LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        let task = |(order_id, reservation_id, wanted, attempts): (i64, String, String, i64)| {
            let known = Wanted::ALL.into_iter().find(|known| known.as_str() == wanted);
            Ok(ReservationTask {
                order_id: order_id.try_into().map_err(DatabaseError::decode_error)?,
                reservation_id: reservation_id.parse().map_err(DatabaseError::decode_error)?,
                wanted: known.ok_or_else(|| DatabaseError::decode_error(std::io::Error::other("unknown value")))?,
                attempts,
            })
        };
        Ok(rows.into_iter().map(task).collect::<sqlx::Result<_>>()?)
    }

    /// Removes the tasks of these orders, unless something else than `wanted` is wanted by now.
    pub async fn end(&self, wanted: Wanted, orders: &[OrderId]) -> Result<(), DatabaseError> {
        with_pool!(self.0.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "DELETE FROM reservation_tasks WHERE wanted = ");
            query.push_bind(wanted.as_str()).push(" AND order_id");
            InList::push_in_list(&mut query, ids(orders))?;
            query.build().execute(pool).await.map(|_| ())
        })
    }

    /// Lets the tasks of these orders wait until `next_at` after `attempts` failed attempts, unless something else than
    /// `wanted` is wanted by now.
    pub async fn postpone(
        &self,
        wanted: Wanted,
        orders: &[OrderId],
        attempts: i64,
        next_at: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        with_pool!(self.0.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "UPDATE reservation_tasks SET attempts = ");
            query.push_bind(attempts).push(", next_at = ").push_bind(next_at.trunc_subsecs(6));
            query.push(" WHERE wanted = ").push_bind(wanted.as_str()).push(" AND order_id");
            InList::push_in_list(&mut query, ids(orders))?;
            query.build().execute(pool).await.map(|_| ())
        })
    }
}

fn ids(orders: &[OrderId]) -> Vec<i64> {
    orders.iter().map(|order| order.get()).collect()
}
