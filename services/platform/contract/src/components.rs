//! The components that every document has: the shape of errors, their known codes, and the headers of responses.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error_code::UNROUTED;
use crate::examples::REQUEST_ID;

/// A reference to the header `name` of [`headers`].
pub(crate) fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// The headers of responses.
pub(crate) fn headers() -> Value {
    json!({
        "Retry-After": {
            "description": "Seconds to wait before trying again (RFC 9110, section 10.2.3).",
            "schema": { "type": "integer", "format": "int32", "minimum": 0, "example": 1 },
        },
        "X-Request-Id": {
            "description": "The service's name for this request: the `request_id` of its log lines. Generated \
                            for every request; one that the client sends is ignored.",
            "schema": { "type": "string", "example": REQUEST_ID },
        },
    })
}

/// The schema of an error. Its `error_code` is a plain string, because a client must accept codes that are newer than it
/// is; the reference makes the known ones part of the document without closing the set.
pub(crate) fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "Why a request failed. Every error has this shape.",
        "required": ["error_code", "message", "request_id"],
        "properties": {
            "error_code": {
                "type": "string",
                "description": "A stable identifier to decide by. The known values are those of the schema `ErrorCode`; \
                                each operation lists its own. New versions may add values: treat an unknown one by its \
                                status.",
                "example": "internal_error",
                "x-known-values": { "$ref": "#/components/schemas/ErrorCode" },
            },
            "message": {
                "type": "string",
                "description": "What happened and where, for people. The wording may change at any time.",
                "example": "Internal error; quote the request_id when reporting it",
            },
            "request_id": {
                "type": "string",
                "description": "The same as the header `X-Request-Id`. Quote it when reporting a problem.",
                "example": REQUEST_ID,
            },
        },
    })
}

/// The schema of the known error codes: `declared` by operations, and those of requests that reach none.
pub(crate) fn error_code_schema(mut declared: BTreeSet<&str>) -> Value {
    declared.extend(UNROUTED.iter().map(|error| error.code));
    let unrouted = UNROUTED.iter().map(|error| format!("`{}` ({}): {}", error.code, error.status.as_u16(), error.when));
    let texts: Vec<String> = unrouted.collect();
    json!({
        "type": "string",
        "description": format!(
            "The values of `error_code` that this version of the contract knows. New versions may add values, so read \
             `error_code` as a string and compare. Each operation says when its own happen. A request that reaches no \
             operation is answered with one of these:\n\n{}",
            texts.join("\n\n")
        ),
        "enum": declared,
    })
}
