//! Storing what became of charges, many by one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use payment_service_api::{FailureReason, Payment, PaymentFailed, PaymentStatus};
use serde::Serialize;
use service_runtime::database::{Connections, Database, DatabaseError, by_halves};
use service_runtime::with_batch_connection;
use sqlx::Connection as _;
use sqlx::types::Json;

use super::insert::payment_completed;
use super::outcome::Events;
use super::refund_rest::refund_rest;
use super::row::{PaymentRow, columns, payment, time_text};
use super::task::Task;

/// What became of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// It was made.
    Charged,
    /// The provider declined it, for good.
    Declined,
    /// It was cancelled before it was made, for good.
    Cancelled,
}

/// An outcome to store.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) task: Task,
    pub(super) outcome: ChargeOutcome,
    pub(super) at: DateTime<Utc>,
}

/// Stores each of `settlements`: all by one transaction or, if that is refused, by halves.
pub(super) async fn settle_all(
    database: Database,
    events: &Events,
    settlements: Vec<Settlement>,
) -> Vec<Result<Option<Payment>, DatabaseError>> {
    by_halves(settlements.len(), |part| settle_together(&database, events, &settlements[part])).await
}

async fn settle_together(
    database: &Database,
    events: &Events,
    settlements: &[Settlement],
) -> Result<Vec<Option<Payment>>, DatabaseError> {
    let sql = match database.writer().connections {
        Connections::Postgres(_) => &POSTGRES,
        Connections::Sqlite(_) => &SQLITE,
    };
    let _wake = events.outbox.wake();
    with_batch_connection!(database.writer(), |connection| async {
        let mut transaction = connection.begin_with(sql.begin).await?;
        let orders: BTreeSet<i64> = settlements.iter().map(|settlement| settlement.task.order_id.get()).collect();
        let locked: Vec<(i64, bool)> =
            sqlx::query_as(sql.lock_orders).bind(Json(&orders)).fetch_all(&mut *transaction).await?;
        let cancelled: HashMap<i64, bool> = locked.into_iter().collect();
        let tasks: BTreeSet<i64> = settlements.iter().map(|settlement| settlement.task.id).collect();
        let ended: Vec<(i64,)> = sqlx::query_as(sql.end_tasks).bind(Json(&tasks)).fetch_all(&mut *transaction).await?;
        let mut ended: HashSet<i64> = ended.into_iter().map(|(id,)| id).collect();
        let new: BTreeMap<i64, NewStatus> = settlements
            .iter()
            .filter(|settlement| ended.remove(&settlement.task.id))
            .map(|settlement| (settlement.task.payment_id.get(), NewStatus::of(settlement)))
            .collect();
        let settled: Vec<PaymentRow> = sqlx::query_as(sql.settle).bind(Json(&new)).fetch_all(&mut *transaction).await?;
        let settled = settled.into_iter().map(payment).collect::<sqlx::Result<Vec<_>>>()?;
        let mut settled: HashMap<i64, Payment> =
            settled.into_iter().map(|payment| (payment.id.get(), payment)).collect();
        let (mut outcomes, mut written) = (Vec::with_capacity(settlements.len()), Vec::new());
        for Settlement { task, at, .. } in settlements {
            let settled = settled.remove(&task.payment_id.get());
            if let Some(payment) = &settled {
                let traceparent = task.traceparent.as_deref();
                written.push(match payment_failed(payment) {
                    Some(failed) => events.outbox.event(&failed, *at, traceparent)?,
                    None => events.outbox.event(&payment_completed(payment), *at, traceparent)?,
                });
                if payment.status == PaymentStatus::Completed && cancelled.get(&payment.order_id.get()) == Some(&true) {
                    refund_rest(&mut transaction, payment.order_id, traceparent, *at).await?;
                }
            }
            outcomes.push(settled);
        }
        let _wake = events.outbox.write(&mut transaction, &written).await?;
        transaction.commit().await?;
        Ok(outcomes)
    })
}

/// The event that `payment` failed, if it did.
fn payment_failed(payment: &Payment) -> Option<PaymentFailed> {
    Some(PaymentFailed {
        payment_id: payment.id,
        order_id: payment.order_id,
        user_id: payment.user_id,
        amount: payment.amount.clone(),
        reason: payment.failure_reason?,
    })
}

/// What the statements are on each database. Each has one parameter for any number of rows, so that it is prepared once.
struct Statements {
    begin: &'static str,
    /// Locks orders in the order of their ids, so that replicas do not deadlock; returns whether they are cancelled.
    lock_orders: &'static str,
    /// Removes tasks, and returns those that nobody has removed before.
    end_tasks: &'static str,
    /// Gives pending payments their [`NewStatus`], by id, and returns them.
    settle: &'static str,
}

const POSTGRES: Statements = Statements {
    begin: "BEGIN",
    lock_orders: "SELECT order_id, cancelled FROM orders
        WHERE order_id = ANY (ARRAY(SELECT listed.id::bigint FROM jsonb_array_elements_text($1::jsonb) AS listed (id)))
        ORDER BY order_id FOR UPDATE",
    end_tasks: "DELETE FROM provider_tasks
        WHERE id = ANY (ARRAY(SELECT listed.id::bigint FROM jsonb_array_elements_text($1::jsonb) AS listed (id))) RETURNING id",
    settle: concat!(
        "UPDATE payments SET status = $1::jsonb -> id::text ->> 'status',
             failure_reason = $1 -> id::text ->> 'failure_reason',
             updated_at = GREATEST(updated_at, ($1 -> id::text ->> 'at')::timestamptz)
         WHERE id = ANY (ARRAY(SELECT jsonb_object_keys($1)::bigint)) AND status || '' = 'pending' RETURNING ",
        columns!()
    ),
};

const SQLITE: Statements = Statements {
    begin: "BEGIN IMMEDIATE",
    lock_orders: "SELECT order_id, cancelled FROM orders WHERE order_id IN (SELECT value FROM json_each($1))",
    end_tasks: "DELETE FROM provider_tasks WHERE id IN (SELECT value FROM json_each($1)) RETURNING id",
    settle: concat!(
        "UPDATE payments SET status = new.value ->> 'status', failure_reason = new.value ->> 'failure_reason',
             updated_at = MAX(updated_at, new.value ->> 'at')
         FROM json_each($1) AS new
         WHERE payments.id = CAST(new.key AS INTEGER) AND status || '' = 'pending' RETURNING ",
        columns!()
    ),
};

/// What is written of an outcome.
#[derive(Serialize)]
struct NewStatus {
    status: &'static str,
    failure_reason: Option<&'static str>,
    at: String,
}

impl NewStatus {
    fn of(settlement: &Settlement) -> Self {
        let (status, reason) = match settlement.outcome {
            ChargeOutcome::Charged => (PaymentStatus::Completed, None),
            ChargeOutcome::Declined => (PaymentStatus::Failed, Some(FailureReason::Declined)),
            ChargeOutcome::Cancelled => (PaymentStatus::Failed, Some(FailureReason::OrderCancelled)),
        };
        Self {
            status: status.as_str(),
            failure_reason: reason.map(FailureReason::as_str),
            at: time_text(settlement.at),
        }
    }
}
