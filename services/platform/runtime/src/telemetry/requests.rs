//! Counting requests where every one is seen, whatever it is refused by: in dropshot's own log.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use slog::{Drain, Key, Level, Logger, Never, OwnedKVList, Record, Serializer};

use crate::log::LOGGED_TRACEPARENT;
use crate::trace::TraceContext;

use super::endpoint;
use super::operations::{Operation, Operations};
use super::spans::{Span, Spans};

/// dropshot's words for a request that was answered, and for one whose client went away before it was.
const COMPLETED: &str = "request completed";
const CANCELLED: &str = "request handling cancelled (client disconnected)";
/// nginx's status for the latter.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Seconds. A read takes one or two milliseconds; a request is given up after ten seconds.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What is asked for every few seconds, and says nothing in a trace.
const UNTRACED: [&str; 3] = ["health", "ready", endpoint::WORD];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    operation: Arc<str>,
    status: u16,
    error_code: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    operation: Arc<str>,
    status: u16,
}

/// The requests of a service so far.
#[derive(Debug)]
pub(crate) struct Requests {
    operations: Operations,
    total: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    spans: Spans,
}

impl Requests {
    pub(super) fn new(document: &str, registry: &mut Registry, spans: Spans) -> Self {
        let operations = Operations::new(document);
        let total = Family::<RequestLabels, Counter>::default();
        // What never happened stands at zero: an alert sees the first.
        for operation in operations.iter() {
            for (status, codes) in &operation.ends {
                let success = codes.is_empty().then(Arc::default);
                for error_code in codes.iter().cloned().chain(success) {
                    let labels = RequestLabels { operation: operation.id.clone(), status: *status, error_code };
                    drop(total.get_or_create(&labels));
                }
            }
        }
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register("http_server_requests", "Requests that ended", total.clone());
        registry.register("http_server_request_duration_seconds", "How long requests took", durations.clone());
        Self { operations, total, durations, spans }
    }

    fn add(&self, request: &Ended) {
        let operation = self.operations.find(&request.method, &request.uri);
        let error_code = operation.error_code(request.status, &request.error);
        if self.spans.are_sent() && !UNTRACED.contains(&&*operation.id) {
            self.trace(request, operation, &error_code);
        }
        let (id, status) = (operation.id.clone(), request.status);
        self.total.get_or_create(&RequestLabels { operation: id.clone(), status, error_code }).inc();
        let durations = self.durations.get_or_create(&DurationLabels { operation: id, status });
        durations.observe(request.took.as_secs_f64());
    }

    fn trace(&self, request: &Ended, operation: &Operation, error_code: &Arc<str>) {
        let mut attributes = vec![
            KeyValue::new("operation", Arc::clone(&operation.id)),
            KeyValue::new("http.response.status_code", i64::from(request.status)),
            KeyValue::new("request_id", request.id.clone()),
        ];
        let mut name = operation.id.to_string();
        if !operation.path.is_empty() {
            name = format!("{} {}", operation.method, operation.path);
            attributes.push(KeyValue::new("http.request.method", operation.method.clone()));
            attributes.push(KeyValue::new("http.route", operation.path.clone()));
        }
        if !error_code.is_empty() {
            attributes.push(KeyValue::new("error.type", Arc::clone(error_code)));
        }
        self.spans.add(Span {
            trace: &TraceContext::of(&request.id, Some(&request.traceparent), true),
            kind: SpanKind::Server,
            name,
            took: request.took,
            failed: request.status >= 500,
            attributes,
        });
    }
}

/// Passes records on to a log, counts the requests that they tell of, and makes spans of them. It sees them before any level is applied.
pub(crate) struct RequestMetricsDrain {
    log: Logger,
    requests: AssertUnwindSafe<Requests>,
}

impl RequestMetricsDrain {
    /// A log that counts in `requests` and goes on to `log`.
    pub(crate) fn around(log: &Logger, requests: Requests) -> Logger {
        Logger::root(Self { log: log.clone(), requests: AssertUnwindSafe(requests) }, slog::o!())
    }
}

impl Drain for RequestMetricsDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if let Some(text @ (COMPLETED | CANCELLED)) = record.msg().as_str() {
            let mut request = Ended::default();
            if text == CANCELLED {
                request.status = CLIENT_CLOSED_REQUEST;
            }
            // Neither can fail: collecting writes nowhere.
            let _ = slog::KV::serialize(&record.kv(), record, &mut request);
            let _ = slog::KV::serialize(values, record, &mut request);
            self.requests.add(&request);
        }
        Drain::log(&self.log, record, values)
    }

    fn is_enabled(&self, level: Level) -> bool {
        level.is_at_least(Level::Info) || self.log.is_enabled(level)
    }
}

/// What dropshot logs of a request that ended.
#[derive(Default)]
struct Ended {
    id: String,
    traceparent: String,
    method: String,
    uri: String,
    status: u16,
    error: String,
    took: Duration,
}

impl Serializer for Ended {
    fn emit_arguments(&mut self, _: Key, _: &fmt::Arguments<'_>) -> slog::Result {
        Ok(())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        match AsRef::<str>::as_ref(&key) {
            "req_id" => value.clone_into(&mut self.id),
            LOGGED_TRACEPARENT => value.clone_into(&mut self.traceparent),
            "method" => value.clone_into(&mut self.method),
            "uri" => value.clone_into(&mut self.uri),
            "error_message_internal" => value.clone_into(&mut self.error),
            _ => {}
        }
        Ok(())
    }

    fn emit_u16(&mut self, key: Key, value: u16) -> slog::Result {
        if AsRef::<str>::as_ref(&key) == "response_code" {
            self.status = value;
        }
        Ok(())
    }

    fn emit_u128(&mut self, key: Key, value: u128) -> slog::Result {
        if AsRef::<str>::as_ref(&key) == "latency_us" {
            self.took = Duration::from_micros(u64::try_from(value).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}
