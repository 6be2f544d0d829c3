//! What the platform asks of a payment provider.

use async_trait::async_trait;
use service_runtime::guard::RequestScope;

use crate::store::{ChargeOutcome, Task};

/// The outcome of a call is unknown: the same has to be asked again. The text, for the log, repeats nothing that the provider
/// wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unknown(pub(crate) String);

/// What became of preparing a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Nothing is to be prepared: the provider goes by the id of the charge.
    ById,
    /// The provider calls the charge this.
    Named(String),
    /// The provider declines it, for good.
    Declined,
}

/// What became of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefundOutcome {
    /// It was made.
    Refunded,
    /// The provider refuses it, for good.
    Refused,
}

/// What moves the money. Each call carries the id of its charge or refund, by which the provider recognizes a repeated one:
/// whatever is asked again happens once.
#[async_trait]
pub(crate) trait Provider: Send + Sync {
    /// Prepares a charge, without making it, and returns what the provider calls it, which is stored before the charge is
    /// made or cancelled.
    async fn open(&self, task: &Task, scope: &RequestScope) -> Result<Opened, Unknown>;

    /// Makes a charge.
    async fn charge(&self, task: &Task, scope: &RequestScope) -> Result<ChargeOutcome, Unknown>;

    /// Makes sure that a charge will not be made, unless it is made already.
    async fn cancel(&self, task: &Task, scope: &RequestScope) -> Result<ChargeOutcome, Unknown>;

    /// Refunds a part of a charge.
    async fn refund(&self, task: &Task, scope: &RequestScope) -> Result<RefundOutcome, Unknown>;
}

/// What the provider says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Charge(ChargeOutcome),
    Refund(RefundOutcome),
}
