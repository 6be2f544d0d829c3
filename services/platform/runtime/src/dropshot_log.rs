//! The messages and field names of dropshot's own log records.

/// A request was answered.
pub(crate) const REQUEST_COMPLETED: &str = "request completed";
/// A request was not answered, because its client disconnected.
pub(crate) const REQUEST_CANCELLED: &str = "request handling cancelled (client disconnected)";
/// Messages about events that the runtime logs itself, and about the version policy, which decides more than versions:
/// a refusal is in the line of its request.
pub(crate) const REDUNDANT: [&str; 4] =
    ["accepted connection", "listening", "determined request API version", "failed to determine request API version"];

pub(crate) const REQUEST_ID: &str = "req_id";
pub(crate) const METHOD: &str = "method";
pub(crate) const URI: &str = "uri";
pub(crate) const STATUS: &str = "response_code";
/// The error as the client saw it: it can repeat input.
pub(crate) const EXTERNAL_ERROR: &str = "error_message_external";
/// The error for the log: it begins with the error code.
pub(crate) const INTERNAL_ERROR: &str = "error_message_internal";
pub(crate) const LATENCY_US: &str = "latency_us";
pub(crate) const LOCAL_ADDRESS: &str = "local_addr";
/// The address of the client, which is personal data.
pub(crate) const REMOTE_ADDRESS: &str = "remote_addr";
/// The request header `traceparent`.
pub(crate) const TRACEPARENT: &str = "hdr_traceparent";
