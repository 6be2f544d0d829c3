//! What the document states beyond the trait: the error codes of each operation, and the service as a whole.

use contract::document::Contract;
use contract::error_code::{
    BODY, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, KEYED, PAYLOAD_TOO_LARGE, READ, REQUEST_TIMEOUT, WRITE,
};
use contract::operation::Operation;
use dropshot::ErrorStatusCode;

use crate::events::events;
use crate::{Payment, PaymentCreate, PaymentPage, Refund, RefundCreate, payment_service_api_mod};

/// No payment has the id.
pub const PAYMENT_NOT_FOUND: ErrorCode = ErrorCode {
    code: "payment_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No payment has this id.",
    message: "Payment not found",
    retry_after_s: None,
};

/// No refund of the payment has the id.
pub const REFUND_NOT_FOUND: ErrorCode = ErrorCode {
    code: "refund_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No refund of this payment has this id.",
    message: "Refund not found",
    retry_after_s: None,
};

/// The order has a payment.
pub const ALREADY_PAID: ErrorCode = ErrorCode {
    code: "already_paid",
    status: ErrorStatusCode::CONFLICT,
    when: "The order has a payment that is `pending` or `completed`. Nothing was changed.",
    message: "The order has a payment already",
    retry_after_s: None,
};

/// The order is not to be paid.
pub const ORDER_CANCELLED: ErrorCode = ErrorCode {
    code: "order_cancelled",
    status: ErrorStatusCode::CONFLICT,
    when: "The order was cancelled, so it is not to be paid. Nothing was changed.",
    message: "The order was cancelled",
    retry_after_s: None,
};

/// There is nothing to refund.
pub const NOT_REFUNDABLE: ErrorCode = ErrorCode {
    code: "not_refundable",
    status: ErrorStatusCode::CONFLICT,
    when: "Nothing of the payment can be refunded: it is not charged, or all of it is refunded or being refunded. Nothing \
           was changed.",
    message: "A payment that is pending cannot be refunded",
    retry_after_s: None,
};

/// More was to be refunded than is left.
pub const REFUND_TOO_LARGE: ErrorCode = ErrorCode {
    code: "refund_too_large",
    status: ErrorStatusCode::UNPROCESSABLE_ENTITY,
    when: "The amount is 0, more than what is left of the payment, or in another currency. Nothing was changed.",
    message: "From 1 to 1998 EUR in the smallest unit can be refunded",
    retry_after_s: None,
};

/// Stripe has not signed a report.
pub const INVALID_SIGNATURE: ErrorCode = ErrorCode {
    code: "invalid_signature",
    status: ErrorStatusCode::BAD_REQUEST,
    when: "`Stripe-Signature` does not sign the body with the secret of this endpoint, or did more than five minutes ago; or \
           the service knows no secret.",
    message: "The body is not signed by Stripe",
    retry_after_s: None,
};

/// The contract of payment-service.
pub fn service_contract() -> Contract {
    Contract {
        service: "payment-service",
        port: 8004,
        version: semver::Version::new(0, 1, 0),
        summary: "Has the orders of the Orders & Notifications Platform paid, and refunds those that are cancelled.",
        repeating: "Requests with `GET` are safe to repeat: after a 503 wait for the seconds in `Retry-After` and try \
                    again. `payment_create` and `refund_create` are safe to repeat if they carry an `Idempotency-Key`.",
        api: payment_service_api_mod::stub_api_description,
        operations,
        examples: include_str!("../examples.json"),
        events: Some(events()),
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new("payment_create", "The payment as stored.")
            .takes::<PaymentCreate>()
            .answers::<Payment>()
            .fails(WRITE)
            .fails(BODY)
            .fails(KEYED)
            .fails(&[INVALID_REQUEST, ALREADY_PAID, ORDER_CANCELLED]),
        Operation::new("payment_list", "A page of payments.")
            .answers::<PaymentPage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("payment_view", "The payment.")
            .answers::<Payment>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, PAYMENT_NOT_FOUND]),
        Operation::new("refund_create", "The refund as stored.")
            .takes::<RefundCreate>()
            .answers::<Refund>()
            .fails(WRITE)
            .fails(BODY)
            .fails(KEYED)
            .fails(&[INVALID_REQUEST, PAYMENT_NOT_FOUND, NOT_REFUNDABLE, REFUND_TOO_LARGE]),
        Operation::new("refund_view", "The refund.")
            .answers::<Refund>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, REFUND_NOT_FOUND]),
        Operation::new("stripe_event_receive", "The report is taken.").fails(WRITE).fails(&[
            INVALID_REQUEST,
            INVALID_SIGNATURE,
            PAYLOAD_TOO_LARGE,
            REQUEST_TIMEOUT,
        ]),
    ]
}
