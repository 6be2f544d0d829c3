//! Which operation of the document a request is for. What is not in the document has one name: labels are bounded,
//! whatever clients send.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::docs;
use crate::log::path_of;

use super::endpoint;

/// What every service serves beside its document.
const UNPUBLISHED: &[(&str, &str)] = &[("openapi", "/openapi.json"), (endpoint::WORD, "/metrics")];
/// The name of all paths and methods that are no operation.
const NONE: &str = "none";

/// The operations of a service.
#[derive(Debug)]
pub(crate) struct Operations {
    known: Vec<Operation>,
    none: Operation,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its name.
    pub(crate) id: Arc<str>,
    /// Its method.
    pub(crate) method: String,
    /// Its path, with the names of its parameters in braces.
    pub(crate) path: String,
    /// How it can end: a status, and the error codes that come with it.
    pub(crate) ends: Vec<(u16, BTreeSet<Arc<str>>)>,
}

impl Operations {
    /// Those of `document` and those that every service has. A document that cannot be read has none: that is for its
    /// own tests to see.
    pub(crate) fn new(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        let published = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| Operation {
                id: operation["operationId"].as_str().unwrap_or(NONE).into(),
                method: method.to_uppercase(),
                path: path.clone(),
                ends: ends(operation),
            })
        });
        let docs = docs::PATHS.iter().map(|path| ("docs", *path));
        let unpublished = UNPUBLISHED.iter().copied().chain(docs).map(|(id, path)| Operation {
            id: id.into(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            ends: Vec::new(),
        });
        Self {
            known: published.chain(unpublished).collect(),
            none: Operation { id: NONE.into(), method: String::new(), path: String::new(), ends: Vec::new() },
        }
    }

    /// The operation that `method` and `uri` name.
    pub(crate) fn find(&self, method: &str, uri: &str) -> &Operation {
        let path = path_of(uri);
        let found = self.known.iter().find(|known| known.method == method && fits(path, &known.path));
        found.unwrap_or(&self.none)
    }

    /// All but the one for what is none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.known.iter()
    }
}

impl Operation {
    /// The error code that `logged` begins with, if the document lists it for this operation and `status`.
    pub(crate) fn error_code(&self, status: u16, logged: &str) -> Arc<str> {
        let code = logged.split(':').next().unwrap_or_default();
        let codes = self.ends.iter().find(|(listed, _)| *listed == status).map(|(_, codes)| codes);
        codes.and_then(|codes| codes.get(code)).cloned().unwrap_or_default()
    }
}

fn ends(operation: &Value) -> Vec<(u16, BTreeSet<Arc<str>>)> {
    let responses = operation["responses"].as_object().into_iter().flatten();
    let ends = responses.filter_map(|(status, response)| {
        let examples = response["content"]["application/json"]["examples"].as_object();
        let codes = examples.into_iter().flat_map(|examples| examples.keys());
        Some((status.parse().ok()?, codes.map(|code| code.as_str().into()).collect()))
    });
    ends.collect()
}

/// Whether dropshot takes `path` for `template`: empty parts do not count, and a part in braces is any.
fn fits(path: &str, template: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let mut expected = template.split('/').filter(|part| !part.is_empty());
    loop {
        match (parts.next(), expected.next()) {
            (None, None) => return true,
            (Some(part), Some(expected)) if part == expected || expected.starts_with('{') => {}
            _ => return false,
        }
    }
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
    fn a_request_has_the_name_of_its_operation_or_none() {
        let operations = Operations::new(DOCUMENT);
        for (method, uri, id) in [
            ("GET", "/api/v1/users", "user_list"),
            ("GET", "/api/v1/users/?limit=5", "user_list"),
            ("POST", "/api/v1/users", "user_create"),
            ("GET", "/api/v1/users/7", "user_view"),
            ("GET", "http://example.com/api/v1/users/7?limit=5", "user_view"),
            ("GET", "/api/v1/users/canary@example.com", "user_view"),
            ("DELETE", "/api/v1/users", "none"),
            ("GET", "/api/v1/users/7/8", "none"),
            ("GET", "/api/v1", "none"),
            ("GET", "/", "none"),
            ("GET", "/docs/scalar.js", "docs"),
            ("GET", "/openapi.json", "openapi"),
            ("GET", "/metrics", "metrics"),
        ] {
            assert_eq!(&*operations.find(method, uri).id, id, "{method} {uri}");
        }
    }

    #[test]
    fn an_error_code_counts_where_the_document_lists_it() {
        let operations = Operations::new(DOCUMENT);
        let view = operations.find("GET", "/api/v1/users/7");
        assert_eq!(&*view.error_code(404, "user_not_found"), "user_not_found");
        assert_eq!(&*view.error_code(404, "user_not_found: and why"), "user_not_found");
        assert_eq!(&*view.error_code(500, "user_not_found"), "");
        assert_eq!(&*view.error_code(404, "what nobody promised"), "");
        assert_eq!(&*operations.find("GET", "/").error_code(404, "user_not_found"), "");
    }
}
