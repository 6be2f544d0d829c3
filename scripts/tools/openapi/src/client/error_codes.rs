//! The error codes of a document and their constants.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::document::responses;
use crate::text::NOTICE;

/// One `error_code` of a document.
pub(crate) struct ErrorCode<'a> {
    pub(crate) status: &'a str,
    /// When it happens.
    pub(crate) when: &'a str,
    /// The first operation that documents it.
    pub(crate) operation: &'a str,
}

/// The codes of the document.
pub(crate) fn error_codes(document: &Value) -> BTreeMap<&str, ErrorCode<'_>> {
    let mut codes: BTreeMap<&str, ErrorCode<'_>> = BTreeMap::new();
    for (operation, status, response) in responses(document) {
        let Some(examples) = response.pointer("/content/application~1json/examples").and_then(Value::as_object) else {
            continue;
        };
        // The description has a paragraph for each code: "`code`: when it happens."
        for paragraph in response["description"].as_str().unwrap_or_default().split("\n\n") {
            let Some((code, when)) = paragraph.trim_start_matches('`').split_once("`: ") else { continue };
            if !examples.contains_key(code) {
                continue;
            }
            let known = codes.entry(code).or_insert(ErrorCode { status, when, operation });
            // The text may say more where it is about a write; that one serves both.
            if when.len() > known.when.len() {
                (known.status, known.when) = (status, when);
            }
        }
    }
    codes
}

/// The code, status and meaning of each error of a request that reaches no operation. The description of the schema
/// `ErrorCode` has a paragraph for each: "`code` (status): when it happens."
fn unrouted(document: &Value) -> impl Iterator<Item = (&str, &str, &str)> {
    let description = document["components"]["schemas"]["ErrorCode"]["description"].as_str().unwrap_or_default();
    description.split("\n\n").filter_map(|paragraph| {
        let (code, rest) = paragraph.strip_prefix('`')?.split_once("` (")?;
        let (status, when) = rest.split_once("): ")?;
        Some((code, status, when))
    })
}

/// A constant for each code of the document.
pub(crate) fn constants(document: &Value) -> String {
    let mut out = format!("{NOTICE}//! The values of `error_code`. Decide by these, never by the message.\n");
    let routed = error_codes(document).into_iter().map(|(code, ErrorCode { status, when, .. })| (code, status, when));
    let codes: BTreeSet<_> = routed.chain(unrouted(document)).collect();
    for (code, status, when) in codes {
        out += &format!("\n/// Status {status}. {when}\npub const {}: &str = \"{code}\";\n", code.to_uppercase());
    }
    out
}
