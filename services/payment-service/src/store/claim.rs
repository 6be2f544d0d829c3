//! Claims what the provider is to be asked, for one process at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use payment_service_api::PaymentMethod;
use service_runtime::database::{ClaimSql, DatabaseError, Pool};
use service_runtime::with_pool;

use super::PaymentStore;
use super::row::{known, money, own};
use super::task::{Task, TaskKind, TaskMetrics, Turn};

/// Id, kind, order, payment, refund, its key, amount, currency, trace, attempts and creation of the task.
type TaskRow = (
    i64,
    String,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    i64,
    String,
    Option<String>,
    i64,
    DateTime<Utc>,
    String,
    Option<String>,
    Option<String>,
);

/// The columns of a [`TaskRow`]: the last three are of the payment, whose row no claim waits for.
const TASK_COLUMNS: &str = "id, kind, order_id, payment_id, refund_id, refund_key, amount, currency, traceparent, attempts, \
     created_at, (SELECT charge_id FROM payments WHERE payments.id = payment_id), \
     (SELECT provider_reference FROM payments WHERE payments.id = payment_id), \
     (SELECT payment_method FROM payments WHERE payments.id = payment_id)";

fn task(row: TaskRow) -> sqlx::Result<Task> {
    let (
        id,
        kind,
        order_id,
        payment_id,
        refund_id,
        refund_key,
        amount,
        currency,
        traceparent,
        attempts,
        created_at,
        charge_id,
        provider_reference,
        payment_method,
    ) = row;
    Ok(Task {
        id,
        kind: known(TaskKind::ALL, TaskKind::as_str, &kind)?,
        order_id: own(order_id)?,
        payment_id: own(payment_id)?,
        refund: refund_id.map(own).transpose()?.zip(refund_key),
        charge_id,
        provider_reference,
        amount: money(amount, currency)?,
        payment_method: payment_method.map(PaymentMethod::from_stored),
        traceparent,
        attempts,
        created_at,
    })
}

impl PaymentStore {
    /// Takes at most `limit` tasks of this turn that are due, those that are due longest first. Each counts as asked once
    /// more, and is not due again before `lease` has passed: for nobody else, until this process dies or says how it ended.
    pub async fn claim(
        &self,
        turn: Turn,
        limit: i64,
        now: DateTime<Utc>,
        lease: TimeDelta,
    ) -> Result<Vec<Task>, DatabaseError> {
        let now = now.trunc_subsecs(6);
        let rows: Vec<TaskRow> = with_pool!(self.database.writer(), |pool| async {
            let mut query =
                Pool::query_for(pool, "UPDATE provider_tasks SET attempts = attempts + 1, next_attempt_at = ");
            query.push_bind(now + lease).push(" WHERE id");
            ClaimSql::push_one_of(&mut query, |query| {
                query.push("SELECT id FROM provider_tasks WHERE next_attempt_at <= ").push_bind(now);
                query.push(match turn {
                    Turn::First => " AND attempts = 0",
                    Turn::Again => " AND attempts > 0",
                });
                query.push(" ORDER BY next_attempt_at LIMIT ").push(limit);
            });
            query.push(" RETURNING ").push(TASK_COLUMNS);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(task).collect::<sqlx::Result<_>>()?)
    }

    /// Lets a claimed task be due again at `next`; does nothing if it was claimed again since, is due already, or has ended.
    pub async fn postpone(&self, claimed: &Task, now: DateTime<Utc>, next: DateTime<Utc>) -> Result<(), DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let update = sqlx::query(
                "UPDATE provider_tasks SET next_attempt_at = $3 WHERE id = $1 AND attempts = $2 AND next_attempt_at > $4",
            );
            let update = update.bind(claimed.id).bind(claimed.attempts);
            let update = update.bind(next.trunc_subsecs(6)).bind(now.trunc_subsecs(6));
            update.execute(pool).await.map(drop)
        })
    }

    /// Lets what waits for an outcome of a payment be due at once; returns whether something does.
    pub async fn hurry(&self, order_id: i64, payment_id: i64, now: DateTime<Utc>) -> Result<bool, DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let update = sqlx::query(
                "UPDATE provider_tasks SET next_attempt_at = $3
                 WHERE order_id = $1 AND payment_id = $2 AND next_attempt_at > $3",
            );
            let update = update.bind(order_id).bind(payment_id).bind(now.trunc_subsecs(6));
            Ok(update.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// Stores what the provider calls the charge of a task, before it is charged. Returns whether it did: a charge has one
    /// name, and nothing else may be charged.
    pub async fn name_charge(&self, claimed: &Task, reference: &str) -> Result<bool, DatabaseError> {
        with_pool!(self.database.writer(), |pool| async {
            let update = sqlx::query(
                "UPDATE payments SET provider_reference = $2
                 WHERE id = $1 AND provider_reference IS NULL AND status || '' = 'pending'",
            );
            let update = update.bind(claimed.payment_id.get()).bind(reference);
            Ok(update.execute(pool).await?.rows_affected() > 0)
        })
    }

    /// What waits for an outcome, by the name of its kind.
    pub async fn waiting(&self) -> Result<BTreeMap<String, TaskMetrics>, DatabaseError> {
        // On the writer, as the claims: it keeps no reader busy.
        let rows: Vec<(String, i64, DateTime<Utc>)> = with_pool!(self.database.writer(), |pool| sqlx::query_as(
            "SELECT kind, COUNT(*), MIN(created_at) FROM provider_tasks GROUP BY kind"
        )
        .fetch_all(pool))?;
        let metrics = |(kind, waiting, oldest)| (kind, TaskMetrics { waiting, oldest: Some(oldest) });
        Ok(rows.into_iter().map(metrics).collect())
    }
}
