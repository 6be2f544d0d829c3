//! The port to another service: calls and lookups by key, with deadlines, traces, metrics and five outcomes.
//!
//! Lookups are coalesced: while a request to the other service is in flight, lookups that arrive meanwhile collect, and the
//! next request asks for all of them. The client's policy adds time limits, retries, a circuit breaker and a bulkhead.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use client_policy::{Circuit, Failure, PolicyClient, Settings};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use slog::{Logger, info, warn};

use crate::coalesce::{CoalesceError, Coalescer};
use crate::config::DependencyConfig;
use crate::guard::RequestScope;
use crate::telemetry::{DependencyCalls, Telemetry};
use crate::trace::TraceContext;

/// How long a request in flight blocks the next one; after that they run in parallel, because it may hang.
const MAX_BLOCKING: Duration = Duration::from_millis(25);

/// Another service, ready to be called.
pub struct Dependency<C> {
    client: C,
    timeout: Duration,
    calls: DependencyCalls,
}

/// Why a lookup has no value. The texts, for the log, repeat nothing that the other service wrote.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LookupError {
    /// The service says that there is nothing under the key.
    #[error("not found")]
    NotFound,
    /// The service cannot be reached or cannot answer now.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The service did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The service answered what its contract does not allow.
    #[error("invalid response: {0}")]
    InvalidResponse(String),
    /// A bug of the caller.
    #[error("{0}")]
    Fault(String),
}

/// The values known for some keys. A missing key has to be looked up alone.
pub type Found<K, V> = HashMap<K, Result<V, LookupError>>;

/// A lookup of values by their keys in another service.
pub trait Lookup: Send + Sync + 'static {
    /// The generated client of the service.
    type Client: PolicyClient;
    /// What is looked up.
    type Key: Copy + Eq + Hash + Ord + Send + Sync + 'static;
    /// What is found.
    type Value: Clone + Send + Sync + 'static;
    /// The name of the lookup in traces.
    const OPERATION: &'static str;
    /// The maximum number of keys that one request can ask for.
    const MAX_KEYS: usize;

    /// Looks up one key by one request.
    fn one(client: &Self::Client, key: Self::Key) -> impl Future<Output = Result<Self::Value, LookupError>> + Send;

    /// Looks up several keys by one request.
    fn many(client: &Self::Client, keys: Vec<Self::Key>) -> impl Future<Output = Found<Self::Key, Self::Value>> + Send;
}

/// Coalesced lookups.
pub struct Lookups<L: Lookup> {
    client: L::Client,
    queue: Coalescer<Pending<L::Key>, Reply<L>>,
    timeout: Duration,
    calls: DependencyCalls,
}

struct Pending<K> {
    key: K,
    deadline: Instant,
    trace: TraceContext,
}

/// The result that all lookups of one request share.
type Reply<L> = Shared<BoxFuture<'static, Arc<Found<<L as Lookup>::Key, <L as Lookup>::Value>>>>;

impl LookupError {
    /// The error that `failure` means, where the contract says with 404 and `not_found` that there is nothing.
    pub fn from_failure(failure: Failure, not_found: &str) -> Self {
        match failure {
            Failure::Answered { status, code, .. } if status == http::StatusCode::NOT_FOUND && code == not_found => {
                Self::NotFound
            }
            Failure::Answered { status, .. } => Self::InvalidResponse(format!("status {}", status.as_u16())),
            Failure::Unavailable(cause) => Self::Unavailable(cause),
            Failure::Timeout => Self::Timeout,
            Failure::InvalidResponse(cause) => Self::InvalidResponse(cause),
            Failure::Fault(cause) => Self::Fault(cause),
        }
    }

    /// The label in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout => "timeout",
            Self::InvalidResponse(_) => "invalid_response",
            Self::Fault(_) => "fault",
        }
    }
}

impl<C: PolicyClient> Dependency<C> {
    /// Makes the client of the service `name`, with metrics and logged circuit changes. Services use
    /// [`Parts::dependency`](crate::Parts::dependency).
    ///
    /// # Errors
    ///
    /// No address is configured, or the client cannot be made.
    pub fn connect(
        name: &'static str,
        config: &DependencyConfig,
        max_response_bytes: usize,
        telemetry: &mut Telemetry,
        log: &Logger,
    ) -> Result<Self> {
        let url = config.url.as_deref().with_context(|| format!("the address of {name} is not configured"))?;
        let settings = Settings { max_response_bytes, ..config.settings.clone() };
        let log = log.clone();
        let observer = move |circuit| match circuit {
            Circuit::Open => warn!(log, "circuit opened"; "dependency" => name),
            Circuit::Closed => info!(log, "circuit closed"; "dependency" => name),
        };
        let client =
            C::connect(url, settings, observer).with_context(|| format!("cannot make the HTTP client for {name}"))?;
        let observed = client.clone();
        let calls = telemetry.dependency(name, move || observed.snapshot());
        Ok(Self { client, timeout: config.settings.timeout, calls })
    }

    /// Makes one call of `operation` for `request`: `make` sends it with the client that it is given. Takes no longer than
    /// the configured timeout, nor than until the request's deadline.
    pub async fn call<T, F>(
        &self,
        operation: &'static str,
        request: &RequestScope,
        make: impl FnOnce(C) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let call = self.calls.begin(operation, &request.trace);
        let deadline = request.deadline.min(Instant::now() + self.timeout);
        // The client has the timeout itself: it must know whether a call ended by that or by the request's deadline.
        let client = self.client.until(request.deadline).traced(call.trace.headers());
        let outcome = tokio::time::timeout_at(deadline.into(), make(client)).await.unwrap_or(Err(Failure::Timeout));
        match &outcome {
            Ok(_) => call.succeed("success"),
            Err(Failure::Answered { .. }) => call.succeed("refused"),
            Err(Failure::Unavailable(_)) => call.fail("unavailable"),
            Err(Failure::Timeout) => call.fail("timeout"),
            Err(Failure::InvalidResponse(_)) => call.fail("invalid_response"),
            Err(Failure::Fault(_)) => call.fail("fault"),
        }
        outcome
    }

    /// Coalesces the lookups `L`.
    pub fn lookups<L: Lookup<Client = C>>(self) -> Lookups<L> {
        let Self { client, timeout, calls } = self;
        let calling = client.clone();
        let queue = Coalescer::new(L::MAX_KEYS, move |lookups| run_batch::<L>(calling.clone(), lookups));
        Lookups { client, queue, timeout, calls }
    }
}

impl<L: Lookup> Lookups<L> {
    /// The value under `key`. Takes no longer than the configured timeout, nor than until the request's deadline.
    pub async fn get(&self, key: L::Key, request: &RequestScope) -> Result<L::Value, LookupError> {
        let call = self.calls.begin(L::OPERATION, &request.trace);
        let outcome = self.run(key, request.deadline, &call.trace).await;
        match &outcome {
            Ok(_) => call.succeed("success"),
            Err(error @ LookupError::NotFound) => call.succeed(error.label()),
            Err(error) => call.fail(error.label()),
        }
        outcome
    }

    async fn run(&self, key: L::Key, caller: Instant, trace: &TraceContext) -> Result<L::Value, LookupError> {
        let deadline = caller.min(Instant::now() + self.timeout);
        // The client has the timeout itself: it must know whether a call ended by that or by the caller's deadline.
        let pending = Pending { key, deadline: caller, trace: trace.clone() };
        let found = async { Ok::<_, CoalesceError>(self.queue.run(pending).await?.await) };
        match tokio::time::timeout_at(deadline.into(), found).await {
            Ok(Ok(found)) => match found.get(&key) {
                Some(outcome) => outcome.clone(),
                None => {
                    let client = self.client.until(caller).traced(trace.headers());
                    // Boxed, because it is large and rare.
                    let alone = Box::pin(async move { L::one(&client, key).await });
                    let outcome = tokio::time::timeout_at(deadline.into(), alone).await;
                    outcome.unwrap_or(Err(LookupError::Timeout))
                }
            },
            Ok(Err(error @ CoalesceError::Full)) => Err(LookupError::Unavailable(error.to_string())),
            Ok(Err(error @ CoalesceError::BrokeOff)) => Err(LookupError::Fault(error.to_string())),
            Err(_) => Err(LookupError::Timeout),
        }
    }
}

/// Makes one request for all of `lookups`, until the latest of their deadlines, in the trace of the lowest key. Each gets
/// the same reply, perhaps before it is complete.
async fn run_batch<L: Lookup>(client: L::Client, lookups: Vec<Pending<L::Key>>) -> Vec<Reply<L>> {
    let number = lookups.len();
    let reply = look_up::<L>(client, lookups).map(Arc::new).boxed().shared();
    if tokio::time::timeout(MAX_BLOCKING, reply.clone()).await.is_err() {
        // Runs to its end even if no lookup waits for it any more, so that the circuit breaker sees its outcome.
        tokio::spawn(reply.clone());
    }
    vec![reply; number]
}

async fn look_up<L: Lookup>(client: L::Client, mut lookups: Vec<Pending<L::Key>>) -> Found<L::Key, L::Value> {
    let deadline = lookups.iter().map(|lookup| lookup.deadline).max();
    lookups.sort_by_key(|lookup| lookup.key);
    lookups.dedup_by_key(|lookup| lookup.key);
    let (Some(deadline), Some(first)) = (deadline, lookups.first()) else { return Found::new() };
    let client = client.until(deadline).traced(first.trace.headers());
    match lookups.as_slice() {
        [only] => HashMap::from([(only.key, L::one(&client, only.key).await)]),
        _ => L::many(&client, lookups.iter().map(|lookup| lookup.key).collect()).await,
    }
}
