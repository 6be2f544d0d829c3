//! The edge of a service: what every operation passes between dropshot and the rules.
//!
//! dropshot has no middleware. Here the state of a service is inside [`Guard`], and [`handle`] is the only way to it, so
//! that no operation can forget what holds for all: a limit on requests in flight, a deadline, an answer to a panic,
//! and, by [`Answer`], the headers that every answer has. What comes before, the strict reading of the request, is
//! `contract::extract`.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use contract::answer::Answer;
use contract::error_code::{DEADLINE_EXCEEDED, INTERNAL_ERROR, INVALID_REQUEST, OVERLOADED};
use contract::health::{Health, Readiness};
use dropshot::{HttpError, HttpResponseOk, RequestContext, ServerContext};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use slog::{Logger, warn};
use tokio::time::timeout_at;

use crate::admission::Admission;
use crate::config::{milliseconds, requests};
use crate::server::ReadinessProbe;
use crate::trace::TraceContext;

/// How long the sender of a request still waits, in milliseconds.
const TIMEOUT_HEADER: &str = "Request-Timeout-Ms";

/// Many, because most of them wait for their batch, and few enough to answer each in time.
const DEFAULT_REQUESTS: u32 = 1024;
/// Longer than the slowest operation that succeeds: a call to another service, and a wait for a busy SQLite file.
const DEFAULT_TIMEOUT_MS: u32 = 10_000;

/// How much a service takes on.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// The most requests to work on at a time; more wait, and when that takes too long some are refused with 503.
    #[arg(long, env = "MAX_REQUESTS_IN_FLIGHT", value_name = "NUMBER", default_value_t = DEFAULT_REQUESTS, value_parser = requests)]
    pub max_requests_in_flight: u32,

    /// The most milliseconds to work on a request.
    #[arg(long, env = "REQUEST_TIMEOUT_MS", value_name = "MS", default_value_t = DEFAULT_TIMEOUT_MS, value_parser = milliseconds)]
    pub request_timeout_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_requests_in_flight: DEFAULT_REQUESTS, request_timeout_ms: DEFAULT_TIMEOUT_MS }
    }
}

/// The state of a service, behind its guard.
pub struct Guard<C> {
    state: Arc<C>,
    probe: ReadinessProbe,
    admission: Admission,
    timeout: Duration,
    /// Whether a trace that begins here is recorded.
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

    /// Which requests are let in.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }
}

/// A request that was let in.
#[derive(Debug)]
pub struct Admitted<C> {
    /// What the operations of the service share.
    pub state: Arc<C>,
    /// When it is given up.
    pub deadline: Instant,
    /// Where it stands in a trace.
    pub trace: TraceContext,
    /// The request's log.
    pub log: Logger,
}

/// Lets a request in to `operation`.
///
/// Refuses with `overloaded` when the service works on as many as it takes and those who wait for that are too many or wait
/// too long, and with `invalid_request` a `Request-Timeout-Ms` that is none. Gives `operation` up with `deadline_exceeded` at its
/// deadline, to which the wait belongs. A panic becomes an `internal_error`; where it was is logged by [`crate::process`].
///
/// When the client goes away, an operation with a safe method (RFC 9110, section 9.2.1) ends; any other is finished.
pub async fn handle<C, R, F>(
    rqctx: &RequestContext<Guard<C>>,
    operation: impl FnOnce(Admitted<C>) -> F,
) -> Result<Answer<R>, HttpError>
where
    C: Send + Sync + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R, HttpError>> + Send + 'static,
{
    let guard = rqctx.context();
    let timeout = caller_timeout(rqctx.request.headers())?.map_or(guard.timeout, |asked| asked.min(guard.timeout));
    let deadline = Instant::now() + timeout;
    let place = guard.admission.admit(timeout).await.ok_or_else(|| OVERLOADED.to_error())?;
    if timeout.is_zero() {
        return Err(DEADLINE_EXCEEDED.to_error());
    }
    let trace = TraceContext::of_request(&rqctx.request_id, rqctx.request.headers(), guard.sampled);
    let admitted = Admitted { state: Arc::clone(&guard.state), deadline, trace, log: rqctx.log.clone() };
    let operation = AssertUnwindSafe(operation(admitted)).catch_unwind();
    let operation = timeout_at(deadline.into(), operation).map(move |outcome| {
        drop(place);
        match outcome {
            Ok(Ok(result)) => result.map(Answer::passed),
            Ok(Err(panic)) => Err(INTERNAL_ERROR.with_cause(panic_text(panic.as_ref()))),
            Err(_) => Err(DEADLINE_EXCEEDED.with_cause(format_args!("no answer within {} ms", timeout.as_millis()))),
        }
    });
    // On the heap, because it is large, and may have to leave its connection.
    let operation = operation.boxed();
    if rqctx.request.method().is_safe() {
        operation.await
    } else {
        DetachOnDrop { operation: Some(operation), log: &rqctx.log }.await
    }
}

/// An operation that goes on by itself when its client goes away: then dropshot drops what works on the request.
struct DetachOnDrop<'a, R: 'static> {
    /// Until it has ended.
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
                warn!(log, "failed after its client went away"; "error" => error.internal_message);
            }
        });
    }
}

/// The answer of `/health`: always, whatever else the service is busy with.
pub fn health() -> Result<Answer<HttpResponseOk<Health>>, HttpError> {
    Ok(Answer::passed(HttpResponseOk(Health::OK)))
}

/// The answer of `/ready`, outside the limits: who is overloaded is not away.
pub async fn ready<C>(rqctx: &RequestContext<Guard<C>>) -> Result<Answer<HttpResponseOk<Readiness>>, HttpError>
where
    Guard<C>: ServerContext,
{
    rqctx.context().probe.answer().await.map(Answer::passed)
}

fn caller_timeout(headers: &HeaderMap) -> Result<Option<Duration>, HttpError> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(None) };
    let timeout = value.to_str().map_err(|_| "expected a number".to_owned()).and_then(milliseconds);
    timeout
        .map(|ms| Some(Duration::from_millis(ms.into())))
        .map_err(|expected| INVALID_REQUEST.with_message(format!("request header `{TIMEOUT_HEADER}`: {expected}")))
}

/// What a panic says, if its text was written in the program: another can hold what a client sent.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &'static str {
    panic.downcast_ref::<&'static str>().copied().unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_callers_timeout_is_a_number_of_milliseconds_or_refused() {
        let read = |value: &[u8]| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("request-timeout-ms"),
                HeaderValue::from_bytes(value).unwrap(),
            )]);
            caller_timeout(&headers).map_err(|error| error.external_message)
        };
        assert_eq!(caller_timeout(&HeaderMap::new()).unwrap(), None);
        assert_eq!(read(b"250"), Ok(Some(Duration::from_millis(250))));
        for wrong in [&b""[..], b"0", b"-1", b"1.5", b"60001", b"soon", "\u{661}".as_bytes(), b"99999999999999999999"] {
            assert!(read(wrong).unwrap_err().starts_with("request header `Request-Timeout-Ms`: "), "{wrong:?}");
        }
    }
}
