//! The request guard: what every operation passes between dropshot and the rules.
//!
//! dropshot has no middleware. Here the state of a service is inside [`Guard`], and [`handle`] is the only access to it, so
//! that no operation can bypass what applies to all: the concurrency limit, the deadline, a response after a panic, and, by
//! [`Answer`], the headers that every response has. Strict decoding comes before, in `contract::extract`.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use contract::answer::Answer;
use contract::error_code::{DEADLINE_EXCEEDED, INTERNAL_ERROR, OVERLOADED};
use contract::health::{Health, Readiness};
use contract::request_timeout;
use dropshot::{
    ApiDescription, ApiEndpoint, ApiEndpointVersions, Body, HttpError, HttpResponse, HttpResponseOk, RequestContext,
    ServerContext,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Response};
use slog::{Logger, o, warn};
use tokio::time::timeout_at;
use uuid::Uuid;

use crate::admission::Admission;
use crate::config::values::{milliseconds, requests};
use crate::fairness::take_turns;
use crate::readiness::ReadinessProbe;
use crate::trace::TraceContext;
use crate::unpublished::{HEALTH, READY, without_body};

/// Many, because most requests wait for a batch, but few enough to answer each in time.
const DEFAULT_REQUESTS: u32 = 1024;
/// Longer than the slowest operation that succeeds: a call to another service, and a wait for a busy SQLite file.
const DEFAULT_TIMEOUT_MS: u32 = 10_000;

/// The limits on requests.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// The concurrency limit: more requests queue, and are refused with 503 when the queue stalls.
    #[arg(long, env = "MAX_REQUESTS_IN_FLIGHT", value_name = "NUMBER", default_value_t = DEFAULT_REQUESTS, value_parser = requests)]
    pub max_requests_in_flight: u32,

    /// The maximum milliseconds to handle a request.
    #[arg(long, env = "REQUEST_TIMEOUT_MS", value_name = "MS", default_value_t = DEFAULT_TIMEOUT_MS, value_parser = milliseconds)]
    pub request_timeout_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_requests_in_flight: DEFAULT_REQUESTS, request_timeout_ms: DEFAULT_TIMEOUT_MS }
    }
}

/// The state of a service behind the guard.
pub struct Guard<C> {
    state: Arc<C>,
    probe: ReadinessProbe,
    admission: Admission,
    timeout: Duration,
    /// Whether traces that start here are recorded.
    sampled: bool,
}

impl<C> Guard<C> {
    pub(crate) fn new(state: C, probe: ReadinessProbe, limits: &Limits, sampled: bool) -> Self {
        Self {
            state: Arc::new(state),
            probe,
            admission: Admission::new(limits.max_requests_in_flight as usize),
            timeout: Duration::from_millis(limits.request_timeout_ms.into()),
            sampled,
        }
    }

    /// The admission control.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }
}

/// An admitted request: what the rules need to know of it besides its content.
#[derive(Clone, Debug)]
pub struct RequestScope {
    /// When the guard gives the request up.
    pub deadline: Instant,
    /// The request's position in its trace.
    pub trace: TraceContext,
    /// The request's log.
    pub log: Logger,
}

impl RequestScope {
    /// The scope of work in the background, for which `limit` is left: in a trace of its own, which is not recorded.
    pub fn of_background(limit: Duration, log: &Logger) -> Self {
        let trace = TraceContext::of_request(&Uuid::new_v4().to_string(), &HeaderMap::new(), false);
        Self { deadline: Instant::now() + limit, trace, log: log.clone() }
    }

    /// The scope of work, for which `limit` is left, about the event `event_id`, in the trace of its `traceparent`.
    pub fn of_event(event_id: &str, traceparent: Option<&str>, limit: Duration, log: &Logger) -> Self {
        let trace = TraceContext::of(event_id, traceparent, false).child();
        let log = log.new(o!("trace_id" => trace.trace_id()));
        Self { deadline: Instant::now() + limit, trace, log }
    }

    /// The scope of work for this request that may outlive it by `limit`.
    pub fn outlived_by(&self, limit: Duration) -> Self {
        Self { deadline: Instant::now() + limit, ..self.clone() }
    }
}

/// Admits a request and runs `operation` with the service's state.
///
/// Refuses with `overloaded` at the concurrency limit, when the queue is full or stalls, and with `invalid_request` a
/// malformed `Request-Timeout-Ms`. Gives `operation` up with `deadline_exceeded` at its deadline, which includes the time in
/// the queue. A panic becomes an `internal_error`; [`crate::process`] logs where it happened.
///
/// When the client disconnects, an operation with a safe method (RFC 9110, section 9.2.1) is cancelled; any other is
/// finished.
pub async fn handle<C, R, F>(
    rqctx: &RequestContext<Guard<C>>,
    operation: impl FnOnce(Arc<C>, RequestScope) -> F,
) -> Result<Answer<R>, HttpError>
where
    C: Send + Sync + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R, HttpError>> + Send + 'static,
{
    take_turns(rqctx.request.remote_addr()).await;
    let guard = rqctx.context();
    let asked = request_timeout::read(rqctx.request.headers())?;
    let timeout = asked.map_or(guard.timeout, |asked| asked.min(guard.timeout));
    let deadline = Instant::now() + timeout;
    let permit = guard.admission.admit(timeout).await.ok_or_else(|| OVERLOADED.to_error())?;
    if timeout.is_zero() {
        return Err(DEADLINE_EXCEEDED.to_error());
    }
    let trace = TraceContext::of_request(&rqctx.request_id, rqctx.request.headers(), guard.sampled);
    let scope = RequestScope { deadline, trace, log: rqctx.log.clone() };
    let operation = AssertUnwindSafe(operation(Arc::clone(&guard.state), scope)).catch_unwind();
    let operation = timeout_at(deadline.into(), operation).map(move |outcome| {
        drop(permit);
        match outcome {
            Ok(Ok(result)) => result.map(Answer::passed),
            Ok(Err(panic)) => Err(INTERNAL_ERROR.with_cause(panic_text(panic.as_ref()))),
            Err(_) => Err(DEADLINE_EXCEEDED.with_cause(format_args!("no answer within {} ms", timeout.as_millis()))),
        }
    });
    // Boxed, because it is large and may have to outlive its connection.
    let operation = operation.boxed();
    if rqctx.request.method().is_safe() {
        operation.await
    } else {
        DetachOnDrop { operation: Some(operation), log: &rqctx.log }.await
    }
}

/// An operation that detaches when its client disconnects: dropshot then drops the handler's future.
struct DetachOnDrop<'a, R: 'static> {
    /// `None` once it has ended.
    operation: Option<BoxFuture<'static, Result<R, HttpError>>>,
    log: &'a Logger,
}

impl<R> Future for DetachOnDrop<'_, R> {
    type Output = Result<R, HttpError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(operation) = &mut self.operation else { return Poll::Pending };
        let result = ready!(operation.as_mut().poll(context));
        self.operation = None;
        Poll::Ready(result)
    }
}

impl<R> Drop for DetachOnDrop<'_, R> {
    fn drop(&mut self) {
        let Some(operation) = self.operation.take() else { return };
        let log = self.log.clone();
        tokio::spawn(async move {
            if let Err(error) = operation.await {
                warn!(log, "request failed after client disconnected"; "error" => error.internal_message);
            }
        });
    }
}

/// Serves `/health` and `/ready`, which [`contract::health`] declares, and answers HEAD as well.
pub(crate) fn register_health<C>(api: &mut ApiDescription<Guard<C>>) -> anyhow::Result<()>
where
    Guard<C>: ServerContext,
{
    macro_rules! register {
        ($endpoint:expr, $method:ident, $handler:expr) => {{
            let (id, path, versions) = ($endpoint.operation.to_owned(), $endpoint.path, ApiEndpointVersions::All);
            let endpoint = ApiEndpoint::new(id, $handler, Method::$method, "application/json", path, versions);
            // The document has it already.
            api.register(endpoint.visible(false)).map_err(|error| anyhow!("{error}"))
        }};
    }
    register!(HEALTH, GET, health)?;
    register!(HEALTH, HEAD, |rqctx: RequestContext<Guard<C>>| async move { head_of(health(rqctx).await) })?;
    register!(READY, GET, ready)?;
    register!(READY, HEAD, |rqctx: RequestContext<Guard<C>>| async move { head_of(ready(rqctx).await) })
}

fn head_of(answer: Result<impl HttpResponse, HttpError>) -> Result<Response<Body>, HttpError> {
    answer?.to_result().map(without_body)
}

/// `/health` always succeeds, whatever else the service is busy with.
async fn health<C>(rqctx: RequestContext<Guard<C>>) -> Result<Answer<HttpResponseOk<Health>>, HttpError>
where
    Guard<C>: ServerContext,
{
    take_turns(rqctx.request.remote_addr()).await;
    Ok(Answer::passed(HttpResponseOk(Health::OK)))
}

/// `/ready` bypasses the limits: an overloaded service is not an unready one.
async fn ready<C>(rqctx: RequestContext<Guard<C>>) -> Result<Answer<HttpResponseOk<Readiness>>, HttpError>
where
    Guard<C>: ServerContext,
{
    take_turns(rqctx.request.remote_addr()).await;
    rqctx.context().probe.answer().await.map(Answer::passed)
}

/// The message of a panic if it is a literal of the program: any other can contain what a client sent.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("panic")
}
