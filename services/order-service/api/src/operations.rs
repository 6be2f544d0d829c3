//! What the document says of each operation beyond the trait: its errors and its examples.

use contract::document::{About, DocumentError, Operation, complete};
use contract::error_code::{
    BODY, DATABASE_UNAVAILABLE, ErrorCode, INVALID_PAGE_TOKEN, INVALID_REQUEST, KEYED, READ, SHUTTING_DOWN, WRITE,
};
use contract::examples::Example;
use contract::health::{Health, Readiness};
use dropshot::ErrorStatusCode;

use crate::{Order, OrderCreate, OrderPage, OrderReceipt, OrderStatusUpdate, order_service_api_mod};

/// No order has the id.
pub const ORDER_NOT_FOUND: ErrorCode = ErrorCode {
    code: "order_not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "No order has this id.",
    message: "Order not found",
    retry_after_s: None,
};

/// The order's present status does not allow the new one.
pub const INVALID_TRANSITION: ErrorCode = ErrorCode {
    code: "invalid_transition",
    status: ErrorStatusCode::CONFLICT,
    when: "The order's present status does not allow this one; the message names both. Nothing was changed.",
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

/// user-service answered with nonsense.
pub const USER_SERVICE_INVALID_RESPONSE: ErrorCode = ErrorCode {
    code: "user_service_invalid_response",
    status: ErrorStatusCode::BAD_GATEWAY,
    when: "user-service answered something that its contract does not allow, so it is not known whether the user \
           exists. Nothing was stored. Trying again at once will not help; report it.",
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

/// A request and its answer for every operation and every error code.
pub fn examples() -> Result<Vec<Example>, DocumentError> {
    contract::examples::read(include_str!("../examples.json"))
        .map_err(|error| DocumentError::Examples(error.to_string()))
}

/// The service's OpenAPI document: the trait, completed. A function of this crate alone.
pub fn document() -> Result<String, DocumentError> {
    let description =
        order_service_api_mod::stub_api_description().map_err(|error| DocumentError::Trait(error.to_string()))?;
    complete(description, &about(), operations(), &examples()?)
}

fn about() -> About {
    About {
        title: "Order Service",
        version: semver::Version::new(0, 2, 0),
        description: "Owns the orders of the Orders & Notifications Platform.\n\n\
            Bodies are JSON (UTF-8) with `snake_case` names; times are RFC 3339 in UTC. Unknown fields of \
            a body and unknown query parameters of a list are refused. Ids are integers up to 2^53 - 1, which every JSON reader keeps exactly.\n\n\
            Every error has the shape of the schema `Error`; decide by its `error_code`. Every request but \
            `order_create` is safe to repeat: after a 503 wait for the seconds in `Retry-After` and try again. \
            `order_create` is safe to repeat if it carries an `Idempotency-Key`. Without one, when its answer is \
            `internal_error`, `database_unavailable`, `deadline_exceeded`, or none at all, look with `order_list` and \
            `user_id` before you repeat it.\n\n\
            Any request may say in the header `Request-Timeout-Ms` how many milliseconds (1 to 60000) its sender still \
            waits; the service gives up then, if its own limit is not shorter.\n\n\
                        Before version 1.0.0 this contract may change; from then on it only grows within `/api/v1`.",
        server_url: "http://127.0.0.1:8003",
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
            .fails(&[USER_SERVICE_UNAVAILABLE, USER_SERVICE_TIMEOUT]),
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
        Operation::new("health", "The process runs.").answers::<Health>(),
        Operation::new("ready", "The service can do its work.")
            .answers::<Readiness>()
            .fails(&[DATABASE_UNAVAILABLE, SHUTTING_DOWN]),
    ]
}
