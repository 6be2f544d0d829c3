//! The payments in the database: all SQL of the service.
//!
//! What concerns an order is decided under a lock on its row in `orders`, so that its payments, its cancellation and its
//! refunds follow each other. What the provider is asked for is a row in `provider_tasks` until the outcome is known.

mod claim;
mod insert;
mod list;
mod outcome;
mod refund;
mod refund_rest;
mod row;
mod settle;
mod task;

use chrono::{DateTime, SubsecRound as _, Utc};
use payment_service_api::{Payment, PaymentCreate, PaymentId, Refund, RefundId};
use service_runtime::database::{Batches, Database, DatabaseError, ListSql, Pool, read_by_id};
use service_runtime::events::{Inbox, Outbox};
use service_runtime::idempotency::Claim;
use service_runtime::with_pool;

pub use insert::NewPayment;
pub use list::Filter;
pub use outcome::{Refusal, Stored};
pub use settle::ChargeOutcome;
pub use task::{Task, TaskKind, TaskMetrics, Turn};

use insert::{Insert, insert_all};
use outcome::Events;
use row::{PaymentRow, RefundRow, columns, payment, refund, refund_columns};
use settle::{Settlement, settle_all};

/// The stored payments.
///
/// Every method fails with [`DatabaseError::Unavailable`] when the database does not answer, and with
/// [`DatabaseError::Fault`] on a bug.
#[derive(Clone, Debug)]
pub struct PaymentStore {
    database: Database,
    finds: Batches<PaymentId, Option<Payment>>,
    inserts: Batches<Insert, Stored<Payment>>,
    settlements: Batches<Settlement, Option<Payment>>,
    events: Events,
}

impl PaymentStore {
    /// The payments in `database`, whose events go to `outbox`, and those of orders come through `inbox`.
    pub fn new(database: Database, outbox: Outbox, inbox: Inbox) -> Self {
        let events = Events { outbox, inbox };
        let finds = Batches::new(&database, find_all);
        let of_inserts = events.clone();
        let inserts = Batches::new(&database, move |database, inserts| {
            let events = of_inserts.clone();
            async move { insert_all(database, &events, inserts).await }
        });
        let of_settlements = events.clone();
        let settlements = Batches::new(&database, move |database, settlements| {
            let events = of_settlements.clone();
            async move { settle_all(database, &events, settlements).await }
        });
        Self { database, finds, inserts, settlements, events }
    }

    /// Stores a payment for a request, and what the provider is to be asked for it, unless the order has a payment or is
    /// cancelled. [`DatabaseError::UniqueViolation`]: the key of `claim` has a response already.
    pub async fn pay(
        &self,
        new: PaymentCreate,
        at: DateTime<Utc>,
        claim: Option<Claim>,
        traceparent: Option<String>,
    ) -> Result<Stored<Payment>, DatabaseError> {
        let PaymentCreate { order_id, user_id, amount, payment_method } = new;
        let payment = NewPayment { order_id, user_id, amount, payment_method: Some(payment_method), traceparent };
        self.inserts.run(Insert::new(payment, at, claim, None)).await
    }

    /// As [`pay`](Self::pay), because of the event with this id. `None`: the event is handled already, or the order has a
    /// payment or is cancelled.
    pub async fn pay_by_event(
        &self,
        event_id: String,
        new: NewPayment,
        at: DateTime<Utc>,
    ) -> Result<Option<Payment>, DatabaseError> {
        let stored = self.inserts.run(Insert::new(new, at, None, Some(event_id))).await?;
        Ok(stored.ok().map(|(payment, _)| payment))
    }

    /// Stores what became of the charge of `task`, with its event. If its order is cancelled, what was charged is to be
    /// refunded. `None`: an outcome is stored already.
    pub async fn settle(
        &self,
        task: Task,
        outcome: ChargeOutcome,
        at: DateTime<Utc>,
    ) -> Result<Option<Payment>, DatabaseError> {
        self.settlements.run(Settlement { task, outcome, at: at.trunc_subsecs(6) }).await
    }

    /// The payment with this id.
    pub async fn find(&self, id: PaymentId) -> Result<Option<Payment>, DatabaseError> {
        self.finds.run(id).await
    }

    /// The refund of this payment with this id.
    pub async fn find_refund(&self, payment_id: PaymentId, id: RefundId) -> Result<Option<Refund>, DatabaseError> {
        let rows: Vec<RefundRow> = with_pool!(self.database.reader(), |pool| sqlx::query_as(concat!(
            "SELECT ",
            refund_columns!(),
            " FROM refunds WHERE id = $1 AND payment_id = $2"
        ))
        .bind(id.get())
        .bind(payment_id.get())
        .fetch_all(pool))?;
        Ok(rows.into_iter().next().map(refund).transpose()?)
    }

    /// At most `limit` payments of `filter` with ids below `before`, by descending id.
    pub async fn list_before(&self, before: i64, filter: Filter, limit: i64) -> Result<Vec<Payment>, DatabaseError> {
        let rows: Vec<PaymentRow> = with_pool!(self.database.reader(), |pool| async {
            let mut query = Pool::query_for(pool, concat!("SELECT ", columns!(), " FROM payments"));
            ListSql::push_list(&mut query, before, filter.columns());
            // Not bound: PostgreSQL would make a new plan for every page of an unknown length.
            query.push(" LIMIT ").push(limit);
            query.build_query_as().fetch_all(pool).await
        })?;
        Ok(rows.into_iter().map(payment).collect::<sqlx::Result<_>>()?)
    }
}

/// The payment with each of these ids.
async fn find_all(database: Database, ids: Vec<PaymentId>) -> Vec<Result<Option<Payment>, DatabaseError>> {
    let select = concat!("SELECT ", columns!(), " FROM payments WHERE id");
    let rows = read_by_id(database, select, ids.into_iter().map(PaymentId::get).collect()).await;
    rows.into_iter().map(|row| Ok(row?.map(payment).transpose()?)).collect()
}
