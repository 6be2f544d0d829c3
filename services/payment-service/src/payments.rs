//! The rules about payments and refunds.

use chrono::Utc;
use contract::answer::Created;
use contract::idempotency::IdempotencyKey;
use contract::page::PageLimit;
use payment_service_api::{
    Payment, PaymentCreate, PaymentId, PaymentListQuery, PaymentPage, Refund, RefundCreate, RefundId,
};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use service_runtime::idempotency::{KeyError, Keys};
use service_runtime::page::{PageError, PageState, page_of, same_filter};
use slog::{error, info};
use tokio::sync::watch;

use crate::settings::Secret;
use crate::store::{Filter, PaymentStore, Refusal};
use crate::stripe_event::Report;

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaymentError {
    #[error("no payment has this id")]
    NotFound,
    #[error("no refund of the payment has this id")]
    RefundNotFound,
    #[error("{0:?}")]
    Refused(Refusal),
    #[error("Stripe has not signed this")]
    NotOfStripe,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The state in a page token: where the next page starts, and the filter of the list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextPayments {
    before: i64,
    filter: Filter,
    limit: PageLimit,
}

impl PageState for NextPayments {
    const LIST: &'static str = "payments";
}

/// About how many bytes a payment has.
const BYTES: usize = 384;

/// The payments and their rules.
pub(crate) struct Payments {
    store: PaymentStore,
    keys: Keys,
    /// Changes when there may be something to ask the provider for.
    stored: watch::Sender<()>,
    /// With which Stripe signs what it reports.
    webhook_secret: Option<Secret>,
}

impl Payments {
    pub(crate) fn new(
        store: PaymentStore,
        keys: Keys,
        stored: watch::Sender<()>,
        webhook_secret: Option<Secret>,
    ) -> Self {
        Self { store, keys, stored, webhook_secret }
    }

    /// Stores a payment, which the provider is then asked for. A repeated request with the same key gets the stored response.
    pub(crate) async fn create(
        &self,
        payment: PaymentCreate,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<Payment>, PaymentError> {
        let create = |claim| async {
            let trace = Some(request.trace.traceparent());
            let stored = self.store.pay(payment.clone(), Utc::now(), claim, trace).await?;
            let (stored, response) = stored.map_err(PaymentError::Refused)?;
            info!(request.log, "payment created"; "payment_id" => stored.id.get(), "order_id" => stored.order_id.get());
            self.stored.send_replace(());
            Ok(response)
        };
        self.keys.once("payment_create", key, &payment, &request.log, create).await
    }

    /// Stores a refund, which the provider is then asked for. A repeated request with the same key gets the stored response.
    pub(crate) async fn refund(
        &self,
        payment_id: PaymentId,
        refund: RefundCreate,
        key: Option<IdempotencyKey>,
        request: &RequestScope,
    ) -> Result<Created<Refund>, PaymentError> {
        let create = |claim| async {
            let (amount, trace) = (refund.amount.clone(), request.trace.traceparent());
            let stored = self.store.refund(payment_id, amount, Utc::now(), claim, Some(&trace)).await?;
            let (stored, response) = stored.map_err(PaymentError::Refused)?;
            info!(request.log, "refund created"; "refund_id" => stored.id.get(), "payment_id" => payment_id.get());
            self.stored.send_replace(());
            Ok(response)
        };
        self.keys.once("refund_create", key, &(payment_id, &refund), &request.log, create).await
    }

    pub(crate) async fn view(&self, id: PaymentId) -> Result<Payment, PaymentError> {
        self.store.find(id).await?.ok_or(PaymentError::NotFound)
    }

    pub(crate) async fn view_refund(&self, payment_id: PaymentId, id: RefundId) -> Result<Refund, PaymentError> {
        self.store.find_refund(payment_id, id).await?.ok_or(PaymentError::RefundNotFound)
    }

    /// Has Stripe asked at once about the payment that a report is about.
    pub(crate) async fn take_report(&self, report: &Report, request: &RequestScope) -> Result<(), PaymentError> {
        let now = Utc::now();
        if !report.is_empty() && !report.is_genuine(self.webhook_secret.as_ref(), now) {
            return Err(PaymentError::NotOfStripe);
        }
        // One that is about nothing finds nothing; it shows whether reports can be taken.
        let (order_id, payment_id) = report.subject().unwrap_or_default();
        if self.store.hurry(order_id, payment_id, now).await? {
            self.stored.send_replace(());
        } else if report.is_failed_refund() {
            // Its outcome is stored already. Whoever has to get the money has to be asked.
            error!(request.log, "refund failed after it was made"; "payment_id" => payment_id, "order_id" => order_id);
        }
        Ok(())
    }

    pub(crate) async fn list(&self, query: PaymentListQuery) -> Result<PaymentPage, PaymentError> {
        let sent = Filter { order_id: query.order_id, user_id: query.user_id, status: query.status };
        let from = match &query.page_token {
            Some(token) => {
                let from = NextPayments::from_token(token)?;
                same_filter(sent.order_id.as_ref(), from.filter.order_id.as_ref())?;
                same_filter(sent.user_id.as_ref(), from.filter.user_id.as_ref())?;
                same_filter(sent.status.as_ref(), from.filter.status.as_ref())?;
                from
            }
            None => NextPayments { before: i64::MAX, filter: sent, limit: PageLimit::default() },
        };
        let filter = from.filter;
        let limit = query.limit.unwrap_or(from.limit);
        let rows = self.store.list_before(from.before, filter, limit.get() + 1).await?;
        let next = |last: &Payment| NextPayments { before: last.id.get(), filter, limit };
        let (items, next_page) = page_of(rows, limit, |_| BYTES, next)?;
        Ok(PaymentPage { items, next_page })
    }
}
