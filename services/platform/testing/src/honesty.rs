//! Whether a mocked answer is one that the contract allows.

use contract::examples::Request;
use serde_json::{Value, json};

use crate::golden::Replay;

/// Fails, saying why, unless `document` lets `operation` answer with `status` and `body`: the status must be listed,
/// the body must be of its schema, and an `error_code` must be one listed with that status.
pub fn judge(document: &str, operation: &str, status: u16, body: &[u8]) -> Result<(), String> {
    let document: Value = serde_json::from_str(document).map_err(|error| error.to_string())?;
    let response = response(&document, operation, status);
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

fn response<'a>(document: &'a Value, operation: &str, status: u16) -> Option<&'a Value> {
    let paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let mut operations = paths.filter_map(Value::as_object).flat_map(|path| path.values());
    operations.find(|candidate| candidate["operationId"] == operation)?["responses"].get(status.to_string())
}

fn required_headers(document: &str, operation: &str, status: u16) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let headers = response(&document, operation, status).and_then(|response| response["headers"].as_object());
    let required = headers.into_iter().flatten().filter(|(_, header)| header["required"] == true);
    required.map(|(name, _)| name.clone()).collect()
}

/// [`judge`]s what the mock at `base_url` answers to `operation`, its required headers too.
pub async fn judge_mock(document: &str, base_url: &str, operation: &str, request: &Request) -> Result<(), String> {
    let asked = async { Replay::new(document, base_url.to_owned())?.send(operation, request).await };
    let answer = asked.await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    for header in required_headers(document, operation, status) {
        if !answer.headers().contains_key(&header) {
            return Err(format!("{status} of {operation} always has the header {header}"));
        }
    }
    let body = answer.bytes().await.map_err(|error| error.to_string())?;
    judge(document, operation, status, &body)
}
