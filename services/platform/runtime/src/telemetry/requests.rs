//! Metrics and spans of requests, taken from dropshot's log: dropshot has no middleware, and its log alone has every
//! request, including those that dropshot itself refuses.

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

use crate::dropshot_log::{
    INTERNAL_ERROR, LATENCY_US, METHOD, REQUEST_CANCELLED, REQUEST_COMPLETED, REQUEST_ID, STATUS, TRACEPARENT, URI,
};
use crate::trace::TraceContext;
use crate::unpublished::{HEALTH, METRICS, READY};

use super::operations::{Operation, Operations};
use super::spans::{Span, Spans};

/// nginx's status for a request whose client disconnected before the response.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Seconds. A read takes one or two milliseconds; the default deadline of a request is ten seconds.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Operations without spans: probes and scrapes request them every few seconds.
const UNTRACED: [&str; 3] = [HEALTH.operation, READY.operation, METRICS.operation];

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

/// The metrics and spans of the requests to a service.
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
        // Every documented result starts at zero: an alert on an increase needs a sample before the first one.
        for operation in operations.iter() {
            for (status, codes) in &operation.results {
                let success = codes.is_empty().then(Arc::default);
                for error_code in codes.iter().cloned().chain(success) {
                    let labels = RequestLabels { operation: operation.id.clone(), status: *status, error_code };
                    drop(total.get_or_create(&labels));
                }
            }
        }
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register("http_server_requests", "Requests answered, or cancelled by their client", total.clone());
        registry.register("http_server_request_duration_seconds", "Duration of requests", durations.clone());
        Self { operations, total, durations, spans }
    }

    fn record(&self, request: &EndedRequest) {
        let operation = self.operations.find(&request.method, &request.uri);
        let error_code = operation.error_code(request.status, &request.error);
        if self.spans.are_exported() && !UNTRACED.contains(&&*operation.id) {
            self.export_span(request, operation, &error_code);
        }
        let (id, status) = (operation.id.clone(), request.status);
        self.total.get_or_create(&RequestLabels { operation: id.clone(), status, error_code }).inc();
        let durations = self.durations.get_or_create(&DurationLabels { operation: id, status });
        durations.observe(request.duration.as_secs_f64());
    }

    fn export_span(&self, request: &EndedRequest, operation: &Operation, error_code: &Arc<str>) {
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
        self.spans.export(Span {
            trace: &TraceContext::of(&request.id, Some(&request.traceparent), true),
            kind: SpanKind::Server,
            name,
            duration: request.duration,
            failed: request.status >= 500,
            attributes,
        });
    }
}

/// The level at which an answer with `status` is logged if the server failed; dropshot logs every answer with `info`. An
/// internal error is a bug; any other is mostly a fault of what the service needs, except 501: a fault of the client.
fn level_of_failure(status: u16) -> Option<Level> {
    match status {
        500 => Some(Level::Error),
        502.. => Some(Level::Warning),
        _ => None,
    }
}

/// A drain that records the requests in dropshot's log and forwards all log records to another log, failed requests at
/// the level of a failure. It comes before the level filter, so that metrics do not depend on the log level.
pub(crate) struct RequestMetricsDrain {
    log: Logger,
    requests: AssertUnwindSafe<Requests>,
}

impl RequestMetricsDrain {
    /// A logger that records into `requests` and forwards to `log`.
    pub(crate) fn around(log: &Logger, requests: Requests) -> Logger {
        Logger::root(Self { log: log.clone(), requests: AssertUnwindSafe(requests) }, slog::o!())
    }
}

impl Drain for RequestMetricsDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if let Some(message @ (REQUEST_COMPLETED | REQUEST_CANCELLED)) = record.msg().as_str() {
            let mut request = EndedRequest::default();
            if message == REQUEST_CANCELLED {
                request.status = CLIENT_CLOSED_REQUEST;
            }
            // Serializing cannot fail: it only fills `request`.
            let _ = slog::KV::serialize(&record.kv(), record, &mut request);
            let _ = slog::KV::serialize(values, record, &mut request);
            self.requests.record(&request);
            if let Some(level) = level_of_failure(request.status) {
                let at_level = slog::record_static!(level, record.tag());
                return Drain::log(&self.log, &Record::new(&at_level, record.msg(), record.kv()), values);
            }
        }
        Drain::log(&self.log, record, values)
    }

    fn is_enabled(&self, level: Level) -> bool {
        level.is_at_least(Level::Info) || self.log.is_enabled(level)
    }
}

/// The fields that dropshot logs about a request that ended.
#[derive(Default)]
struct EndedRequest {
    id: String,
    traceparent: String,
    method: String,
    uri: String,
    status: u16,
    error: String,
    duration: Duration,
}

impl Serializer for EndedRequest {
    fn emit_arguments(&mut self, _: Key, _: &fmt::Arguments<'_>) -> slog::Result {
        Ok(())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        match AsRef::<str>::as_ref(&key) {
            REQUEST_ID => value.clone_into(&mut self.id),
            TRACEPARENT => value.clone_into(&mut self.traceparent),
            METHOD => value.clone_into(&mut self.method),
            URI => value.clone_into(&mut self.uri),
            INTERNAL_ERROR => value.clone_into(&mut self.error),
            _ => {}
        }
        Ok(())
    }

    fn emit_u16(&mut self, key: Key, value: u16) -> slog::Result {
        if AsRef::<str>::as_ref(&key) == STATUS {
            self.status = value;
        }
        Ok(())
    }

    fn emit_u128(&mut self, key: Key, value: u128) -> slog::Result {
        if AsRef::<str>::as_ref(&key) == LATENCY_US {
            self.duration = Duration::from_micros(u64::try_from(value).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}
