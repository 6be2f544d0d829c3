//! The operation that a request belongs to. All requests outside the document share one name, so that labels are
//! bounded whatever clients send.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::paths;
use serde_json::Value;

use crate::request_path::path_of;
use crate::unpublished::{ENDPOINTS, METHODS};

/// The name of every path and method that is not an operation.
const NONE: &str = "none";

/// The operations of a service.
pub(super) struct Operations {
    known: Vec<Operation>,
    none: Operation,
}

/// An operation.
pub(super) struct Operation {
    /// Its name.
    pub(super) id: Arc<str>,
    /// Its method.
    pub(super) method: String,
    /// Its path template.
    pub(super) path: String,
    /// Its possible results: each status with its error codes.
    pub(super) results: Vec<(u16, BTreeSet<Arc<str>>)>,
}

impl Operations {
    /// The operations of `document` and the [`ENDPOINTS`] of every service. A document that is not JSON has no
    /// operations; its own tests fail.
    pub(super) fn new(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let published = paths::operations(&document).map(|operation| Operation {
            id: operation.id().unwrap_or(NONE).into(),
            method: operation.method.to_uppercase(),
            path: operation.path.to_owned(),
            results: results(operation.value),
        });
        let unpublished = ENDPOINTS.iter().flat_map(|endpoint| {
            METHODS.map(|method| Operation {
                id: endpoint.operation.into(),
                method: method.to_owned(),
                path: endpoint.path.to_owned(),
                results: Vec::new(),
            })
        });
        Self {
            known: published.chain(unpublished).collect(),
            none: Operation { id: NONE.into(), method: String::new(), path: String::new(), results: Vec::new() },
        }
    }

    /// The operation of a request with `method` and `uri`.
    pub(super) fn find(&self, method: &str, uri: &str) -> &Operation {
        let path = path_of(uri);
        let found = self.known.iter().find(|known| known.method == method && paths::matches(path, &known.path));
        found.unwrap_or(&self.none)
    }

    /// All operations, without the one named `none`.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.known.iter()
    }
}

impl Operation {
    /// The error code at the start of the logged `error`, or an empty one if the document does not list it for this
    /// operation and `status`.
    pub(super) fn error_code(&self, status: u16, error: &str) -> Arc<str> {
        let code = error.split(':').next().unwrap_or_default();
        let codes = self.results.iter().find(|(listed, _)| *listed == status).map(|(_, codes)| codes);
        codes.and_then(|codes| codes.get(code)).cloned().unwrap_or_default()
    }
}

fn results(operation: &Value) -> Vec<(u16, BTreeSet<Arc<str>>)> {
    let responses = operation["responses"].as_object().into_iter().flatten();
    let results = responses.filter_map(|(status, response)| {
        Some((status.parse().ok()?, paths::error_codes(status, response).map(Into::into).collect()))
    });
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"paths": {
        "/api/v1/users": {"get": {"operationId": "user_list"}, "post": {"operationId": "user_create"}},
        "/api/v1/users/{user_id}": {"get": {"operationId": "user_view", "responses": {
            "200": {"content": {"application/json": {"example": {}}}},
            "404": {"content": {"application/json": {"examples": {"user_not_found": {}}}}}
        }}}
    }}"#;

    #[test]
    fn a_request_is_named_by_its_operation_or_none() {
        let operations = Operations::new(DOCUMENT);
        for (method, uri, id) in [
            ("GET", "/api/v1/users", "user_list"),
            ("GET", "/api/v1/users?limit=5", "user_list"),
            ("GET", "/api/v1/users/?limit=5", "none"),
            ("POST", "/api/v1/users", "user_create"),
            ("GET", "/api/v1/users/7", "user_view"),
            ("GET", "//api/v1/users/7", "none"),
            ("get", "/api/v1/users/7", "none"),
            ("GET", "http://example.com/api/v1/users/7?limit=5", "user_view"),
            ("GET", "/api/v1/users/canary@example.com", "user_view"),
            ("DELETE", "/api/v1/users", "none"),
            ("GET", "/api/v1/users/7/8", "none"),
            ("GET", "/api/v1", "none"),
            ("GET", "/", "none"),
            ("GET", "/docs/scalar.js", "docs"),
            ("GET", "/openapi.json", "openapi"),
            ("GET", "/metrics", "metrics"),
            ("HEAD", "/metrics", "metrics"),
            ("HEAD", "/health", "health"),
        ] {
            assert_eq!(&*operations.find(method, uri).id, id, "{method} {uri}");
        }
    }

    #[test]
    fn only_error_codes_of_the_document_are_labels() {
        let operations = Operations::new(DOCUMENT);
        let view = operations.find("GET", "/api/v1/users/7");
        assert_eq!(&*view.error_code(404, "user_not_found"), "user_not_found");
        assert_eq!(&*view.error_code(404, "user_not_found: the cause"), "user_not_found");
        assert_eq!(&*view.error_code(500, "user_not_found"), "");
        assert_eq!(&*view.error_code(404, "an unlisted code"), "");
        assert_eq!(&*operations.find("GET", "/").error_code(404, "user_not_found"), "");
    }
}
