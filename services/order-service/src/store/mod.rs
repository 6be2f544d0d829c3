//! The orders in the database: all SQL of the service.

mod insert;
mod list;
mod row;
mod tasks;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service_api::{CancellationReason, Order, OrderId, OrderReceipt, OrderStatus};
use service_runtime::database::{Batches, Connections, Database, DatabaseError, Pool, read_by_id};
use service_runtime::idempotency::Claim;
use service_runtime::with_pool;
use sqlx::QueryBuilder;

pub use insert::NewOrder;
pub use list::Filter;
pub use tasks::{ReservationTask, ReservationTasks, Wanted};

use insert::{Insert, Placed, insert_all};
use list::ListQuery;
use row::{OrderRow, OrderSql, columns, order};
use tasks::REPLACE_TASK;

/// The stored orders.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct OrderStore {
    database: Database,
    finds: Batches<OrderId, Option<Order>>,
    inserts: Batches<Insert, Placed>,
    /// What product-service must still be told of them.
    pub tasks: ReservationTasks,
}

impl OrderStore {
    /// The orders in `database`.
    pub fn new(database: Database) -> Self {
        let finds = Batches::new(&database, find_all);
        let inserts = Batches::new(&database, insert_all);
        let tasks = ReservationTasks::new(database.clone());
        Self { database, finds, inserts, tasks }
    }

    /// Stores a new order with the status `created`, the task of its reservation, and its receipt under the key of `claim`,
    /// in one transaction. [`DatabaseError::UniqueViolation`]: the key has a response already.
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

    /// Moves the order with this id to the status `to` if its current one is in `from`, and replaces the task of its
    /// reservation, in one transaction. The time of the change is `updated_at`, but never before that of the last change.
    /// `None`: there is no such order, or its status is not in `from`.
    pub async fn update_status(
        &self,
        id: OrderId,
        from: &[OrderStatus],
        to: OrderStatus,
        updated_at: DateTime<Utc>,
    ) -> Result<Option<Order>, DatabaseError> {
        self.change(id, from, to, None, updated_at).await
    }

    /// Moves the order to `cancelled` for `reason`, as [`update_status`](Self::update_status).
    pub async fn cancel(
        &self,
        id: OrderId,
        from: &[OrderStatus],
        reason: CancellationReason,
        updated_at: DateTime<Utc>,
    ) -> Result<Option<Order>, DatabaseError> {
        self.change(id, from, OrderStatus::Cancelled, Some(reason), updated_at).await
    }

    async fn change(
        &self,
        id: OrderId,
        from: &[OrderStatus],
        to: OrderStatus,
        reason: Option<CancellationReason>,
        updated_at: DateTime<Utc>,
    ) -> Result<Option<Order>, DatabaseError> {
        if from.is_empty() {
            return Ok(None);
        }
        let updated_at = updated_at.trunc_subsecs(6);
        let rows: Vec<OrderRow> = with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "UPDATE orders SET status = ");
            // The clock may have been set back since the last change.
            query.push_bind(to.as_str()).push(", updated_at = CASE WHEN updated_at > ").push_bind(updated_at);
            query.push(" THEN updated_at ELSE ").push_bind(updated_at).push(" END");
            query.push(", cancellation_reason = ").push_bind(reason.map(CancellationReason::as_str));
            query.push(" WHERE id = ").push_bind(id.get()).push(" AND status IN (");
            let mut allowed = query.separated(", ");
            for status in from {
                allowed.push_bind(status.as_str());
            }
            query.push(") RETURNING ");
            push_columns(&mut query);
            let mut transaction = pool.begin().await?;
            let rows: Vec<OrderRow> = query.build_query_as().fetch_all(&mut *transaction).await?;
            if let (false, Some(wanted)) = (rows.is_empty(), Wanted::once(to)) {
                let replace = sqlx::query(REPLACE_TASK).bind(id.get()).bind(wanted.as_str()).bind(updated_at);
                replace.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(rows)
        })?;
        Ok(rows.into_iter().next().map(order).transpose()?)
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

fn push_columns<DB: OrderSql>(query: &mut QueryBuilder<DB>) {
    query.push(DB::COLUMNS);
}
