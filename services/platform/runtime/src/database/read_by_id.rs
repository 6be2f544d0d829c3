//! Rows by their id, for a batch of requests.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use super::batch_connection::BatchConnection;
use super::error::{DatabaseError, fail_all};
use super::handle::Database;
use super::in_list::InList;

/// Reads the row with each of `ids`, in their order; `None` for an id without a row. The ids may repeat. For
/// [`Batches`](super::Batches).
///
/// `select` is a statement up to the condition, and its first column is the id: `SELECT id, name FROM items WHERE id`.
/// On SQLite the rows are read inline on the calling thread if possible; otherwise one statement reads them all.
pub async fn read_by_id<R>(
    database: Database,
    select: &'static str,
    ids: Vec<i64>,
) -> Vec<Result<Option<R>, DatabaseError>>
where
    R: Clone + for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow>,
    R: for<'row> TryFrom<&'row rusqlite::Row<'row>, Error = rusqlite::Error>,
{
    if let Some(rows) = database.read_inline(select, ids.iter().copied()) {
        return rows.into_iter().map(Ok).collect();
    }
    let rows = crate::with_batch_connection!(database.reader(), |connection| async {
        let mut query = BatchConnection::query_for(&connection, select);
        InList::push_in_list(&mut query, ids.clone())?;
        let rows = query.build().fetch_all(&mut *connection).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, R::from_row(row)?))).collect::<sqlx::Result<HashMap<i64, R>>>()
    });
    match rows {
        Ok(rows) => ids.iter().map(|id| Ok(rows.get(id).cloned())).collect(),
        Err(error) => fail_all(ids.len(), &error),
    }
}
