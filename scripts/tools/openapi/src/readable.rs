/// The most bytes of an answer that are read. A full page of the largest items is well below.
pub const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// The answer with at most `longest` bytes of its body, all of them received, such that an error answer arrives with its
/// status: as [`Error::ErrorResponse`] if the document knows the status, as [`Error::UnexpectedResponse`] if not.
///
/// An error answer whose body is not the contract's (a proxy's HTML page, or one that breaks off) would otherwise
/// become an `InvalidResponsePayload`, which has lost the status; it gets a body without an `error_code` instead.
async fn readable(
    mut response: reqwest::Response,
    longest: usize,
) -> reqwest::Result<reqwest::Response> {
    use reqwest::ResponseBuilderExt as _;

    let status = response.status();
    let mut body = match read(&mut response, longest).await {
        Err(error) if status.is_success() => return Err(error),
        body => body.unwrap_or_default(),
    };
    let headers = std::mem::take(response.headers_mut());
    let failed = status.is_client_error() || status.is_server_error();
    if failed && serde_json::from_slice::<types::Error>(&body).is_err() {
        let stand_in = serde_json::json!({
            "message": format!("{status}, with a body that is not the contract's"),
            "request_id": headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default(),
        });
        body = stand_in.to_string().into_bytes();
    }
    // Without an address reqwest would parse one that it makes up.
    let addressed = http::Response::builder().url(response.url().clone()).body(()).unwrap_or_default();
    let mut rebuilt = addressed.map(|()| body);
    *rebuilt.status_mut() = status;
    *rebuilt.headers_mut() = headers;
    Ok(rebuilt.into())
}

/// What is over the limit is left unread; JSON that was cut off there does not parse.
async fn read(
    response: &mut reqwest::Response,
    longest: usize,
) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = longest - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            break;
        }
    }
    Ok(body)
}
