//! The orders in the database: all SQL of the service.

mod change;
mod insert;
mod list;
mod row;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service_api::{Order, OrderId, OrderReceipt};
use service_runtime::database::{Batches, Connections, Database, DatabaseError, Pool, read_by_id};
use service_runtime::events::{Inbox, Outbox};
use service_runtime::idempotency::Claim;
use service_runtime::with_pool;

pub use change::StatusChange;
pub use insert::NewOrder;
pub use list::Filter;

use change::{Events, change_all};
use insert::{Insert, Placed, insert_all};
use list::ListQuery;
use row::{OrderRow, columns, order};

/// The stored orders.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct OrderStore {
    database: Database,
    finds: Batches<OrderId, Option<Order>>,
    inserts: Batches<Insert, Placed>,
    changes: Batches<StatusChange, Option<Order>>,
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
        let events = Events { outbox, inbox };
        let changes = Batches::new(&database, move |database, changes| {
            let events = events.clone();
            async move { change_all(database, &events, changes).await }
        });
        Self { database, finds, inserts, changes }
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

    /// Makes a change if the order's status allows it, and writes its event, in one transaction. `None`: there is no such
    /// order, its status does not allow it, or the event that it comes from is handled already.
    pub async fn change(&self, change: StatusChange) -> Result<Option<Order>, DatabaseError> {
        if change.step.from().is_empty() {
            return Ok(None);
        }
        self.changes.run(change).await
    }

    /// At most `limit` orders that had to be paid before `at`, the first due first.
    pub async fn overdue(&self, at: DateTime<Utc>, limit: i64) -> Result<Vec<OrderId>, DatabaseError> {
        // On the writer, as what follows: when the database is away, this keeps no reader busy.
        let ids: Vec<(i64,)> = with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "SELECT id FROM orders WHERE payment_due_at <= ");
            // An instance of the release before leaves the time in orders whose status it has changed.
            query.push_bind(at.trunc_subsecs(6)).push(" AND status || '' = 'created'");
            query.push(" ORDER BY payment_due_at LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(ids
            .into_iter()
            .map(|(id,)| id.try_into().map_err(DatabaseError::decode_error))
            .collect::<sqlx::Result<_>>()?)
    }

    /// The orders that are to be paid: how many, and when the oldest of them was due or is.
    pub async fn unpaid(&self) -> Result<(i64, Option<DateTime<Utc>>), DatabaseError> {
        let rows: Vec<(i64, Option<DateTime<Utc>>)> = with_pool!(self.database.writer(), |pool| async {
            let count = "SELECT COUNT(*), MIN(payment_due_at) FROM orders WHERE payment_due_at IS NOT NULL AND status || '' = 'created'";
            sqlx::query_as(count).fetch_all(pool).await
        })?;
        Ok(rows.into_iter().next().unwrap_or_default())
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

/// The order with each of these ids.
async fn find_all(database: Database, ids: Vec<OrderId>) -> Vec<Result<Option<Order>, DatabaseError>> {
    let select = match database.reader().connections {
        Connections::Postgres(_) => concat!("SELECT ", columns!(postgres), " FROM orders WHERE id"),
        Connections::Sqlite(_) => concat!("SELECT ", columns!(sqlite), " FROM orders WHERE id"),
    };
    let rows = read_by_id(database, select, ids.into_iter().map(OrderId::get).collect()).await;
    rows.into_iter().map(|row| Ok(row?.map(order).transpose()?)).collect()
}
