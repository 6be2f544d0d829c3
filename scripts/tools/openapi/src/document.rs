//! A service's contract, and what its document contains.

use std::path::{Path, PathBuf};

use anyhow::Result;
use contract::paths::{operations, resolved};
use serde_json::{Value, json};

/// The directory of the checked-in documents of events, relative to the workspace.
pub(crate) const EVENT_DOCUMENTS: &str = "openapi/events";

/// A service's contract.
#[derive(Debug)]
pub struct Contract {
    /// The name of the service, and of its directory in `services/`.
    pub service: &'static str,
    /// The document as the API trait declares it.
    pub document: String,
    /// The document of its events; `None` if it publishes none.
    pub events: Option<String>,
    /// The types of the events of others that it handles.
    pub consumes: Vec<String>,
}

impl Contract {
    /// The path of the checked-in document, relative to the workspace.
    pub fn document_path(&self) -> PathBuf {
        Path::new("openapi").join(format!("{}.json", self.service))
    }

    /// The path of the checked-in document of its events, relative to the workspace.
    pub fn event_document_path(&self) -> PathBuf {
        Path::new(EVENT_DOCUMENTS).join(format!("{}.json", self.service))
    }

    /// The name of the Rust crate for consumers of its events, and of its directory in `clients/`: `user-events` for
    /// `user-service`.
    pub fn events_crate(&self) -> String {
        format!("{}-events", self.service.strip_suffix("-service").unwrap_or(self.service))
    }

    /// The name of the Rust client crate, and of its directory in `clients/`: `user-client` for `user-service`.
    pub fn client(&self) -> String {
        format!("{}-client", self.service.strip_suffix("-service").unwrap_or(self.service))
    }

    /// The URL of the service as the README starts it.
    pub(crate) fn local_url(document: &Value) -> &str {
        // The first server is relative.
        document["servers"][1]["url"].as_str().unwrap_or_default()
    }

    /// The document as progenitor reads it best.
    pub(crate) fn for_progenitor(&self) -> Result<Value> {
        let mut document: Value = serde_json::from_str(&self.document)?;
        describe_references(&mut document);
        // Proxies and older services answer with errors that have no code: a client must read their status and message.
        let required = document.pointer_mut("/components/schemas/Error/required");
        if let Some(required) = required.and_then(Value::as_array_mut) {
            required.retain(|field| field != "error_code");
        }
        // The module `error_codes` has the known codes; an enum of them would invite to refuse newer ones.
        if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
            schemas.shift_remove("ErrorCode");
        }
        Ok(document)
    }
}

/// Gives each property that refers to a type its description again, from the object's or from the type's: it becomes the
/// documentation of a field, and the help of an option.
fn describe_references(document: &mut Value) {
    let original = document.clone();
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for schema in schemas.into_iter().flat_map(|schemas| schemas.values_mut()) {
        let texts = schema["description"].as_str().unwrap_or_default().to_owned();
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
        for (name, property) in properties.filter(|(_, property)| property.get("$ref").is_some()) {
            let own = texts.lines().find_map(|line| line.strip_prefix(&format!("- `{name}`: ")));
            let text = own.or_else(|| resolved(&original, property)["description"].as_str());
            *property = json!({ "description": text, "allOf": [property] });
        }
    }
}

/// Every response of the document: the operation's id, the status, the response.
pub(crate) fn responses(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    operations(document).flat_map(|operation| {
        let id = operation.id().unwrap_or_default();
        let responses = operation.value["responses"].as_object().into_iter().flatten();
        responses.map(move |(status, response)| (id, status.as_str(), response))
    })
}
