//! What becomes of a request, and how events come and go.

use contract::answer::Created;
use contract::money::Money;
use payment_service_api::PaymentStatus;
use service_runtime::events::{Inbox, Outbox};

/// The rule that a request breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No payment has the id.
    NotFound,
    /// The order has a payment that is pending or completed.
    AlreadyPaid,
    /// The order is cancelled.
    OrderCancelled,
    /// Nothing of the payment, which has this status, can be refunded.
    NotRefundable(PaymentStatus),
    /// Only up to this can be refunded.
    TooLarge(Money),
}

/// What is stored for a request, with its response; or why it is refused.
pub type Stored<T> = Result<(T, Created<T>), Refusal>;

/// How the events of payments come and go.
#[derive(Clone, Debug)]
pub(super) struct Events {
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
}
