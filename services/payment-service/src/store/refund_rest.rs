//! Refunds of all that is left of a payment.

use chrono::{DateTime, Utc};
use payment_service_api::OrderId;
use sqlx::types::Json;
use sqlx::{Decode, Encode, Executor, FromRow, IntoArguments, Transaction, Type};

use super::row::{RefundRow, refund, refund_columns};
use super::task::{NewTask, TaskSql, insert_tasks};

/// Sets a part of a payment aside to be given back: one statement, which no race can get past.
pub(super) const SET_ASIDE: &str = "UPDATE payments SET refunding = refunding + $2
    WHERE id = $1 AND status || '' = 'completed' AND $2 > 0 AND refunding + $2 <= amount";

pub(super) const INSERT: &str = concat!(
    "INSERT INTO refunds (payment_id, amount, currency, status, created_at, updated_at)
     SELECT id, $2, currency, 'pending', $3, $3 FROM payments WHERE id = $1 RETURNING ",
    refund_columns!()
);

/// Has all that is left of the payment of a cancelled order refunded, in the transaction that has the order locked.
pub(super) async fn refund_rest<DB>(
    transaction: &mut Transaction<'_, DB>,
    order_id: OrderId,
    traceparent: Option<&str>,
    at: DateTime<Utc>,
) -> sqlx::Result<()>
where
    DB: TaskSql,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> Json<&'q [NewTask<'q>]>: Encode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Decode<'q, DB> + Type<DB>,
    for<'q> DateTime<Utc>: Encode<'q, DB> + Type<DB>,
    for<'r> (i64, i64): FromRow<'r, DB::Row>,
    for<'r> RefundRow: FromRow<'r, DB::Row>,
{
    let left = sqlx::query_as(
        "SELECT id, amount - refunding FROM payments WHERE order_id = $1 AND status || '' = 'completed' AND refunding < amount",
    );
    let left: Vec<(i64, i64)> = left.bind(order_id.get()).fetch_all(&mut **transaction).await?;
    for (payment_id, part) in left {
        sqlx::query(SET_ASIDE).bind(payment_id).bind(part).execute(&mut **transaction).await?;
        let insert = sqlx::query_as(INSERT).bind(payment_id).bind(part).bind(at);
        let rows: Vec<RefundRow> = insert.fetch_all(&mut **transaction).await?;
        let refund = rows.into_iter().next().map(refund).transpose()?.ok_or(sqlx::Error::RowNotFound)?;
        insert_tasks(transaction, &[NewTask::refund(&refund, order_id, traceparent, at)]).await?;
    }
    Ok(())
}
