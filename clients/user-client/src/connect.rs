//! Making a client, and giving its calls a deadline and a trace.

use std::time::Instant;

use http::HeaderMap;

use crate::Client;
use crate::policy::{Circuit, Policy, Settings, Snapshot};

impl Client {
    /// A client for a program that depends on this service: every call goes through the [`policy`](crate::policy).
    ///
    /// `base_url` is scheme, host and port, such as `http://127.0.0.1:8001`.
    ///
    /// # Errors
    ///
    /// The HTTP client cannot be made, for instance because the system's certificates cannot be read.
    pub fn connect(base_url: &str, settings: Settings) -> reqwest::Result<Self> {
        Self::connect_observed(base_url, settings, |_| ())
    }

    /// Like [`connect`](Self::connect); `observer` is told when the circuit opens and closes. It must not block.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_observed(
        base_url: &str,
        settings: Settings,
        observer: impl Fn(Circuit) + Send + Sync + 'static,
    ) -> reqwest::Result<Self> {
        let http = settings.http_client()?;
        Ok(Self::new_with_client(base_url, http, Policy::connected(base_url, settings, observer)))
    }

    /// A client that only calls, for tests and tools: one attempt of at most 5 seconds, connecting included. It uses the
    /// proxy that the environment names, and follows redirects.
    ///
    /// # Panics
    ///
    /// The HTTP client cannot be made, for instance because the system's certificates cannot be read.
    pub fn plain(base_url: &str) -> Self {
        Self::new(base_url, Policy::none())
    }

    /// This client for calls that must end by `deadline`; what the policy has learnt and its limits stay shared. A call
    /// for which no time remains is refused without an attempt.
    pub fn until(&self, deadline: Instant) -> Self {
        Self { inner: self.inner.until(deadline), ..self.clone() }
    }

    /// This client for calls that belong to a trace of W3C Trace Context: each carries these headers,
    /// `traceparent` and what goes with it.
    pub fn traced(&self, headers: HeaderMap) -> Self {
        Self { inner: self.inner.traced(headers), ..self.clone() }
    }

    /// How much was called so far, and whether the circuit is open; `None` for a client without a policy.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.inner.snapshot()
    }
}
