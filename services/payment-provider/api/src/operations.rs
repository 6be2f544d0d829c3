//! What the document states beyond the trait: the error codes of each operation, and the service as a whole.

use contract::document::Contract;
use contract::error_code::{BODY, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, READ, WRITE};
use contract::operation::Operation;
use dropshot::ErrorStatusCode;

use crate::{Charge, ChargeCreate, ChargePage, Refund, RefundCreate, payment_provider_api_mod};

/// No charge has the id.
pub const CHARGE_NOT_FOUND: ErrorCode = ErrorCode {
    code: "charge_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No charge has this id.",
    message: "Charge not found",
    retry_after_s: None,
};

/// No refund of the charge has the id.
pub const REFUND_NOT_FOUND: ErrorCode = ErrorCode {
    code: "refund_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No refund of this charge has this id.",
    message: "Refund not found",
    retry_after_s: None,
};

/// The charge's id belongs to another one.
pub const CHARGE_ID_TAKEN: ErrorCode = ErrorCode {
    code: "charge_id_taken",
    status: ErrorStatusCode::CONFLICT,
    when: "Another charge has this id: of another amount, payment method or reference. Nothing was changed.",
    message: "Another charge has this id",
    retry_after_s: None,
};

/// The refund's id belongs to another one.
pub const REFUND_ID_TAKEN: ErrorCode = ErrorCode {
    code: "refund_id_taken",
    status: ErrorStatusCode::CONFLICT,
    when: "Another refund has this id: of another amount or charge. Nothing was changed.",
    message: "Another refund has this id",
    retry_after_s: None,
};

/// There is nothing to refund.
pub const CHARGE_NOT_REFUNDABLE: ErrorCode = ErrorCode {
    code: "charge_not_refundable",
    status: ErrorStatusCode::CONFLICT,
    when: "The charge was declined or cancelled, so there is nothing to refund.",
    message: "A charge that is declined cannot be refunded",
    retry_after_s: None,
};

/// More was to be refunded than was charged.
pub const REFUND_TOO_LARGE: ErrorCode = ErrorCode {
    code: "refund_too_large",
    status: ErrorStatusCode::UNPROCESSABLE_ENTITY,
    when: "All refunds together would be more than the charge, or the currency is another one. Nothing was changed.",
    message: "The charge has 500 EUR in the smallest unit left to refund",
    retry_after_s: None,
};

/// The provider fails because it is to fail once.
pub const PROVIDER_FAILED: ErrorCode = ErrorCode {
    code: "provider_failed",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The payment method is `tok_fail_once`, and this was the first request. Nothing was changed.",
    message: "The provider fails once",
    retry_after_s: Some(1),
};

/// The contract of payment-provider.
pub fn service_contract() -> Contract {
    Contract {
        service: "payment-provider",
        port: 8006,
        version: semver::Version::new(0, 1, 0),
        summary: "Stands for a payment provider, for development and tests: charges and refunds that move no money.",
        repeating: "All requests are safe to repeat: after a 503 wait for the seconds in `Retry-After` and try again.",
        api: payment_provider_api_mod::stub_api_description,
        operations,
        examples: include_str!("../examples.json"),
        events: None,
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new("charge_create", "The charge, with its outcome.")
            .takes::<ChargeCreate>()
            .answers::<Charge>()
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_REQUEST, CHARGE_ID_TAKEN, PROVIDER_FAILED]),
        Operation::new("charge_list", "A page of charges.")
            .answers::<ChargePage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("charge_view", "The charge.")
            .answers::<Charge>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, CHARGE_NOT_FOUND]),
        Operation::new("charge_cancel", "The charge as it is now.")
            .answers::<Charge>()
            .fails(WRITE)
            .fails(&[INVALID_REQUEST]),
        Operation::new("refund_create", "The refund.")
            .takes::<RefundCreate>()
            .answers::<Refund>()
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_REQUEST, CHARGE_NOT_FOUND, CHARGE_NOT_REFUNDABLE, REFUND_ID_TAKEN, REFUND_TOO_LARGE]),
        Operation::new("refund_view", "The refund.")
            .answers::<Refund>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, REFUND_NOT_FOUND]),
    ]
}
