//! How a statement changes the rows that a query finds, and passes over those that another process changes at this moment.

use sqlx::{Postgres, QueryBuilder, Sqlite};

/// A condition that each database writes differently.
pub trait ClaimSql: sqlx::Database + Sized {
    /// Appends the condition that the expression which `query` ends with is among the values that `push_query` appends a query
    /// for.
    fn push_one_of(query: &mut QueryBuilder<Self>, push_query: impl FnOnce(&mut QueryBuilder<Self>));
}

/// An array, not a list: that could become a join, which reads the whole table.
impl ClaimSql for Postgres {
    fn push_one_of(query: &mut QueryBuilder<Self>, push_query: impl FnOnce(&mut QueryBuilder<Self>)) {
        query.push(" = ANY (ARRAY(");
        push_query(query);
        query.push(" FOR UPDATE SKIP LOCKED))");
    }
}

/// There is one writer at a time.
impl ClaimSql for Sqlite {
    fn push_one_of(query: &mut QueryBuilder<Self>, push_query: impl FnOnce(&mut QueryBuilder<Self>)) {
        query.push(" IN (");
        push_query(query);
        query.push(")");
    }
}
