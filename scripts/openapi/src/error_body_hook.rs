/// Lets every error answer arrive as [`Error::ErrorResponse`] or [`Error::UnexpectedResponse`], with its status.
///
/// A documented status whose body is not the contract's (a proxy's HTML page, say) would otherwise become an
/// `InvalidResponsePayload`, which has lost the status. Such a body is replaced by one without an `error_code`.
impl ClientHooks<()> for Client {
    async fn exec(
        &self,
        request: reqwest::Request,
        _info: &OperationInfo,
    ) -> reqwest::Result<reqwest::Response> {
        let response = self.client.execute(request).await?;
        if !response.status().is_client_error() && !response.status().is_server_error() {
            return Ok(response);
        }
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = response.bytes().await?;
        if serde_json::from_slice::<types::Error>(&body).is_err() {
            let stand_in = serde_json::json!({
                "message": format!("{status}, with a body that is not the contract's"),
                "request_id": headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default(),
            });
            body = stand_in.to_string().into();
        }
        let mut rebuilt = http::Response::new(body);
        *rebuilt.status_mut() = status;
        *rebuilt.headers_mut() = headers;
        Ok(rebuilt.into())
    }
}
