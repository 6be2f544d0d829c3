//! `IN` with any number of values as one prepared statement.

use serde::Serialize;
use sqlx::postgres::PgHasArrayType;
use sqlx::{Encode, Postgres, QueryBuilder, Sqlite, Type};

use super::error::DatabaseError;

/// A condition that each database writes differently.
pub trait InList<T>: sqlx::Database {
    /// Appends the equivalent of ` IN (values)` to the expression that `query` ends with. The SQL text is the same for
    /// any number of values, so that it is prepared once; SQLite has a second one for a single value.
    fn push_in_list(query: &mut QueryBuilder<Self>, values: Vec<T>) -> sqlx::Result<()>;
}

impl<T> InList<T> for Postgres
where
    T: PgHasArrayType + for<'q> Encode<'q, Self> + Type<Self>,
{
    fn push_in_list(query: &mut QueryBuilder<Self>, values: Vec<T>) -> sqlx::Result<()> {
        query.push(" = ANY(").push_bind(values).push(")");
        Ok(())
    }
}

impl<T> InList<T> for Sqlite
where
    T: Serialize + for<'q> Encode<'q, Self> + Type<Self>,
{
    fn push_in_list(query: &mut QueryBuilder<Self>, values: Vec<T>) -> sqlx::Result<()> {
        match <[T; 1]>::try_from(values) {
            // A list takes three times as long.
            Ok([only]) => query.push(" = ").push_bind(only),
            Err(values) => {
                let list = serde_json::to_string(&values).map_err(DatabaseError::decode_error)?;
                query.push(" IN (SELECT value FROM json_each(").push_bind(list).push("))")
            }
        };
        Ok(())
    }
}
