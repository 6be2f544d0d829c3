//! Refunds: asked for by somebody, or because the order of a payment is cancelled.
//!
//! One conditional statement decides about the amount. It has the order's row locked, as whatever else changes its payments.

use chrono::{DateTime, SubsecRound as _, Utc};
use contract::answer::Created;
use contract::money::Money;
use payment_service_api::{OrderId, Payment, PaymentId, PaymentRefunded, PaymentStatus, Refund, RefundStatus};
use service_runtime::database::DatabaseError;
use service_runtime::idempotency::Claim;
use service_runtime::with_pool;

use super::PaymentStore;
use super::outcome::{Refusal, Stored};
use super::refund_rest::{INSERT, SET_ASIDE, refund_rest};
use super::row::{PaymentRow, RefundRow, columns, known, money, own, payment, refund};
use super::task::{NewTask, Task, insert_tasks};

/// Locks the order of a payment until the end of the transaction, whether something is known of it or not.
const LOCK_ORDER: &str = "INSERT INTO orders (order_id, cancelled) VALUES ($1, FALSE)
    ON CONFLICT (order_id) DO UPDATE SET cancelled = orders.cancelled";

impl PaymentStore {
    /// Stores a refund for a request, of all that is left if no amount is given, and what the provider is to be asked for it.
    /// [`DatabaseError::UniqueViolation`]: the key of `claim` has a response already.
    pub async fn refund(
        &self,
        payment_id: PaymentId,
        amount: Option<Money>,
        at: DateTime<Utc>,
        claim: Option<Claim>,
        traceparent: Option<&str>,
    ) -> Result<Stored<Refund>, DatabaseError> {
        let at = at.trunc_subsecs(6);
        let Some(Payment { order_id, .. }) = self.find(payment_id).await? else { return Ok(Err(Refusal::NotFound)) };
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            sqlx::query(LOCK_ORDER).bind(order_id.get()).execute(&mut *transaction).await?;
            let left = sqlx::query_as("SELECT amount - refunding, currency FROM payments WHERE id = $1");
            let left: Vec<(i64, String)> = left.bind(payment_id.get()).fetch_all(&mut *transaction).await?;
            let left = left.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
            let left = money(left.0, left.1)?;
            let part = amount.as_ref().unwrap_or(&left);
            // 0, which is refused, if it is in another currency.
            let wanted = if part.currency == left.currency { part.amount.get() } else { 0 };
            let set_aside =
                sqlx::query(SET_ASIDE).bind(payment_id.get()).bind(wanted).execute(&mut *transaction).await?;
            if set_aside.rows_affected() == 0 {
                let read = sqlx::query_as("SELECT status FROM payments WHERE id = $1").bind(payment_id.get());
                let rows: Vec<(String,)> = read.fetch_all(&mut *transaction).await?;
                let (status,) = rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
                let status = known(PaymentStatus::ALL, PaymentStatus::as_str, &status)?;
                let is_refundable = status == PaymentStatus::Completed && left.amount.get() > 0;
                let refusal = if is_refundable { Refusal::TooLarge(left) } else { Refusal::NotRefundable(status) };
                return Ok(Err(refusal));
            }
            let insert = sqlx::query_as(INSERT).bind(payment_id.get()).bind(wanted).bind(at);
            let rows: Vec<RefundRow> = insert.fetch_all(&mut *transaction).await?;
            let refund = rows.into_iter().next().map(refund).transpose()?.ok_or(sqlx::Error::RowNotFound)?;
            insert_tasks(&mut transaction, &[NewTask::refund(&refund, order_id, traceparent, at)]).await?;
            let response = Created::new(&refund, format!("/api/v1/payments/{payment_id}/refunds/{}", refund.id));
            let response = response.map_err(DatabaseError::decode_error)?;
            if let Some(claim) = &claim {
                Claim::store_responses(&mut transaction, vec![(claim, &response, at)]).await?;
            }
            transaction.commit().await?;
            Ok(Ok((refund, response)))
        })
    }

    /// Stores that an order is cancelled, because of the event with this id: what is not charged yet is to be cancelled, what
    /// is charged is to be refunded, and what is heard of it later is not charged. Nothing happens if the event is handled
    /// already.
    pub async fn cancel_order(
        &self,
        event_id: &str,
        order_id: OrderId,
        traceparent: Option<&str>,
        at: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        let at = at.trunc_subsecs(6);
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            if self.events.inbox.record(&mut transaction, [event_id], at).await?.is_empty() {
                return Ok(());
            }
            let cancel = sqlx::query(
                "INSERT INTO orders (order_id, cancelled) VALUES ($1, TRUE)
                 ON CONFLICT (order_id) DO UPDATE SET cancelled = TRUE",
            );
            cancel.bind(order_id.get()).execute(&mut *transaction).await?;
            // Also if the provider is being asked at this moment: it decides what came first.
            let cancel = sqlx::query(
                "UPDATE provider_tasks SET kind = 'cancel', next_attempt_at = $2
                 WHERE order_id = $1 AND kind = 'charge'",
            );
            cancel.bind(order_id.get()).bind(at).execute(&mut *transaction).await?;
            refund_rest(&mut transaction, order_id, traceparent, at).await?;
            transaction.commit().await
        })
    }

    /// Stores that the refund of `task` was made, or that the provider refuses it, with its event. Returns whether it was not
    /// stored already.
    pub async fn settle_refund(&self, task: &Task, made: bool, at: DateTime<Utc>) -> Result<bool, DatabaseError> {
        let at = at.trunc_subsecs(6);
        let Some((refund_id, _)) = task.refund else { return Ok(false) };
        with_pool!(self.database.writer(), |pool| async {
            let mut transaction = pool.begin().await?;
            sqlx::query(LOCK_ORDER).bind(task.order_id.get()).execute(&mut *transaction).await?;
            let ended = sqlx::query("DELETE FROM provider_tasks WHERE id = $1").bind(task.id);
            if ended.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(false);
            }
            let status = if made { RefundStatus::Completed } else { RefundStatus::Failed };
            let end = sqlx::query(
                "UPDATE refunds SET status = $2, updated_at = CASE WHEN updated_at > $3 THEN updated_at ELSE $3 END WHERE id = $1",
            );
            end.bind(refund_id.get()).bind(status.as_str()).bind(at).execute(&mut *transaction).await?;
            let change = if made { concat!(give_back!(), columns!()) } else { concat!(keep!(), columns!()) };
            let change = sqlx::query_as(change).bind(task.payment_id.get()).bind(task.amount.amount.get()).bind(at);
            let rows: Vec<PaymentRow> = change.fetch_all(&mut *transaction).await?;
            let payment = rows.into_iter().next().map(payment).transpose()?.ok_or(sqlx::Error::RowNotFound)?;
            let refunded = PaymentRefunded {
                payment_id: payment.id,
                refund_id,
                order_id: payment.order_id,
                user_id: payment.user_id,
                amount: task.amount.clone(),
                remaining: Money {
                    amount: own(payment.amount.amount.get() - payment.refunded.amount.get())?,
                    currency: payment.amount.currency,
                },
            };
            let event =
                made.then(|| self.events.outbox.event(&refunded, at, task.traceparent.as_deref())).transpose()?;
            let _wake = self.events.outbox.write(&mut transaction, event.as_slice()).await?;
            transaction.commit().await?;
            Ok(true)
        })
    }
}

/// A refund of `$2` was made.
macro_rules! give_back {
    () => {
        "UPDATE payments SET refunded = refunded + $2,
             updated_at = CASE WHEN updated_at > $3 THEN updated_at ELSE $3 END,
             status = CASE WHEN refunded + $2 = amount THEN 'refunded' ELSE status END
         WHERE id = $1 RETURNING "
    };
}
use give_back;

/// A refund of `$2` is not made.
macro_rules! keep {
    () => {
        "UPDATE payments SET refunding = refunding - $2,
             updated_at = CASE WHEN updated_at > $3 THEN updated_at ELSE $3 END
         WHERE id = $1 RETURNING "
    };
}
use keep;
