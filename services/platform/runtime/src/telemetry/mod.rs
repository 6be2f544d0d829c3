//! What a service tells of itself: metrics at `/metrics`, in the text format of OpenMetrics, and traces to a collector.
//!
//! Requests, database and process are seen to by [`Server::start`](crate::server::Server::start): no operation can
//! forget them. A service that calls another says so with [`Telemetry::dependency`], and registers whatever else it counts
//! in [`Telemetry::registry`]. Nothing here is global: a process may run several services, each with its own. What each
//! metric means is in docs/operations.md.

mod dependency;
mod encode;
mod endpoint;
mod operations;
#[cfg(target_os = "linux")]
mod process;
mod requests;
mod spans;

use std::fmt;

use anyhow::Result;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use slog::Logger;

pub use dependency::{Attempts, Call, Dependency};
pub(crate) use encode::Encode;
pub(crate) use endpoint::{WORD, register};
pub(crate) use requests::RequestMetricsDrain;
pub(crate) use spans::Spans;
pub use spans::Traces;

use dependency::{AllAttempts, Durations};
use requests::Requests;

/// What a service tells of itself.
pub struct Telemetry {
    /// The metrics of the service.
    pub registry: Registry,
    calls: Durations,
    attempts: AllAttempts,
    spans: Spans,
}

/// What a service that runs has of its [`Telemetry`].
pub(crate) struct StartedTelemetry {
    pub(crate) registry: Registry,
    pub(crate) requests: Requests,
    pub(crate) spans: Spans,
}

impl Telemetry {
    /// That of the service `service_name`. Fails if nothing can be sent to where `traces` are to go; whether anybody
    /// receives it there is seen later, and told to `log`.
    pub fn new(service_name: &'static str, traces: &Traces, log: &Logger) -> Result<Self> {
        let spans = Spans::new(service_name, traces, log)?;
        let mut registry = Registry::default();
        let build = [("service_name", service_name), ("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "What runs", Info::new(build));
        let calls = Durations::new_with_constructor(dependency::histogram);
        registry.register(
            "dependency_call_duration_seconds",
            "How long requests waited for another service, all attempts included, by how that ended",
            calls.clone(),
        );
        Ok(Self { registry, calls, attempts: AllAttempts::default(), spans })
    }

    /// Watches over the calls to the service `name`. `attempts` tells what its client has done so far.
    pub fn dependency(
        &mut self,
        name: &'static str,
        attempts: impl Fn() -> Attempts + Send + Sync + 'static,
    ) -> Dependency {
        self.attempts.0.push((name, Box::new(attempts)));
        Dependency::new(name, self.calls.clone(), self.spans.clone())
    }

    /// That of a service that promises `document`.
    pub(crate) fn complete(self, document: &str) -> StartedTelemetry {
        let Self { mut registry, attempts, spans, .. } = self;
        let requests = Requests::new(document, &mut registry, spans.clone());
        registry.register_collector(Box::new(attempts));
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(process::Figures));
        StartedTelemetry { registry, requests, spans }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
