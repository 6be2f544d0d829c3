/// Every call goes through the client's policy. A call that the policy refuses is an [`Error::Custom`].
impl ClientHooks<client_policy::Policy> for Client {
    async fn exec(
        &self,
        request: reqwest::Request,
        _info: &OperationInfo,
    ) -> reqwest::Result<reqwest::Response> {
        self.inner.exec::<types::Error>(&self.client, request).await
    }

    async fn post<E>(
        &self,
        result: &reqwest::Result<reqwest::Response>,
        _info: &OperationInfo,
    ) -> Result<(), Error<E>> {
        match client_policy::Refusal::of_outcome(result) {
            Some(refusal) => Err(Error::Custom(refusal.to_string())),
            None => Ok(()),
        }
    }
}

impl Client {
    /// A client for a program that depends on this service: every call goes through the [`policy`](crate::policy).
    ///
    /// `base_url` is scheme, host and port, such as `http://127.0.0.1:8000`.
    ///
    /// # Errors
    ///
    /// The HTTP client cannot be built, for instance because the system's certificates cannot be read.
    pub fn connect(base_url: &str, settings: client_policy::Settings) -> reqwest::Result<Self> {
        Self::connect_observed(base_url, settings, |_| ())
    }

    /// Like [`connect`](Self::connect); calls `observer` when the circuit opens and closes. It must not block.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_observed(
        base_url: &str,
        settings: client_policy::Settings,
        observer: impl Fn(client_policy::Circuit) + Send + Sync + 'static,
    ) -> reqwest::Result<Self> {
        let (http, policy) = client_policy::Policy::connect(settings, observer)?;
        Ok(Self::new_with_client(base_url.trim_end_matches('/'), http, policy))
    }

    /// A client without a policy, for tests and tools: one attempt of at most 5 seconds, including connecting. It uses the
    /// proxy of the environment and follows redirects.
    ///
    /// # Panics
    ///
    /// The HTTP client cannot be built, for instance because the system's certificates cannot be read.
    pub fn plain(base_url: &str) -> Self {
        Self::new(base_url.trim_end_matches('/'), client_policy::Policy::none())
    }

    /// This client for calls that must end by `deadline`; it shares the policy's state. A call without remaining time is
    /// refused without an attempt.
    pub fn until(&self, deadline: std::time::Instant) -> Self {
        Self { inner: self.inner.until(deadline), ..self.clone() }
    }

    /// This client for calls that belong to a trace: each carries these headers, `traceparent` and its companions (W3C
    /// Trace Context).
    pub fn traced(&self, headers: reqwest::header::HeaderMap) -> Self {
        Self { inner: self.inner.traced(headers), ..self.clone() }
    }

    /// This client for calls that are safe to repeat, although their method does not say so: they are retried as those
    /// with a safe method.
    pub fn repeatable(&self) -> Self {
        Self { inner: self.inner.repeatable(), ..self.clone() }
    }

    /// The counters of the policy and the state of the circuit; `None` for a client without a policy.
    pub fn snapshot(&self) -> Option<client_policy::Snapshot> {
        self.inner.snapshot()
    }
}

impl client_policy::PolicyClient for Client {
    fn connect(
        base_url: &str,
        settings: client_policy::Settings,
        observer: impl Fn(client_policy::Circuit) + Send + Sync + 'static,
    ) -> reqwest::Result<Self> {
        Self::connect_observed(base_url, settings, observer)
    }

    fn until(&self, deadline: std::time::Instant) -> Self {
        Client::until(self, deadline)
    }

    fn traced(&self, headers: reqwest::header::HeaderMap) -> Self {
        Client::traced(self, headers)
    }

    fn repeatable(&self) -> Self {
        Client::repeatable(self)
    }

    fn snapshot(&self) -> Option<client_policy::Snapshot> {
        Client::snapshot(self)
    }
}

impl client_policy::ErrorBody for types::Error {
    fn error_code(&self) -> Option<&str> {
        self.error_code.as_deref()
    }

    fn message(&self) -> &str {
        &self.message
    }
}
