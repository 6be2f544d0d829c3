// Generated from services/platform.toml by `cargo topology generate`. Do not edit.

use contract::document::DocumentError;

/// Each service with the document that its API trait declares.
pub(crate) const DOCUMENTS: &[(&str, fn() -> Result<String, DocumentError>)] =
    &[("user-service", user_service_api::document), ("order-service", order_service_api::document)];
