//! Reads answers completely, up to a limit.

use reqwest::{Response, ResponseBuilderExt as _};
use serde::de::DeserializeOwned;

use crate::Outcome;

/// The answer with at most `max_bytes` of its body, all received.
///
/// An error answer whose body is not an `E` (a proxy's HTML page, or a truncated one) would become an
/// `InvalidResponsePayload`, which has lost the status. It gets a body without an `error_code` instead: the client then
/// returns `ErrorResponse` for a documented status and `UnexpectedResponse` for any other.
pub(crate) async fn buffer<E: DeserializeOwned>(mut response: Response, max_bytes: usize) -> Outcome {
    let status = response.status();
    let mut body = match read(&mut response, max_bytes).await {
        Err(error) if status.is_success() => return Err(error),
        body => body.unwrap_or_default(),
    };
    let headers = std::mem::take(response.headers_mut());
    let failed = status.is_client_error() || status.is_server_error();
    if failed && serde_json::from_slice::<E>(&body).is_err() {
        let stand_in = serde_json::json!({
            "message": format!("{status}, with a body that is not the contract's"),
            "request_id": headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default(),
        });
        body = stand_in.to_string().into_bytes();
    }
    // Without a URL reqwest would parse a placeholder.
    let addressed = http::Response::builder().url(response.url().clone()).body(()).unwrap_or_default();
    let mut buffered = addressed.map(|()| body);
    *buffered.status_mut() = status;
    *buffered.headers_mut() = headers;
    Ok(buffered.into())
}

/// Reads up to `max_bytes` and leaves the rest; truncated JSON does not parse.
async fn read(response: &mut Response, max_bytes: usize) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = max_bytes - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            break;
        }
    }
    Ok(body)
}
