//! What the document states beyond the trait: the error codes of each operation, and the service as a whole.

use contract::document::Contract;
use contract::error_code::{BODY, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, KEYED, READ, WRITE};
use contract::operation::Operation;
use dropshot::ErrorStatusCode;

use crate::events::events;
use crate::{Order, OrderCreate, OrderPage, OrderReceipt, OrderStatusUpdate, order_service_api_mod};

/// No order has the id.
pub const ORDER_NOT_FOUND: ErrorCode = ErrorCode {
    code: "order_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No order has this id.",
    message: "Order not found",
    retry_after_s: None,
};

/// The order's current status does not allow the new one.
pub const INVALID_TRANSITION: ErrorCode = ErrorCode {
    code: "invalid_transition",
    status: ErrorStatusCode::CONFLICT,
    when: "The order's current status does not allow this one; the message names both. Nothing was changed.",
    message: "An order that is completed cannot become cancelled",
    retry_after_s: None,
};

/// user-service knows no such user.
pub const USER_NOT_FOUND: ErrorCode = ErrorCode {
    code: "user_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No user has the `user_id`. Nothing was stored.",
    message: "User not found",
    retry_after_s: None,
};

/// user-service violated its contract.
pub const USER_SERVICE_INVALID_RESPONSE: ErrorCode = ErrorCode {
    code: "user_service_invalid_response",
    status: ErrorStatusCode::BAD_GATEWAY,
    when: "The response of user-service violates its contract, so it is unknown whether the user exists. Nothing was \
           stored. An immediate retry will not help; report the problem.",
    message: "User service gave an invalid response",
    retry_after_s: None,
};

/// user-service cannot be reached or cannot answer.
pub const USER_SERVICE_UNAVAILABLE: ErrorCode = ErrorCode {
    code: "user_service_unavailable",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "user-service cannot be reached, or cannot answer now. Nothing was stored: try again after `Retry-After` \
           seconds.",
    message: "User service unavailable",
    retry_after_s: Some(1),
};

/// user-service did not answer in time.
pub const USER_SERVICE_TIMEOUT: ErrorCode = ErrorCode {
    code: "user_service_timeout",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "user-service did not answer in time. Nothing was stored: try again after `Retry-After` seconds.",
    message: "User service did not answer in time",
    retry_after_s: Some(1),
};

/// product-service knows no such product.
pub const PRODUCT_NOT_FOUND: ErrorCode = ErrorCode {
    code: "product_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "Products do not exist; the message names up to eight of them. Nothing was stored.",
    message: "Product not found: 7",
    retry_after_s: None,
};

/// Less is available than was ordered.
pub const INSUFFICIENT_STOCK: ErrorCode = ErrorCode {
    code: "insufficient_stock",
    status: ErrorStatusCode::CONFLICT,
    when: "Of some products less is available than was ordered; the message names up to eight of them. Nothing was stored.",
    message: "Not enough in stock: product 1",
    retry_after_s: None,
};

/// The total is not the expected one.
pub const PRICE_CHANGED: ErrorCode = ErrorCode {
    code: "price_changed",
    status: ErrorStatusCode::CONFLICT,
    when: "The total is not `expected_total`; the message states it. Nothing was stored.",
    message: "The total is 3996 EUR in the smallest unit, not the expected one",
    retry_after_s: None,
};

/// The prices of the items are in several currencies.
pub const MIXED_CURRENCIES: ErrorCode = ErrorCode {
    code: "mixed_currencies",
    status: ErrorStatusCode::UNPROCESSABLE_ENTITY,
    when: "The prices of the products are in different currencies: place an order for each. Nothing was stored.",
    message: "The prices of the products are in different currencies: EUR, JPY",
    retry_after_s: None,
};

/// The total is more than an amount can be.
pub const TOTAL_TOO_LARGE: ErrorCode = ErrorCode {
    code: "total_too_large",
    status: ErrorStatusCode::UNPROCESSABLE_ENTITY,
    when: "The total would be more than 2^53 - 1 of the smallest unit. Nothing was stored.",
    message: "A total is at most 9007199254740991 in the smallest unit",
    retry_after_s: None,
};

/// product-service violated its contract.
pub const PRODUCT_SERVICE_INVALID_RESPONSE: ErrorCode = ErrorCode {
    code: "product_service_invalid_response",
    status: ErrorStatusCode::BAD_GATEWAY,
    when: "The response of product-service violates its contract, so it is unknown whether the items are reserved. Nothing \
           was stored. An immediate retry will not help; report the problem.",
    message: "Product service gave an invalid response",
    retry_after_s: None,
};

/// product-service cannot be reached or cannot answer.
pub const PRODUCT_SERVICE_UNAVAILABLE: ErrorCode = ErrorCode {
    code: "product_service_unavailable",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "product-service cannot be reached, or cannot answer now. Nothing was stored: try again after `Retry-After` \
           seconds.",
    message: "Product service unavailable",
    retry_after_s: Some(1),
};

/// product-service did not answer in time.
pub const PRODUCT_SERVICE_TIMEOUT: ErrorCode = ErrorCode {
    code: "product_service_timeout",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "product-service did not answer in time. Nothing was stored: try again after `Retry-After` seconds.",
    message: "Product service did not answer in time",
    retry_after_s: Some(1),
};

/// The contract of order-service.
pub fn service_contract() -> Contract {
    Contract {
        service: "order-service",
        port: 8003,
        version: semver::Version::new(0, 5, 0),
        summary: "Owns the orders of the Orders & Notifications Platform.",
        repeating: "Every request but `order_create` is safe to repeat: after a 503 wait for the seconds in `Retry-After` \
                    and try again. `order_create` is safe to repeat if it carries an `Idempotency-Key`. Without one, \
                    after `internal_error`, `database_unavailable`, `deadline_exceeded` or no response at all, check \
                    with `order_list` and `user_id` whether the order was placed before you repeat the request.",
        api: order_service_api_mod::stub_api_description,
        operations,
        examples: include_str!("../examples.json"),
        events: Some(events()),
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::new("order_create", "The order is stored.")
            .takes::<OrderCreate>()
            .answers::<OrderReceipt>()
            .fails(WRITE)
            .fails(BODY)
            .fails(KEYED)
            .fails(&[INVALID_REQUEST, USER_NOT_FOUND, USER_SERVICE_INVALID_RESPONSE])
            .fails(&[USER_SERVICE_UNAVAILABLE, USER_SERVICE_TIMEOUT])
            .fails(&[PRODUCT_NOT_FOUND, INSUFFICIENT_STOCK, PRICE_CHANGED, MIXED_CURRENCIES, TOTAL_TOO_LARGE])
            .fails(&[PRODUCT_SERVICE_INVALID_RESPONSE, PRODUCT_SERVICE_UNAVAILABLE, PRODUCT_SERVICE_TIMEOUT]),
        Operation::new("order_list", "A page of orders.")
            .answers::<OrderPage>()
            .paginated()
            .fails(READ)
            .fails(&[INVALID_REQUEST, INVALID_PAGE_TOKEN]),
        Operation::new("order_view", "The order.")
            .answers::<Order>()
            .fails(READ)
            .fails(&[INVALID_REQUEST, ORDER_NOT_FOUND]),
        Operation::new("order_set_status", "The order as it is now.")
            .takes::<OrderStatusUpdate>()
            .answers::<Order>()
            .fails(WRITE)
            .fails(BODY)
            .fails(&[INVALID_REQUEST, ORDER_NOT_FOUND, INVALID_TRANSITION]),
        Operation::new("order_cancel", "The order as it is now.").answers::<Order>().fails(WRITE).fails(&[
            INVALID_REQUEST,
            ORDER_NOT_FOUND,
            INVALID_TRANSITION,
        ]),
    ]
}
