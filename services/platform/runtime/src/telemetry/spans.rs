//! Requests and calls that have ended, sent to a collector as spans, by OTLP.
//!
//! A span is made of what is known at its end; nothing is kept meanwhile, and there is no global tracer. Sending is the
//! business of a thread of its own: what it cannot take is dropped, never waited for.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor as _};
use slog::{Logger, info, warn};

use crate::config::service_url;
use crate::trace::TraceContext;

/// How long the last spans may take to be sent when the service stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether and where traces are sent.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Traces {
    /// Where to send a span for every request, by OTLP over HTTP; nowhere if not set.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = url_or_nothing)]
    pub otlp_endpoint: Option<String>,
}

/// An empty variable is one that is not set, as OpenTelemetry has it.
fn url_or_nothing(value: &str) -> Result<String, String> {
    if value.is_empty() { Ok(String::new()) } else { service_url(value) }
}

/// Where spans go: to a collector, or nowhere.
#[derive(Clone, Default)]
pub(crate) struct Spans(Option<Arc<BatchSpanProcessor>>);

/// What has ended.
pub(crate) struct Span<'a> {
    pub(crate) trace: &'a TraceContext,
    pub(crate) kind: SpanKind,
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) failed: bool,
    /// No personal data.
    pub(crate) attributes: Vec<KeyValue>,
}

impl Spans {
    pub(super) fn new(service_name: &'static str, traces: &Traces, log: &Logger) -> Result<Self> {
        let Some(endpoint) = traces.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(Self::default());
        };
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .build()
            .with_context(|| format!("cannot send traces to {endpoint}"))?;
        let exporter = FailureLoggingExporter { exporter, failing: AtomicBool::default(), log: log.clone() };
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        processor.set_resource(&Resource::builder().with_service_name(service_name).with_attribute(version).build());
        Ok(Self(Some(Arc::new(processor))))
    }

    /// Whether they go anywhere.
    pub(crate) fn are_sent(&self) -> bool {
        self.0.is_some()
    }

    /// Sends a span, some time, unless the sender of the request did not want its trace recorded.
    pub(crate) fn add(&self, span: Span<'_>) {
        let Some(processor) = self.0.as_deref().filter(|_| span.trace.sampled) else { return };
        let end_time = SystemTime::now();
        let id = |id: std::num::NonZeroU64| SpanId::from(id.get());
        let trace_id = TraceId::from(span.trace.trace_id.get());
        let server = span.kind == SpanKind::Server;
        processor.on_end(SpanData {
            span_context: SpanContext::new(
                trace_id,
                id(span.trace.span_id),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: span.trace.parent.map_or(SpanId::INVALID, id),
            parent_span_is_remote: server,
            span_kind: span.kind,
            name: Cow::Owned(span.name),
            start_time: end_time.checked_sub(span.took).unwrap_or(end_time),
            end_time,
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if span.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: InstrumentationScope::default(),
        });
    }

    /// Sends what is left, or gives up after a second.
    pub(crate) async fn flush(self) {
        let Some(processor) = self.0 else { return };
        let last = tokio::task::spawn_blocking(move || processor.shutdown_with_timeout(FLUSH_TIMEOUT));
        // Whether it failed is told where it is sent; a collector that hangs is not waited for.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, last).await;
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spans").field(&self.are_sent()).finish()
    }
}

/// An exporter that tells the log when it begins to fail, and when it no longer does.
#[derive(Debug)]
struct FailureLoggingExporter<E> {
    exporter: E,
    failing: AtomicBool,
    log: Logger,
}

impl<E: SpanExporter> SpanExporter for FailureLoggingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        match (&result, self.failing.swap(result.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => warn!(self.log, "traces cannot be sent"; "error" => error.to_string()),
            (Ok(()), true) => info!(self.log, "traces are sent again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_sdk::error::OTelSdkError;
    use service_testing::CapturedLog;

    use super::*;

    /// Ends as it is told to, the last word first.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<bool>>);

    impl SpanExporter for Scripted {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let sent = self.0.lock().unwrap().pop().unwrap();
            if sent { Ok(()) } else { Err(OTelSdkError::InternalFailure("away".to_owned())) }
        }
    }

    #[tokio::test]
    async fn that_traces_cannot_be_sent_is_told_once_and_once_that_they_are_again() {
        let log = CapturedLog::default();
        let script = [true, true, false, false, true, true];
        let exporter = Scripted(Mutex::new(script.to_vec()));
        let told = FailureLoggingExporter { exporter, failing: AtomicBool::default(), log: log.logger(&[]) };
        for sent in script.into_iter().rev() {
            assert_eq!(told.export(Vec::new()).await.is_ok(), sent);
        }
        let text = log.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("traces cannot be sent") && text.contains("traces are sent again"), "{text}");
    }

    #[test]
    fn an_empty_endpoint_is_none() {
        let of = |url: &str| url_or_nothing(url);
        assert_eq!((of(""), of("http://collector:4318/")), (Ok(String::new()), Ok("http://collector:4318".to_owned())));
        assert!(of("https://collector").is_err() && of("collector:4318").is_err());
        let traces = Traces { otlp_endpoint: Some(String::new()) };
        assert!(!Spans::new("test", &traces, &CapturedLog::default().logger(&[])).unwrap().are_sent());
    }
}
