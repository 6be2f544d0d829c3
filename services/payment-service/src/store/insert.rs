//! Storing new payments, many by one transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, SubsecRound as _, Utc};
use contract::answer::Created;
use contract::money::Money;
use payment_service_api::{OrderId, Payment, PaymentCompleted, PaymentMethod, PaymentStatus, UserId};
use serde::Serialize;
use service_runtime::database::{Connections, Database, DatabaseError, by_halves};
use service_runtime::idempotency::Claim;
use service_runtime::with_batch_connection;
use sqlx::Connection as _;
use sqlx::types::Json;
use uuid::Uuid;

use super::outcome::{Events, Refusal, Stored};
use super::row::{PaymentRow, charged_payment, columns, time_text};
use super::task::{NewTask, insert_tasks};

/// A payment to store.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// The order that is paid.
    pub order_id: OrderId,
    /// Who pays.
    pub user_id: UserId,
    /// How much.
    pub amount: Money,
    /// What is charged; the provider decides if it is not said.
    pub payment_method: Option<PaymentMethod>,
    /// Where in a trace it begins.
    pub traceparent: Option<String>,
}

/// A payment to store, when, why, and the key under which to store its response.
#[derive(Debug)]
pub(super) struct Insert {
    payment: NewPayment,
    /// Drawn here, so that it is stored before the provider is asked.
    charge_id: String,
    at: DateTime<Utc>,
    claim: Option<Claim>,
    event_id: Option<String>,
}

impl Insert {
    pub(super) fn new(payment: NewPayment, at: DateTime<Utc>, claim: Option<Claim>, event_id: Option<String>) -> Self {
        Self { payment, charge_id: Uuid::new_v4().to_string(), at: at.trunc_subsecs(6), claim, event_id }
    }

    fn row(&self) -> NewRow<'_> {
        let NewPayment { order_id, user_id, amount, payment_method, .. } = &self.payment;
        // Nothing has to be charged for what is free.
        let status = if amount.amount.get() == 0 { PaymentStatus::Completed } else { PaymentStatus::Pending };
        NewRow {
            order_id: order_id.get(),
            user_id: user_id.get(),
            amount: amount.amount.get(),
            currency: amount.currency.as_str(),
            status: status.as_str(),
            payment_method: payment_method.as_ref().map(PaymentMethod::as_str),
            charge_id: &self.charge_id,
            at: time_text(self.at),
        }
    }
}

/// Stores each of `inserts` that its order allows: all by one transaction or, if that is refused, by halves.
pub(super) async fn insert_all(
    database: Database,
    events: &Events,
    inserts: Vec<Insert>,
) -> Vec<Result<Stored<Payment>, DatabaseError>> {
    by_halves(inserts.len(), |part| insert_together(&database, events, &inserts[part])).await
}

async fn insert_together(
    database: &Database,
    events: &Events,
    inserts: &[Insert],
) -> Result<Vec<Stored<Payment>>, DatabaseError> {
    let sql = match database.writer().connections {
        Connections::Postgres(_) => &POSTGRES,
        Connections::Sqlite(_) => &SQLITE,
    };
    let _wake = events.outbox.wake();
    with_batch_connection!(database.writer(), |connection| async {
        let mut transaction = connection.begin_with(sql.begin).await?;
        let ids: HashSet<&str> = inserts.iter().filter_map(|insert| insert.event_id.as_deref()).collect();
        let mut new = match inserts.first() {
            Some(insert) => events.inbox.record(&mut transaction, ids, insert.at).await?,
            None => HashSet::new(),
        };
        let orders: BTreeSet<OrderId> = inserts.iter().map(|insert| insert.payment.order_id).collect();
        let locked: Vec<(i64, bool)> =
            sqlx::query_as(sql.lock_orders).bind(Json(&orders)).fetch_all(&mut *transaction).await?;
        let cancelled: HashMap<i64, bool> = locked.into_iter().collect();
        let is_cancelled = |insert: &Insert| cancelled.get(&insert.payment.order_id.get()).copied().unwrap_or(false);
        let rows: Vec<NewRow<'_>> = inserts
            .iter()
            .filter(|insert| insert.event_id.as_ref().is_none_or(|id| new.remove(id)) && !is_cancelled(insert))
            .map(Insert::row)
            .collect();
        let inserted: Vec<PaymentRow> =
            sqlx::query_as(sql.insert).bind(Json(&rows)).fetch_all(&mut *transaction).await?;
        let inserted = inserted.into_iter().map(charged_payment).collect::<sqlx::Result<Vec<_>>>()?;
        let mut inserted: HashMap<String, Payment> = inserted.into_iter().map(|(payment, id)| (id, payment)).collect();
        let mut outcomes: Vec<Stored<Payment>> = Vec::with_capacity(inserts.len());
        for insert in inserts {
            let Some(payment) = inserted.remove(&insert.charge_id) else {
                let refusal = if is_cancelled(insert) { Refusal::OrderCancelled } else { Refusal::AlreadyPaid };
                outcomes.push(Err(refusal));
                continue;
            };
            let response = Created::new(&payment, format!("/api/v1/payments/{}", payment.id));
            outcomes.push(Ok((payment, response.map_err(DatabaseError::decode_error)?)));
        }
        let (mut tasks, mut completed) = (Vec::new(), Vec::new());
        for (insert, outcome) in inserts.iter().zip(&outcomes) {
            let (Ok((payment, _)), traceparent) = (outcome, insert.payment.traceparent.as_deref()) else { continue };
            if payment.status == PaymentStatus::Pending {
                tasks.push(NewTask::charge(payment, traceparent, insert.at));
            } else {
                completed.push(events.outbox.event(&payment_completed(payment), insert.at, traceparent)?);
            }
        }
        insert_tasks(&mut transaction, &tasks).await?;
        let claimed = inserts.iter().zip(&outcomes).filter_map(|(insert, outcome)| {
            let (_, response) = outcome.as_ref().ok()?;
            Some((insert.claim.as_ref()?, response, insert.at))
        });
        let claimed: Vec<_> = claimed.collect();
        if !claimed.is_empty() {
            Claim::store_responses(&mut transaction, claimed).await?;
        }
        let _wake = events.outbox.write(&mut transaction, &completed).await?;
        transaction.commit().await?;
        Ok(outcomes)
    })
}

/// The event that `payment` was completed.
pub(super) fn payment_completed(payment: &Payment) -> PaymentCompleted {
    PaymentCompleted {
        payment_id: payment.id,
        order_id: payment.order_id,
        user_id: payment.user_id,
        amount: payment.amount.clone(),
    }
}

/// What the statements are on each database. Each has one parameter for any number of rows, so that it is prepared once.
struct Statements {
    begin: &'static str,
    /// Locks orders in the order of their ids, so that replicas do not deadlock; returns whether they are cancelled.
    lock_orders: &'static str,
    /// Stores payments of orders that have none, and returns them.
    insert: &'static str,
}

const POSTGRES: Statements = Statements {
    begin: "BEGIN",
    lock_orders: "INSERT INTO orders (order_id, cancelled)
        SELECT listed.id::bigint, FALSE FROM jsonb_array_elements_text($1::jsonb) AS listed (id)
        ON CONFLICT (order_id) DO UPDATE SET cancelled = orders.cancelled RETURNING order_id, cancelled",
    insert: concat!(
        "INSERT INTO payments (order_id, user_id, amount, currency, refunding, refunded, status, payment_method,
                               charge_id, created_at, updated_at)
         SELECT order_id, user_id, amount, currency, 0, 0, status, payment_method, charge_id, at, at
         FROM jsonb_to_recordset($1::jsonb)
              AS new (order_id bigint, user_id bigint, amount bigint, currency text, status text, payment_method text,
                      charge_id text, at timestamptz)
         ON CONFLICT DO NOTHING RETURNING ",
        columns!()
    ),
};

const SQLITE: Statements = Statements {
    begin: "BEGIN IMMEDIATE",
    lock_orders: "INSERT INTO orders (order_id, cancelled) SELECT value, FALSE FROM json_each($1) WHERE TRUE
        ON CONFLICT (order_id) DO UPDATE SET cancelled = orders.cancelled RETURNING order_id, cancelled",
    insert: concat!(
        "INSERT INTO payments (order_id, user_id, amount, currency, refunding, refunded, status, payment_method,
                               charge_id, created_at, updated_at)
         SELECT value ->> 'order_id', value ->> 'user_id', value ->> 'amount', value ->> 'currency', 0, 0,
                value ->> 'status', value ->> 'payment_method', value ->> 'charge_id', value ->> 'at', value ->> 'at'
         FROM json_each($1) WHERE TRUE
         ON CONFLICT DO NOTHING RETURNING ",
        columns!()
    ),
};

/// The values of a new row in `payments`.
#[derive(Serialize)]
struct NewRow<'a> {
    order_id: i64,
    user_id: i64,
    amount: i64,
    currency: &'a str,
    status: &'static str,
    payment_method: Option<&'a str>,
    charge_id: &'a str,
    at: String,
}
