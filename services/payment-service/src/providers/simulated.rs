//! The provider for development and tests: payment-provider, a program of the platform.

use async_trait::async_trait;
use client_policy::Failure;
use payment_provider_client::types::{self, ChargeStatus};
use payment_provider_client::{Client, error_codes};
use payment_service_api::PaymentMethod;
use service_runtime::dependency::Dependency;
use service_runtime::guard::RequestScope;

use super::provider::{Opened, Provider, RefundOutcome, Unknown};
use crate::store::{ChargeOutcome, Task};

/// A charge or a refund.
pub(crate) const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// payment-provider, through its client.
pub(crate) struct Simulated(Dependency<Client>);

impl Simulated {
    pub(crate) fn new(dependency: Dependency<Client>) -> Self {
        Self(dependency)
    }
}

#[async_trait]
impl Provider for Simulated {
    async fn open(&self, _task: &Task, _scope: &RequestScope) -> Result<Opened, Unknown> {
        Ok(Opened::ById)
    }

    async fn charge(&self, task: &Task, scope: &RequestScope) -> Result<ChargeOutcome, Unknown> {
        let method = task.payment_method.as_ref().map(PaymentMethod::as_str).map(types::PaymentMethod::try_from);
        let charge = types::ChargeCreate::builder()
            .charge_id(task.charge_id.as_str())
            .amount(money(task)?)
            .payment_method(method.transpose().map_err(fault)?)
            .reference(format!("payments/{}", task.payment_id));
        let charge: types::ChargeCreate = charge.try_into().map_err(fault)?;
        let call = |client: Client| async move {
            client.repeatable().charge_create().body(charge).send().await.map_err(Failure::of)
        };
        let charge = self.0.call("charge_create", scope, call).await.map_err(unknown)?;
        Ok(outcome(charge.status))
    }

    async fn cancel(&self, task: &Task, scope: &RequestScope) -> Result<ChargeOutcome, Unknown> {
        let id = task.charge_id.clone();
        let call = |client: Client| async move {
            client.repeatable().charge_cancel().charge_id(id).send().await.map_err(Failure::of)
        };
        let charge = self.0.call("charge_cancel", scope, call).await.map_err(unknown)?;
        Ok(outcome(charge.status))
    }

    async fn refund(&self, task: &Task, scope: &RequestScope) -> Result<RefundOutcome, Unknown> {
        let Some((_, key)) = &task.refund else { return Err(Unknown("the task is no refund".to_owned())) };
        let refund = types::RefundCreate::builder().refund_id(key.as_str()).amount(money(task)?);
        let refund: types::RefundCreate = refund.try_into().map_err(fault)?;
        let id = task.charge_id.clone();
        let call = |client: Client| async move {
            client.repeatable().refund_create().charge_id(id).body(refund).send().await.map_err(Failure::of)
        };
        match self.0.call("refund_create", scope, call).await {
            Ok(_) => Ok(RefundOutcome::Refunded),
            Err(Failure::Answered { code, .. })
                if code == error_codes::CHARGE_NOT_REFUNDABLE || code == error_codes::REFUND_TOO_LARGE =>
            {
                Ok(RefundOutcome::Refused)
            }
            Err(failure) => Err(unknown(failure)),
        }
    }
}

fn outcome(status: ChargeStatus) -> ChargeOutcome {
    match status {
        ChargeStatus::Succeeded => ChargeOutcome::Charged,
        ChargeStatus::Declined => ChargeOutcome::Declined,
        ChargeStatus::Cancelled => ChargeOutcome::Cancelled,
    }
}

fn money(task: &Task) -> Result<types::Money, Unknown> {
    let amount = types::Amount::from(task.amount.amount.get());
    types::Money::builder().amount(amount).currency(task.amount.currency.as_str()).try_into().map_err(fault)
}

fn fault(error: impl std::fmt::Display) -> Unknown {
    Unknown(format!("the request cannot be made: {error}"))
}

fn unknown(failure: Failure) -> Unknown {
    Unknown(match failure {
        Failure::Answered { status, code, .. } => format!("status {} {code}", status.as_u16()),
        Failure::Unavailable(cause) => format!("unavailable: {cause}"),
        Failure::Timeout => "no answer in time".to_owned(),
        Failure::InvalidResponse(cause) => format!("invalid response: {cause}"),
        Failure::Fault(cause) => cause,
    })
}
