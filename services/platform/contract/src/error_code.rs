//! An error of the contract as one constant.
//!
//! The document and the server use the same [`ErrorCode`], so a code cannot have one status in the document
//! and another on the wire.

use dropshot::{ErrorStatusCode, HttpError};

use crate::answer::harden;

/// One way in which an operation can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// The stable word in `error_code`, `snake_case`. Clients decide by it, never by the message.
    pub code: &'static str,
    /// The HTTP status it comes with.
    pub status: ErrorStatusCode,
    /// When it happens and what to do: a sentence for the document.
    pub when: &'static str,
    /// The message that the client gets, unless the case has one of its own.
    pub message: &'static str,
    /// Seconds for the `Retry-After` header, where trying again may help.
    pub retry_after_s: Option<u32>,
}

impl ErrorCode {
    /// The error with its usual message.
    pub fn to_error(&self) -> HttpError {
        self.with_message(self.message)
    }

    /// The error with `message` for the client. The log gets the code alone: a message may repeat input.
    pub fn with_message(&self, message: impl Into<String>) -> HttpError {
        self.error(message.into(), self.code.to_owned())
    }

    /// The error with its usual message for the client and `cause` for the log.
    pub fn with_cause(&self, cause: impl std::fmt::Display) -> HttpError {
        self.error(self.message.to_owned(), format!("{}: {cause}", self.code))
    }

    fn error(&self, external_message: String, internal_message: String) -> HttpError {
        let mut error = HttpError {
            status_code: self.status,
            error_code: Some(self.code.to_owned()),
            external_message,
            internal_message,
            headers: None,
        };
        if let Some(seconds) = self.retry_after_s {
            error.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        }
        harden(error.headers_mut());
        error
    }
}

/// A path, query or body that the schema does not allow.
pub const INVALID_REQUEST: ErrorCode = ErrorCode {
    code: "invalid_request",
    status: ErrorStatusCode::BAD_REQUEST,
    when: "Something sent is not what the schema allows; the message names the place. Nothing was changed. Repeating \
           the request unchanged fails again.",
    message: "The request is not what the schema allows",
    retry_after_s: None,
};

/// A `page_token` that this list did not give out, or one beside other filters.
pub const INVALID_PAGE_TOKEN: ErrorCode = ErrorCode {
    code: "invalid_page_token",
    status: ErrorStatusCode::BAD_REQUEST,
    when: "The `page_token` is damaged or comes from another list: start again from the first page. Or it stands \
           beside other filters: leave them out, the token knows them.",
    message: "query parameter `page_token`: not a token of this list; start again from the first page",
    retry_after_s: None,
};

/// A request body over the limit.
pub const PAYLOAD_TOO_LARGE: ErrorCode = ErrorCode {
    code: "payload_too_large",
    status: ErrorStatusCode::PAYLOAD_TOO_LARGE,
    when: "The request body is larger than 65536 bytes. The connection may be closed before all of it is read.",
    message: "The request body is larger than 65536 bytes",
    retry_after_s: None,
};

/// A request body that is not `application/json`.
pub const UNSUPPORTED_MEDIA_TYPE: ErrorCode = ErrorCode {
    code: "unsupported_media_type",
    status: ErrorStatusCode::UNSUPPORTED_MEDIA_TYPE,
    when: "The body is not announced as plain JSON: send `Content-Type: application/json` and no `Content-Encoding`.",
    message: "Expected `Content-Type: application/json`",
    retry_after_s: None,
};

/// A request body that does not arrive.
pub const REQUEST_TIMEOUT: ErrorCode = ErrorCode {
    code: "request_timeout",
    status: ErrorStatusCode::REQUEST_TIMEOUT,
    when: "The request body was not complete within 5 seconds. Nothing was changed. The connection is closed.",
    message: "The request body was not complete within 5 seconds",
    retry_after_s: None,
};

/// An `Idempotency-Key` that belongs to another request.
pub const IDEMPOTENCY_KEY_REUSED: ErrorCode = ErrorCode {
    code: "idempotency_key_reused",
    status: ErrorStatusCode::UNPROCESSABLE_ENTITY,
    when: "The `Idempotency-Key` was used with another body. Nothing was changed: draw a new key for a new request.",
    message: "The Idempotency-Key was used with another body",
    retry_after_s: None,
};

/// An `Idempotency-Key` whose first request has no answer yet.
pub const IDEMPOTENCY_KEY_IN_USE: ErrorCode = ErrorCode {
    code: "idempotency_key_in_use",
    status: ErrorStatusCode::CONFLICT,
    when: "A request with this `Idempotency-Key` is still being worked on. Ask again after `Retry-After` seconds, with \
           the same key and body, for its answer.",
    message: "A request with this Idempotency-Key is still being worked on",
    retry_after_s: Some(1),
};

/// A fault of the service, while reading.
pub const INTERNAL_ERROR: ErrorCode = ErrorCode {
    code: "internal_error",
    status: ErrorStatusCode::INTERNAL_SERVER_ERROR,
    when: "A fault of the service, which has logged it under the `request_id`.",
    message: "Internal error; quote the request_id when reporting it",
    retry_after_s: None,
};

/// A fault of the service, while writing.
pub const INTERNAL_ERROR_IN_WRITE: ErrorCode = ErrorCode {
    when: "A fault of the service, which has logged it under the `request_id`. The change may or may not have happened.",
    ..INTERNAL_ERROR
};

/// The service's own database does not answer, while reading.
pub const DATABASE_UNAVAILABLE: ErrorCode = ErrorCode {
    code: "database_unavailable",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The service's database does not answer. Try again after `Retry-After` seconds.",
    message: "Database unavailable",
    retry_after_s: Some(1),
};

/// The service's own database does not answer, while writing.
pub const DATABASE_UNAVAILABLE_IN_WRITE: ErrorCode = ErrorCode {
    when: "The service's database does not answer; the change may or may not have happened. Wait for `Retry-After` \
           seconds, then look before you repeat what is not safe to repeat.",
    ..DATABASE_UNAVAILABLE
};

/// More requests at a time than the service takes.
pub const OVERLOADED: ErrorCode = ErrorCode {
    code: "overloaded",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The service works on as many requests as it takes at a time. Nothing was changed: try again after \
           `Retry-After` seconds, later each time.",
    message: "Too many requests at a time",
    retry_after_s: Some(1),
};

/// The time for the request is over, while reading.
pub const DEADLINE_EXCEEDED: ErrorCode = ErrorCode {
    code: "deadline_exceeded",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The request took longer than the service allows, or than its `Request-Timeout-Ms`. Try again after \
           `Retry-After` seconds.",
    message: "The request took too long",
    retry_after_s: Some(1),
};

/// The time for the request is over, while writing.
pub const DEADLINE_EXCEEDED_IN_WRITE: ErrorCode = ErrorCode {
    when: "The request took longer than the service allows, or than its `Request-Timeout-Ms`; the change may or may \
           not have happened. Wait for `Retry-After` seconds, then look before you repeat what is not safe to repeat.",
    ..DEADLINE_EXCEEDED
};

/// The process is stopping.
pub const SHUTTING_DOWN: ErrorCode = ErrorCode {
    code: "shutting_down",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The process is stopping and wants no new work. Use another instance, or try again after `Retry-After` \
           seconds.",
    message: "Shutting down",
    retry_after_s: Some(1),
};

/// What every operation that only reads the database can fail with.
pub const READ: &[ErrorCode] = &[INTERNAL_ERROR, DATABASE_UNAVAILABLE, OVERLOADED, DEADLINE_EXCEEDED];

/// What every operation that changes the database can fail with.
pub const WRITE: &[ErrorCode] =
    &[INTERNAL_ERROR_IN_WRITE, DATABASE_UNAVAILABLE_IN_WRITE, OVERLOADED, DEADLINE_EXCEEDED_IN_WRITE];

/// What every operation that takes a body can fail with, beside [`INVALID_REQUEST`].
pub const BODY: &[ErrorCode] = &[PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, REQUEST_TIMEOUT];

/// What every operation that takes an `Idempotency-Key` can fail with.
pub const KEYED: &[ErrorCode] = &[IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEY_IN_USE];
