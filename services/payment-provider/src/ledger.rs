//! The rules about charges and refunds.

use std::future::pending;

use chrono::Utc;
use contract::page::PageLimit;
use payment_provider_api::{
    Charge, ChargeCreate, ChargeId, ChargeListQuery, ChargePage, ChargeStatus, Reference, Refund, RefundCreate,
    RefundId,
};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::page::{PageError, PageState, page_of, same_filter};
use slog::{Logger, info};

use crate::behaviour::{Behaviour, Operation};
use crate::store::{ChargeStore, Refusal, Stored, StoredCharge};

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("{0:?}")]
    Refused(Refusal),
    #[error("no refund of this charge has this id")]
    RefundNotFound,
    #[error("the first request fails")]
    FailsOnce,
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The state in a page token: where the next page starts, and the filter of the list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextCharges {
    before: i64,
    reference: Option<Reference>,
    limit: PageLimit,
}

impl PageState for NextCharges {
    const LIST: &'static str = "charges";
}

/// About how many bytes a charge has.
const BYTES: usize = 320;

/// The charges and refunds, and their rules.
pub(crate) struct Ledger {
    store: ChargeStore,
}

impl Ledger {
    pub(crate) fn new(store: ChargeStore) -> Self {
        Self { store }
    }

    /// Makes or declines a charge; if it is made, declined or cancelled already, returns it.
    pub(crate) async fn charge(&self, new: ChargeCreate, log: &Logger) -> Result<Charge, LedgerError> {
        let behaviour = Behaviour::of(new.payment_method.as_ref());
        match behaviour {
            // The request guard ends the request at its deadline.
            Behaviour::Hangs => return pending().await,
            Behaviour::FailsOnce if self.store.fail_first(&new.charge_id).await? => return Err(LedgerError::FailsOnce),
            _ => {}
        }
        let make = MakeCharge { store: self.store.clone(), new, status: behaviour.status(), log: log.clone() };
        behaviour.execute(make, log).await
    }

    pub(crate) async fn view(&self, id: &ChargeId) -> Result<Charge, LedgerError> {
        self.find(id).await.map(|found| found.charge)
    }

    pub(crate) async fn list(&self, query: ChargeListQuery) -> Result<ChargePage, LedgerError> {
        let from = match &query.page_token {
            Some(token) => {
                let from = NextCharges::from_token(token)?;
                same_filter(query.reference.as_ref(), from.reference.as_ref())?;
                from
            }
            None => NextCharges { before: i64::MAX, reference: query.reference, limit: PageLimit::default() },
        };
        let limit = query.limit.unwrap_or(from.limit);
        let rows = self.store.list_before(from.before, from.reference.as_ref(), limit.get() + 1).await?;
        let next = |last: &StoredCharge| NextCharges { before: last.number, reference: from.reference, limit };
        let (rows, next_page) = page_of(rows, limit, |_| BYTES, next)?;
        Ok(ChargePage { items: rows.into_iter().map(|row| row.charge).collect(), next_page })
    }

    /// Cancels a charge, unless it is made or declined already; returns it in either case.
    pub(crate) async fn cancel(&self, id: &ChargeId, log: &Logger) -> Result<Charge, LedgerError> {
        let cancelled = self.store.cancel(id, Utc::now()).await?;
        log_charge(&cancelled, log);
        Ok(cancelled.value)
    }

    /// Makes a refund; if it is made already, returns it.
    pub(crate) async fn refund(
        &self,
        charge_id: ChargeId,
        new: RefundCreate,
        log: &Logger,
    ) -> Result<Refund, LedgerError> {
        let behaviour = Behaviour::of(self.find(&charge_id).await?.payment_method.as_ref());
        let make = MakeRefund { store: self.store.clone(), charge_id, new, log: log.clone() };
        behaviour.execute(make, log).await
    }

    pub(crate) async fn view_refund(&self, charge_id: &ChargeId, id: &RefundId) -> Result<Refund, LedgerError> {
        let found = self.store.find_refund(id).await?.filter(|refund| refund.charge_id == *charge_id);
        found.ok_or(LedgerError::RefundNotFound)
    }

    async fn find(&self, id: &ChargeId) -> Result<StoredCharge, LedgerError> {
        self.store.find(id).await?.ok_or(LedgerError::Refused(Refusal::ChargeNotFound))
    }
}

/// Makes or declines a charge.
struct MakeCharge {
    store: ChargeStore,
    new: ChargeCreate,
    status: ChargeStatus,
    log: Logger,
}

impl Operation for MakeCharge {
    type Output = Charge;
    type Error = LedgerError;

    async fn is_done(&self) -> Result<bool, LedgerError> {
        Ok(self.store.find(&self.new.charge_id).await?.is_some())
    }

    async fn run(&self) -> Result<Stored<Charge>, LedgerError> {
        let charge = self.store.charge(self.new.clone(), self.status, Utc::now()).await?;
        let charge = charge.map_err(LedgerError::Refused)?;
        log_charge(&charge, &self.log);
        Ok(charge)
    }
}

/// Makes a refund.
struct MakeRefund {
    store: ChargeStore,
    charge_id: ChargeId,
    new: RefundCreate,
    log: Logger,
}

impl Operation for MakeRefund {
    type Output = Refund;
    type Error = LedgerError;

    async fn is_done(&self) -> Result<bool, LedgerError> {
        Ok(self.store.find_refund(&self.new.refund_id).await?.is_some())
    }

    async fn run(&self) -> Result<Stored<Refund>, LedgerError> {
        let refund = self.store.refund(&self.charge_id, &self.new, Utc::now()).await?;
        let refund = refund.map_err(LedgerError::Refused)?;
        if refund.is_new {
            let Refund { refund_id, charge_id, .. } = &refund.value;
            info!(self.log, "refund made"; "charge_id" => charge_id.as_str(), "refund_id" => refund_id.as_str());
        }
        Ok(refund)
    }
}

/// Logs what has become of a charge, once.
fn log_charge(Stored { value: charge, is_new }: &Stored<Charge>, log: &Logger) {
    if *is_new {
        let event = match charge.status {
            ChargeStatus::Succeeded => "charge made",
            ChargeStatus::Declined => "charge declined",
            ChargeStatus::Cancelled => "charge cancelled",
        };
        info!(log, "{event}"; "charge_id" => charge.charge_id.as_str(), "status" => charge.status.as_str());
    }
}
