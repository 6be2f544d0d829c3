//! A service's contract, and what its document contains.

use std::path::{Path, PathBuf};

use contract::paths::operations;
use serde_json::Value;

/// A service's contract.
#[derive(Debug)]
pub struct Contract {
    /// The name of the service, and of its directory in `services/`.
    pub service: &'static str,
    /// The document as the API trait declares it.
    pub document: String,
}

impl Contract {
    /// The path of the checked-in document, relative to the workspace.
    pub fn document_path(&self) -> PathBuf {
        Path::new("openapi").join(format!("{}.json", self.service))
    }

    /// The name of the Rust client crate, and of its directory in `clients/`: `user-client` for `user-service`.
    pub fn client(&self) -> String {
        format!("{}-client", self.service.strip_suffix("-service").unwrap_or(self.service))
    }
}

/// The schema, or the schema that it refers to.
pub(crate) fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(schema)
}

/// Every response of the document: the operation's id, the status, the response.
pub(crate) fn responses(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    operations(document).flat_map(|operation| {
        let id = operation.id().unwrap_or_default();
        let responses = operation.value["responses"].as_object().into_iter().flatten();
        responses.map(move |(status, response)| (id, status.as_str(), response))
    })
}
