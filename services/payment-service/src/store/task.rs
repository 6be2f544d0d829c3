//! What the provider is to be asked.

use chrono::{DateTime, Utc};
use contract::money::Money;
use payment_service_api::{OrderId, Payment, PaymentId, PaymentMethod, Refund, RefundId};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{Encode, Executor, IntoArguments, Postgres, Sqlite, Transaction, Type};
use uuid::Uuid;

use super::row::time_text;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// To charge a payment.
    Charge,
    /// Not to charge it, if it is not charged yet: its order is cancelled.
    Cancel,
    /// To refund a part of it.
    Refund,
}

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Charge, Self::Cancel, Self::Refund];

    /// Its name in the database, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
        }
    }
}

/// What a process has claimed to ask the provider for.
#[derive(Clone, Debug)]
pub struct Task {
    /// The id of its row.
    pub id: i64,
    /// What is asked for.
    pub kind: TaskKind,
    /// The order that is paid.
    pub order_id: OrderId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The refund, if it is one, with its id at the provider.
    pub refund: Option<(RefundId, String)>,
    /// The id of the charge at the provider.
    pub charge_id: String,
    /// What the provider calls the charge, if it gives it a name of its own.
    pub provider_reference: Option<String>,
    /// How much is charged or refunded.
    pub amount: Money,
    /// What is charged.
    pub payment_method: Option<PaymentMethod>,
    /// Where in a trace it began.
    pub traceparent: Option<String>,
    /// How often the provider has been asked, this time included.
    pub attempts: i64,
    /// When it was first to be asked.
    pub created_at: DateTime<Utc>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// What nobody has asked for yet.
    First,
    /// What has been asked for without an outcome.
    Again,
}

/// What waits for an outcome, of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskMetrics {
    /// How many.
    pub waiting: i64,
    /// Since when, at the longest.
    pub oldest: Option<DateTime<Utc>>,
}

/// The values of a new row in `provider_tasks`, which is due at once.
#[derive(Serialize)]
pub(super) struct NewTask<'a> {
    kind: &'static str,
    order_id: i64,
    payment_id: i64,
    refund_id: Option<i64>,
    refund_key: Option<String>,
    amount: i64,
    currency: &'a str,
    traceparent: Option<&'a str>,
    at: String,
}

impl<'a> NewTask<'a> {
    /// To charge `payment`.
    pub(super) fn charge(payment: &'a Payment, traceparent: Option<&'a str>, at: DateTime<Utc>) -> Self {
        Self {
            kind: TaskKind::Charge.as_str(),
            order_id: payment.order_id.get(),
            payment_id: payment.id.get(),
            refund_id: None,
            refund_key: None,
            amount: payment.amount.amount.get(),
            currency: payment.amount.currency.as_str(),
            traceparent,
            at: time_text(at),
        }
    }

    /// To refund a part of a payment of this order.
    pub(super) fn refund(
        refund: &'a Refund,
        order_id: OrderId,
        traceparent: Option<&'a str>,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            kind: TaskKind::Refund.as_str(),
            order_id: order_id.get(),
            payment_id: refund.payment_id.get(),
            refund_id: Some(refund.id.get()),
            // Drawn here, so that it is stored before the provider is asked.
            refund_key: Some(Uuid::new_v4().to_string()),
            amount: refund.amount.amount.get(),
            currency: refund.amount.currency.as_str(),
            traceparent,
            at: time_text(at),
        }
    }
}

/// Stores tasks; one statement for any number of them.
pub(super) trait TaskSql: sqlx::Database {
    /// Its parameter is a list of [`NewTask`]s.
    const INSERT: &'static str;
}

impl TaskSql for Postgres {
    const INSERT: &'static str =
        "INSERT INTO provider_tasks (kind, order_id, payment_id, refund_id, refund_key, amount, currency, traceparent,
             attempts, next_attempt_at, created_at)
         SELECT kind, order_id, payment_id, refund_id, refund_key, amount, currency, traceparent, 0, at, at
         FROM jsonb_to_recordset($1::jsonb)
              AS new (kind text, order_id bigint, payment_id bigint, refund_id bigint, refund_key text, amount bigint,
                      currency text, traceparent text, at timestamptz)";
}

impl TaskSql for Sqlite {
    const INSERT: &'static str =
        "INSERT INTO provider_tasks (kind, order_id, payment_id, refund_id, refund_key, amount, currency, traceparent,
             attempts, next_attempt_at, created_at)
         SELECT value ->> 'kind', value ->> 'order_id', value ->> 'payment_id', value ->> 'refund_id',
                value ->> 'refund_key', value ->> 'amount', value ->> 'currency', value ->> 'traceparent', 0,
                value ->> 'at', value ->> 'at'
         FROM json_each($1)";
}

/// Writes `tasks` in the transaction of what they are for.
pub(super) async fn insert_tasks<DB>(transaction: &mut Transaction<'_, DB>, tasks: &[NewTask<'_>]) -> sqlx::Result<()>
where
    DB: TaskSql,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> Json<&'q [NewTask<'q>]>: Encode<'q, DB> + Type<DB>,
{
    if !tasks.is_empty() {
        sqlx::query(DB::INSERT).bind(Json(tasks)).execute(&mut **transaction).await?;
    }
    Ok(())
}
