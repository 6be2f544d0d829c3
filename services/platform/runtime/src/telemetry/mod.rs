//! The telemetry of a service: metrics at `/metrics`, as OpenMetrics or in Prometheus' text format, and traces to a
//! collector.
//!
//! Every server measures requests, its database and the process, so no operation can forget to. A service that calls
//! another one declares it with [`Telemetry::dependency`]. Nothing is global: a process may run several services, each
//! with its own telemetry. docs/operations.md lists the metrics.

mod dependency;
mod encode;
mod endpoint;
mod events;
mod operations;
#[cfg(target_os = "linux")]
mod process;
mod requests;
mod spans;
mod text_format;
mod variables;

use anyhow::Result;
use client_policy::Snapshot;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use slog::Logger;

pub use dependency::{Call, DependencyCalls};
pub(crate) use encode::Encode;
pub(crate) use endpoint::register;
pub(crate) use events::EventMetrics;
pub(crate) use requests::RequestMetricsDrain;
pub(crate) use spans::Spans;
pub use spans::Traces;
pub(crate) use variables::check as check_variables;

use dependency::{AttemptMetrics, CallDurations};
use requests::Requests;

/// The telemetry of a service before it starts.
pub struct Telemetry {
    registry: Registry,
    calls: CallDurations,
    attempts: AttemptMetrics,
    spans: Spans,
}

/// The telemetry of a running service.
pub(crate) struct StartedTelemetry {
    pub(crate) registry: Registry,
    pub(crate) requests: Requests,
    pub(crate) spans: Spans,
}

impl Telemetry {
    /// The telemetry of the service `service_name`. Fails if the exporter for `traces` cannot be built. A collector
    /// that does not receive them is no error: the exporter writes it to `log`.
    pub fn new(service_name: &'static str, traces: &Traces, log: &Logger) -> Result<Self> {
        let spans = Spans::new(service_name, traces, log)?;
        let mut registry = Registry::default();
        let build = [("service_name", service_name), ("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Name and version of the running program", Info::new(build));
        let calls = CallDurations::new_with_constructor(dependency::histogram);
        registry.register(
            "dependency_call_duration_seconds",
            "Duration of calls to other services, including all attempts, by outcome",
            calls.clone(),
        );
        Ok(Self { registry, calls, attempts: AttemptMetrics::default(), spans })
    }

    /// Declares the service `name` as one that this service calls. `snapshot` gives the counters of its client on each
    /// scrape.
    pub fn dependency(
        &mut self,
        name: &'static str,
        snapshot: impl Fn() -> Option<Snapshot> + Send + Sync + 'static,
    ) -> DependencyCalls {
        self.attempts.0.push((name, Box::new(snapshot)));
        DependencyCalls::new(name, self.calls.clone(), self.spans.clone())
    }

    /// Declares `name` as something that this service calls by another client than a generated one.
    pub(crate) fn outside_calls(&mut self, name: &'static str) -> DependencyCalls {
        DependencyCalls::new(name, self.calls.clone(), self.spans.clone()).at_zero()
    }

    /// Where a service registers metrics of its own.
    pub(crate) fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Declares that this service publishes or consumes events.
    pub(crate) fn events(&mut self) -> EventMetrics {
        EventMetrics::new(&mut self.registry, self.spans.clone())
    }

    /// Starts to measure the requests to the operations of `document`.
    pub(crate) fn start(self, document: &str) -> StartedTelemetry {
        let Self { mut registry, attempts, spans, .. } = self;
        let requests = Requests::new(document, &mut registry, spans.clone());
        registry.register_collector(Box::new(attempts));
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(process::ProcessMetrics));
        StartedTelemetry { registry, requests, spans }
    }
}
