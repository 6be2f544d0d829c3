//! The policy of a client: retries, limits and refusals around each attempt.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use reqwest::{Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::breaker::{Breaker, Circuit};
use crate::budget::Budget;
use crate::settings::{CONCURRENCY_WAIT, MAX_ATTEMPTS, MAX_RESPONSE_BYTES, Settings};
use crate::{Outcome, Refusal, response, retry};

/// The request header with the milliseconds after which the caller stops waiting.
const TIMEOUT_HEADER: &str = "request-timeout-ms";

/// The shortest useful attempt, and the smallest value of `Request-Timeout-Ms`.
const MIN_ATTEMPT: Duration = Duration::from_millis(1);

/// Makes every call of a client. Clones share everything but the deadline and the trace.
#[derive(Clone, Debug)]
pub struct Policy {
    shared: Option<Arc<Shared>>,
    deadline: Option<Instant>,
    /// The trace headers of the calls.
    trace: HeaderMap,
}

/// The counters of a policy and its state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Calls, including refused ones.
    pub calls: u64,
    /// Requests sent, including retries.
    pub attempts: u64,
    /// Attempts after the first of a call.
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
        Self { shared: None, deadline: None, trace: HeaderMap::new() }
    }

    /// The policy that this [crate](crate) describes, for any HTTP client. `observer` is called when the circuit opens and
    /// closes; it must not block.
    pub fn new(settings: Settings, observer: impl Fn(Circuit) + Send + Sync + 'static) -> Self {
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
        };
        Self { shared: Some(Arc::new(shared)), deadline: None, trace: HeaderMap::new() }
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
        Ok((settings.http_client()?, Self::new(settings, observer)))
    }

    /// The same policy for calls that must end by `deadline`.
    pub fn until(&self, deadline: std::time::Instant) -> Self {
        Self { deadline: Some(deadline.into()), ..self.clone() }
    }

    /// The same policy for calls that carry these trace headers.
    pub fn traced(&self, trace: HeaderMap) -> Self {
        Self { trace, ..self.clone() }
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

    /// Makes the call with `http` and reads the whole answer. An error answer whose body is not an `E` keeps its status. The outcome may stand for a refusal: see [`Refusal::of_outcome`].
    pub async fn exec<E: DeserializeOwned>(&self, http: &reqwest::Client, mut request: Request) -> Outcome {
        request.headers_mut().extend(self.trace.clone());
        let max_bytes = self.shared.as_ref().map_or(MAX_RESPONSE_BYTES, |shared| shared.settings.max_response_bytes);
        let attempt = async |request| response::buffer::<E>(http.execute(request).await?, max_bytes).await;
        if let Some(shared) = &self.shared {
            return shared.call(request, self.deadline, attempt).await;
        }
        if let Some(deadline) = self.deadline {
            match time_left(deadline) {
                Some(left) => set_timeout(&mut request, left),
                None => return Refusal::DeadlinePassed.into_outcome(),
            }
        }
        attempt(request).await
    }
}

impl Shared {
    async fn call<F>(&self, mut request: Request, deadline: Option<Instant>, attempt: impl Fn(Request) -> F) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let own_deadline = Instant::now() + self.settings.timeout;
        let deadline = deadline.map_or(own_deadline, |deadline| deadline.min(own_deadline));
        let mut number = 1;
        let mut last = None;
        loop {
            let may_repeat = request.method().is_safe() && number < MAX_ATTEMPTS;
            let next = if may_repeat { request.try_clone() } else { None };
            let outcome = match self.attempt(request, deadline, number, &attempt).await {
                Ok(outcome) => outcome,
                Err(refusal) => return last.unwrap_or_else(|| self.refuse(refusal)),
            };
            let (Some(next), Some(backoff)) = (next, retry::backoff(&outcome, number, fastrand::f64())) else {
                return outcome;
            };
            let fits = time_left(deadline).is_some_and(|left| backoff < left);
            if !fits || !self.budget.take_retry(Instant::now().into_std()) {
                return outcome;
            }
            tokio::time::sleep(backoff).await;
            request = next;
            number += 1;
            last = Some(outcome);
        }
    }

    async fn attempt<F>(
        &self,
        mut request: Request,
        deadline: Instant,
        number: u32,
        attempt: impl Fn(Request) -> F,
    ) -> Result<Outcome, Refusal>
    where
        F: Future<Output = Outcome>,
    {
        if self.breaker.refuses(Instant::now().into_std()) {
            return Err(Refusal::CircuitOpen);
        }
        time_left(deadline).ok_or(Refusal::DeadlinePassed)?;
        let _permit = self.permit(deadline).await?;
        let limit = self.settings.attempt_timeout.min(time_left(deadline).ok_or(Refusal::TooManyCalls)?);
        let start = Instant::now();
        let admitted = self.breaker.admit(start.into_std()).ok_or(Refusal::CircuitOpen)?;
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if number == 1 {
            self.budget.add_call(start.into_std());
        } else {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        set_timeout(&mut request, limit);
        let outcome = attempt(request).await;
        if outcome.as_ref().is_err_and(reqwest::Error::is_timeout) {
            // A separate task closes its connection; let it run before the permit goes to another attempt.
            tokio::task::yield_now().await;
        }
        // A short caller deadline must not open the circuit for all callers, whether it passes here or the service, which
        // knows it from the header, gives up first.
        let ran_out = match &outcome {
            Ok(answer) => {
                answer.status() == StatusCode::SERVICE_UNAVAILABLE
                    && start.elapsed() >= limit.saturating_sub(MIN_ATTEMPT)
            }
            Err(error) => error.is_timeout(),
        };
        let now = Instant::now().into_std();
        if ran_out && limit < self.settings.full_attempt() / 2 {
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

fn time_left(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| *left >= MIN_ATTEMPT)
}

/// Limits the request and tells the service the limit.
fn set_timeout(request: &mut Request, time: Duration) {
    *request.timeout_mut() = Some(time);
    let milliseconds = time.as_millis().clamp(1, 60_000) as u64;
    request.headers_mut().insert(TIMEOUT_HEADER, milliseconds.into());
}
