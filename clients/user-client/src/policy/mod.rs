//! How calls are made to a service that may be slow, failing or away: so that the caller is answered in time, and the
//! service is not asked more than it can bear.
//!
//! - **Time.** Connecting, an attempt, and a call with all its attempts each have a limit ([`Settings`]);
//!   [`Client::until`](crate::Client::until) sets an earlier end. Each attempt carries `Request-Timeout-Ms`: the
//!   milliseconds, 1 to 60000, after which nobody waits for its answer any more.
//! - **Retries.** A request with a safe method (`GET`, `HEAD`) gets up to [`MOST_ATTEMPTS`] attempts: after no answer, an
//!   attempt that took too long, 429, 502, 503 or 504. A kept connection that the service has just closed is one of those
//!   cases. Between attempts lies a random wait of at most 25 ms, then 50 ms, or what `Retry-After` says and as much
//!   more; there is no retry if the wait does not fit into the time that is left. What answers but does not speak HTTP
//!   is not asked again, nor is a success that does not parse.
//! - **Budget.** In ten seconds there are at most as many retries as a tenth of the calls, or two if that is more.
//! - **Circuit breaker.** After 10 failures in a row, or when half of at least 20 attempts within ten seconds failed, calls
//!   are refused at once, but for one attempt a second, until one succeeds. A failure is no answer, none in time,
//!   429 and 5xx. An attempt that the caller's deadline cut to less than half its time proves nothing when it runs out.
//! - **Bulkhead.** At most [`Settings::concurrency`] attempts are under way at a time.
//! - **The answer.** At most [`Settings::longest_answer`] bytes of it are read. Redirects are not followed, proxies not used.
//! - **Connections.** A client by [`Client::connect`](crate::Client::connect) of an address with `http` has its own, with
//!   HTTP/1.1, and uses none again that rested for [`IDLE_CONNECTION`]. Any other calls by its `reqwest::Client`. What failed on
//!   the former is told by `is_timeout()` and the error's causes; `is_connect()` and `is_request()` are false whatever it was, and
//!   `is_decode()` is true.
//!
//! A call that failed gives what its last attempt gave. One that had no attempt is an
//! [`Error::Custom`](crate::Error::Custom): [`Refusal::of`] says why.

mod breaker;
mod budget;
mod refusal;
mod retry;
mod settings;
mod transport;
mod window;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use reqwest::{Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

pub use breaker::Circuit;
pub use refusal::Refusal;
pub use retry::speaks_no_http;
pub use settings::{CONCURRENCY_WAIT, IDLE_CONNECTION, MOST_ATTEMPTS, Settings};

use breaker::Breaker;
use budget::Budget;
use retry::Outcome;
use transport::Transport;

/// The request's header that tells the service how long its answer is waited for.
const TIMEOUT_HEADER: &str = "request-timeout-ms";

/// The shortest time in which an attempt makes sense, and that `Request-Timeout-Ms` can say.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(1);

/// What a [`Client`](crate::Client) does to every call. Its clones, and the client's, share everything but the deadline and
/// the trace.
#[derive(Clone, Debug)]
pub struct Policy {
    shared: Option<Arc<Shared>>,
    deadline: Option<Instant>,
    /// The headers of the trace that the calls belong to.
    trace: HeaderMap,
}

/// How much the calls of a policy took so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Calls, refused ones included.
    pub calls: u64,
    /// Requests sent, retries included.
    pub attempts: u64,
    /// Attempts after the first of a call.
    pub retries: u64,
    /// Calls refused because the circuit was open.
    pub short_circuited: u64,
    /// Calls refused because too many attempts were under way.
    pub shed: u64,
    /// Attempts under way now.
    pub in_flight: usize,
    /// Whether attempts are let through now.
    pub circuit: Circuit,
}

type Observer = Box<dyn Fn(Circuit) + Send + Sync>;

struct Shared {
    settings: Settings,
    observer: Observer,
    breaker: Breaker,
    budget: Budget,
    places: Semaphore,
    /// What sends the requests; without one the HTTP client does.
    transport: Option<Transport>,
    calls: AtomicU64,
    attempts: AtomicU64,
    retries: AtomicU64,
    short_circuited: AtomicU64,
    shed: AtomicU64,
}

impl Policy {
    /// Every call is one attempt, limited by the HTTP client alone; [`until`](crate::Client::until) holds for it too.
    pub fn none() -> Self {
        Self { shared: None, deadline: None, trace: HeaderMap::new() }
    }

    /// The policy that the [module](self) describes. `observer` is told when the circuit opens and closes; it must not block.
    pub fn new(settings: Settings, observer: impl Fn(Circuit) + Send + Sync + 'static) -> Self {
        Self::with(settings, observer, None)
    }

    /// The same policy for a client of the service at `base_url`, without what an HTTP client costs.
    pub(crate) fn connected(
        base_url: &str,
        settings: Settings,
        observer: impl Fn(Circuit) + Send + Sync + 'static,
    ) -> Self {
        let transport = Transport::new(base_url, settings.connect_timeout);
        Self::with(settings, observer, transport)
    }

    fn with(
        settings: Settings,
        observer: impl Fn(Circuit) + Send + Sync + 'static,
        transport: Option<Transport>,
    ) -> Self {
        let (settings, now) = (settings.bounded(), Instant::now().into_std());
        let shared = Shared {
            observer: Box::new(observer),
            breaker: Breaker::new(now),
            budget: Budget::new(now),
            places: Semaphore::new(settings.concurrency),
            transport,
            calls: AtomicU64::default(),
            attempts: AtomicU64::default(),
            retries: AtomicU64::default(),
            short_circuited: AtomicU64::default(),
            shed: AtomicU64::default(),
            settings,
        };
        Self { shared: Some(Arc::new(shared)), deadline: None, trace: HeaderMap::new() }
    }

    /// The same policy for calls that must end by `deadline`.
    pub fn until(&self, deadline: std::time::Instant) -> Self {
        Self { deadline: Some(deadline.into()), ..self.clone() }
    }

    /// The same policy for calls that belong to the trace of these headers.
    pub(crate) fn traced(&self, trace: HeaderMap) -> Self {
        Self { trace, ..self.clone() }
    }

    /// How much was called so far; `None` without a policy.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let shared = self.shared.as_deref()?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some(Snapshot {
            calls: count(&shared.calls),
            attempts: count(&shared.attempts),
            retries: count(&shared.retries),
            short_circuited: count(&shared.short_circuited),
            shed: count(&shared.shed),
            in_flight: shared.settings.concurrency - shared.places.available_permits(),
            circuit: shared.breaker.circuit(),
        })
    }

    pub(crate) fn longest_answer(&self) -> Option<usize> {
        self.shared.as_ref().map(|shared| shared.settings.longest_answer)
    }

    /// Sends the request of one attempt, by `client` if need be, and lets `read` receive the answer.
    pub(crate) async fn send<F>(
        &self,
        client: &reqwest::Client,
        request: Request,
        read: impl FnOnce(Response) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        let transport = self.shared.as_ref().and_then(|shared| shared.transport.as_ref());
        match transport.filter(|transport| transport.leads_to(request.url())) {
            Some(transport) => transport.attempt(request, read).await,
            None => read(client.execute(request).await?).await,
        }
    }

    /// Makes the call by `attempt`, which sends a request and receives the whole answer.
    pub(crate) async fn call<F>(&self, mut request: Request, attempt: impl Fn(Request) -> F) -> Outcome
    where
        F: Future<Output = reqwest::Result<Response>>,
    {
        request.headers_mut().extend(self.trace.clone());
        if let Some(shared) = &self.shared {
            return shared.call(request, self.deadline, attempt).await;
        }
        if let Some(deadline) = self.deadline {
            match time_left(deadline) {
                Some(left) => allot(&mut request, left),
                None => return Refusal::DeadlinePassed.into_outcome(),
            }
        }
        attempt(request).await
    }
}

impl Shared {
    async fn call<F>(&self, mut request: Request, deadline: Option<Instant>, attempt: impl Fn(Request) -> F) -> Outcome
    where
        F: Future<Output = reqwest::Result<Response>>,
    {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let own_deadline = Instant::now() + self.settings.timeout;
        let deadline = deadline.map_or(own_deadline, |deadline| deadline.min(own_deadline));
        let mut number = 1;
        let mut last = None;
        loop {
            let may_repeat = request.method().is_safe() && number < MOST_ATTEMPTS;
            let again = if may_repeat { request.try_clone() } else { None };
            let outcome = match self.attempt(request, deadline, number, &attempt).await {
                Ok(outcome) => outcome,
                Err(refusal) => return last.unwrap_or_else(|| self.refuse(refusal)),
            };
            let (Some(next), Some(wait)) = (again, retry::wait(&outcome, number, fastrand::f64())) else {
                return outcome;
            };
            let fits = time_left(deadline).is_some_and(|left| wait < left);
            if !fits || !self.budget.take_retry(Instant::now().into_std()) {
                return outcome;
            }
            tokio::time::sleep(wait).await;
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
        F: Future<Output = reqwest::Result<Response>>,
    {
        if self.breaker.refuses(Instant::now().into_std()) {
            return Err(Refusal::CircuitOpen);
        }
        time_left(deadline).ok_or(Refusal::DeadlinePassed)?;
        let _place = self.place(deadline).await?;
        let limit = self.settings.attempt_timeout.min(time_left(deadline).ok_or(Refusal::TooManyCalls)?);
        let began = Instant::now();
        let permit = self.breaker.admit(began.into_std()).ok_or(Refusal::CircuitOpen)?;
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if number == 1 {
            self.budget.add_call(began.into_std());
        } else {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        allot(&mut request, limit);
        let outcome = attempt(request).await;
        if outcome.as_ref().is_err_and(reqwest::Error::is_timeout) {
            // Its connection is closed by a task of its own: before the place is free for another.
            tokio::task::yield_now().await;
        }
        // A caller in a hurry must not open the circuit for all: neither when time runs out here, nor when the service,
        // which was told how little there is, is the first to say so.
        let ran_out = match &outcome {
            Ok(answer) => {
                answer.status() == StatusCode::SERVICE_UNAVAILABLE
                    && began.elapsed() >= limit.saturating_sub(SHORTEST_ATTEMPT)
            }
            Err(error) => error.is_timeout(),
        };
        let now = Instant::now().into_std();
        if ran_out && limit < self.settings.full_attempt() / 2 {
            self.breaker.forget(permit, now);
        } else if let Some(circuit) = self.breaker.record(permit, retry::is_success(&outcome), now) {
            (self.observer)(circuit);
        }
        Ok(outcome)
    }

    /// One of the places for attempts.
    async fn place(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Refusal> {
        let patience = deadline.min(Instant::now() + CONCURRENCY_WAIT);
        match tokio::time::timeout_at(patience, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
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
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| *left >= SHORTEST_ATTEMPT)
}

/// Gives the request its time, and says so to the service.
fn allot(request: &mut Request, time: Duration) {
    *request.timeout_mut() = Some(time);
    let milliseconds = time.as_millis().clamp(1, 60_000) as u64;
    request.headers_mut().insert(TIMEOUT_HEADER, milliseconds.into());
}
