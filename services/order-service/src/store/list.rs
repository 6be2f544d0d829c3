//! Lists of orders.

use order_service_api::{OrderStatus, UserId};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder, Sqlite};

use super::row::OrderSql;

/// The filter of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only orders of this user.
    pub user_id: Option<UserId>,
    /// Only orders with this status.
    pub status: Option<OrderStatus>,
}

/// The statement of a list, written so that each database reads along the index for it.
pub(super) trait ListQuery: OrderSql {
    /// Adds the statement for the orders of `filter` with ids below `before`, by descending id, without its limit.
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, filter: Filter);
}

/// The orders of a user are the union of those in each status (`ALL` must be complete): SQLite merges them while it reads. It
/// needs no index by user alone, in which each new order would change another page.
impl ListQuery for Sqlite {
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, filter: Filter) {
        let statuses = match filter {
            Filter { user_id: Some(_), status: None } => OrderStatus::ALL.map(Some).to_vec(),
            Filter { status, .. } => vec![status],
        };
        for (index, status) in statuses.into_iter().enumerate() {
            query.push(if index == 0 { "SELECT " } else { " UNION ALL SELECT " }).push(Self::COLUMNS);
            query.push(" FROM orders WHERE id < ").push_bind(before);
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

/// With an equality PostgreSQL could choose to scan the newest orders of all users, which it does if it expects to find enough
/// of the user's orders early, however old they are. Row comparisons and this order fit only the list's index.
impl ListQuery for Postgres {
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, filter: Filter) {
        let (columns, order) = match (filter.user_id, filter.status) {
            (None, None) => ("(id)", "id DESC"),
            (Some(_), None) => ("(user_id, id)", "user_id DESC, id DESC"),
            (None, Some(_)) => ("(status, id)", "status DESC, id DESC"),
            (Some(_), Some(_)) => ("(user_id, status, id)", "user_id DESC, status DESC, id DESC"),
        };
        query.push("SELECT ").push(Self::COLUMNS).push(" FROM orders");
        // Every id is above 0.
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

#[cfg(test)]
mod tests {
    use service_runtime::database::Connections;
    use service_testing::{Kind, TestDatabase};

    use super::*;
    use crate::SERVICE;

    #[tokio::test]
    async fn sqlite_reads_every_list_along_its_index() {
        let database = TestDatabase::new(Kind::Sqlite).await;
        let database = SERVICE.open(&database.url, 1).await.unwrap();
        let Connections::Sqlite(pool) = &database.reader().connections else { panic!("not SQLite") };
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
                let merges = ["MERGE", "LEFT", "RIGHT", "CORRELATED"].iter().any(|word| step.starts_with(word));
                let reads = step.starts_with("SEARCH orders") && step.contains(along)
                    || step == "SEARCH order_items USING PRIMARY KEY (order_id=?)";
                assert!(merges || reads, "{filter:?}: {step}");
            }
        }
    }
}
