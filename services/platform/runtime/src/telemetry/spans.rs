//! Spans of requests and calls that have ended, exported to a collector by OTLP.
//!
//! A span is made when its request or call ends, so that no state is held meanwhile, and there is no global tracer. A
//! dedicated thread exports the spans in batches; when its queue is full, spans are dropped, and requests do not wait.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor as _};
use slog::{Logger, info, warn};

use crate::config::values::service_url;
use crate::trace::TraceContext;

use super::variables;

/// How long the export of the last spans may take when the service stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Where traces are exported to.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Traces {
    /// The collector to export a span for every request to, by OTLP over HTTP; no traces if not set.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = service_url)]
    pub otlp_endpoint: Option<String>,
}

/// The exporter of spans; without a collector it drops them.
#[derive(Clone, Default)]
pub(crate) struct Spans(Option<Arc<BatchSpanProcessor>>);

/// A request or a call that has ended.
pub(super) struct Span<'a> {
    pub(super) trace: &'a TraceContext,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    pub(super) duration: Duration,
    pub(super) failed: bool,
    /// Must not contain personal data.
    pub(super) attributes: Vec<KeyValue>,
}

impl Spans {
    pub(super) fn new(service_name: &'static str, traces: &Traces, log: &Logger) -> Result<Self> {
        variables::log_without_effect(log);
        let Some(endpoint) = traces.otlp_endpoint.as_deref() else { return Ok(Self::default()) };
        let cannot_export = || format!("cannot export traces to {endpoint}");
        let mut exporter = OtlpExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"));
        if is_local(endpoint) {
            exporter = exporter.with_http_client(client_without_proxy().with_context(cannot_export)?);
        } else {
            variables::log_proxy(log);
        }
        let exporter = exporter.build().with_context(cannot_export)?;
        let exporter = FailureLoggingExporter { exporter, failing: AtomicBool::default(), log: log.clone() };
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        processor.set_resource(&Resource::builder().with_service_name(service_name).with_attribute(version).build());
        Ok(Self(Some(Arc::new(processor))))
    }

    /// Whether there is a collector to export spans to.
    pub(crate) fn are_exported(&self) -> bool {
        self.0.is_some()
    }

    /// Queues `span` for export, unless its trace is not sampled.
    pub(super) fn export(&self, span: Span<'_>) {
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
            start_time: end_time.checked_sub(span.duration).unwrap_or(end_time),
            end_time,
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if span.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: InstrumentationScope::default(),
        });
    }

    /// Exports the spans that are left; gives up after one second.
    pub(crate) async fn flush(self) {
        let Some(processor) = self.0 else { return };
        let last = tokio::task::spawn_blocking(move || processor.shutdown_with_timeout(FLUSH_TIMEOUT));
        // The exporter logs a failure itself. A collector that hangs must not delay the stop.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, last).await;
    }
}

/// Whether `url` is on this machine, which is never called through a proxy.
fn is_local(url: &str) -> bool {
    let uri: http::Uri = url.parse().unwrap_or_default();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The HTTP client that the exporter makes itself, but without a proxy. Like that it is made on a thread of its own,
/// because it blocks.
fn client_without_proxy() -> Result<reqwest::blocking::Client> {
    let build = || reqwest::blocking::Client::builder().no_proxy().timeout(variables::timeout()).build();
    let built = thread::Builder::new().spawn(build)?.join();
    Ok(built.map_err(|_| anyhow!("its HTTP client cannot be made"))??)
}

/// An exporter that logs its first failure, and its recovery.
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
            (Err(error), false) => warn!(self.log, "trace export failed"; "error" => error.to_string()),
            (Ok(()), true) => info!(self.log, "trace export recovered"),
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

    /// An exporter that succeeds or fails by a script, which it reads from its end.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<bool>>);

    impl SpanExporter for Scripted {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let succeeds = self.0.lock().unwrap().pop().unwrap();
            if succeeds { Ok(()) } else { Err(OTelSdkError::InternalFailure("unreachable".to_owned())) }
        }
    }

    #[test]
    fn a_collector_on_this_machine_is_recognized() {
        for url in ["http://localhost", "http://127.8.9.1:4318", "http://[::1]:4318"] {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://collector:4318", "http://localhost.example", "http://10.0.0.1", "http://[::2]"] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_failing_export_and_its_recovery_are_each_logged_once() {
        let log = CapturedLog::default();
        let script = [true, true, false, false, true, true];
        let exporter = Scripted(Mutex::new(script.to_vec()));
        let exporter = FailureLoggingExporter { exporter, failing: AtomicBool::default(), log: log.logger(&[]) };
        for succeeds in script.into_iter().rev() {
            assert_eq!(exporter.export(Vec::new()).await.is_ok(), succeeds);
        }
        let text = log.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("trace export failed") && text.contains("trace export recovered"), "{text}");
    }
}
