impl ClientHooks<()> for Client {
    async fn exec(
        &self,
        request: reqwest::Request,
        _info: &OperationInfo,
    ) -> reqwest::Result<reqwest::Response> {
        readable(self.client.execute(request).await?, LONGEST_ANSWER).await
    }
}
