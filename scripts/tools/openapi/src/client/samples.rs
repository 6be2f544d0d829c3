//! The bodies of the document's examples, as the client's types.

use std::collections::BTreeMap;

use contract::paths::error_codes;
use serde_json::Value;

use crate::document::responses;
use crate::text::NOTICE;

/// The module `samples` of a client.
pub(crate) fn samples(document: &Value) -> String {
    let mut answers = BTreeMap::new();
    let mut errors = BTreeMap::new();
    for (operation, status, response) in responses(document) {
        let Some(content) = response.pointer("/content/application~1json") else { continue };
        let codes: Vec<&str> = error_codes(status, response).collect();
        // Of a list the first: without a next page, or a client of the mock would page for ever.
        let first = content["examples"].as_object().and_then(|all| Some(&all.values().next()?["value"]));
        let example = content.get("example").or(first).filter(|_| codes.is_empty());
        if let (Some(example), Some(reference)) = (example, content["schema"]["$ref"].as_str()) {
            answers.insert(operation, (reference.rsplit('/').next().unwrap_or_default(), example));
        }
        errors.extend(codes.into_iter().map(|code| (code, &content["examples"][code]["value"])));
    }
    let mut out = format!(
        "{NOTICE}//! The answers of the document's examples, for mocks and comparisons.\n\nuse crate::types;\n"
    );
    for (operation, (kind, body)) in answers {
        out += &function(operation, &format!("The successful answer of `{operation}`."), kind, body);
    }
    out += "\n/// The errors by `error_code`. Where several operations share a code, the message is that of one.\n\
            pub mod errors {\nuse crate::types;\n";
    for (code, body) in errors {
        out += &function(code, &format!("An error with the code `{code}`."), "Error", body);
    }
    out + "}\n"
}

fn function(name: &str, text: &str, kind: &str, body: &Value) -> String {
    format!(
        "\n/// {text}\npub fn {name}() -> types::{kind} {{\n    serde_json::from_str(r##\"{body:#}\"##).expect(\"checked \
         when it was generated\")\n}}\n"
    )
}
