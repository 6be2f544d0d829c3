//! Lists from the newest row to the oldest, filtered by the values of some columns.

use sqlx::{Encode, Postgres, QueryBuilder, Sqlite, Type};

/// A value that a column must have.
#[derive(Clone, Copy, Debug)]
pub enum ListValue {
    /// A number.
    Number(i64),
    /// One of the texts that the column can have.
    Text(&'static str),
}

/// How each database is made to read along the index of the most selective column.
pub trait ListSql: sqlx::Database
where
    for<'q> i64: Encode<'q, Self> + Type<Self>,
    for<'q> &'q str: Encode<'q, Self> + Type<Self>,
{
    /// What keeps the database from using the index of a column.
    const NO_INDEX: &'static str;

    /// Adds the condition that `column` has its value and the id is below `before`.
    fn push_first(query: &mut QueryBuilder<Self>, column: Option<(&'static str, ListValue)>, before: i64);

    /// Adds the condition and the order of a list of rows with ids below `before`, by descending id, without its limit.
    /// `columns` are those with a value that they must have, the most selective first: there is an index on that one and the
    /// id.
    fn push_list(query: &mut QueryBuilder<Self>, before: i64, columns: Vec<(&'static str, ListValue)>) {
        let mut columns = columns.into_iter();
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

    fn push_first(query: &mut QueryBuilder<Self>, column: Option<(&'static str, ListValue)>, before: i64) {
        query.push("id < ").push_bind(before);
        if let Some((column, value)) = column {
            query.push(" AND ").push(column).push(" = ");
            push_value(query, value);
        }
    }
}

/// With an equality PostgreSQL could scan the newest rows of everybody. Row comparisons fit only the list's index.
impl ListSql for Postgres {
    const NO_INDEX: &'static str = "";

    fn push_first(query: &mut QueryBuilder<Self>, column: Option<(&'static str, ListValue)>, before: i64) {
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

fn push_value<DB>(query: &mut QueryBuilder<DB>, value: ListValue)
where
    DB: sqlx::Database,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    match value {
        ListValue::Number(number) => query.push_bind(number),
        ListValue::Text(text) => query.push_bind(text),
    };
}
