/// Every call goes through the client's policy; what the policy refuses is an [`Error::Custom`].
impl ClientHooks<crate::policy::Policy> for Client {
    async fn exec(
        &self,
        request: reqwest::Request,
        _info: &OperationInfo,
    ) -> reqwest::Result<reqwest::Response> {
        let longest = self.inner.longest_answer().unwrap_or(LONGEST_ANSWER);
        let attempt = |request| self.inner.send(&self.client, request, |response| readable(response, longest));
        self.inner.call(request, attempt).await
    }

    async fn post<E>(
        &self,
        result: &reqwest::Result<reqwest::Response>,
        _info: &OperationInfo,
    ) -> Result<(), Error<E>> {
        match crate::policy::Refusal::in_place_of(result) {
            Some(refusal) => Err(Error::Custom(refusal.to_string())),
            None => Ok(()),
        }
    }
}
