//! What does not agree, and what to do about it.

use std::fmt;

use serde::Serialize;

/// Defines `Code`. A line is: variant, code, what to do.
macro_rules! codes {
    ($($variant:ident $code:literal $to_do:literal,)*) => {
        /// The kind of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        pub(super) enum Code {
            $(#[serde(rename = $code)] $variant,)*
        }

        impl Code {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            fn to_do(self) -> &'static str {
                match self {
                    $(Self::$variant => $to_do,)*
                }
            }
        }
    };
}

codes! {
    ConfirmedNotPaid "confirmed_not_paid"
        "Have it paid with `orders payment create`, or cancel it.",
    CompletedNotPaid "completed_not_paid"
        "Have it paid with `orders payment create`, or write it off: a completed order stays completed.",
    CancelledNotRefunded "cancelled_not_refunded"
        "Refund the rest with `orders payment-service refund-create`.",
    PaidNotConfirmed "paid_not_confirmed"
        "Replay the dead letters of order-service; if the amount is wrong, refund the payment.",
    OrderOverdue "order_overdue"
        "Look in the log of order-service why it does not cancel it; `orders order cancel` does the same.",
    PaidTwice "paid_twice"
        "Refund all but one with `orders payment-service refund-create`.",
    OutcomeUnknown "outcome_unknown"
        "Look whether payment-service reaches the provider; it goes on asking, so do not pay again.",
    PaymentWithoutOrder "payment_without_order"
        "Refund the payment, unless the database of order-service is an older backup.",
    ConfirmedNotCommitted "confirmed_not_committed"
        "Replay the dead letters of product-service; if there are none, take its items out of the stock by hand.",
    CancelledStillReserved "cancelled_still_reserved"
        "Replay the dead letters of product-service, or release it with `orders reservation release`.",
    ReservationWithoutOrder "reservation_without_order"
        "Release it with `orders reservation release`, unless the database of order-service is an older backup.",
    OrderNotReserved "order_not_reserved"
        "Replay the dead letters of product-service, or cancel the order.",
    StockDiffers "stock_differs"
        "Compare again while nobody orders; if it stays, correct the row in the table `stock` of product-service.",
    ChargedNotRecorded "charged_not_recorded"
        "If the payment is pending, see to it that payment-service reaches the provider; else refund the charge there.",
    ChargedTwice "charged_twice"
        "Refund all but one at the provider.",
    PaymentNotInLedger "payment_not_in_ledger"
        "Ask the provider; if nothing was charged, have the order paid again or cancel it.",
    LedgerDiffers "ledger_differs"
        "The money moved as the ledger says: refund what is missing at the provider, or ask it.",
    UnknownCharge "unknown_charge"
        "Find out who else uses the account at the provider; if nobody does, refund the charge there.",
}

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Finding {
    pub(super) code: Code,
    /// What it is about, such as `orders/1` and `payments/1`.
    pub(super) about: Vec<String>,
    pub(super) message: String,
    to_do: &'static str,
}

impl Finding {
    pub(super) fn new(code: Code, about: impl IntoIterator<Item = String>, message: String) -> Self {
        Self { code, about: about.into_iter().collect(), message, to_do: code.to_do() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, about, message, to_do } = self;
        write!(formatter, "{} {}: {message} {to_do}", code.as_str(), about.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_of_text_or_json() {
        let about = ["orders/1", "payments/2"].map(str::to_owned);
        let finding = Finding::new(Code::CancelledNotRefunded, about, "The order is cancelled.".to_owned());
        let to_do = "Refund the rest with `orders payment-service refund-create`.";
        let text = format!("cancelled_not_refunded orders/1 payments/2: The order is cancelled. {to_do}");
        assert_eq!(finding.to_string(), text);
        let json = serde_json::json!({
            "code": "cancelled_not_refunded", "about": ["orders/1", "payments/2"],
            "message": "The order is cancelled.", "to_do": to_do,
        });
        assert_eq!(serde_json::to_value(&finding).unwrap(), json);
    }
}
