//! Whether a mocked answer is one that the contract allows.

use contract::examples::Request;
use serde_json::{Value, json};

use crate::golden::Replay;

/// Fails, saying why, unless `document` lets `operation` answer with `status` and `body`: the status must be listed,
/// the body must be of its schema, and an `error_code` must be one listed with that status.
pub fn judge(document: &str, operation: &str, status: u16, body: &[u8]) -> Result<(), String> {
    let document: Value = serde_json::from_str(document).map_err(|error| error.to_string())?;
    let paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let mut operations = paths.filter_map(Value::as_object).flat_map(|path| path.values());
    let promised = operations.find(|candidate| candidate["operationId"] == operation);
    let promised = promised.ok_or_else(|| format!("there is no operation {operation}"))?;
    let response = promised["responses"].get(status.to_string());
    let response = response.ok_or_else(|| format!("{operation} never answers {status}"))?;
    let Some(content) = response.pointer("/content/application~1json") else {
        return if body.is_empty() { Ok(()) } else { Err(format!("{status} of {operation} has no body")) };
    };
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let schema = json!({ "allOf": [content["schema"]], "components": document["components"] });
    jsonschema::validate(&schema, &body).map_err(|error| error.to_string())?;
    match (content["examples"].as_object(), body["error_code"].as_str()) {
        (None, _) => Ok(()),
        (Some(listed), Some(code)) if listed.contains_key(code) => Ok(()),
        (Some(_), code) => Err(format!("{status} of {operation} never has the code {code:?}")),
    }
}

/// [`judge`]s what the mock at `base_url` answers to `operation`.
pub async fn judge_mock(document: &str, base_url: &str, operation: &str, request: &Request) -> Result<(), String> {
    let asked = async { Replay::new(document, base_url.to_owned())?.send(operation, request).await };
    let answer = asked.await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(|error| error.to_string())?;
    judge(document, operation, status, &body)
}
