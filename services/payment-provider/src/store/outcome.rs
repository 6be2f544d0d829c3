//! What becomes of a change.

use contract::money::Currency;
use payment_provider_api::ChargeStatus;

/// What is stored, and whether this call has stored it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// What is stored.
    pub value: T,
    /// Whether it was not stored before.
    pub is_new: bool,
}

/// The rule that a change breaks.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Another charge has the id.
    ChargeIdTaken,
    /// No charge has the id.
    ChargeNotFound,
    /// The charge has this status.
    NotRefundable(ChargeStatus),
    /// Another refund has the id.
    RefundIdTaken,
    /// It would refund nothing, more than is left, or another currency.
    TooLarge {
        /// How much can be refunded.
        left: i64,
        /// In which currency.
        currency: Currency,
    },
}
