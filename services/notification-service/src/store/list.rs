//! Lists of notifications.

use notification_service_api::{NotificationStatus, OrderId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::{Encode, Postgres, QueryBuilder, Sqlite, Type};

/// The filter of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only notifications of this user.
    pub user_id: Option<UserId>,
    /// Only notifications about this order.
    pub order_id: Option<OrderId>,
    /// Only notifications with this status.
    pub status: Option<NotificationStatus>,
}

/// A value that a column must have.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Number(i64),
    Text(&'static str),
}

impl Filter {
    /// The columns with the values that they must have, the most selective first.
    fn columns(self) -> Vec<(&'static str, Value)> {
        let order = self.order_id.map(|id| ("order_id", Value::Number(id.get())));
        let user = self.user_id.map(|id| ("user_id", Value::Number(id.get())));
        let status = self.status.map(|status| ("status", Value::Text(status.as_str())));
        [order, user, status].into_iter().flatten().collect()
    }
}

/// How each database is made to read along the index of the most selective column.
pub(super) trait ListSql: sqlx::Database
where
    for<'q> i64: Encode<'q, Self> + Type<Self>,
    for<'q> &'q str: Encode<'q, Self> + Type<Self>,
{
    /// What keeps the database from using the index of a column.
    const NO_INDEX: &'static str;

    /// Adds the condition that `column` has its value and the id is below `before`.
    fn push_first(query: &mut QueryBuilder<Self>, column: Option<(&'static str, Value)>, before: i64);

    /// Adds the condition and the order of the list of `filter` with ids below `before`, by descending id, without its
    /// limit.
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, filter: Filter) {
        let mut columns = filter.columns().into_iter();
        let first = columns.next();
        query.push(" WHERE ");
        Self::push_first(query, first, before);
        for (column, value) in columns {
            query.push(" AND ").push(Self::NO_INDEX).push(column).push(" = ");
            push_value(query, value);
        }
        query.push(" ORDER BY ");
        if let Some((column, _)) = first {
            query.push(column).push(" DESC, ");
        }
        query.push("id DESC");
    }
}

impl ListSql for Sqlite {
    const NO_INDEX: &'static str = "+";

    fn push_first(query: &mut QueryBuilder<Self>, column: Option<(&'static str, Value)>, before: i64) {
        query.push("id < ").push_bind(before);
        if let Some((column, value)) = column {
            query.push(" AND ").push(column).push(" = ");
            push_value(query, value);
        }
    }
}

/// With an equality PostgreSQL could scan the newest notifications of everybody. Row comparisons fit only the list's index.
impl ListSql for Postgres {
    const NO_INDEX: &'static str = "";

    fn push_first(query: &mut QueryBuilder<Self>, column: Option<(&'static str, Value)>, before: i64) {
        // Every id is above 0.
        for (start, comparison, id) in [("(", " > (", 0), (" AND (", " < (", before)] {
            query.push(start);
            if let Some((column, _)) = column {
                query.push(column).push(", ");
            }
            query.push("id)").push(comparison);
            if let Some((_, value)) = column {
                push_value(query, value);
                query.push(", ");
            }
            query.push_bind(id).push(")");
        }
    }
}

fn push_value<DB>(query: &mut QueryBuilder<DB>, value: Value)
where
    DB: sqlx::Database,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    match value {
        Value::Number(number) => query.push_bind(number),
        Value::Text(text) => query.push_bind(text),
    };
}
