//! Stripe: real money.
//!
//! A charge is a PaymentIntent, which is made first and confirmed once its id is stored: nothing but the stored one is ever
//! confirmed, and Stripe confirms it once, however often it is asked. So nothing is charged twice, also if Stripe has
//! forgotten an `Idempotency-Key`, which it does after 24 hours.

mod amount;
mod api;
mod object;

use async_trait::async_trait;
use http::Method;
use payment_service_api::PaymentMethod;
use service_runtime::guard::RequestScope;
use service_runtime::telemetry::DependencyCalls;
use slog::info;

use crate::providers::provider::{Opened, Provider, RefundOutcome, Unknown};
use crate::settings::{Secret, StripeUrl};
use crate::store::{ChargeOutcome, Task};
use amount::units;
use api::{Api, Refusal, Request};
use object::{Intent, IntentStatus, Page, Refund, is_id};

/// The code of an error: nothing of the charge is left to refund.
const ALREADY_REFUNDED: &str = "charge_already_refunded";
/// The code of an error: the account has not enough money yet for a refund.
const BALANCE_TOO_LOW: &str = "balance_insufficient";
/// Where a refund has its id of this service.
const REFUND_ID: &str = "refund_id";
/// The most objects in a page of a list.
const PAGE: usize = 100;

/// An account at Stripe.
pub(crate) struct Stripe(Api);

impl Stripe {
    /// The account of `key`, whose API is at `url`.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub(crate) fn new(url: StripeUrl, key: &Secret, calls: DependencyCalls) -> anyhow::Result<Self> {
        Ok(Self(Api::new(url, key, calls)?))
    }

    /// Asks for an intent, or to do something with it.
    async fn intent(
        &self,
        operation: &'static str,
        (method, path): (Method, String),
        scope: &RequestScope,
    ) -> Result<Result<Intent, Refusal>, Unknown> {
        // Without a key: Stripe would repeat a failure of its own under the same one, and the status of the intent decides.
        self.0.send(Request { operation, method, path, key: None, form: Vec::new() }, scope).await
    }

    /// The status of an intent that Stripe has made.
    async fn status(&self, id: &str, scope: &RequestScope) -> Result<IntentStatus, Unknown> {
        let intent = self.intent("view", (Method::GET, format!("payment_intents/{id}")), scope).await?;
        // Stripe forgets none: the key is that of another account.
        Ok(intent.map_err(|refusal| Unknown(format!("an intent of this service: {refusal}")))?.status)
    }

    /// Sees to it that an intent is not charged, and returns what it is then.
    async fn give_up(&self, id: &str, scope: &RequestScope) -> Result<IntentStatus, Unknown> {
        let cancelled = self.intent("cancel", (Method::POST, format!("payment_intents/{id}/cancel")), scope).await?;
        match cancelled {
            Ok(intent) => Ok(intent.status),
            // It is charged, or cancelled already.
            Err(_) => self.status(id, scope).await,
        }
    }

    /// The refund of this service that has the id `key` there, if Stripe has made it.
    async fn find_refund(&self, intent: &str, key: &str, scope: &RequestScope) -> Result<Option<Refund>, Unknown> {
        let first = format!("refunds?payment_intent={intent}&limit={PAGE}");
        let mut path = first.clone();
        loop {
            let (operation, method) = ("refund_list", Method::GET);
            let page = self.0.send(Request { operation, method, path, key: None, form: Vec::new() }, scope).await?;
            let page: Page<Refund> = page.map_err(|refusal| Unknown(refusal.to_string()))?;
            let last = page.data.last().map(|refund| refund.id.clone());
            let found = page.data.into_iter().find(|refund| refund.metadata.get(REFUND_ID) == Some(&key.to_owned()));
            if found.is_some() || !page.has_more {
                return Ok(found);
            }
            let last = last.filter(|id| is_id(id)).ok_or_else(|| Unknown("a page without an end".to_owned()))?;
            path = format!("{first}&starting_after={last}");
        }
    }
}

#[async_trait]
impl Provider for Stripe {
    async fn open(&self, task: &Task, scope: &RequestScope) -> Result<Opened, Unknown> {
        let Some(amount) = units(&task.amount) else {
            info!(scope.log, "Stripe has no such amount");
            return Ok(Opened::Declined);
        };
        let mut form = vec![
            ("amount", amount.to_string()),
            ("currency", task.amount.currency.as_str().to_ascii_lowercase()),
            // Cards only: nobody is there to be sent to the page of another method.
            ("payment_method_types[]", "card".to_owned()),
            ("confirm", "false".to_owned()),
            ("metadata[payment_id]", task.payment_id.to_string()),
            ("metadata[order_id]", task.order_id.to_string()),
            ("metadata[charge_id]", task.charge_id.clone()),
        ];
        form.extend(task.payment_method.as_ref().map(PaymentMethod::as_str).into_iter().flat_map(method));
        let (method, path, key) = (Method::POST, "payment_intents".to_owned(), Some(task.charge_id.as_str()));
        let opened = self.0.send::<Intent>(Request { operation: "open", method, path, key, form }, scope).await?;
        match opened {
            Ok(Intent { id, .. }) if is_id(&id) => Ok(Opened::Named(id)),
            Ok(_) => Err(Unknown("an intent without an id".to_owned())),
            // Such as: there is no such payment method, or the amount is too small.
            Err(refusal) => {
                info!(scope.log, "charge refused by Stripe"; "error" => refusal.to_string());
                Ok(Opened::Declined)
            }
        }
    }

    async fn charge(&self, task: &Task, scope: &RequestScope) -> Result<ChargeOutcome, Unknown> {
        let id = reference(task)?;
        let confirmed = self.intent("confirm", (Method::POST, format!("payment_intents/{id}/confirm")), scope).await?;
        let status = match confirmed {
            Ok(intent) => intent.status,
            // The card is declined; or there is nothing to confirm, because an earlier answer was lost.
            Err(refusal) => {
                info!(scope.log, "charge not confirmed by Stripe"; "error" => refusal.to_string());
                self.status(id, scope).await?
            }
        };
        match status {
            IntentStatus::RequiresPaymentMethod => Ok(ChargeOutcome::Declined),
            // The bank wants the customer to do something, who is not there; or it cannot be confirmed at all.
            IntentStatus::RequiresAction | IntentStatus::RequiresConfirmation | IntentStatus::RequiresCapture => {
                match final_outcome(self.give_up(id, scope).await?)? {
                    ChargeOutcome::Cancelled => Ok(ChargeOutcome::Declined),
                    outcome => Ok(outcome),
                }
            }
            status => final_outcome(status),
        }
    }

    async fn cancel(&self, task: &Task, scope: &RequestScope) -> Result<ChargeOutcome, Unknown> {
        final_outcome(self.give_up(reference(task)?, scope).await?)
    }

    async fn refund(&self, task: &Task, scope: &RequestScope) -> Result<RefundOutcome, Unknown> {
        let Some((_, key)) = &task.refund else { return Err(Unknown("the task is no refund".to_owned())) };
        let intent = reference(task)?;
        // Stripe may have forgotten the key since.
        if task.attempts > 1
            && let Some(made) = self.find_refund(intent, key, scope).await?
        {
            return made.outcome();
        }
        let Some(amount) = units(&task.amount) else {
            info!(scope.log, "Stripe has no such amount");
            return Ok(RefundOutcome::Refused);
        };
        let form = vec![
            ("payment_intent", intent.to_owned()),
            ("amount", amount.to_string()),
            ("metadata[refund_id]", key.clone()),
            ("metadata[payment_id]", task.payment_id.to_string()),
            ("metadata[order_id]", task.order_id.to_string()),
        ];
        let (method, path, key_sent) = (Method::POST, "refunds".to_owned(), Some(key.as_str()));
        let request = Request { operation: "refund", method, path, key: key_sent, form };
        let refusal = match self.0.send::<Refund>(request, scope).await? {
            Ok(refund) => return refund.outcome(),
            Err(refusal) => refusal,
        };
        match refusal.code.as_deref() {
            Some(BALANCE_TOO_LOW) => return Err(Unknown(refusal.to_string())),
            // The key is that of another account.
            _ if refusal.status == http::StatusCode::NOT_FOUND => return Err(Unknown(refusal.to_string())),
            Some(ALREADY_REFUNDED) => {
                if let Some(made) = self.find_refund(intent, key, scope).await? {
                    return made.outcome();
                }
            }
            _ => {}
        }
        info!(scope.log, "refund refused by Stripe"; "error" => refusal.to_string());
        Ok(RefundOutcome::Refused)
    }
}

/// How an intent is paid: with a payment method, or with a token of a card, which the older forms at Stripe make.
fn method(name: &str) -> Vec<(&'static str, String)> {
    if name.starts_with("tok_") {
        let token = ("payment_method_data[card][token]", name.to_owned());
        return vec![("payment_method_data[type]", "card".to_owned()), token];
    }
    vec![("payment_method", name.to_owned())]
}

fn reference(task: &Task) -> Result<&str, Unknown> {
    let reference = task.provider_reference.as_deref();
    reference.filter(|id| is_id(id)).ok_or_else(|| Unknown("the charge has no name at Stripe".to_owned()))
}

/// What has become of a charge, if nothing else can.
fn final_outcome(status: IntentStatus) -> Result<ChargeOutcome, Unknown> {
    match status {
        IntentStatus::Succeeded => Ok(ChargeOutcome::Charged),
        IntentStatus::Canceled => Ok(ChargeOutcome::Cancelled),
        _ => Err(Unknown("Stripe has no outcome yet".to_owned())),
    }
}
