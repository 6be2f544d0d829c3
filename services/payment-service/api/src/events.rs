//! The events of payment-service.

use contract::event::{EventType, Events};
use contract::money::Money;

use crate::{FailureReason, OrderId, PaymentId, RefundId, UserId};

contract::event! {
    /// A payment was completed
    ///
    /// The amount was charged.
    pub struct PaymentCompleted as "payment.completed" about payment_id {
        /// The payment.
        pub payment_id: PaymentId,
        /// The order that is paid.
        pub order_id: OrderId,
        /// The user who paid.
        pub user_id: UserId,
        /// How much was charged.
        pub amount: Money,
    }
}

contract::event! {
    /// A payment failed
    ///
    /// Nothing was charged, and nothing will be.
    pub struct PaymentFailed as "payment.failed" about payment_id {
        /// The payment.
        pub payment_id: PaymentId,
        /// The order that was to be paid.
        pub order_id: OrderId,
        /// The user who was to pay.
        pub user_id: UserId,
        /// How much was to be charged.
        pub amount: Money,
        /// Why.
        pub reason: FailureReason,
    }
}

contract::event! {
    /// A payment was refunded
    ///
    /// A part of the payment, or all that was left of it, was given back.
    pub struct PaymentRefunded as "payment.refunded" about payment_id {
        /// The payment.
        pub payment_id: PaymentId,
        /// The refund.
        pub refund_id: RefundId,
        /// The order that was paid.
        pub order_id: OrderId,
        /// The user who gets the money.
        pub user_id: UserId,
        /// How much was given back by this refund.
        pub amount: Money,
        /// What is left of the payment after all refunds so far; 0 if it is refunded wholly.
        pub remaining: Money,
    }
}

pub(crate) fn events() -> Events {
    Events {
        version: semver::Version::new(0, 1, 0),
        types: || {
            vec![
                EventType::of::<PaymentCompleted>(),
                EventType::of::<PaymentFailed>(),
                EventType::of::<PaymentRefunded>(),
            ]
        },
        examples: include_str!("../events.json"),
    }
}
