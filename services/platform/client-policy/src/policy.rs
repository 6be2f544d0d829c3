//! The policy of a client: retries, limits and refusals around each attempt.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use reqwest::{Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::breaker::{Breaker, Circuit};
use crate::budget::Budget;
use crate::deadlines::{Deadlines, MIN_ATTEMPT, set_timeout, time_left};
use crate::settings::{CONCURRENCY_WAIT, MAX_ATTEMPTS, MAX_RESPONSE_BYTES, Settings};
use crate::{Outcome, Refusal, response, retry};

/// The request header that makes it harmless to send a request twice.
const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Makes every call of a client. Clones share everything but the deadline, the trace and whether calls are repeatable.
#[derive(Clone, Debug)]
pub struct Policy {
    shared: Option<Arc<Shared>>,
    deadline: Option<Instant>,
    /// The trace headers of the calls.
    trace: HeaderMap,
    /// Whether the calls are safe to repeat, whatever their method.
    repeatable: bool,
}

/// The counters of a policy and its state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Calls, including refused ones.
    pub calls: u64,
    /// Requests sent, including all repeated ones.
    pub attempts: u64,
    /// Requests after the first of a call.
    pub retries: u64,
    /// Calls refused because the circuit was open.
    pub short_circuited: u64,
    /// Calls refused because too many attempts were in flight.
    pub shed: u64,
    /// Attempts in flight now.
    pub in_flight: usize,
    /// The maximum number of attempts in flight.
    pub concurrency: usize,
    /// The state of the circuit breaker.
    pub circuit: Circuit,
}

type Observer = Box<dyn Fn(Circuit) + Send + Sync>;

struct Shared {
    settings: Settings,
    /// A client without pooled connections, for requests that met a dead one.
    unpooled: Option<reqwest::Client>,
    observer: Observer,
    breaker: Breaker,
    budget: Budget,
    permits: Semaphore,
    calls: AtomicU64,
    attempts: AtomicU64,
    retries: AtomicU64,
    short_circuited: AtomicU64,
    shed: AtomicU64,
}

impl Policy {
    /// One attempt a call, limited only by the HTTP client and the deadline of [`until`](Self::until).
    pub fn none() -> Self {
        Self { shared: None, deadline: None, trace: HeaderMap::new(), repeatable: false }
    }

    /// The policy that this [crate](crate) describes, for any HTTP client; a pooled connection found dead is a failure
    /// like any other. `observer` is called when the circuit opens and closes; it must not block.
    pub fn new(settings: Settings, observer: impl Fn(Circuit) + Send + Sync + 'static) -> Self {
        Self::with(settings, None, observer)
    }

    fn with(
        settings: Settings,
        unpooled: Option<reqwest::Client>,
        observer: impl Fn(Circuit) + Send + Sync + 'static,
    ) -> Self {
        let (settings, now) = (settings.bounded(), Instant::now().into_std());
        let shared = Shared {
            observer: Box::new(observer),
            breaker: Breaker::new(now),
            budget: Budget::new(now),
            permits: Semaphore::new(settings.concurrency),
            calls: AtomicU64::default(),
            attempts: AtomicU64::default(),
            retries: AtomicU64::default(),
            short_circuited: AtomicU64::default(),
            shed: AtomicU64::default(),
            settings,
            unpooled,
        };
        Self { shared: Some(Arc::new(shared)), ..Self::none() }
    }

    /// The HTTP client that suits the policy, and the policy.
    ///
    /// # Errors
    ///
    /// The HTTP client cannot be built, for instance because the system's certificates cannot be read.
    pub fn connect(
        settings: Settings,
        observer: impl Fn(Circuit) + Send + Sync + 'static,
    ) -> reqwest::Result<(reqwest::Client, Self)> {
        let unpooled = settings.http_client().pool_max_idle_per_host(0).build()?;
        Ok((settings.http_client().build()?, Self::with(settings, Some(unpooled), observer)))
    }

    /// The same policy for calls that must end by `deadline`.
    pub fn until(&self, deadline: std::time::Instant) -> Self {
        Self { deadline: Some(deadline.into()), ..self.clone() }
    }

    /// The same policy for calls that carry these trace headers.
    pub fn traced(&self, trace: HeaderMap) -> Self {
        Self { trace, ..self.clone() }
    }

    /// The same policy for calls that are safe to repeat, although their method does not say so: an operation whose
    /// document promises it.
    pub fn repeatable(&self) -> Self {
        Self { repeatable: true, ..self.clone() }
    }

    /// The counters and the circuit's state; `None` for [`Policy::none`].
    pub fn snapshot(&self) -> Option<Snapshot> {
        let shared = self.shared.as_deref()?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some(Snapshot {
            calls: count(&shared.calls),
            attempts: count(&shared.attempts),
            retries: count(&shared.retries),
            short_circuited: count(&shared.short_circuited),
            shed: count(&shared.shed),
            in_flight: shared.settings.concurrency - shared.permits.available_permits(),
            concurrency: shared.settings.concurrency,
            circuit: shared.breaker.circuit(),
        })
    }

    /// Makes the call with `http` and reads the whole answer. An error answer whose body is not an `E` keeps its
    /// status. The outcome may stand for a refusal: see [`Refusal::of_outcome`].
    pub async fn exec<E: DeserializeOwned>(&self, http: &reqwest::Client, mut request: Request) -> Outcome {
        request.headers_mut().extend(self.trace.clone());
        let max_bytes = self.shared.as_ref().map_or(MAX_RESPONSE_BYTES, |shared| shared.settings.max_response_bytes);
        let send =
            async |http: reqwest::Client, request| response::buffer::<E>(http.execute(request).await?, max_bytes).await;
        if let Some(shared) = &self.shared {
            let may_retry = self.repeatable || request.method().is_safe();
            return shared.call(http, request, may_retry, self.deadline, send).await;
        }
        if let Some(deadline) = self.deadline {
            match time_left(deadline) {
                Some(left) => set_timeout(&mut request, left),
                None => return Refusal::DeadlinePassed.into_outcome(),
            }
        }
        send(http.clone(), request).await
    }
}

impl Shared {
    async fn call<F>(
        &self,
        http: &reqwest::Client,
        mut request: Request,
        may_retry: bool,
        caller: Option<Instant>,
        send: impl Fn(reqwest::Client, Request) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let deadlines = Deadlines { own: Instant::now() + self.settings.timeout, caller };
        let may_repeat = may_retry || request.headers().contains_key(IDEMPOTENCY_HEADER);
        let mut number = 1;
        let mut last = None;
        loop {
            let next = if may_repeat && number < MAX_ATTEMPTS { request.try_clone() } else { None };
            let outcome = match self.attempt(http, request, next.as_ref(), deadlines, number, &send).await {
                Ok(outcome) => outcome,
                Err(refusal) => return last.unwrap_or_else(|| self.refuse(refusal)),
            };
            let next = next.filter(|_| may_retry);
            let (Some(next), Some(backoff)) = (next, retry::backoff(&outcome, number, fastrand::f64())) else {
                return outcome;
            };
            let fits = time_left(deadlines.earlier()).is_some_and(|left| backoff < left);
            if !fits || !self.budget.take_retry(Instant::now().into_std()) {
                return outcome;
            }
            tokio::time::sleep(backoff).await;
            request = next;
            number += 1;
            last = Some(outcome);
        }
    }

    /// Makes one attempt. `copy` is a copy of a request that may be sent twice.
    async fn attempt<F>(
        &self,
        http: &reqwest::Client,
        mut request: Request,
        copy: Option<&Request>,
        deadlines: Deadlines,
        number: u32,
        send: impl Fn(reqwest::Client, Request) -> F,
    ) -> Result<Outcome, Refusal>
    where
        F: Future<Output = Outcome>,
    {
        if self.breaker.refuses(Instant::now().into_std()) {
            return Err(Refusal::CircuitOpen);
        }
        time_left(deadlines.earlier()).ok_or(Refusal::DeadlinePassed)?;
        let _permit = self.permit(deadlines.earlier()).await?;
        let left = time_left(deadlines.earlier()).ok_or(Refusal::TooManyCalls)?;
        let start = Instant::now();
        let own_limit = self.settings.attempt_timeout.min(deadlines.own.saturating_duration_since(start));
        let limit = own_limit.min(left);
        let admitted = self.breaker.admit(start.into_std()).ok_or(Refusal::CircuitOpen)?;
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if number == 1 {
            self.budget.add_call(start.into_std());
        } else {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        set_timeout(&mut request, limit);
        let mut outcome = send(http.clone(), request).await;
        if outcome.as_ref().is_err_and(retry::is_dead_connection)
            && let Some(unpooled) = &self.unpooled
            && let Some(mut again) = copy.and_then(Request::try_clone)
            && let Some(left) = time_left(start + limit)
        {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            self.retries.fetch_add(1, Ordering::Relaxed);
            set_timeout(&mut again, left);
            outcome = send(unpooled.clone(), again).await;
        }
        if outcome.as_ref().is_err_and(reqwest::Error::is_timeout) {
            // A separate task closes its connection; let it run before the permit goes to another attempt.
            tokio::task::yield_now().await;
        }
        // A caller in a hurry must not open the circuit for all callers, whether its deadline passes here or the
        // service, which knows it from the header, gives up first.
        let at_limit = start.elapsed() >= limit.saturating_sub(MIN_ATTEMPT);
        let ran_out = at_limit
            && match &outcome {
                Ok(answer) => answer.status() == StatusCode::SERVICE_UNAVAILABLE,
                Err(error) => error.is_timeout(),
            };
        let now = Instant::now().into_std();
        let cut_short = limit < own_limit || limit < self.settings.full_attempt() / 2;
        if ran_out && cut_short {
            self.breaker.forget(admitted, now);
        } else if let Some(circuit) = self.breaker.record(admitted, retry::is_success(&outcome), now) {
            (self.observer)(circuit);
        }
        Ok(outcome)
    }

    /// Waits for a permit of the bulkhead.
    async fn permit(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Refusal> {
        let end = deadline.min(Instant::now() + CONCURRENCY_WAIT);
        match tokio::time::timeout_at(end, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Refusal::TooManyCalls),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Outcome {
        match refusal {
            Refusal::CircuitOpen => self.short_circuited.fetch_add(1, Ordering::Relaxed),
            Refusal::TooManyCalls => self.shed.fetch_add(1, Ordering::Relaxed),
            Refusal::DeadlinePassed => 0,
        };
        refusal.into_outcome()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
