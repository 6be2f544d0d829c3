//! What a service tells of itself: metrics at `/metrics`, in the text format of OpenMetrics.
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

use std::fmt;

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use dependency::{Attempts, Call, Dependency};
pub(crate) use encode::Encode;
pub(crate) use endpoint::{WORD, register};
pub(crate) use requests::Tap;

use dependency::{AllAttempts, Durations};
use requests::Requests;

/// What a service tells of itself.
pub struct Telemetry {
    /// The metrics of the service.
    pub registry: Registry,
    calls: Durations,
    attempts: AllAttempts,
}

impl Telemetry {
    /// That of the service `service_name`.
    pub fn new(service_name: &'static str) -> Self {
        let mut registry = Registry::default();
        let build = [("service_name", service_name), ("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "What runs", Info::new(build));
        let calls = Durations::new_with_constructor(dependency::histogram);
        registry.register(
            "dependency_call_duration_seconds",
            "How long calls to other services took, all attempts included, by how they ended",
            calls.clone(),
        );
        Self { registry, calls, attempts: AllAttempts::default() }
    }

    /// Watches over the calls to the service `name`. `attempts` tells what its client has done so far.
    pub fn dependency(
        &mut self,
        name: &'static str,
        attempts: impl Fn() -> Attempts + Send + Sync + 'static,
    ) -> Dependency {
        self.attempts.0.push((name, Box::new(attempts)));
        Dependency::new(name, self.calls.clone())
    }

    /// The complete registry of a service that promises `document`, and what counts its requests.
    pub(crate) fn complete(self, document: &str) -> (Registry, Requests) {
        let Self { mut registry, attempts, .. } = self;
        let requests = Requests::new(document, &mut registry);
        registry.register_collector(Box::new(attempts));
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(process::Figures));
        (registry, requests)
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
