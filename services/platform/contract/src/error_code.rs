//! The errors of the contract, each as one constant that both the document and the server use: a code cannot have one
//! status in the document and another on the wire.

use dropshot::{ErrorStatusCode, HttpError};

use crate::answer::harden;

/// An error that an operation can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// The stable value of `error_code`, in `snake_case`. Clients decide by it, never by the message.
    pub code: &'static str,
    /// The HTTP status.
    pub status: ErrorStatusCode,
    /// When it occurs and what the client should do: a sentence for the document.
    pub when: &'static str,
    /// The default `message`.
    pub message: &'static str,
    /// The seconds of the `Retry-After` header, if a retry can succeed.
    pub retry_after_s: Option<u32>,
}

impl ErrorCode {
    /// The error with its default message.
    pub fn to_error(&self) -> HttpError {
        self.with_message(self.message)
    }

    /// The error with `message` for the client. Only the code is logged: a message can repeat input.
    pub fn with_message(&self, message: impl Into<String>) -> HttpError {
        self.error(message.into(), self.code.to_owned())
    }

    /// The error with its default message for the client, and `cause` for the log.
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

/// A path that cannot be decoded.
pub const INVALID_PATH: ErrorCode = ErrorCode {
    code: "invalid_path",
    status: ErrorStatusCode::BAD_REQUEST,
    when: "The path cannot be decoded, because its percent-encoding is not that of UTF-8, or it has a segment `.` or `..`.",
    message: "The path cannot be decoded",
    retry_after_s: None,
};

/// A path at which nothing is served.
pub const NOT_FOUND: ErrorCode = ErrorCode {
    code: "not_found",
    status: ErrorStatusCode::NOT_FOUND,
    when: "Nothing is served at this path. It says nothing about a resource.",
    message: "Nothing is served at this path",
    retry_after_s: None,
};

/// A method that the path does not have.
pub const METHOD_NOT_ALLOWED: ErrorCode = ErrorCode {
    code: "method_not_allowed",
    status: ErrorStatusCode::METHOD_NOT_ALLOWED,
    when: "The path does not have this method; the header `Allow` lists those that it has.",
    message: "The path does not have this method",
    retry_after_s: None,
};

/// The errors of requests that reach no operation.
pub const UNROUTED: &[ErrorCode] = &[INVALID_PATH, METHOD_NOT_ALLOWED, NOT_FOUND, UNSUPPORTED_TRANSFER_CODING];

/// A path, query or body that violates the schema.
pub const INVALID_REQUEST: ErrorCode = ErrorCode {
    code: "invalid_request",
    status: ErrorStatusCode::BAD_REQUEST,
    when: "A part of the request violates the schema; the message names it. Nothing was changed. The same request \
           fails again.",
    message: "The request violates the schema",
    retry_after_s: None,
};

/// A `page_token` that is damaged, belongs to another list, or is combined with other filters than its own.
pub const INVALID_PAGE_TOKEN: ErrorCode = ErrorCode {
    code: "invalid_page_token",
    status: ErrorStatusCode::BAD_REQUEST,
    when: "The `page_token` is damaged or belongs to another list: start again from the first page. Or it is combined \
           with filters that are not those of its list: leave them out, or repeat them unchanged.",
    message: "query parameter `page_token`: not a token of this list; start again from the first page",
    retry_after_s: None,
};

/// A request body over the limit.
pub const PAYLOAD_TOO_LARGE: ErrorCode = ErrorCode {
    code: "payload_too_large",
    status: ErrorStatusCode::PAYLOAD_TOO_LARGE,
    when: "The request body is larger than 65536 bytes. The service may close the connection before it reads the \
           whole body.",
    message: "The request body is larger than 65536 bytes",
    retry_after_s: None,
};

/// A request body that is not `application/json`.
pub const UNSUPPORTED_MEDIA_TYPE: ErrorCode = ErrorCode {
    code: "unsupported_media_type",
    status: ErrorStatusCode::UNSUPPORTED_MEDIA_TYPE,
    when: "The request is not declared as plain JSON: send `Content-Type: application/json` and no `Content-Encoding`.",
    message: "Expected `Content-Type: application/json`",
    retry_after_s: None,
};

/// A coding of the whole message that the service cannot undo.
pub const UNSUPPORTED_TRANSFER_CODING: ErrorCode = ErrorCode {
    code: "unsupported_transfer_coding",
    status: ErrorStatusCode::NOT_IMPLEMENTED,
    when: "The request has a `Transfer-Encoding` other than `chunked`. Nothing was changed.",
    message: "Expected no `Transfer-Encoding` but `chunked`",
    retry_after_s: None,
};

/// A request body that does not arrive in time.
pub const REQUEST_TIMEOUT: ErrorCode = ErrorCode {
    code: "request_timeout",
    status: ErrorStatusCode::REQUEST_TIMEOUT,
    when: "The request body did not arrive completely within 5 seconds. Nothing was changed. The connection is closed.",
    message: "The request body did not arrive completely within 5 seconds",
    retry_after_s: None,
};

/// An `Idempotency-Key` of an earlier request with another body.
pub const IDEMPOTENCY_KEY_REUSED: ErrorCode = ErrorCode {
    code: "idempotency_key_reused",
    status: ErrorStatusCode::UNPROCESSABLE_ENTITY,
    when: "The `Idempotency-Key` was already used with another body. Nothing was changed: use a new key for a new \
           request.",
    message: "The Idempotency-Key was already used with another body",
    retry_after_s: None,
};

/// An `Idempotency-Key` whose first request has no answer yet.
pub const IDEMPOTENCY_KEY_IN_USE: ErrorCode = ErrorCode {
    code: "idempotency_key_in_use",
    status: ErrorStatusCode::CONFLICT,
    when: "A request with this `Idempotency-Key` is still in progress. To get its answer, repeat the request with the \
           same key and body after `Retry-After` seconds.",
    message: "A request with this Idempotency-Key is still in progress",
    retry_after_s: Some(1),
};

/// An `If-Match` that names another version than the present one.
pub const VERSION_MISMATCH: ErrorCode = ErrorCode {
    code: "version_mismatch",
    status: ErrorStatusCode::PRECONDITION_FAILED,
    when: "The resource has another version than `If-Match` names: somebody else has changed it. Nothing was changed. Read \
           it again, and decide whether your change still makes sense.",
    message: "The resource has been changed since it was read",
    retry_after_s: None,
};

/// An error inside the service, while it reads.
pub const INTERNAL_ERROR: ErrorCode = ErrorCode {
    code: "internal_error",
    status: ErrorStatusCode::INTERNAL_SERVER_ERROR,
    when: "An internal error; it was logged under the `request_id`.",
    message: "Internal error; quote the request_id when reporting it",
    retry_after_s: None,
};

/// An error inside the service, while it writes.
pub const INTERNAL_ERROR_IN_WRITE: ErrorCode = ErrorCode {
    when: "An internal error; it was logged under the `request_id`. The change may or may not have happened.",
    ..INTERNAL_ERROR
};

/// The service's own database is unavailable, while it reads.
pub const DATABASE_UNAVAILABLE: ErrorCode = ErrorCode {
    code: "database_unavailable",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The database of the service is unavailable. Retry after `Retry-After` seconds.",
    message: "Database unavailable",
    retry_after_s: Some(1),
};

/// The service's own database is unavailable, while it writes.
pub const DATABASE_UNAVAILABLE_IN_WRITE: ErrorCode = ErrorCode {
    when: "The database of the service is unavailable; the change may or may not have happened. Wait `Retry-After` \
           seconds, then check whether it happened before you repeat a request that is not safe to repeat.",
    ..DATABASE_UNAVAILABLE
};

/// The service sheds load above its concurrency limit.
pub const OVERLOADED: ErrorCode = ErrorCode {
    code: "overloaded",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The service is at its concurrency limit. Nothing was changed: retry after `Retry-After` seconds, and wait \
           longer before each further retry.",
    message: "Too many concurrent requests",
    retry_after_s: Some(1),
};

/// The deadline of the request has passed, while the service reads.
pub const DEADLINE_EXCEEDED: ErrorCode = ErrorCode {
    code: "deadline_exceeded",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The request took longer than the service allows, or longer than its `Request-Timeout-Ms`. Retry after \
           `Retry-After` seconds.",
    message: "The request took too long",
    retry_after_s: Some(1),
};

/// The deadline of the request has passed, while the service writes.
pub const DEADLINE_EXCEEDED_IN_WRITE: ErrorCode = ErrorCode {
    when: "The request took longer than the service allows, or longer than its `Request-Timeout-Ms`; the change may or \
           may not have happened. Wait `Retry-After` seconds, then check whether it happened before you repeat a \
           request that is not safe to repeat.",
    ..DEADLINE_EXCEEDED
};

/// The process is stopping.
pub const SHUTTING_DOWN: ErrorCode = ErrorCode {
    code: "shutting_down",
    status: ErrorStatusCode::SERVICE_UNAVAILABLE,
    when: "The process is stopping and takes no new requests. Use another instance, or retry after `Retry-After` \
           seconds.",
    message: "Shutting down",
    retry_after_s: Some(1),
};

/// The errors of every operation that only reads the database.
pub const READ: &[ErrorCode] = &[INTERNAL_ERROR, DATABASE_UNAVAILABLE, OVERLOADED, DEADLINE_EXCEEDED];

/// The errors of every operation that changes the database.
pub const WRITE: &[ErrorCode] =
    &[INTERNAL_ERROR_IN_WRITE, DATABASE_UNAVAILABLE_IN_WRITE, OVERLOADED, DEADLINE_EXCEEDED_IN_WRITE];

/// The errors of every operation with a request body, in addition to [`INVALID_REQUEST`].
pub const BODY: &[ErrorCode] = &[PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, REQUEST_TIMEOUT];

/// The errors of every operation that accepts an `Idempotency-Key`.
pub const KEYED: &[ErrorCode] = &[IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEY_IN_USE];
