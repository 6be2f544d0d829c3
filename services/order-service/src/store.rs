//! The orders in the database: all SQL of the service, and nothing else.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, Utc};
use contract::answer::Created;
use order_service_api::{Order, OrderCreate, OrderId, OrderReceipt, OrderStatus, UserId};
use serde::{Deserialize, Serialize};
use service_runtime::database::{
    BatchConnection, Batches, Database, DatabaseError, InList, Migration, Migrations, Pool, fail_all,
};
use service_runtime::idempotency::{AnswerOf, Claim};
use service_runtime::{with_batch_connection, with_pool};
use sqlx::{Postgres, QueryBuilder, Sqlite};

use crate::insert::{self, NewOrder, Placed};

/// The schema, step by step.
pub const MIGRATIONS: Migrations = Migrations {
    service_name: crate::NAME,
    steps: &[
        Migration {
            version: 1,
            name: "create orders",
            sql: include_str!("../../../migrations/order-service/0001_create_orders.sql"),
        },
        Migration {
            version: 2,
            name: "create idempotency keys",
            sql: include_str!("../../../migrations/order-service/0002_create_idempotency_keys.sql"),
        },
        Migration {
            version: 3,
            name: "drop orders by user",
            sql: include_str!("../../../migrations/order-service/0003_drop_orders_by_user.sql"),
        },
    ],
};

/// Which orders a list is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only orders of this user.
    pub user_id: Option<UserId>,
    /// Only orders with this status.
    pub status: Option<OrderStatus>,
}

/// The stored orders.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database is away, and with
/// [`DatabaseError::Fault`] on what must not happen.
#[derive(Clone, Debug)]
pub struct OrderStore {
    database: Database,
    finds: Batches<OrderId, Option<Order>>,
    inserts: Batches<NewOrder, Placed>,
}

pub(crate) type OrderRow = (i64, i64, i64, i64, String, DateTime<Utc>, DateTime<Utc>);

impl OrderStore {
    /// The orders in `database`.
    pub fn new(database: Database) -> Self {
        let finds = Batches::new(&database, find_all);
        let inserts = Batches::new(&database, insert::all);
        Self { database, finds, inserts }
    }

    /// Stores a new order with the status `created` and gives it with the `answer` about it, which is kept under the key
    /// of `claim`. [`DatabaseError::UniqueViolation`]: the key was kept already.
    pub async fn insert(
        &self,
        order: &OrderCreate,
        created_at: DateTime<Utc>,
        claim: Option<&Claim>,
        answer: AnswerOf<Order, OrderReceipt>,
    ) -> Result<(Order, Created<OrderReceipt>), DatabaseError> {
        self.inserts.run(NewOrder { order: order.clone(), created_at, claim: claim.cloned(), answer }).await
    }

    /// The order with this id.
    pub async fn find(&self, id: OrderId) -> Result<Option<Order>, DatabaseError> {
        self.finds.run(id).await
    }

    /// Moves the order with this id to the status `to` if its present one is among `from`. `None`: there is no such
    /// order, or its status is another.
    pub async fn update_status(
        &self,
        id: OrderId,
        from: &[OrderStatus],
        to: OrderStatus,
        updated_at: DateTime<Utc>,
    ) -> Result<Option<Order>, DatabaseError> {
        if from.is_empty() {
            return Ok(None);
        }
        let rows: Vec<OrderRow> = with_pool!(self.database.writer(), |pool| async {
            let mut query = Pool::query_for(pool, "UPDATE orders SET status = ");
            query.push_bind(to.as_str()).push(", updated_at = ").push_bind(updated_at.trunc_subsecs(6));
            query.push(" WHERE id = ").push_bind(id.get()).push(" AND status IN (");
            let mut allowed = query.separated(", ");
            for status in from {
                allowed.push_bind(status.as_str());
            }
            query.push(") RETURNING id, user_id, product_id, quantity, status, created_at, updated_at");
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(first(rows)?)
    }

    /// At most `limit` orders of `filter` with ids below `before`, by falling id.
    pub async fn list_before(&self, before: i64, filter: Filter, limit: i64) -> Result<Vec<Order>, DatabaseError> {
        let rows: Vec<OrderRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, "");
            ListQuery::push_list(&mut query, before, filter);
            // Not bound: with a number that it does not know PostgreSQL would make a new plan for every page.
            query.push(" LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(order).collect::<sqlx::Result<_>>()?)
    }
}

/// A list, said so that the database reads along the index that it has for it.
trait ListQuery: sqlx::Database {
    /// Adds the statement for the orders of `filter` with ids below `before`, by falling id, without its limit.
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, filter: Filter);
}

/// Orders, whichever.
const SELECT: &str = "SELECT id, user_id, product_id, quantity, status, created_at, updated_at FROM orders";

/// The orders of a user are those in each status (`ALL` must have them all): SQLite merges them as it reads, and needs no
/// index of their own, of which each order would change another page.
impl ListQuery for Sqlite {
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, filter: Filter) {
        let statuses = match filter {
            Filter { user_id: Some(_), status: None } => OrderStatus::ALL.map(Some).to_vec(),
            Filter { status, .. } => vec![status],
        };
        for (index, status) in statuses.into_iter().enumerate() {
            query.push(if index == 0 { "" } else { " UNION ALL " }).push(SELECT);
            query.push(" WHERE id < ").push_bind(before);
            if let Some(user_id) = filter.user_id {
                query.push(" AND user_id = ").push_bind(user_id.get());
            }
            if let Some(status) = status {
                query.push(" AND status = ").push_bind(status.as_str());
            }
        }
        query.push(" ORDER BY id DESC");
    }
}

/// An equality would leave PostgreSQL the choice to go through the newest orders of everybody, which it makes where it expects to
/// find enough of the user's soon, however old they are. Rows are compared and sorted only along the list's index.
impl ListQuery for Postgres {
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, filter: Filter) {
        let (columns, order) = match (filter.user_id, filter.status) {
            (None, None) => ("(id)", "id DESC"),
            (Some(_), None) => ("(user_id, id)", "user_id DESC, id DESC"),
            (None, Some(_)) => ("(status, id)", "status DESC, id DESC"),
            (Some(_), Some(_)) => ("(user_id, status, id)", "user_id DESC, status DESC, id DESC"),
        };
        query.push(SELECT);
        // No id is 0.
        for (conjunction, comparison, id) in [(" WHERE ", " > (", 0), (" AND ", " < (", before)] {
            query.push(conjunction).push(columns).push(comparison);
            if let Some(user_id) = filter.user_id {
                query.push_bind(user_id.get()).push(", ");
            }
            if let Some(status) = filter.status {
                query.push_bind(status.as_str()).push(", ");
            }
            query.push_bind(id).push(")");
        }
        query.push(" ORDER BY ").push(order);
    }
}

/// The order with each of these ids.
async fn find_all(database: Database, ids: Vec<OrderId>) -> Vec<Result<Option<Order>, DatabaseError>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.get()).collect();
    let sql = "SELECT id, user_id, product_id, quantity, status, created_at, updated_at FROM orders WHERE id = $1";
    if let Some(rows) = database.read_inline(sql, ids.iter().copied()) {
        return rows.into_iter().map(|row| Ok(row.map(order).transpose()?)).collect();
    }
    let rows: Result<Vec<OrderRow>, DatabaseError> = with_batch_connection!(database.reader(), |connection| async {
        let mut query = BatchConnection::query_for(
            &connection,
            "SELECT id, user_id, product_id, quantity, status, created_at, updated_at FROM orders WHERE id",
        );
        InList::push_in_list(&mut query, ids.clone())?;
        query.build_query_as().fetch_all(&mut *connection).await
    });
    let found: HashMap<i64, OrderRow> = match rows {
        Ok(rows) => rows.into_iter().map(|row| (row.0, row)).collect(),
        Err(error) => return fail_all(ids.len(), &error),
    };
    // Several may ask for the same.
    ids.iter().map(|id| Ok(found.get(id).cloned().map(order).transpose()?)).collect()
}

fn first(rows: Vec<OrderRow>) -> sqlx::Result<Option<Order>> {
    rows.into_iter().next().map(order).transpose()
}

pub(crate) fn order(
    (id, user_id, product_id, quantity, status, created_at, updated_at): OrderRow,
) -> sqlx::Result<Order> {
    let status = OrderStatus::ALL.into_iter().find(|known| known.as_str() == status);
    Ok(Order {
        id: id.try_into().map_err(DatabaseError::unreadable)?,
        user_id: user_id.try_into().map_err(DatabaseError::unreadable)?,
        product_id: product_id.try_into().map_err(DatabaseError::unreadable)?,
        quantity: quantity.try_into().map_err(DatabaseError::unreadable)?,
        status: status.ok_or_else(|| DatabaseError::unreadable(std::io::Error::other("a status that is none")))?,
        created_at,
        updated_at,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
mod tests {
    use service_runtime::database::Connections;
    use service_testing::{Kind, TestDatabase};

    use super::*;

    #[tokio::test]
    async fn sqlite_reads_every_list_along_its_index_and_sorts_none() {
        let database = TestDatabase::new(Kind::Sqlite).await;
        let database = Database::open(&database.url, 1, &MIGRATIONS).await.unwrap();
        let Connections::Sqlite(pool) = &database.reader().connections else { panic!("it is a file") };
        let (user_id, status) = (Some(1.try_into().unwrap()), Some(OrderStatus::Confirmed));
        for (filter, along) in [
            (Filter::default(), "INTEGER PRIMARY KEY (rowid<?)"),
            (Filter { user_id, status: None }, "orders_by_user_and_status (user_id=? AND status=? AND id<?)"),
            (Filter { user_id: None, status }, "orders_by_status (status=? AND id<?)"),
            (Filter { user_id, status }, "orders_by_user_and_status (user_id=? AND status=? AND id<?)"),
        ] {
            let mut query = QueryBuilder::<Sqlite>::new("EXPLAIN QUERY PLAN ");
            ListQuery::push_list(&mut query, 7, filter);
            let plan: Vec<(i64, i64, i64, String)> = query.build_query_as().fetch_all(pool).await.unwrap();
            for step in plan.into_iter().map(|(.., step)| step) {
                let merges = ["MERGE", "LEFT", "RIGHT"].iter().any(|word| step.starts_with(word));
                assert!(merges || step.starts_with("SEARCH") && step.contains(along), "{filter:?}: {step}");
            }
        }
    }
}
