//! Checks a mock's responses against the contract.

use contract::examples::Request;
use contract::paths;
use serde_json::{Value, json};

use crate::golden::Replay;

/// Returns an error with the reason unless `document` allows `operation` to answer with `status` and `body`: the status
/// must be documented, the body must match its schema, and an `error_code` must be documented for that status.
pub fn check(document: &str, operation: &str, status: u16, body: &[u8]) -> Result<(), String> {
    let document: Value = serde_json::from_str(document).map_err(|error| error.to_string())?;
    let response = find_response(&document, operation, status);
    let response = response.ok_or_else(|| format!("{operation} does not document {status}"))?;
    let Some(content) = response.pointer("/content/application~1json") else {
        return if body.is_empty() { Ok(()) } else { Err(format!("{status} of {operation} must not have a body")) };
    };
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let schema = json!({ "allOf": [content["schema"]], "components": document["components"] });
    jsonschema::validate(&schema, &body).map_err(|error| error.to_string())?;
    let (mut listed, code) =
        (paths::error_codes(&status.to_string(), response).peekable(), body["error_code"].as_str());
    if listed.peek().is_none() || code.is_some_and(|code| listed.any(|one| one == code)) {
        return Ok(());
    }
    Err(format!("{status} of {operation} does not document the code {code:?}"))
}

fn find_response<'a>(document: &'a Value, operation: &str, status: u16) -> Option<&'a Value> {
    let found = paths::operations(document).find(|candidate| candidate.id() == Some(operation))?;
    found.value["responses"].get(status.to_string())
}

fn required_headers(document: &str, operation: &str, status: u16) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let headers = find_response(&document, operation, status).and_then(|response| response["headers"].as_object());
    let required = headers.into_iter().flatten().filter(|(_, header)| header["required"] == true);
    required.map(|(name, _)| name.clone()).collect()
}

/// Sends `request` to the mock at `base_url`, and [`check`]s the response and that it has the required headers.
pub async fn check_mock(document: &str, base_url: &str, operation: &str, request: &Request) -> Result<(), String> {
    let response = async { Replay::new(document, base_url.to_owned())?.send(operation, request).await };
    let response = response.await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    for header in required_headers(document, operation, status) {
        if !response.headers().contains_key(&header) {
            return Err(format!("{status} of {operation} requires the header {header}"));
        }
    }
    let body = response.bytes().await.map_err(|error| error.to_string())?;
    check(document, operation, status, &body)
}
